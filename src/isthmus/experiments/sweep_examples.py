"""The training, validation and test examples of a sweep, with their labels or covariates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from isthmus.data import Dataset, as_examples
from isthmus.data.sample_weights import mean_one, sample_weights
from isthmus.data.series.split_in_time import split_in_time
from isthmus.data.series.window_array import windows_of
from isthmus.data.validation import Examples, Missing
from isthmus.errors import DataError
from isthmus.estimators.context import ContextEncoding
from isthmus.estimators.given import Given, some_labels
from isthmus.estimators.training_data import ExampleSet, TrainingData
from isthmus.experiments.splits import TEST_FRACTION, split
from isthmus.experiments.trial import SweepContext

__all__ = ["Labeled", "labeled", "training_and_validation", "training_data"]


class Labeled(NamedTuple):
    """Examples, their labels or covariates, their targets and their weights, if there are any."""

    examples: Examples
    y: Any = None
    target: Any = None
    sample_weight: Any = None


def labeled(X: Labeled, given: Any, missing: Missing, weighted: bool = True) -> Labeled:
    """Other examples than X: alone, or a tuple with their y, target and weights if X has these. A frame gets the encoding of X."""
    parts = ("y", "target", "sample_weight") if weighted else ("y", "target")
    names, table = [name for name in parts if getattr(X, name) is not None], X.examples.table
    if not names:
        return Labeled(as_examples(given, missing=missing, table=table))
    if not isinstance(given, tuple) or len(given) != 1 + len(names):
        raise DataError(
            f"X has {' and '.join(names)}, and the validation or test examples have none: pass the tuple ({', '.join(['X', *names])})"
        )
    return Labeled(as_examples(given[0], missing=missing, table=table), **dict(zip(names, given[1:], strict=True)))


def training_and_validation(given: Given, missing: Missing, kinds: Any = None) -> tuple[Labeled, Labeled]:
    """Training and validation examples; without validation data a tenth of X is held out, always the same tenth.

    It is a tenth of each class of y, or a tenth in whole groups; of the windows of a series the latest.

    Raises:
        DataError: windows of a series were cut elsewhere, so that it is unknown which of them share rows.
    """
    examples, y, target = as_examples(given.X, missing=missing, kinds=kinds), given.y, given.target
    n = len(examples.values)
    weights = None if given.sample_weight is None else sample_weights(given.sample_weight, n)
    if given.validation_data is not None:
        training = Labeled(examples, y, target, weights)
        return training, labeled(training, given.validation_data, missing)
    windows = windows_of(examples.values)
    if windows is not None:
        rows = split_in_time(windows, [TEST_FRACTION])
        train, held = (
            Labeled(examples.some(each), *(some_labels(of, each) for of in (y, target, weights))) for each in rows
        )
        return train, held
    if examples.kind == "series" and given.groups is None:
        raise DataError(
            "windows of a series share rows, so that a random tenth of them is no new data: pass isthmus.data.Windows, or validation_data"
        )
    groups = None if given.groups is None else np.asarray(given.groups, dtype=object)
    data = Dataset(
        "X", examples.values, columns=examples.columns, train_labels=None if y is None else np.asarray(y), groups=groups
    )
    part = split(data, missing, again=True)
    train, held = (
        Labeled(
            replace(examples, values=side, positions=examples.at.some(rows)),
            some_labels(y, rows),
            some_labels(target, rows),
            some_labels(weights, rows),
        )
        for side, rows in ((part.train, part.train_rows), (part.test, part.test_rows))
    )
    return train, held


def training_data(context: SweepContext, uses_y: bool) -> TrainingData:
    """The examples of all trainings, whose hash identifies the sweep, with their labels if a training uses them."""
    train, held = context.examples.values, context.validation.values
    targets = [None if each is None else as_examples(each, missing="allow").values for each in context.targets]
    weights = [None if each is None else mean_one(sample_weights(each, len(each))) for each in context.weights]
    if not uses_y:
        return TrainingData(
            ExampleSet(train, None, targets[0], weights[0]), ExampleSet(held, None, targets[1], weights[1])
        )
    encoding = ContextEncoding.fit(context.y, len(train))
    contexts = [
        encoding.encode(y, len(X), complete=False) for X, y in ((train, context.y), (held, context.validation_y))
    ]
    sets = zip((train, held), contexts, targets, weights, strict=True)
    training, validation = (ExampleSet(*each) for each in sets)
    return TrainingData(training, validation)
