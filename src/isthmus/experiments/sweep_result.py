"""What a sweep found: the errors of its trainings, the value that is recommended, and both as a table, a file and a picture."""

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
from isthmus.evaluation import Evaluation, shown
from isthmus.evaluation.results import columns_of, value_of
from isthmus.experiments.comparison_metrics import COLUMNS, PRICES, Column, text_of
from isthmus.experiments.model_selection import Choice, select
from isthmus.experiments.trial import Trial
from isthmus.io.tables import csv_text
from isthmus.plots.comparison import Line, against
from isthmus.results import Result

__all__ = ["SIZE", "Sweep"]

SIZE = "bottleneck.size"  # the field whose values cost more the larger they are
_LINES = 10  # curves in a picture


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Result):
    """The trainings of a sweep, and which value to take.

    Attributes:
        axes: the values of each field that varies.
        states: the random states of each combination.
        trials: a training for each combination and random state.
        column: the figure that was chosen by.
        n_train, n_validation: how many examples were trained on, and chosen by.
        test: figures of the recommended autoencoder on the test examples; None where there are none.
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
        """A figure on the validation examples (combinations, random states); NaN where there is none."""
        found = [value_of(each.figures, name) for each in self.trials]
        values = [math.nan if value is None else float(value) for value in found]
        return np.array(values).reshape(-1, len(self.states))

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """What was chosen by (combinations, random states), less being better; infinite where training diverged."""
        sign = 1 if self.column.better == "less" else -1
        return np.nan_to_num(sign * self.figures(self.column.name), nan=math.inf, posinf=math.inf, neginf=-math.inf)

    @cached_property
    def choice(self) -> Choice:
        """Which combination to take, by which rule, and why. Raises `DivergenceError` where no training stayed finite."""
        sound = np.flatnonzero(np.isfinite(self.errors).all(1))
        if not len(sound):
            said = next(each.diverged for each in self.trials if each.diverged)
            raise DivergenceError(f"no combination of values stayed finite in all its trainings: {said}")
        values = [self._label(self.cells[place]) for place in sound]
        if list(self.axes) == [SIZE]:
            values = [self.cells[place][SIZE] for place in sound]
        found = select(values, self.errors[sound], size=list(self.axes) == [SIZE])
        return found._replace(place=int(sound[found.place]))

    def _label(self, cell: Mapping[str, Any]) -> str:
        only = len(self.axes) == 1
        return ", ".join(text_of(value) if only else f"{path}={text_of(value)}" for path, value in cell.items())

    @property
    def values(self) -> dict[str, Any]:
        """The recommended value of each field that varies."""
        return dict(self.cells[self.choice.place])

    @property
    def best(self) -> Trial:
        """The training of the recommended values that came out best on the validation examples."""
        place, many = self.choice.place, len(self.states)
        return self.trials[place * many + int(self.errors[place].argmin())]

    @property
    def autoencoder(self) -> Autoencoder:
        """The fitted autoencoder of `best`."""
        fitted = self.best.autoencoder
        assert fitted is not None, "what diverged is not recommended"
        return fitted

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header, and a line for each combination: means over random states and how far they reach; a star at the recommended one."""
        several = len(self.states) > 1
        means, own, pca = self.figures(self.column.name), self.column.title, self.figures(f"pca_{self.column.name}")
        header = [*self.axes, own, *(["least - largest"] if several else []), "PCA's"]
        header += [column.title for column in COLUMNS[:3]]
        chosen = self.choice.place if np.isfinite(self.errors).all(1).any() else None
        lines = []
        for place, cell in enumerate(self.cells):
            star = "* " if place == chosen else ""
            reach = [f"{_shown(means[place].min())} - {_shown(means[place].max())}"] if several else []
            sizes = [_shown(self.figures(column.name)[place].mean()) for column in COLUMNS[:3]]
            first, *others = map(text_of, cell.values())
            lines.append(
                [star + first, *others, _shown(means[place].mean()), *reach, _shown(pca[place].mean()), *sizes]
            )
        return header, lines

    def sentences(self) -> list[str]:
        """What is recommended and why, what was not finite, and the figures of the recommended one on the test examples."""
        where = f"{self.column.title} on {self.n_validation:,} validation examples"
        lines = [f"* recommended: {self._assigned()} - {self.choice.why} ({where})"]
        priced = [path for path in self.axes if path.rpartition(".")[2] in PRICES or path.startswith("corruption")]
        if priced:
            lines.append(
                f"note: the less of {' and '.join(priced)}, the less error there is bound to be; what a code is for decides"
            )
        lines += [f"diverged: {self._label(each.values)}: {each.diverged}" for each in self.trials if each.diverged]
        if self.test is not None:
            name, value = self.column.title, self.test.value(self.column.name)
            beside = self.test.value(f"pca_{self.column.name}")
            pca = "" if beside is None else f", PCA's {shown(beside)}"
            lines.append(
                f"on {self.test.n_examples:,} test examples, looked at now and only of this one: {name} {shown(value)}{pca}"
            )
        return lines

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
                | {"validation": each.figures}
                for each in self.trials
            ],
            "test": None if self.test is None else self.test.to_dict(),
        }

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [
            {path: _plain(value) for path, value in each.values.items()}
            | {"random_state": each.random_state, "diverged": each.diverged}
            | columns_of(each.figures)
            for each in self.trials
        ]

    def csv(self) -> str:
        """A line for each training: the values, the random state, and its figures on the validation examples."""
        tables = [columns_of(each.figures) for each in self.trials]
        names = list(dict.fromkeys(name for table in tables for name in table))
        rows = (
            [*map(text_of, each.values.values()), each.random_state, *(table.get(name) for name in names)]
            for each, table in zip(self.trials, tables, strict=True)
        )
        return csv_text([*self.axes, "random_state", *names], rows)

    def plot(self) -> Figure:
        """The error against the values of one field, a curve for each combination of the others, PCA's beside it, the choice marked."""
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
        lines = [Line(name, figures[list(positions[name].values())]) for name in ranked[:_LINES]]
        own = list(positions[ranked[0]].values())
        beside = self.figures(f"pca_{self.column.name}")[own].mean(1)
        pca = [None if math.isnan(value) else float(value) for value in beside]
        values = [value if _numeric([value]) else text_of(value) for value in self.axes[across]]
        words = "elbow" if self.choice.rule == "elbow" else "recommended"
        ylabel = f"{self.column.title} on {self.n_validation:,} validation examples"
        return against(values, lines, pca, (0, own.index(chosen), words), across, ylabel)


def _numeric(values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else text_of(value)


def _shown(value: float) -> str:
    """A mean as a figure; whole ones as such."""
    return "-" if math.isnan(value) else shown(int(value) if value.is_integer() else float(value))
