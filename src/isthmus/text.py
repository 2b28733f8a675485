"""Untrusted text (names, labels, paths, cells) made safe to print and to write."""

from __future__ import annotations

import codecs
import html
import json
import os
import re
import shlex
from typing import Any

__all__ = [
    "as_json",
    "command",
    "csv_safe",
    "html_safe",
    "is_number",
    "markdown_safe",
    "printable",
    "quoted",
    "sentence",
]

_FORMULA = set("=+-@＝＋－＠")  # some spreadsheets also take the full-width characters as formulas
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|nan)", re.ASCII)
_MAX_NAME = 200  # characters of a name in a message
_MAX_MESSAGE = 4000  # characters of a message
_escape = codecs.getencoder("unicode_escape")  # read now, since a process without free files must also print its errors
_MARKDOWN = re.compile(
    r"[\\`*_{}\[\]<>#|~&$@]|(?<=www)\.|:(?=//)", re.IGNORECASE
)  # marks, and what makes a link of an address
_UNSAFE = re.compile(  # characters that change the display: control characters, text direction marks, surrogates
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(value: object, limit: int | None = _MAX_NAME) -> str:
    """A value as printable text: control characters are escaped, long text is shortened.

    Args:
        value: text, or any other object, which is converted by `str`.
        limit: the maximum number of characters; None for no limit.
    """
    text = str(value)
    if limit is not None and len(text) > limit:
        text = f"{text[: limit - 4]} ..."
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def quoted(value: object, limit: int = 80) -> str:
    """The repr of a value as printable text, for a message. Python has no repr of integers with more than 4,300 digits."""
    if isinstance(value, (list, tuple)):
        value = value[:limit]  # each takes a character at least: of a hundred thousand the others would not be shown
    try:
        return printable(repr(value), limit)
    except ValueError:
        return "an integer with thousands of digits"


def sentence(value: object) -> str:
    """A message as one printable line. A very long one is shortened in the middle, since its end says what to do."""
    text = str(value)
    if len(text) > _MAX_MESSAGE:
        text = f"{text[: _MAX_MESSAGE // 2]} ... {text[-_MAX_MESSAGE // 2 :]}"
    return printable(text, None)


def csv_safe(cell: str) -> str:
    """A text cell for CSV in which formulas and control characters are escaped. A number such as -1 is not changed."""
    if is_number(cell):
        return cell
    text = _UNSAFE.sub(lambda match: _escaped(match.group()), cell)
    return f"'{text}" if text.lstrip()[:1] in _FORMULA or cell[:1] in {"\t", "\r", "\n"} else text


def is_number(text: str) -> bool:
    """Whether the whole text is a number, such as -1, 02134, 1e2 or -inf."""
    return _NUMBER.fullmatch(text) is not None


def html_safe(value: object) -> str:
    """Text escaped for an HTML element or attribute. Line breaks are kept."""
    return html.escape("\n".join(printable(line, None) for line in str(value).split("\n")))


def markdown_safe(value: object) -> str:
    """Text on one line, escaped for Markdown: also in the cell of a table, and so that no address becomes a link."""
    return _MARKDOWN.sub(r"\\\g<0>", printable(value, None))


def as_json(value: Any) -> str:
    """Plain values as indented JSON in printable ASCII."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


def command(*words: str | os.PathLike[str]) -> str:
    """A shell command of these words, quoted as needed. A path that starts with "-" gets "./" before it, so it is not an option."""
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
    """The bytes of a file name."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:  # a surrogate that does not come from a file name
        return text.encode("utf-8", "surrogatepass")


def _escaped(text: str) -> str:
    return _escape(text, "surrogatepass")[0].decode()
