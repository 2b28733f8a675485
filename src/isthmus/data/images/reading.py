"""From a path to a data set of images: read all headers, choose one shape and kind for all images, then decode the pixels."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.images.folders import LeftOut, walk
from isthmus.data.images.formats import ENDINGS, misnamed
from isthmus.data.images.headers import Header, Kind, header, headers, opened
from isthmus.data.images.layout import Example, Layout, read_layout
from isthmus.data.images.notes import notes_on_files
from isthmus.data.images.patches import HELD, corners, cut_patches, image_groups, patch_names, patches_note
from isthmus.data.images.pixels import decoded, rewritten
from isthmus.data.images.twins import set_masks_aside
from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["read_images"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _File:
    """One file with its label and the headers of its pages."""

    path: Path
    label: str
    pages: tuple[Header, ...]


class _Part(NamedTuple):
    """The examples of one part of the split: their pixels, their labels or None, and the file name of each."""

    values: Array
    labels: Array | None
    ids: Array


@dataclass
class _Reading:
    """The options of a reading, and its counts for the notes."""

    root: Path
    options: ReadOptions
    run: Reused | None
    changed: Counter[str] = field(default_factory=Counter)
    broken: list[Path] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)

    def fails(self, path: Path, error: Exception) -> None:
        """Records a broken image if these are skipped; otherwise raises the error."""
        if self.options.skip_broken:
            self.broken.append(path)
        elif isinstance(error, DataError) and self.root != path:
            raise DataError(f"{error}; or skip broken images with --skip-broken or skip_broken=True") from error
        else:
            raise error


def read_images(path: Path, options: ReadOptions, run: Reused | None = None) -> Dataset:
    """A data set from an image or a folder: PNG, JPEG, BMP, GIF, WebP, TIFF, PPM, TGA, JPEG 2000, QOI, and AVIF if Pillow supports it.

    Folders named train, test or validation (or a usual variant) are the parts of a split; folders of masks are set aside. Otherwise the
    names of the first level of subfolders are the labels. Images are rotated to upright by their EXIF orientation, and transparent
    pixels get a white background. Links are not followed. The notes of the result list all guesses, conversions and ignored files.

    Args:
        path: an image, or a folder, which may be a symbolic link.
        options: the options of reading. Without a size and without patches, images of different sizes are an error.
        run: the run that the images are for, or None. 8-bit images are converted to gray or color as in the run.

    Returns:
        The data set. Its images are (n, h, w) uint8 if all are gray, uint16 if all are gray with 16 bits, else (n, h, w, 3) uint8 RGB.

    Raises:
        FileNotFoundError: the path does not exist.
        DataError: there are no images, sizes differ, or an image is damaged, too large, or of an unsupported format.
    """
    reading = _Reading(path, options, run)
    left_out = LeftOut()
    tree, twins = walk(path, left_out) if path.is_dir() else None, list[str]()
    if tree is not None and options.split != "none":
        twins = set_masks_aside(tree)
    layout = Layout([(path, "")]) if tree is None else read_layout(tree, options.split)
    parts = [_read_headers(reading, part) for part in (layout.train, layout.test, layout.validation)]
    if not parts[0]:
        raise _no_images(path, left_out, reading)
    files = [file for part in parts for file in part]
    shape, kind = _common_shape(files, reading)
    check_memory(files, reading, shape, kind)
    parts_read = [_decode(reading, part, shape, kind) for part in parts]
    if not len(parts_read[0].values):
        raise _no_images(path, left_out, reading)
    read = [file for file in files if file.path not in set(reading.broken)]
    notes = [
        *layout.notes,
        *twins,
        *left_out.sentences(),
        *notes_on_files(path, read, options, reading.broken, reading.misnamed),
        *rewritten(reading.changed, kind, options.resize),
    ]
    return _dataset(reading, parts_read, sum(len(file.pages) for file in read), notes)


def _dataset(reading: _Reading, parts: list[_Part], n_images: int, notes: list[str]) -> Dataset:
    """The data set of three parts, of which the last two may be empty."""
    path, side, (train, test, validation) = reading.root, reading.options.patches, parts
    groups = None if side is None else image_groups(train.ids)
    if side is not None:
        way = "grouped" if groups is not None else "test" if len(test.values) else "mixed"
        others = reading.run is not None and reading.run.shape is not None  # data on which a run is not trained
        held = "" if others else HELD[way]
        notes = [*notes, patches_note(sum(len(part.values) for part in parts), n_images, side, held)]
    return Dataset(
        path.resolve().name if path.is_dir() else path.name,
        train.values,
        test.values if len(test.values) else None,
        train.labels,
        test.labels if len(test.values) else None,
        source=shown(path),
        notes=tuple(notes),
        kind="images",
        ids=train.ids,
        id_name="file",
        test_ids=test.ids if len(test.values) else None,
        validation=validation.values if len(validation.values) else None,
        validation_labels=validation.labels if len(validation.values) else None,
        validation_ids=validation.ids if len(validation.values) else None,
        skipped=tuple(shown(os.path.relpath(each, path)) for each in reading.broken if each != path),
        groups=groups,
        groups_name=None if groups is None else "image",
    )


def _no_images(path: Path, left_out: LeftOut, reading: _Reading) -> DataError:
    if reading.broken:
        return DataError(
            f"{shown(path)} has no readable image: {len(reading.broken):,} are damaged or too large; replace them"
        )
    if left_out.other_kinds:
        return DataError(f"{shown(path)} has only {left_out.of_other_kinds()}; convert them to PNG")
    left = f" ({'; '.join(left_out.sentences())})" if left_out.others or left_out.links else ""
    return DataError(f"{shown(path)} has no images{left}; give a folder with {', '.join(ENDINGS)} files")


def _read_headers(reading: _Reading, examples: list[Example]) -> list[_File]:
    """The headers of images. Broken images raise an error or are skipped."""
    found = []
    for path, label in examples:
        try:
            file = _File(path, label, tuple(headers(path, every_page=reading.options.pages != "first")))
            if reading.options.skip_broken:  # a skipped image must not influence the common shape and kind
                for _ in _decode_pages(file, None, None):
                    pass
        except (DataError, OSError) as error:
            reading.fails(path, error)
            continue
        if misnamed(path, file.pages[0].format):
            reading.misnamed.append(f"{shown(path.name)} is {file.pages[0].format}")
        found.append(file)
    return found


def _common_shape(files: list[_File], reading: _Reading) -> tuple[tuple[int, ...], Kind]:
    """The common shape and kind of all pages; `DataError` names two images that differ."""
    first, kinds = files[0], set[Kind]()
    for file in files:
        for number, page in enumerate(file.pages):
            kinds.add(page.kind)
            _check_size(page.size, first, _named(file, number), reading.options)
            if (page.kind == "16-bit gray") != (first.pages[0].kind == "16-bit gray"):
                raise DataError(
                    f"images differ in bit depth: {_named(first, 0)} is {first.pages[0].kind} and "
                    f"{_named(file, number)} {page.kind}; save all with 8 or all with 16 bits"
                )
        if reading.options.pages == "volume" and len(file.pages) != len(first.pages):
            raise DataError(
                f"volumes differ in their number of pages: {shown(first.path)} has {len(first.pages):,} and {shown(file.path)} "
                f"{len(file.pages):,}; give all the same number, or use --pages examples"
            )
    kind: Kind = kinds.pop() if len(kinds) == 1 else "color"
    if kind != "16-bit gray":
        kind = _kind_of_run(reading.run) or kind
    side = reading.options.patches
    size = (side, side) if side is not None else reading.options.resize or first.pages[0].size
    return ((*size, 3) if kind == "color" else size), kind


def _check_size(size: tuple[int, int], first: _File, name: str, options: ReadOptions) -> None:
    """`DataError` if an image has another size than the first one, or is smaller than a patch."""
    (a, b), (c, d), side = first.pages[0].size, options.resize or size, options.patches
    if side is not None and min(c, d) < side:
        raise DataError(
            f"{name} has {c}x{d} pixels, and patches have {side}x{side}: choose smaller patches, or remove the image"
        )
    if side is None and options.resize is None and size != first.pages[0].size:
        raise DataError(
            f"images differ in size (height x width): {_named(first, 0)} has {a}x{b} pixels and {name} {c}x{d}; choose one size with "
            f"resize=({a}, {b}), or --resize {a}x{b} on the command line; or patches of one size with --patches {min(a, b, c, d, 64)}"
        )


def _named(file: _File, page: int) -> str:
    """The name of an image in a message, with its page if several are read."""
    return shown(file.path) if len(file.pages) == 1 else f"page {page + 1} of {shown(file.path)}"


def _kind_of_run(run: Reused | None) -> Kind | None:
    """The kind of images that a run expects, by its shape; None if unknown."""
    if run is None or run.shape is None or len(run.shape) not in (2, 3, 4):
        return None
    if len(run.shape) > 2 and run.shape[-1] == 3:
        return "color"
    return "8-bit gray" if len(run.shape) == 2 or run.shape[-1] == 1 else None


def check_memory(files: list[_File], reading: _Reading, shape: tuple[int, ...], kind: Kind) -> None:
    """Raises `DataError` if all images together do not fit into the memory of this machine."""
    count = _count(files, reading.options)
    size = count * math.prod(shape) * (2 if kind == "16-bit gray" else 1)
    what = "images" if reading.options.patches is None else "patches"
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    if size > there:
        raise DataError(
            f"the {count:,} {what} in {shown(reading.root)} need {size / 2**30:,.1f} GiB, more than the memory of this machine; "
            f"use a smaller size, for example --resize 64x64"
        )


def _count(files: list[_File], options: ReadOptions) -> int:
    """The number of images, or of their patches."""
    if options.patches is None:
        return sum(len(file.pages) for file in files)
    sizes = (options.resize or page.size for file in files for page in file.pages)
    return sum(sum(1 for _ in corners(size, options.patches)) for size in sizes)


def _decode(reading: _Reading, files: list[_File], shape: tuple[int, ...], kind: Kind) -> _Part:
    """The examples of one part of the split."""
    side = reading.options.patches
    values = np.empty((_count(files, reading.options), *shape), np.uint16 if kind == "16-bit gray" else np.uint8)
    labels, ids = list[str](), list[str]()
    for file in files:
        name = shown(os.path.relpath(file.path, reading.root) if reading.root != file.path else file.path.name)
        changed, names = Counter[str](), list[str]()
        try:
            for number, (pixels, ways) in enumerate(_decode_pages(file, kind, reading.options.resize), start=1):
                page = name if len(file.pages) == 1 else f"{name} page {number}"
                names += [page] if side is None else patch_names(page, pixels.shape[:2], side)
                rows = pixels[None] if side is None else cut_patches(pixels, side)
                values[len(ids) + len(names) - len(rows) : len(ids) + len(names)] = rows
                changed.update(ways)
        except (DataError, OSError) as error:
            reading.fails(file.path, error)
            continue
        reading.changed.update(changed)
        labels += [file.label] * len(names)
        ids += names
    values = values[: len(ids)]
    if reading.options.pages == "volume" and files:
        values = values.reshape(-1, len(files[0].pages), *(shape if kind == "color" else (*shape, 1)))
        labels = labels[:: len(files[0].pages)]
        ids = [name.removesuffix(" page 1") for name in ids[:: len(files[0].pages)]]
    known = np.asarray(labels if all(labels) else [label or None for label in labels]) if any(labels) else None
    return _Part(values, known, np.asarray(ids))


def _decode_pages(file: _File, kind: Kind | None, resize: tuple[int, int] | None) -> Iterator[tuple[Array, set[str]]]:
    """The pixels of each page, converted to a kind unless it is None, and the conversions.

    Raises:
        DataError: the file is damaged, or has changed after its header was read.
    """
    with opened(file.path) as (image, size):
        for number, expected in enumerate(file.pages):
            if number:
                image.seek(number)
            if header(image, file.path, size) != expected:
                raise DataError(f"{shown(file.path)} changed while the images were read; read them again")
            pixels, ways = decoded(image, expected, kind or expected.kind, resize)
            if pixels.shape[:2] != (resize or expected.size):
                raise DataError(f"the size of {shown(file.path)} differs from its header; replace or remove it")
            yield pixels, ways
