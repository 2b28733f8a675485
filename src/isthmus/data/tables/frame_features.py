"""A data frame as features: with an encoding of its own, or with one that is known. Guesses and unknown categories are warnings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.non_numeric import non_numeric_type
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_kinds import GivenKind
from isthmus.data.tables.frame_columns import library_of
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.errors import DataError, IsthmusWarning

__all__ = ["has_kinds", "known_features", "own_features"]

Doubles = NDArray[np.float64]


def own_features(frame: Any, kinds: Mapping[str, GivenKind] | None) -> tuple[TableEncoding, Doubles]:
    """The encoding of a frame and its features (n, d). What was guessed or left out is a warning."""
    table, values = TableEncoding.fit_encode(frame, kinds)
    if note := table.note():
        warnings.warn(note, IsthmusWarning, stacklevel=_caller_level())
    return table, values


def known_features(frame: Any, table: TableEncoding, missing: bool) -> Doubles:
    """The features (n, d) of a frame.

    Args:
        frame: the frame.
        table: its encoding.
        missing: whether a category that the encoding does not know is missing, with a warning; else it is an error.

    Raises:
        DataError: a column or a category is unknown.
    """
    features = table.encode(frame)
    sentence = features.sentence()
    if sentence and not missing:
        raise DataError(f"X has {sentence}; correct them, or fit with missing='allow', which takes them as missing")
    if sentence:
        warnings.warn(f"X has {sentence}, which are taken as missing", IsthmusWarning, stacklevel=_caller_level())
    if note := features.note_on_fractions():
        warnings.warn(f"X has {note}", IsthmusWarning, stacklevel=_caller_level())
    return features.values


def has_kinds(frame: Any) -> bool:
    """Whether a frame has a column that is not of numbers or booleans, so that kinds say what it means."""
    if library_of(frame) != "pandas":
        schema = frame.schema if library_of(frame) == "pyarrow" else frame.clear().to_arrow().schema
        return not all(map(_is_number, schema.types))
    return any(
        dtype == "category" or (dtype.kind not in "biufc" and not _object_numbers(frame.iloc[:, number]))
        for number, dtype in enumerate(frame.dtypes)
    )


def _is_number(kind: Any) -> bool:
    """Whether a type of pyarrow is a number or a boolean."""
    types = pyarrow().types
    numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
    return any(is_one(kind) for is_one in numbers)


def _object_numbers(series: Any) -> bool:
    """Whether a pandas column of objects, or a sparse one, holds numbers alone."""
    if str(series.dtype).startswith("Sparse["):
        return True
    return series.dtype == object and not any(
        non_numeric_type(value) is not None or hasattr(value, "isoformat") or hasattr(value, "__iter__")
        for value in series
    )


def _caller_level() -> int:
    """The stack level of the first caller outside of this package, for a warning of the function that asks."""
    frame, level = sys._getframe(1), 1
    inside = {"isthmus", "contextlib"}
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in inside:
        frame, level = frame.f_back, level + 1
    return level
