"""Strangers' JSON as Python's values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from isthmus.serving.request_error import RequestError
from isthmus.text import quoted

__all__ = ["fields", "json_object"]

_LISTS = 2**19  # and objects; millions would hold up all threads while Python counts them


def json_object(text: bytes | memoryview) -> dict[str, Any]:
    """The object that a JSON text holds. NaN and Infinity may be spelled as Python, NumPy's users and RapidJSON spell them.

    Args:
        text: in UTF-8.

    Raises:
        RequestError: it is no JSON, is nested too deep, has too many lists, a name twice or an integer of thousands of
            digits, or is no object.
    """
    raw = bytes(text)
    if raw.count(b"[") + raw.count(b"{") > _LISTS:
        raise RequestError(413, f"the JSON has more than {_LISTS} lists: send data as one flat list, or as binary data")
    try:
        # functions of Python, between which other threads run: a long text does not hold up the event loop
        value = json.loads(str(raw, "utf-8"), parse_float=_number, parse_int=_integer, object_pairs_hook=_once)
    except RecursionError:
        raise RequestError(400, "the JSON is nested too deep: send lists as deep as the shapes") from None
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the JSON is no UTF-8 at byte {error.start}: encode it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise RequestError(400, f"the body is no JSON: {error.msg} at character {error.pos}: correct it") from None
    if not isinstance(value, dict):
        raise RequestError(400, f"the JSON is {_kind(value)}: send an object")
    return value


def fields(value: Any, what: str, known: Mapping[str, type], needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object whose fields are known and have their types.

    Args:
        value: what `json` read.
        what: it is, for messages.
        known: the types of its fields.
        needed: fields that it must have.

    Raises:
        RequestError: it is no object, or a field is unknown, is lacking or has another type.
    """
    if not isinstance(value, dict):
        raise RequestError(400, f"{what} is {_kind(value)}: send an object")
    for name, each in value.items():
        if name not in known:
            raise RequestError(
                400,
                f"{what} has the field {quoted(name, 60)}, which is unknown: leave it out; known are {', '.join(known)}",
            )
        if type(each) is not known[name]:
            raise RequestError(400, f"{name} of {what} is {_kind(each)}: send {_KINDS[known[name]]}")
    for name in needed:
        if name not in value:
            raise RequestError(400, f"{what} has no {name}: add it")
    return value


_KINDS = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


def _kind(value: Any) -> str:
    return _KINDS[type(value)]


def _number(text: str) -> float:
    return float(text)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RequestError(400, f"the JSON has an integer of {len(text)} digits: correct it") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without names that come twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set[str]()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise RequestError(400, f"the JSON has {quoted(twice, 60)} twice in an object: send it once")
    return found
