"""The examples of the validation loss: the validation part of the data, else the held-out examples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset
from isthmus.data.memmap import selected_rows
from isthmus.data.parts import of_trained_classes
from isthmus.data.validation import Examples
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.experiments.membership import example_keys
from isthmus.experiments.splits import Split

__all__ = [
    "ValidationSet",
    "count_early_stopping",
    "early_stopping_note",
    "labeled_validation_examples",
    "own_validation_labels",
    "own_validation_part",
    "own_validation_target",
    "validation_examples",
]

Array = NDArray[Any]


def validation_examples(dataset: Dataset, part: Split) -> tuple[Examples, list[str]]:
    """The examples of the validation loss, which early stopping uses too, and notes on them.

    Equal data give equal examples, as `resume` requires. Examples of classes that are not trained on are left out.
    """
    found = labeled_validation_examples(dataset, part)
    return found.examples, found.notes


class ValidationSet(NamedTuple):
    """Validation examples, their labels and targets if there are any, and notes on them."""

    examples: Examples
    labels: Array | None
    notes: list[str]
    targets: Array | None = None
    weights: Array | None = None

    def given(self, uses_y: bool) -> Any:
        """The validation data of `Autoencoder.fit`: the examples, or a tuple with their labels, targets and weights."""
        parts = [self.examples, *([self.labels] if uses_y else [])]
        parts += [each for each in (self.targets, self.weights) if each is not None]
        return parts[0] if len(parts) == 1 else tuple(parts)


def labeled_validation_examples(dataset: Dataset, part: Split) -> ValidationSet:
    """`validation_examples` with their labels."""
    examples, notes = own_validation_part(dataset, part)
    what, labels, targets = "validation", own_validation_labels(dataset, part), own_validation_target(dataset, part)
    weights = None
    if examples is None:
        examples, what, labels, targets = part.test_of(dataset), "held-out", part.test_labels, part.test_target
        weights = part.test_weights
    n = len(examples.values)
    if part.train_weights is not None and (weights is None or not weights.any()):
        weights, notes = (
            np.ones(n),
            [*notes, f"the {what} examples have no weights: each counts once in the validation loss"],
        )
    trained, others = of_trained_classes(np.arange(n), labels, part.train_labels)
    if others:
        examples, labels = examples.some(trained), None if labels is None else np.asarray(labels)[trained]
        targets = None if targets is None else targets[trained]
        weights = None if weights is None else weights[trained]
        count = "and are evaluated" if what == "held-out" else "and are not used"
        notes = [
            *notes,
            f"the validation loss is computed on {len(trained):,} {what} examples; {n - len(trained):,} others are "
            f"of classes that are not trained on ({others}), {count}",
        ]
    return ValidationSet(examples, labels, notes, targets, weights)


def own_validation_labels(dataset: Dataset, part: Split) -> Array | None:
    """The labels of `own_validation_part`, or None."""
    if dataset.validation is None or dataset.validation_labels is None:
        return None
    return np.asarray(dataset.validation_labels)[_unused_rows(dataset, part)]


def own_validation_target(dataset: Dataset, part: Split) -> Array | None:
    """The targets of `own_validation_part`, or None."""
    if dataset.validation is None or dataset.validation_target is None:
        return None
    return selected_rows(dataset.validation_target, _unused_rows(dataset, part))


def own_validation_part(dataset: Dataset, part: Split) -> tuple[Examples | None, list[str]]:
    """The validation part of the data without training and test examples, or None if nothing is left; and notes."""
    if dataset.validation is None:
        return None, []
    rows, n = _unused_rows(dataset, part), len(dataset.validation)
    if not len(rows):
        return None, [f"all {n:,} validation examples are training or test examples too: they are not used"]
    notes = []
    if copies := n - len(rows):
        notes = [f"{copies:,} of {n:,} validation examples are training or test examples too, and are left out"]
    values = dataset.validation if not copies else selected_rows(dataset.validation, rows)
    positions = dataset.validation_positions().some(rows)
    return Examples(values, dataset.columns, dataset.kind, positions, dataset.table), notes


def count_early_stopping(dataset: Dataset, part: Split, examples: Array) -> int:
    """The number of examples that early stopping used to choose the model."""
    return int(np.isin(example_keys(examples), example_keys(validation_examples(dataset, part)[0].values)).sum())


def early_stopping_note(ae: Autoencoder, dataset: Dataset, part: Split) -> str:
    """A warning where early stopping used the held-out examples; "" where it did not."""
    if not ae.early_stopping or not len(part.test):
        return ""
    count = count_early_stopping(dataset, part, part.test)
    if not count:
        return ""
    return (
        f"early stopping chose the model by {count:,} of these {len(part.test):,} held-out examples: the error on new examples "
        "may be a little larger; give separate validation examples to avoid this (a folder val, x_val in a .npz file)"
    )


def _unused_rows(dataset: Dataset, part: Split) -> NDArray[np.int64]:
    """The rows of the validation part that are neither training nor held-out examples."""
    assert dataset.validation is not None
    used = np.concatenate([example_keys(part.train), example_keys(part.test)])
    return np.flatnonzero(~np.isin(example_keys(dataset.validation), used))
