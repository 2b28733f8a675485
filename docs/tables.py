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
    """Reads the results of all tutorials and writes the three pages."""
    results = {tutorial.id: kept(tutorial, folder) for tutorial in TUTORIALS}
    rows = [row for found in results.values() for row in found or []]
    missing = [name for name, found in results.items() if found is None]
    notes = [f"- **{t.id}**: {t.note}." for t in TUTORIALS if t.note]
    page = (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
    page = between(page, "table", markdown(rows) + (f"\nStill to run: {', '.join(missing)}.\n" if missing else ""))
    (ROOT / "docs" / "reproduction.md").write_text(between(page, "notes", "\n".join(notes) + "\n"), encoding="utf-8")
    for name, header in HEADERS.items():
        readme = (ROOT / name).read_text(encoding="utf-8")
        (ROOT / name).write_text(between(readme, "tutorials", short(rows, header)), encoding="utf-8")


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
