"""The result of a comparison: the metrics of several autoencoders on the same examples, as a table, JSON and figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.given import some_labels
from isthmus.evaluation import Evaluation, format_figure
from isthmus.experiments.comparison_metrics import COLUMNS, TIME_TOLERANCE, Column, differing
from isthmus.plots.comparison import stacked_reconstructions, tradeoff
from isthmus.plots.grids import model_image_shape
from isthmus.results import Result
from isthmus.text import printable

__all__ = ["Comparison"]

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
    """

    names: tuple[str, ...]
    autoencoders: tuple[Autoencoder, ...]
    evaluations: tuple[Evaluation, ...]
    examples: Array
    notes: tuple[str, ...] = ()
    y: Any = None
    target: Any = None

    def columns(self) -> list[Column]:
        """The metrics that at least one autoencoder has. Errors by column replace scaled errors, which are comparable in fewer cases."""
        available = [column for column in COLUMNS if any(value is not None for value in self.values(column))]
        by_column = any(column.name == "column_error" for column in available)
        return [column for column in available if not (by_column and column.name.endswith("mse_scaled"))]

    def values(self, column: Column) -> list[float | None]:
        """One metric of each autoencoder; None where it is not available."""
        return [evaluation.value(column.name) for evaluation in self.evaluations]

    def best(self, column: Column) -> list[str]:
        """The names of the best autoencoders of a column, several on a tie; none where all are equal or not comparable."""
        values = {name: v for name, v in zip(self.names, self.values(column), strict=True) if v is not None}
        if column.better is None or len(values) < 2 or not column.comparable(self.autoencoders):
            return []
        best = (min if column.better == "less" else max)(values.values())
        tied = [name for name, value in values.items() if column.ties(value, best)]
        return [] if len(tied) == len(values) else tied

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header, and one row per autoencoder; a star marks the best values of each column."""
        columns = self.columns()
        marked = [(self.values(column), self.best(column)) for column in columns]
        lines = [
            [name, *(_cell(values[row], name in best) for values, best in marked)]
            for row, name in enumerate(self.names)
        ]
        return ["", *(column.title for column in columns)], lines

    def differences(self) -> dict[str, tuple[str, ...]]:
        """The fields whose values differ, as the command line writes them, with the value of each autoencoder; "-" for none."""
        return differing(self.autoencoders)

    def dominated(self) -> list[tuple[str, str, str]]:
        """Pairs in which one autoencoder Pareto-dominates another: the better one, the dominated one, and the advantages.

        The better one has a smaller or equal code, number of parameters and error, is not slower by more than a tenth, and has
        an advantage in at least one of these. The error weights all columns equally (`Errors.column_error`); for images it is the
        squared error.
        """
        pairs = [(a, b) for a in range(len(self.names)) for b in range(len(self.names)) if a != b]
        advantages = [(a, b, _advantages(self.evaluations[a], self.evaluations[b])) for a, b in pairs]
        return [(self.names[a], self.names[b], _joined(words)) for a, b, words in advantages if words]

    def verdict(self) -> str:
        """Which autoencoders are dominated, and which are not: the choice is among the latter."""
        pairs = self.dominated()
        dominated = {worse for _, worse, _ in pairs}
        others = [name for name in self.names if name not in dominated]
        ranked = sorted(pairs, key=lambda pair: len(pair[2]))  # the pair with the longest list of advantages is used
        sentences = {worse: f"{better} is {words} than {worse}" for better, worse, words in ranked if better in others}
        if not sentences:
            return "No autoencoder dominates another: each one that is ahead in size, speed or error is behind in another of these."
        rest = f"; not dominated: {', '.join(others)}" if len(self.names) > 2 else ""
        return f"{'; '.join(sentences.values())}, and worse in nothing{rest}."

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "models": [
                {"name": name} | each.to_dict() for name, each in zip(self.names, self.evaluations, strict=True)
            ],
            "best": {column.name: self.best(column) for column in self.columns() if column.better},
            "differences": {path: list(values) for path, values in self.differences().items()},
            "dominated": [
                {"better": better, "worse": worse, "how": words} for better, worse, words in self.dominated()
            ],
            "verdict": self.verdict(),
            "notes": list(self.notes),
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


def _cell(value: float | None, best: bool) -> str:
    return "-" if value is None else format_figure(value) + " *" * best


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


def _rounded_errors(evaluation: Evaluation) -> tuple[float, float]:
    """The error that ranks autoencoders and the squared error, which breaks ties, rounded as in the table."""
    errors = (_error(evaluation), evaluation.errors.error if evaluation.errors.mse is None else evaluation.errors.mse)
    return tuple(float(format_figure(error).replace(",", "")) for error in errors)  # type: ignore[return-value]


def _advantages(one: Evaluation, other: Evaluation) -> list[str]:
    """The advantages of one autoencoder over another; none where it has a disadvantage."""
    sizes = [(one.code_size, other.code_size), (one.cost.n_parameters, other.cost.n_parameters)]
    errors = [_rounded_errors(each) for each in (one, other)]
    speed = one.cost.encode_per_second / other.cost.encode_per_second
    if any(a > b for a, b in sizes) or errors[0] > errors[1] or speed * TIME_TOLERANCE < 1:
        return []
    words = ["smaller"] if any(a < b for a, b in sizes) else []
    words += ["faster"] if speed > TIME_TOLERANCE else []
    return words + (["better"] if errors[0] < errors[1] else [])
