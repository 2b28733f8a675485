"""Groups of examples that belong together, such as those of one patient: a split keeps each group in one part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.labels import class_labels
from isthmus.errors import DataError

__all__ = ["group_numbers", "held_out_rows"]

Numbers = NDArray[np.int64]


def group_numbers(groups: Any, count: int, name: str = "groups") -> Numbers:
    """The number of the group of each example.

    Args:
        groups: the groups (n,): numbers, text, booleans or dates of any library.
        count: the number n of examples.
        name: of the groups, for messages.

    Returns:
        (n,), whole numbers from 0 in the order of the sorted groups; -1 where the group is missing.

    Raises:
        DataError: there is not one group for each example.
    """
    return class_labels(groups, count, name).numbers


def held_out_rows(numbers: Numbers, order: Numbers, held: int, name: str = "groups") -> Numbers:
    """The rows of whole groups that are held out: in the given order each group that still fits, and at least one.

    Args:
        numbers: (n,), the group of each example. Examples without a group, -1, are one group, which is never held out.
        order: the numbers of all groups, in the order in which they are considered.
        held: about how many examples to hold out.
        name: of the groups, for messages.

    Returns:
        The rows, ascending.

    Raises:
        DataError: all examples are of one group, or of none.
    """
    if not (numbers >= 0).any():
        raise DataError(f"no example has a {name}: fill in the groups, or leave them out (--by, by=, groups=)")
    sizes = np.bincount(numbers[numbers >= 0], minlength=len(order))
    if (sizes > 0).sum() + bool((numbers < 0).any()) < 2:
        raise DataError(f"all examples have the same {name}: a split requires at least two groups")
    taken, total = list[int](), 0
    for group in order.tolist():
        if sizes[group] and total + sizes[group] <= held:
            taken.append(group)
            total += int(sizes[group])
    if not taken:  # each is too large: the smallest one, the first of equal ones
        taken = [min(order[sizes[order] > 0].tolist(), key=lambda group: sizes[group])]
    return np.flatnonzero(np.isin(numbers, taken))
