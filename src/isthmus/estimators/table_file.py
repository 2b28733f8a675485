"""The encoding of a table in its model file: a tensor with its JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.estimators.model_notes import Tensors
from isthmus.scaling import Scaling

__all__ = ["expected_table", "read_table", "table_tensors"]

_MOST = 1 << 24  # bytes


def table_tensors(table: TableEncoding | None) -> Tensors:
    """The encoding as JSON."""
    if table is None:
        return {}
    content = np.frombuffer(table.model_dump_json().encode(), np.uint8).copy()
    return {"table": torch.from_numpy(content)}


def expected_table(stored: Tensors) -> Tensors:
    """The tensor, on "meta", of a file that has one; ValueError if it is too long."""
    if "table" not in stored:
        return {}
    count = stored["table"].numel()
    if count > _MOST:
        raise ValueError(f"its table has {count:,} bytes, and at most {_MOST:,} are read")
    return {"table": torch.empty(count, dtype=torch.uint8, device="meta")}


def read_table(tensors: Tensors, columns: Any, scaling: Scaling) -> TableEncoding | None:
    """Removes the encoding from the tensors and returns it; ValueError for one that does not fit the model."""
    if "table" not in tensors:
        return None
    table = TableEncoding.model_validate_json(tensors.pop("table").numpy().tobytes())
    if columns is None or table.features != tuple(columns):
        raise ValueError("its table has other features than its columns")
    classes = table.classes if any(table.classes) else ()
    if tuple(scaling.classes if any(scaling.classes) else ()) != classes:
        raise ValueError("its table has other categories than its scaling")
    return table
