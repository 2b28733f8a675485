"""Compares the imputation of missing values with scikit-learn's imputers; writes docs/missing-values.md.

python benchmarks/imputing.py [--states 3] [--tables wine,iris] [--schemes "30 % at random"]

The tables come with scikit-learn. Models are fitted on the same 70 % of the rows, with missing values, and impute the other rows. A random
state determines which values are missing and the initial weights. The defaults of missing="allow" were tuned on 25 % of the training rows.
Iterative refinement was first tested on other splits of the same tables, which may contain rows that are measured here.
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
    """Each value is missing with the same probability, independent of the value."""
    return lambda X, rng: rng.random(X.shape) < share


def in_runs(X: Array, rng: np.random.Generator) -> Array:
    """In each row a run of adjacent columns is missing, three tenths of all columns."""
    wide = X.shape[1]
    long = max(1, round(0.3 * wide))
    begin = rng.integers(0, wide - long + 1, (len(X), 1))
    place = np.arange(wide)
    return (place >= begin) & (place < begin + long)


def the_large(X: Array, rng: np.random.Generator) -> Array:
    """60 % of the values above the median of their column are missing, and none below: missing not at random."""
    return (np.median(X, axis=0) < X) & (rng.random(X.shape) < 0.6)


SCHEMES = {f"{share:.0%} at random".replace("%", " %"): at_random(share) for share in (0.1, 0.3, 0.5)} | {
    "30 % in runs of columns": in_runs,
    "60 % of the larger half": the_large,
}


class Ours:
    """The autoencoder with the interface of a scikit-learn imputer."""

    def __init__(self, state: int) -> None:
        self.ae = Autoencoder(missing="allow", random_state=state)

    def fit(self, X: Array) -> Ours:
        """Trains with default settings."""
        self.ae.fit(X)
        return self

    def transform(self, X: Array) -> Array:
        """Imputes."""
        whole: Array = self.ae.impute(X)
        return whole


IMPUTERS: dict[str, Callable[[int], Any]] = {  # on standardized columns
    "mean": lambda _: SimpleImputer(keep_empty_features=True),
    "5 nearest": lambda _: KNNImputer(keep_empty_features=True),
    "iterative": lambda state: IterativeImputer(random_state=state, keep_empty_features=True),
    "isthmus": Ours,
}


def rows_of(name: str) -> tuple[Array, Array]:
    """The training rows and the test rows of a table."""
    X = getattr(datasets, f"load_{name}")().data.astype(np.float64)
    order = np.random.default_rng(SPLIT).permutation(len(X))
    train, test = np.split(X[order], [int((1 - HELD_OUT) * len(X))])
    kept = train.std(axis=0) > (LEAST if name == "digits" else 0)
    return train[:, kept], test[:, kept]


def measured(make: Callable[[int], Any], name: str, scheme: str, state: int) -> tuple[float, float]:
    """The RMSE of imputed values in standard deviations of their columns, and seconds."""
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
    warnings.simplefilter("ignore", ConvergenceWarning)  # of IterativeImputer, after ten iterations
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
    """A line of the table; the lowest error is bold."""
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
            "# Imputation of missing values",
            "",
            "This page compares the imputation of missing values by isthmus with three imputers of scikit-learn.",
            "Read it to choose an imputer for a table.",
            "",
            "Figures are root mean squared errors (RMSE) of the imputed values, in standard deviations of their feature: the mean over",
            f"{states} random states, with minimum and maximum.",
            "A random state determines which values are missing and the initial weights.",
            "All methods get standardized features, are fitted on the same 70 % of the rows, with missing values, and",
            "impute the other rows. The lowest error of a row is bold.",
            "Seconds are the median time for fitting and imputing.",
            "",
            "- *mean*, *5 nearest* and *iterative* are scikit-learn's `SimpleImputer`, `KNNImputer` and",
            "  `IterativeImputer` (Bayesian ridge), with default settings.",
            '- *isthmus* is `Autoencoder(missing="allow")` with default settings. Defaults were tuned on 25 % of the training rows.',
            "  Iterative refinement was first tested on other splits of the same tables, which may contain rows measured here.",
            "- *at random*: each value is missing with the same probability.",
            "  *in runs of columns*: 30 % of the features, adjacent, are missing in each row.",
            "  *of the larger half*: 60 % of the values above their feature's median are missing, and none below.",
            "",
            f"Written by `python benchmarks/imputing.py` on {datetime.now(UTC):%Y-%m-%d} in {seconds / 60:.0f} minutes; "
            f"{machine()}.",
            "",
            "| table | missing | mean | 5 nearest | iterative | isthmus | iterative, s | isthmus, s |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
