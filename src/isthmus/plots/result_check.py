"""The check of the first argument of functions that draw a result."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from isthmus.errors import RecordError
from isthmus.results import Result
from isthmus.text import printable

__all__ = ["requires_result"]

P = ParamSpec("P")
T = TypeVar("T")


def requires_result(result: type[Result], measured_by: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorates a function that requires a result of one class, which the call ``measured_by`` returns."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def checked(*arguments: P.args, **keywords: P.kwargs) -> T:
            given = arguments[0] if arguments else keywords.get("result")
            if not isinstance(given, result):
                name, kind = f"plots.{function.__name__}", printable(type(given).__name__)
                raise RecordError(
                    f"{name} requires a {result.__name__} but got a value of type {kind}: call {name}({measured_by})"
                )
            return function(*arguments, **keywords)

        return checked

    return decorate
