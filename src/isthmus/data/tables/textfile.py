"""A text file as a stream of UTF-8: unpacked, decoded, and without comments, never more at a time than a block.

Lines keep their numbers: a comment becomes an empty line.
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

_BLOCK = 1 << 20  # bytes read together
_SAMPLE = 1 << 18  # characters that a dialect is told from, at least
_LINES = 20  # lines that it is told from, at least, if they are not endless
LONGEST = 1 << 26  # bytes of a line
_UNPACKED = 1 << 28  # bytes that any packed file may become
_NUMBERED = 100_000  # comments whose lines are kept
_GROWTH = 100  # times its size, to which a larger one may grow
_MARKS = (  # of the encoding, at the beginning of a file; the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, ValueError)


class TextFile:
    """A file that can be read from its beginning as often as needed; a context that closes it.

    Attributes:
        name: its path, as it is shown.
        encoding: how it is decoded.
        packing: how it is packed, or "".
        size: bytes of the file, as it is packed.
        comment: what lines begin with that are comments; "" where none are.
        blanks: whether runs of blanks stand between the cells: they become tabs.
        skipped: the lines that a person says are no rows; they become empty, as comments do.
    """

    def __init__(self, path: Path, encoding: str | None = None, skipped: tuple[range, ...] = ()) -> None:
        self.skipped = skipped
        self.name, self.comment, self.blanks = shown(path), "#", False
        self._file = open_regular(path)
        self.size = self._file.seek(0, 2)
        try:
            self.packing = self._packing()
            self.encoding = _known(encoding) or self._mark() or "utf-8"
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
        """The beginning of the text, as many whole lines as tell how it is written, or all of it."""
        stream, text = self.stream(), b""
        while len(text) < _SAMPLE or (text.count(b"\n") < _LINES and len(text) < LONGEST):
            block = stream.read(_SAMPLE)
            if not block:
                return text.decode()
            text += block
        return text[: text.rfind(b"\n") + 1].decode() if b"\n" in text else text.decode("utf-8", "ignore")

    def _packing(self) -> str:
        self._file.seek(0)
        first = self._file.read(8)
        return next((kind for mark, kind in _PACKED.items() if first.startswith(mark)), "")

    def _mark(self) -> str | None:
        """The encoding that the first bytes say."""
        first = self._bounded(self._unpacked(), 4)
        if not first:
            raise DataError(f"{self.name} is empty: give a file with data")
        return next((encoding for mark, encoding in _MARKS if first.startswith(mark)), None)

    def _unpacked(self) -> Readable:
        """The bytes of the text from their beginning."""
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
                f"{self.name} holds {len(members):,} files ({names}): give one file, unpacked or alone in its archive"
            )
        if members[0].flag_bits & 1:
            raise DataError(f"{self.name} is encrypted: unpack it first")
        return cast(Readable, archive.open(members[0]))

    def _bounded(self, stream: Readable, size: int) -> bytes:
        """At most so many bytes; what the unpacking complains of is a `DataError`."""
        try:
            return stream.read(size)
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DataError:
        if isinstance(error, DataError):
            return error
        return DataError(f"{self.name} is a damaged {self.packing or 'text'} file ({printable(error)}): fetch it again")

    def limit(self) -> int | None:
        """The bytes that it may become; None where it is not packed."""
        return max(_UNPACKED, _GROWTH * self.size) if self.packing else None


class Stream(io.RawIOBase):
    """The text of a file as UTF-8 bytes, with line feeds alone between its lines.

    Attributes:
        commented, comment_lines: how many comments were left out so far, and the lines of those at the beginning.
        skipped_lines: those left out so far because a person said so.
        quotes: how many quotation marks were seen.
    """

    def __init__(self, file: TextFile, source: Readable) -> None:
        self.file, self._source = file, source
        self._decoder: Any = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(file.encoding)(), translate=True)
        self._ready, self._rest, self._read, self._ended = bytearray(), "", 0, False
        self.line, self.quotes, self.commented, self.comment_lines = 1, 0, 0, list[int]()
        self.skipped_lines, self._unwanted = list[int](), False

    def readable(self) -> bool:
        """It is."""
        return True

    def end(self) -> None:
        """There is no more to read: nobody wants it."""
        self._ended = self._unwanted = True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none at the end."""
        if self._unwanted:
            return b""
        while not self._ended and (size < 0 or len(self._ready) < size):
            self._ready += self._lines(self._more()).encode()
        size = len(self._ready) if size < 0 else size
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken

    def _more(self) -> str:
        """The next whole lines; what is left at the end."""
        block = self.file._bounded(self._source, _BLOCK)
        self._read, self._ended = self._read + len(block), not block
        limit = self.file.limit()
        if limit is not None and self._read > limit:
            raise DataError(
                f"{self.file.name} unpacks to more than {limit:,} bytes, which is out of proportion: unpack it, if you trust it"
            )
        text: str = self._rest + self._decoder.decode(block, final=not block)
        if self._ended:
            self._rest = ""
            return text
        cut = text.rfind("\n") + 1
        self._rest = text[cut:]
        if len(self._rest) > LONGEST:
            raise DataError(
                f"line {self._line_of(text[:cut], cut)} of {self.file.name} is longer than {LONGEST >> 20} MiB: no table has such a row"
            )
        return text[:cut]

    def _lines(self, text: str) -> str:
        """The same with comments emptied, blanks as tabs if they stand between the cells."""
        if (place := text.find("\0")) >= 0:
            raise DataError(
                f"line {self._line_of(text, place)} of {self.file.name} holds a NUL character, which no text has: "
                "it is no text file, or UTF-16 without its mark (encoding='utf-16-le', --encoding utf-16-le)"
            )
        text = self._without_skipped(text)
        mark = self.file.comment
        if mark and mark in text:
            comment = re.compile(_COMMENT.format(re.escape(mark)), re.MULTILINE | re.IGNORECASE)
            line, before = self.line, 0
            for found in comment.finditer(text):
                line, before = line + text.count("\n", before, found.start()), found.start()
                self.commented += 1
                if len(self.comment_lines) < _NUMBERED:
                    self.comment_lines.append(line)
            text = comment.sub("", text)
        self.quotes += text.count('"')
        self.line += text.count("\n")
        return _BLANKS.sub(_tab, text) if self.file.blanks else text

    def _without_skipped(self, text: str) -> str:
        """The same with the lines emptied that a person says are no rows."""
        last = self.line + text.count("\n")
        for skipped in self.file.skipped:
            if skipped.start <= last and skipped.stop > self.line:
                lines = text.split("\n")
                here = range(max(skipped.start, self.line) - self.line, min(skipped.stop, last + 1) - self.line)
                self.skipped_lines += [self.line + place for place in here if place < len(lines) - 1 or lines[place]]
                lines[here.start : here.stop] = [""] * len(here)
                text = "\n".join(lines)
        return text

    def _line_of(self, text: str, place: int) -> int:
        return self.line + text.count("\n", 0, place)


