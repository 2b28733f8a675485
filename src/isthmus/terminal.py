"""The one door to standard output and standard error: what goes through is printable, whatever a name or a file holds."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from isthmus.text import printable, sentence

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["complain", "drawn_table", "put", "rich_console", "show_traceback", "tolerant"]


def put(*lines: str, error: bool = False) -> None:
    """Lines, at once, to standard output or standard error; a line stays one, whatever it holds."""
    print("\n".join(printable(line, None) for line in lines), file=sys.stderr if error else sys.stdout, flush=True)


def complain(text: str) -> None:
    """One line of bounded length to standard error, at once."""
    put(sentence(text), error=True)


def rich_console(error: bool = False, width: int | None = None) -> Console:
    """Rich's view of the terminal, which takes nothing in a text for markup, an emoji or a number to color."""
    from rich.console import Console

    return Console(stderr=error, width=width, markup=False, emoji=False, highlight=False)


def drawn_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose cells stand as they are."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD)
    for title in header:
        drawn.add_column(Text(sentence(title)))
    for row in rows:
        drawn.add_row(*(Text(sentence(cell)) for cell in row))
    return drawn


def tolerant() -> None:
    """Lets standard output escape what its encoding lacks, as standard error does anyway."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback, in which messages are printable too: a `sys.excepthook`."""
    put(*"".join(traceback.format_exception(kind, error, trace)).removesuffix("\n").split("\n"), error=True)
