"""Tensors of the protocol: every value is kept exactly, or refused with a sentence."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from isthmus.runtime.manifest import Port
from isthmus.serving.json_text import json_object
from isthmus.serving.request_error import RequestError
from isthmus.serving.tensors import DATATYPES, datatype_of, fitted, from_binary, from_json, to_binary, to_json

NUMBERS = {name: np.dtype(dtype) for name, dtype in DATATYPES.items() if dtype != "string"}


def port(dtype: str, *shape: int, kind: str = "") -> Port:
    return Port("x", dtype, shape, kind=kind)


def extremes(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Values that a careless conversion changes."""
    if dtype.kind == "b":
        return np.array([True, False, True, True])
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        return np.array([0.1, -0.0, limits.max, limits.smallest_subnormal, np.nan, 1 / 3], dtype)
    limits = np.iinfo(dtype)
    return np.array([limits.min, limits.max, limits.max - 1, 0], dtype)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_keep_their_bits(name: str) -> None:
    values = extremes(NUMBERS[name]).reshape(2, -1)
    own = port(values.dtype.name, values.shape[1])
    text = to_json(values, own)
    assert json.loads(text, parse_constant=pytest.fail)
    for again in (
        from_json(json_object(f'{{"data": {text}}}'.encode())["data"], name, values.shape, own),
        from_binary(memoryview(to_binary(values, own)), name, values.shape, own),
    ):
        assert again.dtype == values.dtype
        assert again.tobytes() == values.tobytes()


def test_texts_are_kept() -> None:
    texts, own = np.array(["", "ä", "a\nb", "𝔛"], object), port("string")
    assert from_json(json.loads(to_json(texts, own)), "BYTES", (4,), own).tolist() == texts.tolist()
    assert from_binary(memoryview(to_binary(texts, own)), "BYTES", (4,), own).tolist() == texts.tolist()
    assert from_json([None, "b"], "BYTES", (2,), own).tolist() == ["", "b"]


def test_missing_dates_are_null() -> None:
    day = port("int64", kind="date")
    values = np.array([np.iinfo(np.int64).min, 5])
    assert to_json(values, day) == "[null,5]"
    assert np.array_equal(from_json([None, 5], "INT64", (2,), day), values)


def test_lists_may_be_nested_or_flat() -> None:
    own, values = port("float32", 2, 3), np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    for data in (values.tolist(), values.ravel().tolist()):
        assert np.array_equal(from_json(data, "FP32", (2, 2, 3), own), values)
    for data in ([[[0, 1, 2], [3, 4]], [[6, 7, 8], [9, 10, 11]]], [[[0, 1, 2]], [[3, 4, 5]]], [[0, 1], 2], [[[[0]]]]):
        with pytest.raises(RequestError, match="in dimension"):
            from_json(data, "FP32", (2, 2, 3), own)


REFUSED_JSON = {
    "has 3 values, and the shape": ("FP32", [1, 2, 3]),
    "true as value 1, which is no number": ("FP32", [1, True]),
    "'1' as value 0, which is no number": ("FP64", ["1", 2]),
    "an object as value 0": ("FP64", [{}, 2]),
    "1e.39, which is too large for FP32": ("FP32", [1e39, 0]),
    "which is too large": ("FP64", [10**400, 0]),
    "the integer 16777217, which FP32 cannot hold exactly": ("FP32", [16777217, 0]),
    "the integer 9007199254740993, which FP64": ("FP64", [2**53 + 1, 0]),
    "has 256, which is no UINT8": ("UINT8", [256, 0]),
    "has -1, which is no UINT64": ("UINT64", [0, -1]),
    "has 9223372036854775808, which is no INT64": ("INT64", [2**63, 0]),
    "has 1.5, which is no integer": ("INT8", [1.5, 0]),
    "has nan, which is no integer": ("INT8", [float("nan"), 0]),
    "null as value 0, which is no integer": ("INT64", [None, 0]),
    "1 as value 0, which is no true or false": ("BOOL", [1, True]),
    "1 as value 1, which is no text": ("BYTES", ["a", 1]),
    "is no text of Unicode": ("BYTES", ["a", "\ud800"]),
}


