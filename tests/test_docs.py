"""The code blocks of the README and the documentation run as they stand, each page in one go, in an empty folder."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from test_cli import run

from isthmus.cli import main
from isthmus.estimators.named_records import record_types

ROOT = Path(__file__).parent.parent
CHINESE = "README.zh-CN.md"  # the same code as README.md, with comments of its own
PAGES = [
    "README.md",
    CHINESE,
    *(
        f"docs/{page}.md"
        for page in (
            "tutorial",
            "beyond",
            "counts",
            "data-frames",
            "defects",
            "documents",
            "extending",
            "many-files",
            "photos",
            "series",
            "sharing",
            "sound",
            "weights-and-groups",
        )
    ),
]
BLOCK = re.compile(r"<!-- executed -->\n```(\w+)\n(.*?)```", re.DOTALL)


def blocks(page: str, language: str) -> str:
    """All executed blocks of a page in one language, one after the other."""
    return "\n".join(
        text for kind, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")) if kind == language
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_is_executed(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.count("```python") == len([1 for kind, _ in BLOCK.findall(text) if kind == "python"]) > 0


@pytest.mark.thorough
@pytest.mark.parametrize("page", [page for page in PAGES if page != CHINESE])
def test_the_python_of_a_page_runs(page: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks(page, "python")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.thorough
def test_the_shell_of_the_readme_runs(public_data: Path, tmp_path: Path) -> None:
    for line in blocks("README.md", "sh").splitlines():
        verb, *words = shlex.split(line, comments=True)
        done = run(*words, cwd=tmp_path)
        assert verb == "isthmus"
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout.strip(), f"{line} said nothing"


@pytest.mark.parametrize("page", ["README.md", CHINESE])
def test_the_table_of_components_names_all(page: str) -> None:
    rows = [line for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert not sorted(name for name in record_types() if not any(f"`{name}`" in row for row in rows))


def test_the_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="isthmus")
    assert command.load() is main


def test_the_chinese_readme_shows_the_same_code() -> None:
    python, shell = ([blocks(page, language) for page in ("README.md", CHINESE)] for language in ("python", "sh"))
    assert ast.dump(ast.parse(python[0])) == ast.dump(ast.parse(python[1]))
    words = [[shlex.split(line, comments=True) for line in text.splitlines()] for text in shell]
    assert words[0] == words[1]


def test_the_map_names_every_module() -> None:
    """The one in the package's docstring is held against the modules by the tests of the house."""
    import isthmus

    named = re.findall(r"^    ([a-z]\w*/?)  +\S", isthmus.__doc__ or "", re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^  (\w+(?:/|\.py))  +\S", readme, re.MULTILINE)
    assert [name.removesuffix(".py") for name in shown] == named
