"""Words and names that the sources and the documentation no longer use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for path in sorted(ROOT.glob("src/**/*.py"))
    if path.name not in {"format_upgrades.py", "older_figures.py", "reproduction.py"}
]
PAGES = [*sorted(ROOT.glob("README*")), *sorted(ROOT.glob("docs/*.md"))]  # which may name what changed, in these:
HISTORY = {"log.md", "trust.md", "model-file.md"}
WORDS = [
    "spoil",
    "doing nothing",
    "told right",
    r"go(es)? on\b",
    "as if nothing had been",
    "whose fault",
    r"lives in\b",
    "by heart",
    "learned numbers?",
    r"\bper number\b",
    r"\bbears?\b",
]
NAMES = [
    r"\bRestored\b",
    r"\.enough\b",
    r"\bNoise\(",
    r"\bMask\(",
    r"\bOcclude\b",
    r"\bUnscaled\b",
    r"\bfitting\(",
    r"\bresuming\(",
    r"\.untrained\(",
    r"\.around\(",
    r"\bmeasure=",
    r"\b(n_numbers|nats_per_number|bits_per_number)\b",
    r"\b(mse_spoilt|mse_restored|bce_floor|pays_off)\b",
    r"\bmost=",
    r"\bBearing\b|\bbearing=",
    r"\.broken\(\)",
]
OLD = re.compile("|".join([*(f"(?i:{word})" for word in WORDS), *NAMES]))
PICTURE = re.compile(r"(?i)\bpictures?\b")  # an image, or a figure


def _found(paths: list[Path], old: re.Pattern[str]) -> list[str]:
    """File, line and word of each use."""
    return [
        f"{path.relative_to(path.parents[1])}:{number}: {match[0]}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for match in old.finditer(line)
    ]


def test_sources_have_no_old_words() -> None:
    assert not (uses := _found(SOURCES, OLD)), "\n".join(uses)


def test_pages_have_no_old_words() -> None:
    pages = [path for path in PAGES if path.name not in HISTORY]
    assert len(pages) > 15
    assert not (uses := _found(pages, OLD) + _found(pages, PICTURE)), "\n".join(uses)


@pytest.mark.parametrize(
    "line", ["A spoilt example.", "Training goes on.", "0.3 nats per number", "ae.corruption = Noise(0.3)"]
)
def test_an_old_word_is_found_with_its_line(line: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{line}\n", encoding="utf-8")
    assert [use.partition(": ")[0] for use in _found([page], OLD)] == [f"{tmp_path.name}/page.md:3"]
