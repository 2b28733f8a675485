"""Names as strangers write them into columns, classes, files and folders; and what of a text may never come out raw."""

from __future__ import annotations

import re

__all__ = ["FILES", "NAMES", "TEXTS", "raw"]

NAMES = {
    "mathtext": "cost ($/kg)",
    "two dollars": "$5 to $10",
    "broken mathtext": r"$\frac{a$ $x_{$",
    "escaped dollar": r"\$ \$x$ 100\%",
    "scripts": r"a_b^c {d} \alpha~&#%",
    "escape sequences": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J",
    "C1 sequences": "\x9b31m\x9d0;title\x9c\x85",
    "carriage return": "fine\rnote: all is well",
    "line breaks": "a\nisthmus: done\x0bb\x0cc\u2028d\u2029e",
    "tab and NUL": "a\tb\x00c\x7fd\x08\x08",
    "turned around": "\u202etxt.exe\u202c \u2066a\u2069 \u200f\u200e\u061c",
    "invisible": "a\u200bb\ufeffc\u00add\ue000\U000e0041",
    "half a character": "half \ud83d and \udcff",
    "rich markup": "[bold red]x[/bold red] [link=http://x]y[/] [/]",
    "emoji codes": ":smile: :warning: :x:",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>'\"&amp;",
    "SVG": "]]></text><svg onload=alert(1)>",
    "formula": '=HYPERLINK("http://x","y")',
    "formula after blanks": " \t@SUM(1+1)*cmd|'/C calc'!A0",
    "plus and minus": "+1+1",
    "shell": "$(touch /tmp/x); `id` && rm -rf ~ | 'a' \"b\" \\",
    "option": "--out",
    "format": "{0} {x!r} %s %(a)s ${y}",
    "Chinese": "猫的重量 (公斤)",
    "Arabic and Hebrew": "السعر שלום",
    "emoji": "👩‍👩‍👧 🎉",
    "combining": "Z" + "\u0301\u0352\u0489" * 20,
    "long": "x" * 10_000,
    "long words": "very long name " * 400,
    "blank": "   ",
}
"""Names, by what is wrong with each."""

TEXTS = list(NAMES.values())
FILES = [
    name.replace("/", "_").replace("\x00", "")[:60]
    for name in TEXTS
    if not re.search("[\ud800-\udbff]", name) and name.strip()
]
"""The same as the names of files and folders can be."""

_RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def raw(text: str) -> list[str]:
    """What a terminal or a reader would obey: control characters but line breaks and tabs, marks of direction, halves of characters."""
    return [
        f"{found.group()!r} in {text[max(0, found.start() - 30) : found.end() + 10]!r}" for found in _RAW.finditer(text)
    ]
