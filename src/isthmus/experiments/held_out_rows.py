"""The rows that a split holds out: drawn by the content of examples, within each class, or by group."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.groups import group_numbers, held_out_rows
from isthmus.data.label_values import label_text
from isthmus.data.labels import ClassLabels, class_labels
from isthmus.data.memmap import random_subset
from isthmus.experiments.membership import Keys
from isthmus.text import printable

__all__ = ["HeldOut", "draw_by_class", "draw_by_group", "draw_by_key"]

Rows = NDArray[np.int64]
_LISTED = 5  # names in a note


class HeldOut(NamedTuple):
    """The rows that are held out, ascending, and notes for the user."""

    rows: Rows
    notes: tuple[str, ...] = ()


def draw_by_key(keys: Keys, held: int) -> HeldOut:
    """The `held` examples with the smallest keys. Equal examples stay together unless that takes more than half."""
    distinct, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    taken = _first_that_fit(counts, held)
    least = int(counts.argmin())
    if not taken and counts[least] <= len(keys) // 2:
        taken = [least]
    if taken:
        return HeldOut(np.flatnonzero(np.isin(inverse.reshape(-1), taken)))
    note = f"there are {len(distinct):,} distinct examples among {len(keys):,}: held-out examples have copies in the training part"
    return HeldOut(random_subset(len(keys), held), (note,))


def draw_by_class(keys: Keys, labels: Any, held: int) -> HeldOut | None:
    """The same fraction of each class, in each the examples with the smallest keys. Equal examples stay together.

    Examples without a label are a class too. None if there are not two to `held` classes: then they are not drawn by class.
    """
    if np.ndim(labels) != 1:
        return None
    known = class_labels(labels, len(keys))
    strata = np.where(known.numbers < 0, len(known.classes), known.numbers)
    sizes = np.bincount(strata, minlength=len(known.classes) + 1)
    if not 2 <= (sizes > 0).sum() <= held:
        return None
    distinct, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    inverse, of_unit = inverse.reshape(-1), np.full(len(distinct), len(sizes))
    np.minimum.at(of_unit, inverse, strata)  # copies with several labels count for the first of these
    taken = list[int]()
    for stratum, quota in enumerate(_quotas(sizes, held)):
        units = np.flatnonzero(of_unit == stratum)
        taken += units[_first_that_fit(counts[units], min(quota, int(sizes[stratum]) - 1))].tolist()
    rows = np.flatnonzero(np.isin(inverse, taken))
    return HeldOut(rows, _class_notes(known, sizes, rows)) if len(rows) else None


def draw_by_group(groups: Any, name: str, keys: Keys, held: int) -> HeldOut:
    """Whole groups, about `held` examples: in the order of the hashes of their names, each that still fits.

    Args:
        groups: (n,), the group of each example.
        name: of the groups, for messages.
        keys: (n,), of the examples.
        held: about how many examples to hold out.
    """
    numbers = group_numbers(groups, len(keys), name)
    known = class_labels(groups, len(keys), name)
    order = np.array(sorted(range(len(known.classes)), key=lambda group: _hash(known.classes[group])), np.int64)
    rows = held_out_rows(numbers, order, held, name)
    out = np.zeros(len(keys), bool)
    out[rows] = True
    n_out, n_without = len(np.unique(numbers[rows])), int((numbers < 0).sum())
    notes = [
        f"held out by {printable(name)}: {n_out:,} of {len(known.classes):,} groups, {len(rows):,} of {len(keys):,} examples",
    ]
    if n_without:
        has, they = ("has", "it is") if n_without == 1 else ("have", "they are")
        notes.append(f"{n_without:,} of {len(keys):,} examples {has} no {printable(name)}: {they} trained on")
    copies = int(np.isin(keys[out], keys[~out]).sum())
    if copies:
        notes.append(f"{copies:,} of {len(rows):,} held-out examples have copies in the training part, in other groups")
    return HeldOut(rows, tuple(notes))


def _first_that_fit(counts: NDArray[np.int64], held: int) -> list[int]:
    """The first units, in their order, that together have at most `held` examples; those that are too large are left out."""
    taken, total = list[int](), 0
    for number, count in enumerate(counts.tolist()):
        if total == held:
            break
        if total + count <= held:
            taken.append(number)
            total += count
    return taken


def _quotas(sizes: NDArray[np.int64], held: int) -> list[int]:
    """How many examples of each class are held out: in proportion, rounded so that they add up to `held`."""
    shares = sizes * held / sizes.sum()
    quotas = np.floor(shares).astype(np.int64)
    largest = np.argsort(quotas - shares, kind="stable")[: held - int(quotas.sum())]
    quotas[largest] += 1
    return list(map(int, quotas))


def _class_notes(known: ClassLabels, sizes: NDArray[np.int64], rows: Rows) -> tuple[str, ...]:
    """A note on classes without held-out examples, which includes those with a single example."""
    present = np.bincount(known.numbers[rows][known.numbers[rows] >= 0], minlength=len(known.classes))
    absent = [label_text(known.classes[c]) for c in np.flatnonzero((present == 0) & (sizes[:-1] > 0)).tolist()]
    if not absent:
        return ()
    single = int(((sizes[:-1] == 1) & (present == 0)).sum())
    names = ", ".join(printable(each, 30) for each in absent[:_LISTED]) + ", ..." * (len(absent) > _LISTED)
    have = "1 class has" if len(absent) == 1 else f"{len(absent):,} classes have"
    of_one = (
        f"; {single:,} of them {'has' if single == 1 else 'have'} a single example, which is trained on"
        if single
        else ""
    )
    return (f"{have} no held-out example ({names}){of_one}",)


def _hash(group: Any) -> bytes:
    return hashlib.blake2b(label_text(group).encode(), digest_size=16).digest()
