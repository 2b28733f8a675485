"""The membership record of a run: a key of each example, and which examples are held out.

The key of an example is a hash of its values. A second key hashes the values as float32 where that differs, because the same
table may come in either precision. Equal examples have equal keys. A run stores the keys of all examples in their order (8 or
16 bytes each). With them each example of changed data is recognized as trained on, held out, or new.

Of data in blocks, which may have any number of examples, no keys are stored. A rule decides from the content of an example whether it
is held out (`SplitRule`), and decides alike for examples that are added later.

The hash `data` identifies the data by the first keys alone, since the same values determine the second ones. The checksum of the file
covers both.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from isthmus.data.memmap import release_pages
from isthmus.data.series.window_array import WindowArray, windows_of
from isthmus.data.series.windows import Windows
from isthmus.data.sparse_rows import SparseRows
from isthmus.data.validation import blocks
from isthmus.errors import DataError, ModelFileError
from isthmus.io.atomic import replace_file
from isthmus.io.files import shown
from isthmus.io.safetensors import CHECKSUM, opened, serialize

__all__ = [
    "FILE",
    "HELD_OUT",
    "REMEMBERED",
    "Keys",
    "Membership",
    "SplitRule",
    "example_keys",
    "hash_keys",
    "hashed",
    "read_membership",
    "rounded_keys",
    "same_as_trained",
    "trained_on",
    "trained_steps",
    "write_membership",
]

Array = NDArray[Any]
Keys = NDArray[np.uint64]
FILE = "split.safetensors"
REMEMBERED = 1 << 24  # largest number of examples whose keys are stored, 128 MiB
HELD_OUT = np.uint64(1)  # the bit of a key that marks a held-out example
_SEED = 15  # of the weights of the dimensions of an example
_BLOCK = 1 << 22  # values of a series that are hashed together


class _Header(BaseModel):
    """The header of split.safetensors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1] = 1
    n: PositiveInt  # number of examples
    held: PositiveInt  # number of held-out examples
    data: Annotated[
        str, Field(pattern="^[0-9a-f]{32}$")
    ]  # a hash of the keys; of the held-out ones alone where no others are stored
    kept: bool  # whether all keys are stored
    by: Literal["rows", "groups", "files"] | None = None  # of a rule
    limit: Annotated[int, Field(gt=0, lt=1 << 64)] | None = None
    files: Annotated[int, Field(gt=0)] | None = None


class SplitRule(NamedTuple):
    """Examples are held out whose hash is below a limit.

    Attributes:
        by: what is hashed: the content of an example ("rows"), its group, or the name of its file.
        limit: the limit.
    """

    by: Literal["rows", "groups", "files"]
    limit: int


@dataclass(frozen=True, eq=False)
class Membership:
    """Which examples a run was trained on, and which it held out.

    Attributes:
        n, held: numbers of all examples and of held-out examples.
        data: a hash of the keys; without keys, a hash of the keys of the held-out examples, which are the last ones.
        keys: (n,) the keys in the order of the data. The lowest bit marks held-out examples; 0 marks an example of neither part.
            None where they are not stored. For a rule by files, the keys of the files, which are sums of those of their examples.
        rounded: (n,) the keys of the values as float32, which recognize the data in that precision; None where they are the same.
        rule: what decides which examples are held out; None where they are in the record.
    """

    n: int
    held: int
    data: str
    keys: Keys | None = None
    rounded: Keys | None = None
    rule: SplitRule | None = None


def example_keys(values: Array, rounded: bool = False) -> Keys:
    """The keys of examples (n,): even, never 0, equal for equal values of any dtype; with `rounded`, of the values as float32."""
    weights = np.random.PCG64(_SEED).random_raw(values[:1].size).astype(np.uint64) | np.uint64(1)
    keys = np.empty(len(values), np.uint64)
    if isinstance(values, SparseRows):  # a zero adds nothing to a sum
        matrix = values.matrix
        sums = np.cumsum(_bits(matrix.data, rounded) * weights[matrix.indices], dtype=np.uint64)
        keys = np.diff(np.concatenate([np.zeros(1, np.uint64), sums])[matrix.indptr])
    elif (windows := windows_of(values)) is not None:
        keys = _window_sums(windows, weights, rounded)
    else:
        for begin, block in blocks(values):
            bits = _bits(block.reshape(len(block), -1), rounded)
            keys[begin : begin + len(block)] = (bits * weights).sum(1, dtype=np.uint64)
    keys = hashed(keys) & ~HELD_OUT
    return np.where(keys == 0, np.uint64(2), keys)


def _window_sums(windows: WindowArray, weights: Keys, rounded: bool) -> Keys:
    """The weighted sums of the hashed bits of windows (n,). The values of a row are hashed once, in however many windows it is."""
    _, length, channels = windows.shape
    sums, order = np.zeros(len(windows), np.uint64), np.argsort(windows.begins, kind="stable")
    block = windows.begins[order] * channels // _BLOCK
    for part in np.split(order, np.flatnonzero(np.diff(block)) + 1):
        begins = windows.begins[part]
        bits = _bits(np.asarray(windows.rows[begins[0] : begins[-1] + length]), rounded)
        for place, each in enumerate(weights.reshape(length, channels)):
            sums[part] += (bits[begins - begins[0] + place] * each).sum(1, dtype=np.uint64)
        release_pages(windows.rows)
    return sums


def _bits(values: Array, rounded: bool) -> Keys:
    """The hashed bits of values, 0 for zero."""
    numbers = (values.astype(np.float32) if rounded else values).astype(np.float64) + 0.0  # -0.0 and 0.0 get one key
    numbers[np.isnan(numbers)] = np.nan  # all NaN get one key
    return hashed(numbers.view(np.uint64))


