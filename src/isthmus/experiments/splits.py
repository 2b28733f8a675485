"""The split into training and held-out examples, drawn by content, so that it does not depend on the order of the data.

Equal examples are on the same side, so no copy of a training example is evaluated. With labels each class gives the same fraction,
with groups whole groups are held out. Data in blocks are split by a hash of their content (`split_by_content`), and no keys are
stored. Memory maps of more than 256 MiB and arrays of more than `REMEMBERED` examples are taken as data in blocks. Runs of older
versions held out their end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from isthmus.data import ArrayLikeRows, Dataset, as_examples
from isthmus.data.blocks import blocks_of
from isthmus.data.memmap import selected_rows
from isthmus.data.series.split_in_time import split_in_time
from isthmus.data.series.window_array import WindowArray, windows_of
from isthmus.data.validation import Examples, Missing
from isthmus.errors import DataError
from isthmus.experiments.held_out_rows import HeldOut, draw_by_class, draw_by_group, draw_by_key
from isthmus.experiments.membership import HELD_OUT, REMEMBERED, Keys, Membership, example_keys, hash_keys, rounded_keys
from isthmus.experiments.split_by_content import Sides, draw_by_content

__all__ = [
    "IN_MEMORY",
    "TEST_FRACTION",
    "Split",
    "check",
    "in_blocks",
    "masked_parts",
    "parts",
    "shared_targets_note",
    "some",
    "some_targets",
    "split",
    "split_without_record",
    "with_test",
]

Array = NDArray[Any]
TEST_FRACTION = 0.1  # held out of data without a test part
IN_MEMORY = 256 << 20  # bytes; larger files are read in blocks


@dataclass(frozen=True, eq=False)
class Split:
    """Training examples and held-out examples, with their labels if there are any.

    Attributes:
        test_rows: rows of the held-out examples in the test part of the data set, or in its examples if it has none.
        record: the membership record; None for built-in data, which never change.
        notes: messages for the user, one sentence each.
        train_rows: rows of the training examples: a slice, indices, or a mask (n,) of data in blocks; None for all examples.
        train_target, test_target: what is to be reconstructed instead of these examples; None for the examples themselves.
        train_weights, test_weights: the weights of these examples, or None.
        train_groups: the groups of the training examples, or None.
    """

    train: Array
    test: Array
    test_labels: Array | None = None
    train_labels: Array | None = None
    test_rows: Array | None = None
    record: Membership | None = None
    notes: tuple[str, ...] = field(default=())
    train_rows: Any = None
    train_target: Array | None = None
    test_target: Array | None = None
    train_weights: Array | None = None
    test_weights: Array | None = None
    train_groups: Array | None = None

    def train_of(self, dataset: Dataset) -> Examples:
        """The training examples of the data set that was split, with their positions in it."""
        positions = dataset.positions().some(self.train_rows)
        return Examples(self.train, dataset.columns, dataset.kind, positions, dataset.table)

    def test_of(self, dataset: Dataset) -> Examples:
        """The held-out examples of the data set that was split, with their positions in it."""
        positions = dataset.positions() if dataset.test is None else dataset.test_positions()
        return Examples(self.test, dataset.columns, dataset.kind, positions.some(self.test_rows), dataset.table)


def split(dataset: Dataset, missing: Missing, again: bool = False) -> Split:
    """Splits a data set: its own test part is held out; without one, a tenth of the examples, independent of their order.

    Args:
        dataset: the data set.
        missing: how the autoencoder treats NaN, "error" or "allow".
        again: whether these are the training examples of another split.

    Raises:
        DataError: a value is invalid, or there are fewer than 3 examples.
    """
    check(dataset, missing)  # here, because the error gives the position in the file
    if dataset.test is not None:
        return _split_given_parts(dataset)
    n, examples, windows = len(dataset.train), dataset.train, windows_of(dataset.train)
    if windows is not None:
        return _split_windows(dataset, windows)
    held = max(1, round(n * TEST_FRACTION))
    if n - held < 2:
        raise DataError(f"{dataset.name} has {n} examples, too few to hold out one: give at least 3")
    if blocks_of(examples) is not None:
        return masked_parts(dataset, draw_by_content(dataset, again))
    if dataset.hold_out == "files":
        raise DataError(
            f"{dataset.name} is no folder of files that are read in blocks, of which some could be held out: leave out --hold-out"
        )
    if n > REMEMBERED or _in_a_large_file(examples):
        dataset = in_blocks(dataset)
        return masked_parts(dataset, draw_by_content(dataset, again))
    keys = example_keys(examples)
    out, notes = _drawn(dataset, keys, held)
    flagged = keys.copy()
    flagged[out] |= HELD_OUT
    kept = np.setdiff1d(np.arange(n), out, assume_unique=True)
    return parts(
        dataset, kept, out, Membership(n, len(out), hash_keys(flagged), flagged, rounded_keys(examples)), notes
    )


def in_blocks(dataset: Dataset) -> Dataset:
    """The data set; a large array is taken as rows in blocks, of which a split copies nothing."""
    if not isinstance(dataset.train, np.ndarray) or not (
        len(dataset.train) > REMEMBERED or _in_a_large_file(dataset.train)
    ):
        return dataset
    return replace(dataset, train=cast(Array, ArrayLikeRows(dataset.train)))


def _in_a_large_file(examples: Array) -> bool:
    return isinstance(examples, np.memmap) and examples.nbytes > IN_MEMORY


def _split_windows(dataset: Dataset, windows: WindowArray) -> Split:
    """The latest windows of a series held out. Those that share rows with them, and those that equal earlier ones, are in neither part."""
    kept, out = split_in_time(windows, [TEST_FRACTION])
    keys = example_keys(dataset.train)
    new = out[~np.isin(keys[out], keys[kept])]
    if not len(new):
        raise DataError(f"the last {len(out):,} windows of {dataset.name} all equal earlier ones: give a longer series")
    flagged = np.zeros_like(keys)
    flagged[kept], flagged[new] = keys[kept], keys[new] | HELD_OUT
    record = Membership(len(keys), len(new), hash_keys(flagged), flagged, rounded_keys(dataset.train))
    left, copies = len(keys) - len(kept) - len(out), len(out) - len(new)
    notes = [f"the latest {len(new):,} windows are held out; {left:,} windows that share rows with them are left out"]
    notes += [f"{copies:,} of the latest windows equal earlier ones, and are left out"] if copies else []
    return parts(dataset, kept, new, record, tuple(notes))


def _drawn(dataset: Dataset, keys: Keys, held: int) -> HeldOut:
    """The rows that are held out: whole groups, the same fraction of each class, or without both any."""
    if dataset.groups is not None:
        return draw_by_group(dataset.groups, dataset.groups_name or "groups", keys, held)
    by_class = None if dataset.train_labels is None else draw_by_class(keys, dataset.train_labels, held)
    return by_class or draw_by_key(keys, held)


def check(dataset: Dataset, missing: Missing) -> None:
    """`DataError` at the first invalid value of the data set."""
    as_examples(Examples(dataset.train, dataset.columns, dataset.kind, dataset.positions()), missing=missing)
    if dataset.test is not None:
        as_examples(Examples(dataset.test, dataset.columns, dataset.kind, dataset.test_positions()), missing=missing)


def _split_given_parts(dataset: Dataset) -> Split:
    """The parts of the data set. Test examples that are training examples too are left out."""
    assert dataset.test is not None
    train, test = dataset.train, dataset.test
    if dataset.license or len(train) + len(test) > REMEMBERED:  # a published test part stays complete
        return with_all_test(dataset)
    train_keys, test_keys = example_keys(train), example_keys(test)
    rows = np.flatnonzero(~np.isin(test_keys, train_keys))
    if not len(rows):
        raise DataError(
            f"all {len(test):,} test examples of {dataset.name} are training examples too: give other test examples"
        )
    flagged = np.zeros(len(test), np.uint64)
    flagged[rows] = test_keys[rows] | HELD_OUT
    copies = len(test) - len(rows)
    notes = (
        (f"{copies:,} of {len(test):,} test examples are training examples too, and are left out",) if copies else ()
    )
    keys = np.concatenate([train_keys, flagged])
    return with_test(
        dataset, rows, Membership(len(keys), len(rows), hash_keys(keys), keys, rounded_keys(train, test)), notes
    )


def with_test(dataset: Dataset, rows: NDArray[np.int64], record: Membership | None, notes: tuple[str, ...]) -> Split:
    """The split in which some rows of the test part are held out."""
    assert dataset.test is not None
    whole = len(rows) == len(dataset.test)
    part = Split(
        dataset.train,
        dataset.test if whole else selected_rows(dataset.test, rows),
        some(dataset.test_labels, rows),
        dataset.train_labels,
        rows,
        record,
        notes,
        train_target=dataset.target,
        test_target=dataset.test_target,
        train_weights=dataset.weights,
        train_groups=dataset.groups,
    )
    return part if whole else replace(part, test_target=some_targets(dataset.test_target, rows))


def with_all_test(dataset: Dataset) -> Split:
    """The split in which the whole test part is held out, without a record."""
    assert dataset.test is not None
    return with_test(dataset, np.arange(len(dataset.test)), None, ())


def parts(
    dataset: Dataset, kept: Any, out: NDArray[np.int64], record: Membership | None, notes: tuple[str, ...]
) -> Split:
    """The split with training rows `kept` and held-out rows `out`; a slice of a memory map is not copied."""
    examples, labels = dataset.train, dataset.train_labels
    train = examples[kept] if isinstance(kept, slice) else selected_rows(examples, kept)
    targets = some_targets(dataset.target, kept), some_targets(dataset.target, out)
    weights = some(dataset.weights, kept), some(dataset.weights, out), some(dataset.groups, kept)
    of_parts = (some(labels, out), some(labels, kept), out, record, notes, kept, *targets, *weights)
    return Split(train, selected_rows(examples, out), *of_parts)


def masked_parts(dataset: Dataset, sides: Sides) -> Split:
    """The split with masks of its sides; of the training examples nothing else is stored."""
    kept = np.flatnonzero(sides.kept) if blocks_of(dataset.train) is None else sides.kept
    return parts(dataset, kept, np.flatnonzero(sides.out), sides.record, sides.notes)


def some_targets(targets: Array | None, rows: Any) -> Array | None:
    """The targets of some rows, a slice or indices; None without targets."""
    if targets is None:
        return None
    return targets[rows] if isinstance(rows, slice) else selected_rows(targets, rows)


def shared_targets_note(part: Split) -> str:
    """A note about held-out examples with the same target as a training example: the model may have seen what it should restore."""
    if part.train_target is None or part.test_target is None:
        return ""
    n = int(np.isin(example_keys(part.test_target), example_keys(part.train_target)).sum())
    if not n:
        return ""
    have = "example has" if n == 1 else "examples have"
    return (
        f"{n:,} of {len(part.test):,} held-out {have} the same target as a training example: their errors may be lower than those of "
        "new examples"
    )


def some(labels: Array | None, rows: Any) -> Array | None:
    """The labels of some rows; None without labels."""
    return None if labels is None else labels[rows]


def split_without_record(dataset: Dataset, missing: Missing) -> Split:
    """The split of runs without a membership record: drawn by row number, so it changes when examples are added."""
    check(dataset, missing)
    if dataset.test is not None:
        return with_all_test(dataset)
    n = len(dataset.train)
    held = max(1, round(n * TEST_FRACTION))
    if n - held < 2:
        raise DataError(f"{dataset.name} has {n} examples, too few to hold out one: give at least 3")
    if isinstance(dataset.train, np.memmap) and dataset.train.nbytes > IN_MEMORY:
        return parts(dataset, slice(n - held), np.arange(n - held, n), None, ())
    order = np.random.default_rng(0).permutation(n)
    return parts(dataset, np.sort(order[held:]), np.sort(order[:held]), None, ())
