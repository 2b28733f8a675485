"""The labels of a data set as y of components that use it: conditional architectures and supervised penalties."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

from isthmus.data import Dataset
from isthmus.data.label_values import label_text
from isthmus.errors import DataError, RecordError
from isthmus.estimators.argument_check import with_context
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.context import ContextEncoding
from isthmus.experiments.splits import Split
from isthmus.text import printable, quoted

__all__ = [
    "GivenLabels",
    "check_labels",
    "context_labels",
    "has_text_classes",
    "is_conditional",
    "parse_label",
    "training_labels",
    "with_contexts",
]

_LISTED = 20  # classes in a message
_WAYS = "name their column with --labels, or give data that have labels"


class GivenLabels(NamedTuple):
    """The labels that a training gets as y, and a sentence that says so; None and "" if no component uses y."""

    y: Any = None
    note: str = ""


def training_labels(ae: Autoencoder, dataset: Dataset, part: Split) -> GivenLabels:
    """The labels of the training examples, if a component uses y.

    Args:
        ae: the autoencoder, not necessarily fitted.
        dataset: the data set that was split.
        part: its training and held-out examples.

    Raises:
        DataError: there are no labels. For a conditional architecture also: a label is missing, or one of the held-out examples is
            not among the training labels.
    """
    if not ae._uses_y:
        return GivenLabels()
    if part.train_labels is None:
        raise DataError(f"{ae._y_user()} requires labels, and {dataset.name} has none: {_WAYS}")
    encoding = ContextEncoding.fit(part.train_labels, len(part.train))
    if is_conditional(ae):
        sides = {"training": (part.train_labels, part.train), "held-out": (part.test_labels, part.test)}
        for name, (labels, examples) in sides.items():
            try:
                encoding.encode(labels, len(examples))
            except DataError as error:
                raise DataError(f"the {name} examples of {dataset.name}: {error}") from None
    what = f"the covariates ({encoding.size})" if encoding.classes is None else f"the labels ({encoding.size} classes)"
    return GivenLabels(part.train_labels, f"y: {ae._y_user()} uses {what} of the examples")


def is_conditional(ae: Autoencoder) -> bool:
    """Whether inference requires y."""
    architecture = ae.architecture_ if ae.__sklearn_is_fitted__() else ae.architecture
    return getattr(architecture, "context", None) is not None


def has_text_classes(ae: Autoencoder) -> bool:
    """Whether a fitted autoencoder has seen classes that are texts."""
    classes = ae.classes_
    return classes is not None and all(isinstance(each, str) for each in classes.tolist())


def check_labels(ae: Autoencoder, dataset: Dataset) -> None:
    """`DataError` if a fitted autoencoder is conditional and a data set has no labels."""
    if is_conditional(ae) and dataset.train_labels is None:
        raise DataError(f"{ae.architecture_!r} requires labels, and {dataset.name} has none: {_WAYS}")


def with_contexts(ae: Autoencoder, dataset: Dataset) -> Dataset:
    """The data set, whose examples carry their context for a conditional autoencoder; `DataError` if it has no labels."""
    if not is_conditional(ae):
        return dataset
    check_labels(ae, dataset)
    test = dataset.test if dataset.test is None else with_context(ae, dataset.test, dataset.test_labels).values
    return replace(dataset, train=with_context(ae, dataset.train, dataset.train_labels).values, test=test)


def context_labels(ae: Autoencoder, labels: Any) -> Any:
    """The labels if inference requires y, else None."""
    return labels if is_conditional(ae) else None


def parse_label(ae: Autoencoder, word: str) -> Any:
    """The class of a fitted conditional autoencoder that a word names, or the covariates, which are numbers with commas.

    Raises:
        RecordError: there is no such class, or the word is not the right number of covariates.
    """
    context = ae._require_fitted().context
    assert context is not None
    if context.classes is not None:
        classes = {label_text(label): label for label in context.classes}
        if word not in classes:
            known = ", ".join(printable(name, 30) for name in list(classes)[:_LISTED])
            known += ", ..." if len(classes) > _LISTED else ""
            given = (
                f"invalid --label {quoted(word)}" if word else "the autoencoder is conditional, and --label is missing"
            )
            raise RecordError(f"{given}: expected one of {known}")
        return classes[word]
    try:
        values = [float(part) for part in word.split(",")]
    except ValueError:
        values = []
    if len(values) != context.size or not all(map(math.isfinite, values)):
        example = ",".join(["0.5"] * context.size)
        given = f"invalid --label {quoted(word)}" if word else "the autoencoder is conditional, and --label is missing"
        raise RecordError(f"{given}: expected {context.size} covariates, such as --label {example}")
    return values
