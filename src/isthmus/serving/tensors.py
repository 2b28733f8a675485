"""Tensors of the protocol as arrays, and back. Every value is kept exactly, or refused.

A number in decimal text means the nearest number that FP64 can hold and, of FP32, the one that is nearest to that; an integer must be one
that they hold exactly.
`null` is a missing value: NaN, "" or, of a date, the smallest INT64. Answers use it likewise, for JSON has no NaN.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.runtime.manifest import Port
from isthmus.serving.exact import exactly, inexact_integer
from isthmus.serving.request_error import RequestError
from isthmus.text import printable, quoted

__all__ = ["DATATYPES", "datatype_of", "fitted", "from_binary", "from_json", "to_binary", "to_json"]

Array = NDArray[Any]
DATATYPES = {
    "BOOL": "bool",
    **{f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("U", "") for bits in (8, 16, 32, 64)},
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "string",
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_PIECE = 16_384  # values between which other threads can run
_NOT_A_TIME = np.iinfo(np.int64).min
_LENGTH = struct.Struct("<I")


def datatype_of(port: Port) -> str:
    """The protocol's name of the dtype of an input or output."""
    return _NAMES[port.dtype]


def from_json(data: list[Any], datatype: str, shape: Sequence[int], port: Port) -> Array:
    """The values of a tensor in JSON, nested or flat.

    Args:
        data: what `json` read.
        datatype: one of `DATATYPES`.
        shape: of the tensor.
        port: the input, whose name and kind are used.

    Raises:
        RequestError: there are too few or too many values, rows have different lengths, or values are not of the datatype.
    """
    flat = _flat(data, shape, port)
    read = {"BYTES": _texts, "BOOL": _truths, "FP32": _numbers, "FP64": _numbers}.get(datatype, _integers)
    return read(flat, np.dtype(object if datatype == "BYTES" else DATATYPES[datatype]), port).reshape(shape)


def from_binary(raw: memoryview, datatype: str, shape: Sequence[int], port: Port) -> Array:
    """The values of a tensor in the binary form: little-endian, by rows; each text after its length in 4 bytes.

    Args:
        raw: the bytes.
        datatype: one of `DATATYPES`.
        shape: of the tensor.
        port: the input, whose name is used.

    Raises:
        RequestError: there are too few or too many bytes, or they are no values of the datatype.
    """
    if datatype == "BYTES":
        return _binary_texts(raw, prod(shape), port).reshape(shape)
    dtype = np.dtype(DATATYPES[datatype]).newbyteorder("<")
    if len(raw) != prod(shape) * dtype.itemsize:
        raise _refused(
            port,
            f"has {len(raw)} bytes, and {prod(shape)} values of {datatype} are {prod(shape) * dtype.itemsize}: "
            "send as many as binary_data_size says",
        )
    if datatype == "BOOL" and len(raw) and np.frombuffer(raw, np.uint8).max() > 1:
        raise _refused(port, "has a BOOL that is neither 0 nor 1: correct it")
    return np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def fitted(values: Array, datatype: str, port: Port) -> Array:
    """Values in the dtype of an input, which must hold each of them exactly.

    Args:
        values: of any datatype.
        datatype: of the values, for messages.
        port: the input.

    Raises:
        RequestError: they are text where numbers are needed, or the other way round, or a value is changed by the conversion.
    """
    wanted = datatype_of(port)
    if datatype == wanted:
        return values
    if "BYTES" in {datatype, wanted}:
        raise _refused(port, f"is {datatype}, and the model takes {wanted}: send {wanted}")
    converted, same = exactly(values, np.dtype(port.dtype))
    if not same.all():
        value = values.ravel()[int(np.flatnonzero(~same.ravel())[0])]
        raise _refused(port, f"holds {value} as {datatype}, which {wanted} cannot hold exactly: send {wanted}")
    return converted


def to_json(values: Array, port: Port) -> str:
    """Values as a flat list in JSON: numbers that read as the same values, `null` for NaN and missing dates.

    Raises:
        RequestError: a value is infinite.
    """
    flat = values.ravel()
    if flat.dtype.kind == "f" and np.isinf(flat).any():
        raise RequestError(
            400, f"the output {printable(port.name)!r} has an infinite value, which JSON has not: ask for binary_data"
        )
    pieces = (_plain(flat[begin : begin + _PIECE], port) for begin in range(0, len(flat), _PIECE))
    return f"[{','.join(json.dumps(piece, separators=(',', ':'), allow_nan=False)[1:-1] for piece in pieces)}]"


def to_binary(values: Array, port: Port) -> bytes:
    """Values in the binary form."""
    if port.dtype == "string":
        texts = [str(text).encode("utf-8", "replace") for text in values.ravel().tolist()]
        return b"".join(chain.from_iterable((_LENGTH.pack(len(text)), text) for text in texts))
    return values.astype(np.dtype(port.dtype).newbyteorder("<"), copy=False).tobytes()


def _plain(values: Array, port: Port) -> list[Any]:
    """Values as Python's, None for NaN and missing dates."""
    plain: list[Any] = values.tolist()
    if values.dtype.kind == "f" and np.isnan(values).any():
        return [None if value != value else value for value in plain]
    if port.kind == "date":
        return [None if value == _NOT_A_TIME else value for value in plain]
    return plain


