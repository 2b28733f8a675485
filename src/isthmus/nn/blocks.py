"""Rows in which numbers stand next to blocks of values, one block for each feature with categories."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import Annotated

from pydantic import Field
from torch import Tensor

__all__ = ["Classes", "runs", "split", "width"]

Classes = Annotated[tuple[Annotated[int, Field(ge=0, le=2**16)], ...], Field(max_length=2**16)]
"""For each feature the number of its categories, 0 for a number."""


@lru_cache
def runs(classes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Runs of features that belong together: (count, 0) for neighboring numbers, (1, n) for a feature of n categories.

    Args:
        classes: for each feature the number of its categories, 0 for a number.
    """
    found = list[tuple[int, int]]()
    for n, group in groupby(classes):
        count = len(list(group))
        found += [(1, n)] * count if n else [(count, 0)]
    return tuple(found)


def width(classes: tuple[int, ...]) -> int:
    """The number of values of a row.

    Args:
        classes: for each feature the number of its categories, 0 for a number.
    """
    return sum(max(1, n) for n in classes)


def split(x: Tensor, classes: tuple[int, ...]) -> list[tuple[Tensor, int]]:
    """The parts of rows (..., width): runs of numbers with 0, and blocks (..., n) with n. They are views.

    Args:
        x: the rows.
        classes: for each feature the number of its categories, 0 for a number.
    """
    parts, begin = list[tuple[Tensor, int]](), 0
    for count, n in runs(classes):
        parts.append((x[..., begin : begin + max(count, n)], n))
        begin += max(count, n)
    return parts
