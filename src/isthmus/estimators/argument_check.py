"""Checks the argument of functions that require an autoencoder. The error says what to pass instead.

The examples that these functions pass to a conditional autoencoder get their context here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from inspect import isclass, signature
from typing import Any, ParamSpec, TypeVar

from isthmus.architectures.base import Architecture
from isthmus.augmentations import Augmentation
from isthmus.data.context_array import attach_context, context_of
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.data.validation import Examples, shaped_examples
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.base import FittedAutoencoder
from isthmus.estimators.defaults import component
from isthmus.text import printable

__all__ = [
    "check_autoencoder",
    "common_table",
    "refuse_conditional",
    "refuse_other_shape",
    "refuse_table",
    "takes_autoencoder",
    "with_context",
]

_LABELS = {
    "X": "y",
    "train": "train_labels",
    "queries": "query_labels",
}  # arguments with examples, and with their labels

P = ParamSpec("P")
T = TypeVar("T")


def takes_autoencoder(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function to check its argument ``ae`` first.

    For a conditional autoencoder, examples whose labels are given too carry their context into the function.
    """
    known = signature(function)
    position = list(known.parameters).index("ae")

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        if len(args) > position:
            check_autoencoder(args[position], function.__name__)
        elif "ae" in kwargs:
            check_autoencoder(kwargs["ae"], function.__name__)
        try:
            bound = known.bind(*args, **kwargs)
        except TypeError:  # the call below raises it with the function's name
            return function(*args, **kwargs)
        for name in ("target", "train_target"):
            if bound.arguments.get(name) is not None and bound.arguments["ae"]._fitted is not None:
                bound.arguments[name] = bound.arguments["ae"]._table_rows(bound.arguments[name])
        for examples, labels in _LABELS.items():
            if bound.arguments.get(examples) is not None and bound.arguments["ae"]._fitted is not None:
                bound.arguments[examples] = bound.arguments["ae"]._table_rows(bound.arguments[examples])
            if bound.arguments.get(examples) is not None and labels in known.parameters:
                given = bound.arguments.get(labels)
                bound.arguments[examples] = with_context(
                    bound.arguments["ae"], bound.arguments[examples], given, labels
                )
        return function(*bound.args, **bound.kwargs)

    return checked


def with_context(ae: FittedAutoencoder, X: Any, y: Any, name: str = "y") -> Any:
    """The examples X, which carry the context that y is for a conditional autoencoder; for others X itself.

    Args:
        ae: the autoencoder.
        X: examples (n, *shape_).
        y: labels (n,) or covariates, or None.
        name: the name of the argument y, for messages.

    Raises:
        DataError: y does not fit the examples, or the labels of training examples are missing.
    """
    if ae._fitted is None or ae.model_.architecture.context is None:
        return X
    if y is None:
        carried = context_of(X.values if isinstance(X, Examples) else X)
        if name == "y" or carried is not None:  # a function that needs no context may still run
            return X
        raise DataError(f"this autoencoder is conditional ({ae.model_.architecture!r}): pass {name} too")
    examples = shaped_examples(ae._table_rows(X), shape=ae.shape_)
    return replace(examples, values=attach_context(examples.values, ae._context(y, examples.values)))


def common_table(loaded: Sequence[FittedAutoencoder]) -> TableEncoding | None:
    """The encoding of the table that all were trained on; `DataError` if they differ, None if their examples have none."""
    table, *others = (ae._require_fitted().table for ae in loaded)
    if not all(other is None if table is None else table.has_features_of(other) for other in others):
        raise DataError("the autoencoders encode the columns of a table in different ways: compare those of one table")
    return table


def refuse_conditional(ae: Any, what: str) -> None:
    """`NotPossibleError` if an autoencoder, fitted or not, is conditional. `what` is the user of it that has no y."""
    architecture = ae.model_.architecture if ae._fitted is not None else component(ae.architecture)
    if isinstance(architecture, Architecture) and architecture.context is not None:
        raise NotPossibleError(
            f"{what} has no y for new examples, and the autoencoder is conditional ({architecture!r}): use one that is not"
        )


def refuse_table(ae: Any, what: str) -> None:
    """`NotPossibleError` if a fitted autoencoder is one of a table with other columns than numbers. `what` takes numbers only."""
    if ae._require_fitted().table is not None:
        raise NotPossibleError(
            f"{what} takes numbers, and the table has columns of other kinds: use an autoencoder of its numbers alone"
        )


def refuse_other_shape(ae: Any, shape: tuple[int, ...], what: str) -> None:
    """`NotPossibleError` if an autoencoder that is to be fitted augments examples of this shape to another one."""
    augmentation = component(ae.augmentation)
    if isinstance(augmentation, Augmentation) and augmentation.shape(shape) != shape:
        raise NotPossibleError(
            f"{what} requires an autoencoder of whole examples, and augmentation={augmentation!r} changes their shape: leave it out"
        )


def check_autoencoder(given: Any, function: str, name: str = "ae") -> None:
    """`RecordError` unless the argument of this name is an autoencoder. `function` is the function's name in the message."""
    if not isinstance(given, FittedAutoencoder):
        raise RecordError(f"{function} takes an Autoencoder, and {name} is {_description(given)}")


def _description(given: Any) -> str:
    """What the argument is, and what to pass instead."""
    kind = printable(given.__name__ if isclass(given) else type(given).__name__)
    if isclass(given):
        return f"the class {kind}: pass a fitted object, {kind}().fit(X)"
    article = "an" if kind[:1] in "AEIOU" else "a"
    if isinstance(given, str | os.PathLike):
        return f"a path or a name: load the autoencoder first, isthmus.load({printable(ascii(os.fspath(given)))})"
    if hasattr(given, "autoencoder") or hasattr(given, "autoencoder_"):
        fitted = "" if hasattr(given, "autoencoder_") else "fit it, and "
        return f"{article} {kind}: {fitted}pass its autoencoder_"
    if hasattr(given, "best_estimator_"):
        return f"{article} {kind}: pass its best_estimator_"
    if isinstance(getattr(given, "estimator", None), FittedAutoencoder):
        return f"{article} {kind}: pass its estimator"
    if hasattr(given, "named_steps"):
        return f"{article} {kind}: pass the step that is an autoencoder, and the examples as transformed by the steps before it"
    return f"{article} {kind}: pass a fitted Autoencoder"
