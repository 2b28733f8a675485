"""The values of inputs and outputs of a part, of raw examples: what an exported file is given, and what it should give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.tables.date_columns import MICROSECONDS
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.estimators.export.ports import Port
from isthmus.estimators.export.table_ports import MISSING_DATE, columns_of

__all__ = ["column_values", "given_columns", "some_examples"]

Array = NDArray[Any]


def given_columns(table: TableEncoding, ports: Sequence[Port], features: NDArray[np.float64]) -> dict[str, Array]:
    """The inputs that mean features (n, d)."""
    found, at = dict[str, Array](), 0
    for column, port in zip(table.columns, ports, strict=True):
        first = features[:, at]
        at += column.width
        missing = np.isnan(first)
        if column.kind == "date":
            ticks = np.round(np.where(missing, 0, first) * MICROSECONDS).astype(np.int64)
            found[port.name] = np.where(missing, MISSING_DATE, ticks)
        elif column.categories:
            labels = np.array([*column.categories, "" if port.dtype == "string" else np.nan], dtype=object)
            chosen = labels[np.where(missing, len(column.categories), first).astype(np.int64)]
            found[port.name] = chosen if port.dtype == "string" else chosen.astype(port.dtype)
        else:
            found[port.name] = first.astype(port.dtype)
    return found


def column_values(table: TableEncoding, ports: Sequence[Port], features: Array, missing: bool) -> list[Array]:
    """The outputs that reconstructed features (n, d) mean."""
    columns = columns_of(table, torch.from_numpy(np.ascontiguousarray(features)), missing)
    return [
        np.array(port.labels, dtype=object)[column.numpy()] if port.dtype == "string" else column.numpy()
        for port, column in zip(ports, columns, strict=True)
    ]


def some_examples(least: Array, largest: Array, shape: tuple[int, ...], count: int) -> NDArray[np.float64]:
    """Examples (count, *shape) between the least and the largest values of training, at random."""
    low, high = (np.broadcast_to(np.asarray(side, np.float64), shape) for side in (least, largest))
    return low + np.random.default_rng(0).random((count, *shape)) * (high - low)
