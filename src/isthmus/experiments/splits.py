"""Which examples are held out: drawn by their content when a run begins, so that equal data are split alike in any order.

Equal examples stay on one side: what was trained on is never measured on in a copy. Of a memory map of more than 256 MiB the
end is held out, less what stands before it too, so that its beginning can be trained on in the file. Of more than `REMEMBERED`
examples no keys are kept: those of a file that only grew are known by their position.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset, as_examples
from isthmus.data.memmap import Rows, random_subset
from isthmus.data.validation import Examples, Missing
from isthmus.errors import DataError
from isthmus.experiments.membership import HELD_OUT, REMEMBERED, Keys, Membership, example_keys, hash_keys, rounded_keys

__all__ = [
    "IN_MEMORY",
    "TEST_FRACTION",
    "Split",
    "check",
    "parts",
    "some",
    "split",
    "split_without_record",
    "with_test",
]

Array = NDArray[Any]
TEST_FRACTION = 0.1  # of data that have no test part
IN_MEMORY = 256 << 20  # bytes of a file that are taken into memory, so that a tenth can be drawn from them


@dataclass(frozen=True, eq=False)
class Split:
    """Examples to train on, and examples held out, with their labels, if they have any.

    Attributes:
        test_rows: where the held-out examples stand in the data set's test part, or among its examples if it has none.
        record: what the run remembers of them; None where the data are built in, and never change.
        notes: what a user should hear of it, a sentence each.
        train_rows: where those to train on stand among the data set's examples, a slice or numbers of rows; None where they are all.
    """

    train: Array
    test: Array
    test_labels: Array | None = None
    train_labels: Array | None = None
    test_rows: Array | None = None
    record: Membership | None = None
    notes: tuple[str, ...] = field(default=())
    train_rows: Any = None

    def train_of(self, dataset: Dataset) -> Examples:
        """The examples to train on, of the data set that they were split from, with their places in it."""
        return Examples(self.train, dataset.columns, dataset.kind, dataset.positions().some(self.train_rows))

    def test_of(self, dataset: Dataset) -> Examples:
        """The held-out examples, likewise."""
        positions = dataset.positions() if dataset.test is None else dataset.test_positions()
        return Examples(self.test, dataset.columns, dataset.kind, positions.some(self.test_rows))


def split(dataset: Dataset, missing: Missing) -> Split:
    """The data set's own test part; where it has none, a tenth of the examples is held out, the same for equal data in any order.

    missing: what NaN is to the autoencoder they are for.
    """
    check(dataset, missing)  # a wrong number is named by its place in the file
    if dataset.test is not None:
        return _given(dataset)
    n, examples = len(dataset.train), dataset.train
    held = max(1, round(n * TEST_FRACTION))
    if n - held < 2:
        raise DataError(
            f"{dataset.name} has {n} examples: too few to train on some and look at others; give at least 3"
        )
    if n > REMEMBERED or (isinstance(examples, np.memmap) and examples.nbytes > IN_MEMORY):
        return _end(dataset, n, held)
    keys = example_keys(examples)
    out, notes = _drawn(keys, held)
    flagged = keys.copy()
    flagged[out] |= HELD_OUT
    kept = np.setdiff1d(np.arange(n), out, assume_unique=True)
    return parts(
        dataset, kept, out, Membership(n, len(out), hash_keys(flagged), flagged, rounded_keys(examples)), notes
    )


def check(dataset: Dataset, missing: Missing) -> None:
    as_examples(Examples(dataset.train, dataset.columns, dataset.kind, dataset.positions()), missing=missing)
    if dataset.test is not None:
        as_examples(Examples(dataset.test, dataset.columns, dataset.kind, dataset.test_positions()), missing=missing)


def _drawn(keys: Keys, held: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The rows of so many examples, those with the least keys; equal ones together, where these are not too many."""
    different, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    taken, total = [], 0
    for number, count in enumerate(counts.tolist()):
        if total == held:
            break
        if total + count <= held:
            taken.append(number)
            total += count
    least = int(counts.argmin())
    if not taken and counts[least] <= len(keys) // 2:
        taken = [least]
    if taken:
        chosen = np.zeros(len(different), bool)
        chosen[taken] = True
        return np.flatnonzero(chosen[inverse.reshape(-1)]), ()
    note = f"there are {len(different):,} different examples among {len(keys):,}: held-out ones have copies among the others"
    return random_subset(len(keys), held), (note,)


