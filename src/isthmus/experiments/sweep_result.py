"""The result of a sweep: the errors of its trainings and the recommended values, as a table, a file and a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isthmus.errors import DivergenceError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import Evaluation, format_figure
from isthmus.evaluation.results import columns_of, value_of
from isthmus.experiments.comparison_metrics import COLUMNS, PENALTY_WEIGHTS, Column, spread, text_of
from isthmus.experiments.model_selection import Choice, select
from isthmus.experiments.trial import Trial
from isthmus.io.tables import csv_text
from isthmus.plots.comparison import Line, error_curves
from isthmus.results import Result

__all__ = ["SIZE", "Sweep"]

SIZE = "bottleneck.size"  # a larger value costs more: the rules for sizes apply
_MAX_LINES = 10  # curves in a figure
_WORDS = ("diverged", "failed")  # what can become of a training


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Result):
    """The trainings of a sweep and the recommended values.

    Attributes:
        axes: the values of each field that varies.
        states: the random states of each combination.
        trials: one training per combination and random state.
        column: the metric of the choice.
        n_train, n_validation: numbers of training and validation examples.
        test: evaluation of the recommended autoencoder on the test examples; None without test examples.
    """

    axes: Mapping[str, tuple[Any, ...]]
    states: tuple[int, ...]
    trials: tuple[Trial, ...]
    column: Column
    n_train: int
    n_validation: int
    test: Evaluation | None = None

    @property
    def cells(self) -> list[Mapping[str, Any]]:
        """The combinations of values."""
        return [each.values for each in self.trials[:: len(self.states)]]

    def figures(self, name: str) -> NDArray[np.float64]:
        """A metric on the validation examples, shape (combinations, random states); NaN where it is missing."""
        values = [value_of(each.figures, name) for each in self.trials]
        numbers = [math.nan if value is None else float(value) for value in values]
        return np.array(numbers).reshape(-1, len(self.states))

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """The metric of the choice (combinations, random states), negated where higher is better; infinite without a result."""
        sign = 1 if self.column.better == "less" else -1
        return np.nan_to_num(sign * self.figures(self.column.name), nan=math.inf, posinf=math.inf, neginf=-math.inf)

    @cached_property
    def choice(self) -> Choice:
        """The recommended combination, the rule, and the reason. Raises `DivergenceError` where every training diverged or failed.

        Combinations with a diverged or failed training are left out, unless each has one: then the others of its trainings count.
        """
        finite = np.isfinite(self.errors)
        some, every = np.flatnonzero(finite.any(1)), np.flatnonzero(finite.all(1))
        if not len(some):
            reason = next((each.diverged or each.failed for each in self.trials if each.diverged or each.failed), "")
            raise DivergenceError(f"every training diverged or failed; the first one: {reason}")
        places, errors, incomplete = every, self.errors[every], ""
        if not len(every):
            places, errors = some, np.array([[self.errors[place][finite[place]].mean()] for place in some])
            incomplete = "; each combination of values has a training without a result, which does not count"
        values = [self._label(self.cells[place]) for place in places]
        if list(self.axes) == [SIZE]:
            values = [self.cells[place][SIZE] for place in places]
        choice = select(values, errors, size=list(self.axes) == [SIZE])
        return choice._replace(place=int(places[choice.place]), why=choice.why + incomplete)

    def _label(self, cell: Mapping[str, Any]) -> str:
        one_field = len(self.axes) == 1
        return ", ".join(text_of(value) if one_field else f"{path}={text_of(value)}" for path, value in cell.items())

    @property
    def values(self) -> dict[str, Any]:
        """The recommended value of each field that varies."""
        return dict(self.cells[self.choice.place])

    @property
    def best(self) -> Trial:
        """Of the trainings with the recommended values, the best one on the validation examples."""
        place, n_states = self.choice.place, len(self.states)
        return self.trials[place * n_states + int(self.errors[place].argmin())]

    @property
    def autoencoder(self) -> Autoencoder:
        """The fitted autoencoder of `best`."""
        fitted = self.best.autoencoder
        assert fitted is not None, "a diverged training is never recommended"
        return fitted

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header, and a row per combination; a star marks the recommended one.

        With several random states a figure is mean ± standard deviation, and in parentheses the number of states that have it. There are
        columns for the threads of a training and for what became of it where these are not the same for all.
        """
        column, status = self.column, self._statuses()
        header = [*self.axes, column.title, "PCA's", *(each.title for each in COLUMNS[:3])]
        threads = [
            {each.threads for each in self._trials_of(place) if not each.failed} for place in range(len(self.cells))
        ]
        mixed = len(set().union(*threads)) > 1
        header += ["threads"] * mixed + ["status"] * any(status)
        chosen = self.choice.place if np.isfinite(self.errors).any() else None
        names = (f"pca_{column.name}", *(each.name for each in COLUMNS[:3]))
        lines = []
        for place, cell in enumerate(self.cells):
            first, *others = map(text_of, cell.values())
            line = [("* " if place == chosen else "") + first, *others, spread(self.figures(column.name)[place])]
            line += [_shown(_mean(self.figures(name)[place])) for name in names]
            line += [", ".join("-" if n is None else str(n) for n in sorted(threads[place], key=str))] * mixed
            lines.append(line + [status[place] or "done"] * any(status))
        return header, lines

    def _trials_of(self, place: int) -> tuple[Trial, ...]:
        n_states = len(self.states)
        return self.trials[place * n_states : (place + 1) * n_states]

    def _statuses(self) -> list[str]:
        """What became of each combination; "" where all trainings are done."""
        statuses = []
        for place in range(len(self.cells)):
            trials = self._trials_of(place)
            other = [each for each in trials if each.status != "done"]
            words = [f"{sum(bool(getattr(each, word)) for each in trials)} of {len(trials)} {word}" for word in _WORDS
                     if any(getattr(each, word) for each in trials)]  # fmt: skip
            statuses.append(other[0].status if len(trials) == 1 and other else ", ".join(words))
        return statuses

    def sentences(self) -> list[str]:
        """The recommendation and its reason, diverged and failed trainings, and the error of the recommended one on the test examples."""
        where = f"{self.column.title} on {self.n_validation:,} validation examples"
        lines = [f"* recommended: {self._assigned()} - {self.choice.why} ({where})"]
        weights = [
            path for path in self.axes if path.rpartition(".")[2] in PENALTY_WEIGHTS or path.startswith("corruption")
        ]
        if weights:
            lines.append(
                f"note: a lower {' or '.join(weights)} always lowers the error; choose it by the purpose of the codes"
            )
        lines += [f"diverged: {self._name(each)}: {each.diverged}" for each in self.trials if each.diverged]
        failed = [each for each in self.trials if each.failed]
        lines += [f"failed: {self._name(each)}: {each.failed}" for each in failed]
        if failed:
            complete = np.isfinite(self.errors).all(1).any()
            left_out = "values with a failed training are not recommended; " * bool(complete)
            left_out += "the same command trains it again"
            lines.append(f"{len(failed)} of {len(self.trials)} trainings failed: {left_out}")
        if self.test is not None:
            lines.append(self._tested(self.test))
        return lines

    def _name(self, trial: Trial) -> str:
        """The values of a training, with its random state where there are several."""
        return self._label(trial.values) + f", random_state={trial.random_state}" * (len(self.states) > 1)

    def _tested(self, test: Evaluation) -> str:
        """The error of the recommended autoencoder on the test examples, with the baselines."""
        name, value = self.column.title, test.value(self.column.name)
        pca_error = test.value(f"pca_{self.column.name}")
        pca = "" if pca_error is None else f", PCA's {format_figure(pca_error)}"
        for title in ("input", "ridge regression") if test.restoration is not None else ():
            baseline = test.value(f"{title.partition(' ')[0]}_{self.column.name}")
            pca += (
                ""
                if baseline is None
                else f", that of the {title} {format_figure(baseline)}".replace("the ridge", "ridge")
            )
        pca += "" if test.restoration is None else "; all against the target"
        return (
            f"on {test.n_examples:,} test examples, evaluated once and for the recommended one only: "
            f"{name} {format_figure(value)}{pca}"
        )

    def _assigned(self) -> str:
        return " ".join(f"{path}={text_of(value)}" for path, value in self.values.items())

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "fields": {path: [_plain(value) for value in values] for path, values in self.axes.items()},
            "random_states": list(self.states),
            "by": self.column.name,
            "n_train": self.n_train,
            "n_validation": self.n_validation,
            "recommended": {path: _plain(value) for path, value in self.values.items()},
            "rule": self.choice.rule,
            "why": self.choice.why,
            "trainings": [
                {"values": {path: _plain(value) for path, value in each.values.items()}}
                | {"random_state": each.random_state, "folder": each.folder, "diverged": each.diverged}
                | {"failed": each.failed, "threads": each.threads}
                | {"validation": each.figures}
                for each in self.trials
            ],
            "test": None if self.test is None else self.test.to_dict(),
        }

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [
            {path: _plain(value) for path, value in each.values.items()}
            | {"random_state": each.random_state, "diverged": each.diverged, "failed": each.failed}
            | columns_of(each.figures)
            for each in self.trials
        ]

    def csv(self) -> str:
        """CSV with one row per training: the values, the random state, what became of it, and its metrics on the validation examples."""
        tables = [columns_of(each.figures) for each in self.trials]
        names = list(dict.fromkeys(name for table in tables for name in table))
        rows = (
            [*map(text_of, each.values.values()), each.random_state, each.status, *(table.get(name) for name in names)]
            for each, table in zip(self.trials, tables, strict=True)
        )
        return csv_text([*self.axes, "random_state", "status", *names], rows)

    def plot(self) -> Figure:
        """The error against the values of one field, with a curve per combination of the others, the error of PCA, and the choice."""
        across = max(self.axes, key=lambda path: (path == SIZE, _numeric(self.axes[path]), len(self.axes[path])))
        others = [path for path in self.axes if path != across]
        positions: dict[str, dict[Any, int]] = {}
        for place, cell in enumerate(self.cells):
            name = ", ".join(f"{path.rpartition('.')[2]} {text_of(cell[path])}" for path in others)
            positions.setdefault(name or "autoencoder", {})[text_of(cell[across])] = place
        figures, chosen = self.figures(self.column.name), self.choice.place
        ranked = sorted(
            positions,
            key=lambda name: (
                chosen not in positions[name].values(),
                self.errors[list(positions[name].values())].min(),
            ),
        )
        lines = [Line(name, figures[list(positions[name].values())]) for name in ranked[:_MAX_LINES]]
        own = list(positions[ranked[0]].values())
        pca_error = [_mean(values) for values in self.figures(f"pca_{self.column.name}")[own]]
        pca = [None if math.isnan(value) else value for value in pca_error]
        values = [value if _numeric([value]) else text_of(value) for value in self.axes[across]]
        words = "elbow" if self.choice.rule == "elbow" else "recommended"
        ylabel = f"{self.column.title} on {self.n_validation:,} validation examples"
        return error_curves(values, lines, pca, (0, own.index(chosen), words), across, ylabel)


def _numeric(values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else text_of(value)


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of the figures that are there; NaN without any."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else math.nan


def _shown(value: float) -> str:
    """A mean as text; without decimals where it is an integer."""
    return "-" if math.isnan(value) else format_figure(int(value) if value.is_integer() else float(value))
