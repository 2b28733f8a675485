"""From a path to a data set: headers first, then one decision for all images, then the pixels."""

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
from isthmus.data.images.layout import Example, Layout, understood
from isthmus.data.images.pixels import decoded, rewritten
from isthmus.data.images.twins import look_at_twins
from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["read_images"]

Array = npt.NDArray[Any]
_LISTED = 10  # names of broken images


@dataclass(frozen=True)
class _File:
    """One file with its label and the header of each page that is read."""

    path: Path
    label: str
    pages: tuple[Header, ...]


@dataclass
class _Reading:
    """What was asked for, and what is noticed on the way."""

    root: Path
    options: ReadOptions
    run: Reused | None
    changed: Counter[str] = field(default_factory=Counter)
    broken: list[Path] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)

    def fails(self, path: Path, error: Exception) -> None:
        """Remembers a broken image where these are to be left out; else it is an error."""
        if self.options.skip_broken:
            self.broken.append(path)
        elif isinstance(error, DataError) and self.root != path:
            raise DataError(f"{error}; or leave out what is broken: --skip-broken, skip_broken=True") from error
        else:
            raise error


def read_images(path: Path, options: ReadOptions, run: Reused | None = None) -> Dataset:
    """An image, or the images of a folder: PNG, JPEG, BMP, GIF, WebP, TIFF, PPM, TGA, JPEG 2000, QOI, and AVIF where Pillow has it.

    Folders called train, test or validation (in any usual way) are the parts of a split; masks beside them are set aside.
    Otherwise the first level of sub-folders gives the labels, below a folder that alone holds all images. All gray images give
    (n, h, w) uint8, or uint16 if all have 16 bits, else all become RGB, (n, h, w, 3) uint8. Images are turned upright as EXIF
    says; transparent pixels are laid on white. Links are not followed. What is guessed, left out or
    rewritten is said in the notes of the result.

    Args:
        path: an image, or a folder, which itself may be a link.
        options: how to read them; without a size for all, images that differ in size are an error.
        run: the run that they are for: 8-bit images become gray or color as its own are.

    Raises:
        FileNotFoundError: no such file or folder.
        DataError: no images, sizes that differ, or an image that is damaged, too large, or of an unknown kind.
    """
    reading = _Reading(path, options, run)
    left_out = LeftOut()
    tree, twins = walk(path, left_out) if path.is_dir() else None, list[str]()
    if tree is not None and options.split != "none":
        twins = look_at_twins(tree)
    layout = Layout([(path, "")]) if tree is None else understood(tree, options.split)
    parts = [_looked_at(reading, part) for part in (layout.train, layout.test, layout.validation)]
    if not parts[0]:
        raise _nothing(path, left_out, reading)
    files = [file for part in parts for file in part]
    shape, kind = _agree(files, reading)
    _check_memory(files, reading, shape, kind)
    arrays, labels, ids = zip(*(_decode(reading, part, shape, kind) for part in parts), strict=True)
    if not len(arrays[0]):
        raise _nothing(path, left_out, reading)
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
    )


def _nothing(path: Path, left_out: LeftOut, reading: _Reading) -> DataError:
    if reading.broken:
        return DataError(
            f"{shown(path)} holds no image that can be read: {len(reading.broken):,} are damaged or too large"
        )
    if left_out.other_kinds:
        return DataError(f"{shown(path)} holds only {left_out.of_other_kinds()}: convert them to PNG")
    left = f" ({'; '.join(left_out.sentences())})" if left_out.others or left_out.links else ""
    return DataError(f"{shown(path)} holds no images{left}: give a folder with {', '.join(ENDINGS)} files")


def _looked_at(reading: _Reading, examples: list[Example]) -> list[_File]:
    """The headers of images; broken ones are errors, or left out."""
    found = []
    for path, label in examples:
        try:
            file = _File(path, label, tuple(headers(path, every_page=reading.options.pages != "first")))
            if reading.options.skip_broken:  # whatever cannot be decoded has no say in what all have in common
                for _ in _decode_pages(file, None, None):
                    pass
        except (DataError, OSError) as error:
            reading.fails(path, error)
            continue
        if misnamed(path, file.pages[0].format):
            reading.misnamed.append(f"{shown(path.name)} is {file.pages[0].format}")
        found.append(file)
    return found