def rounded_keys(*parts: Array) -> Keys | None:
    """The keys of examples as float32; None where they equal the keys without rounding."""
    if all(_fits_float32(part) for part in parts):
        return None
    keys = np.concatenate([example_keys(part, rounded=True) for part in parts])
    return None if np.array_equal(keys, np.concatenate([example_keys(part) for part in parts])) else keys


def _fits_float32(values: Array) -> bool:
    """Whether float32 represents every value of the dtype, so that no second key is needed."""
    return np.can_cast(values.dtype, np.float32)


def hashed(bits: Keys) -> Keys:
    """Hashed integers (the finalizer of MurmurHash3)."""
    bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return bits ^ (bits >> np.uint64(33))


def hash_keys(keys: Keys) -> str:
    return hashlib.blake2b(np.ascontiguousarray(keys, "<u8").data, digest_size=16).hexdigest()


def trained_on(record: Membership | None, values: Array) -> NDArray[np.bool_]:
    """Which examples a run was trained on, shape (n,); all False without stored keys.

    Windows of a series are those that equal a training window, and those that share a row with one, wherever the series is cut now. A
    window whose rows are all the same is no evidence for the windows that share a row with it.
    """
    windows = windows_of(values)
    if windows is None or record is None or record.keys is None or record.rule is not None:
        return same_as_trained(record, values)
    every = windows.every()
    found = same_as_trained(record, cast(Array, every))
    return found[windows.begins] | windows.sharing(every.begins[found & every.varying()])


def trained_steps(record: Membership | None, windows: Windows) -> NDArray[np.bool_] | None:
    """Which time steps are in a window that a run was trained on, (rows,), wherever the series is cut now; None without stored keys."""
    if record is None or record.keys is None or record.rule is not None:
        return None
    every = windows.every
    return windows.rows_in(every.begins[same_as_trained(record, cast(Array, every))])


def same_as_trained(record: Membership | None, values: Array) -> NDArray[np.bool_]:
    """Which examples equal a training example of a run, shape (n,); all False without stored keys."""
    if record is None or record.keys is None or record.rule is not None:
        return np.zeros(len(values), bool)
    training, keys = (record.keys & HELD_OUT) == 0, example_keys(values)
    found = np.isin(keys, record.keys[training])
    if _fits_float32(values):
        return found if record.rounded is None else found | np.isin(keys, record.rounded[training & (record.keys > 0)])
    if record.rounded is not None:
        return found
    # the training examples are float32 values: where these are the same as float32, a test with them could be contaminated
    return found | np.isin(example_keys(values, rounded=True), record.keys[training])


def write_membership(folder: Path, record: Membership) -> None:
    """Writes the record into the folder of a run, unless the same record is there."""
    with suppress(DataError):  # a damaged file is replaced
        there = read_membership(folder)
        same = there is not None and (there.n, there.data, there.rule) == (record.n, record.data, record.rule)
        if there is not None and same and (record.rounded is None or there.rounded is not None):
            return  # a file of an older version lacks the keys of large integers as float32, and is replaced
    by, limit = record.rule or (None, None)
    kept, files = (
        record.keys is not None and by is None,
        None if record.keys is None or by is None else len(record.keys),
    )
    header = _Header(n=record.n, held=record.held, data=record.data, kept=kept, by=by, limit=limit, files=files)
    keys = np.empty(0, np.uint64) if record.keys is None else record.keys
    tensors = {"keys": keys} | ({} if record.rounded is None else {"rounded": record.rounded})
    parts = serialize(
        {"isthmus split": header.model_dump_json(exclude_none=True)},
        {name: torch.from_numpy(each.view(np.int64).copy()) for name, each in tensors.items()},
    )
    replace_file(folder / FILE, parts)


def read_membership(folder: Path) -> Membership | None:
    """The record in the folder of a run; None if there is none.

    Raises:
        DataError: its file is damaged.
    """
    path = folder / FILE
    if not path.is_symlink() and not path.exists():
        return None
    try:
        with opened(path) as contents:
            header = _Header.model_validate_json(contents.metadata["isthmus split"], strict=True)
            there = contents.meta_tensors()
            rows = header.n if header.kept else header.files or 0
            expected = dict.fromkeys(("keys", *({"rounded"} & there.keys())), (torch.int64, (rows,)))
            if (
                (header.n > REMEMBERED and header.kept)
                or header.held >= header.n
                or (header.by is None) != (header.limit is None)
                or (header.by == "files") != (header.files is not None)
                or (header.kept and header.by is not None)
                or contents.metadata.keys() - {"isthmus split", CHECKSUM}
            ):
                raise ValueError("invalid counts")
            if {name: (t.dtype, tuple(t.shape)) for name, t in there.items()} != expected:
                raise ValueError("not one key per example")
            tensors = {name: each.numpy().view(np.uint64) for name, each in contents.all_tensors().items()}
            keys = tensors["keys"]
        if header.kept and (hash_keys(keys) != header.data or int((keys & HELD_OUT).sum()) != header.held):
            raise ValueError("its hash does not match its keys")
    except (ModelFileError, ValidationError, ValueError, KeyError) as error:
        reason = "" if isinstance(error, ModelFileError | ValidationError) else f" ({error})"
        raise DataError(f"{shown(path)} is damaged{reason}: the held-out examples are unknown") from None
    rule = None if header.by is None or header.limit is None else SplitRule(header.by, header.limit)
    stored = keys if header.kept or header.files else None
    return Membership(header.n, header.held, header.data, stored, tensors.get("rounded"), rule)
