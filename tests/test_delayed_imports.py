"""Imports that take no time until they are used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.io.delayed_imports import delay_imports, finish_imports, imported

FIRST_STEP = """
import sys
sys.argv = ["isthmus", "train", "--out", sys.argv[1], "epochs=1"]
from isthmus.cli import main
from isthmus.io.delayed_imports import imported
from isthmus.training.step import Step
def first_step(*given):
    print(*[name for name in ("scipy.stats", "pandas", "matplotlib", "sklearn.mixture") if imported(name)])
    raise SystemExit
Step.__call__ = first_step
main()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that prints a line when it is loaded."""
    (tmp_path / "printing_module.py").write_text("print('loaded')\nvalue = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "printing_module", raising=False)
    finish_imports()  # of a command that failed before its training
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    return "printing_module"


def test_a_module_is_loaded_when_it_is_used(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    delay_imports(module)
    import printing_module  # type: ignore[import-not-found]

    assert imported(module) is None
    assert capsys.readouterr().out == ""
    assert printing_module.value == 3
    assert capsys.readouterr().out == "loaded\n"
    assert imported(module) is printing_module


def test_what_was_not_used_is_loaded_at_the_end(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = [*sys.meta_path]
    delay_imports(module, "a_module_that_is_not_here")
    import printing_module

    finish_imports()
    assert capsys.readouterr().out == "loaded\n"
    assert imported(module) is printing_module
    assert sys.meta_path == before


def test_a_module_that_is_not_here_is_not_found(module: str) -> None:
    delay_imports("a_module_that_is_not_here")
    with pytest.raises(ModuleNotFoundError):
        __import__("a_module_that_is_not_here")


@pytest.mark.thorough
def test_the_first_step_of_a_training_waits_for_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FIRST_STEP, str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "", done
