"""Checks the argument of functions that require an autoencoder. The error says what to pass instead."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from inspect import isclass, signature
from typing import Any, ParamSpec, TypeVar

from isthmus.errors import RecordError
from isthmus.estimators.base import FittedAutoencoder
from isthmus.text import printable

__all__ = ["check_autoencoder", "takes_autoencoder"]

P = ParamSpec("P")
T = TypeVar("T")


def takes_autoencoder(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function to check its argument ``ae`` first."""
    position = list(signature(function).parameters).index("ae")

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        if len(args) > position:
            check_autoencoder(args[position], function.__name__)
        elif "ae" in kwargs:
            check_autoencoder(kwargs["ae"], function.__name__)
        return function(*args, **kwargs)

    return checked


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
