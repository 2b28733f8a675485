"""Writes docs/reproduction.md and the READMEs' tables of tutorials from what `isthmus reproduce --all` left behind.

python docs/tables.py runs/reproduction
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from isthmus.experiments.reproduction import kept, markdown, number
from isthmus.experiments.tutorials import TUTORIALS

ROOT = Path(__file__).parent.parent
HEADERS = {
    "README.md": ["id", "what it is", "published", "ours"],
    "README.zh-CN.md": ["编号", "内容", "公布的", "我们的"],
}


def main(folder: Path) -> None:
    """Writes the three pages from the results of all tutorials; where one has none, nothing is written."""
    results = {tutorial.id: kept(tutorial, folder) for tutorial in TUTORIALS}
    missing = [name for name, found in results.items() if not found]
    if missing:
        sys.exit(
            f"{folder} holds no results of {', '.join(missing)}: no page is written; "
            f"isthmus reproduce ID --out {folder} makes them"
        )
    rows = [row for found in results.values() for row in found or []]
    notes = [f"- **{t.id}**: {t.note}." for t in TUTORIALS if t.note]
    page = between(read("docs/reproduction.md"), "table", markdown(rows))
    pages = {"docs/reproduction.md": between(page, "notes", "\n".join(notes) + "\n")}
    pages |= {name: between(read(name), "tutorials", short(rows, header)) for name, header in HEADERS.items()}
    for name, text in pages.items():  # all of them are made before the first is written
        (ROOT / name).write_text(text, encoding="utf-8")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def short(rows: list[dict[str, Any]], header: list[str]) -> str:
    """A line per system with one figure: the one that was published, or the first."""
    lines = [header, ["---"] * len(header)]
    for row in rows:
        named = [name for name, value in row["published"].items() if value is not None]
        figure = min([*named, *row["ours"]], key=lambda name: not name.startswith(("test", "restored")))
        published = "-" if row["published"][figure] is None else number(row["published"][figure])
        title = f"{row['title']} ({row['system']})" if row["system"] else row["title"]
        lines.append([f"`{row['id']}`", title, published, f"{number(row['ours'][figure])} ({figure})"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def between(page: str, mark: str, text: str) -> str:
    """The page with what stands between two marks replaced."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    assert pattern.search(page), f"no <!-- {mark} --> in the page"
    return pattern.sub(lambda found: found.group(1) + text + found.group(2), page)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
