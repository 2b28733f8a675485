"""The result of a comparison: the metrics of several autoencoders on the same examples, as a table, JSON and figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isthmus.errors import NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.given import some_labels
from isthmus.evaluation import Evaluation
from isthmus.experiments.comparison_metrics import COLUMNS, TIME_TOLERANCE, Column, differing, spread
from isthmus.experiments.comparison_rows import Row, ahead, within_spread
from isthmus.io.atomic import replace_file
from isthmus.plots.comparison import stacked_reconstructions, tradeoff
from isthmus.plots.figure import save_png
from isthmus.plots.grids import model_image_shape
from isthmus.results import Result
from isthmus.text import as_json, printable

__all__ = ["Comparison", "write"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """The metrics of several autoencoders on the same examples.

    Attributes:
        names, autoencoders, evaluations: one for each autoencoder, in the same order.
        examples: the examples (n, *shape) of the evaluation. The first autoencoder imputes missing values.
        notes: remarks on the examples, one sentence each.
        y: labels or covariates of the examples, for conditional autoencoders; or None.
        target: what the reconstructions are compared with, (n, *shape); None for the examples.
        rows: the rows of the table, each of one autoencoder, or of several that differ in their random state alone.
    """

    names: tuple[str, ...]
    autoencoders: tuple[Autoencoder, ...]
    evaluations: tuple[Evaluation, ...]
    examples: Array
    notes: tuple[str, ...] = ()
    y: Any = None
    target: Any = None
    rows: tuple[Row, ...] = ()

    def __post_init__(self) -> None:
        """Without rows, each autoencoder is one."""
        if not self.rows:
            object.__setattr__(self, "rows", tuple(Row(name, (n,)) for n, name in enumerate(self.names)))

    def columns(self) -> list[Column]:
        """The metrics that at least one autoencoder has. Errors by column replace scaled errors, which are comparable in fewer cases."""
        available = [column for column in COLUMNS if any(value is not None for value in self.values(column))]
        by_column = any(column.name == "column_error" for column in available)
        return [column for column in available if not (by_column and column.name.endswith("mse_scaled"))]

    def values(self, column: Column) -> list[float | None]:
        """One metric of each autoencoder; None where it is not available."""
        return [evaluation.value(column.name) for evaluation in self.evaluations]

    def _figures(self, row: Row, column: Column) -> list[float]:
        """A metric of the autoencoders of a row that have it."""
        values = self.values(column)
        return [value for place in row.places if (value := values[place]) is not None]

    def best(self, column: Column) -> list[str]:
        """The names of the best rows of a column, several on a tie; none where all are equal or not comparable.

        Rows of several random states tie where their means differ by no more than the larger standard deviation.
        """
        known = {row.name: values for row in self.rows if (values := self._figures(row, column))}
        if column.better is None or len(known) < 2 or not column.comparable(self.autoencoders):
            return []
        means = {name: statistics.fmean(values) for name, values in known.items()}
        best = (min if column.better == "less" else max)(means, key=means.__getitem__)
        tied = [
            name
            for name, values in known.items()
            if column.ties(means[name], means[best])
            or (len(values) + len(known[best]) > 2 and within_spread(values, known[best]))
        ]
        return [] if len(tied) == len(known) else tied

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header, and the rows; a star marks the best values of each column. Several random states have mean ± standard deviation (n)."""
        columns = self.columns()
        best = {column.name: self.best(column) for column in columns}
        lines = [
            [row.name, *(_cell(self._figures(row, column), row.name in best[column.name]) for column in columns)]
            for row in self.rows
        ]
        return ["", *(column.title for column in columns)], lines

    def differences(self) -> dict[str, tuple[str, ...]]:
        """The fields whose values differ, as the command line writes them, with the value of each row; "-" for none."""
        if len(self.rows) == len(self.names):
            return differing(self.autoencoders)
        found = differing([self.autoencoders[row.places[0]] for row in self.rows])
        states = (",".join(str(self.autoencoders[place].random_state) for place in row.places) for row in self.rows)
        return found | {"random_state": tuple(states)}

    def dominated(self) -> list[tuple[str, str, str]]:
        """Pairs in which one row Pareto-dominates another: the better one, the dominated one, and the advantages.

        The better one has a smaller or equal code, number of parameters and error, is not slower by more than a tenth, and has
        an advantage in at least one of these. The error weights all columns equally (`Errors.column_error`); for images it is the
        squared error. Errors within the spread over random states count as equal.
        """
        of_rows = [[self.evaluations[place] for place in row.places] for row in self.rows]
        pairs = [(a, b) for a in range(len(of_rows)) for b in range(len(of_rows)) if a != b]
        advantages = [(a, b, _advantages(of_rows[a], of_rows[b])) for a, b in pairs]
        return [(self.rows[a].name, self.rows[b].name, _joined(words)) for a, b, words in advantages if words]

    def verdict(self) -> str:
        """Which autoencoders are dominated, and which are not: the choice is among the latter."""
        if len(self.rows) == 1:
            return "All autoencoders differ in their random state alone."
        pairs = self.dominated()
        dominated = {worse for _, worse, _ in pairs}
        others = [row.name for row in self.rows if row.name not in dominated]
        ranked = sorted(pairs, key=lambda pair: len(pair[2]))  # the pair with the longest list of advantages is used
        sentences = {worse: f"{better} is {words} than {worse}" for better, worse, words in ranked if better in others}
        if not sentences:
            return "No autoencoder dominates another: each one that is ahead in size, speed or error is behind in another of these."
        rest = f"; not dominated: {', '.join(others)}" if len(self.rows) > 2 else ""
        return f"{'; '.join(sentences.values())}, and worse in nothing{rest}."

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "models": [
                {"name": name} | each.to_dict() for name, each in zip(self.names, self.evaluations, strict=True)
            ],
            **({} if len(self.rows) == len(self.names) else {"rows": [self._row_dict(row) for row in self.rows]}),
            "best": {column.name: self.best(column) for column in self.columns() if column.better},
            "differences": {path: list(values) for path, values in self.differences().items()},
            "dominated": [
                {"better": better, "worse": worse, "how": words} for better, worse, words in self.dominated()
            ],
            "verdict": self.verdict(),
            "notes": list(self.notes),
        }

    def _row_dict(self, row: Row) -> dict[str, Any]:
        """A row as plain values: its autoencoders, and of each metric mean, standard deviation and number of random states."""
        figures = {column.name: values for column in self.columns() if (values := self._figures(row, column))}
        return {
            "name": row.name,
            "models": [self.names[place] for place in row.places],
            "random_states": [self.autoencoders[place].random_state for place in row.places],
            "figures": {
                name: {
                    "mean": statistics.fmean(values),
                    "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
                    "n": len(values),
                }
                for name, values in figures.items()
            },
        }

    def _frame_rows(self) -> list[dict[str, Any]]:
        pairs = zip(self.names, self.evaluations, strict=True)
        return [{"name": name} | row for name, evaluation in pairs for row in evaluation._frame_rows()]

    def reconstructions(self, n: int = 10, image_shape: tuple[int, ...] | None = None) -> Figure:
        """Draws the first `n` examples, below them their reconstructions by each autoencoder, and last their targets if there are any."""
        examples, y = self.examples[:n], some_labels(self.y, slice(n))
        models = zip(self.names, self.autoencoders, self.evaluations, strict=True)
        rows = {
            f"{printable(name, None)}\n{_named_error(each)}": ae.reconstruct(examples, y) for name, ae, each in models
        }
        targets = None if self.target is None else np.asarray(self.target[:n])
        return stacked_reconstructions(examples, rows, model_image_shape(self.autoencoders[0], image_shape), targets)

    def plot(self) -> Figure:
        """Draws the error against the code size, or against the number of parameters where all codes have one size; also PCA's error."""
        same_size = len({each.code_size for each in self.evaluations}) == 1
        xs = [each.cost.n_parameters if same_size else each.code_size for each in self.evaluations]
        points = [
            (name, float(x), _error(each)) for name, x, each in zip(self.names, xs, self.evaluations, strict=True)
        ]
        by_column = all(each.errors.column_error is not None for each in self.evaluations)
        pca_errors = [
            None if each.pca is None else each.pca.column_error if by_column else each.pca.mse
            for each in self.evaluations
        ]
        pca = sorted({(float(x), error) for x, error in zip(xs, pca_errors, strict=True) if error is not None})
        return tradeoff(
            points,
            pca,
            "parameters" if same_size else "code size",
            f"{'error by column' if by_column else 'MSE'} on {len(self.examples):,} held-out examples",
        )


