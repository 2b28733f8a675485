"""From a path to a data set of images: read all headers, choose one shape and kind for all images, then decode the pixels."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.images.folders import LeftOut, walk
from isthmus.data.images.formats import ENDINGS, misnamed
from isthmus.data.images.headers import Header, Kind, header, headers, opened
from isthmus.data.images.layout import Example, Layout, read_layout
from isthmus.data.images.pixels import decoded, rewritten
from isthmus.data.images.twins import set_masks_aside
from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["read_images"]

Array = npt.NDArray[Any]
_LISTED = 10  # names of broken images in a note


@dataclass(frozen=True)
class _File:
    """One file with its label and the headers of its pages."""

    path: Path
    label: str
    pages: tuple[Header, ...]


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
        options: the options of reading. Without a size, images of different sizes are an error.
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
    arrays, labels, ids = zip(*(_decode(reading, part, shape, kind) for part in parts), strict=True)
    if not len(arrays[0]):
        raise _no_images(path, left_out, reading)
    test, validation = len(arrays[1]) > 0, len(arrays[2]) > 0
    return Dataset(
        path.resolve().name if path.is_dir() else path.name,
        arrays[0],
        arrays[1] if test else None,
        labels[0],
        labels[1] if test else None,
        source=shown(path),
        notes=(
            *layout.notes,
            *twins,
            *left_out.sentences(),
            *_notes(reading, [file for file in files if file.path not in set(reading.broken)]),
            *rewritten(reading.changed, kind, options.resize),
        ),
        kind="images",
        ids=ids[0],
        id_name="file",
        test_ids=ids[1] if test else None,
        validation=arrays[2] if validation else None,
        validation_labels=labels[2] if validation else None,
        validation_ids=ids[2] if validation else None,
        skipped=tuple(shown(os.path.relpath(each, path)) for each in reading.broken if each != path),
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
            if reading.options.resize is None and page.size != first.pages[0].size:
                (a, b), (c, d) = first.pages[0].size, page.size
                raise DataError(
                    f"images differ in size (height x width): {_named(first, 0)} has {a}x{b} pixels and "
                    f"{_named(file, number)} {c}x{d}; choose one size with resize=({a}, {b}), or --resize {a}x{b} on the command line"
                )
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
    size = reading.options.resize or first.pages[0].size
    return ((*size, 3) if kind == "color" else size), kind


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
    count = sum(len(file.pages) for file in files)
    size = count * math.prod(shape) * (2 if kind == "16-bit gray" else 1)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    if size > there:
        raise DataError(
            f"the {count:,} images in {shown(reading.root)} need {size / 2**30:,.1f} GiB, more than the memory of this machine; "
            f"use a smaller size, for example --resize 64x64"
        )


def _decode(
    reading: _Reading, files: list[_File], shape: tuple[int, ...], kind: Kind
) -> tuple[Array, Array | None, Array]:
    """The pixels of one part, its labels or None, and the file name of each example."""
    count = sum(len(file.pages) for file in files)
    values = np.empty((count, *shape), np.uint16 if kind == "16-bit gray" else np.uint8)
    labels, ids, filled = list[str](), list[str](), 0
    for file in files:
        try:
            changed: Counter[str] = Counter()
            for number, (pixels, ways) in enumerate(_decode_pages(file, kind, reading.options.resize)):
                values[filled + number] = pixels
                changed.update(ways)
        except (DataError, OSError) as error:
            reading.fails(file.path, error)
            continue
        reading.changed.update(changed)
        filled += len(file.pages)
        labels += [file.label] * len(file.pages)
        name = shown(os.path.relpath(file.path, reading.root) if reading.root != file.path else file.path.name)
        ids += [name if len(file.pages) == 1 else f"{name} page {page}" for page in range(1, len(file.pages) + 1)]
    values = values[:filled]
    if reading.options.pages == "volume" and files:
        values = values.reshape(-1, len(files[0].pages), *(shape if kind == "color" else (*shape, 1)))
        labels = labels[:: len(files[0].pages)]
        ids = [name.removesuffix(" page 1") for name in ids[:: len(files[0].pages)]]
    known = np.asarray(labels if all(labels) else [label or None for label in labels]) if any(labels) else None
    return values, known, np.asarray(ids)


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


def _notes(reading: _Reading, files: list[_File]) -> list[str]:
    """Notes on files that are broken, misnamed, or have several pages."""
    notes = []
    if reading.broken:
        names = ", ".join(shown(os.path.relpath(path, reading.root))[:100] for path in reading.broken[:_LISTED])
        more = ", ..." if reading.broken[_LISTED:] else ""
        what = (
            "image that is damaged or too large was"
            if len(reading.broken) == 1
            else "images that are damaged or too large were"
        )
        notes.append(f"{len(reading.broken):,} {what} skipped: {names}{more}")
    if reading.misnamed:
        what = "file is" if len(reading.misnamed) == 1 else "files are"
        more = ", ..." if reading.misnamed[3:] else ""
        notes.append(
            f"{len(reading.misnamed):,} {what} read by content, not by extension: {', '.join(reading.misnamed[:3])}{more}"
        )
    cut = [file for file in files if file.pages[0].cut]
    if cut and reading.options.pages == "first":
        what = "file is" if len(cut) == 1 else "files are"
        notes.append(
            f"{len(cut):,} {what} truncated after the first page or frame, which is used ({shown(cut[0].path.name)}); "
            "replace or remove damaged files"
        )
    several = [file for file in files if file.pages[0].more]
    if several and reading.options.pages == "first":
        what = "file has more pages or frames" if len(several) == 1 else "files have more pages or frames"
        notes.append(
            f"{len(several):,} {what} ({shown(several[0].path.name)}): only the first is used; "
            "use --pages examples or --pages volume to read all"
        )
    elif reading.options.pages != "first":
        count = sum(len(file.pages) for file in files)
        notes.append(
            f"{count:,} {'page' if count == 1 else 'pages'} of {len(files):,} {'file' if len(files) == 1 else 'files'} read "
            f"as {'examples' if reading.options.pages == 'examples' else 'volumes'}"
        )
    return notes
