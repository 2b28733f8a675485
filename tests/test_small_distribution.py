"""The small distribution isthmus-runtime: its wheel has the package without its data, and runs where PyTorch is not."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hatchling.builders.wheel import WheelBuilder

import isthmus
import isthmus.runtime

ROOT = Path(__file__).parents[1]
SMALL = ROOT / "packaging" / "runtime"
ALONE = """
import sys
sys.path[:0] = [sys.argv[1]]
LARGE = {"torch", "sklearn", "scipy", "pandas", "pyarrow", "pydantic", "matplotlib", "onnx", "PIL"}
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name in LARGE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Lacking())
import isthmus
assert isthmus.__file__.startswith(sys.argv[1])
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(SMALL)).build(directory=str(folder), versions=["standard"])
    assert Path(wheel).name == f"isthmus_runtime-{isthmus.__version__}-py3-none-any.whl"
    assert Path(wheel).stat().st_size < 3e6
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "unpacked")
    return folder / "unpacked"


def alone(unpacked: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", ALONE + script, unpacked, *arguments], capture_output=True, text=True)


def test_the_wheel_has_every_module_and_no_data(unpacked: Path) -> None:
    package = ROOT / "src" / "isthmus"
    there = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    assert {str(path.relative_to(unpacked / "isthmus")) for path in (unpacked / "isthmus").rglob("*.py")} == there
    assert not list(unpacked.rglob("*.gz"))
    assert list(unpacked.rglob("LICENSE"))


@pytest.mark.promise(31)
def test_an_export_runs_without_pytorch(unpacked: Path) -> None:
    script = """
import isthmus.runtime, numpy
made = isthmus.runtime.load(sys.argv[2]).decode(numpy.eye(2))
print({name: values.tolist() for name, values in made.items()})
"""
    exported = ROOT / "tests" / "files" / "exported-1"
    done = alone(unpacked, script, str(exported))
    assert done.returncode == 0, done.stderr
    made = isthmus.runtime.load(exported).decode(np.eye(2))
    assert done.stdout == f"{ {name: values.tolist() for name, values in made.items()} }\n"


def test_a_verb_that_needs_pytorch_says_so(unpacked: Path) -> None:
    script = 'sys.argv[1:] = ["encode", "run"]\nfrom isthmus.__main__ import main\nmain()'
    done = alone(unpacked, script)
    assert done.returncode == 1
    assert re.fullmatch(r"isthmus: this requires \w+, which is not installed: pip install isthmus\n", done.stderr)


def test_both_distributions_require_the_same_versions() -> None:
    small, whole = (
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"] for folder in (SMALL, ROOT)
    )
    extras = whole["optional-dependencies"]
    known = {*whole["dependencies"], *(each for extra in ("runtime", "serve") for each in extras.get(extra, []))}
    assert {*small["dependencies"], *small["optional-dependencies"]["serve"]} <= known
    assert small["requires-python"] == whole["requires-python"]
