"""Synthesizers of tables: baselines, CTGAN and TVAE in an environment of their own, and isthmus."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from isthmus import recipes

__all__ = ["SYNTHESIZERS", "Made"]

HERE = Path(__file__).parent


class Made(NamedTuple):
    """Synthetic rows, and the seconds of processor time for training and sampling."""

    rows: pd.DataFrame
    seconds: float


Synthesizer = Callable[
    [pd.DataFrame, int, int, Path], Made
]  # training rows, number of rows, random state, environments


def here(make: Callable[[pd.DataFrame, int, int], pd.DataFrame]) -> Synthesizer:
    """A synthesizer in this process."""

    def made(train: pd.DataFrame, n: int, state: int, _: Path) -> Made:
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = make(train, n, state)
        return Made(rows, time.process_time() - began)

    return made


def copied(train: pd.DataFrame, n: int, _: int) -> pd.DataFrame:
    """The training rows themselves: perfect but for privacy."""
    return train[:n]


def independent(train: pd.DataFrame, n: int, state: int) -> pd.DataFrame:
    """Each column drawn from its training values by itself."""
    rng = np.random.default_rng(state)
    return pd.DataFrame({name: train[name].array[rng.integers(0, len(train), n)] for name in train})


def copula(train: pd.DataFrame, n: int, state: int) -> pd.DataFrame:
    """A Gaussian copula: normal scores of the ranks, those of equal values and categories drawn at random; their correlations.

    Values come back by the quantiles of the training values.
    """
    rng = np.random.default_rng(state)
    ordered = {name: _in_order(train[name]) for name in train}
    scores = []
    for name in train:
        codes, _ = ordered[name]
        shuffled = rng.permutation(len(codes))
        rank = np.empty(len(codes))
        rank[shuffled[np.argsort(codes[shuffled], kind="stable")]] = np.arange(len(codes)) + 0.5
        scores.append(ndtri(rank / len(codes)))
    drawn = rng.multivariate_normal(np.zeros(len(scores)), np.corrcoef(scores), n)
    made = {}
    for j, name in enumerate(train):
        codes, values = ordered[name]
        at = np.clip((ndtr(drawn[:, j]) * len(codes)).astype(int), 0, len(codes) - 1)
        made[name] = values[np.sort(codes)[at]]
    return pd.DataFrame(made)


def _in_order(column: pd.Series[Any]) -> tuple[Any, Any]:
    """The number of the value of each row, and the different values in order; categories by frequency."""
    if column.dtype.kind in "iuf":
        values, codes = np.unique(column, return_inverse=True)
        return codes, values
    values = column.value_counts().index
    return values.get_indexer(column), values


def peer(kind: str) -> Synthesizer:
    """CTGAN or TVAE with default settings, 300 epochs."""

    def made(train: pd.DataFrame, n: int, state: int, environments: Path) -> Made:
        names = [name for name in train if train[name].dtype.kind not in "iuf"]
        with tempfile.TemporaryDirectory() as folder:
            given, new = Path(folder) / "rows.csv", Path(folder) / "new.csv"
            train.to_csv(given, index=False)
            python = environments / "ctgan" / "bin" / "python"
            arguments = [kind, str(given), str(new), str(n), str(state), ",".join(names)]
            command = [str(python), str(HERE / "peers" / "ctgan_peer.py"), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{kind} failed:\n{done.stderr[-2000:]}")
            rows = pd.read_csv(new, dtype=dict.fromkeys(names, str), keep_default_na=False)
        return Made(rows, json.loads(done.stdout.splitlines()[-1])["seconds"])

    return made


def ours(train: pd.DataFrame, n: int, state: int) -> pd.DataFrame:
    """The recipe for tables."""
    rows: pd.DataFrame = (
        recipes.tabular().set_params(random_state=state, kinds={}).fit(train).sample(n, random_state=state)
    )
    return rows


SYNTHESIZERS: dict[str, Synthesizer] = {
    "training rows": here(copied),
    "independent": here(independent),
    "copula": here(copula),
    "CTGAN": peer("CTGAN"),
    "TVAE": peer("TVAE"),
    "isthmus": here(ours),
}
