"""Folders of images: looked through once by their headers, judged, and only then decoded."""

from __future__ import annotations

import os
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.files import open_regular, shown
from isthmus.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["read_images"]

Array = npt.NDArray[Any]

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff", ".webp")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # as Pillow calls them
_MOST_PIXELS = 64_000_000
_MOST_BYTES = 512 << 20  # of one file: 64 megapixels of four 16-bit channels
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error)
_GRAY, _GRAY16, _COLOR = "8-bit gray", "16-bit gray", "color"
_LISTED = 3  # names in a note


@dataclass
class _Found:
    """The images below a folder in the order of their names, and what was left out."""

    paths: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class _Header:
    size: tuple[int, int]  # height, width
    kind: str
    transparent: bool


def read_images(folder: Path, resize: tuple[int, int] | None = None) -> Dataset:
    """The images of a folder: PNG, JPEG, BMP, GIF (first frame), WebP, TIFF and PGM.

    The first level of sub-folders gives the labels; if these are exactly `train` and `test`, they are the split, and
    their sub-folders give the labels. All gray images give (n, h, w) uint8, or uint16 if all have 16 bits, else all
    become RGB, (n, h, w, 3) uint8 (images with a palette count as color; 16-bit color becomes 8-bit). Transparent
    pixels are laid on white; photographs are turned as their camera noted. Symbolic links are not followed. What is
    left out, laid on white or colored is said in the notes of the result.

    Args:
        folder: where the images are.
        resize: (height, width) to which every image is stretched or shrunk, needed if they differ in size.

    Raises:
        FileNotFoundError: no such folder.
        DataError: no images, sizes that differ, or an image that is damaged, too large, or of an unknown kind.
    """
    name = shown(folder)
    found = _walk(folder)
    parts = {path.name: path for path in _folders(folder)}
    split = set(parts) == {"train", "test"} and not any(path.parent == folder for path in found.paths)
    groups = [_walk(parts["train"]), _walk(parts["test"])] if split else [found]
    for group, place in zip(groups, (parts["train"], parts["test"]) if split else (folder,), strict=True):
        if not group.paths:
            left = f" ({'; '.join(_left_out(group))})" if group.others or group.links else ""
            raise DataError(f"{shown(place)} holds no images{left}: give a folder with {', '.join(_SUFFIXES)} files")
    paths = [path for group in groups for path in group.paths]
    headers = [_read_header(path) for path in paths]
    shape, kind = _agree(paths, headers, resize)
    arrays = [_decode(group.paths, shape, kind, resize) for group in groups]
    labels = [np.asarray(group.labels) if any(group.labels) else None for group in groups]
    return Dataset(
        folder.resolve().name,
        arrays[0],
        arrays[1] if split else None,
        labels[0],
        labels[1] if split else None,
        source=name,
        notes=(*_left_out(found), *_changed(headers, kind)),
    )


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(e) for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))


def _walk(folder: Path) -> _Found:
    """All regular image files below a folder; links, hidden folders and other files are noted, not opened."""
    found = _Found()
    for here, folders, files in os.walk(folder, onerror=_stop):
        folders.sort()
        found.links += [Path(here, name) for name in folders if Path(here, name).is_symlink()]
        found.others += [Path(here, name) for name in folders if name.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".") and not Path(here, name).is_symlink()]
        for path in (Path(here, name) for name in sorted(files)):
            if path.is_symlink():
                found.links.append(path)
            elif path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file():
                found.paths.append(path)
                inside = path.relative_to(folder).parts
                found.labels.append(shown(inside[0]) if len(inside) > 1 else "")
            else:
                found.others.append(path)
    if "" in found.labels and any(found.labels):
        stray, inner = found.paths[found.labels.index("")], next(p for p in found.paths if p.parent != folder)
        raise DataError(
            f"{shown(stray)} has no label while {shown(inner)} has one from its sub-folder: move all images into "
            "sub-folders, or none"
        )
    return found


