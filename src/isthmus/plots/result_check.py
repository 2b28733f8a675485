"""Functions that draw a result are handed one: what else they are given gets a sentence that says what to measure first."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from isthmus.errors import RecordError
from isthmus.results import Result
from isthmus.text import printable

__all__ = ["draws"]

P = ParamSpec("P")
T = TypeVar("T")


def draws(result: type[Result], measured_by: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorates a function whose first argument is a result of one class, which the call ``measured_by`` returns."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def checked(*arguments: P.args, **named: P.kwargs) -> T:
            given = arguments[0] if arguments else named.get("result")
            if not isinstance(given, result):
                name, kind = f"plots.{function.__name__}", printable(type(given).__name__)
                raise RecordError(
                    f"{name} draws what was measured, a {result.__name__}, and was given a value of type {kind}: "
                    f"call {name}({measured_by})"
                )
            return function(*arguments, **named)

        return checked

    return decorate
