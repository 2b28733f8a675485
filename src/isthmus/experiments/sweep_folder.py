"""The folder of a sweep: sweep.json, which names the examples from the first training on, sweep.csv and sweep.png."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isthmus.errors import DataError
from isthmus.estimators.training_data import TrainingData
from isthmus.experiments import run_folder
from isthmus.experiments.sweep_result import Sweep
from isthmus.io.atomic import replace_file
from isthmus.io.files import open_regular
from isthmus.plots.figure import save_png
from isthmus.text import as_json

__all__ = ["begin_folder", "write"]

_MAX_BYTES = 1 << 24  # of a sweep.json


def begin_folder(folder: Path, data: TrainingData) -> None:
    """Writes a first sweep.json; `DataError` if the folder holds another sweep or a run."""
    if (folder / run_folder.MODEL).exists() or (folder / run_folder.CHECKPOINT).exists():
        raise DataError(f"{folder} holds a run: choose another folder for the sweep (--out)")
    hashes, path = list(data.hashes), folder / run_folder.SWEEP
    if path.is_file():
        try:
            with open_regular(path) as file:
                recorded = json.loads(file.read(_MAX_BYTES))["examples"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(f"{path} is damaged: choose another folder (--out), or remove it first") from None
        if recorded != hashes:
            raise DataError(
                f"{folder} holds a sweep on other examples: choose another folder (--out), or remove it first"
            )
        return
    replace_file(path, json.dumps({"examples": hashes}).encode())


def write(folder: Path, result: Sweep, origin: dict[str, Any] | None) -> None:
    """Writes sweep.json, sweep.csv and sweep.png."""
    with open_regular(folder / run_folder.SWEEP) as file:
        recorded = json.loads(file.read(_MAX_BYTES))["examples"]
    replace_file(
        folder / run_folder.SWEEP, as_json({"examples": recorded, "origin": origin} | result.to_dict()).encode()
    )
    replace_file(folder / "sweep.csv", result.csv().encode())
    save_png(result.plot(), folder / "sweep.png")
