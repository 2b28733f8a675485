"""Data in blocks are split by a hash of their content: the same rows are held out whatever their order, and in data that have grown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from block_rows import CutRows, cut

from isthmus.data import Dataset
from isthmus.data.locations import Positions
from isthmus.errors import DataError
from isthmus.estimators.given import Given
from isthmus.experiments.membership import FILE, Membership, SplitRule, read_membership, write_membership
from isthmus.experiments.split_recovery import exclude_trained, recover_split, split_other
from isthmus.experiments.splits import Split, split
from isthmus.experiments.sweep_examples import training_and_validation
from isthmus.experiments.trained_examples import known_examples, trained_notes

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2000, 3)).astype(np.float32)
NEW = RNG.normal(size=(600, 3)).astype(np.float32)
NAMES = [f"part-{number:02}.parquet" for number in range(20)]


def dataset(values: Array, rows: int = 130, **others: Any) -> Dataset:
    return Dataset("folder", cut(values, rows), **others)


def files(parts: dict[str, Array]) -> Dataset:
    """A folder of these files, of which a split holds out some."""
    rows = CutRows(np.concatenate(list(parts.values())), [len(part) for part in parts.values()], list(parts))
    return Dataset("folder", rows, hold_out="files")


def rows_of(values: Any) -> set[bytes]:
    return {np.asarray(row).tobytes() for row in np.asarray(values)}


def sides(part: Split) -> tuple[set[bytes], set[bytes]]:
    return rows_of(part.train), rows_of(part.test)


def recorded(part: Split, folder: Path) -> Membership:
    """The record of a split, written and read again."""
    assert part.record is not None
    write_membership(folder, part.record)
    read = read_membership(folder)
    assert read is not None
    return read


def test_a_tenth_is_held_out_whatever_the_order_and_the_blocks() -> None:
    part = split(dataset(X), "error")
    trained, held = sides(part)
    assert 160 < len(held) < 240
    assert trained | held == rows_of(X)
    assert part.notes == (f"held out: {len(held):,} of 2,000 examples, drawn by a hash of their content",)
    assert sides(split(dataset(X[RNG.permutation(2000)], 77), "error")) == (trained, held)
    ends = [np.isin(part.test_rows // 500, number).sum() for number in range(4)]
    assert min(ends) > 25  # not the end, nor any other part


def test_copies_and_other_precisions_are_on_the_same_side() -> None:
    trained, held = sides(split(dataset(np.concatenate([X, X[::2]])), "error"))
    assert not trained & held
    fine = RNG.normal(size=(2000, 3))
    parts = [split(dataset(fine.astype(dtype)), "error") for dtype in (np.float64, np.float32)]
    np.testing.assert_array_equal(parts[0].test_rows, parts[1].test_rows)


def test_the_position_of_a_row_of_a_mask_is_that_of_the_data() -> None:
    mask = RNG.random(200_001) < 0.3
    rows, positions = np.flatnonzero(mask), Positions().some(mask)
    for place in (0, 1, 20_000, 30_000, 40_001, len(rows) - 1):
        assert positions((place, 0)) == Positions()((int(rows[place]), 0))
    assert positions.some(np.array([5, 50_000]))((1, 0)) == Positions()((int(rows[50_000]), 0))


def test_labels_weights_and_positions_are_those_of_their_rows() -> None:
    numbers = np.arange(2000)
    data = dataset(X, train_labels=numbers, weights=numbers + 1.0)
    part = split(data, "error")
    assert part.train_labels is not None
    np.testing.assert_array_equal(X[part.train_labels], part.train)
    np.testing.assert_array_equal(X[part.test_labels], part.test)
    np.testing.assert_array_equal(part.train_weights, part.train_labels + 1)
    positions = part.train_of(data).at
    for place in (0, 7, len(part.train) - 1):
        assert positions((place, 1)) == Positions()((int(part.train_labels[place]), 1))
    assert positions.some(slice(5, 9))((2, 0)) == Positions()((int(part.train_labels[7]), 0))


def test_a_run_recovers_its_split_in_any_order(tmp_path: Path) -> None:
    part = split(dataset(X), "error")
    again = recover_split(recorded(part, tmp_path), dataset(X[::-1], 41), "error", whole=True)
    assert sides(again) == sides(part)
    assert again.notes == ()


def test_no_training_example_is_held_out_after_rows_were_added_and_removed(tmp_path: Path) -> None:
    part = split(dataset(X), "error")
    trained, held = sides(part)
    changed = dataset(np.concatenate([NEW, X[300:1700]]), 99)
    again = recover_split(recorded(part, tmp_path), changed, "error")
    assert not sides(again)[1] & trained
    assert sides(again)[1] & held
    assert sides(again)[1] & rows_of(NEW)
    assert again.notes[0] == "the data have changed since training: 2,000 examples, 2,000 then"
    with pytest.raises(DataError, match="give the original data"):
        recover_split(recorded(part, tmp_path), changed, "error", whole=True)
    for other in (changed.train, np.asarray(changed.train)):  # the same for an array, such as one of the files
        data = Dataset("other", other)
        assert not sides(split_other(recorded(part, tmp_path), data, "error"))[1] & trained
        fresh, note = exclude_trained(recorded(part, tmp_path), data)
        assert not rows_of(fresh) & trained
        assert note.startswith("used are the ")


def test_whole_groups_are_held_out(tmp_path: Path) -> None:
    groups = np.array([f"patient {number % 37}" for number in range(2000)], object)
    groups[5] = None
    data = dataset(X, groups=groups, groups_name="patient")
    part = split(data, "error")
    held = set(groups[part.test_rows])
    assert not held & set(part.train_groups)
    assert 0 < len(held) < 12
    assert part.notes[0].startswith(f"held out by patient: {len(held)} of 37 groups, ")
    assert part.notes[0].endswith("; 1 example has no patient: trained on")
    order = RNG.permutation(2000)
    grown = dataset(X[order], groups=groups[order], groups_name="patient")
    assert sides(recover_split(recorded(part, tmp_path), grown, "error")) == sides(part)


def test_whole_files_are_held_out_by_name_and_recognized_by_content(tmp_path: Path) -> None:
    parts = dict(zip(NAMES, np.split(X, 20), strict=True))
    part = split(files(parts), "error")
    trained, held = sides(part)
    held_names = [name for name, values in parts.items() if rows_of(values) <= held]
    assert 0 < len(held_names) < 8
    assert trained == rows_of(np.concatenate([values for name, values in parts.items() if name not in held_names]))
    assert part.notes[0].startswith(f"held out: {len(held_names)} of 20 files ({', '.join(held_names[:5])}")
    record = recorded(part, tmp_path)
    assert sides(recover_split(record, files(parts), "error", whole=True)) == (trained, held)
    renamed = {f"new-{number:02}": parts[name][::-1] for number, name in enumerate(reversed(NAMES))}
    renamed |= {"added": NEW, "changed": np.concatenate([parts[NAMES[0]], NEW[:3]])}
    again = recover_split(record, files(renamed), "error")
    assert sides(again) == (trained, held)
    assert again.notes[1] == "703 examples are in files that are new or changed: not evaluated"
    gone = {name: values for name, values in parts.items() if name not in held_names}
    with pytest.raises(DataError, match="that the run held out are no longer in folder"):
        recover_split(record, files(gone), "error")


@pytest.mark.parametrize("groups", [None, np.array([f"patient {number % 170}" for number in range(2000)], object)])
def test_a_sweep_validates_on_a_tenth_of_the_training_examples(groups: Any) -> None:
    part = split(dataset(X, groups=groups, groups_name="patient"), "error")
    train, held = training_and_validation(Given(part.train, groups=part.train_groups), "error")
    assert rows_of(train.examples.values) | rows_of(held.examples.values) == rows_of(part.train)
    assert 90 < len(held.examples.values) < 270
    assert not rows_of(train.examples.values) & rows_of(held.examples.values)


def test_what_a_run_was_trained_on_is_marked_where_it_is_known(tmp_path: Path) -> None:
    """The rule alone tells what is new; that the others were trained on, only that the data or the file are those of the run."""
    groups = {
        "groups": np.array([f"patient {number % 37}" for number in range(2000)], object),
        "groups_name": "patient",
    }
    parts = dict(zip(NAMES, np.split(X, 20), strict=True))
    for data, grown, trained_before in [
        (dataset(X), dataset(np.concatenate([NEW, X])), False),
        (dataset(X, **groups), dataset(X[100:], groups=groups["groups"][100:], groups_name="patient"), False),
        (files(parts), files(parts | {"new": NEW}), True),
    ]:
        part = split(data, "error")
        trained, held = sides(part)
        record = recorded(part, tmp_path)
        known = known_examples(record, data)
        assert known is not None
        assert (rows_of(X[known.trained]), rows_of(X[known.new])) == (trained, held)
        known = known_examples(record, grown)
        assert known is not None
        assert rows_of(np.asarray(grown.train)[known.trained]) == (trained if trained_before else set())
        assert rows_of(np.asarray(grown.train)[known.new]) >= held & rows_of(grown.train)
        assert not rows_of(np.asarray(grown.train)[known.new]) & trained
        assert 500 < known.unknown.sum() < len(known.unknown)


def test_a_comparison_says_what_runs_may_have_been_trained_on(tmp_path: Path) -> None:
    record, folders = recorded(split(dataset(X), "error"), tmp_path), {"a": tmp_path, "b": tmp_path / "none"}
    assert trained_notes(folders, NEW, held_out=True) == []
    (note,) = trained_notes(folders, NEW, held_out=False)
    assert note.startswith("a may have been trained on 5")
    (note,) = trained_notes(folders, X, held_out=False)
    assert note == f"a was trained on {2000 - record.held:,} of these 2,000 examples: its errors are too low"


def test_what_cannot_be_held_out_is_an_error() -> None:
    with pytest.raises(
        DataError, match="500 of the 500 examples of folder would be held out, as many of them are equal"
    ):
        split(dataset(np.ones((500, 3), np.float32)), "error")
    with pytest.raises(DataError, match="folder has a single file"):
        split(files({"one": X}), "error")
    with pytest.raises(DataError, match="has the same examples as another one"):
        split(files(dict.fromkeys(NAMES, X[:9])), "error")
    for data in (dataset(X), Dataset("array", X)):
        with pytest.raises(DataError, match="is no folder of files"):
            split(replace(data, hold_out="files"), "error")
    with pytest.raises(DataError, match="all examples have the same patient"):
        split(dataset(X, groups=np.array(["a"] * 2000, object), groups_name="patient"), "error")


@pytest.mark.parametrize("n", [3, 5, 8, 12])
def test_of_few_examples_at_least_one_is_held_out(n: int, tmp_path: Path) -> None:
    part = split(dataset(X[:n], 2), "error")
    assert 1 <= len(part.test) <= n - 2
    again = recover_split(recorded(part, tmp_path), dataset(X[:n][::-1]), "error", whole=True)
    assert sides(again) == sides(part)


def test_a_record_is_read_as_it_was_written_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    keys = np.array([2, 5, 8], np.uint64)
    for record in (
        Membership(10, 2, "0" * 32, None, rule=SplitRule("rows", 7)),
        Membership(10, 2, "1" * 32, None, rule=SplitRule("groups", (1 << 64) - 1)),
        Membership(10, 2, "2" * 32, keys, rule=SplitRule("files", 7)),
        Membership(10, 2, "3" * 32),
    ):
        again = recorded(Split(X, X, record=record), tmp_path)
        assert (again.n, again.held, again.data, again.rule) == (record.n, record.held, record.data, record.rule)
        np.testing.assert_array_equal(again.keys, record.keys)
    content = (tmp_path / FILE).read_bytes()
    for damaged in (content[:-1], content.replace(b'"held', b'"hold')):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(DataError, match="is damaged"):
            read_membership(tmp_path)
