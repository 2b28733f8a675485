"""Whether examples have the shape and the columns that an autoencoder was fitted on: one check for all that takes examples."""

from __future__ import annotations

import math
from typing import Any, Protocol

from isthmus.data.channels import how_to_fit
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["check_shape_and_columns"]

_LISTED = 10  # names in a message


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
    """`DataError` unless examples fit an autoencoder.

    Args:
        ae: the fitted autoencoder.
        shape: of one example.
        columns: the names of the features, None where they have none.
        what, of: what the examples and the autoencoder are called in the sentence.
        hint: what to do about another shape, where its axes do not say it.
    """
    known: tuple[Any, ...] = tuple(getattr(ae, "feature_names_in_", ()))
    if known and columns is not None and columns != known:
        raise DataError(f"{what} have other columns than {of} was fitted on: {_difference(known, columns)}")
    if shape != ae.shape_:
        same = math.prod(shape) == math.prod(ae.shape_)
        how = how_to_fit(shape, ae.shape_) or hint or ("reshape X to (n, *shape_)" if same else "")
        raise DataError(f"{what} have shape {shape}, but {of} was fitted on shape {ae.shape_}{how and f'; {how}'}")


def _difference(known: tuple[Any, ...], columns: tuple[str, ...]) -> str:
    """Which name is another one, and the names that are known."""
    wrong = next(((a, b) for a, b in zip(known, columns, strict=False) if a != b), None)
    reason = f"column {wrong[1]!r} stands where {wrong[0]!r} did" if wrong else "their number differs"
    return f"{reason} ({', '.join(map(printable, known[:_LISTED]))}{', ...' if len(known) > _LISTED else ''})"
