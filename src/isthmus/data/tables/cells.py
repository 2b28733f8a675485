"""What a cell of text holds: a number, a missing value, a date or a word. Only this module decides it: libraries return cells as text.

A number has a decimal point or a decimal comma, and may have thousands separators. "1,234" is ambiguous: the other cells of its
column decide.
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
    "value_with",
]

# Marks of a missing value, in lower case.
_MISSING_WORDS = ["", "na", "n/a", "n.a.", "n.a", "<na>", "\\n", "?", ".", "-", "--", "---", "–", "—"]
_NULL_WORDS = ["null", "(null)", "none", "nan", "+nan", "-nan", "nat", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"]
EXCEL = ["#n/a", "#na", "#null!", "#div/0!", "#value!", "#ref!", "#num!", "#name?"]
MARKS = frozenset([*_MISSING_WORDS, *_NULL_WORDS, *EXCEL])
_EXPONENT = "(?:[eE][+-]?[0-9]+)?"
# The patterns are valid for RE2, which pyarrow uses, and for Python.
PLAIN = rf"^[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}|(?i:inf|infinity))$"
COMMA = rf"^[+-]?(?:[0-9]+,[0-9]*|,[0-9]+){_EXPONENT}$"  # 1,5
AMBIGUOUS = "^[+-]?[1-9][0-9]{0,2},[0-9]{3}$"  # 1,234: a decimal comma or a thousands separator
GROUPED = rf"^[+-]?(?:[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+\.[0-9]*|[1-9][0-9]{{0,2}}(?:,[0-9]{{3}}){{2,}}){_EXPONENT}$"  # 1,234.5
POINT_GROUPS = rf"^[+-]?(?:[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+,[0-9]*|[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}}){{2,}}){_EXPONENT}$"  # 1.234,5
THREE = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"  # 1.234, which is 1234 if the decimal mark is a comma
SPACED = "^[+-]?[0-9]{1,3}(?:[ '’\u00a0\u202f][0-9]{3})+(?:[.,][0-9]*)?$"  # 1 234,5
SPACES = "[ '’\u00a0\u202f]"
MINUS = "\u2212"  # the typographic minus
TRUTHS = {"true": 1.0, "false": 0.0}
_DATE = re.compile(r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([ T].*)?$")
_NUMBER_PATTERNS = [re.compile(each) for each in (PLAIN, COMMA, GROUPED, POINT_GROUPS)]
_SPACED = re.compile(SPACED)


def kind_of(cell: str, marks: frozenset[str] = MARKS) -> Literal["number", "missing", "word"]:
    """What a cell holds, without regard to the other cells of its column."""
    text = cell.strip()
    if text.lower() in marks or text in marks:
        return "missing"
    return (
        "number"
        if text.lower() in TRUTHS or any(each.match(_normalized(text)) for each in _NUMBER_PATTERNS)
        else "word"
    )


def value_of(cell: str) -> float | None:
    """The number in a cell, with a decimal point or comma; None if it is not a number."""
    text = _normalized(cell.strip())
    if _NUMBER_PATTERNS[0].match(text):
        return float(text)
    if _NUMBER_PATTERNS[2].match(text):
        return float(text.replace(",", ""))
    if _NUMBER_PATTERNS[1].match(text) or _NUMBER_PATTERNS[3].match(text):
        return float(text.replace(".", "").replace(",", "."))
    return None


def value_with(cell: str, comma: bool) -> float:
    """The number in a cell, which must hold one, with a decimal comma or point."""
    text = re.sub(SPACES, "", cell.replace(MINUS, "-"))
    return float(text.replace(".", "").replace(",", ".") if comma else text.replace(",", ""))


def _normalized(text: str) -> str:
    text = text.replace(MINUS, "-")
    return re.sub(SPACES, "", text) if _SPACED.match(text) else text


def is_date(cell: str) -> bool:
    """Whether a cell looks like a date, with or without a time."""
    return bool(_DATE.match(cell.strip()))
