"""Text such as ``field=value``, as typed on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from typing import Any

from isthmus.errors import RecordError
from isthmus.records import nearest
from isthmus.text import quoted

__all__ = ["arguments", "parse", "split_assignments"]


def parse(text: str) -> Any:
    """The value of text typed after ``field=``: a JSON value, a tuple of values separated by commas, or else a string."""
    if text in {"none", "None"}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass  # not JSON: a list without brackets, or a string
    parts = text.strip("()").split(",")
    if len(parts) > 1 or text != text.strip("()"):
        return tuple(parse(part.strip()) for part in parts if part.strip())
    return {"True": True, "False": False}.get(text, text)


def split_assignments(words: Iterable[str], example: str = "epochs=5 or bottleneck.size=16") -> dict[str, str]:
    """The text before and after the sign of each ``field=value``.

    Args:
        words: the words as typed.
        example: valid words, for error messages.

    Raises:
        RecordError: a word is not of this form, has no value, or sets a field again.
    """
    pairs: dict[str, str] = {}
    for word in words:
        path, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not path:
            raise RecordError(f"{quoted(word)} is not of the form field=value: expected for example {example}")
        if not text:
            raise RecordError(f"{path}= has no value: expected for example {example}")
        if path in pairs:
            raise RecordError(f"{path} is given twice, as {pairs[path]} and as {text}: give it once")
        pairs[path] = text
    return pairs


def arguments(functions: Mapping[str, Callable[..., Any]], assignments: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Distributes ``name=value`` among functions: each function gets the arguments that it has.

    Args:
        functions: functions by name.
        assignments: the words as typed.

    Returns:
        For each function, values by name of argument.

    Raises:
        RecordError: no function has such an argument.
    """
    reserved = {"ae", "X", "y", "train", "train_labels"}  # the run provides these arguments
    accepted = {name: signature(function).parameters.keys() - reserved for name, function in functions.items()}
    values: dict[str, dict[str, Any]] = {name: {} for name in functions}
    for name, text in split_assignments(assignments, "size=16").items():
        receivers = [each for each in functions if name in accepted[each]]
        if not receivers:
            names = sorted({each for arguments in accepted.values() for each in arguments})
            raise RecordError(f"{' and '.join(functions)}: no argument '{name}'{nearest(name, names)}")
        for each in receivers:
            values[each][name] = parse(text)
    return values
