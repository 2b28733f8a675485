"""The split of a run, recovered in data that may have grown, shrunk or been sorted; and the split of other data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset
from isthmus.data.groups import group_numbers
from isthmus.data.memmap import random_subset, selected_rows
from isthmus.data.series.window_array import WindowArray, windows_of
from isthmus.data.validation import Missing
from isthmus.errors import DataError
from isthmus.experiments.membership import (
    HELD_OUT,
    Keys,
    Membership,
    example_keys,
    hash_keys,
    same_as_trained,
    trained_on,
)
from isthmus.experiments.split_by_content import recovered_by_content, untrained_by_rule
from isthmus.experiments.splits import (
    IN_MEMORY,
    TEST_FRACTION,
    Split,
    check,
    in_blocks,
    masked_parts,
    parts,
    some,
    some_targets,
    split,
    with_test,
)
from isthmus.text import printable

__all__ = ["exclude_trained", "recover_split", "split_other"]

Array = NDArray[Any]
_MAX_TRAINING = 100_000  # training examples that are sampled where all of them do not fit into memory


def recover_split(record: Membership, dataset: Dataset, missing: Missing, whole: bool = False) -> Split:
    """Training and held-out examples of a run in its present data, in their order at training.

    Args:
        record: the membership record of the run.
        dataset: its data now.
        missing: how the autoencoder treats NaN.
        whole: whether all training examples are required, in their order, to resume training; else a sample may replace them.

    Raises:
        DataError: no held-out example is left; or, with `whole`, a training example is gone.
    """
    check(dataset, missing)
    if record.rule is not None:
        dataset = in_blocks(dataset)
        return masked_parts(dataset, recovered_by_content(record, dataset, whole))
    if record.keys is None:
        return _split_by_position(record, dataset)
    if dataset.test is not None:
        return _split_with_test_part(record, dataset)
    keys = example_keys(dataset.train)
    positions, flags = _find_rows(record.keys & ~HELD_OUT, keys), (record.keys & HELD_OUT).astype(bool)
    trained, held = positions[(positions >= 0) & ~flags], positions[(positions >= 0) & flags]
    gone = int((~flags & (record.keys > 0)).sum()) - len(trained), int(flags.sum()) - len(held)
    name, n = dataset.name, len(keys)
    if not len(held) or len(trained) < 2:
        what = "held out" if not len(held) else "trained on"
        raise DataError(
            f"the examples that the run {what} are no longer in {name} ({len(trained) + len(held):,} of {record.n:,} examples are "
            "left): give other examples with --data"
        )
    if whole and any(gone):
        raise DataError(
            f"{sum(gone):,} of the {record.n:,} examples at the start of training are no longer in {name}: give the original data"
        )
    new = n - len(trained) - len(held) - int((record.keys == 0).sum())
    copies = int(np.isin(keys, record.keys & ~HELD_OUT).sum()) - len(trained) - len(held)
    notes = _change_notes(new - copies, gone, record, len(held), n) + _copy_notes(copies, n)
    kept, more = _rows_in_memory(trained, dataset.train, whole)
    return parts(dataset, kept, held, record, notes + more)


def _split_with_test_part(record: Membership, dataset: Dataset) -> Split:
    """The split of a data set with a test part. Test examples that were trained on are left out, by content."""
    assert dataset.test is not None
    assert record.keys is not None
    keys, test = example_keys(dataset.train), example_keys(dataset.test)
    train_keys = record.keys[((record.keys & HELD_OUT) == 0) & (record.keys > 0)]
    rows = _find_rows(train_keys, keys)
    present = rows[rows >= 0]
    # while no training window is gone, the latest windows share no row with one
    test_trained = (same_as_trained if len(present) == len(train_keys) else trained_on)(record, dataset.test)
    if len(present) < 2 or test_trained.all():
        raise DataError(
            f"of the {len(train_keys):,} examples that the run trained on {len(present):,} are in {dataset.name}, and "
            f"{int(test_trained.sum()):,} of its {len(test):,} test examples were trained on: give other examples with --data"
        )
    notes = _change_notes(
        len(keys) - len(present), (len(train_keys) - len(present), 0), record, int((~test_trained).sum()), len(keys)
    )
    notes += (_overlap_note(dataset, int(test_trained.sum()), len(test)),) if test_trained.any() else ()
    kept, out = _as_slice(present, len(keys)), np.flatnonzero(~test_trained)
    train = dataset.train[kept] if isinstance(kept, slice) else selected_rows(dataset.train, kept)
    part = with_test(dataset, out, record, notes)
    labels, targets = some(dataset.train_labels, kept), some_targets(dataset.target, kept)
    weights, groups = some(dataset.weights, kept), some(dataset.groups, kept)
    part = replace(part, train_weights=weights, train_groups=groups)
    return replace(part, train=train, train_labels=labels, train_rows=kept, train_target=targets)


def _find_rows(then: Keys, now: Keys) -> NDArray[np.int64]:
    """The present row of each example of the record, or -1; equal examples keep their order."""
    numbers = np.unique(np.concatenate([then, now]), return_inverse=True)[1].reshape(-1)
    a, b = (_distinct(part, len(numbers)) for part in np.split(numbers, [len(then)]))
    order = np.argsort(b, kind="stable")
    at = np.minimum(np.searchsorted(b[order], a), len(b) - 1)
    found = order[at]
    return np.where((b[found] == a) & (then > 0), found, -1)


def _distinct(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """A distinct number for each entry, from its value and the count of equal entries before it."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    before = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    counted = np.empty_like(numbers)
    counted[order] = ordered * (count + 1) + before
    return counted


