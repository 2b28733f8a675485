"""The columns of a table as features of a model, and back, as operations of PyTorch that a graph can hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from isthmus.data.tables.column_encoding import ColumnEncoding
from isthmus.data.tables.date_columns import DAYS, MICROSECONDS, PHASE_DECIMALS, SECONDS
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.errors import NotPossibleError
from isthmus.estimators.export.ports import Port
from isthmus.text import printable

__all__ = ["column_ports", "columns_of", "exact", "features_of", "imputed_columns"]

_TAKEN = {
    "",
    "X",
    "y",
    "code",
    "score",
    "p_value",
    "anomaly",
    "reconstruction",
    "imputed",
}  # by other inputs and outputs
_PREFIXES = ("column.", "reconstruction.", "imputed.", "isthmus/")
MISSING_DATE = -(2**63)  # NaT, as NumPy stores it


def column_ports(table: TableEncoding, missing: bool) -> tuple[Port, ...]:
    """The inputs of a table: one for each column, (b,).

    A category is a text, an empty one missing; a date the microseconds since 1970, NaT missing; where values may be missing, whole
    numbers and booleans are float64, NaN missing. Inputs have the names of the columns, after "column." where an output or another input
    has such a name.

    Args:
        table: how columns become features.
        missing: whether values may be missing.

    Raises:
        NotPossibleError: an empty text is a category, and a missing value too.
    """
    for column in table.columns:
        if missing and "" in labels_of(column):
            raise NotPossibleError(
                f"column {printable(column.name)!r} has the empty text as a category, which is a missing value in exported files: "
                "train with another text in its place"
            )
    return tuple(_port(column, missing) for column in table.columns)


def features_of(table: TableEncoding, columns: Sequence[Tensor]) -> Tensor:
    """The features (b, d) of columns (b,) each, NaN where a value is missing."""
    parts = [part for column, values in zip(table.columns, columns, strict=True) for part in _features(column, values)]
    return torch.stack(parts, 1)


def columns_of(table: TableEncoding, features: Tensor, missing: bool) -> tuple[Tensor, ...]:
    """The columns (b,) each of reconstructed features (b, d): rounded and bounded as `ColumnEncoding.decode` does it."""
    found, at = list[Tensor](), 0
    for column in table.columns:
        found.append(_column(column, features[:, at].double()).to(_computed(column, missing)))
        at += column.width
    return tuple(found)


def imputed_columns(table: TableEncoding, given: Sequence[Tensor], made: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Columns with values made in place of missing ones."""
    return tuple(
        torch.where(_is_missing(column, old), new, old)
        for column, old, new in zip(table.columns, given, made, strict=True)
    )


def exact(number: float) -> Tensor:
    """A number in double precision: exporters write the numbers of Python in the precision of single numbers."""
    return torch.tensor(number, dtype=torch.float64)


def labels_of(column: ColumnEncoding) -> tuple[str, ...]:
    """The labels of a column of text, () for others."""
    texts = all(isinstance(label, str) for label in column.categories)
    return tuple(map(str, column.categories)) if column.categories and texts else ()


def _port(column: ColumnEncoding, missing: bool) -> Port:
    dtype = "string" if labels_of(column) else str(_computed(column, missing)).removeprefix("torch.")
    labels = labels_of(column) or tuple(
        str(int(each) if isinstance(each, bool) else each) for each in column.categories
    )
    taken = column.name in _TAKEN or column.name.startswith(_PREFIXES)
    name = f"{_PREFIXES[0]}{column.name}" if taken else column.name
    return Port(name, dtype, (), labels, column.name, column.kind, column.zone)


def _computed(column: ColumnEncoding, missing: bool) -> torch.dtype:
    """The dtype in which the graph computes with a column."""
    if labels_of(column) or column.kind == "date":
        return torch.int64
    whole = all(isinstance(label, int) and not isinstance(label, bool) for label in column.categories)
    if missing or column.kind == "number" or (column.categories and not whole):
        return torch.float64
    return torch.bool if column.kind == "boolean" else torch.int64


def _features(column: ColumnEncoding, values: Tensor) -> list[Tensor]:
    """The features of a column, (b,) each."""
    if labels := labels_of(column):
        return [torch.where((values < 0) | (values >= len(labels)), math.nan, values.double())]
    if column.categories:
        same = values[:, None] == _numbers(column).to(values.dtype)
        return [torch.where(same.any(1), same.to(torch.int64).argmax(1).double(), math.nan)]
    if column.kind != "date":
        return [values.double()]
    missing = values == MISSING_DATE
    days = torch.where(missing, math.nan, values.double() / exact(MICROSECONDS))
    lengths = [round(DAYS[cycle] * MICROSECONDS) for cycle in column.cycles]
    parts = [torch.remainder(values, length).double() / exact(length) for length in lengths]
    angles = [torch.where(missing, math.nan, exact(2 * math.pi) * part) for part in parts]
    factor = exact(10.0**PHASE_DECIMALS)
    return [days, *((wave(angle) * factor).round() / factor for angle in angles for wave in (torch.sin, torch.cos))]


def _column(column: ColumnEncoding, first: Tensor) -> Tensor:
    """The values of a column, or positions of labels, of its first feature (b,)."""
    if column.categories or column.kind == "boolean":
        count = len(column.categories) or 2
        position = first.round().clamp(0, count - 1)
        if labels_of(column) or column.kind == "boolean":
            return position
        return _numbers(column)[position.to(torch.int64)]
    bounded = torch.minimum(torch.maximum(first, exact(column.least)), exact(column.largest))
    if column.kind == "date":
        seconds = SECONDS[column.unit]
        return ((bounded * exact(86_400.0 / seconds)).round() * exact(seconds * 1e6)).round()
    if column.kind == "integer":
        return bounded.round()
    if column.decimals is None:
        return bounded
    factor = exact(10.0**column.decimals)
    return (bounded * factor).round() / factor


def _numbers(column: ColumnEncoding) -> Tensor:
    """The categories of a column that are numbers or booleans."""
    whole = all(isinstance(label, int) for label in column.categories)
    return torch.tensor(column.categories, dtype=torch.int64 if whole else torch.float64)


def _is_missing(column: ColumnEncoding, values: Tensor) -> Tensor:
    """Which values (b,) of a column are missing; a text that is no label is."""
    if column.kind == "date":
        return values == MISSING_DATE
    if labels_of(column):
        return values < 0
    return values.isnan() if values.is_floating_point() else torch.zeros_like(values, dtype=torch.bool)