def _agree(files: list[_File], reading: _Reading) -> tuple[tuple[int, ...], Kind]:
    """The shape and kind of every page, or the error that names two images which differ."""
    first, kinds = files[0], set[Kind]()
    for file in files:
        for number, page in enumerate(file.pages):
            kinds.add(page.kind)
            if reading.options.resize is None and page.size != first.pages[0].size:
                (a, b), (c, d) = first.pages[0].size, page.size
                raise DataError(
                    f"images differ in size (height x width): {_named(first, 0)} has {a}x{b} pixels and "
                    f"{_named(file, number)} {c}x{d}; choose one size: resize=({a}, {b}), or --resize {a}x{b} on the command line"
                )
            if (page.kind == "16-bit gray") != (first.pages[0].kind == "16-bit gray"):
                raise DataError(
                    f"images differ in depth: {_named(first, 0)} is {first.pages[0].kind} and "
                    f"{_named(file, number)} {page.kind}; save all with 8 or all with 16 bits"
                )
        if reading.options.pages == "volume" and len(file.pages) != len(first.pages):
            raise DataError(
                f"volumes differ in pages: {shown(first.path)} has {len(first.pages):,} and {shown(file.path)} "
                f"{len(file.pages):,}; give all the same number, or choose --pages examples"
            )
    kind: Kind = kinds.pop() if len(kinds) == 1 else "color"
    if kind != "16-bit gray":
        kind = _wanted(reading.run) or kind
    size = reading.options.resize or first.pages[0].size
    return ((*size, 3) if kind == "color" else size), kind


def _named(file: _File, page: int) -> str:
    """An image in a sentence, with its page where it has several that are read."""
    return shown(file.path) if len(file.pages) == 1 else f"page {page + 1} of {shown(file.path)}"


def _wanted(run: Reused | None) -> Kind | None:
    """The kind of images that a run takes, where its shape says it."""
    if run is None or run.shape is None or len(run.shape) not in (2, 3, 4):
        return None
    if len(run.shape) > 2 and run.shape[-1] == 3:
        return "color"
    return "8-bit gray" if len(run.shape) == 2 or run.shape[-1] == 1 else None


def _check_memory(files: list[_File], reading: _Reading, shape: tuple[int, ...], kind: Kind) -> None:
    """All images together must fit into the memory of this machine."""
    count = sum(len(file.pages) for file in files)
    size = count * math.prod(shape) * (2 if kind == "16-bit gray" else 1)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    if size > there:
        raise DataError(
            f"the {count:,} images in {shown(reading.root)} take {size / 2**30:,.1f} GiB, more than this machine has: "
            f"choose a smaller size, for example --resize 64x64"
        )


def _decode(
    reading: _Reading, files: list[_File], shape: tuple[int, ...], kind: Kind
) -> tuple[Array, Array | None, Array]:
    """The pixels of one part, the labels if there are any, and the file that each example comes from."""
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
    """The pixels of each page, of a kind or of its own, and what was rewritten.

    Raises:
        DataError: the file is damaged, or has changed since its header was read.
    """
    with opened(file.path) as (image, size):
        for number, expected in enumerate(file.pages):
            if number:
                image.seek(number)
            if header(image, file.path, size) != expected:
                raise DataError(f"{shown(file.path)} has changed while the images were read: read them again")
            pixels, ways = decoded(image, expected, kind or expected.kind, resize)
            if pixels.shape[:2] != (resize or expected.size):
                raise DataError(f"{shown(file.path)} is not of the size that its header says: replace or remove it")
            yield pixels, ways


def _notes(reading: _Reading, files: list[_File]) -> list[str]:
    """What is to be said of files: broken, misnamed, or with more pages."""
    notes = []
    if reading.broken:
        names = ", ".join(shown(os.path.relpath(path, reading.root))[:100] for path in reading.broken[:_LISTED])
        more = ", ..." if reading.broken[_LISTED:] else ""
        what = (
            "image that is damaged or too large was"
            if len(reading.broken) == 1
            else "images that are damaged or too large were"
        )
        notes.append(f"{len(reading.broken):,} {what} left out: {names}{more}")
    if reading.misnamed:
        what = "file is" if len(reading.misnamed) == 1 else "files are"
        more = ", ..." if reading.misnamed[3:] else ""
        notes.append(
            f"{len(reading.misnamed):,} {what} read by content, not by ending: {', '.join(reading.misnamed[:3])}{more}"
        )
    cut = [file for file in files if file.pages[0].cut]
    if cut and reading.options.pages == "first":
        what = "file is" if len(cut) == 1 else "files are"
        notes.append(
            f"{len(cut):,} {what} cut off behind the first page or frame, which is taken ({shown(cut[0].path.name)}): "
            "replace or remove what is damaged"
        )
    several = [file for file in files if file.pages[0].more]
    if several and reading.options.pages == "first":
        what = "file has more pages or frames" if len(several) == 1 else "files have more pages or frames"
        notes.append(
            f"{len(several):,} {what} ({shown(several[0].path.name)}): only the first is taken; "
            "choose --pages examples or volume to take all"
        )
    elif reading.options.pages != "first":
        count = sum(len(file.pages) for file in files)
        notes.append(
            f"{count:,} {'page' if count == 1 else 'pages'} of {len(files):,} {'file' if len(files) == 1 else 'files'} taken "
            f"as {'examples' if reading.options.pages == 'examples' else 'volumes'}"
        )
    return notes
