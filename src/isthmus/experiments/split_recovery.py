"""The split of a run, found again in data that may have grown, shrunk or been sorted; and the split of other data for a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset
from isthmus.data.memmap import Rows, random_subset
from isthmus.data.validation import Missing
from isthmus.errors import DataError
from isthmus.experiments.membership import HELD_OUT, Keys, Membership, example_keys, hash_keys, trained_on
from isthmus.experiments.splits import IN_MEMORY, TEST_FRACTION, Split, check, parts, some, split, with_test

__all__ = ["exclude_trained", "recover_split", "split_other"]

Array = NDArray[Any]
_SOME = 100_000  # examples trained on that stand for all, where these have no room in memory


def recover_split(record: Membership, dataset: Dataset, missing: Missing, whole: bool = False) -> Split:
    """The examples that a run trained on and held out, wherever they stand in its data now, in the order of then.

    Args:
        whole: all that it trained on are needed, in their order, to go on with the training; else some may stand for all.

    Raises:
        DataError: none that it held out is there any more; or, for ``whole``, some it trained on is not.
    """
    check(dataset, missing)
    if record.keys is None:
        return _by_place(record, dataset)
    if dataset.test is not None:
        return _given_again(record, dataset)
    keys = example_keys(dataset.train)
    positions, flags = _find_rows(record.keys & ~HELD_OUT, keys), (record.keys & HELD_OUT).astype(bool)
    trained, held = positions[(positions >= 0) & ~flags], positions[(positions >= 0) & flags]
    gone = int((~flags & (record.keys > 0)).sum()) - len(trained), int(flags.sum()) - len(held)
    name, n = dataset.name, len(keys)
    if not len(held) or len(trained) < 2:
        what = "held out" if not len(held) else "trained on"
        raise DataError(
            f"the examples that the run {what} are not in {name} any more (of {record.n:,} examples {len(trained) + len(held):,} are "
            "there): name other examples with --data"
        )
    if whole and any(gone):
        raise DataError(
            f"{sum(gone):,} of the {record.n:,} examples that training began with are not in {name} any more: give those of then"
        )
    new = n - len(trained) - len(held) - int((record.keys == 0).sum())
    copies = int(np.isin(keys, record.keys & ~HELD_OUT).sum()) - len(trained) - len(held)
    notes = _changed(new - copies, gone, record, len(held), n) + _copied(copies, n)
    kept, more = _fitting(trained, dataset.train, whole)
    return parts(dataset, kept, held, record, notes + more)


def _given_again(record: Membership, dataset: Dataset) -> Split:
    """A data set with a test part of its own: what was trained on is known by its content, and no part of the test."""
    assert dataset.test is not None
    assert record.keys is not None
    keys, test = example_keys(dataset.train), example_keys(dataset.test)
    learned = record.keys[((record.keys & HELD_OUT) == 0) & (record.keys > 0)]
    rows = _find_rows(learned, keys)
    there, again = rows[rows >= 0], np.isin(test, learned)
    if len(there) < 2 or again.all():
        raise DataError(
            f"of the {len(learned):,} examples that the run trained on {len(there):,} are in {dataset.name}, and {int(again.sum()):,} of "
            f"its {len(test):,} test examples were trained on: name other examples with --data"
        )
    notes = _changed(len(keys) - len(there), (len(learned) - len(there), 0), record, int((~again).sum()), len(keys))
    notes += (_said(int(again.sum()), len(test)),) if again.any() else ()
    kept, out = _unless_all(there, len(keys)), np.flatnonzero(~again)
    train = dataset.train[kept] if isinstance(kept, slice) else Rows(dataset.train)(kept)
    found = with_test(dataset, out, record, notes)
    return replace(found, train=train, train_labels=some(dataset.train_labels, kept), train_rows=kept)


def _find_rows(then: Keys, now: Keys) -> NDArray[np.int64]:
    """Where each example of then stands now, or -1; of equal ones the first is the first."""
    numbers = np.unique(np.concatenate([then, now]), return_inverse=True)[1].reshape(-1)
    a, b = (_counted(part, len(numbers)) for part in np.split(numbers, [len(then)]))
    order = np.argsort(b, kind="stable")
    at = np.minimum(np.searchsorted(b[order], a), len(b) - 1)
    found = order[at]
    return np.where((b[found] == a) & (then > 0), found, -1)


def _counted(numbers: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """A number for each that says, beside its own, how many equal ones stand before it."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    before = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    counted = np.empty_like(numbers)
    counted[order] = ordered * (most + 1) + before
    return counted