def _cell(values: list[float], best: bool) -> str:
    return spread(values) + " *" * best


def _joined(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _error(evaluation: Evaluation) -> float:
    """The error that ranks autoencoders."""
    errors = evaluation.errors
    known = errors.mse if errors.column_error is None else errors.column_error
    return math.nan if known is None else known


def _named_error(evaluation: Evaluation) -> str:
    """The error in the name of a row."""
    return f"{'error by column' if evaluation.mixed else 'MSE'} {evaluation.errors.error:.4g}"


def _errors(evaluations: Sequence[Evaluation]) -> tuple[list[float], list[float]]:
    """The errors that rank autoencoders, and the squared errors, which break ties."""
    squared = [each.errors.error if each.errors.mse is None else each.errors.mse for each in evaluations]
    return [_error(each) for each in evaluations], squared


def _advantages(one: Sequence[Evaluation], other: Sequence[Evaluation]) -> list[str]:
    """The advantages of one row over another; none where it has a disadvantage."""
    sizes = [(one[0].code_size, other[0].code_size), (one[0].cost.n_parameters, other[0].cost.n_parameters)]
    compared = [ahead(*pair) for pair in zip(_errors(one), _errors(other), strict=True)]
    error = compared[0] or compared[1]
    speeds = [statistics.fmean(each.cost.encode_per_second for each in row) for row in (one, other)]
    speed = speeds[0] / speeds[1]
    if any(a > b for a, b in sizes) or error < 0 or speed * TIME_TOLERANCE < 1:
        return []
    words = ["smaller"] if any(a < b for a, b in sizes) else []
    words += ["faster"] if speed > TIME_TOLERANCE else []
    return words + (["better"] if error > 0 else [])


def write(result: Comparison, folder: Path) -> list[Path]:
    """Writes comparison.json and the figures into an existing folder; returns the paths of the files."""
    replace_file(folder / "comparison.json", as_json(result.to_dict()).encode())
    written = [folder / "comparison.json", save_png(result.plot(), folder / "errors.png")]
    with suppress(NotPossibleError):  # examples of this shape cannot be drawn
        written.append(save_png(result.reconstructions(), folder / "reconstructions.png"))
    return written
