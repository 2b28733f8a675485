"""A text file that another program appends to, read in parts of complete lines."""

from __future__ import annotations

import os
import re
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from isthmus.data.tables.cells import EXCEL
from isthmus.data.tables.dialect import Dialect
from isthmus.data.tables.text_columns import ReadAs
from isthmus.data.tables.textfile import LONGEST, TextFile
from isthmus.errors import DataError
from isthmus.io.files import regular, shown

__all__ = ["FilePart", "GrowingFile", "read_as"]

_PART = 1 << 24  # bytes of a part, at most
_TAIL = 256  # bytes before a part that are compared, to notice that the file was replaced


class FilePart(NamedTuple):
    """Some lines of a text file, and its first ones, which say what its columns are.

    Attributes:
        head: the lines before the first row of the file.
        lines: the lines to read.
        left_out: the number of lines between them.
    """

    head: bytes
    lines: bytes
    left_out: int

    def content(self) -> BytesIO:
        """The text as a file."""
        return BytesIO(self.head + self.lines)

    @property
    def first(self) -> int:
        """The number in the file of the first of the lines to read."""
        return self.head.count(b"\n") + self.left_out + 1

    def without(self, skipped: tuple[range, ...]) -> tuple[range, ...]:
        """The lines of this text that are left out, given those of the file."""
        head, after = self.head.count(b"\n"), self.left_out
        lines = head + self.lines.count(b"\n")
        first = [range(each.start, min(each.stop, head + 1)) for each in skipped]
        others = [range(max(each.start - after, head + 1), min(each.stop - after, lines + 1)) for each in skipped]
        return tuple(each for each in (*first, *others) if each)

    def has_rows(self, skipped: tuple[range, ...], comment: str) -> bool:
        """Whether some of the lines are neither empty, nor comments, nor left out (lines of the file)."""
        ignored, first = (
            re.compile(f"(?:{_comment(comment)}[ \\t]*)\r?".encode()),
            self.head.count(b"\n") + self.left_out + 1,
        )
        return any(
            not ignored.fullmatch(line) and not any(number in each for each in skipped)
            for number, line in enumerate(self.lines.split(b"\n"), first)
        )


def read_as(file: TextFile, dialect: Dialect) -> ReadAs:
    """The format in which a file was read."""
    options_of = dict[str, Any](comment=file.comment or "none", encoding=file.encoding)
    options_of["delimiter"] = "blanks" if file.blanks else dialect.delimiter
    if dialect.line or dialect.names is None:  # names in a comment are found there again
        options_of["header"] = bool(dialect.line)
    return ReadAs(dialect.line or dialect.skipped, options_of)


