"""The training, validation and test examples of a sweep, with their labels or covariates."""

from __future__ import annotations

from typing import Any, NamedTuple

from isthmus.data import Dataset, as_examples
from isthmus.data.validation import Examples, Missing
from isthmus.errors import DataError
from isthmus.estimators.checkpoint import ExampleSet, TrainingData
from isthmus.estimators.context import ContextEncoding
from isthmus.estimators.given import some_labels
from isthmus.experiments.splits import split
from isthmus.experiments.trial import SweepContext

__all__ = ["Labeled", "labeled", "training_and_validation", "training_data"]


class Labeled(NamedTuple):
    """Examples, and their labels or covariates if there are any."""

    examples: Examples
    y: Any = None


def labeled(given: Any, y: Any, missing: Missing) -> Labeled:
    """Other examples than X: alone, or a tuple with their y if X has y."""
    if y is None:
        return Labeled(as_examples(given, missing=missing))
    if not isinstance(given, tuple) or len(given) != 2:
        raise DataError("X has y, and the validation or test examples have none: pass the tuple (X, y)")
    return Labeled(as_examples(given[0], missing=missing), given[1])


def training_and_validation(X: Any, y: Any, validation_data: Any, missing: Missing) -> tuple[Labeled, Labeled]:
    """Training and validation examples; without validation data a tenth of X is held out, always the same tenth."""
    examples = as_examples(X, missing=missing)
    if validation_data is not None:
        return Labeled(examples, y), labeled(validation_data, y, missing)
    part = split(Dataset("X", examples.values, columns=examples.columns), missing)
    train, held = (
        Labeled(Examples(side, examples.columns, examples.kind, examples.at.some(rows)), some_labels(y, rows))
        for side, rows in ((part.train, part.train_rows), (part.test, part.test_rows))
    )
    return train, held


def training_data(context: SweepContext, uses_y: bool) -> TrainingData:
    """The examples of all trainings, whose hash identifies the sweep, with their labels if a training uses them."""
    train, held = context.examples.values, context.validation.values
    if not uses_y:
        return TrainingData(ExampleSet(train), ExampleSet(held))
    encoding = ContextEncoding.fit(context.y, len(train))
    contexts = [
        encoding.encode(y, len(X), complete=False) for X, y in ((train, context.y), (held, context.validation_y))
    ]
    return TrainingData(ExampleSet(train, contexts[0]), ExampleSet(held, contexts[1]))
