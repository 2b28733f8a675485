"""From a path to a data set of images: read all headers, choose one shape and kind for all images, then decode the pixels, or leave
images that take too much memory in their files."""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.images.common_shape import common_shape
from isthmus.data.images.decoder import Decoder
from isthmus.data.images.decoding import SKIP_BROKEN, ImageFile, decode_pages, joined_pages, stamp_of
from isthmus.data.images.folders import LeftOut, walk
from isthmus.data.images.formats import ENDINGS, misnamed
from isthmus.data.images.header_fields import Header, Kind
from isthmus.data.images.headers import headers
from isthmus.data.images.image_files import ImageFiles
from isthmus.data.images.layout import Example, Layout, read_layout
from isthmus.data.images.notes import notes_on_files
from isthmus.data.images.patches import HELD, count_corners, cut_patches, image_groups, patch_names, patches_note
from isthmus.data.images.pixels import rewritten
from isthmus.data.images.resizing import Resize, fit_note
from isthmus.data.images.streaming import advice_for, cache_bytes, conversions, streaming_note
from isthmus.data.images.twins import set_masks_aside
from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["read_images"]

Array = npt.NDArray[Any]
_AT_ONCE = 16  # images that must fit into memory even if they stay in their files


class _Part(NamedTuple):
    """The examples of one part of the split: their pixels, their labels or None, and the file name of each."""

    values: Any  # an array, or ImageFiles
    labels: Array | None
    ids: Array


