"""Stores the training history and the column names, which may be long, as tensors of a model file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isthmus.training.state import Report

__all__ = ["Tensors", "expected_notes", "notes", "read_columns", "read_history"]

Tensors = dict[str, Tensor]  # on the device "meta": names, shapes and types without memory
_FIELDS = ("epoch", "step", "steps", "seconds", "loss", "nll", "penalty", "val_loss", "lr", "complete")
_MAX_HISTORY_VALUES = 2**18  # of a longer history, evenly spaced rows are stored


def notes(history: Sequence[Report], columns: Iterable[str] | None) -> tuple[list[str], Tensors]:
    """The names of the history's statistics, and tensors: the history (epochs, values), which values exist, and the column names if any."""
    names = list(dict.fromkeys(name for report in history for name in report.stats))
    history = _thinned(history, len(_FIELDS) + len(names))
    rows = [[getattr(report, name) for name in _FIELDS] + [report.stats.get(n) for n in names] for report in history]
    width = len(_FIELDS) + len(names)
    tensors = {
        "history": torch.tensor([[0.0 if v is None else float(v) for v in row] for row in rows], dtype=torch.float64),
        "history.there": torch.tensor([[v is not None for v in row] for row in rows], dtype=torch.bool),
    }
    tensors = {name: tensor.reshape(len(rows), width) for name, tensor in tensors.items()}
    if columns is not None:
        text = "\n".join(json.dumps(name) for name in columns)
        tensors["columns"] = torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy())
    return names, tensors


def _thinned(rows: Any, width: int) -> Any:
    """The rows; of a history that is too long, evenly spaced ones with the first and the last."""
    max_rows = max(2, _MAX_HISTORY_VALUES // width)
    if len(rows) <= max_rows:
        return rows
    positions = np.linspace(0, len(rows) - 1, max_rows).round().astype(np.int64)
    return rows[torch.from_numpy(positions)] if isinstance(rows, Tensor) else [rows[place] for place in positions]


def read_history(statistics: Sequence[str], last_epoch: int, tensors: Tensors) -> tuple[Report, ...]:
    """Removes the history from the tensors and returns its reports; ValueError if one is invalid or after the last epoch."""
    names = (*_FIELDS, *statistics)
    values, exists = (_thinned(tensors.pop(name), len(names)).tolist() for name in ("history", "history.there"))
    rows = [{n: v for n, v, e in zip(names, *row, strict=True) if e} for row in zip(values, exists, strict=True)]
    reports = tuple(map(_report, rows))
    if any(report.epoch > last_epoch for report in reports):
        raise ValueError(f"the history has an epoch after the last epoch, {last_epoch}")
    return reports


def _report(row: Mapping[str, float]) -> Report:
    fields: dict[str, Any] = {name: row.get(name) for name in _FIELDS}
    for name, limit in (("epoch", 2.0**31), ("step", 2.0**53), ("steps", 2.0**53)):
        if fields[name] is None or not fields[name].is_integer() or not 0 <= fields[name] < limit:
            raise ValueError(f"the history has an invalid {name}: {fields[name]}")
        fields[name] = int(fields[name])
    if fields["seconds"] is not None and not 0 <= fields["seconds"] < 1e10:
        raise ValueError(f"the history has invalid seconds: {fields['seconds']}")
    absent = next((name for name, value in fields.items() if value is None and name != "val_loss"), None)
    if absent is not None:
        raise ValueError(f"the history has an epoch without {absent}")
    fields["complete"] = bool(fields["complete"])
    return Report(**fields, stats={name: value for name, value in row.items() if name not in _FIELDS})


def read_columns(tensors: Tensors, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """Removes the column names from the tensors and returns them; ValueError unless there is one per feature, or per channel."""
    if "columns" not in tensors:
        return None
    content = tensors.pop("columns")
    count = int((content == ord("\n")).sum()) + 1
    if shape[-1:] != (count,) or len(shape) > 2:
        raise ValueError(f"columns has {count} names for examples of shape {shape}")
    return tuple(_text(line) for line in content.numpy().tobytes().decode().split("\n"))


def _text(line: str) -> str:
    """A JSON string. Other text is not parsed."""
    if not (len(line) > 1 and line[0] == line[-1] == '"'):
        raise ValueError("columns has a name that is not a string")
    return str(json.loads(line))


def expected_notes(statistics: Sequence[str], stored: Tensors) -> Tensors:
    """The expected tensors of history and column names, on "meta": as long as the stored ones, and as wide as the header says."""
    width = len(_FIELDS) + len(statistics)
    rows = len(stored["history"]) if stored["history"].ndim else 0
    expected = {
        "history": torch.empty(rows, width, dtype=torch.float64, device="meta"),
        "history.there": torch.empty(rows, width, dtype=torch.bool, device="meta"),
    }
    if "columns" in stored:
        expected["columns"] = torch.empty(stored["columns"].numel(), dtype=torch.uint8, device="meta")
    return expected
