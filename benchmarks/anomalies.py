# ruff: noqa: ARG001  (every set of jobs and every method takes a random state)
"""Measures how well anomalies are found, beside PCA, isolation forests and local outlier factors; writes docs/anomalies.md.

python benchmarks/anomalies.py [--seeds 3] [--sets mnist,digits] [--classes 2,8]

One against the rest: a detector is fitted on the training examples of one class, without a label, and ranks all test examples. The
figure is the area under the ROC curve. What "auto" means was chosen on training digits that the autoencoder had not seen. With --sets the
page keeps what was measured of the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler

from isthmus import OutlierDetector, data
from isthmus.errors import IsthmusWarning
from isthmus.evaluation.metrics import pca_reconstruction
from isthmus.experiments.reproduction import machine

HERE = Path(__file__).parent
KEPT = HERE / "measured" / "anomalies.json"  # what benchmarks/results.py reads
Array = np.ndarray[Any, Any]


class Job(NamedTuple):
    """Normal examples to fit on, examples to rank, and which of these are anomalous."""

    name: str
    train: Array
    test: Array
    anomalous: Array


def mnist(seed: int) -> Iterator[Job]:
    """MNIST's own test part, whatever the random state."""
    yield from against_the_rest(data.mnist())


def digits(seed: int) -> Iterator[Job]:
    """The small digits."""
    yield from against_the_rest(data.digits())


def against_the_rest(known: data.Dataset) -> Iterator[Job]:
    for label in np.unique(known.train_labels):
        yield Job(str(label), known.train[known.train_labels == label], known.test, known.test_labels != label)


def breast_cancer(seed: int) -> Iterator[Job]:
    """Benign tumors are normal; half of them is tested."""
    X, y = load_breast_cancer(return_X_y=True)
    yield halved("benign", X, y == 1, seed)


def wine(seed: int) -> Iterator[Job]:
    """Each of three growers in turn."""
    X, y = load_wine(return_X_y=True)
    for label in range(3):
        yield halved(str(label), X, y == label, seed)


def planted(seed: int) -> Iterator[Job]:
    """A bent surface of three numbers in 20, with noise; of an anomaly one column is another row's."""
    random = np.random.default_rng(seed)
    maps = [np.random.default_rng(7).normal(size=shape) for shape in ((3, 12), (12, 20))]
    X = np.tanh(random.normal(size=(3000, 3)) @ maps[0]) @ maps[1] + 0.1 * random.normal(size=(3000, 20))
    train, test, anomalous = X[:2000], X[2000:].copy(), np.arange(1000) < 500
    columns = random.integers(0, 20, 500)
    test[np.arange(500), columns] = train[random.integers(0, 2000, 500), columns]
    yield Job("one column", train, test, anomalous)


def halved(name: str, X: Array, normal: Array, seed: int) -> Job:
    """Half of the normal examples to fit on, and all others to rank."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(normal))
    train, rest = np.split(order, [len(order) // 2])
    test = np.concatenate([rest, np.flatnonzero(~normal)])
    return Job(name, X[train], X[test], ~normal[test])


SETS: dict[str, Callable[[int], Iterator[Job]]] = {
    "mnist": mnist,
    "digits": digits,
    "breast_cancer": breast_cancer,
    "wine": wine,
    "planted": planted,
}


def ours(job: Job, seed: int) -> Array:
    """All defaults; that some classes are too small for a threshold does not matter to their ranks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)
        return OutlierDetector(random_state=seed).fit(job.train).score_samples(job.test)


def flat(job: Job) -> tuple[Array, Array]:
    """Rows of numbers for those who want them: grey levels in [0, 1], columns of a table standardized."""
    train, test = (part.reshape(len(part), -1) for part in (job.train, job.test))
    if job.train.ndim > 2:
        top = 255.0 if job.train.dtype == np.uint8 else 1.0
        return train / top, test / top
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)


