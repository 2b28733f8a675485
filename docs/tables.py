"""Writes docs/reproduction.md and the tables of tutorials in both READMEs from the results of `isthmus reproduce --all`.

python docs/tables.py runs/reproduction
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from isthmus.experiments.reproduction import all_kept
from isthmus.experiments.reproduction_table import Row, markdown, number
from isthmus.experiments.tutorials import TUTORIALS

ROOT = Path(__file__).parent.parent
HEADERS = {  # header; words for a published figure inside the interval, outside, and for one run
    "README.md": (["id", "what it is", "published", "ours (mean ± SD)", "n", "inside"], ["yes", "no", "-"]),
    "README.zh-CN.md": (["编号", "内容", "公布的", "我们的（均值 ± 标准差）", "n", "在区间内"], ["是", "否", "-"]),
}


def main(folder: Path) -> None:
    """Writes the three pages from the results of all systems; if a system has none, no page is written."""
    rows = [
        Row(tutorial, each, all_kept(tutorial, each, folder)) for tutorial in TUTORIALS for each in tutorial.systems
    ]
    missing = [row.name for row in rows if not row.runs]
    if missing:
        sys.exit(
            f"{folder} holds no results of {', '.join(missing)}: no page is written; "
            f"isthmus reproduce ID --out {folder} makes them"
        )
    notes = [f"- **{t.id}**: {t.note}." for t in TUTORIALS if t.note]
    page = between(read("docs/reproduction.md"), "table", markdown(rows))
    pages = {"docs/reproduction.md": between(page, "notes", "\n".join(notes) + "\n")}
    pages |= {name: between(read(name), "tutorials", short(rows, *words)) for name, words in HEADERS.items()}
    for name, text in pages.items():  # all texts are complete before the first is written
        (ROOT / name).write_text(text, encoding="utf-8")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def short(rows: list[Row], header: list[str], words: list[str]) -> str:
    """A line per system with one metric: a published one, or else the first."""
    lines = [header, ["---"] * len(header)]
    for row in rows:
        figure = min([*row.inside, *row.ours], key=lambda name: not name.startswith(("test", "restored")))
        published = number(row.published[figure]) if figure in row.published else "-"
        inside = words[{True: 0, False: 1, None: 2}[row.inside.get(figure)]]
        lines.append(
            [f"`{row.tutorial.id}`", row.title, published, f"{row.ours[figure]} ({figure})", f"{len(row.runs)}", inside]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def between(page: str, mark: str, text: str) -> str:
    """The page with new text between two marks."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    assert pattern.search(page), f"no <!-- {mark} --> in the page"
    return pattern.sub(lambda found: found.group(1) + text + found.group(2), page)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
