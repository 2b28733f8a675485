"""Rows in blocks select, convert and give values like the array that they hold, and read only the blocks that they need."""

from __future__ import annotations

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import numpy as np
import pytest
from block_rows import CutRows, cut

from isthmus.data import BlockRows, as_examples, memmap
from isthmus.data.block_cache import BlockCache
from isthmus.data.memmap import joined_rows, random_parts, random_subset
from isthmus.data.validation import blocks
from isthmus.errors import MemoryLimitError
from isthmus.io.memory_limit import set_memory_limit

Array = np.ndarray[Any, Any]
VALUES = np.arange(60.0).reshape(30, 2)
MASK = np.arange(30) % 3 > 0
KEYS = [
    slice(None),
    slice(3, 20),
    slice(5, 6),
    slice(9, 9),
    slice(25, 99),
    slice(-4, None),
    slice(None, None, -2),
    slice(1, None, 3),
    MASK,
    np.zeros(30, bool),
    np.flatnonzero(MASK),
    np.array([29, 0, 0, 7, -1]),
    [4, 2],
    np.empty(0, np.int64),
]


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_every_selection_of_a_selection_gives_the_rows_of_the_array(rows: int) -> None:
    cutted = cut(VALUES, rows)
    assert np.array_equal(cutted, VALUES)
    for first in KEYS:
        selected, expected = cutted[first], VALUES[first]
        assert selected.shape == expected.shape
        assert np.array_equal(np.asarray(selected), expected)
        some = np.arange(len(expected))[::-2]
        assert np.array_equal(selected.take(some), expected[some])
        for second in [slice(1, 5), slice(None, None, -1), some, np.arange(len(expected)) % 2 == 0]:
            assert np.array_equal(np.asarray(selected[second]), expected[second])
            assert [len(block) for _, block in selected[second].blocks()] == [n for n in selected[second].sizes if n]


def test_numbers_columns_types_and_shapes_are_those_of_the_array() -> None:
    images = np.random.default_rng(0).integers(0, 255, (23, 4, 3)).astype(np.uint8)
    rows = cut(images, 5)
    assert np.array_equal(rows[4], images[4])
    assert np.array_equal(rows[-1], images[-1])
    assert rows[3, 2, 1] == images[3, 2, 1]
    assert np.array_equal(rows[[2, 9], 1], images[[2, 9], 1])
    assert rows[...] is rows
    for changed, expected in [
        (rows.reshape(23, -1), images.reshape(23, -1)),
        (rows.reshape((-1, 3, 4)), images.reshape(-1, 3, 4)),
        (rows.reshape(-1), images.reshape(-1)),
        (rows.astype(np.float32), images.astype(np.float32)),
        (rows[:, 1:3], images[:, 1:3]),
        (rows[2:8, :, [0, 2]], images[2:8, :, [0, 2]]),
        (rows[5:].astype(float).reshape(18, 12)[MASK[:18]], images[5:].astype(float).reshape(18, 12)[MASK[:18]]),
    ]:
        assert changed.dtype == expected.dtype
        assert changed.shape == expected.shape
        assert np.array_equal(np.asarray(changed), expected)
        assert np.array_equal(np.asarray(changed[[3, 1]]), expected[[3, 1]])


@pytest.mark.parametrize("key", [30, -31, [30], [-31], MASK[:5], [0.5], [[1]]])
def test_what_selects_no_rows_is_an_index_error(key: Any) -> None:
    with pytest.raises(IndexError):
        cut(VALUES)[key]


def test_rows_by_number_read_each_block_once_and_no_other_one() -> None:
    rows = cut(VALUES, 5, empty=False)
    rows.take(np.array([26, 3, 4, 25, 3]))
    assert sorted(rows.read) == [0, 5]
    rows.take(np.array([4, 27]))
    assert sorted(rows.read) == [0, 5]


def test_a_pass_in_order_reads_each_block_once_however_it_is_cut() -> None:
    for each in (1, 3, 8, 30):
        rows = cut(VALUES, 5, empty=False)
        selected = rows[MASK]
        parts = [np.asarray(selected[begin : begin + each]) for begin in range(0, len(selected), each)]
        assert np.array_equal(np.concatenate(parts), VALUES[MASK])
        assert rows.read == [0, 1, 2, 3, 4, 5]
    rows = cut(VALUES, 5, empty=False)
    assert np.array_equal(np.concatenate([block for _, block in blocks(rows)]), VALUES)
    assert rows.read == [0, 1, 2, 3, 4, 5]


def test_selections_read_nothing_and_a_mask_stores_a_bit_for_each_row() -> None:
    rows = CutRows(np.broadcast_to(np.zeros(1, np.uint8), (1_000_000, 1)), [1000] * 1000)
    mask = np.arange(1_000_000) % 10 > 0
    selected = rows[mask][100:][mask[100:900_000]].astype(np.float32)
    assert len(selected) == 809_910
    assert rows.read == []
    assert len(pickle.dumps(rows[mask].selection)) < 200_000  # 125,000 bytes of bits, and a number for each block
    assert len(pickle.dumps(rows[np.flatnonzero(mask)].selection)) < 200_000


