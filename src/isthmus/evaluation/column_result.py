"""The figures of each column of a table, in the terms of the column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from isthmus.data.tables.column_kinds import ColumnKind
from isthmus.results import Result, Table, plain
from isthmus.text import printable

__all__ = ["ColumnFigure", "ColumnFigures", "MethodErrors", "mean_error"]

_UNITS = {"date": "days", "ordered": "steps"}  # of kinds whose errors have a unit of their own


@dataclass(frozen=True)
class MethodErrors:
    """The errors of one method in a column.

    Attributes:
        error: the unexplained part. For a category or a boolean: the fraction of wrong values / that of always the most frequent
            category of the training examples. For others: squared error / squared distance from the mean of the training examples. 0 is
            perfect, 1 no better than a constant. None where `ColumnFigure.note` says why.
        accuracy: fraction of values that are reconstructed correctly; of categories, booleans and ordered categories.
        mae, rmse: mean absolute error, and root of the mean squared error, in the unit of the column: days for dates, steps for ordered
            categories. None for categories and booleans.
    """

    error: float | None = None
    accuracy: float | None = None
    mae: float | None = None
    rmse: float | None = None

    @property
    def explained_variance(self) -> float | None:
        """1 - error, of a column with differences; None for others."""
        return None if self.error is None or self.rmse is None else 1 - self.error


@dataclass(frozen=True)
class ColumnFigure:
    """The figures of one column, over its observed values.

    Reconstructions are those that users see: whole numbers are rounded, and all values are within the range of the training data.

    Attributes:
        name: of the column.
        kind: what its values mean.
        n_observed: number of values that are not missing.
        reconstruction: the errors of the autoencoder.
        pca: those of PCA with as many components as the code has dimensions; None without one.
        most_frequent: the most frequent category of the training examples; "" for numbers and dates.
        baseline_accuracy: fraction of values that are this category; None for numbers and dates.
        nats: the column's part of the negative log-likelihood, in nats per value, without its weight; for numbers and dates it depends
            on their unit. None for a likelihood without a cost of each value.
        note: why there is no error, such as "constant"; or "".
        weight: how much the column counts in the loss; 1 without weights.
    """

    name: str
    kind: ColumnKind
    n_observed: int
    reconstruction: MethodErrors
    pca: MethodErrors | None = None
    most_frequent: str = ""
    baseline_accuracy: float | None = None
    nats: float | None = None
    note: str = ""
    weight: float = 1.0

    @property
    def error(self) -> float | None:
        """The unexplained part of the autoencoder (`MethodErrors.error`)."""
        return self.reconstruction.error

    @property
    def baseline(self) -> str:
        """The constant that an error of 1 refers to."""
        return "the most frequent category" if self.kind in {"category", "boolean"} else "the mean"

    def figures(self) -> dict[str, Any]:
        """All figures by name; those of PCA begin with "pca_"."""
        by_pca = self.pca or MethodErrors()
        values: dict[str, Any] = {"column": self.name, "kind": self.kind, "n_observed": self.n_observed}
        for prefix, errors in {"": self.reconstruction, "pca_": by_pca}.items():
            values |= {f"{prefix}{name}": value for name, value in asdict(errors).items()}
            values[f"{prefix}explained_variance"] = errors.explained_variance
        names = ("most_frequent", "baseline_accuracy", "nats", "note", "weight")
        return values | {name: getattr(self, name) for name in names}

    def terms(self) -> str:
        """The errors of the autoencoder in the terms of the column, in words."""
        errors, unit = self.reconstruction, _UNITS.get(self.kind, "")
        parts = [] if self.weight == 1 else [f"weight {self.weight:g}"]
        if errors.mae is not None and errors.rmse is not None:
            of = f" {unit}" if unit else ""
            parts.append(f"mean absolute error {_number(errors.mae)}{of}, root mean squared {_number(errors.rmse)}{of}")
        if errors.accuracy is not None:
            most = f"; {printable(self.most_frequent, 20)}, the most frequent: {self.baseline_accuracy:.1%}"
            parts.append(f"accuracy {errors.accuracy:.1%}{most if self.baseline_accuracy is not None else ''}")
        return "; ".join([*([self.note] if self.note else []), *parts])


@dataclass(frozen=True, repr=False)
class ColumnFigures(Result):
    """The figures of each column of a table, in the order of the table.

    Attributes:
        columns: one for each column.
        pca_missing: why there is no PCA of equal width, or "".
    """

    _figure: ClassVar[str] = "column_errors"

    columns: tuple[ColumnFigure, ...]
    pca_missing: str = ""

    @property
    def error(self) -> float | None:
        """The mean of the columns' errors, over those that have one; None if none has."""
        return mean_error([each.error for each in self.columns])

    @property
    def pca_error(self) -> float | None:
        """The same for PCA; None without it."""
        return mean_error([None if each.pca is None else each.pca.error for each in self.columns])

    def __getitem__(self, name: str) -> ColumnFigure:
        """The figures of a column, by its name."""
        return next(each for each in self.columns if each.name == name)

    def worst(self, n: int | None = None) -> tuple[ColumnFigure, ...]:
        """The columns with the largest errors, the largest first; those without an error come last.

        Args:
            n: how many; None for all.
        """
        ranked = sorted(self.columns, key=lambda each: -1.0 if each.error is None else each.error, reverse=True)
        return tuple(ranked[:n])

    def without_gain(self) -> tuple[ColumnFigure, ...]:
        """The columns with a weight that are not reconstructed better than a constant, the worst first."""
        return tuple(each for each in self.worst() if each.error is not None and each.error >= 1 and each.weight)

    def rows(self, n: int | None = None) -> list[list[str]]:
        """Name, kind, error, PCA's error and errors in the column's terms, for display.

        Args:
            n: how many columns; if there are more, those with the largest errors. None for all.
        """
        shown = self.columns if n is None or len(self.columns) <= n else self.worst(n)
        return [
            [
                printable(each.name, 60),
                each.kind,
                _shown(each.error),
                _shown(None if each.pca is None else each.pca.error),
                each.terms(),
            ]
            for each in shown
        ]

    def how(self) -> str:
        """What an error is, in words."""
        by_pca = f" There is no PCA of equal width: {self.pca_missing}." if self.pca_missing else ""
        return (
            "An error of 0 is perfect, and 1 is no better than a constant, the mean or the most frequent category of the training "
            f"examples: wrong values of a category, and unexplained variance of others. Missing values do not count.{by_pca}"
        )

    def table(self) -> Table:
        """Header, and a row for each column."""
        return ["column", "kind", "error", "PCA's error", "in its own terms"], self.rows()

    def to_dict(self) -> dict[str, Any]:
        """The figures of all columns as plain JSON values."""
        return {
            "columns": self.to_list(),
            "error": self.error,
            "pca_error": self.pca_error,
            "pca_missing": self.pca_missing,
        }

    def to_list(self) -> list[dict[str, Any]]:
        """The figures of each column as plain JSON values."""
        return [plain(each.figures()) for each in self.columns]

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [each.figures() for each in self.columns]


def mean_error(errors: Sequence[float | None]) -> float | None:
    """The mean of the errors that are known; None without any."""
    known = [error for error in errors if error is not None]
    return sum(known) / len(known) if known else None


def _number(value: float) -> str:
    """A number with three digits; without decimals from 1,000."""
    return f"{value:,.0f}" if 1000 <= value < 1e9 else f"{value:.3g}"


def _shown(error: float | None) -> str:
    """An error as text."""
    return "-" if error is None else f"{error:.3f}"
