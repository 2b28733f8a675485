"""Which examples are held out: drawn by their content when a run begins, and remembered, so that data may grow, shrink and be sorted.

Each example has a key, a hash of its numbers, and another of them as float32, where that differs: the same table may come in either
precision. Equal examples have equal keys and stay on one side: what was trained on is never measured
on in a copy. A run keeps the keys of all its examples in their order (8 or 16 bytes each), and which of them are held out; so each example
of data that changed is known as trained on, held out, or new. Of a memory map of more than 256 MiB the end is held out, less what
stands before it too, for its beginning can then be trained on where it lies. Of more than `REMEMBERED` examples no keys are kept: those
of a file that only grew are known by their place.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from isthmus.data import Dataset, as_examples
from isthmus.data.memmap import Rows, random_subset
from isthmus.data.validation import Examples, Missing, blocks
from isthmus.errors import DataError, ModelFileError
from isthmus.io.atomic import replace_file
from isthmus.io.files import shown
from isthmus.io.safetensors import CHECKSUM, opened, packed

__all__ = [
    "FILE",
    "Membership",
    "Split",
    "drawn_once",
    "found_again",
    "keys_of",
    "others",
    "read_record",
    "split",
    "trained_on",
    "untrained",
    "write_record",
]

Array = NDArray[Any]
Keys = NDArray[np.uint64]
FILE = "split.safetensors"
REMEMBERED = 1 << 24  # examples whose keys are kept, 128 MiB
_HELD_OUT = 0.1  # of data that have no test part
_TAKEN = 256 << 20  # bytes of a file that are taken into memory, so that a tenth can be drawn from them
_SOME = 100_000  # examples trained on that stand for all, where these have no room in memory
_SEED = 15  # of the weights of the places in an example


class _About(BaseModel):
    """What a record says of itself, as its file holds it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1] = 1
    n: PositiveInt  # examples there were
    held: PositiveInt  # held out
    data: Annotated[
        str, Field(pattern="^[0-9a-f]{32}$")
    ]  # a hash of the keys: of the held-out ones alone, where no others are kept
    kept: bool  # whether all keys are


@dataclass(frozen=True, eq=False)
class Membership:
    """What a run remembers of its examples.

    Attributes:
        n, held: how many there were, and how many are held out.
        data: a hash of their keys; where these are not kept, of the held-out ones' alone, which are the last.
        keys: (n,) of each in their order; the lowest bit says that it is held out, and 0 that it is of no part. None where not kept.
        rounded: (n,) likewise of their numbers as float32, so that they are known when they come so; None where these are the same.
    """

    n: int
    held: int
    data: str
    keys: Keys | None = None
    rounded: Keys | None = None


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


# Keys


def keys_of(values: Array, rounded: bool = False) -> Keys:
    """A key for each example, equal for equal numbers of any type, as they are or rounded to float32; even, and never 0."""
    weights = np.random.PCG64(_SEED).random_raw(values[:1].size).astype(np.uint64) | np.uint64(1)
    keys = np.empty(len(values), np.uint64)
    for begin, block in blocks(values):
        block = block.astype(np.float32) if rounded else block
        numbers = block.reshape(len(block), -1).astype(np.float64) + 0.0  # one zero
        numbers[np.isnan(numbers)] = np.nan  # one NaN
        keys[begin : begin + len(block)] = (_mixed(numbers.view(np.uint64)) * weights).sum(1, dtype=np.uint64)
    keys = _mixed(keys) & ~np.uint64(1)
    return np.where(keys == 0, np.uint64(2), keys)


def _rounded(*parts: Array) -> Keys | None:
    """The keys of examples as float32; None where they are what they are."""
    if all(part.dtype != np.float64 for part in parts):
        return None
    keys = np.concatenate([keys_of(part, rounded=True) for part in parts])
    return None if np.array_equal(keys, np.concatenate([keys_of(part) for part in parts])) else keys


