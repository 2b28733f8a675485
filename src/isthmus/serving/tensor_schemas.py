"""JSON schemas of tensors."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from isthmus.runtime.manifest import Port
from isthmus.serving.tensors import DATATYPES, datatype_of

__all__ = ["example_tensor", "input_schema", "output_schema"]

Json = dict[str, Any]


def input_schema(port: Port, max_rows: int) -> Json:
    """A tensor of a request in JSON.

    Args:
        port: the input.
        max_rows: that are allowed.
    """
    rows = {"type": "integer", "minimum": 1, "maximum": max_rows}
    common: Json = {"name": {"const": port.name}, "shape": _shape(port, rows)}
    common["parameters"] = {"type": "object", "maxProperties": 0}
    variants = [
        {"datatype": {"enum": datatypes}, "data": _data(port, scalar, max_rows)}
        for datatypes, scalar in _datatypes(port)
    ]
    return {
        "type": "object",
        "title": port.name,
        "description": f"{f'The column {port.column}, {port.kind}. ' if port.column else ''}Its datatype is {datatype_of(port)}"
        "; others are taken if that can hold the values exactly.",
        "anyOf": [
            {
                "properties": {**common, **variant},
                "required": ["name", "shape", "datatype", "data"],
                "additionalProperties": False,
            }
            for variant in variants
        ],
    }


def output_schema(port: Port) -> Json:
    """A tensor of an answer in JSON, or of the JSON before the tensors in the binary form.

    Args:
        port: the output.
    """
    size = {"binary_data_size": {"type": "integer", "minimum": 0}}
    return {
        "type": "object",
        "title": port.name,
        **({"description": f"The column {port.column}, {port.kind}."} if port.column else {}),
        "properties": {
            "name": {"const": port.name},
            "datatype": {"const": datatype_of(port)},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 1 + len(port.shape),
                "maxItems": 1 + len(port.shape),
            },
            "parameters": {
                "type": "object",
                "properties": size,
                "required": list(size),
                "additionalProperties": False,
            },
            "data": {"type": "array", "items": _scalar(port), "minItems": 1},
        },
        "required": ["name", "datatype", "shape"],
        "additionalProperties": False,
    }


def example_tensor(port: Port) -> list[Any]:
    """The data of one example, in JSON."""
    value: Any = {"f": 0.5, "b": True, "O": port.labels[0] if port.labels else ""}.get(_dtype(port).kind, 1)
    if port.kind in {"integer", "boolean"} and _dtype(port).kind == "f":
        value = 1
    return [value] * prod(port.shape)


def _datatypes(port: Port) -> list[tuple[list[str], Json]]:
    """The datatypes that an input takes, its own first, and a value of them."""
    own = datatype_of(port)
    if own == "BYTES":
        return [([own], _scalar(port))]
    integer = {"type": ["integer", "null"] if port.kind == "date" else "integer"}
    groups: dict[str, Json] = {"f": {"type": ["number", "null"]}, "iu": integer, "b": {"type": "boolean"}}
    return [
        ([name for name, dtype in DATATYPES.items() if dtype != "string" and np.dtype(dtype).kind in kinds], scalar)
        for kinds, scalar in sorted(groups.items(), key=lambda group: _dtype(port).kind not in group[0])
    ]


def _data(port: Port, scalar: Json, max_rows: int) -> Json:
    """All values by rows, or nested lists."""
    flat: Json = {"type": "array", "items": scalar, "minItems": prod(port.shape)}
    if not port.shape:
        return flat
    nested = scalar
    for side in reversed(port.shape):
        nested = {"type": "array", "items": nested, "minItems": side, "maxItems": side}
    return {"anyOf": [flat, {"type": "array", "items": nested, "minItems": 1, "maxItems": max_rows}]}


def _shape(port: Port, rows: Json) -> Json:
    sides = [{"const": side} for side in port.shape]
    return {
        "type": "array",
        "prefixItems": [rows, *sides],
        "minItems": 1 + len(sides),
        "maxItems": 1 + len(sides),
    }


def _scalar(port: Port) -> Json:
    """A value: null is a missing one."""
    dtype = _dtype(port)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        kinds = ["integer", "null"] if port.kind == "date" else "integer"
        return {"type": kinds, "minimum": int(limits.min), "maximum": int(limits.max)}
    return {"type": {"b": "boolean", "f": ["number", "null"], "O": ["string", "null"]}[dtype.kind]}


def _dtype(port: Port) -> np.dtype[Any]:
    return np.dtype(object if port.dtype == "string" else port.dtype)
