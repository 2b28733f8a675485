"""What a run remembers of its examples: a key of each, and which of them are held out.

Each example has a key, a hash of its values, and another of them as float32, where that differs: the same table may come in
either precision. Equal examples have equal keys. A run keeps the keys of all its examples in their order (8 or 16 bytes each),
so that each example of data that changed is known as trained on, held out, or new.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

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
    "example_keys",
    "hash_keys",
    "read_membership",
    "rounded_keys",
    "trained_on",
    "write_membership",
]

Array = NDArray[Any]
Keys = NDArray[np.uint64]
FILE = "split.safetensors"
REMEMBERED = 1 << 24  # examples whose keys are kept, 128 MiB
HELD_OUT = np.uint64(1)  # the bit of a key that says so
_SEED = 15  # of the weights of the positions in an example


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


def example_keys(values: Array, rounded: bool = False) -> Keys:
    """A key for each example, equal for equal numbers of any type, as they are or rounded to float32; even, and never 0."""
    weights = np.random.PCG64(_SEED).random_raw(values[:1].size).astype(np.uint64) | np.uint64(1)
    keys = np.empty(len(values), np.uint64)
    for begin, block in blocks(values):
        block = block.astype(np.float32) if rounded else block
        numbers = block.reshape(len(block), -1).astype(np.float64) + 0.0  # one zero
        numbers[np.isnan(numbers)] = np.nan  # one NaN
        keys[begin : begin + len(block)] = (_mixed(numbers.view(np.uint64)) * weights).sum(1, dtype=np.uint64)
    keys = _mixed(keys) & ~HELD_OUT
    return np.where(keys == 0, np.uint64(2), keys)


def rounded_keys(*parts: Array) -> Keys | None:
    """The keys of examples as float32; None where they are what they are."""
    if all(part.dtype != np.float64 for part in parts):
        return None
    keys = np.concatenate([example_keys(part, rounded=True) for part in parts])
    return None if np.array_equal(keys, np.concatenate([example_keys(part) for part in parts])) else keys


def _mixed(bits: Keys) -> Keys:
    """Bits of which each depends on all (the finalizer of MurmurHash3)."""
    bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return bits ^ (bits >> np.uint64(33))


def hash_keys(keys: Keys) -> str:
    return hashlib.blake2b(np.ascontiguousarray(keys, "<u8").data, digest_size=16).hexdigest()


def trained_on(record: Membership | None, values: Array) -> NDArray[np.bool_]:
    """Which examples a run trained on, (n,), as far as it remembers."""
    if record is None or record.keys is None:
        return np.zeros(len(values), bool)
    learned, keys = (record.keys & HELD_OUT) == 0, example_keys(values)
    found = np.isin(keys, record.keys[learned])
    if values.dtype != np.float64:
        return found if record.rounded is None else found | np.isin(keys, record.rounded[learned & (record.keys > 0)])
    return (
        found
        if record.rounded is not None
        else found | np.isin(example_keys(values, rounded=True), record.keys[learned])
    )


def write_membership(folder: Path, record: Membership) -> None:
    """Writes what a run remembers into its folder, unless it is there."""
    with suppress(DataError):  # a damaged one is written anew
        there = read_membership(folder)
        if there is not None and (there.n, there.data) == (record.n, record.data):
            return
    about = _About(n=record.n, held=record.held, data=record.data, kept=record.keys is not None)
    keys = np.empty(0, np.uint64) if record.keys is None else record.keys
    tensors = {"keys": keys} | ({} if record.rounded is None else {"rounded": record.rounded})
    parts = serialize(
        {"isthmus split": about.model_dump_json()},
        {name: torch.from_numpy(each.view(np.int64).copy()) for name, each in tensors.items()},
    )
    replace_file(folder / FILE, parts)


def read_membership(folder: Path) -> Membership | None:
    """What the run of a folder remembers; None where it does not.

    Raises:
        DataError: its file is damaged.
    """
    path = folder / FILE
    if not path.is_symlink() and not path.exists():
        return None
    try:
        with opened(path) as contents:
            about = _About.model_validate_json(contents.metadata["isthmus split"], strict=True)
            there = contents.meta_tensors()
            rows = about.n if about.kept else 0
            asked = dict.fromkeys(("keys", *({"rounded"} & there.keys())), (torch.int64, (rows,)))
            if (
                (about.n > REMEMBERED and about.kept)
                or about.held >= about.n
                or contents.metadata.keys() - {"isthmus split", CHECKSUM}
            ):
                raise ValueError("its counts cannot be")
            if {name: (t.dtype, tuple(t.shape)) for name, t in there.items()} != asked:
                raise ValueError("it has not a key for each example")
            tensors = {name: each.numpy().view(np.uint64) for name, each in contents.all_tensors().items()}
            keys = tensors["keys"]
        if about.kept and (hash_keys(keys) != about.data or int((keys & HELD_OUT).sum()) != about.held):
            raise ValueError("its keys are others than it says")
    except (ModelFileError, ValidationError, ValueError, KeyError) as error:
        reason = "" if isinstance(error, ModelFileError | ValidationError) else f" ({error})"
        raise DataError(f"{shown(path)} is damaged{reason}: which examples were held out is not known") from None
    return Membership(about.n, about.held, about.data, *((keys, tensors.get("rounded")) if about.kept else ()))
