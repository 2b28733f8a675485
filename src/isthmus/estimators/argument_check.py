"""What is given where a function wants an autoencoder: one sentence where it is something else, and what to give instead."""

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
    """A function whose argument ``ae`` is checked before anything else."""
    place = list(signature(function).parameters).index("ae")

    @wraps(function)
    def checked(*arguments: P.args, **named: P.kwargs) -> T:
        if len(arguments) > place:
            check_autoencoder(arguments[place], function.__name__)
        elif "ae" in named:
            check_autoencoder(named["ae"], function.__name__)
        return function(*arguments, **named)

    return checked


def check_autoencoder(given: Any, function: str, name: str = "ae") -> None:
    """`RecordError` where what a function is given under some name is no autoencoder."""
    if not isinstance(given, FittedAutoencoder):
        raise RecordError(f"{function} takes an Autoencoder, and {name} is {_said(given)}")


def _said(given: Any) -> str:
    """What it is, and where the autoencoder is."""
    kind = printable(given.__name__ if isclass(given) else type(given).__name__)
    if isclass(given):
        return f"the class {kind}: give an object that was fitted, {kind}().fit(X)"
    article = "an" if kind[:1] in "AEIOU" else "a"
    if isinstance(given, str | os.PathLike):
        return f"a path or a name: load the autoencoder first, isthmus.load({printable(ascii(os.fspath(given)))})"
    if hasattr(given, "autoencoder") or hasattr(given, "autoencoder_"):
        fitted = "" if hasattr(given, "autoencoder_") else "fit it, and "
        return f"{article} {kind}: {fitted}give its autoencoder_"
    if hasattr(given, "best_estimator_"):
        return f"{article} {kind}: give its best_estimator_"
    if isinstance(getattr(given, "estimator", None), FittedAutoencoder):
        return f"{article} {kind}: give its estimator"
    if hasattr(given, "named_steps"):
        return f"{article} {kind}: give the step that is one, and examples as they reach it"
    return f"{article} {kind}: give one that was fitted"
