"""Weights of columns by name, as the weights of a likelihood: `Autoencoder(column_weights={"price": 5})`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from isthmus.data.tables.column_kinds import name_of
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.errors import RecordError
from isthmus.likelihoods import Likelihood, Weighted
from isthmus.likelihoods.weighted import MAX_WEIGHT
from isthmus.text import printable, quoted

__all__ = ["checked_weights", "with_column_weights"]

_NAMED = 3  # close names in a message
_LISTED = 10  # names in a message


def checked_weights(weights: Mapping[Any, Any] | None) -> dict[str, float]:
    """The weights by the names of their columns as text; `RecordError` for one that is no number from 0 to a million."""
    checked = dict[str, float]()
    for key, weight in (weights or {}).items():
        name = name_of(key)
        if not isinstance(weight, Real) or isinstance(weight, bool) or not 0 <= float(weight) <= MAX_WEIGHT:
            raise RecordError(
                f"invalid column_weights[{quoted(name)}]={quoted(weight)}: expected a number from 0 to {MAX_WEIGHT:,.0f}, such as 5 "
                "for a column that counts five times as much as one without a weight"
            )
        if name in checked:
            raise RecordError(f"column_weights names the column {quoted(name)} twice: give it one weight")
        checked[name] = float(weight)
    return checked


def with_column_weights(
    likelihood: Likelihood,
    weights: Mapping[Any, Any] | None,
    columns: Sequence[str] | None,
    table: TableEncoding | None,
) -> Likelihood:
    """The likelihood with the weights of columns; those that are not named have the weight 1.

    Args:
        likelihood: of all features.
        weights: by the names of columns; None or empty without.
        columns: the names of the features, or of the channels; None without names.
        table: how the columns of a table became features: all features of a column have its weight. None if each is a feature.

    Raises:
        RecordError: a weight is invalid, its column is not learned, or the likelihood has weights of its own.
    """
    given = checked_weights(weights)
    if not given:
        return likelihood
    if likelihood.weighted:
        raise RecordError(f"column_weights and likelihood={likelihood!r} both set weights of columns: give one of them")
    if columns is None and table is None:
        raise RecordError(
            "column_weights (--column-weight) names columns, and the examples have no names: give a data frame or a file with a header, "
            "or likelihood=Weighted(...) with a weight for each column"
        )
    widths = {} if columns is None else dict.fromkeys(columns, 1)
    if table is not None:
        widths = {column.name: column.width for column in table.columns}
    for name in given:
        if name not in widths:
            raise _not_learned(name, list(widths), dict(table.left_out) if table is not None else {})
    return Weighted(likelihood, tuple(given.get(name, 1.0) for name, width in widths.items() for _ in range(width)))


def _not_learned(name: str, columns: list[str], left_out: Mapping[str, str]) -> RecordError:
    """The error for a name that is no column that is learned, with the names that are close to it."""
    what = f"column_weights (--column-weight) names {quoted(name)}, which is "
    if name in left_out:
        return RecordError(f"{what}left out of the table ({left_out[name]}): leave out its weight, or give its kind")
    by_lower = {column.lower(): column for column in reversed(columns)}
    close = [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, n=_NAMED)]
    names = close or columns[:_LISTED]
    listed = ", ".join(printable(each, 60) for each in names) + (
        ", ..." if not close and len(columns) > _LISTED else ""
    )
    return RecordError(
        f"{what}no column that is learned: " + (f"did you mean {listed}?" if close else f"there are {listed}")
    )
