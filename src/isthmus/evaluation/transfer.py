"""How much of what it learned is about its own data: the figures on other data beside those on its own held-out examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isthmus.evaluation.results import Evaluation
from isthmus.results import Result, Table, plain

__all__ = ["DataTransfer"]

_SAME = {"Error on training examples", "Parameters", "Training", "Encoding", "Reconstructing"}  # whatever the data


@dataclass(frozen=True, repr=False)
class DataTransfer(Result):
    """An autoencoder on its own held-out examples and on data that it was not trained on.

    Attributes:
        own_name, other_name: what the data are called.
        own, other: the figures; PCA was fitted on the training examples for both.
    """

    own_name: str
    other_name: str
    own: Evaluation
    other: Evaluation

    @property
    def times(self) -> float | None:
        """Squared error on the other data / on its own; in model units where columns have scales of their own. None for 0 / 0."""
        return self.other.errors.error / self.own.errors.error if self.own.errors.error else None

    @property
    def pca_times(self) -> float | None:
        """The same for PCA fitted on the training examples. None where there is none."""
        if self.own.pca is None or not self.own.pca.error or self.other.pca is None:
            return None
        return self.other.pca.error / self.own.pca.error

    def sentence(self) -> str:
        """What came out, in words."""
        if self.times is None:
            return f"On {self.own_name} it leaves no error, on {self.other_name} a squared error of {self.other.errors.error:.4g}."
        ours = f"On {self.other_name} its squared error is {_times(self.times)} as large as on {self.own_name}"
        return f"{ours}{'' if self.pca_times is None else f'; that of PCA fitted on {self.own_name} {_times(self.pca_times)}'}."

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name, value on its own data, value on the other, and unit of each figure of the errors, for people."""
        own, other = (
            {row[0]: row[1:] for row in side.rows() if row[0] not in _SAME} for side in (self.own, self.other)
        )
        table = []
        for name in [*own, *(name for name in other if name not in own)]:
            (here, unit), (there, unit_there) = own.get(name, ("none", "")), other.get(name, ("none", ""))
            both = (
                unit if unit == unit_there or not unit_there else f"{unit}; there: {unit_there}" if unit else unit_there
            )
            table.append((name, here, there, both))
        return table

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the figures on its own data under "own", and how many times as large errors are on the other."""
        return {
            "own": {"data": self.own_name, **self.own.to_dict()},
            "times_as_large": plain({"mse": self.times, "pca_mse": self.pca_times}),
            "sentence": self.sentence(),
        }

    def table(self) -> Table:
        """The figures on both, under the names of the data."""
        return ["figure", self.own_name, self.other_name, "unit"], self.rows()

    def _frame_rows(self) -> list[dict[str, Any]]:
        sides = ((self.own_name, self.own), (self.other_name, self.other))
        return [{"data": name} | row for name, side in sides for row in side._frame_rows()]


def _times(value: float) -> str:
    return f"{value:,.2f} times" if value < 10 else f"{value:,.0f} times"
