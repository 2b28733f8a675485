"""The parts of an Excel file, counted before a library makes objects of them: a byte of XML becomes up to thirty of memory."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from typing import IO

__all__ = ["out_of_proportion"]

_CHUNK = 1 << 20
_TAGS = 1 << 20  # of a row, a text, or a part that is held as a whole: a sheet has 16,384 columns
_ROWS = 1 << 21  # rows or texts of a part: a sheet has 1,048,576 rows
_STREAMED = re.compile(r"worksheets/|sharedStrings", re.IGNORECASE)  # parts that are read row by row, or text by text
_ONE = re.compile(rb"<(?:[\w.-]+:)?(?:row|si)(?=[\s/>])")
_LONGEST = 256  # bytes of a tag's name, which may lie across two chunks
_TYPES = tuple("<!DOCTYPE".encode(coding) for coding in ("ascii", "utf-16-le", "utf-16-be"))


def out_of_proportion(archive: zipfile.ZipFile) -> str:
    """What an Excel file has too much of to be read; "" where it may be read. It is unpacked once, and nothing of it is kept."""
    for each in archive.infolist():
        with archive.open(each) as part:
            if found := _too_much(part, _STREAMED.search(each.filename) is not None, "/media/" in each.filename):
                return found
    return ""


def _too_much(part: IO[bytes], streamed: bool, picture: bool) -> str:
    rows = tags = 0
    for text in _chunks(part):
        if not picture and any(
            each in text for each in _TYPES
        ):  # entities, which multiply what is written; no program writes them
            return "declares types of its own"
        first, *others = _ONE.split(text) if streamed else [text]
        tags += first.count(b"<")
        most = max((tags, *(1 + other.count(b"<") for other in others)))
        if others:
            tags = 1 + others[-1].count(b"<")
        if most > _TAGS:
            return f"holds more than {_TAGS:,} tags in one row or part"
        rows += len(others)
        if rows > _ROWS:
            return f"holds more than {_ROWS:,} rows or texts"
    return ""


def _chunks(part: IO[bytes]) -> Iterator[bytes]:
    """The bytes in pieces that end where a tag may begin, so that none lies across two of them."""
    rest = b""
    while more := part.read(_CHUNK):
        text = rest + more
        cut = text.rfind(b"<", max(0, len(text) - _LONGEST))
        cut = len(text) if cut < 0 else cut
        rest = text[cut:]
        yield text[:cut]
    yield rest
