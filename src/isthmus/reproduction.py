"""Trains the tutorials' systems and measures the figures that they published, each by one definition.

Pixels are in [0, 1] in every figure here, whatever the units of the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset, load
from isthmus.estimator import Autoencoder
from isthmus.metrics import pca_error
from isthmus.overrides import overridden
from isthmus.training import Report
from isthmus.tutorials import System, Tutorial

__all__ = ["FIGURES", "Reproduction", "reproduce"]


@dataclass(frozen=True)
class Reproduction:
    """One trained system of a tutorial, with its figures beside the published ones."""

    tutorial: Tutorial
    system: System
    autoencoder: Autoencoder
    dataset: Dataset
    figures: dict[str, float]

    @property
    def row(self) -> dict[str, object]:
        """What `isthmus reproduce` prints: plain values."""
        return {
            "id": self.tutorial.id,
            "system": self.system.name,
            "title": self.tutorial.title,
            "published": dict(self.system.published),
            "ours": self.figures,
            "epochs": self.autoencoder.history_[-1].epoch,
            "seconds": self.autoencoder.seconds_,
            "precision": self.autoencoder.precision_,
        }


def reproduce(
    tutorial: Tutorial,
    assignments: Sequence[str] = (),
    watch: Callable[[Iterator[Report], str, int], Iterator[Report]] | None = None,
) -> Iterator[Reproduction]:
    """Trains each system of a tutorial, perhaps with fields overridden, and measures it.

    Args:
        assignments: ``field=value``, as on the command line.
        watch: given the reports, a title and the numbers in an example, yields the reports again: a progress bar, say.
    """
    for system in tutorial.systems:
        ae, dataset = overridden(system.build(), assignments), load(system.data)
        reports = ae.fitting(dataset.train, validation=dataset.test, every=50)
        title = f"{tutorial.id}, {system.name}" if system.name else tutorial.id
        for _ in reports if watch is None else watch(reports, title, math.prod(dataset.train.shape[1:])):
            pass
        figures = {name: FIGURES[name](ae, dataset) for name in system.published}
        yield Reproduction(tutorial, system, ae, dataset, figures)


def _test(dataset: Dataset) -> NDArray[np.generic]:
    assert dataset.test is not None, "the tutorials' data sets have a test part"
    return dataset.test


def _valid(ae: Autoencoder) -> float:
    valid = ae.history_[-1].valid
    assert valid is not None, "the tutorials are trained with a validation set"
    return valid


def _error(ae: Autoencoder, given: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """Mean squared error of what is made of the given against the clean, pixels in [0, 1]."""
    difference = (ae.reconstruct(given) - clean.astype(np.float32)) / 255
    return float(np.square(difference, dtype=np.float64).mean())


def _given_error(ae: Autoencoder, dataset: Dataset) -> float:
    test = _test(dataset)
    return float(np.square((ae.corrupt(test) - test.astype(np.float32)) / 255, dtype=np.float64).mean())


FIGURES: dict[str, Callable[[Autoencoder, Dataset], float]] = {
    # the running mean over the last epoch, as Keras reports it
    "loss per pixel": lambda ae, _: ae.history_[-1].loss / math.prod(ae.shape_),
    "loss per digit": lambda ae, _: ae.history_[-1].loss,
    # the same loss on the test pictures, spoilt too where training spoils
    "test per pixel": lambda ae, _: _valid(ae) / math.prod(ae.shape_),
    "test per digit": lambda ae, _: _valid(ae),
    "mean code": lambda ae, data: float(ae.encode(_test(data)).mean()),
    "parameters": lambda ae, _: ae.n_parameters_,
    # mean squared errors on the test pictures: from clean input, and from spoilt
    "test MSE": lambda ae, data: _error(ae, _test(data), _test(data)),
    "restored MSE": lambda ae, data: _error(ae, np.asarray(ae.corrupt(_test(data))), _test(data)),
    "given MSE": _given_error,
    "PCA's test MSE": lambda ae, data: pca_error(data.train, _test(data), math.prod(ae.code_shape_)) / 255**2,
}
