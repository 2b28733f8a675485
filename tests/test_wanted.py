"""What is no autoencoder, where one is wanted, gets a sentence that says what it is and what to give; in every public function."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import isthmus
import isthmus.experiments
from isthmus import Autoencoder, OutlierDetector, compare
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.errors import RecordError
from isthmus.experiments.tensorboard import EventWriter, installed

INTERNAL = {  # machinery, which is handed what was checked
    *(
        "experiments.classification",
        "experiments.image_units",
        "experiments.new_values",
        "experiments.run_data",
        "experiments.run_figures",
        "experiments.run_folder",
        "experiments.run_labels",
        "experiments.run_report",
        "experiments.resumable",
        "experiments.trial",
        "experiments.validation_set",
        "experiments.whole_images",
    ),
    *("evaluation.check_examples", "evaluation.data_range_of", "experiments.comparison_metrics.settings_key"),
}
X = np.random.default_rng(0).normal(size=(30, 3))


def wanting() -> dict[str, Callable[..., Any]]:
    """Every public function that has an argument `ae`, by its name: what `isthmus` names, and the modules of experiments."""
    found = {}
    homes = {name: getattr(isthmus, name) for name in isthmus.__all__}
    inner = [f"experiments.{module.name}" for module in pkgutil.iter_modules(isthmus.experiments.__path__)]
    homes |= {name: import_module(f"isthmus.{name}") for name in [*inner, "plots.interactive"] if name not in INTERNAL}
    for module, home in homes.items():
        for name in [module] if inspect.isfunction(home) else getattr(home, "__all__", ()):
            function = home if inspect.isfunction(home) else getattr(home, name)
            if inspect.isfunction(function) and "ae" in inspect.signature(function).parameters:
                found[name if function is home else f"{module}.{name}"] = function
    return {name: function for name, function in found.items() if name not in INTERNAL}


FUNCTIONS = wanting()


def unfitted() -> Autoencoder:
    return Autoencoder(Identity(1), architecture=MLP(()), epochs=1, random_state=0)


@pytest.fixture(scope="module")
def detector() -> OutlierDetector:
    return OutlierDetector(unfitted(), false_alarm_rate=0.3, random_state=0).fit(X)


def called(function: Callable[..., Any], given: Any, by_name: bool) -> Any:
    """A function with something in the place of the autoencoder, and examples for all else that it must have."""
    needed = {
        name: given if name == "ae" else X
        for name, each in inspect.signature(function).parameters.items()
        if each.default is inspect.Parameter.empty
    }
    return function(**needed) if by_name else function(*needed.values())


def test_every_function_is_found() -> None:
    assert {"evaluate", "latent_traversal.traverse", "plots.tsne", "plots.interactive.hover_map", "sweep"} <= set(
        FUNCTIONS
    )
    assert len(FUNCTIONS) > 30


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_detector_is_no_autoencoder(name: str, detector: OutlierDetector) -> None:
    for by_name in (True, False):
        with pytest.raises(
            RecordError, match=r"takes an Autoencoder, and ae is an OutlierDetector: pass its autoencoder_$"
        ):
            called(FUNCTIONS[name], detector, by_name)


GIVEN: dict[str, tuple[Any, str]] = {
    "class": (Autoencoder, "the class Autoencoder: pass a fitted object, Autoencoder().fit(X)"),
    "text": ("run/model.safetensors", "load the autoencoder first, isthmus.load('run/model.safetensors')"),
    "path": (Path("run"), "load the autoencoder first, isthmus.load('run')"),
    "frozen": (FrozenEstimator(unfitted()), "a FrozenEstimator: pass its estimator"),
    "search": (GridSearchCV(unfitted(), {"epochs": [1]}).fit(X), "a GridSearchCV: pass its best_estimator_"),
    "pipeline": (make_pipeline(StandardScaler(), unfitted()), "a Pipeline: pass the step that is an autoencoder"),
    "nothing": (None, "a NoneType: pass a fitted Autoencoder"),
    "array": (X, "a ndarray: pass a fitted Autoencoder"),
    "model": (unfitted().fit(X).model_, "a Model: pass a fitted Autoencoder"),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_other_arguments_are_named_with_advice(kind: str) -> None:
    given, sentence = GIVEN[kind]
    with pytest.raises(RecordError, match=re.escape(sentence)):
        isthmus.evaluate(given, X)


def test_methods_and_lists_of_models_have_the_same_error(detector: OutlierDetector, tmp_path: Path) -> None:
    with pytest.raises(
        RecordError, match=r"OutlierDetector\.from_fitted takes an Autoencoder, and ae is an OutlierDetector"
    ):
        OutlierDetector.from_fitted(detector, X)  # type: ignore[arg-type]
    for models in ([detector, detector], {"a": unfitted().fit(X), "b": detector}):
        with pytest.raises(RecordError, match="compare takes an Autoencoder, and one of the models is an OutlierDet"):
            compare(models, X)
    if installed():
        with EventWriter(tmp_path) as writer, pytest.raises(RecordError, match=r"EventWriter\.images takes an Auto"):
            writer.images(detector, X, 1)  # type: ignore[arg-type]