def _unless_all(rows: NDArray[np.int64], n: int) -> Any:
    """The rows, or a slice where these are the first ones in their order."""
    return slice(len(rows)) if len(rows) <= n and np.array_equal(rows, np.arange(len(rows))) else rows


def _fitting(rows: NDArray[np.int64], examples: Array, whole: bool) -> tuple[Any, tuple[str, ...]]:
    """The rows, if memory holds these examples; else some of them drawn at random, and a note."""
    kept = _unless_all(rows, len(examples))
    if isinstance(kept, slice) or not isinstance(examples, np.memmap) or len(rows) * examples[:1].nbytes <= IN_MEMORY:
        return kept, ()
    if whole:
        raise DataError(
            "the examples stand in another order than when training began, and are too large to be sorted here"
        )
    some = random_subset(len(rows), _SOME)
    return rows[some], (f"the examples stand in another order: {_SOME:,} drawn at random stand for those trained on",)


def _by_place(record: Membership, dataset: Dataset) -> Split:
    """The first examples of a file that only grew."""
    n, first = len(dataset.train), record.n - record.held
    if n < record.n or hash_keys(example_keys(np.asarray(dataset.train[first : record.n]))) != record.data:
        raise DataError(
            f"{dataset.name} has changed other than by examples added at its end, and which of them were held out is not known any "
            "more: name other examples with --data"
        )
    notes = _changed(n - record.n, (0, 0), record, record.held, n)
    return parts(dataset, slice(first), np.arange(first, record.n), record, notes)


def _changed(new: int, gone: tuple[int, int], record: Membership, held: int, n: int) -> tuple[str, ...]:
    """What is to be said of data that changed."""
    notes = []
    if new > 0:
        are = "is" if new == 1 else "are"
        notes.append(
            f"{new:,} of {n:,} examples {are} new since training: not trained on and not held out; what is measured, is on the {held:,} "
            "held out"
        )
    if any(gone):
        notes.append(
            f"{sum(gone):,} of the {record.n:,} examples of the training {'is' if sum(gone) == 1 else 'are'} not there any more, "
            f"{gone[1]:,} of them held out"
        )
    return tuple(notes)


def _copied(copies: int, n: int) -> tuple[str, ...]:
    """What is to be said of further copies of examples that a run knows."""
    are = "is a further copy" if copies == 1 else "are further copies"
    return (
        (f"{copies:,} of {n:,} examples {are} of examples of the training: nothing is measured on them",)
        if copies > 0
        else ()
    )


def split_other(record: Membership | None, dataset: Dataset, missing: Missing) -> Split:
    """Other data for a run: their own test part or a tenth of them, without what the run trained on, known by its content."""
    if record is None or record.keys is None:
        return split(dataset, missing)
    check(dataset, missing)
    flags = (record.keys & HELD_OUT).astype(bool)
    trained = trained_on(record, dataset.train)
    if dataset.test is not None:
        again = trained_on(record, dataset.test)
        if not again.any():
            return split(dataset, missing)
        there = np.flatnonzero(~again)
        _check_some(there, dataset)
        return with_test(dataset, there, record, (_said(int(again.sum()), len(again)),))
    if not trained.any():
        return split(dataset, missing)
    there = np.flatnonzero(~trained)
    _check_some(there, dataset)
    keys = example_keys(dataset.train)[there]
    known = np.isin(keys, record.keys[flags] & ~HELD_OUT)
    order = np.lexsort([keys, ~known])  # those that it held out come first
    out = np.sort(there[order[: max(1, round(len(trained) * TEST_FRACTION))]])
    kept = np.setdiff1d(np.arange(len(trained)), out, assume_unique=True)
    return parts(dataset, kept, out, record, (_said(int(trained.sum()), len(trained)),))


def _check_some(there: NDArray[np.int64], dataset: Dataset) -> None:
    if not len(there):
        raise DataError(f"the run was trained on all examples of {dataset.name}: name others with --data")


def _said(count: int, n: int) -> str:
    return f"{count:,} of {n:,} examples {'was' if count == 1 else 'were'} trained on: nothing is measured on these"


def exclude_trained(record: Membership | None, dataset: Dataset) -> tuple[Array, str]:
    """The examples of a data set without those that a run trained on, as far as it remembers, and a sentence about these."""
    known = trained_on(record, dataset.train)
    if not known.any():
        return dataset.train, ""
    there = np.flatnonzero(~known)
    _check_some(there, dataset)
    said = (
        f"{len(known) - len(there):,} of {len(known):,} examples of {dataset.name} were trained on: they are left out"
    )
    return Rows(dataset.train)(there), said