@pytest.mark.promise(29)
@pytest.mark.parametrize("sentence", REFUSED_JSON)
def test_json_that_is_no_tensor_is_refused(sentence: str) -> None:
    datatype, data = REFUSED_JSON[sentence]
    with pytest.raises(RequestError, match=sentence):
        from_json(data, datatype, (2,), port(DATATYPES[datatype]))


def test_the_largest_values_are_no_error() -> None:
    assert from_json([2.0, 2**53], "FP64", (2,), port("float64")).tolist() == [2, 2**53]
    assert from_json([2.0, 2**30], "FP32", (2,), port("float32")).tolist() == [2, 2**30]  # a power of two is exact
    assert from_json([1.0, -128], "INT8", (2,), port("int8")).tolist() == [1, -128]
    assert (
        from_json([16777217.0, 0], "FP32", (2,), port("float32"))[0] == 16777216
    )  # the nearest, as of any decimal number


def text(*parts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


REFUSED_BINARY = {
    "has 7 bytes, and 2 values of FP32 are 8": ("FP32", bytes(7)),
    "has a BOOL that is neither": ("BOOL", b"\x01\x02"),
    "ends within text 1 of 2": ("BYTES", text(b"a")),
    "ends within text 0 of 2": ("BYTES", b"\xff\xff\xff\xff" + text(b"b")),
    "has 5 bytes after 2 texts": ("BYTES", text(b"a", b"b", b"c")),
    "as text 1 that are no UTF-8": ("BYTES", text(b"a", b"\xff")),
}


@pytest.mark.promise(29)
@pytest.mark.parametrize("sentence", REFUSED_BINARY)
def test_bytes_that_are_no_tensor_are_refused(sentence: str) -> None:
    datatype, raw = REFUSED_BINARY[sentence]
    with pytest.raises(RequestError, match=sentence):
        from_binary(memoryview(raw), datatype, (2,), port(DATATYPES[datatype]))


def test_another_datatype_is_taken_if_each_value_stays_the_same() -> None:
    rng = np.random.default_rng(0)
    for name, dtype in NUMBERS.items():
        for wanted in NUMBERS.values():
            values = np.concatenate([extremes(dtype), rng.integers(0, 2, 8).astype(dtype)])
            own = port(wanted.name)
            same = [equal(value, wanted) for value in values.tolist()]
            for value, kept in zip(values, same, strict=True):
                one = np.array([value])
                if kept:
                    assert fitted(one, name, own).dtype == wanted
                    assert fitted(one, name, own).tolist()[0] == value or value != value, (name, wanted, value)
                else:
                    with pytest.raises(RequestError, match=f"which {datatype_of(own)} cannot hold exactly"):
                        fitted(one, name, own)


def test_the_first_numbers_beyond_the_integers_are_refused() -> None:
    """Their limits are no floating-point numbers: a comparison with them rounds."""
    for dtype, beyond in (("int64", 2.0**63), ("uint64", 2.0**64), ("int32", 2.0**31), ("uint8", 256.0)):
        with pytest.raises(RequestError, match="cannot hold exactly"):
            fitted(np.array([beyond]), "FP64", port(dtype))
        below = np.nextafter(beyond, 0) if beyond > 2**53 else beyond - 1
        assert fitted(np.array([below]), "FP64", port(dtype)).tolist() == [int(below)]


def equal(value: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a dtype holds a number exactly, by Python's integers and fractions, which are exact."""
    if dtype.kind == "f":
        if value != value:
            return True
        with np.errstate(over="ignore"):
            return bool(abs(value) <= np.finfo(dtype).max) and float(dtype.type(value)) == value
    if value != value:
        return False
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return low <= value <= high and value == int(value)