def by_pca(job: Job, seed: int) -> Array:
    """Minus the squared error of as many components as the code has numbers."""
    train, test = flat(job)
    size = max(1, min(32, (train.shape[1] + 1) // 2))
    return -np.square(test - pca_reconstruction(train, test, size)).sum(1)


def by_forest(job: Job, seed: int) -> Array:
    """scikit-learn's, all defaults."""
    train, test = flat(job)
    return IsolationForest(random_state=seed).fit(train).score_samples(test)


def by_neighbors(job: Job, seed: int) -> Array:
    """scikit-learn's, all defaults."""
    train, test = flat(job)
    return LocalOutlierFactor(n_neighbors=min(20, len(train) - 1), novelty=True).fit(train).score_samples(test)


METHODS = {
    "isthmus": ours,
    "PCA": by_pca,
    "IsolationForest": by_forest,
    "LocalOutlierFactor": by_neighbors,
}


class Figure(NamedTuple):
    """What came of one method on one job with one random state."""

    kind: str
    job: str
    method: str
    seed: int
    auroc: float
    seconds: float


def measured(kinds: list[str], seeds: int, classes: list[str] | None) -> list[Figure]:
    """Every method on the same splits."""
    figures = []
    for seed in range(seeds):
        for kind in kinds:
            for job in SETS[kind](seed):
                if classes is not None and job.name not in classes:
                    continue
                for method, score in METHODS.items():
                    began = time.perf_counter()
                    area = float(roc_auc_score(~job.anomalous, score(job, seed)))
                    figures.append(Figure(kind, job.name, method, seed, area, time.perf_counter() - began))
                    print(*figures[-1], flush=True)
    return figures


def table(figures: list[Figure], key: Callable[[Figure], str], first: str) -> list[str]:
    """A line for each key: the mean over random states of the mean over jobs, with the range of the former."""
    lines = [f"| {first} | {' | '.join(METHODS)} |", "|---" * (1 + len(METHODS)) + "|"]
    for name in dict.fromkeys(map(key, figures)):
        cells = []
        for method in METHODS:
            chosen = [f for f in figures if key(f) == name and f.method == method]
            seeds = sorted({f.seed for f in chosen})
            means = [100 * statistics.mean(f.auroc for f in chosen if f.seed == seed) for seed in seeds]
            spread = f" ({min(means):.1f} - {max(means):.1f})" if len(means) > 1 else ""
            cells.append(f"{statistics.mean(means):.1f}{spread}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def seconds(figures: list[Figure]) -> list[str]:
    """Median seconds to fit and to rank, of one job."""
    lines = [f"| seconds | {' | '.join(METHODS)} |", "|---" * (1 + len(METHODS)) + "|"]
    for kind in dict.fromkeys(f.kind for f in figures):
        medians = [
            statistics.median(f.seconds for f in figures if (f.kind, f.method) == (kind, method)) for method in METHODS
        ]
        lines.append(f"| {kind} | {' | '.join(f'{value:.2f}' for value in medians)} |")
    return lines


def page(figures: list[Figure], made: dict[str, str]) -> str:
    """The page; made: by what each set was measured, when and where."""
    by_digit = [f for f in figures if f.kind == "mnist"]
    return "\n".join(
        [
            "# Anomalies",
            "",
            f"Random states: {len({f.seed for f in figures})}. A detector sees the training examples of one class only, no labels,",
            "and ranks all test examples;",
            "the figure is the area under the ROC curve times 100, the mean over classes and random states (lowest - highest state).",
            "*isthmus* is `OutlierDetector()` with all defaults; *PCA* the squared error of as many components as the code has",
            "numbers; the others are scikit-learn's with all defaults. Published for MNIST: deep SVDD 94.8,",
            "a variational autoencoder 96.9, OCGAN 97.5.",
            "",
            *table(figures, lambda f: f.kind, "data"),
            "",
            *([*table(by_digit, lambda f: f.job, "MNIST, normal digit"), ""] if by_digit else []),
            *seconds(figures),
            "",
            "Seconds are to fit and to rank, the median of one class, on a shared machine.",
            "",
            *[
                f"- {', '.join(kind for kind in made if made[kind] == how)}: {how}"
                for how in dict.fromkeys(made.values())
            ],
            "",
        ]
    )


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--classes", help="only these")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "anomalies.md")
    given = parser.parse_args()
    figures = measured(given.sets.split(","), given.seeds, given.classes.split(",") if given.classes else None)
    only = f" --classes {given.classes}" if given.classes else ""
    command = f"python benchmarks/anomalies.py --seeds {given.seeds} --sets {given.sets}{only}"
    how = f"`{command}` on {datetime.now(UTC):%Y-%m-%d}; {machine()}"
    before = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {"figures": [], "made": {}}
    here = {figure.kind for figure in figures}
    figures += [Figure(**figure) for figure in before["figures"] if figure["kind"] not in here]
    figures.sort(key=lambda figure: list(SETS).index(figure.kind))
    made = before["made"] | dict.fromkeys(here, how)
    made = {kind: made[kind] for kind in SETS if kind in made}
    kept = {"threads": torch.get_num_threads(), "made": made, "figures": [f._asdict() for f in figures]}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    given.out.write_text(page(figures, made), encoding="utf-8")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