def _as_slice(rows: NDArray[np.int64], n: int) -> Any:
    """The rows; as a slice where they are the first rows in order."""
    return slice(len(rows)) if len(rows) <= n and np.array_equal(rows, np.arange(len(rows))) else rows


def _rows_in_memory(rows: NDArray[np.int64], examples: Array, whole: bool) -> tuple[Any, tuple[str, ...]]:
    """The rows, if the examples fit into memory; else a random sample of them, and a note."""
    kept = _as_slice(rows, len(examples))
    if isinstance(kept, slice) or not isinstance(examples, np.memmap) or len(rows) * examples[:1].nbytes <= IN_MEMORY:
        return kept, ()
    if whole:
        raise DataError(
            "the examples are not in their order at the start of training, and are too large to sort in memory: give them in that order"
        )
    some = random_subset(len(rows), _MAX_TRAINING)
    return rows[some], (
        f"the order of the examples has changed: a random sample of {_MAX_TRAINING:,} represents the training examples",
    )


def _split_by_position(record: Membership, dataset: Dataset) -> Split:
    """The split of a file that only grew, by position."""
    n, first = len(dataset.train), record.n - record.held
    if n < record.n or hash_keys(example_keys(dataset.train[first : record.n])) != record.data:
        raise DataError(
            f"{dataset.name} has changed other than by examples added at its end, so its held-out examples are "
            "unknown: give other examples with --data"
        )
    notes = _change_notes(n - record.n, (0, 0), record, record.held, n)
    return parts(dataset, slice(first), np.arange(first, record.n), record, notes)


def _change_notes(new: int, gone: tuple[int, int], record: Membership, held: int, n: int) -> tuple[str, ...]:
    """Notes on added and removed examples."""
    notes = []
    if new > 0:
        are = "is" if new == 1 else "are"
        notes.append(
            f"{new:,} of {n:,} examples {are} new since training: not trained on and not held out; the evaluation uses the {held:,} "
            "held-out examples"
        )
    if any(gone):
        notes.append(
            f"{sum(gone):,} of the {record.n:,} examples of the run {'has' if sum(gone) == 1 else 'have'} been removed since training, "
            f"{gone[1]:,} of them held out"
        )
    return tuple(notes)


def _copy_notes(copies: int, n: int) -> tuple[str, ...]:
    """A note on additional copies of examples of the run."""
    are = "is an additional copy" if copies == 1 else "are additional copies"
    return (f"{copies:,} of {n:,} examples {are} of examples of the run: they are not evaluated",) if copies > 0 else ()


