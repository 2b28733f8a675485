"""A small table of trees with labels, for the tests of what uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["KIND", "N", "X", "write_tables"]

_RNG = np.random.default_rng(0)
N = 120
KIND = _RNG.choice(["ash", "elm", "oak"], N)
X = _RNG.normal(size=(N, 4)) + (KIND == "elm")[:, None]


def write_tables(folder: Path) -> None:
    """Writes trees.csv, whose last column has the labels, and plain.csv without it."""
    lines = [",".join([*(f"{value:.6f}" for value in row), kind]) for row, kind in zip(X, KIND, strict=True)]
    (folder / "trees.csv").write_text("\n".join(["a,b,c,d,kind", *lines]) + "\n")
    (folder / "plain.csv").write_text("\n".join(["a,b,c,d", *(line.rpartition(",")[0] for line in lines)]) + "\n")
