# ruff: noqa: ARG001  (every set of jobs and every method takes a random state)
"""Compares anomaly detection with PCA, isolation forest and local outlier factor; writes docs/anomalies.md.

python benchmarks/anomalies.py [--seeds 3] [--sets mnist,digits] [--classes 2,8]

One class against the rest: a detector is fitted on the training examples of one class, without labels, and ranks all test examples. The
figure is the area under the ROC curve. Defaults were tuned on training digits held out from the autoencoder. With --sets the page keeps
the results of the other data sets.
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
    """Normal training examples, test examples, and which of the latter are anomalous."""

    name: str
    train: Array
    test: Array
    anomalous: Array


def mnist(seed: int) -> Iterator[Job]:
    """MNIST with its own test set, the same for every random state."""
    yield from against_the_rest(data.mnist())


def digits(seed: int) -> Iterator[Job]:
    """scikit-learn's 8x8 digits."""
    yield from against_the_rest(data.digits())


def against_the_rest(known: data.Dataset) -> Iterator[Job]:
    for label in np.unique(known.train_labels):
        yield Job(str(label), known.train[known.train_labels == label], known.test, known.test_labels != label)


def breast_cancer(seed: int) -> Iterator[Job]:
    """Benign tumors are normal; half of them are test examples."""
    X, y = load_breast_cancer(return_X_y=True)
    yield halved("benign", X, y == 1, seed)


def wine(seed: int) -> Iterator[Job]:
    """Each of three cultivators in turn is normal."""
    X, y = load_wine(return_X_y=True)
    for label in range(3):
        yield halved(str(label), X, y == label, seed)


def planted(seed: int) -> Iterator[Job]:
    """A nonlinear three-dimensional manifold in 20 features, with noise; in an anomaly one feature is another row's."""
    random = np.random.default_rng(seed)
    maps = [np.random.default_rng(7).normal(size=shape) for shape in ((3, 12), (12, 20))]
    X = np.tanh(random.normal(size=(3000, 3)) @ maps[0]) @ maps[1] + 0.1 * random.normal(size=(3000, 20))
    train, test, anomalous = X[:2000], X[2000:].copy(), np.arange(1000) < 500
    columns = random.integers(0, 20, 500)
    test[np.arange(500), columns] = train[random.integers(0, 2000, 500), columns]
    yield Job("one column", train, test, anomalous)


def halved(name: str, X: Array, normal: Array, seed: int) -> Job:
    """Half of the normal examples for training, all other examples for the test."""
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
    """Default settings. A class too small for a threshold gives a warning, which does not concern ranks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)
        return OutlierDetector(random_state=seed).fit(job.train).score_samples(job.test)


def flat(job: Job) -> tuple[Array, Array]:
    """Examples as rows: pixels scaled to [0, 1], features of a table standardized."""
    train, test = (part.reshape(len(part), -1) for part in (job.train, job.test))
    if job.train.ndim > 2:
        top = 255.0 if job.train.dtype == np.uint8 else 1.0
        return train / top, test / top
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)


def by_pca(job: Job, seed: int) -> Array:
    """Negative squared error of PCA with the code size of the autoencoder."""
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
    """The result of one method on one job with one random state."""

    kind: str
    job: str
    method: str
    seed: int
    auroc: float
    seconds: float


def measured(kinds: list[str], seeds: int, classes: list[str] | None) -> list[Figure]:
    """Measures every method on the same splits."""
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
    """Median seconds for fitting and ranking, over jobs and random states."""
    lines = [f"| seconds | {' | '.join(METHODS)} |", "|---" * (1 + len(METHODS)) + "|"]
    for kind in dict.fromkeys(f.kind for f in figures):
        medians = [
            statistics.median(f.seconds for f in figures if (f.kind, f.method) == (kind, method)) for method in METHODS
        ]
        lines.append(f"| {kind} | {' | '.join(f'{value:.2f}' for value in medians)} |")
    return lines


def page(figures: list[Figure], made: dict[str, str]) -> str:
    """The page; made: the command, date and machine of each data set."""
    by_digit, states = [f for f in figures if f.kind == "mnist"], len({f.seed for f in figures})
    return "\n".join(
        [
            "# Anomaly detection",
            "",
            "This page compares the anomaly detector of isthmus with PCA and two detectors of scikit-learn. Read it to choose a detector.",
            "",
            "Each detector is trained on the training examples of one class, without labels.",
            "It then ranks all test examples; those of other classes are the anomalies.",
            f"Figures are the area under the ROC curve in percent: the mean over classes and {states} random states,",
            "with the lowest and highest random state in parentheses.",
            "",
            "- *isthmus* is `OutlierDetector()` with default settings.",
            "- *PCA* is the squared reconstruction error of PCA with the same code size.",
            "- *IsolationForest* and *LocalOutlierFactor* are scikit-learn's, with default settings.",
            "- *planted* is synthetic: 20 features on a nonlinear three-dimensional manifold with noise.",
            "  In an anomaly, one feature is taken from another example.",
            "",
            "Published figures for MNIST: deep SVDD 94.8, a variational autoencoder 96.9, OCGAN 97.5.",
            "",
            *table(figures, lambda f: f.kind, "data"),
            "",
            *([*table(by_digit, lambda f: f.job, "MNIST, normal digit"), ""] if by_digit else []),
            *seconds(figures),
            "",
            "Seconds are for fitting and ranking, the median over classes and random states, on a shared machine.",
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