class GrowingFile:
    """A text file that another program appends to.

    Args:
        path: the file.
        comment, delimiter: of the file; None: not known yet.

    Raises:
        DataError: the path is no regular file.
        FileNotFoundError: there is no file.
    """

    def __init__(self, path: Path, comment: str | None = None, delimiter: str | None = None) -> None:
        self._path, self._identity = path, (0, 0)
        self._rows = _row(comment, delimiter)
        self._offset, self._lines = 0, 0  # bytes and lines that were read
        self._tail, self._head, self._head_lines = b"", b"", 0
        with self._open() as file:
            self._identity = _identity(file)

    def begin(self, part: FilePart, lines: int, comment: str, delimiter: str) -> None:
        """Says how many lines of the first part are before the first row, and the format. They precede each later part."""
        self._rows = _row(comment, delimiter)
        self._head = b"".join(part.lines.splitlines(keepends=True)[:lines])
        self._head_lines = lines

    def read(self) -> FilePart | None:
        """The next complete lines; None if there are none yet.

        Raises:
            DataError: the file is shorter than before, or another one, or it has a row that is too long.
        """
        with self._open() as file:
            self._check(file)
            block = file.read(_PART)
            cut = self._complete(block)
            while not cut and len(block) < LONGEST and len(block) >= _PART and (more := file.read(_PART)):
                block += more
                cut = self._complete(block)
        if not cut and len(block) >= LONGEST:
            raise DataError(
                f"the row from line {self._lines + 1:,} of {shown(self._path)} is longer than {LONGEST >> 20} MiB: "
                "a quotation mark may not be closed"
            )
        lines = block[:cut]
        if not lines.strip() or (not self._offset and lines.count(b"\n") < 2):  # names alone say nothing yet
            return None
        if not self._offset and b"\0" in lines:
            raise DataError(f"{shown(self._path)} is compressed, or no text in UTF-8: follow a plain text file")
        part = FilePart(self._head, lines, max(0, self._lines - self._head_lines))
        self._offset, self._lines = self._offset + len(lines), self._lines + lines.count(b"\n")
        self._tail = (self._tail + lines)[-_TAIL:]
        return part

    def rest(self) -> str:
        """What is not read yet, and why, for a message; "" if that is nothing but empty lines."""
        with self._open() as file:
            file.seek(self._offset)
            block = file.read(_PART)
        if not block.strip():
            return ""
        if not self._offset and block.endswith(b"\n") and block.count(b"\n") == 1:
            return "the file has no rows after its first line"
        where = f"line {self._lines + 1:,} of {shown(self._path)}"
        if b"\n" not in block:
            only = ": its lines must end with a line feed" if b"\r" in block else ""
            return f"{where}, the last one, is not complete{only}"
        if self._complete(block):
            last = self._lines + 1 + block.count(b"\n")
            return f"line {last:,} of {shown(self._path)}, the last one, is not complete"
        return f"the row from {where} is not complete: a quotation mark may not be closed"

    def _complete(self, block: bytes) -> int:
        """The bytes of the complete rows: up to the last line feed outside of a cell in quotation marks."""
        end = block.rfind(b"\n") + 1
        if b'"' not in block[:end]:
            return end
        complete = position = 0
        for found in self._rows.finditer(block, 0, end):
            if found.start() != position or not found[0].endswith(b"\n"):
                break
            complete = position = found.end()
        return complete

    def _open(self) -> BinaryIO:
        """The file. It is open while it is read only, so that others can rename it."""
        try:
            file = regular(self._path)
        except FileNotFoundError:
            if self._identity == (0, 0):
                raise
            raise DataError(
                f"{shown(self._path)} was removed while it was followed: start again with the new file"
            ) from None
        if isinstance(file, str):
            raise DataError(f"{shown(self._path)} is not a regular file: give a text file to follow")
        return BufferedReader(file)

    def _check(self, file: BinaryIO) -> None:
        """`DataError` unless the file is the same as before, or longer. The next byte is then that after the lines that were read."""
        what = ""
        if _identity(file) != self._identity:
            what = "was replaced by another file"
        elif os.fstat(file.fileno()).st_size < self._offset:
            what = "has become shorter"
        else:
            file.seek(self._offset - len(self._tail))
            what = "" if file.read(len(self._tail)) == self._tail else "was overwritten"
        if what:
            raise DataError(f"{shown(self._path)} {what} while it was followed: start again with the new file")


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _comment(comment: str | None) -> str:
    """The pattern of a comment, without its end, as an alternative; "" if there are none."""
    mark, errors = "#" if comment is None else comment.replace("none", ""), "|".join(map(re.escape, EXCEL))
    return rf"[ \t]*+(?!(?i:{errors})){re.escape(mark)}[^\n]*+|" if mark else ""


def _row(comment: str | None, delimiter: str | None) -> re.Pattern[bytes]:
    """A complete row or comment. As for the reader, a quotation mark opens a cell only where the cell begins."""
    apart = {"blanks": r" \t", None: r",;\t|"}.get(delimiter, "" if delimiter is None else re.escape(delimiter))
    cell = rf'(?:"[^"]*+"(?:"[^"]*+")*+|(?!"))[^{apart}\n]*+'
    return re.compile(rf"(?:{_comment(comment)}{cell}(?:[{apart}]{cell})*+)\n".encode())
