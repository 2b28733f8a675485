"""``python -m isthmus`` runs the command line, as the command ``isthmus`` does; this is also the command of the small distribution."""

from importlib.util import find_spec
from typing import NoReturn

from isthmus.io.terminal import print_error

__all__ = ["main"]


def main() -> NoReturn:
    """The command line, or one sentence where the small distribution was installed without it."""
    if find_spec("typer") is None:
        print_error("isthmus: the command line requires typer: pip install 'isthmus-runtime[serve]'")
        raise SystemExit(1)
    from isthmus.cli import main as run

    run()


if __name__ == "__main__":
    main()
