"""The size of the parts of an Excel file, checked before they are parsed: a byte of XML becomes up to thirty bytes of objects."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from typing import IO

__all__ = ["excess_of"]

_CHUNK = 1 << 20
_MAX_TAGS = 1 << 20  # of a row, a text, or a part that is parsed as a whole: a sheet has at most 16,384 columns
_MAX_ROWS = 1 << 21  # rows or texts of a part: a sheet has at most 1,048,576 rows
_STREAMED = re.compile(r"worksheets/|sharedStrings", re.IGNORECASE)  # parts that are parsed row by row or text by text
_ROW_OR_TEXT = re.compile(rb"<(?:[\w.-]+:)?(?:row|si)(?=[\s/>])")
_LONGEST_NAME = 256  # bytes of a tag's name, which may begin at the end of a chunk
_TYPES = tuple("<!DOCTYPE".encode(coding) for coding in ("ascii", "utf-16-le", "utf-16-be"))


def excess_of(archive: zipfile.ZipFile) -> str:
    """What an Excel file has too much of, as the end of a sentence; "" if it can be read. Its parts are unpacked, and not stored."""
    for each in archive.infolist():
        with archive.open(each) as part:
            if excess := _excess_of_part(part, _STREAMED.search(each.filename) is not None, "/media/" in each.filename):
                return excess
    return ""


def _excess_of_part(part: IO[bytes], streamed: bool, image: bool) -> str:
    """As `excess_of`, for one part."""
    rows = tags = 0
    for text in _chunks(part):
        if not image and any(each in text for each in _TYPES):  # entities multiply the text; no program writes them
            return "declares types of its own"
        first, *others = _ROW_OR_TEXT.split(text) if streamed else [text]
        tags += first.count(b"<")
        n_tags = max((tags, *(1 + other.count(b"<") for other in others)))
        if others:
            tags = 1 + others[-1].count(b"<")
        if n_tags > _MAX_TAGS:
            return f"holds more than {_MAX_TAGS:,} tags in one row or part"
        rows += len(others)
        if rows > _MAX_ROWS:
            return f"holds more than {_MAX_ROWS:,} rows or texts"
    return ""


def _chunks(part: IO[bytes]) -> Iterator[bytes]:
    """The bytes in chunks that end where a tag may begin, so that no tag is split."""
    rest = b""
    while more := part.read(_CHUNK):
        text = rest + more
        cut = text.rfind(b"<", max(0, len(text) - _LONGEST_NAME))
        cut = len(text) if cut < 0 else cut
        rest = text[cut:]
        yield text[:cut]
    yield rest
