"""What is said about the project in several files is the same in all: versions, tools, systems."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import isthmus

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_citation_has_the_version() -> None:
    assert re.findall(r"^version: (\S+)$", text("CITATION.cff"), re.MULTILINE) == [isthmus.__version__]
    assert re.findall(r"^license: (\S+)$", text("CITATION.cff"), re.MULTILINE) == [PROJECT["license"]]


def test_the_changelog_begins_with_what_is_unreleased_or_the_version() -> None:
    first = re.search(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)
    assert first is not None
    assert first[1] in {"Unreleased", isthmus.__version__}


def test_every_python_that_is_named_is_tested() -> None:
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    (matrix,) = re.findall(r"^ +python: \[(.*)\]$", text(".github/workflows/tests.yml"), re.MULTILINE)
    assert re.findall(r"[\d.]+", matrix) == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_workflows_run_the_commands_of_contributing() -> None:
    (said,) = re.findall(r"^pytest && .*$", text("CONTRIBUTING.md"), re.MULTILINE)
    done = re.findall(r"^ +- run: (.*)$", text(".github/workflows/tests.yml"), re.MULTILINE)
    for command in said.split(" && "):
        assert any(re.fullmatch(rf"{re.escape(command)}( --durations=\d+)?", line) for line in done), command


def test_workflows_have_few_permissions_and_pinned_actions() -> None:
    assert WORKFLOWS
    for path in WORKFLOWS:
        workflow = path.read_text(encoding="utf-8")
        assert re.search(r"^permissions:( \{\}|\n  contents: read)$", workflow, re.MULTILINE), path.name
        assert set(re.findall(r"([\w-]+): write", workflow)) <= {"id-token"}, path.name
        assert "secrets" not in workflow, path.name
        for used in re.findall(r"uses: (\S+)", workflow):
            assert used.startswith("./") or re.fullmatch(r"[\w./-]+@(v\d+|release/v\d+|[0-9a-f]{40})", used), used


def test_no_workflow_inserts_external_text_into_a_script() -> None:
    """`${{ }}` within a script is pasted before the shell reads it: a branch's name could be a command."""
    for path in WORKFLOWS:
        for script in re.findall(r"^( +)(?:- )?run: (.*(?:\n\1 .*)*)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert "${{" not in script[1], path.name


def test_the_hooks_run_the_pinned_tools() -> None:
    """ruff and mypy are those of the environment, which `.[test]` pins; a hook has no version of its own."""
    hooks = text(".pre-commit-config.yaml")
    for tool in ("ruff", "mypy"):
        (pin,) = [need for need in PROJECT["optional-dependencies"]["test"] if need.startswith(f"{tool}==")]
        assert re.fullmatch(rf"{tool}==[\d.]+", pin)
        assert re.search(rf"entry: {tool}\b.*\n +language: system", hooks)
        assert f"{tool}==" not in hooks
