"""The split of data in blocks, which may have any number of examples: a hash decides on which side an example is.

Hashed is the content of an example, its group, or the name of its file. An example is held out if its hash is below a tenth of the
range. The split therefore depends neither on the order of rows nor on that of files, nothing is stored for each example, and examples
that are added later are on the side that their hash says. The values are hashed as float32, so that the precision of a file decides
nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset
from isthmus.data.blocks import blocks_of
from isthmus.data.label_values import label_text
from isthmus.data.labels import class_labels
from isthmus.data.validation import blocks
from isthmus.errors import DataError
from isthmus.experiments.membership import HELD_OUT, Keys, Membership, SplitRule, example_keys, hash_keys, hashed
from isthmus.text import printable

__all__ = ["Sides", "draw_by_content", "known_by_rule", "recovered_by_content", "untrained_by_rule"]

Mask = NDArray[np.bool_]

_TENTH = (1 << 64) // 10
_SALTS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)  # of the split of a run, and of its training part
_LISTED = 5  # names of files in a note


class Sides(NamedTuple):
    """Masks (n,) of the training and of the held-out examples, the record, and notes for the user."""

    kept: Mask
    out: Mask
    record: Membership
    notes: tuple[str, ...]


class _Pass(NamedTuple):
    """What one pass over all examples sees: those whose hash is below a limit (n,), the smallest hash, a hash of all examples whatever
    their order, and a sum for each file that its examples determine."""

    below: Mask
    least: int
    digest: str
    sums: dict[str, int]


def draw_by_content(dataset: Dataset, again: bool = False) -> Sides:
    """The split of data in blocks: about a tenth is held out, by rows, by whole groups, or by whole files.

    Args:
        dataset: the data.
        again: whether these are the training examples of such a split, of which the same hash would hold out none.

    Raises:
        DataError: nothing could be held out, or fewer than two examples would be left to train on.
    """
    seen, n, keys = _read(dataset, _TENTH, again), len(dataset.train), None
    if dataset.hold_out == "files" and dataset.groups is not None:
        raise DataError("a split keeps either groups or files together: leave out --by or --hold-out files")
    if dataset.hold_out == "files":
        out, rule, keys, note = _draw_files(dataset, seen)
    elif dataset.groups is not None:
        out, rule, note = _draw_groups(dataset, again)
    else:
        rule = SplitRule("rows", max(_TENTH, seen.least + 1))
        out = seen.below if rule.limit == _TENTH else _read(dataset, rule.limit, again).below
        note = f"held out: {int(out.sum()):,} of {n:,} examples, drawn by a hash of their content"
    held = int(out.sum())
    if n - held < 2:
        raise DataError(
            f"{held:,} of the {n:,} examples of {dataset.name} would be held out, as many of them are equal or belong together: give test "
            "examples of their own, or more data"
        )
    return Sides(~out, out, Membership(n, held, seen.digest, keys, rule=rule), (note,))


def recovered_by_content(record: Membership, dataset: Dataset, whole: bool = False) -> Sides:
    """The split of a run in its present data.

    Args:
        record: the membership record of the run, with a rule.
        dataset: its data now.
        whole: whether the data must be the same as at training.

    Raises:
        DataError: no held-out example is left, or fewer than two training examples; or, with `whole`, the data have changed.
    """
    assert record.rule is not None
    seen, n, name = _read(dataset, record.rule.limit), len(dataset.train), dataset.name
    if whole and seen.digest != record.data:
        raise DataError(
            f"the {n:,} examples that are in {name} now are not the {record.n:,} at the start of training: give the original data"
        )
    kept, out = _sides(record, dataset, seen)
    if not out.any() or int(kept.sum()) < 2:
        what = "trained on" if out.any() else "held out"
        raise DataError(f"the examples that the run {what} are no longer in {name}: give other examples with --data")
    return Sides(kept, out, record, () if seen.digest == record.data else _change_notes(record, kept, out))


def untrained_by_rule(record: Membership | None, dataset: Dataset) -> Sides | None:
    """Other data split by the rule of a run, so that it was not trained on those that are held out; None if the rule cannot tell."""
    rule = None if record is None else record.rule
    if record is None or rule is None or rule.by == "files" or (rule.by == "groups" and dataset.groups is None):
        return None
    out = _sides(record, dataset, _read(dataset, rule.limit))[1]
    n, fresh = len(out), int(out.sum())
    if not fresh or n - fresh < 2:
        return None
    return Sides(
        ~out, out, record, (f"used are the {fresh:,} of {n:,} examples that the run held out or would have held out",)
    )


def known_by_rule(record: Membership, dataset: Dataset) -> tuple[Mask, Mask]:
    """Masks (n,) of the examples that a run was trained on, and of those that it was not trained on; of the others nothing is known.

    The examples that are not held out were trained on if the data are those of the run, or if their file was. Others may be new.

    Args:
        record: the membership record of the run, with a rule.
        dataset: any data.
    """
    assert record.rule is not None
    if record.rule.by == "groups" and dataset.groups is None:
        return np.zeros(len(dataset.train), bool), np.zeros(len(dataset.train), bool)
    seen = _read(dataset, record.rule.limit)
    kept, out = _sides(record, dataset, seen)
    return kept & (record.rule.by == "files" or seen.digest == record.data), out


def _sides(record: Membership, dataset: Dataset, seen: _Pass) -> tuple[Mask, Mask]:
    """Masks (n,) of training and held-out examples by the rule of a run. Files that are new or changed are on neither side."""
    assert record.rule is not None
    if record.rule.by != "files":
        out = seen.below if record.rule.by == "rows" else _held_groups(dataset, record.rule.limit)[0]
        return ~out, out
    assert record.keys is not None
    held, now = (record.keys & HELD_OUT).astype(bool), _file_keys(seen)
    kept, out = (_of_files(dataset, seen, np.isin(now, record.keys[side] & ~HELD_OUT)) for side in (~held, held))
    return kept, out & ~kept


def _read(dataset: Dataset, limit: int, again: bool = False) -> _Pass:
    """One pass over the examples: their hashes are compared with a limit, and not stored."""
    below, least, totals = np.zeros(len(dataset.train), bool), (1 << 64) - 1, np.zeros(2, np.uint64)
    sums = dict[str, int]()
    for name, begin, block in _named(dataset):
        hashes = hashed(example_keys(block, rounded=True) ^ _SALTS[again])
        below[begin : begin + len(block)] = hashes < np.uint64(limit)
        least = min(least, int(hashes.min()))
        totals += np.array([each.sum(dtype=np.uint64) for each in (hashes, hashed(hashes))], np.uint64)
        sums[name] = (sums.get(name, 0) + int(hashes.sum(dtype=np.uint64)) + len(block)) % (1 << 64)
    return _Pass(below, least, hash_keys(np.array([len(below), *totals], np.uint64)), sums)


def _named(dataset: Dataset) -> Iterator[tuple[str, int, NDArray[Any]]]:
    """Blocks of examples with the name of their file, "" without one, and the number of the first row."""
    rows = blocks_of(dataset.train)
    if rows is None:
        yield from (("", begin, block) for begin, block in blocks(dataset.train))
    else:
        for number, start, stop in rows.spans(0, len(rows)):
            name = "" if rows.names is None else rows.names[number]
            yield name, int(rows.offsets[number]), rows.part(number, start, stop)


def _text_hash(text: str, again: bool = False) -> int:
    salt = b"validation" if again else b"hold out"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, salt=salt).digest(), "big")


def _held_groups(dataset: Dataset, limit: int | None, again: bool = False) -> tuple[Mask, int, str]:
    """Which examples are of groups whose hash is below a limit (n,), the limit, and a note.

    Without a limit it is the usual one, or that which holds out at least one group. Examples without a group are trained on.
    """
    name, n = printable(dataset.groups_name or "groups"), len(dataset.train)
    known = class_labels(dataset.groups, n, name)
    without = int((known.numbers < 0).sum())
    if len(known.classes) + bool(without) < 2:
        raise DataError(f"all examples have the same {name}: a split requires at least two groups")
    hashes = [_text_hash(label_text(each), again) for each in known.classes]
    limit = max(_TENTH, min(hashes) + 1) if limit is None else limit
    held = np.array([*(each < limit for each in hashes), False])
    out: Mask = held[known.numbers]  # -1 is the last one
    note = f"held out by {name}: {int(held.sum()):,} of {len(hashes):,} groups, {int(out.sum()):,} of {n:,} examples"
    return out, limit, note + (f"; {_examples(without, 'has', 'have')} no {name}: trained on" if without else "")


def _draw_groups(dataset: Dataset, again: bool) -> tuple[Mask, SplitRule, str]:
    out, limit, note = _held_groups(dataset, None, again)
    return out, SplitRule("groups", limit), note


def _draw_files(dataset: Dataset, seen: _Pass) -> tuple[Mask, SplitRule, Keys, str]:
    """Whole files, by the hashes of their names: the examples, the rule, a key of each file with its side, and a note."""
    rows, names, keys = blocks_of(dataset.train), [*seen.sums], _file_keys(seen)
    if rows is None or rows.names is None:
        raise DataError(f"{dataset.name} is no folder of files, of which some could be held out: leave out --hold-out")
    if len(names) < 2:
        raise DataError(
            f"{dataset.name} has a single file, which cannot be held out: give more, or leave out --hold-out"
        )
    hashes = [_text_hash(name) for name in names]
    rule = SplitRule("files", max(_TENTH, min(hashes) + 1))
    held = np.array([each < rule.limit for each in hashes])
    if np.isin(keys[held], keys[~held]).any():
        raise DataError(
            f"a file of {dataset.name} that would be held out has the same examples as another one: leave out --hold-out, which keeps "
            "copies on one side"
        )
    out, listed = _of_files(dataset, seen, held), [name for name, is_held in zip(names, held, strict=True) if is_held]
    shown = ", ".join(printable(name, 40) for name in listed[:_LISTED]) + ", ..." * (len(listed) > _LISTED)
    note = f"held out: {len(listed):,} of {len(names):,} files ({shown}), {int(out.sum()):,} of {len(out):,} examples"
    return out, rule, keys | held.astype(np.uint64), note


def _file_keys(seen: _Pass) -> Keys:
    """A key of the content of each file, which is even and not 0."""
    keys = hashed(np.array([*seen.sums.values()], np.uint64)) & ~HELD_OUT
    return np.where(keys == 0, np.uint64(2), keys)


def _of_files(dataset: Dataset, seen: _Pass, chosen: Mask) -> Mask:
    """A mask (n,) of the examples of chosen files. Data without names of files are one file."""
    rows = blocks_of(dataset.train)
    if rows is None or rows.names is None:
        return np.full(len(dataset.train), chosen.any())
    of_name = dict(zip(seen.sums, chosen.tolist(), strict=True))
    return np.repeat(np.array([of_name.get(name, False) for name in rows.names], bool), rows.sizes)


def _change_notes(record: Membership, kept: Mask, out: Mask) -> tuple[str, ...]:
    """Notes on data that have changed since training."""
    assert record.rule is not None
    n, held = len(out), int(out.sum())
    changed = f"the data have changed since training: {n:,} examples, {record.n:,} then"
    if record.rule.by == "files":
        unknown = n - held - int(kept.sum())
        new = f"{_examples(unknown, 'is', 'are')} in files that are new or changed: not evaluated"
        return (changed, new) if unknown else (changed,)
    what = "group" if record.rule.by == "groups" else "content"
    return (
        changed,
        f"{_examples(held, 'is', 'are')} evaluated: a hash of their {what} shows that the run was not trained on them",
    )


def _examples(count: int, one: str, many: str) -> str:
    """A number of examples with its verb."""
    return f"1 example {one}" if count == 1 else f"{count:,} examples {many}"
