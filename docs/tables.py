"""Writes docs/reproduction.md and the tables of tutorials in both READMEs from the results of `isthmus reproduce`.

python docs/tables.py runs/reproduction

The results are added to those in benchmarks/measured/reproduction, from which the rows are written. Rows of systems without any stay.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from isthmus.experiments.reproduction import Run, all_kept, home
from isthmus.experiments.reproduction_table import HEADER, Row, machines, number, outside, table
from isthmus.experiments.tutorials import TUTORIALS, System, Tutorial
from isthmus.text import printable

ROOT = Path(__file__).parent.parent
MEASURED = "benchmarks/measured/reproduction"
HEADERS = {  # header; words for a published figure inside the interval, outside, and for one run
    "README.md": (["id", "what it is", "published", "ours (mean ± SD)", "n", "inside"], ["yes", "no", "-"]),
    "README.zh-CN.md": (["编号", "内容", "公布的", "我们的（均值 ± 标准差）", "n", "在区间内"], ["是", "否", "-"]),
}


def main(folder: Path) -> None:
    """Writes the three pages. Without results, or if a system has neither results nor a row, no page is written."""
    rows = [Row(tutorial, each, merged(tutorial, each, folder)) for tutorial in TUTORIALS for each in tutorial.systems]
    if not any(all_kept(row.tutorial, row.system, folder) for row in rows):
        sys.exit(f"{folder} holds no results: no page is written; isthmus reproduce ID --out {folder} makes them")
    notes = [f"- **{t.id}**: {t.note}." for t in TUTORIALS if t.note]
    page = read("docs/reproduction.md")
    page = between(page, "table", long(rows, inside(page, "table")))
    pages = {"docs/reproduction.md": between(page, "notes", "\n".join(notes) + "\n")}
    for name, words in HEADERS.items():
        page = read(name)
        pages[name] = between(page, "tutorials", short(rows, *words, inside(page, "tutorials")))
    for name, text in pages.items():  # all texts are complete before the first is written
        (ROOT / name).write_text(text, encoding="utf-8")
    for row in rows:
        for run in row.runs:
            path = home(ROOT / MEASURED, row.tutorial, row.system, run.random_state) / "result.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")


def merged(tutorial: Tutorial, system: System, folder: Path) -> list[Run]:
    """The runs of a system that were measured before, and those in the folder, which replace runs with the same random state."""
    runs = [*all_kept(tutorial, system, ROOT / MEASURED), *all_kept(tutorial, system, folder)]
    by_state = {run.random_state: run for run in runs}
    return [by_state[state] for state in sorted(by_state)]


def long(rows: list[Row], page: str) -> str:
    """The table of all figures, the published figures outside the interval, and the machines."""
    old, measured = cells_of(page), [row for row in rows if row.runs]
    was_outside = {
        line[2:].partition(": ")[0]: line[2:] for line in page.splitlines() if re.match(r"- (?!Machine \d)", line)
    }
    was_on = dict(re.findall(r"^- Machine (\d+): (.*)\.$", page, re.MULTILINE))
    now_on = {f"{place}": printable(name) for place, name in enumerate(machines(measured), 1)}
    new = {row.name: (cells, now_on) for row, cells in zip(measured, table(measured), strict=True)}
    known = new | {row.name: (kept(old, row), was_on) for row in rows if not row.runs}
    places, lines = dict[str, str](), [list(HEADER), ["---"] * len(HEADER)]
    for row in rows:
        cells, on = known[row.name]
        names = [places.setdefault(on[number], f"{len(places) + 1}") for number in cells[-1].split(", ")]
        lines.append([*cells[:-1], ", ".join(sorted(names, key=int))])
    said = {sentence.partition(": ")[0]: f"{sentence}." for sentence in outside(measured)}
    missed = [(was_outside if not row.runs else said).get(row.name, "") for row in rows]
    text = "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines) + "\n"
    if any(missed):
        text += (
            "\nPublished figures outside the interval:\n\n" + "\n".join(f"- {each}" for each in missed if each) + "\n"
        )
    return text + "\n" + "\n".join(f"- Machine {place}: {name}." for name, place in places.items()) + "\n"


def cells_of(page: str) -> dict[tuple[str, str], list[str]]:
    """The cells of each row of a table by its first two."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    return {(cells[0].strip("`"), cells[1]): cells for cells in lines}


def kept(old: dict[tuple[str, str], list[str]], row: Row) -> list[str]:
    """The present row of a system; it exits if there is none."""
    cells = old.get((row.tutorial.id, row.title))
    if cells is None:
        sys.exit(
            f"{row.name} has neither results nor a row: no page is written; isthmus reproduce {row.tutorial.id} makes them"
        )
    return cells


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def short(rows: list[Row], header: list[str], words: list[str], page: str) -> str:
    """A line per system with one metric: a published one, or else the first."""
    lines, old = [header, ["---"] * len(header)], cells_of(page)
    for row in rows:
        if not row.runs:
            lines.append(kept(old, row))
            continue
        figure = min([*row.inside, *row.ours], key=lambda name: not name.startswith(("test", "restored")))
        published = number(row.published[figure]) if figure in row.published else "-"
        inside = words[{True: 0, False: 1, None: 2}[row.inside.get(figure)]]
        lines.append(
            [f"`{row.tutorial.id}`", row.title, published, f"{row.ours[figure]} ({figure})", f"{len(row.runs)}", inside]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def inside(page: str, mark: str) -> str:
    """The text between two marks."""
    found = pattern_of(mark).search(page)
    assert found, f"no <!-- {mark} --> in the page"
    return found.group(2)


def pattern_of(mark: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {mark} -->\n)(.*?)(<!-- /{mark} -->)", re.DOTALL)


def between(page: str, mark: str, text: str) -> str:
    """The page with new text between two marks."""
    pattern = pattern_of(mark)
    return pattern.sub(lambda found: found.group(1) + text + found.group(3), page)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
