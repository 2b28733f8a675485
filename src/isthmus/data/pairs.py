"""Targets of examples, such as clean images of noisy ones: matched by file name, by id or by row."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.locations import FileRows
from isthmus.data.memmap import Rows, random_subset, selected_rows
from isthmus.data.validation import Examples, as_examples, blocks
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["paired"]

Array = npt.NDArray[Any]
_LISTED = 3  # names in a message
_PAGE = re.compile(r"(.*?)((?: page \d+)?(?: patch \d+,\d+| window \d+)?)", re.DOTALL)
_MAX_VALUES = 2**22  # of the pairs that are compared with a random order
_MAX_EXAMPLES = 2000
_N_ORDERS = 19  # random orders of the targets


class _Part(NamedTuple):
    """One part of a data set: the names of its fields."""

    name: str
    values: str
    labels: str
    ids: str
    target: str


_PARTS = (
    _Part("training", "train", "train_labels", "ids", "target"),
    _Part("test", "test", "test_labels", "test_ids", "test_target"),
    _Part("validation", "validation", "validation_labels", "validation_ids", "validation_target"),
)


def paired(dataset: Dataset, target: Dataset) -> Dataset:
    """A data set whose examples have the examples of another one as targets.

    Images in folders are matched by their path within the folder, without extension. Tables are matched by their ids if they were
    read with an id column. Everything else is matched by row. The order is that of the data set. Examples without a counterpart are an
    error, unless the counterpart is a damaged file that was skipped. Examples whose target has a missing value are left out.

    Args:
        dataset: the examples.
        target: the targets. Its labels are ignored.

    Returns:
        The data set with targets; its notes say how they were matched and what was left out.

    Raises:
        DataError: a counterpart is missing, or shapes or depths of images differ. The message says what is missing where.
    """
    _check_parts(dataset, target)
    result, ways, dropped = dataset, list[str](), list[str]()
    for part in _PARTS:
        ours, theirs = getattr(dataset, part.values), getattr(target, part.values)
        if ours is None:
            continue
        kept, rows, way = _match(dataset, target, part)
        _check_shapes(dataset, target, ours, theirs)
        _check_depths(dataset, target, ours, theirs)
        kept, rows, missing = _without_missing(target, part, kept, rows)
        result = _with_rows(result, part, kept, theirs if _is_all(rows, theirs) else selected_rows(theirs, rows))
        ways.append(way)
        dropped += missing
    notes = [
        *(f"{target.name}: {note}" for note in target.notes),
        *dict.fromkeys(ways),
        *_skipped(dataset, target),
        *dropped,
    ]
    result = replace(result, target_name=target.name, notes=(*dataset.notes, *notes))
    unrelated = _unrelated(result)
    return replace(result, notes=(*result.notes, unrelated)) if unrelated else result


def _check_parts(dataset: Dataset, target: Dataset) -> None:
    """`DataError` if only one of both has a test or validation part, or if rates of recordings differ."""
    if dataset.rate != target.rate:
        ours, theirs = (f"{each.rate:,} samples per second" if each.rate else "no rate" for each in (dataset, target))
        raise DataError(f"{dataset.name} has {ours}, and {target.name} {theirs}: give recordings of one rate")
    for part in _PARTS:
        lacks = [side for side in (dataset, target) if getattr(side, part.values) is None]
        if len(lacks) == 1:
            has = target if lacks[0] is dataset else dataset
            raise DataError(
                f"{has.name} has {part.name} examples, but {lacks[0].name} has none: give both the same parts"
            )


def _match(dataset: Dataset, target: Dataset, part: _Part) -> tuple[Array, Array, str]:
    """The rows of the examples with a target, the rows of their targets, and a note on how they were matched."""
    n, m = len(getattr(dataset, part.values)), len(getattr(target, part.values))
    ours, theirs = getattr(dataset, part.ids), getattr(target, part.ids)
    files = dataset.id_name == target.id_name == "file" and ours is not None and theirs is not None
    if files and not n == m == 1:
        what = "windows" if dataset.rate else "patches" if dataset.groups_name == "image" else "images"
        kept, rows = _by_name(dataset, target, _stems(dataset, ours), _stems(target, theirs))
        return (
            kept,
            rows,
            f"{len(kept):,} {part.name} {what} are paired with those of {target.name} by their paths in the folder",
        )
    if dataset.id_name is not None and not files and ours is not None:
        if theirs is None:
            raise DataError(
                f"{target.name} has no id column {printable(dataset.id_name)}, by which its rows are paired with those of "
                f"{dataset.name}: add it, or leave out --id (id=) to pair by row"
            )
        kept, rows = _by_name(dataset, target, _unique(dataset, ours), _unique(target, theirs))
        return (
            kept,
            rows,
            f"{n:,} {part.name} rows are paired with those of {target.name} by their ids ({printable(dataset.id_name)})",
        )
    if n != m:
        raise DataError(
            f"{dataset.name} has {n:,} {part.name} examples and {target.name} {m:,}, so they cannot be paired by row: give both the "
            "same rows, or for tables with ids name their column with --id (id=)"
        )
    return np.arange(n), np.arange(n), f"{n:,} {part.name} examples are paired with those of {target.name} by row"


def _stems(dataset: Dataset, ids: Array) -> list[str]:
    """The names of images without extension, each once."""
    stems = []
    for name in map(str, ids):
        found = _PAGE.fullmatch(name)
        assert found is not None
        stems.append(os.path.splitext(found[1])[0] + found[2])
    return _unique(dataset, stems, "have the same name without extension")


def _unique(dataset: Dataset, ids: Sequence[Any], what: str = "have the same id") -> list[str]:
    """The ids as text; `DataError` if one is there twice."""
    names = list(map(str, ids))
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(
            f"{count:,} examples of {dataset.name} {what} ({printable(name)}), so it is unknown which belongs to which target: rename them"
        )
    return names


def _by_name(dataset: Dataset, target: Dataset, ours: list[str], theirs: list[str]) -> tuple[Array, Array]:
    """The rows of the examples and of their targets. Only names of skipped images may have no counterpart."""
    rows = {name: row for row, name in enumerate(theirs)}
    there = set(ours)
    skipped = [{os.path.splitext(name)[0] for name in side.skipped} for side in (dataset, target)]

    def lacking(names: list[str], known: Any, excused: set[str]) -> list[str]:
        return [name for name in names if name not in known and _without_page(name) not in excused]

    missing = [
        f"{side.name} has no counterpart of {_few(names)} of {other.name}"
        for side, other, names in (
            (target, dataset, lacking(ours, rows, skipped[1])),
            (dataset, target, lacking(theirs, there, skipped[0])),
        )
        if names
    ]
    if missing:
        lengths = "; the two recordings of a pair must be of equal length" if dataset.rate else ""
        raise DataError(f"{', and '.join(missing)}: add what is missing, or remove the others{lengths}")
    kept = np.array([row for row, name in enumerate(ours) if name in rows], np.int64)
    if not len(kept):
        raise DataError(f"no example of {dataset.name} has a counterpart in {target.name}: check the paths")
    return kept, np.array([rows[ours[row]] for row in kept], np.int64)


def _without_page(name: str) -> str:
    found = _PAGE.fullmatch(name)
    return name if found is None else found[1]


def _few(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(printable(name) for name in names[:_LISTED]) + more


def _check_shapes(dataset: Dataset, target: Dataset, ours: Array, theirs: Array) -> None:
    """`DataError` if examples and targets have different shapes."""
    if ours.shape[1:] == theirs.shape[1:]:
        return
    a, b = ("x".join(map(str, side.shape[1:])) for side in (ours, theirs))
    remedy = (
        "save all in gray or all in color, and give one size with --resize"
        if dataset.kind == "images"
        else "give both one shape"
    )
    raise DataError(f"the examples of {dataset.name} have shape {a}, and those of {target.name} {b}: {remedy}")


def _check_depths(dataset: Dataset, target: Dataset, ours: Array, theirs: Array) -> None:
    """`DataError` if images have 8 bits and their targets 16, or the other way round: both are in one unit."""
    bits = [{"uint8": 8, "uint16": 16}.get(str(side.dtype)) for side in (ours, theirs)]
    if dataset.kind == "images" and None not in bits and bits[0] != bits[1]:
        raise DataError(
            f"the images of {dataset.name} have {bits[0]} bits, and those of {target.name} {bits[1]}: save all with 8 bits, or all "
            "with 16"
        )


def _without_missing(target: Dataset, part: _Part, kept: Array, rows: Array) -> tuple[Array, Array, list[str]]:
    """The rows without those whose target has a missing value, and a note on them. Other invalid values raise `DataError`."""
    values = getattr(target, part.values)
    positions = {"train": target.positions, "test": target.test_positions}.get(
        part.values, target.validation_positions
    )()
    as_examples(Examples(values, target.columns, target.kind, positions), missing="allow")
    if values.dtype.kind != "f":
        return kept, rows, []
    incomplete = np.concatenate([np.isnan(block.reshape(len(block), -1)).any(1) for _, block in blocks(values)])
    whole = ~incomplete[rows]
    n = int((~whole).sum())
    if not n:
        return kept, rows, []
    if n == len(rows):
        raise DataError(f"every example of {target.name} has a missing value: impute them, or give other targets")
    where = ", ".join(positions((int(row),)) for row in rows[~whole][:_LISTED]) + (", ..." if n > _LISTED else "")
    what = "example is" if n == 1 else "examples are"
    return (
        kept[whole],
        rows[whole],
        [f"{n:,} {part.name} {what} left out, because the target has missing values ({where})"],
    )


def _with_rows(dataset: Dataset, part: _Part, kept: Array, targets: Array) -> Dataset:
    """The data set with some rows of one part, and their targets."""
    values = getattr(dataset, part.values)
    fields: dict[str, Any] = {part.target: targets}
    if _is_all(kept, values):
        return replace(dataset, **fields)
    fields[part.values] = selected_rows(values, kept)
    names = [part.labels, part.ids, *(["lines", "weights", "groups"] if part.values == "train" else [])]
    fields |= {
        name: None if getattr(dataset, name) is None else np.asarray(getattr(dataset, name))[kept] for name in names
    }
    if part.values == "train":
        files = dataset.file_rows or FileRows((dataset.positions().file,), np.zeros(1, np.int64))
        fields["file_rows"] = files.some(kept)  # messages count the rows that were left out, too
    return replace(dataset, **fields)


def _is_all(rows: Array, values: Array) -> bool:
    """Whether the rows are all rows of an array, in their order."""
    return len(rows) == len(values) and bool((rows == np.arange(len(values))).all())


def _skipped(dataset: Dataset, target: Dataset) -> list[str]:
    """A note on examples whose counterpart is a damaged file."""
    notes = []
    for side, other in ((target, dataset), (dataset, target)):
        if names := list(side.skipped):
            notes.append(
                f"the counterparts of damaged images of {side.name} are left out of {other.name} too: {_few(names)}"
            )
    return notes


def _unrelated(dataset: Dataset) -> str:
    """A warning if the targets of other examples correlate with the examples as well as their own do; else ""."""
    X, target = dataset.train, dataset.target
    assert target is not None
    rows = random_subset(len(X), max(1, min(_MAX_EXAMPLES, _MAX_VALUES // X[0].size)))
    if len(rows) < 10:  # in few examples, chance decides
        return ""
    x, t = (_standardized(np.asarray(Rows(side)(rows), np.float64)) for side in (X, target))
    own, rng = abs(float((x * t).sum())), np.random.default_rng(0)
    if own > max(abs(float((x * t[rng.permutation(len(t))]).sum())) for _ in range(_N_ORDERS)):
        return ""
    return (
        f"the examples of {dataset.name} correlate no more with their own targets than with those of others: check that "
        f"{dataset.target_name} has them in the same order"
    )


def _standardized(values: Array) -> Array:
    """Rows (n, d) whose columns have mean 0 and variance 1, or 0 where they are constant; missing values are 0."""
    flat = values.reshape(len(values), -1)
    flat = np.where(np.isfinite(flat), flat, 0.0)
    flat = flat - flat.mean(0)
    std = flat.std(0)
    return np.asarray(np.divide(flat, std, out=np.zeros_like(flat), where=std > 0))
