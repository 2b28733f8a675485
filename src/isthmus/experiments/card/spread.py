"""The spread of figures over random states, of a run that is part of a sweep."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from isthmus.evaluation import format_figure
from isthmus.evaluation.results import value_of
from isthmus.experiments.run_folder import SWEEP
from isthmus.io.files import open_regular

__all__ = ["spread"]

_MOST_BYTES = 1 << 26  # of a sweep.json
_NAMES = {"mse": "mean squared error", "column_error": "error by column", "nats": "loss in nats per example"}


def spread(run: Path) -> str:
    """Mean and standard deviation over the trainings of a sweep that differ from a run in their random state alone.

    Args:
        run: the run folder.

    Returns:
        One sentence; "" where the run is no part of a sweep, or there is only one random state.
    """
    try:
        with open_regular(run.parent / SWEEP) as file:
            trainings = json.loads(file.read(_MOST_BYTES))["trainings"]
        own = next(each for each in trainings if each["folder"] == run.name)
        alike = [each for each in trainings if each["values"] == own["values"] and each["validation"]]
        return _sentence(alike) if len(alike) > 1 else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError):
        return ""  # no sweep, or a damaged one: the spread is not known


def _sentence(trainings: list[dict[str, Any]]) -> str:
    parts = []
    for name, words in _NAMES.items():
        values = [value_of(each["validation"], name) for each in trainings]
        if all(isinstance(value, int | float) for value in values):
            mean, deviation = statistics.fmean(values), statistics.stdev(values)
            parts.append(f"{words} {format_figure(mean)} ± {format_figure(deviation)}")
    n = int(trainings[0]["validation"]["n_examples"])
    if not parts:
        return ""
    return (
        f"Over {len(trainings)} random states of its sweep, on {n:,} validation examples (mean ± standard deviation): "
        f"{'; '.join(parts)}."
    )
