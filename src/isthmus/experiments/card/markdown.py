"""Parts of a page in Markdown. Text is escaped, so that names and labels do not act as marks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from isthmus.text import markdown_safe, printable

__all__ = ["bullets", "fenced", "section", "table"]


def section(heading: str, *parts: str) -> str:
    """A heading and what follows it; empty parts are left out. The parts are Markdown."""
    return "\n\n".join([f"## {heading}", *(part for part in parts if part)])


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of text; empty without rows."""
    if not rows:
        return ""
    lines = [[markdown_safe(cell) for cell in row] for row in [header, *rows]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [lines[0], ["---"] * len(header), *lines[1:]])


def bullets(sentences: Sequence[str]) -> str:
    """A list of sentences, which are text; empty without any."""
    return "\n".join(f"- {markdown_safe(sentence)}" for sentence in sentences)


def fenced(code: str, language: str) -> str:
    """A block of code. Its fence is longer than any in the code."""
    lines = [printable(line, None) for line in code.split("\n")]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])
