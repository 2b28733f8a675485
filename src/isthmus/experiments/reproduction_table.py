"""The figures of several runs of a tutorial's system compared with the published ones: mean, standard deviation, table.

A published figure is of one run with an unknown random state. It is *inside* if it lies in the 95 % prediction interval of one more run of
ours, mean ± t s sqrt(1 + 1/n): 19 of 20 further runs lie there. s is the sample standard deviation over n runs, and t the 97.5 % quantile
of Student's t distribution with n - 1 degrees of freedom (n = 3: mean ± 4.97 s). One run has no interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.experiments.reproduction import Run
from isthmus.experiments.tutorials import System, Tutorial
from isthmus.text import printable

__all__ = ["HEADER", "Row", "Spread", "decimals", "markdown", "number", "outside", "sentences", "table"]

HEADER = ("id", "what it is", "published", "ours (mean ± SD)", "n", "inside", "epochs", "seconds", "machine")


@dataclass(frozen=True)
class Spread:
    """One figure of several runs."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """The sample standard deviation; None for one run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % prediction interval of one more run; None for one run."""
        from scipy.special import stdtrit

        if self.sd is None:
            return None
        n = len(self.values)
        half = float(stdtrit(n - 1, 0.975)) * self.sd * math.sqrt(1 + 1 / n)
        return self.mean - half, self.mean + half

    def contains(self, published: float) -> bool | None:
        """Whether a published figure, rounded to its printed digits, can lie in the interval; None for one run."""
        if self.interval is None:
            return None
        low, high = self.interval
        rounding = 0.5 * 10.0 ** -decimals(published) * (1 + 1e-9)
        return low - rounding <= published <= high + rounding

    def __str__(self) -> str:
        if not self.sd:  # one run, or the same figure in all runs
            return number(self.mean)
        digits = decimals(self.mean)
        if self.sd < 0.5 * 10.0**-digits:
            digits = -math.floor(math.log10(self.sd))
        return f"{self.mean:,.{digits}f} ± {self.sd:,.{digits}f}"


@dataclass(frozen=True)
class Row:
    """A system of a tutorial and its runs."""

    tutorial: Tutorial
    system: System
    runs: Sequence[Run]

    @property
    def name(self) -> str:
        """The tutorial's id and the system's name, if it has one."""
        return f"{self.tutorial.id} ({self.system.name})" if self.system.name else self.tutorial.id

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.tutorial.title} ({self.system.name})" if self.system.name else self.tutorial.title

    @property
    def published(self) -> dict[str, float]:
        """The published figures by name."""
        return {name: value for name, value in self.system.published.items() if value is not None}

    @property
    def ours(self) -> dict[str, Spread]:
        """The metrics that all of its runs have."""
        names = [name for name in self.system.published if all(name in run.ours for run in self.runs)]
        return {name: Spread(tuple(run.ours[name] for run in self.runs)) for name in names}

    @property
    def inside(self) -> dict[str, bool | None]:
        """Whether each published figure lies in its interval; None for one run."""
        return {name: self.ours[name].contains(value) for name, value in self.published.items() if name in self.ours}

    @property
    def verdict(self) -> str:
        """The same as a cell of the table: yes, no with the names, or - for one run."""
        missed = [name for name, within in self.inside.items() if within is False]
        if missed:
            return f"no: {', '.join(missed)}"
        return "yes" if self.inside and None not in self.inside.values() else "-"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: every run, and mean, sample standard deviation and 95 % prediction interval over the runs."""
        return {
            "id": self.tutorial.id,
            "system": self.system.name,
            "title": self.tutorial.title,
            "published": dict(self.system.published),
            "n": len(self.runs),
            "mean": {name: each.mean for name, each in self.ours.items()},
            "sd": {name: each.sd for name, each in self.ours.items()},
            "interval": {name: each.interval for name, each in self.ours.items()},
            "inside": self.inside,
            "why": reason(self) if False in self.inside.values() else None,
            "runs": [run.model_dump() for run in self.runs],
        }


def number(value: float) -> str:
    """A figure with as many decimals as its size calls for."""
    return f"{value:,.{decimals(value)}f}"


def decimals(value: float) -> int:
    """The number of decimals with which a figure is printed."""
    if float(value).is_integer() and abs(value) >= 1000:
        return 0
    return 2 if abs(value) >= 1 else 4 if abs(value) >= 0.02 else 5


def reason(row: Row) -> str:
    """Why a published figure lies outside."""
    return row.system.why or "the reason is not known"


def outside(rows: Sequence[Row]) -> list[str]:
    """A sentence for each system with a published figure outside its interval."""
    lines = []
    for row in rows:
        missed = [
            f"{name} {number(row.published[name])} is outside {' to '.join(map(number, row.ours[name].interval or ()))}"
            for name, within in row.inside.items()
            if within is False
        ]
        if missed:
            lines.append(f"{row.name}: {', '.join(missed)}; {reason(row)}")
    return lines


def machines(rows: Sequence[Row]) -> list[str]:
    """The machines of all runs, with the precision; the table numbers them in this order, from 1."""
    return list(dict.fromkeys(_where(run) for row in rows for run in row.runs))


def _where(run: Run) -> str:
    return f"{run.machine}, {run.precision}"


def table(rows: Sequence[Row]) -> list[list[str]]:
    """The cells of each row, in the order of `HEADER`."""
    known = machines(rows)
    return [
        [
            row.tutorial.id,
            row.title,
            "; ".join(f"{name} {number(value)}" for name, value in row.published.items()) or "-",
            "; ".join(f"{name} {each}" for name, each in row.ours.items()),
            f"{len(row.runs)}",
            row.verdict,
            ", ".join(dict.fromkeys(f"{run.epochs}" for run in row.runs)),
            f"{statistics.fmean(run.seconds for run in row.runs):.0f}",
            ", ".join(f"{place}" for place in sorted({known.index(_where(run)) + 1 for run in row.runs})),
        ]
        for row in rows
    ]


def sentences(rows: Sequence[Row]) -> list[str]:
    """The sentences below the table: published figures outside and why, and the machines."""
    positions = [f"machine {place}: {name}" for place, name in enumerate(map(printable, machines(rows)), 1)]
    return [*(f"outside: {sentence}" for sentence in outside(rows)), *positions]


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown, with published figures outside and why, and the machines."""
    lines = [list(HEADER), ["---"] * len(HEADER), *table(rows)]
    text = "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines) + "\n"
    missed = [f"- {sentence}." for sentence in outside(rows)]
    if missed:
        text += "\nPublished figures outside the interval:\n\n" + "\n".join(missed) + "\n"
    positions = [f"- Machine {place}: {name}." for place, name in enumerate(map(printable, machines(rows)), 1)]
    return text + "\n" + "\n".join(positions) + "\n"
