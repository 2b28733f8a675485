"""The examples of the validation loss: the validation part of the data, else the held-out examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset
from isthmus.data.parts import of_trained_classes
from isthmus.data.validation import Examples
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.experiments.membership import example_keys
from isthmus.experiments.splits import Split

__all__ = ["chose_when_to_stop", "chosen_by", "said_of_stopping", "watched_by"]

Array = NDArray[Any]


def watched_by(dataset: Dataset, part: Split) -> tuple[Examples, list[str]]:
    """The examples of the validation loss, which early stopping uses too, and notes on them.

    Equal data give equal examples, as `resume` requires. Examples of classes that are not trained on are left out.
    """
    examples, notes = chosen_by(dataset, part)
    what, labels = "validation", dataset.validation_labels
    if examples is None:
        examples, what, labels = part.test_of(dataset), "held-out", part.test_labels
    elif labels is not None:
        labels = np.asarray(labels)[_fresh(dataset, part)]
    n = len(examples.values)
    known, others = of_trained_classes(np.arange(n), labels, part.train_labels)
    if others:
        examples = examples.some(known)
        count = "and are evaluated" if what == "held-out" else "and are not used"
        notes = [
            *notes,
            f"the validation loss is of {len(known):,} {what} examples; {n - len(known):,} others are "
            f"of classes that are not trained on ({others}), {count}",
        ]
    return examples, notes


def chosen_by(dataset: Dataset, part: Split) -> tuple[Examples | None, list[str]]:
    """The validation part without training and test examples, or None if nothing is left; and notes."""
    if dataset.validation is None:
        return None, []
    fresh, n = _fresh(dataset, part), len(dataset.validation)
    if not len(fresh):
        return None, [f"all {n:,} validation examples are training or test examples too: they are not used"]
    notes = []
    if copies := n - len(fresh):
        notes = [f"{copies:,} of {n:,} validation examples are training or test examples too, and are left out"]
    values = dataset.validation if not copies else np.asarray(dataset.validation)[fresh]
    return Examples(values, dataset.columns, dataset.kind, dataset.validation_positions().some(fresh)), notes


def chose_when_to_stop(dataset: Dataset, part: Split, examples: Array) -> int:
    """How many of the examples early stopping used to choose the model."""
    return int(np.isin(example_keys(examples), example_keys(watched_by(dataset, part)[0].values)).sum())


def said_of_stopping(ae: Autoencoder, dataset: Dataset, part: Split) -> str:
    """A warning where early stopping used the held-out examples; "" where it did not."""
    if not ae.early_stopping or not len(part.test):
        return ""
    count = chose_when_to_stop(dataset, part, part.test)
    if not count:
        return ""
    return (
        f"early stopping chose the model by {count:,} of these {len(part.test):,} held-out examples: the error on new examples "
        "may be a little larger; give separate validation examples to avoid this (a folder val, x_val in a .npz file)"
    )


def _fresh(dataset: Dataset, part: Split) -> NDArray[np.int64]:
    """The rows of the validation part that are neither training nor test examples."""
    assert dataset.validation is not None
    known = np.concatenate([example_keys(part.train), example_keys(part.test)])
    return np.flatnonzero(~np.isin(example_keys(dataset.validation), known))
