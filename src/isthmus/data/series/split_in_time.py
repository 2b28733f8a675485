"""Parts of windows that follow each other in time: neighboring windows share rows, so a part that is drawn at random is no new data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.series.window_array import WindowArray
from isthmus.errors import DataError

__all__ = ["shared_steps", "split_in_time"]

Rows = npt.NDArray[np.int64]
_COMPARED = 8  # examples of an array, each with the next one


def split_in_time(windows: WindowArray, fractions: Sequence[float]) -> list[Rows]:
    """The numbers of the windows of several parts. Of each machine, the first part is the earliest and the last the latest.

    A window that shares rows with a later part is in no part, so that no two parts have a row in common.

    Args:
        windows: the windows.
        fractions: of the windows of a machine, for each part but the first, which has the others.

    Returns:
        For each part, numbers of windows in ascending order.

    Raises:
        DataError: a part has no window.
    """
    parts: list[list[Rows]] = [[] for _ in range(len(fractions) + 1)]
    for group in np.unique(windows.groups):
        numbers = np.flatnonzero(windows.groups == group)
        numbers = numbers[np.argsort(windows.begins[numbers], kind="stable")]
        for part, chosen in zip(parts, _of_one_machine(windows, numbers, fractions), strict=True):
            part.append(chosen)
    joined = [np.sort(np.concatenate(part)) for part in parts]
    if not all(map(len, joined)):
        raise DataError(
            f"{len(windows):,} windows of {windows.length} rows are too few for {len(joined)} parts that share no row: give a longer "
            "series, or shorter windows"
        )
    return joined


def _of_one_machine(windows: WindowArray, numbers: Rows, fractions: Sequence[float]) -> list[Rows]:
    """The parts of the windows of one machine, which are in the order of time."""
    enough = len(numbers) > len(fractions)  # for a window in each part
    counts = [max(1, round(len(numbers) * fraction)) if enough else 0 for fraction in fractions]
    cuts = np.maximum(0, len(numbers) - np.cumsum(counts[::-1])[::-1])
    parts, end = [], np.iinfo(np.int64).max  # the first row of a later part
    for part in np.split(numbers, cuts)[::-1]:
        apart = part[windows.begins[part] + windows.length <= end]
        parts.append(apart)
        end = int(windows.begins[apart[0]]) if len(apart) else end
    return parts[::-1]


def shared_steps(values: npt.NDArray[Any]) -> int:
    """How many time steps each example of an array (n, time, ...) shares with the next one, if at least half of them; else 0.

    The first examples are compared. Equal ones share nothing.
    """
    few = np.asarray(values[: _COMPARED + 1])
    one, following, length = few[:-1], few[1:], few.shape[1]
    if len(few) < 2 or np.array_equal(one, following, equal_nan=True):
        return 0
    for step in range(1, length // 2 + 1):
        if np.array_equal(one[:, step:], following[:, :-step], equal_nan=True):
            return int(length - step)
    return 0
