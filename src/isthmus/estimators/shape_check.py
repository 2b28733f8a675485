"""Checks that examples have the shape and the column names of the training data."""

from __future__ import annotations

import math
from typing import Any, Protocol

from isthmus.data.channels import how_to_fit
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["check_shape_and_columns"]

_MAX_LISTED = 10  # names in a message


class _HasShape(Protocol):
    @property
    def shape_(self) -> tuple[int, ...]: ...


def check_shape_and_columns(
    ae: _HasShape,
    shape: tuple[int, ...],
    columns: tuple[str, ...] | None,
    *,
    what: str = "examples",
    of: str = "this autoencoder",
    hint: str = "",
) -> None:
    """`DataError` unless examples have the shape and the columns of an autoencoder's training data.

    Args:
        ae: the fitted autoencoder.
        shape: the shape of one example.
        columns: the names of the features, None if they have no names.
        what, of: the names of the examples and of the autoencoder in the message.
        hint: what to do about a different shape, unless the axes already show it.
    """
    expected: tuple[Any, ...] = tuple(getattr(ae, "_features", ()))
    if expected and columns is not None and columns != expected:
        raise DataError(
            f"the columns of {what} differ from those that {of} was fitted on: {_difference(expected, columns)}"
        )
    if shape != ae.shape_:
        same = math.prod(shape) == math.prod(ae.shape_)
        how = how_to_fit(shape, ae.shape_) or hint or ("reshape X to (n, *shape_)" if same else "")
        raise DataError(f"{what} have shape {shape}, but {of} was fitted on shape {ae.shape_}{how and f'; {how}'}")


def _difference(expected: tuple[Any, ...], columns: tuple[str, ...]) -> str:
    """The first name that differs, and the expected names."""
    wrong = next(((a, b) for a, b in zip(expected, columns, strict=False) if a != b), None)
    reason = f"column {wrong[1]!r} is in the place of {wrong[0]!r}" if wrong else "their number differs"
    listed = ", ".join(map(printable, expected[:_MAX_LISTED]))
    return f"{reason} (expected {listed}{', ...' if len(expected) > _MAX_LISTED else ''})"