def _stop(error: OSError) -> None:
    raise error


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """A Pillow image whose header is read; damage, whenever it shows, is an error that names the file."""
    from PIL import Image, UnidentifiedImageError

    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > _MOST_BYTES:
            raise DataError(f"{shown(path)} is larger than {_MOST_BYTES >> 20} MiB: make it smaller")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # on tags that do not matter; what matters raises as well
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                yield Image.open(file, formats=_FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise DataError(_too_many_pixels(path)) from None
        except DataError:
            raise
        except _DAMAGED as error:
            reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
            raise DataError(f"{shown(path)} is damaged or no image ({reason}): replace or remove it") from error


def _too_many_pixels(path: Path) -> str:
    return f"{shown(path)} has more than {_MOST_PIXELS // 10**6} megapixels: make it smaller"


def _read_header(path: Path) -> _Header:
    with _opened(path) as image:
        width, height = image.size
        if width * height > _MOST_PIXELS:
            raise DataError(_too_many_pixels(path))
        if image.format in ("JPEG", "MPO") and image.getexif().get(0x0112, 1) >= 5:  # the camera lay on its side
            width, height = height, width
        transparent = "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        if image.mode == "F":
            raise DataError(f"{shown(path)} holds floating-point numbers: save these as .npy")
        if image.mode.startswith("I"):
            return _Header((height, width), _GRAY16, transparent=False)
        return _Header((height, width), _GRAY if image.mode in ("1", "L", "LA", "La") else _COLOR, transparent)


def _agree(paths: list[Path], headers: list[_Header], resize: tuple[int, int] | None) -> tuple[tuple[int, ...], str]:
    """The shape and kind of every example, or the error that names two images which differ."""
    for path, header in zip(paths, headers, strict=True):
        if resize is None and header.size != headers[0].size:
            (a, b), (c, d) = headers[0].size, header.size
            raise DataError(
                f"images differ in size (height x width): {shown(paths[0])} has {a}x{b} pixels and {shown(path)} "
                f"{c}x{d}; choose one size: resize=({a}, {b}), or --resize {a}x{b} on the command line"
            )
        if (header.kind == _GRAY16) != (headers[0].kind == _GRAY16):
            raise DataError(
                f"images differ in depth: {shown(paths[0])} is {headers[0].kind} and {shown(path)} {header.kind}; "
                "save all with 8 or all with 16 bits"
            )
    kind = headers[0].kind if len({header.kind for header in headers}) == 1 else _COLOR
    size = resize or headers[0].size
    return ((*size, 3) if kind == _COLOR else size), kind


def _decode(paths: list[Path], shape: tuple[int, ...], kind: str, resize: tuple[int, int] | None) -> Array:
    examples = np.empty((len(paths), *shape), np.uint16 if kind == _GRAY16 else np.uint8)
    for example, path in zip(examples, paths, strict=True):
        with _opened(path) as image:
            example[...] = _pixels(image, kind, resize)
    return examples


def _pixels(image: Image, kind: str, resize: tuple[int, int] | None) -> Array:
    from PIL import Image, ImageOps

    if image.format in ("JPEG", "MPO"):
        image = ImageOps.exif_transpose(image)
    if kind == _GRAY16:
        values: Array = np.asarray(image)
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise ValueError("its numbers do not fit into 16 bits")
        if resize is None:
            return values
        smooth = Image.fromarray(values.astype(np.float32)).resize(resize[::-1], Image.Resampling.BILINEAR)
        return np.asarray(np.rint(np.asarray(smooth)), np.uint16)
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if kind == _GRAY else "RGB")
    return np.asarray(image if resize is None else image.resize(resize[::-1], Image.Resampling.BILINEAR))


def _left_out(found: _Found) -> list[str]:
    notes = []
    for paths, what, plural in (
        (found.others, "entry is no image and was left out", "entries are no images and were left out"),
        (found.links, "entry is a link and was not followed", "entries are links and were not followed"),
    ):
        if paths:
            names = ", ".join(shown(path.name) for path in paths[:_LISTED]) + (", ..." if paths[_LISTED:] else "")
            notes.append(f"{len(paths):,} other {what if len(paths) == 1 else plural}: {names}")
    return notes


def _changed(headers: list[_Header], kind: str) -> list[str]:
    kinds = Counter(header.kind for header in headers)
    notes = []
    if count := sum(header.transparent for header in headers):
        notes.append(f"{count:,} images with transparent pixels were laid on white")
    if len(kinds) > 1:
        notes.append(f"{kinds[_GRAY]:,} gray images became {kind} like the other {kinds[_COLOR]:,}")
    return notes