def _mixed(bits: Keys) -> Keys:
    """Bits of which each depends on all (the finalizer of MurmurHash3)."""
    bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return bits ^ (bits >> np.uint64(33))


def _hashed(keys: Keys) -> str:
    return hashlib.blake2b(np.ascontiguousarray(keys, "<u8").data, digest_size=16).hexdigest()


# A run that begins


def split(dataset: Dataset, missing: Missing) -> Split:
    """The data set's own test part; where it has none, a tenth of the examples is held out, the same for equal data in any order.

    missing: what NaN is to the autoencoder they are for.
    """
    _check(dataset, missing)  # a wrong number is named by its place in the file
    if dataset.test is not None:
        return _given(dataset)
    n, examples = len(dataset.train), dataset.train
    held = max(1, round(n * _HELD_OUT))
    if n - held < 2:
        raise DataError(
            f"{dataset.name} has {n} examples: too few to train on some and look at others; give at least 3"
        )
    if n > REMEMBERED or (isinstance(examples, np.memmap) and examples.nbytes > _TAKEN):
        return _end(dataset, n, held)
    keys = keys_of(examples)
    out, notes = _drawn(keys, held)
    flagged = keys.copy()
    flagged[out] |= np.uint64(1)
    kept = np.setdiff1d(np.arange(n), out, assume_unique=True)
    return _parts(dataset, kept, out, Membership(n, len(out), _hashed(flagged), flagged, _rounded(examples)), notes)


def _check(dataset: Dataset, missing: Missing) -> None:
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
    known, keys = keys_of(train), keys_of(test)
    there = np.flatnonzero(~np.isin(keys, known))
    if not len(there):
        raise DataError(f"all {len(test):,} test examples of {dataset.name} are training examples too: give others")
    flagged = np.zeros(len(test), np.uint64)
    flagged[there] = keys[there] | np.uint64(1)
    copies = len(test) - len(there)
    notes = (
        (f"{copies:,} of {len(test):,} test examples are training examples too, and are left out",) if copies else ()
    )
    keys = np.concatenate([known, flagged])
    return _tested(dataset, there, Membership(len(keys), len(there), _hashed(keys), keys, _rounded(train, test)), notes)


def _tested(dataset: Dataset, there: NDArray[np.int64], record: Membership, notes: tuple[str, ...]) -> Split:
    """A data set with some of its test part."""
    assert dataset.test is not None
    test = dataset.test if len(there) == len(dataset.test) else Rows(dataset.test)(there)
    return Split(dataset.train, test, _some(dataset.test_labels, there), dataset.train_labels, there, record, notes)


def _end(dataset: Dataset, n: int, held: int) -> Split:
    """The end of many examples, less what stands before it too."""
    examples, first = dataset.train, n - held
    if n > REMEMBERED:
        last = keys_of(np.asarray(examples[first:]))
        return _parts(dataset, slice(first), np.arange(first, n), Membership(n, held, _hashed(last)), ())
    keys = keys_of(examples)
    out = first + np.flatnonzero(~np.isin(keys[first:], keys[:first]))
    if not len(out):
        raise DataError(f"the last {held:,} examples of {dataset.name} all stand before them too: shuffle the file")
    flagged = keys.copy()
    flagged[first:] = 0
    flagged[out] = keys[out] | np.uint64(1)
    copies = held - len(out)
    notes = (
        (f"{copies:,} of the last {held:,} examples stand before them too: they are of neither part",) if copies else ()
    )
    return _parts(
        dataset, slice(first), out, Membership(n, len(out), _hashed(flagged), flagged, _rounded(examples)), notes
    )


def _parts(
    dataset: Dataset, kept: Any, out: NDArray[np.int64], record: Membership | None, notes: tuple[str, ...]
) -> Split:
    """The examples at some places and at others; a slice of a memory map stays in its file."""
    examples, labels = dataset.train, dataset.train_labels
    train = examples[kept] if isinstance(kept, slice) else Rows(examples)(kept)
    return Split(train, Rows(examples)(out), _some(labels, out), _some(labels, kept), out, record, notes, kept)


