"""The history of a training and the names of columns, which may be long, as tensors of a model file."""

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
_FIGURES = ("epoch", "step", "steps", "seconds", "loss", "nll", "penalty", "val_loss", "lr", "complete")
_MOST_HISTORY = 2**18  # numbers; of a history of more, rows that are evenly spaced are kept


def notes(history: Sequence[Report], columns: Iterable[str] | None) -> tuple[list[str], Tensors]:
    """The names of the history's statistics; the history (epochs, figures) with what of it there is; the names of columns, if any."""
    names = list(dict.fromkeys(name for report in history for name in report.stats))
    history = _thinned(history, len(_FIGURES) + len(names))
    rows = [[getattr(report, name) for name in _FIGURES] + [report.stats.get(n) for n in names] for report in history]
    wide = len(_FIGURES) + len(names)
    tensors = {
        "history": torch.tensor([[0.0 if v is None else float(v) for v in row] for row in rows], dtype=torch.float64),
        "history.there": torch.tensor([[v is not None for v in row] for row in rows], dtype=torch.bool),
    }
    tensors = {name: tensor.reshape(len(rows), wide) for name, tensor in tensors.items()}
    if columns is not None:
        text = "\n".join(json.dumps(name) for name in columns)
        tensors["columns"] = torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy())
    return names, tensors


def _thinned(rows: Any, wide: int) -> Any:
    """All rows, or of very many as many as a file's history holds: evenly spaced, the first and the last among them."""
    most = max(2, _MOST_HISTORY // wide)
    if len(rows) <= most:
        return rows
    positions = np.linspace(0, len(rows) - 1, most).round().astype(np.int64)
    return rows[torch.from_numpy(positions)] if isinstance(rows, Tensor) else [rows[place] for place in positions]


def read_history(statistics: Sequence[str], last: int, tensors: Tensors) -> tuple[Report, ...]:
    """The reports that `notes` made tensors of, none after the last epoch; ValueError if they are none."""
    names = (*_FIGURES, *statistics)
    values, there = (_thinned(tensors.pop(name), len(names)).tolist() for name in ("history", "history.there"))
    rows = [{n: v for n, v, known in zip(names, *row, strict=True) if known} for row in zip(values, there, strict=True)]
    reports = tuple(map(_report, rows))
    if any(report.epoch > last for report in reports):
        raise ValueError(f"the history has an epoch after {last}, which is the last")
    return reports


def _report(row: Mapping[str, float]) -> Report:
    figures: dict[str, Any] = {name: row.get(name) for name in _FIGURES}
    for name, most in (("epoch", 2.0**31), ("step", 2.0**53), ("steps", 2.0**53)):
        if figures[name] is None or not figures[name].is_integer() or not 0 <= figures[name] < most:
            raise ValueError(f"the history has the {name} {figures[name]}")
        figures[name] = int(figures[name])
    if figures["seconds"] is not None and not 0 <= figures["seconds"] < 1e10:
        raise ValueError(f"the history has the seconds {figures['seconds']}")
    lacks = next((name for name, value in figures.items() if value is None and name != "val_loss"), None)
    if lacks is not None:
        raise ValueError(f"the history lacks the {lacks} of an epoch")
    figures["complete"] = bool(figures["complete"])
    return Report(**figures, stats={name: value for name, value in row.items() if name not in _FIGURES})


def read_columns(tensors: Tensors, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """The names of columns; ValueError unless there is one for each number of an example."""
    if "columns" not in tensors:
        return None
    content = tensors.pop("columns")
    count = int((content == ord("\n")).sum()) + 1
    if shape != (count,):
        raise ValueError(f"columns has {count} names for examples of shape {shape}")
    return tuple(_text(line) for line in content.numpy().tobytes().decode().split("\n"))


def _text(line: str) -> str:
    """A JSON text; what does not begin and end as one is not looked at."""
    if not (len(line) > 1 and line[0] == line[-1] == '"'):
        raise ValueError("columns has a name that is no text")
    return str(json.loads(line))


def expected_notes(statistics: Sequence[str], there: Tensors) -> Tensors:
    """What the notes have to look like: as long as they are, and as wide as the header says."""
    wide = len(_FIGURES) + len(statistics)
    rows = len(there["history"]) if there["history"].ndim else 0
    asked = {
        "history": torch.empty(rows, wide, dtype=torch.float64, device="meta"),
        "history.there": torch.empty(rows, wide, dtype=torch.bool, device="meta"),
    }
    if "columns" in there:
        asked["columns"] = torch.empty(there["columns"].numel(), dtype=torch.uint8, device="meta")
    return asked
