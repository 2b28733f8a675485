"""A text file as a stream of UTF-8: decompressed, decoded and without comments, one block at a time.

A comment becomes an empty line, so that line numbers stay the same.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from isthmus.data.tables.cells import EXCEL
from isthmus.errors import DataError
from isthmus.io.files import Readable, open_regular, shown
from isthmus.text import printable

__all__ = ["TextFile"]

_BLOCK = 1 << 20  # bytes of a block
_MIN_SAMPLE = 1 << 18  # bytes of the sample from which the format is detected, at least
_MIN_LINES = 20  # lines of that sample, at least, unless they are longer than LONGEST
LONGEST = 1 << 26  # bytes of a line, at most
_MAX_UNPACKED = 1 << 28  # bytes to which any compressed file may be decompressed
_MAX_RATIO = 100  # bytes to which a larger file may be decompressed, for each of its bytes
_MAX_COMMENT_LINES = 100_000  # line numbers of comments that are stored
_BYTE_ORDER_MARKS = (  # the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, ValueError)


class TextFile:
    """A text file that can be read from its beginning several times. As a context manager, it closes the file.

    Attributes:
        name: its path, safe to print.
        encoding: of its text.
        packing: its compression, or "".
        size: bytes of the compressed file.
        comment: the prefix of comment lines; "" for no comments.
        blanks: whether cells are separated by runs of blanks, which become tabs.
        skipped: lines that the user leaves out. They become empty, as comments do.
    """

    def __init__(
        self, path: Path, encoding: str | None = None, skipped: tuple[range, ...] = (), content: BinaryIO | None = None
    ) -> None:
        self.name, self.comment, self.blanks, self.skipped = shown(path), "#", False, skipped
        self._file = open_regular(path) if content is None else content  # a part of the file
        self.size = self._file.seek(0, 2)
        try:
            self.packing = self._packing()
            self.encoding = _checked_encoding(encoding) or self._encoding_of_mark() or "utf-8"
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TextFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def stream(self) -> Stream:
        """The text from its beginning."""
        return Stream(self, self._unpacked())

    def sample(self) -> str:
        """The first lines of the text, enough to detect its format, or all of it."""
        stream, text = self.stream(), b""
        while len(text) < _MIN_SAMPLE or (text.count(b"\n") < _MIN_LINES and len(text) < LONGEST):
            if not (block := stream.read(_MIN_SAMPLE)):
                return text.decode()
            text += block
        return text[: text.rfind(b"\n") + 1].decode() if b"\n" in text else text.decode("utf-8", "ignore")

    def _packing(self) -> str:
        self._file.seek(0)
        first = self._file.read(8)
        return next((kind for mark, kind in _COMPRESSIONS.items() if first.startswith(mark)), "")

    def _encoding_of_mark(self) -> str | None:
        """The encoding of the byte order mark, if there is one."""
        first = self.read_bounded(self._unpacked(), 4)
        if not first:
            raise DataError(f"{self.name} is empty: give a file with data")
        return next((encoding for mark, encoding in _BYTE_ORDER_MARKS if first.startswith(mark)), None)

    def _unpacked(self) -> Readable:
        """The decompressed bytes, from their beginning."""
        self._file.seek(0)
        try:
            match self.packing:
                case "gzip":
                    return gzip.GzipFile(fileobj=self._file)
                case "bzip2":
                    return bz2.BZ2File(self._file)
                case "xz":
                    return lzma.LZMAFile(self._file)
                case "zstd":
                    return _zstd(self._file)
                case "zip":
                    return self._only_member()
        except _DAMAGED as error:
            raise self._damaged(error) from error
        return self._file

    def _only_member(self) -> Readable:
        archive = zipfile.ZipFile(self._file)
        members = [
            each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            names = ", ".join(printable(each.filename, 60) for each in members[:5]) + ", ..." * (len(members) > 5)
            raise DataError(
                f"{self.name} holds {len(members):,} files ({names}): give one file, unpacked or as the only file of its archive"
            )
        if members[0].flag_bits & 1:
            raise DataError(f"{self.name} is encrypted: unpack it first")
        return cast(Readable, archive.open(members[0]))

    def read_bounded(self, stream: Readable, size: int) -> bytes:
        """At most `size` bytes. Errors of the decompression become a `DataError`."""
        try:
            return stream.read(size)
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DataError:
        if isinstance(error, DataError):
            return error
        return DataError(f"{self.name} is a damaged {self.packing or 'text'} file ({printable(error)}): fetch it again")

    def limit(self) -> int | None:
        """The bytes to which the file may be decompressed; None if it is not compressed."""
        return max(_MAX_UNPACKED, _MAX_RATIO * self.size) if self.packing else None


class Stream(io.RawIOBase):
    """The text of a file as UTF-8 bytes, with a line feed at the end of each line.

    Attributes:
        line: the next line.
        commented, comment_lines: the number of comments so far, and the lines of the first of them.
        skipped_lines: lines left out so far because the user requested it.
        quotes: the number of quotation marks so far.
    """

    def __init__(self, file: TextFile, source: Readable) -> None:
        self.file, self._source = file, source
        self._decoder: Any = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(file.encoding)(), translate=True)
        self._buffer, self._rest, self._read, self._ended = bytearray(), "", 0, False
        self.line, self.quotes, self.commented, self.comment_lines = 1, 0, 0, list[int]()
        self.skipped_lines, self._stopped = list[int](), False

    def readable(self) -> bool:
        """Always true."""
        return True

    def end(self) -> None:
        """Ends the stream: the rest is not needed."""
        self._ended = self._stopped = True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none at the end of the stream."""
        if self._stopped:
            return b""
        while not self._ended and (size < 0 or len(self._buffer) < size):
            self._buffer += self._cleaned(self._next_lines()).encode()
        size = len(self._buffer) if size < 0 else size
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _next_lines(self) -> str:
        """The next complete lines; at the end, the rest."""
        block = self.file.read_bounded(self._source, _BLOCK)
        self._read, self._ended = self._read + len(block), not block
        limit = self.file.limit()
        if limit is not None and self._read > limit:
            raise DataError(
                f"{self.file.name} unpacks to more than {limit:,} bytes, which is out of proportion: if you trust it, unpack it first"
            )
        text: str = self._rest + self._decoder.decode(block, final=not block)
        if self._ended:
            self._rest = ""
            return text
        cut = text.rfind("\n") + 1
        self._rest = text[cut:]
        if len(self._rest) > LONGEST:
            raise DataError(
                f"line {self._line_of(text[:cut], cut)} of {self.file.name} is longer than {LONGEST >> 20} MiB: expected shorter lines"
            )
        return text[:cut]

    def _cleaned(self, text: str) -> str:
        """The lines without comments, with tabs instead of the blanks between cells."""
        if (position := text.find("\0")) >= 0:
            raise DataError(
                f"line {self._line_of(text, position)} of {self.file.name} holds a NUL character: "
                "it is not a text file, or UTF-16 without its mark (encoding='utf-16-le', --encoding utf-16-le)"
            )
        text = self._without_skipped(text)
        mark = self.file.comment
        if mark and mark in text:
            comment = re.compile(_COMMENT.format(re.escape(mark)), re.MULTILINE | re.IGNORECASE)
            line, before = self.line, 0
            for found in comment.finditer(text):
                line, before = line + text.count("\n", before, found.start()), found.start()
                self.commented += 1
                if len(self.comment_lines) < _MAX_COMMENT_LINES:
                    self.comment_lines.append(line)
            text = comment.sub("", text)
        self.quotes += text.count('"')
        self.line += text.count("\n")
        return _BLANKS.sub(_tab, text) if self.file.blanks else text

    def _without_skipped(self, text: str) -> str:
        """The text, in which the lines that the user leaves out are empty."""
        last = self.line + text.count("\n")
        for skipped in self.file.skipped:
            if skipped.start <= last and skipped.stop > self.line:
                lines = text.split("\n")
                here = range(max(skipped.start, self.line) - self.line, min(skipped.stop, last + 1) - self.line)
                self.skipped_lines += [
                    self.line + position for position in here if position < len(lines) - 1 or lines[position]
                ]
                lines[here.start : here.stop] = [""] * len(here)
                text = "\n".join(lines)
        return text

    def _line_of(self, text: str, position: int) -> int:
        return self.line + text.count("\n", 0, position)


