"""Sections of pages that benchmarks write, each between marks that name the benchmark."""

from __future__ import annotations

from pathlib import Path

__all__ = ["replace_section"]


def replace_section(page: Path, benchmark: str, text: str) -> None:
    """Writes a section between its marks, or at the end of a page that has none.

    Args:
        page: a Markdown file.
        benchmark: the name of the script.
        text: the section, without its heading.
    """
    begin, end = f"<!-- written by benchmarks/{benchmark} -->", f"<!-- end of benchmarks/{benchmark} -->"
    before = page.read_text(encoding="utf-8") if page.exists() else "# Measured\n"
    if begin not in before:
        before = f"{before.rstrip()}\n\n## {benchmark}\n\n{begin}\n{end}\n"
    head, _, rest = before.partition(begin)
    page.write_text(f"{head}{begin}\n{text.rstrip()}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
