"""The OpenAPI document of the server is true: schemathesis asks what it promises, in right and in wrong ways."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import ask, exported, served

# An inference request that the schema allows can be refused: no schema says that the shape and the data must agree.
# One that it does not allow can be too large: the document says 413 for more rows than the schema's maximum.
CONFIG = """
[[operations]]
include-path-regex = "/infer$"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400"]
[operations.checks.negative_data_rejection]
expected-statuses = ["400", "401", "404", "413", "415"]
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(exported()) as port:
        yield port


def judge(port: int, folder: Path, *options: str) -> str:
    """What schemathesis says."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    command = [sys.executable, "-c", program, "--config-file", "schemathesis.toml", "run"]
    command += [f"http://127.0.0.1:{port}/openapi.json", "--no-color", "--seed", "1", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.promise(29)
def test_schemathesis_finds_no_fault_in_short(port: int, tmp_path: Path) -> None:
    options = [
        "--phases",
        "fuzzing",
        "--max-examples",
        "8",
        "--exclude-path-regex",
        "versions/|detect|score|impute",
    ]
    assert "No issues found" in judge(port, tmp_path, *options)


@pytest.mark.promise(29)
@pytest.mark.thorough
def test_schemathesis_finds_no_fault(port: int, tmp_path: Path) -> None:
    options = [
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        "25",
        "--exclude-path-regex",
        "versions/.*/infer|impute|score",
    ]
    found = judge(port, tmp_path, *options)
    assert "No issues found" in found


def test_examples_are_answered(port: int) -> None:
    """What a reader copies from the document works."""
    paths = ask(port, "/openapi.json").json["paths"]
    asked = 0
    for path, item in paths.items():
        if path.endswith("/infer"):
            assert ask(port, path, item["post"]["requestBody"]["content"]["application/json"]["example"]).status == 200
            asked += 1
    assert asked == 12
