"""The one door to standard output and standard error: what goes through is printable, whatever a name or a file holds.

Printing is a courtesy, and the work goes on without it: what cannot be printed, into a closed pipe or on a full disk, is lost. The
command line says so in the end, on standard error if it can, and by its exit code.
"""

from __future__ import annotations

import io
import os
import select
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from isthmus.text import printable, sentence

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["complain", "drawn_table", "interactive", "lost", "put", "rich_console", "show_traceback", "tolerant"]


class Courtesy(io.RawIOBase):
    """A descriptor that takes whatever is written: what it cannot pass on is lost, and ``lost`` says why."""

    def __init__(self, descriptor: int, lost: str | None = None) -> None:
        super().__init__()
        self.descriptor, self.lost = descriptor, lost
        self.asked = False  # whether anything was to be written

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, data: Any, /) -> int:
        self.asked = True
        while self.lost is None:
            try:
                return os.write(self.descriptor, data)
            except BlockingIOError:  # a pipe that somebody made so, and that is full now
                select.select([], [self.descriptor], [])
            except OSError as error:
                self.lost = error.strerror or str(error)
        return memoryview(data).nbytes


_STREAMS: dict[str, Courtesy] = {}  # those of the command line, by name


def put(*lines: str, error: bool = False) -> None:
    """Lines, at once, to standard output or standard error; a line stays one, whatever it holds."""
    stream = sys.stderr if error else sys.stdout
    if stream is not None:  # a process may have none
        print("\n".join(printable(line, None) for line in lines), file=stream, flush=True)


def interactive() -> bool:
    """Whether a person looks at standard error, on a terminal or in a notebook."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


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
    """Lets standard output and standard error take everything: what their encoding lacks is escaped, and what they cannot write is lost."""
    while (
        spare := os.open(os.devnull, os.O_RDWR)
    ) <= 2:  # else a file of ours would take the place of one that is closed
        pass
    os.close(spare)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is not None and not _of(stream, descriptor):  # somebody else's, as tests have them
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
            continue
        _STREAMS[name] = Courtesy(descriptor, lost="it is closed" if stream is None else None)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        buffered = io.BufferedWriter(_STREAMS[name])
        setattr(
            sys, name, io.TextIOWrapper(buffered, encoding, errors="backslashreplace", line_buffering=name == "stderr")
        )


def _of(stream: Any, descriptor: int) -> bool:
    """Whether a stream is that of a descriptor."""
    try:
        return bool(stream.fileno() == descriptor)
    except (OSError, ValueError, AttributeError):
        return False


def lost() -> str | None:
    """What could not be printed, and why, in a sentence; None where all was."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    names = {"stdout": "standard output", "stderr": "standard error"}
    found = [f"{names[key]} ({stream.lost})" for key, stream in _STREAMS.items() if stream.asked and stream.lost]
    return f"not all could be printed to {' and '.join(found)}" if found else None


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback, in which messages are printable too: a `sys.excepthook`."""
    put(*"".join(traceback.format_exception(kind, error, trace)).removesuffix("\n").split("\n"), error=True)
