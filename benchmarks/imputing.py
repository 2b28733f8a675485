"""Measures how well missing numbers are completed, beside scikit-learn's imputers; writes docs/missing-values.md.

python benchmarks/imputing.py [--states 3] [--tables wine,iris] [--schemes "30 % at random"]

The tables are those that come with scikit-learn. Seven tenths of the rows, the same ones each time, are trained on, with holes; holes of
the same kind in the other rows are completed. A random state draws holes and first weights. What "auto" means for missing="allow" was
chosen on a quarter of the training rows; the idea of filling in by rounds arose on other splits of the same tables, in which rows that are
measured here may have been.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from run import HERE
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # scikit-learn asks for it
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder
from isthmus.experiments.reproduction import machine

Array = np.ndarray[Any, np.dtype[np.float64]]
TABLES = ("iris", "wine", "diabetes", "breast_cancer", "digits")
HELD_OUT, SPLIT = 0.3, 2026
LEAST = (
    0.5  # of the standard deviations of pixels of digits: others are left out, whose errors in such units mean little
)


def at_random(share: float) -> Callable[[Array, np.random.Generator], Array]:
    """Each number is missing with the same probability, whatever it is."""
    return lambda X, rng: rng.random(X.shape) < share


def in_runs(X: Array, rng: np.random.Generator) -> Array:
    """Of each row a run of neighboring columns, three tenths of them."""
    wide = X.shape[1]
    long = max(1, round(0.3 * wide))
    begin = rng.integers(0, wide - long + 1, (len(X), 1))
    place = np.arange(wide)
    return (place >= begin) & (place < begin + long)


def the_large(X: Array, rng: np.random.Generator) -> Array:
    """Six tenths of the numbers above the median of their column, and none below: what is missing differs from what is not."""
    return (np.median(X, axis=0) < X) & (rng.random(X.shape) < 0.6)


SCHEMES = {f"{share:.0%} at random".replace("%", " %"): at_random(share) for share in (0.1, 0.3, 0.5)} | {
    "30 % in runs of columns": in_runs,
    "60 % of the larger half": the_large,
}


class Ours:
    """The autoencoder as an imputer of scikit-learn's kind."""

    def __init__(self, state: int) -> None:
        self.ae = Autoencoder(missing="allow", random_state=state)

    def fit(self, X: Array) -> Ours:
        """Trains, all choices left to it."""
        self.ae.fit(X)
        return self

    def transform(self, X: Array) -> Array:
        """Completes."""
        whole: Array = self.ae.impute(X)
        return whole


IMPUTERS: dict[str, Callable[[int], Any]] = {  # in columns of mean 0 and standard deviation 1, as it suits them
    "mean": lambda _: SimpleImputer(keep_empty_features=True),
    "5 nearest": lambda _: KNNImputer(keep_empty_features=True),
    "iterative": lambda state: IterativeImputer(random_state=state, keep_empty_features=True),
    "isthmus": Ours,
}


def rows_of(name: str) -> tuple[Array, Array]:
    """The rows of a table to train on, and those held out."""
    X = getattr(datasets, f"load_{name}")().data.astype(np.float64)
    order = np.random.default_rng(SPLIT).permutation(len(X))
    train, test = np.split(X[order], [int((1 - HELD_OUT) * len(X))])
    kept = train.std(axis=0) > (LEAST if name == "digits" else 0)
    return train[:, kept], test[:, kept]


def measured(make: Callable[[int], Any], name: str, scheme: str, state: int) -> tuple[float, float]:
    """The root mean squared error of completed numbers in standard deviations of their columns, and seconds."""
    (train, test), rng = rows_of(name), np.random.default_rng(state)
    given = [np.where(SCHEMES[scheme](X, rng), np.nan, X) for X in (train, test)]
    began = time.perf_counter()
    scaler = StandardScaler().fit(given[0])
    imputer = make(state).fit(scaler.transform(given[0]))
    whole = scaler.inverse_transform(imputer.transform(scaler.transform(given[1])))
    seconds = time.perf_counter() - began
    errors = ((whole - test) / train.std(axis=0))[np.isnan(given[1])]
    return float(np.sqrt(np.square(errors).mean())), seconds


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "missing-values.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)  # of the iterative one, after its ten rounds
    lines, began = [], time.perf_counter()
    for name in given.tables.split(","):
        for scheme in given.schemes.split(","):
            found = {
                who: [measured(make, name, scheme, state) for state in range(given.states)]
                for who, make in IMPUTERS.items()
            }
            lines.append(row(name, scheme, found))
            print(lines[-1], flush=True)
    given.out.write_text(page(lines, given.states, time.perf_counter() - began), encoding="utf-8")
    print(f"written: {given.out}")


def row(name: str, scheme: str, found: dict[str, list[tuple[float, float]]]) -> str:
    """A line of the table; the least error stands out."""
    middles = {who: statistics.mean(error for error, _ in results) for who, results in found.items()}
    cells = []
    for who, results in found.items():
        errors = [error for error, _ in results]
        figure = f"{middles[who]:.3f}"
        figure = f"**{figure}**" if middles[who] == min(middles.values()) else figure
        cells.append(f"{figure} ({min(errors):.2f} - {max(errors):.2f})")
    times = [f"{statistics.median(seconds for _, seconds in found[who]):.1f}" for who in ("iterative", "isthmus")]
    return f"| {name} | {scheme} | " + " | ".join([*cells, *times]) + " |"


def page(lines: list[str], states: int, seconds: float) -> str:
    """The page."""
    return "\n".join(
        [
            "# Completing missing numbers",
            "",
            f"Written by `python benchmarks/imputing.py` on {datetime.now(UTC):%Y-%m-%d} in {seconds / 60:.0f} minutes; "
            f"{machine()}.",
            "",
            "Root mean squared error of the completed numbers, in standard deviations of their columns: the mean over",
            f"{states} random states, which draw holes and first weights, and the least and largest. Everybody is fitted on the same seven",
            "tenths of the rows, with holes, and completes holes in the others. *mean*, *5 nearest* and *iterative* are scikit-learn's",
            "`SimpleImputer`, `KNNImputer` and `IterativeImputer` (Bayesian ridge), as they come; *isthmus* is",
            '`Autoencoder(missing="allow")`, as it comes. What "auto" means was chosen on a quarter of the training rows; that rounds help',
            "was first seen on other splits of the same tables.",
            "Seconds are of fitting and completing, the median.",
            "",
            "| table | missing | mean | 5 nearest | iterative | isthmus | iterative, s | isthmus, s |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