@dataclass
class _Reading:
    """The options of a reading, and its counts for the notes."""

    root: Path
    options: ReadOptions
    run: Reused | None
    cache: int  # bytes that decoded images may take
    changed: Counter[str] = field(default_factory=Counter)
    broken: list[Path] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)

    def fails(self, path: Path, error: Exception) -> None:
        """Records a broken image if these are skipped; otherwise raises the error."""
        if self.options.skip_broken:
            self.broken.append(path)
        elif isinstance(error, DataError) and self.root != path:
            raise DataError(f"{error}{SKIP_BROKEN}") from error
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
        The data set. Its images are (n, h, w) uint8 if all are gray, uint16 if all are gray with 16 bits, else (n, h, w, 3) uint8 RGB:
        arrays, or `ImageFiles` if they take more memory than `ReadOptions.cache`.

    Raises:
        FileNotFoundError: the path does not exist.
        DataError: there are no images, sizes differ, or an image is damaged, too large, or of an unsupported format.
    """
    reading = _Reading(path, options, run, cache_bytes(options))
    left_out = LeftOut()
    tree, twins = walk(path, left_out) if path.is_dir() else None, list[str]()
    if tree is not None and options.split != "none":
        twins = set_masks_aside(tree)
    layout = Layout([(path, "")]) if tree is None else read_layout(tree, options.split)
    parts = [_read_headers(reading, part) for part in (layout.train, layout.test, layout.validation)]
    if not parts[0]:
        raise _no_images(path, left_out, reading)
    files = [file for part in parts for file in part]
    shape, kind = common_shape(files, options, run)
    check_memory(files, reading, shape, kind)
    whole, size = _fits(reading, files, shape, kind)
    parts_read = (
        [_decode(reading, part, shape, kind) for part in parts] if whole else _left(reading, parts, shape, kind)
    )
    if not len(parts_read[0].values):
        raise _no_images(path, left_out, reading)
    read = [file for file in files if file.path not in set(reading.broken)]
    notes = [
        *layout.notes,
        *twins,
        *left_out.sentences(),
        *notes_on_files(path, read, options, reading.broken, reading.misnamed),
        *rewritten(reading.changed, kind, options.resize),
        *fit_note(Resize.of(options), [page.size for file in read for page in file.pages], run is None),
    ]
    if not whole:
        n = sum(len(part.values) for part in parts_read)
        n_images = None if options.patches is None else sum(len(file.pages) for file in files)
        notes.append(streaming_note(n, size, reading.cache, options.cache is not None, n_images))
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


def _read_headers(reading: _Reading, examples: list[Example]) -> list[ImageFile]:
    """The headers of images. Broken images raise an error or are skipped."""
    found, known = [], dict[Header, Header]()
    for path, label in examples:
        try:
            stamp = stamp_of(path)
            pages = headers(path, every_page=reading.options.pages != "first")
            file = ImageFile(
                path, label, tuple(known.setdefault(page, page) for page in pages), stamp
            )  # equal ones once in memory
            if reading.options.skip_broken:  # a skipped image must not influence the common shape and kind
                for _ in decode_pages(file, None, None):
                    pass
        except (DataError, OSError) as error:
            reading.fails(path, error)
            continue
        if misnamed(path, file.pages[0].format):
            reading.misnamed.append(f"{shown(path.name)} is {file.pages[0].format}")
        found.append(file)
    return found


def check_memory(files: list[ImageFile], reading: _Reading, shape: tuple[int, ...], kind: Kind) -> None:
    """Raises `DataError` if all images together, or some that stay in their files, do not fit into the memory of this machine."""
    count = _count(files, reading.options)
    whole, size = _fits(reading, files, shape, kind)
    what = "images" if reading.options.patches is None else "patches"
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    if (size if whole else size // count * min(count, _AT_ONCE)) > there:
        raise DataError(
            f"the {count:,} {what} in {shown(reading.root)} need {size / 2**30:,.1f} GiB, more than the memory of this machine; "
            f"use a smaller size, for example --resize 64x64"
        )


def _fits(reading: _Reading, files: list[ImageFile], shape: tuple[int, ...], kind: Kind) -> tuple[bool, int]:
    """Whether the images are decoded once, and the bytes that all take."""
    size = _count(files, reading.options) * math.prod(shape) * kind.dtype.itemsize
    return size <= reading.cache, size


def _count(files: list[ImageFile], options: ReadOptions) -> int:
    """The number of images, or of their patches."""
    if options.patches is None:
        return sum(len(file.pages) for file in files)
    sizes = (options.resize or page.size for file in files for page in file.pages)
    return sum(count_corners(size, options.patches) for size in sizes)


def _decode(reading: _Reading, files: list[ImageFile], shape: tuple[int, ...], kind: Kind) -> _Part:
    """The examples of one part of the split."""
    side = reading.options.patches
    values = np.empty((_count(files, reading.options), *shape), kind.dtype)
    labels, ids = list[str](), list[str]()
    for file in files:
        name = _name(reading, file)
        changed, names = Counter[str](), list[str]()
        try:
            for number, (pixels, ways) in enumerate(decode_pages(file, kind, Resize.of(reading.options)), start=1):
                page = _page_name(file, name, number)
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
    if reading.options.joins_pages and files:
        n_pages = len(files[0].pages)
        values = joined_pages(values.reshape(-1, n_pages, *shape), reading.options.pages)
        labels, ids = labels[::n_pages], [name.removesuffix(" page 1") for name in ids[::n_pages]]
    return _Part(values, _labels(labels), np.asarray(ids))


def _left(reading: _Reading, parts: list[list[ImageFile]], shape: tuple[int, ...], kind: Kind) -> list[_Part]:
    """The parts of the split with images that stay in their files."""
    options, advice = reading.options, advice_for(reading.options, reading.root.is_dir())
    decoder = Decoder([file for part in parts for file in part], options, kind, shape, reading.cache, advice)
    found, begin = [], 0
    for files in parts:
        labels, ids = list[str](), list[str]()
        for file in files:
            reading.changed.update(conversions(file, kind, options, advice))
            name = _name(reading, file)
            names = _names(file, name, options)
            labels += [file.label] * len(names)
            ids += names
        numbers = np.arange(begin, begin + len(ids))
        found.append(_Part(ImageFiles(decoder, numbers), _labels(labels), np.asarray(ids)))
        begin += len(ids)
    return found


def _name(reading: _Reading, file: ImageFile) -> str:
    """The name of a file in the folder."""
    return shown(os.path.relpath(file.path, reading.root) if reading.root != file.path else file.path.name)


def _names(file: ImageFile, name: str, options: ReadOptions) -> list[str]:
    """The names of the examples of a file: itself, its pages, or their patches."""
    pages = file.pages if options.pages == "examples" else file.pages[:1]
    names = [_page_name(file, name, number) for number in range(1, len(pages) + 1)] if pages[1:] else [name]
    if options.patches is None:
        return names
    sizes = [options.resize or page.size for page in pages]
    return [each for page, size in zip(names, sizes, strict=True) for each in patch_names(page, size, options.patches)]


def _page_name(file: ImageFile, name: str, number: int) -> str:
    """The name of a page, from 1; that of the file if it has one page."""
    return name if len(file.pages) == 1 else f"{name} page {number}"


def _labels(labels: list[str]) -> Array | None:
    """The labels of examples, None for a missing one; None if no example has one."""
    return np.asarray(labels if all(labels) else [label or None for label in labels]) if any(labels) else None
