"""Which of many cases are usual, which thorough ones run only where they are asked for; values of fields; scikit-learn's checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from sklearn.utils import estimator_checks

from isthmus import augmentations, corruptions, penalties

__all__ = ["REQUIRED", "checks_of", "required", "thorough_where"]

REQUIRED: dict[str, Any] = {  # a value for each field of a record that has no default
    "size": 4,
    "k": 2,
    "classes": 5,
    "weight": 0.1,
    "penalties": (penalties.MMD(0.1), penalties.ActivationKL(0.1)),
    "corruptions": (corruptions.GaussianNoise(0.1), corruptions.Patches(2)),
    "augmentations": (augmentations.Shift(), augmentations.Binarize()),
}


def required(kind: Any) -> dict[str, Any]:
    """A value for each field of a record that has no default."""
    return {f.name: REQUIRED[f.name] for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}


def checks_of(estimator: Any) -> Iterator[tuple[Any, Any]]:
    """scikit-learn's checks of an estimator, and the estimator.

    That a weight of 2 equals the example twice is true in expectation only, where batches are drawn at random: test_sample_weights.py
    runs this check for training on all examples at once.
    """
    for each, check in estimator_checks.estimator_checks_generator(estimator):
        if "sample_weight_equivalence" not in getattr(check, "func", check).__name__:
            yield each, check


def thorough_where(cases: Iterable[Any], thorough: Callable[[Any], bool]) -> list[Any]:
    """The cases of a parametrized test, some of them marked `thorough`; a case of several arguments is a tuple."""
    return [_marked(case) if thorough(case.values if _is_parameters(case) else case) else case for case in cases]


def _marked(case: Any) -> Any:
    if _is_parameters(case):
        return pytest.param(*case.values, id=case.id, marks=[*case.marks, pytest.mark.thorough])
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.thorough)


def _is_parameters(case: Any) -> bool:
    return isinstance(case, type(pytest.param()))
