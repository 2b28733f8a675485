"""Printing to standard output and standard error. All output goes through this module, which escapes control characters.

A failure to print, for example to a closed pipe or a full disk, does not stop the work. The command line reports it at the end, on
standard error if possible, and by its exit code.
"""

from __future__ import annotations

import errno
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

__all__ = [
    "interactive",
    "make_streams_tolerant",
    "output_failure",
    "print_error",
    "print_lines",
    "rich_console",
    "rich_table",
    "show_traceback",
]


_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class LossyStream(io.RawIOBase):
    """A file descriptor whose writes never fail. Bytes that cannot be written are dropped; ``failure`` is the reason.

    After a failure nothing is written any more; only a full disk is tried again, for a server outlives it.
    """

    def __init__(self, descriptor: int, failure: str | None = None) -> None:
        super().__init__()
        self.descriptor, self.failure = descriptor, failure
        self._lasts = failure is not None
        self.used = False  # whether anything was written to it

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, data: Any, /) -> int:
        self.used = True
        while not self._lasts:
            try:
                return os.write(self.descriptor, data)
            except BlockingIOError:  # a non-blocking pipe that is full
                select.select([], [self.descriptor], [])
            except OSError as error:
                self.failure = error.strerror or str(error)
                self._lasts = error.errno not in _FULL
                break
        return memoryview(data).nbytes


_STREAMS: dict[str, LossyStream] = {}  # standard streams of the command line, by name


def print_lines(*lines: str, error: bool = False) -> None:
    """Prints lines to standard output or standard error, and flushes. Each stays one line; control characters are escaped."""
    stream = sys.stderr if error else sys.stdout
    if stream is not None:  # a process can start without standard streams
        print("\n".join(printable(line, None) for line in lines), file=stream, flush=True)


def interactive() -> bool:
    """Whether standard error is a terminal, or the code runs in a notebook."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


def print_error(text: str) -> None:
    """Prints one line of bounded length to standard error."""
    print_lines(sentence(text), error=True)


def rich_console(error: bool = False, width: int | None = None) -> Console:
    """A console of rich that does not interpret text as markup, emoji or numbers to color."""
    from rich.console import Console

    return Console(stderr=error, width=width, markup=False, emoji=False, highlight=False)


def rich_table(header: Sequence[str], rows: Sequence[Sequence[str]], multiline: bool = False) -> Table:
    """A table of rich with plain text cells.

    Args:
        header: the titles of the columns.
        rows: the cells.
        multiline: whether a line break in a cell starts a new line. Otherwise it is escaped, as untrusted text requires.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in header:
        table.add_column(Text(sentence(title)))
    for row in rows:
        cells = (map(sentence, cell.split("\n") if multiline else [cell]) for cell in row)
        table.add_row(*(Text("\n".join(lines)) for lines in cells))
    return table


def make_streams_tolerant() -> None:
    """Makes writes to standard output and standard error never fail.

    Characters that the encoding does not have are escaped; bytes that cannot be written are dropped.
    """
    # a file that is opened later must not get the descriptor of a standard stream that is closed
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(null)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is not None and not _has_descriptor(stream, descriptor):  # replaced, for example by a test
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
            continue
        _STREAMS[name] = LossyStream(descriptor, failure="it is closed" if stream is None else None)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        buffered = io.BufferedWriter(_STREAMS[name])
        setattr(
            sys, name, io.TextIOWrapper(buffered, encoding, errors="backslashreplace", line_buffering=name == "stderr")
        )


def _has_descriptor(stream: Any, descriptor: int) -> bool:
    """Whether a stream writes to this file descriptor."""
    try:
        return bool(stream.fileno() == descriptor)
    except (OSError, ValueError, AttributeError):
        return False


def output_failure() -> str | None:
    """A sentence about output that could not be printed, with the reason; None if everything was printed."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    names = {"stdout": "standard output", "stderr": "standard error"}
    messages = [
        f"{names[key]} ({stream.failure})" for key, stream in _STREAMS.items() if stream.used and stream.failure
    ]
    return f"some output could not be printed to {' and '.join(messages)}" if messages else None


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A `sys.excepthook` that prints a traceback with control characters escaped."""
    print_lines(*"".join(traceback.format_exception(kind, error, trace)).removesuffix("\n").split("\n"), error=True)
