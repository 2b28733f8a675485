"""Text of strangers (names, labels, paths, cells) made safe to print and to write."""

from __future__ import annotations

__all__ = ["csv_safe", "printable"]

_LONGEST = 200  # characters of one name in a message


def printable(value: object, limit: int | None = _LONGEST) -> str:
    """A value as text that any terminal, page or figure can show: control characters are escaped, long text is cut.

    Args:
        value: text, or anything that `str` makes text of.
        limit: characters at most; None keeps all.
    """
    text = str(value)
    if limit is not None and len(text) > limit:
        text = f"{text[: limit - 4]} ..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def csv_safe(cell: str) -> str:
    """A text cell that no spreadsheet takes for a formula; numbers are written as they are and never pass through here."""
    return f"'{cell}" if cell.lstrip()[:1] in {"=", "+", "-", "@"} or cell[:1] in {"\t", "\r"} else cell
