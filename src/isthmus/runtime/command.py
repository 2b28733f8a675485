"""The command of the small distribution, which has not all that the command line needs."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """The entry point: the command line, or one sentence without it."""
    if find_spec("typer") is None:
        sys.stderr.write("isthmus: the command line requires typer: pip install 'isthmus-runtime[serve]'\n")
        raise SystemExit(1)
    from isthmus.cli import main as run

    run()