_ERRORS = "|".join(map(re.escape, EXCEL))  # cells of Excel that begin with # as comments do
_COMMENT = rf"^[ \t]*(?!(?:{_ERRORS})){{}}[^\n]*"
_BLANKS = re.compile(r'("(?:[^"\n]|"")*")|^[ \t]+|[ \t]+$|[ \t]+', re.MULTILINE)


def _tab(found: re.Match[str]) -> str:
    """A quoted cell as it is; nothing at the ends of a line; a tab elsewhere."""
    if found[1]:
        return found[1]
    text, outer = found.string, (found.start() == 0 or found.string[found.start() - 1] == "\n")
    return "" if outer or found.end() == len(text) or text[found.end()] == "\n" else "\t"


def _known(encoding: str | None) -> str | None:
    """The encoding, if Python knows it as one of text."""
    try:
        if encoding is None or codecs.lookup(encoding)._is_text_encoding:  # as Python's own open asks
            return encoding
    except LookupError:
        pass
    raise DataError(f"encoding={encoding!r} is not known: give for example utf-8 or cp1252")


class _Packed(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _zstd(file: BinaryIO) -> _Packed:
    from isthmus.data.tables.arrow import pyarrow

    arrow = pyarrow()
    return cast(_Packed, arrow.CompressedInputStream(arrow.PythonFile(_Open(file), "r"), "zstd"))


class _Open(io.RawIOBase):
    """A file that stays open when its reader is gone."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        return self._file.read(size)