def _some(labels: Array | None, rows: Any) -> Array | None:
    return None if labels is None else labels[rows]


def drawn_once(dataset: Dataset, missing: Missing) -> Split:
    """The tenth that runs without a record held out: drawn by number, so that it is another when examples are added."""
    _check(dataset, missing)
    if dataset.test is not None:
        return Split(
            dataset.train, dataset.test, dataset.test_labels, dataset.train_labels, np.arange(len(dataset.test))
        )
    n = len(dataset.train)
    held = max(1, round(n * _HELD_OUT))
    if n - held < 2:
        raise DataError(f"{dataset.name} has {n} examples, too few for a tenth to be held out; give at least 3")
    if isinstance(dataset.train, np.memmap) and dataset.train.nbytes > _TAKEN:
        return _parts(dataset, slice(n - held), np.arange(n - held, n), None, ())
    order = np.random.default_rng(0).permutation(n)
    return _parts(dataset, np.sort(order[held:]), np.sort(order[:held]), None, ())


# A run that was


def found_again(record: Membership, dataset: Dataset, missing: Missing, whole: bool = False) -> Split:
    """The examples that a run trained on and held out, wherever they stand in its data now, in the order of then.

    Args:
        whole: all that it trained on are needed, in their order, to go on with the training; else some may stand for all.

    Raises:
        DataError: none that it held out is there any more; or, for ``whole``, some it trained on is not.
    """
    _check(dataset, missing)
    if record.keys is None:
        return _by_place(record, dataset)
    if dataset.test is not None:
        return _given_again(record, dataset)
    keys = keys_of(dataset.train)
    positions, flags = _places(record.keys & ~np.uint64(1), keys), (record.keys & np.uint64(1)).astype(bool)
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
    copies = int(np.isin(keys, record.keys & ~np.uint64(1)).sum()) - len(trained) - len(held)
    notes = _changed(new - copies, gone, record, len(held), n) + _copied(copies, n)
    kept, more = _fitting(trained, dataset.train, whole)
    return _parts(dataset, kept, held, record, notes + more)


def _given_again(record: Membership, dataset: Dataset) -> Split:
    """A data set with a test part of its own: what was trained on is known by its content, and no part of the test."""
    assert dataset.test is not None
    assert record.keys is not None
    keys, test = keys_of(dataset.train), keys_of(dataset.test)
    learned = record.keys[((record.keys & np.uint64(1)) == 0) & (record.keys > 0)]
    rows = _places(learned, keys)
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
    found = _tested(dataset, out, record, notes)
    return replace(found, train=train, train_labels=_some(dataset.train_labels, kept), train_rows=kept)


def _places(then: Keys, now: Keys) -> NDArray[np.int64]:
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
    if isinstance(kept, slice) or not isinstance(examples, np.memmap) or len(rows) * examples[:1].nbytes <= _TAKEN:
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
    if n < record.n or _hashed(keys_of(np.asarray(dataset.train[first : record.n]))) != record.data:
        raise DataError(
            f"{dataset.name} has changed other than by examples added at its end, and which of them were held out is not known any "
            "more: name other examples with --data"
        )
    notes = _changed(n - record.n, (0, 0), record, record.held, n)
    return _parts(dataset, slice(first), np.arange(first, record.n), record, notes)


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


def others(record: Membership | None, dataset: Dataset, missing: Missing) -> Split:
    """Other data for a run: their own test part or a tenth of them, without what the run trained on, known by its content."""
    if record is None or record.keys is None:
        return split(dataset, missing)
    _check(dataset, missing)
    flags = (record.keys & np.uint64(1)).astype(bool)
    trained = trained_on(record, dataset.train)
    if dataset.test is not None:
        again = trained_on(record, dataset.test)
        if not again.any():
            return split(dataset, missing)
        there = np.flatnonzero(~again)
        _check_some(there, dataset)
        return _tested(dataset, there, record, (_said(int(again.sum()), len(again)),))
    if not trained.any():
        return split(dataset, missing)
    there = np.flatnonzero(~trained)
    _check_some(there, dataset)
    keys = keys_of(dataset.train)[there]
    known = np.isin(keys, record.keys[flags] & ~np.uint64(1))
    order = np.lexsort([keys, ~known])  # those that it held out come first
    out = np.sort(there[order[: max(1, round(len(trained) * _HELD_OUT))]])
    kept = np.setdiff1d(np.arange(len(trained)), out, assume_unique=True)
    return _parts(dataset, kept, out, record, (_said(int(trained.sum()), len(trained)),))


