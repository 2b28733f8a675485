"""Compares the figures on data that the autoencoder was not trained on with those on its own held-out examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isthmus.evaluation.results import Evaluation
from isthmus.results import Result, Table, plain

__all__ = ["DataTransfer"]

_NOT_COMPARED = {  # rows that do not depend on the evaluated data
    "Error on training examples",
    "Parameters",
    "Training time",
    "Encoding",
    "Reconstructing",
}


@dataclass(frozen=True, repr=False)
class DataTransfer(Result):
    """An autoencoder's figures on its own held-out examples and on data that it was not trained on.

    Attributes:
        own_name, other_name: names of the data sets.
        own, other: the figures. PCA was fitted on the training examples for both.
    """

    own_name: str
    other_name: str
    own: Evaluation
    other: Evaluation

    @property
    def times(self) -> float | None:
        """Squared error on the other data / on its own, in model units where columns have different scales; of a table with other columns
        than numbers the error by column.

        None if the latter is 0, or if only one of both has a target.
        """
        if not self.comparable or not self.own.errors.error:
            return None
        return self.other.errors.error / self.own.errors.error

    @property
    def pca_times(self) -> float | None:
        """The same for PCA fitted on the training examples. None without PCA."""
        if not self.comparable or self.own.pca is None or not self.own.pca.error or self.other.pca is None:
            return None
        return self.other.pca.error / self.own.pca.error

    @property
    def comparable(self) -> bool:
        """Whether both errors are against a target, or both against the examples themselves."""
        return (self.own.restoration is None) == (self.other.restoration is None)

    def sentence(self) -> str:
        """The result in a sentence."""
        if not self.comparable:
            with_target, without = (
                (self.other_name, self.own_name) if self.own.restoration is None else (self.own_name, self.other_name)
            )
            return (
                f"The errors on {with_target} are against its target and those on {without} against the examples themselves, "
                "so they are not compared."
            )
        if self.times is None:
            return f"The {self.own.errors.measure} is 0 on {self.own_name} and {self.other.errors.error:.4g} on {self.other_name}."
        ours = (
            f"On {self.other_name} the {self.own.errors.measure} is {_times(self.times)} as large as on {self.own_name}"
        )
        return f"{ours}{'' if self.pca_times is None else f'; for PCA fitted on {self.own_name}, {_times(self.pca_times)}'}."

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name, value on its own data, value on the other data, and unit of each figure, for display."""
        own, other = (
            {row[0]: row[1:] for row in side.rows() if row[0] not in _NOT_COMPARED} for side in (self.own, self.other)
        )
        table = []
        for name in [*own, *(name for name in other if name not in own)]:
            (own_value, own_unit), (other_value, other_unit) = (
                own.get(name, ("none", "")),
                other.get(name, ("none", "")),
            )
            if own_unit == other_unit or not other_unit:
                unit = own_unit
            else:
                unit = f"{own_unit}; {self.other_name}: {other_unit}" if own_unit else other_unit
            table.append((name, own_value, other_value, unit))
        return table

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the figures on its own data under "own", and the ratios of the errors under "times_as_large"."""
        name = "column_error" if self.own.mixed else "mse"
        return {
            "own": {"data": self.own_name, **self.own.to_dict()},
            "times_as_large": plain({name: self.times, f"pca_{name}": self.pca_times}),
            "sentence": self.sentence(),
        }

    def table(self) -> Table:
        """The figures on both data sets, under their names."""
        return ["figure", self.own_name, self.other_name, "unit"], self.rows()

    def _frame_rows(self) -> list[dict[str, Any]]:
        sides = ((self.own_name, self.own), (self.other_name, self.other))
        return [{"data": name} | row for name, side in sides for row in side._frame_rows()]


def _times(value: float) -> str:
    """A ratio in words."""
    return f"{value:,.2f} times" if value < 10 else f"{value:,.0f} times"