_EXCEL_ERRORS = "|".join(map(re.escape, EXCEL))  # cells that begin with #, as comments do
_COMMENT = rf"^[ \t]*(?!(?:{_EXCEL_ERRORS})){{}}[^\n]*"
_BLANKS = re.compile(r'("(?:[^"\n]|"")*")|^[ \t]+|[ \t]+$|[ \t]+', re.MULTILINE)


def _tab(found: re.Match[str]) -> str:
    """A tab for blanks within a line, nothing for blanks at its ends. A quoted cell stays the same."""
    if found[1]:
        return found[1]
    text, outer = found.string, (found.start() == 0 or found.string[found.start() - 1] == "\n")
    return "" if outer or found.end() == len(text) or text[found.end()] == "\n" else "\t"


def _checked_encoding(encoding: str | None) -> str | None:
    """The encoding, which Python must support for text."""
    try:
        if encoding is None or codecs.lookup(encoding)._is_text_encoding:  # as Python's open() checks it
            return encoding
    except LookupError:
        pass
    raise DataError(f"unknown encoding={encoding!r} (--encoding): expected a name such as utf-8 or cp1252")


class _Compressed(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _zstd(file: BinaryIO) -> _Compressed:
    from isthmus.data.tables.arrow import pyarrow

    arrow = pyarrow()
    return cast(_Compressed, arrow.CompressedInputStream(arrow.PythonFile(_KeptOpen(file), "r"), "zstd"))


class _KeptOpen(io.RawIOBase):
    """A file that its reader does not close."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """Always true."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        return self._file.read(size)
