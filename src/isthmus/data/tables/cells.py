"""What a cell of text is: a number, a missing value or a word. This is the only place that decides it; the libraries read text alone.

A number is written with a decimal point or a decimal comma, perhaps with separators of thousands. Which of both "1,234" means is
told by the other cells of its column.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = [
    "AMBIGUOUS",
    "COMMA",
    "EXCEL",
    "GROUPED",
    "MARKS",
    "MINUS",
    "PLAIN",
    "POINT_GROUPS",
    "is_date",
    "kind_of",
    "value_of",
]

# Marks of a missing value, in lower case.
_WORDS = ["", "na", "n/a", "n.a.", "n.a", "<na>", "\\n", "?", ".", "-", "--", "---", "–", "—"]
_NULLS = ["null", "(null)", "none", "nan", "+nan", "-nan", "nat", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"]
EXCEL = ["#n/a", "#na", "#null!", "#div/0!", "#value!", "#ref!", "#num!", "#name?"]
MARKS = frozenset([*_WORDS, *_NULLS, *EXCEL])
_EXPONENT = "(?:[eE][+-]?[0-9]+)?"
# The patterns are for RE2, which pyarrow has, and for Python alike.
PLAIN = rf"^[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}|(?i:inf|infinity))$"
COMMA = rf"^[+-]?(?:[0-9]+,[0-9]*|,[0-9]+){_EXPONENT}$"  # 1,5
AMBIGUOUS = "^[+-]?[1-9][0-9]{0,2},[0-9]{3}$"  # 1,234: one of both
GROUPED = rf"^[+-]?(?:[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+\.[0-9]*|[1-9][0-9]{{0,2}}(?:,[0-9]{{3}}){{2,}}){_EXPONENT}$"  # 1,234.5
POINT_GROUPS = rf"^[+-]?(?:[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+,[0-9]*|[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}}){{2,}}){_EXPONENT}$"  # 1.234,5
THREE = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"  # 1.234, which with a decimal comma is 1234
SPACED = "^[+-]?[0-9]{1,3}(?:[ '’\u00a0\u202f][0-9]{3})+(?:[.,][0-9]*)?$"  # 1 234,5
SPACES = "[ '’\u00a0\u202f]"
MINUS = "\u2212"  # the typographic one
TRUTHS = {"true": 1.0, "false": 0.0}
_DATE = re.compile(r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([ T].*)?$")
_ANY = [re.compile(each) for each in (PLAIN, COMMA, GROUPED, POINT_GROUPS)]
_SPACED = re.compile(SPACED)


def kind_of(cell: str, marks: frozenset[str] = MARKS) -> Literal["number", "missing", "word"]:
    """What a cell is, by itself."""
    text = cell.strip()
    if text.lower() in marks or text in marks:
        return "missing"
    return "number" if text.lower() in TRUTHS or any(each.match(_normal(text)) for each in _ANY) else "word"


def value_of(cell: str) -> float | None:
    """The number in a cell, with a decimal point or comma; None where it is none."""
    text = _normal(cell.strip())
    if _ANY[0].match(text):
        return float(text)
    if _ANY[2].match(text):
        return float(text.replace(",", ""))
    if _ANY[1].match(text) or _ANY[3].match(text):
        return float(text.replace(".", "").replace(",", "."))
    return None


def _normal(text: str) -> str:
    text = text.replace(MINUS, "-")
    return re.sub(SPACES, "", text) if _SPACED.match(text) else text


def is_date(cell: str) -> bool:
    """Whether a cell looks like a date, with or without a time."""
    return bool(_DATE.match(cell.strip()))