def _given(dataset: Dataset) -> Split:
    """The parts that the data set has itself; what the held-out one has in common with the other is left out of it."""
    assert dataset.test is not None
    train, test = dataset.train, dataset.test
    if dataset.license or len(train) + len(test) > REMEMBERED:  # public data, which are what they are
        return Split(train, test, dataset.test_labels, dataset.train_labels, np.arange(len(test)))
    known, keys = example_keys(train), example_keys(test)
    there = np.flatnonzero(~np.isin(keys, known))
    if not len(there):
        raise DataError(f"all {len(test):,} test examples of {dataset.name} are training examples too: give others")
    flagged = np.zeros(len(test), np.uint64)
    flagged[there] = keys[there] | HELD_OUT
    copies = len(test) - len(there)
    notes = (
        (f"{copies:,} of {len(test):,} test examples are training examples too, and are left out",) if copies else ()
    )
    keys = np.concatenate([known, flagged])
    return with_test(
        dataset, there, Membership(len(keys), len(there), hash_keys(keys), keys, rounded_keys(train, test)), notes
    )


def with_test(dataset: Dataset, there: NDArray[np.int64], record: Membership, notes: tuple[str, ...]) -> Split:
    """A data set with some of its test part."""
    assert dataset.test is not None
    test = dataset.test if len(there) == len(dataset.test) else Rows(dataset.test)(there)
    return Split(dataset.train, test, some(dataset.test_labels, there), dataset.train_labels, there, record, notes)


def _end(dataset: Dataset, n: int, held: int) -> Split:
    """The end of many examples, less what stands before it too."""
    examples, first = dataset.train, n - held
    if n > REMEMBERED:
        last = example_keys(np.asarray(examples[first:]))
        return parts(dataset, slice(first), np.arange(first, n), Membership(n, held, hash_keys(last)), ())
    keys = example_keys(examples)
    out = first + np.flatnonzero(~np.isin(keys[first:], keys[:first]))
    if not len(out):
        raise DataError(f"the last {held:,} examples of {dataset.name} all stand before them too: shuffle the file")
    flagged = keys.copy()
    flagged[first:] = 0
    flagged[out] = keys[out] | HELD_OUT
    copies = held - len(out)
    notes = (
        (f"{copies:,} of the last {held:,} examples stand before them too: they are of neither part",) if copies else ()
    )
    return parts(
        dataset, slice(first), out, Membership(n, len(out), hash_keys(flagged), flagged, rounded_keys(examples)), notes
    )


def parts(
    dataset: Dataset, kept: Any, out: NDArray[np.int64], record: Membership | None, notes: tuple[str, ...]
) -> Split:
    """The examples at some places and at others; a slice of a memory map stays in its file."""
    examples, labels = dataset.train, dataset.train_labels
    train = examples[kept] if isinstance(kept, slice) else Rows(examples)(kept)
    return Split(train, Rows(examples)(out), some(labels, out), some(labels, kept), out, record, notes, kept)


def some(labels: Array | None, rows: Any) -> Array | None:
    return None if labels is None else labels[rows]


def split_without_record(dataset: Dataset, missing: Missing) -> Split:
    """The tenth that runs without a record held out: drawn by number, so that it is another when examples are added."""
    check(dataset, missing)
    if dataset.test is not None:
        return Split(
            dataset.train, dataset.test, dataset.test_labels, dataset.train_labels, np.arange(len(dataset.test))
        )
    n = len(dataset.train)
    held = max(1, round(n * TEST_FRACTION))
    if n - held < 2:
        raise DataError(f"{dataset.name} has {n} examples, too few for a tenth to be held out; give at least 3")
    if isinstance(dataset.train, np.memmap) and dataset.train.nbytes > IN_MEMORY:
        return parts(dataset, slice(n - held), np.arange(n - held, n), None, ())
    order = np.random.default_rng(0).permutation(n)
    return parts(dataset, np.sort(order[held:]), np.sort(order[:held]), None, ())
