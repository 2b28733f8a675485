"""The training, validation and test examples of a sweep, with their labels or covariates."""

from __future__ import annotations

from dataclasses import replace
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
    """Examples, their labels or covariates, and their targets, if there are any."""

    examples: Examples
    y: Any = None
    target: Any = None


def labeled(X: Examples, given: Any, y: Any, missing: Missing, target: Any = None) -> Labeled:
    """Other examples than X: alone, or a tuple with their y and target if X has these. A frame gets the encoding of X."""
    names = [name for name, value in (("y", y), ("target", target)) if value is not None]
    if not names:
        return Labeled(as_examples(given, missing=missing, table=X.table))
    if not isinstance(given, tuple) or len(given) != 1 + len(names):
        raise DataError(
            f"X has {' and '.join(names)}, and the validation or test examples have none: pass the tuple ({', '.join(['X', *names])})"
        )
    return Labeled(as_examples(given[0], missing=missing, table=X.table), **dict(zip(names, given[1:], strict=True)))


def training_and_validation(
    X: Any, y: Any, validation_data: Any, missing: Missing, target: Any = None, kinds: Any = None
) -> tuple[Labeled, Labeled]:
    """Training and validation examples; without validation data a tenth of X is held out, always the same tenth."""
    examples = as_examples(X, missing=missing, kinds=kinds)
    if validation_data is not None:
        return Labeled(examples, y, target), labeled(examples, validation_data, y, missing, target)
    part = split(Dataset("X", examples.values, columns=examples.columns), missing)
    train, held = (
        Labeled(
            replace(examples, values=side, positions=examples.at.some(rows)),
            some_labels(y, rows),
            some_labels(target, rows),
        )
        for side, rows in ((part.train, part.train_rows), (part.test, part.test_rows))
    )
    return train, held


def training_data(context: SweepContext, uses_y: bool) -> TrainingData:
    """The examples of all trainings, whose hash identifies the sweep, with their labels if a training uses them."""
    train, held = context.examples.values, context.validation.values
    targets = [None if each is None else as_examples(each, missing="allow").values for each in context.targets]
    if not uses_y:
        return TrainingData(ExampleSet(train, None, targets[0]), ExampleSet(held, None, targets[1]))
    encoding = ContextEncoding.fit(context.y, len(train))
    contexts = [
        encoding.encode(y, len(X), complete=False) for X, y in ((train, context.y), (held, context.validation_y))
    ]
    return TrainingData(ExampleSet(train, contexts[0], targets[0]), ExampleSet(held, contexts[1], targets[1]))
