"""The docstrings of what is public: their examples run, and they name the parameters and the errors."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pytest

import isthmus
from isthmus.errors import DataError
from isthmus.estimators.named_records import component_modules

MODULES = [getattr(isthmus, name) for name in isthmus.__all__ if isinstance(getattr(isthmus, name), ModuleType)]
HOMES = [
    isthmus,
    *MODULES,
    *(importlib.import_module(f"isthmus.{name}") for name in ("architectures.base", "bottlenecks.base")),
]


def _public() -> dict[str, Any]:
    """Functions and classes that a user can import, and the public methods of these classes, by their full name."""
    tops = [getattr(module, name) for module in HOMES for name in module.__all__]
    tops = [each for each in tops if inspect.isfunction(each) or inspect.isclass(each)]
    found = {f"{each.__module__}.{each.__qualname__}": each for each in tops}
    for top in filter(inspect.isclass, tops):
        for owner in [each for each in top.__mro__ if each.__module__.startswith("isthmus.")]:
            for name, held in vars(owner).items():
                function = inspect.unwrap(getattr(held, "__func__", held))
                if inspect.isfunction(function) and not name.startswith("_"):
                    found[f"{owner.__module__}.{owner.__qualname__}.{name}"] = function
    return {name: each for name, each in sorted(found.items()) if name.startswith("isthmus.")}


PUBLIC = _public()
NO_PAPER = {  # components that are no idea of a paper
    *("Clean", "CorruptionChain", "NoAugmentation", "AugmentationChain", "NoPenalty", "Sum", "Constant", "Weighted"),
    *("MLP", "Modules", "Identity", "Bernoulli", "SGD"),
}
FINDER = doctest.DocTestFinder(recurse=False)
EXAMPLES = {name: test for name, each in PUBLIC.items() for test in FINDER.find(each, name) if test.examples}


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """The names that examples use: those of the package, and the small autoencoder of the first example."""
    found: dict[str, Any] = {"isthmus": isthmus, "np": np, "pyarrow": pa}
    for room in (
        "architectures",
        "augmentations",
        "bottlenecks",
        "corruptions",
        "likelihoods",
        "optimizers",
        "scaling",
        "compression",
    ):
        module = getattr(isthmus, room)
        found |= {name: getattr(module, name) for name in module.__all__}
    found |= {name: getattr(isthmus, name) for name in isthmus.__all__ if not name.startswith("_")}
    digits = isthmus.data.digits()
    X = digits.train[:200]
    ae = isthmus.Autoencoder(4, architecture=isthmus.architectures.MLP((32,)), epochs=2, random_state=0).fit(X)
    normal = digits.train[200:400]
    detector = isthmus.OutlierDetector.from_fitted(ae, normal, false_alarm_rate=0.1, random_state=0)
    return found | {"X": X, "y": digits.train_labels[:200], "ae": ae, "detector": detector}


@pytest.fixture
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples write into an empty folder, and their figures are closed."""
    monkeypatch.chdir(tmp_path)
    yield
    plt.close("all")


@pytest.mark.usefixtures("_in_folder")
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_docstrings_run(name: str, names: dict[str, Any]) -> None:
    test, said = EXAMPLES[name], []
    test.globs = dict(names)
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


def test_every_family_names_its_paper() -> None:
    """Its docstring has the year; titles may stand in the docstring of the module."""
    models = [module for module in component_modules() if module is not isthmus.scaling]
    without = {
        name
        for module in models
        for name in module.__all__
        if not re.search(r"\b(19|20)\d\d\b", inspect.getdoc(getattr(module, name)) or "")
    }
    assert without == NO_PAPER


def test_thirty_public_names_have_an_example() -> None:
    assert len(EXAMPLES) >= 30


FUNCTIONS = {name: each for name, each in PUBLIC.items() if inspect.isfunction(each)}


def _doc(name: str) -> str:
    """The docstring of something public. A method without one inherits that of the contract it fulfills."""
    home = name
    while home not in sys.modules:
        home = home.rpartition(".")[0]
    return inspect.getdoc(attrgetter(name.removeprefix(f"{home}."))(sys.modules[home])) or ""


def _undocumented(function: Any, doc: str) -> list[str]:
    """The parameters that a docstring does not name; the n of a shape (n, *shape) is none."""
    doc = re.sub(r"\([^()\n]*,[^()\n]*\)", "", doc)
    names = [name for name in inspect.signature(function).parameters if name not in {"self", "cls"}]
    return [name for name in names if not re.search(rf"\b{name}\b", doc)]


def _raised(function: Any) -> set[str]:
    """The errors of isthmus that a function raises in its own body."""
    body = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(body) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return {ast.unparse(call.func) for call in calls} & set(isthmus.errors.__all__)


def test_docstrings_of_functions_name_every_parameter() -> None:
    assert len(FUNCTIONS) > 150
    assert not [name for name, each in FUNCTIONS.items() if not _doc(name)]
    assert not {name: missing for name, each in FUNCTIONS.items() if (missing := _undocumented(each, _doc(name)))}


def test_docstrings_of_functions_name_the_errors_that_they_raise() -> None:
    bare, n = dict[str, set[str]](), 0
    for name, each in FUNCTIONS.items():
        if errors := _raised(each):
            n += 1
            _, heading, raises = _doc(name).partition("Raises")
            if unnamed := {error for error in errors if not heading or error not in raises}:
                bare[name] = unnamed
    assert n > 10
    assert not bare


def test_a_parameter_and_an_error_without_a_word_are_found() -> None:
    def function(size: int, scale: float) -> None:
        raise DataError(f"{size} and {scale}")

    assert _undocumented(function, "Takes a size.") == ["scale"]
    assert _raised(function) == {"DataError"}