def _pieces(flat: list[Any], allowed: set[type], what: str, port: Port) -> Iterator[tuple[int, list[Any]]]:
    """Pieces of a list whose values have the allowed types, each after its place."""
    for begin in range(0, len(flat), _PIECE):
        piece = flat[begin : begin + _PIECE]
        if not set(map(type, piece)) <= allowed:
            at, value = next((at, value) for at, value in enumerate(piece) if type(value) not in allowed)
            raise _refused(port, f"has {_shown(value)} as value {begin + at}, which is no {what}: correct it")
        yield begin, piece


def _flat(data: list[Any], shape: Sequence[int], port: Port) -> list[Any]:
    """The values by rows."""
    if data and isinstance(data[0], list):
        for level, side in enumerate(shape):
            rows = [data] if level == 0 else data
            for row in rows:
                if not isinstance(row, list) or len(row) != side:
                    length = f"{len(row)} values" if isinstance(row, list) else "no list"
                    raise _refused(
                        port, f"has {length} in dimension {level} of its data, and its shape has {side}: send {side}"
                    )
            data = list(chain.from_iterable(data)) if level else data
        return data
    if len(data) != prod(shape):
        raise _refused(
            port, f"has {len(data)} values, and the shape {list(shape)} has {prod(shape)}: send as many, or correct it"
        )
    return data


def _numbers(flat: list[Any], dtype: np.dtype[Any], port: Port) -> Array:
    values = np.empty(len(flat))
    for begin, piece in _pieces(flat, {int, float, type(None)}, "number", port):
        try:
            values[begin : begin + len(piece)] = piece
        except OverflowError:
            large = max((value for value in piece if type(value) is int), key=abs)
            raise _refused(port, f"has {quoted(large, 40)}, which is too large: correct it") from None
    with np.errstate(over="ignore"):
        converted = values.astype(dtype)
    wrong = np.isinf(converted) & np.isfinite(values)
    if wrong.any():
        raise _refused(port, f"has {values[wrong][0]}, which is too large for {_NAMES[dtype.name]}: correct it")
    inexact = inexact_integer(flat, converted)
    if inexact is not None:
        raise _refused(
            port,
            f"has the integer {inexact}, which {_NAMES[dtype.name]} cannot hold exactly: write {inexact}.0 if the nearest will do",
        )
    return converted


def _integers(flat: list[Any], dtype: np.dtype[Any], port: Port) -> Array:
    limits, values = np.iinfo(dtype), np.empty(len(flat), dtype)
    allowed = {int, float, type(None)} if port.kind == "date" else {int, float}
    for begin, piece in _pieces(flat, allowed, "integer", port):
        whole = [_integer(value, port) if type(value) is not int else value for value in piece]
        if min(whole) < limits.min or max(whole) > limits.max:
            wrong = next(value for value in whole if not limits.min <= value <= limits.max)
            raise _refused(port, f"has {quoted(wrong, 40)}, which is no {_NAMES[dtype.name]}: correct it")
        values[begin : begin + len(piece)] = whole
    return values


def _integer(value: float | None, port: Port) -> int:
    """An integer that is written as 1.0, or a missing date."""
    if value is None:
        return int(_NOT_A_TIME)
    if not value.is_integer():
        raise _refused(port, f"has {value}, which is no integer: correct it")
    return int(value)


def _truths(flat: list[Any], dtype: np.dtype[Any], port: Port) -> Array:
    values = np.empty(len(flat), dtype)
    for begin, piece in _pieces(flat, {bool}, "true or false", port):
        values[begin : begin + len(piece)] = piece
    return values


def _texts(flat: list[Any], dtype: np.dtype[Any], port: Port) -> Array:
    values = np.empty(len(flat), dtype)
    for begin, piece in _pieces(flat, {str, type(None)}, "text", port):
        values[begin : begin + len(piece)] = [_text(text, port) for text in piece]
    return values


def _text(text: str | None, port: Port) -> str:
    try:
        return (text or "").encode("utf-8").decode("utf-8")
    except UnicodeEncodeError:
        raise _refused(port, f"has {quoted(text)}, which is no text of Unicode: correct it") from None


def _binary_texts(raw: memoryview, count: int, port: Port) -> Array:
    values, place = np.empty(count, object), 0
    for at in range(count):
        begin = place + _LENGTH.size
        place = begin + _LENGTH.unpack_from(raw, place)[0] if begin <= len(raw) else begin
        if place > len(raw):
            raise _refused(port, f"ends within text {at} of {count}: send 4 bytes of length and the text, for each")
        try:
            values[at] = bytes(raw[begin:place]).decode("utf-8")
        except UnicodeDecodeError:
            raise _refused(port, f"has bytes as text {at} that are no UTF-8: correct them") from None
    if place != len(raw):
        raise _refused(port, f"has {len(raw) - place} bytes after {count} texts: correct binary_data_size or the shape")
    return values


def _shown(value: Any) -> str:
    """A value of JSON for a message."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return json.dumps(value) if value is None or isinstance(value, bool) else quoted(value, 40)


def _refused(port: Port, what: str) -> RequestError:
    return RequestError(400, f"the input {printable(port.name)!r} {what}")
