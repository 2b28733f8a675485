"""Warnings about examples that may mean something else than they seem to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isthmus.data.kinds import seem_images
from isthmus.data.statistics import DataStatistics
from isthmus.data.tables.table_array import lost_table
from isthmus.data.validation import Examples
from isthmus.estimators.defaults import ResolvedComponents
from isthmus.scaling import axes_of, shared_by
from isthmus.text import printable

__all__ = ["kind_warning", "rounding_warning", "table_warning"]


def table_warning(examples: Examples) -> str:
    """A warning if an ordinary array seems to hold the features of a table, whose categories are numbers in it; else an empty text."""
    table = None if examples.table is not None or examples.columns is not None else lost_table(examples.values)
    if table is None:
        return ""
    name = next(column.name for column in table.columns if column.kind in {"category", "boolean"})
    return (
        f"X is an ordinary array, and its values are like the features of a table that was read ({table.summary()}): categories such as "
        f"those of {printable(name)!r} are learned as numbers; pass the array as it was read, X[rows] to select or shuffle its rows"
    )


def kind_warning(statistics: DataStatistics, chosen: ResolvedComponents) -> str:
    """A warning if the examples could be images and are treated as another kind; else an empty text."""
    assert chosen.extent is not None
    low, high = float(chosen.extent.least.min()), float(chosen.extent.largest.max())
    if chosen.kind == "images" or not seem_images(
        chosen.shape, low, high, statistics.all_integers and statistics.all_finite
    ):
        return ""
    columns = "rows of a table, with a scale for each column"
    treated_as = columns if chosen.kind == "table" else "windows of series, whose last axis is channels"
    return (
        f"examples of shape {chosen.shape} from 0 to {high:g} are treated as {treated_as}: if they are images, pass kind='images', "
        f"and if not, kind='{chosen.kind}'"
    )


def rounding_warning(statistics: DataStatistics, chosen: ResolvedComponents, columns: Sequence[str] | None) -> str:
    """A warning if single-precision columns vary only by their rounding error and are treated as constant; else an empty text.

    Double-precision columns with so little variation are rounding errors themselves and cause no warning.
    """
    values = statistics.values
    if chosen.extent is None or chosen.kind == "images" or values.dtype.kind != "f" or values.dtype.itemsize > 4:
        return ""
    constant = chosen.extent.least == chosen.extent.largest
    if not constant.any():
        return ""
    low, high = statistics.min_max(axes_of(shared_by(chosen.kind, values.ndim), values.ndim))
    positions = np.argwhere(constant & (high > low))
    if not len(positions):
        return ""
    place = tuple(map(int, positions[0]))
    if chosen.kind == "table":
        named = columns is not None and len(place) == 1
        what = f"column '{printable(columns[place[0]])}'" if named else f"column {', '.join(map(str, place))}"  # type: ignore[index]
    else:
        what = f"channel {place[-1]}" if place else "all values together"
    more, several = (f" and {len(positions) - 1:,} more", True) if len(positions) > 1 else ("", False)
    return (
        f"{what}{more} {'vary' if several else 'varies'} no more than the rounding error of {values.dtype.name}, by "
        f"{float(high[place]) - float(low[place]):g} around {float(low[place]):g}, and {'are' if several else 'is'} treated as constant: "
        "pass float64 data, or subtract the mean first"
    )
