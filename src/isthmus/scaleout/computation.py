"""The contract of a model that computes the results of rows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.tables.arrow import pyarrow
from isthmus.scaleout.inputs import Rows

__all__ = ["DETECTED", "Computation", "code_names", "feature_names", "number_columns", "verdicts"]

Array = NDArray[Any]


class Computation(ABC):
    """A model and what it computes.

    Attributes:
        names: of the columns that it computes, in order.
        id: the name of the column with the ids of rows; None without one.
        width: the values of an example.
        texts: the names of the columns whose categories or classes are texts.
    """

    texts: Collection[str] = ()
    names: tuple[str, ...]
    id: str | None
    width: int

    @abstractmethod
    def wanted(self, columns: Sequence[str]) -> list[str]:
        """Those of the columns of a table that it needs."""

    @abstractmethod
    def compute(self, rows: Rows, file: str) -> Mapping[str, Any]:
        """The columns of the results, (n,) each. A row has the same bits whatever rows it is computed with.

        Args:
            rows: the rows of the columns `wanted`, or of an array.
            file: where they come from, for messages.

        Raises:
            DataError: a row cannot be computed.
        """


def number_columns(names: Sequence[str], values: Array) -> dict[str, Any]:
    """An array (n, ...) as columns."""
    flat = np.ascontiguousarray(values.reshape(len(values), -1).T)
    return {name: pyarrow().array(column) for name, column in zip(names, flat, strict=True)}


def code_names(shape: Sequence[int], what: str = "code") -> tuple[str, ...]:
    """The names of the columns of codes of a shape."""
    return tuple(f"{what}_{number}" for number in range(math.prod(shape)))


def feature_names(shape: Sequence[int], features: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns of examples of a shape, which the features of a table have themselves."""
    return tuple(features) or tuple(f"column {number}" for number in range(math.prod(shape)))


def verdicts(anomalous: NDArray[np.bool_], decided: bool) -> Any:
    """The column of verdicts: normal or anomalous, or undecided where no threshold was found."""
    if not decided:
        return pyarrow().array(["undecided"] * len(anomalous))
    words = pyarrow().array(["normal", "anomalous"])
    return words.take(pyarrow().array(anomalous.astype(np.int8)))


DETECTED: tuple[str, ...] = ("score", "p_value", "verdict")