def _check_some(there: NDArray[np.int64], dataset: Dataset) -> None:
    if not len(there):
        raise DataError(f"the run was trained on all examples of {dataset.name}: name others with --data")


def _said(count: int, n: int) -> str:
    return f"{count:,} of {n:,} examples {'was' if count == 1 else 'were'} trained on: nothing is measured on these"


def trained_on(record: Membership | None, values: Array) -> NDArray[np.bool_]:
    """Which examples a run trained on, (n,), as far as it remembers."""
    if record is None or record.keys is None:
        return np.zeros(len(values), bool)
    learned, keys = (record.keys & np.uint64(1)) == 0, keys_of(values)
    found = np.isin(keys, record.keys[learned])
    if values.dtype != np.float64:
        return found if record.rounded is None else found | np.isin(keys, record.rounded[learned & (record.keys > 0)])
    return found if record.rounded is not None else found | np.isin(keys_of(values, rounded=True), record.keys[learned])


def untrained(record: Membership | None, dataset: Dataset) -> tuple[Array, str]:
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


# Files


def write_record(folder: Path, record: Membership) -> None:
    """Writes what a run remembers into its folder, unless it is there."""
    with suppress(DataError):  # a damaged one is written anew
        there = read_record(folder)
        if there is not None and (there.n, there.data) == (record.n, record.data):
            return
    about = _About(n=record.n, held=record.held, data=record.data, kept=record.keys is not None)
    keys = np.empty(0, np.uint64) if record.keys is None else record.keys
    tensors = {"keys": keys} | ({} if record.rounded is None else {"rounded": record.rounded})
    parts = packed(
        {"isthmus split": about.model_dump_json()},
        {name: torch.from_numpy(each.view(np.int64).copy()) for name, each in tensors.items()},
    )
    replace_file(folder / FILE, parts)


def read_record(folder: Path) -> Membership | None:
    """What the run of a folder remembers; None where it does not.

    Raises:
        DataError: its file is damaged.
    """
    path = folder / FILE
    if not path.is_symlink() and not path.exists():
        return None
    try:
        with opened(path) as contents:
            about = _About.model_validate_json(contents.texts["isthmus split"], strict=True)
            meta_model = contents.sketches()
            rows = about.n if about.kept else 0
            asked = dict.fromkeys(("keys", *({"rounded"} & meta_model.keys())), (torch.int64, (rows,)))
            if (
                (about.n > REMEMBERED and about.kept)
                or about.held >= about.n
                or contents.texts.keys() - {"isthmus split", CHECKSUM}
            ):
                raise ValueError("its counts cannot be")
            if {name: (t.dtype, tuple(t.shape)) for name, t in meta_model.items()} != asked:
                raise ValueError("it has not a key for each example")
            tensors = {name: each.numpy().view(np.uint64) for name, each in contents.everything().items()}
            keys = tensors["keys"]
        if about.kept and (_hashed(keys) != about.data or int((keys & np.uint64(1)).sum()) != about.held):
            raise ValueError("its keys are others than it says")
    except (ModelFileError, ValidationError, ValueError, KeyError) as error:
        reason = "" if isinstance(error, ModelFileError | ValidationError) else f" ({error})"
        raise DataError(f"{shown(path)} is damaged{reason}: which examples were held out is not known") from None
    return Membership(about.n, about.held, about.data, *((keys, tensors.get("rounded")) if about.kept else ()))
