# ruff: noqa: ARG001  (every kind of anomaly and every method takes the same arguments)
"""Compares anomaly detection in series with nearest neighbors and PCA of windows; writes the figures of docs/series.md.

python benchmarks/series.py [--states 3]

Each random state makes a series of three channels, which trains every method, and for each of five kinds of anomaly another one, in which
intervals of this kind are planted. No label is used for training, and none of these series was used to choose a default.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from isthmus import Autoencoder, OutlierDetector
from isthmus.architectures import MLP, TCN, Conv
from isthmus.data import Windows
from isthmus.errors import IsthmusWarning
from isthmus.evaluation import volume_under_surface
from isthmus.experiments.reproduction import machine

HERE = Path(__file__).parent
KEPT = HERE / "measured" / "series.json"
PAGE = HERE.parent / "docs" / "series.md"
BEGIN, END = "<!-- benchmarks/series.py -->", "<!-- end of benchmarks/series.py -->"
Array = np.ndarray[Any, Any]
Score = Callable[[Windows], Array]

LENGTH, ROWS, INTERVALS, CODE = 32, 4000, 10, 12


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
    """The last value, for 40 steps; the noise stays."""
    series[at, channel] = series[at.start, channel] + 0.1 * rng.normal(size=40)
    return 40


def correlation(series: Array, at: slice, channel: int, rng: np.random.Generator) -> int:
    """The third channel as it was at another time, so that it is usual by itself, for 40 steps."""
    series[at, 2] = series[at.start - 153 : at.start - 113, 2]
    return 40


KINDS = {
    "spike": spike,
    "level shift": shift,
    "changed frequency": frequency,
    "flat": flat,
    "broken correlation": correlation,
}


def planted(kind: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """A series with intervals of this kind, and the labels of its steps."""
    series, y_true = normal(rng), np.zeros(ROWS, int)
    for number in range(INTERVALS):
        begin = 250 + number * 360 + int(rng.integers(0, 100))
        length = KINDS[kind](series, slice(begin, begin + 40), int(rng.integers(0, 3)), rng)
        y_true[begin : begin + length] = 1
    return series, y_true


def net(architecture: Any) -> Callable[[Windows, int], Score]:
    """A detector with this architecture, else all defaults."""

    def fit(windows: Windows, state: int) -> Score:
        given = {} if architecture is None else {"architecture": architecture}
        ae = Autoencoder(CODE, random_state=state, **given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IsthmusWarning)
            detector = OutlierDetector(ae, random_state=state).fit(windows)
        return lambda new: -detector.score_samples(new)

    return fit


def neighbors(normalized: bool) -> Callable[[Windows, int], Score]:
    """The distance to the nearest training window; of standardized channels, or of windows that are z-normalized each."""

    def fit(windows: Windows, state: int) -> Score:
        rows = windows.cut.rows
        mean, std = rows.mean(0), rows.std(0)

        def flat_windows(of: Windows) -> Array:
            values = np.asarray(of.values)
            center, scale = (values.mean(1, keepdims=True), values.std(1, keepdims=True)) if normalized else (mean, std)
            values = (values - center) / scale
            return values.reshape(len(values), -1)

        nearest = NearestNeighbors(n_neighbors=1).fit(flat_windows(windows))
        return lambda new: nearest.kneighbors(flat_windows(new))[0][:, 0]

    return fit


def by_pca(windows: Windows, state: int) -> Score:
    """The squared error of PCA of standardized windows, with as many components as the code has."""
    mean, std = windows.cut.rows.mean(0), windows.cut.rows.std(0)

    def flat_windows(of: Windows) -> Array:
        return ((np.asarray(of.values) - mean) / std).reshape(len(of), -1)

    pca = PCA(CODE, random_state=state).fit(flat_windows(windows))

    def score(new: Windows) -> Array:
        rows = flat_windows(new)
        return np.square(rows - pca.inverse_transform(pca.transform(rows))).sum(1)

    return score


METHODS: dict[str, Callable[[Windows, int], Score]] = {
    "MLP": net(MLP()),
    "Conv": net(Conv()),
    "TCN": net(TCN()),
    "neighbor": neighbors(normalized=False),
    "neighbor, z-normalized": neighbors(normalized=True),
    "PCA": by_pca,
}


class Figure(NamedTuple):
    """The result of a method for a kind of anomaly and a random state; seconds of the processor are those of training and of all kinds."""

    kind: str
    method: str
    state: int
    vus_pr: float
    auroc: float
    seconds: float


def measured(states: int) -> list[Figure]:
    """Measures every method on the same series."""
    figures = []
    for state in range(states):
        train = Windows(normal(np.random.default_rng([state, 99])), LENGTH, 4)
        tests = {kind: planted(kind, np.random.default_rng([state, number])) for number, kind in enumerate(KINDS)}
        for method, fit in METHODS.items():
            began, found = time.process_time(), list[tuple[str, float, float]]()
            score = fit(train, state)
            for kind, (series, y_true) in tests.items():
                windows = Windows(series, LENGTH, 2)
                steps = windows.average(score(windows))
                volume = volume_under_surface(y_true, steps, LENGTH)
                found.append((kind, volume.pr, float(roc_auc_score(y_true, steps))))
            seconds = time.process_time() - began
            figures += [Figure(kind, method, state, pr, roc, seconds) for kind, pr, roc in found]
            print(method, state, f"{seconds:.1f} s", *(f"{kind} {pr:.3f}" for kind, pr, _ in found), flush=True)
    return figures


def cell(figures: list[Figure], method: str, what: Callable[[Figure], float]) -> str:
    """The mean over random states of the mean over kinds, with the range of the former."""
    chosen = [figure for figure in figures if figure.method == method]
    means = [
        100 * statistics.mean(map(what, [f for f in chosen if f.state == state])) for state in {f.state for f in chosen}
    ]
    return f"{statistics.mean(means):.1f} ({min(means):.1f} - {max(means):.1f})"


def table(figures: list[Figure], name: str, what: Callable[[Figure], float]) -> list[str]:
    """A line for each kind of anomaly, and one for all."""
    lines = [f"| {name} | {' | '.join(METHODS)} |", "|---" * (1 + len(METHODS)) + "|"]
    for kind in (*KINDS, "mean"):
        of_kind = [figure for figure in figures if kind in {figure.kind, "mean"}]
        lines.append(f"| {kind} | {' | '.join(cell(of_kind, method, what) for method in METHODS)} |")
    return lines


def section(figures: list[Figure], how: str) -> str:
    """The section of the page."""
    states = len({figure.state for figure in figures})
    seconds = {m: statistics.median(f.seconds for f in figures if f.method == m) for m in METHODS}
    return "\n".join(
        [
            BEGIN,
            f"Synthetic series of {ROWS:,} steps with three channels: two oscillations, and a third channel that depends on both,",
            f"with noise. One normal series trains, in windows of {LENGTH} steps; in others {INTERVALS} intervals of one kind are",
            f"planted. The figures are VUS-PR with buffers up to {LENGTH} steps, and AUROC of time steps, in percent: means over",
            f"{states} random states, with the lowest and the highest in parentheses.",
            "",
            f"- *MLP*, *Conv*, *TCN*: `OutlierDetector(Autoencoder({CODE}, architecture=...))`, otherwise with defaults.",
            "- *neighbor*: the Euclidean distance to the nearest training window (scikit-learn), of standardized channels;",
            "  *z-normalized*: of windows that have mean 0 and standard deviation 1 each, as in a matrix profile.",
            f"- *PCA*: the squared error of PCA of standardized windows with {CODE} components.",
            "",
            *table(figures, "VUS-PR", lambda f: f.vus_pr),
            "",
            *table(figures, "AUROC", lambda f: f.auroc),
            "",
            f"| | {' | '.join(METHODS)} |",
            "|---" * (1 + len(METHODS)) + "|",
            f"| seconds | {' | '.join(f'{seconds[method]:.1f}' for method in METHODS)} |",
            "",
            "Seconds of one processor, for training and for ranking five series: the median over random states.",
            "",
            f"{how}",
            END,
        ]
    )


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = measured(given.states)
    how = f"`python benchmarks/series.py --states {given.states}` on {datetime.now(UTC):%Y-%m-%d}; {machine()}"
    KEPT.write_text(json.dumps({"made": how, "figures": [f._asdict() for f in figures]}, indent=1), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + section(figures, how) + after, encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
