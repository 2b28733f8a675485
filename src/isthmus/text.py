"""Text of strangers (names, labels, paths, cells) made safe to print and to write."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
from typing import Any

__all__ = ["as_json", "command", "csv_safe", "html_safe", "is_number", "printable", "quoted", "sentence"]

_FORMULA = set("=+-@＝＋－＠")  # the wide ones are formulas too, in some spreadsheets
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|nan)", re.ASCII)
_LONGEST = 200  # characters of one name in a message
_SENTENCE = 4000  # characters of one message
_ACTS = re.compile(  # what a terminal or a reader of text obeys: control characters, marks of direction, halves of a character
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(value: object, limit: int | None = _LONGEST) -> str:
    """A value as text that any terminal, page or figure can show: control characters are escaped, long text is cut.

    Args:
        value: text, or anything that `str` makes text of.
        limit: characters at most; None keeps all.
    """
    text = str(value)
    if limit is not None and len(text) > limit:
        text = f"{text[: limit - 4]} ..."
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def quoted(value: object, limit: int = 80) -> str:
    """A value as Python writes it, in a message; Python itself refuses to write whole numbers of more than 4,300 digits."""
    try:
        return printable(repr(value), limit)
    except ValueError:
        return "a whole number of thousands of digits"


def sentence(value: object) -> str:
    """A message as one printable line; of a very long one the middle is left out, since the end says what to do."""
    text = str(value)
    if len(text) > _SENTENCE:
        text = f"{text[: _SENTENCE // 2]} ... {text[-_SENTENCE // 2 :]}"
    return printable(text, None)


def csv_safe(cell: str) -> str:
    """A text cell that no spreadsheet takes for a formula and no terminal for a command.

    Text that is a number, such as -1, is none and stays as it is.
    """
    if is_number(cell):
        return cell
    text = _ACTS.sub(lambda found: _escaped(found.group()), cell)
    return f"'{text}" if text.lstrip()[:1] in _FORMULA or cell[:1] in {"\t", "\r", "\n"} else text


def is_number(text: str) -> bool:
    """Whether a text is a number and nothing else: -1, 02134, 1e2, -inf."""
    return _NUMBER.fullmatch(text) is not None


def html_safe(value: object) -> str:
    """Text as HTML that shows it, in an element or an attribute; lines stay lines."""
    return html.escape("\n".join(printable(line, None) for line in str(value).split("\n")))


def as_json(value: Any) -> str:
    """Plain values as JSON of printable ASCII, indented."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


def command(*words: str | os.PathLike[str]) -> str:
    """A command that a shell takes as these words, whatever a path is called; a path is never taken for an option."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str | os.PathLike[str]) -> str:
    text = os.fspath(word)
    if not isinstance(word, str) and text.startswith("-"):
        text = os.path.join(".", text)
    if text.isprintable():
        return shlex.quote(text)
    octal = (f"\\{byte:03o}" if byte < 32 or byte > 126 or byte in b"'\\" else chr(byte) for byte in _bytes(text))
    return f"$'{''.join(octal)}'"


def _bytes(text: str) -> bytes:
    """The bytes of a name as the file system has them."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:  # half a character that no file name brings
        return text.encode("utf-8", "surrogatepass")


def _escaped(text: str) -> str:
    return text.encode("unicode_escape", "surrogatepass").decode()