def split_other(record: Membership | None, dataset: Dataset, missing: Missing) -> Split:
    """The split of other data: their test part or a tenth is held out, without training examples of the run, by content."""
    if record is not None and record.rule is not None:
        dataset = in_blocks(dataset)
        sides = untrained_by_rule(record, dataset) if dataset.test is None else None
        part = split(dataset, missing) if sides is None else masked_parts(dataset, sides)
        return (
            part
            if sides
            else replace(part, notes=(*part.notes, "the run may have been trained on some of these examples"))
        )
    if record is None or record.keys is None:
        return split(dataset, missing)
    check(dataset, missing)
    flags = (record.keys & HELD_OUT).astype(bool)
    trained = trained_on(record, dataset.train)
    if dataset.test is not None:
        test_trained = trained_on(record, dataset.test)
        if not test_trained.any():
            return split(dataset, missing)
        rows = np.flatnonzero(~test_trained)
        _check_not_empty(rows, dataset)
        return with_test(dataset, rows, record, (_overlap_note(dataset, int(test_trained.sum()), len(test_trained)),))
    if not trained.any():
        return split(dataset, missing)
    windows = windows_of(dataset.train)
    if windows is not None:
        return _new_windows(dataset, windows, record, trained)
    if dataset.groups is not None:
        return _new_groups(dataset, record, trained)
    rows = np.flatnonzero(~trained)
    _check_not_empty(rows, dataset)
    keys = example_keys(dataset.train)[rows]
    held_before = np.isin(keys, record.keys[flags] & ~HELD_OUT)
    order = np.lexsort([keys, ~held_before])  # held-out examples of the run come first
    out = np.sort(rows[order[: max(1, round(len(trained) * TEST_FRACTION))]])
    kept = np.setdiff1d(np.arange(len(trained)), out, assume_unique=True)
    notes = (_overlap_note(dataset, int(trained.sum()), len(trained)), *_shared_rows_note(dataset))
    return parts(dataset, kept, out, record, notes)


def _new_windows(dataset: Dataset, windows: WindowArray, record: Membership, trained: NDArray[np.bool_]) -> Split:
    """The split whose held-out windows share no row with a window that was trained on, nor with the others."""
    out = np.flatnonzero(~trained)
    _check_not_empty(out, dataset)
    apart = ~windows.sharing(windows.begins[out])
    kept = np.flatnonzero(apart if apart.any() else trained)
    return parts(dataset, kept, out, record, (_overlap_note(dataset, int(trained.sum()), len(trained)),))


def _new_groups(dataset: Dataset, record: Membership, trained: NDArray[np.bool_]) -> Split:
    """The split whose held-out examples are all of groups of which no example was trained on."""
    numbers = group_numbers(dataset.groups, len(trained))
    known = trained | (np.isin(numbers, numbers[trained]) & (numbers >= 0))
    out = np.flatnonzero(~known)
    _check_not_empty(out, dataset)
    name = printable(dataset.groups_name or "group")
    note = (
        f"{int(known.sum()):,} of {len(known):,} examples are of the same {name} as an example that was trained on: they are not "
        "evaluated"
    )
    return parts(dataset, np.flatnonzero(known), out, record, (note,))


def _shared_rows_note(dataset: Dataset) -> tuple[str, ...]:
    """A note on windows of a series that were cut elsewhere, of which some were trained on."""
    if dataset.kind != "series" or windows_of(dataset.train) is not None:
        return ()
    return (
        "the other windows of this series may share rows with windows that were trained on: give another series for new data",
    )


def _check_not_empty(rows: NDArray[np.int64], dataset: Dataset) -> None:
    if not len(rows):
        raise DataError(f"the run was trained on all examples of {dataset.name}: give other examples with --data")


def _overlap_note(dataset: Dataset, count: int, n: int) -> str:
    return f"{count:,} of {n:,} {_trained_on(dataset, count)}: they are not evaluated"


def _trained_on(dataset: Dataset, count: int, of: str = "") -> str:
    """What is known of examples of the run, in words."""
    was = "was" if count == 1 else "were"
    if windows_of(dataset.train) is not None:
        return f"windows{of} {was} trained on, or share rows with windows that were"
    return f"examples{of} {was} trained on"


def exclude_trained(record: Membership | None, dataset: Dataset) -> tuple[Array, str]:
    """The examples of a data set without training examples of the run, by content, and a note on their number."""
    if (sides := untrained_by_rule(record, dataset)) is not None:
        return selected_rows(dataset.train, np.flatnonzero(sides.out)), f"{sides.notes[0]} (of {dataset.name})"
    if record is not None and record.keys is None:
        return dataset.train, f"the run has no list of its training examples: some of {dataset.name} may be among them"
    trained = trained_on(record, dataset.train)
    if not trained.any():
        return dataset.train, ""
    rows = np.flatnonzero(~trained)
    _check_not_empty(rows, dataset)
    n = len(trained) - len(rows)
    note = f"{n:,} of {len(trained):,} {_trained_on(dataset, n, f' of {dataset.name}')}: they are left out"
    return selected_rows(dataset.train, rows), "; ".join((note, *_shared_rows_note(dataset)))