def test_kept_blocks_are_bounded_in_bytes() -> None:
    cache, block = BlockCache(), np.zeros(10 << 20, np.uint8)
    for number in range(20):
        cache(number, lambda _: block)
    assert sum(each.nbytes for each in cache.blocks.values()) <= 64 << 20
    assert list(cache.blocks) == [14, 15, 16, 17, 18, 19]
    large = np.zeros(80 << 20, np.uint8)
    for number in range(5):
        cache(number, lambda _: large)
    assert list(cache.blocks) == [3, 4]


def test_what_is_read_cannot_change_the_kept_blocks() -> None:
    rows = cut(VALUES)
    rows[3:5].__array__()[:] = -1
    rows.take(np.array([3]))[:] = -1
    assert np.array_equal(rows, VALUES)
    with pytest.raises(ValueError, match="read-only"):
        rows.block(0)[:] = -1


def test_threads_read_one_after_the_other() -> None:
    busy: list[int] = []

    class Careful(CutRows):
        def read_block(self, number: int) -> Array:
            assert not busy, "two threads at once"
            busy.append(number)
            sleep(0.001)
            block = super().read_block(number)
            busy.clear()
            return block

    rows = Careful(VALUES, [5] * 6)
    selected = rows[MASK]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda begin: np.asarray(selected[begin : begin + 2]), range(0, 20, 2)))
    assert np.array_equal(np.concatenate(parts), VALUES[MASK])


def test_a_context_goes_with_its_rows() -> None:
    context = np.arange(30)[:, None]
    rows = cut(VALUES).with_context(context)
    for key in KEYS:
        assert np.array_equal(rows[key].context, context[key])
        assert np.array_equal(rows[key].astype(np.float32).reshape(-1, 2).context, context[key])
    assert cut(VALUES).context is None


def test_names_of_files_go_with_their_blocks() -> None:
    rows = CutRows(VALUES, [10, 10, 10], ["a", "b", "c"])
    assert rows[12:].names == ["b", "c"]
    assert rows[MASK].astype(np.float32).names == ["a", "b", "c"]
    assert rows[::-1].names is None


def test_an_array_that_does_not_fit_is_an_error_before_it_is_read() -> None:
    rows = CutRows(np.broadcast_to(np.zeros(1), (100_000, 1000)), [100] * 1000)
    set_memory_limit("100MB")
    try:
        with pytest.raises(MemoryLimitError, match="an array of 100,000 rows in blocks"):
            np.asarray(rows)
    finally:
        set_memory_limit(None)
    assert rows.read == []


def test_a_copy_in_another_process_has_the_same_rows() -> None:
    rows = cut(VALUES)
    rows.take(np.array([3]))
    again = pickle.loads(pickle.dumps(rows[MASK]))  # what this test wrote
    assert np.array_equal(again, VALUES[MASK])


@pytest.mark.parametrize("dtype", [np.bool_, np.float16, ">f4", np.int16])
def test_examples_get_the_types_that_models_accept(dtype: Any) -> None:
    values = (VALUES % 5).astype(dtype)
    examples = as_examples(cut(values)).values
    expected = as_examples(values).values
    assert isinstance(examples, BlockRows)
    assert examples.dtype == expected.dtype
    assert np.array_equal(examples, expected)


def test_a_subset_of_many_rows_is_drawn_in_memory_for_the_subset() -> None:
    tracemalloc.start()
    rows = random_subset(10**12, 1000, 3)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert len(set(rows.tolist())) == 1000
    assert (np.diff(rows) > 0).all()
    assert all(
        150 < ((rows >= begin) & (rows < begin + 10**12 // 4)).sum() < 350 for begin in range(0, 10**12, 10**12 // 4)
    )
    np.testing.assert_array_equal(random_subset(1000, 10, 3), np.sort(np.random.default_rng(3).permutation(1000)[:10]))


def test_many_rows_in_blocks_are_split_by_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_parts(5000, [1000, 500], 0)
    assert [len(part) for part in rows] == [1000, 500, 3500]
    assert sorted(np.concatenate(rows)) == list(range(5000))
    monkeypatch.setattr(memmap, "PERMUTED", 4999)
    masks = random_parts(5000, [1000, 500], 0, masks=True)
    assert (np.sum(masks, 0) == 1).all()
    for mask, expected in zip(masks, (1000, 500, 3500), strict=True):
        assert abs(mask.sum() - expected) < 150
    np.testing.assert_array_equal(np.flatnonzero(joined_rows(*masks[:2])), np.flatnonzero(~masks[2]))
