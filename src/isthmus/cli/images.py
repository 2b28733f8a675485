"""Reconstruction of images of any size: one file, a folder of files, or an array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.console import counted, print_line, print_notes
from isthmus.cli.output_files import Target, check_apart, check_free, check_parents

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.data.images.header_fields import Kind
    from isthmus.data.images.single import Single
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.experiments.image_units import Units

    Array = NDArray[Any]

__all__ = ["reconstruct_images"]


_ARRAYS = {".npy", ".npz"}
_LARGE = 1 << 16  # a side that is a multiple of the stride of any architecture
_MAX_BEYOND = 0.1  # share of pixels far beyond the range of a file


def reconstruct_images(run: Path, path: Path, out: Path | None, skip_broken: bool = False) -> None:
    """Writes the reconstruction of an image, or of each image of a folder, as images of the same size and depth.

    Nothing is overwritten. The headers of all files are read before the first image is decoded. An image in a .npy file becomes one.
    With skip_broken, images of a folder that are damaged or too large are left out, and a note names them.
    """
    from isthmus.errors import RecordError
    from isthmus.experiments import run_folder
    from isthmus.experiments.image_units import units_of

    if out is None:
        raise RecordError(f"--out is missing: give the {'folder' if path.is_dir() else 'image file'} to write")
    if skip_broken and not path.is_dir():
        raise RecordError("--skip-broken is for a folder of images: leave it out")
    if path.suffix.lower() in _ARRAYS:
        _reconstruct_array(run, path, out)
        return
    targets, notes = list(_of_folder(path, out)) if path.is_dir() else [_of_file(path, out)], list[str]()
    if path.is_dir():
        notes = _folder_notes(path)
    check_free(targets)
    check_parents(targets, "images")
    ae = run_folder.open_run(run)
    units, broken = units_of(run, ae), _Broken(path, skip_broken)
    _check_headers(run, units, targets, broken)
    print_notes([*notes, _how(run, ae), *([units.note] if units.note else [])])
    _write_all(run, ae, units, targets, broken, out)


class _Broken:
    """Images that are damaged or too large: the first is an error, or all are left out.

    Args:
        root: the image or the folder.
        skipped: whether they are left out.
    """

    def __init__(self, root: Path, skipped: bool) -> None:
        self.root, self.skipped, self.paths = root, skipped, list[Path]()

    @contextmanager
    def may_be(self, path: Path) -> Iterator[None]:
        """A context in which a file is read. It ends at the damage; whether the file is among `paths` says so."""
        from isthmus.data.images.decoding import SKIP_BROKEN
        from isthmus.errors import DataError

        try:
            yield
        except DataError as error:
            if not self.skipped:
                raise DataError(f"{error}{SKIP_BROKEN if self.root.is_dir() else ''}") from error
            self.paths.append(path)


def _check_headers(run: Path, units: Units, targets: list[Target], broken: _Broken) -> None:
    """`DataError` unless all images can be read and written, by their headers."""
    from isthmus.data.images.single import check_writable, read_image_header
    from isthmus.experiments.image_units import check_depth

    for each in targets:
        found = None
        with broken.may_be(each.source):
            found = read_image_header(each.source)
        if found is not None:
            check_depth(run, units, each.source, found)
            check_writable(each.out, found.kind)


def _write_all(run: Path, ae: Autoencoder, units: Units, targets: list[Target], broken: _Broken, out: Path) -> None:
    """Writes the images, with notes on conversions; also on those before an error."""
    from isthmus.data.images.notes import broken_note
    from isthmus.data.images.single import read_image
    from isthmus.errors import DataError
    from isthmus.io.files import shown

    changes, several, n_written = Counter[str](), list[Path](), 0
    try:
        for each in targets:
            single = None
            if each.source not in broken.paths:
                with broken.may_be(each.source):
                    single = read_image(each.source, units.color)
            if single is None:
                continue
            _write(run, ae, units, each, single)
            changes.update(single.changes)
            several += [each.source] if single.header.more else []
            n_written += 1
    finally:
        print_notes(broken_note(broken.root, broken.paths))
        _print_changes(changes, several, units.color)
        if 0 < n_written < len(targets) - len(broken.paths):
            rest = "choose another --out for all, or remove what is written"
            print_notes(
                [f"only {n_written:,} of {len(targets):,} images are written in {shown(out)}; to try again, {rest}"]
            )
    if not n_written:
        raise DataError(f"{shown(broken.root)} has no readable image: replace them")
    if len(targets) > 1:
        print_line(f"written: {counted(n_written, 'image')} in {shown(out)}")


def _reconstruct_array(run: Path, path: Path, out: Path) -> None:
    """Writes the reconstruction of an image in a .npy file, in the units of training."""
    from isthmus.cli.console import array_path, write_array
    from isthmus.data.arrays import read_npy
    from isthmus.errors import DataError
    from isthmus.experiments import run_folder
    from isthmus.io.files import shown

    if path.suffix.lower() != ".npy":
        raise DataError(f"{shown(path)} may have several arrays: save the image alone as .npy, or use --data")
    target = array_path(out, "")
    check_free([Target(path, target)])
    values, ae = read_npy(path), run_folder.open_run(run)
    if values.ndim == len(ae.shape_) + 1:
        raise DataError(
            f"{shown(path)} has shape {values.shape}, which seems to be several images: use --data, or save one image"
        )
    print_notes([f"{shown(path)} is taken in the units of training", _how(run, ae)])
    write_array(target, ae.reconstruct_image(values))


def _how(run: Path, ae: Autoencoder) -> str:
    """How images are reconstructed: in tiles, or as patches and why."""
    from isthmus.estimators.tiles import receptive_field
    from isthmus.io.files import shown

    if receptive_field(ae.model_, axes=2) is not None:
        return f"{shown(run)} is fully convolutional: images are reconstructed in tiles, with the result of the whole image"
    model, sides = ae.model_, "x".join(map(str, ae.shape_[:2]))
    field = model.architecture.receptive_field((_LARGE, _LARGE, *model.shape[2:]))
    if field is None:
        why = "its architecture is not fully convolutional"
    elif any(side % field.stride for side in ae.shape_[:2]):
        why = f"their sides are no multiples of {field.stride}, the stride of its architecture"
    elif model.likelihood.given_total:
        why = "its likelihood divides the total of an image among its pixels"
    else:
        why = "its scaling has a unit for each pixel"
    return (
        f"{shown(run)} reconstructs images of {sides} pixels, because {why}: larger ones as patches of this size that overlap by half "
        "and are blended"
    )


def _of_file(path: Path, out: Path) -> Target:
    """The output file of one image."""
    from isthmus.cli.console import array_path
    from isthmus.data.images.single import WRITTEN

    return Target(path, array_path(out, "", tuple(WRITTEN)))


def _of_folder(path: Path, out: Path) -> Iterator[Target]:
    """The output file of each image of a folder: the same relative path, with the extension .png for lossy and other formats."""
    from isthmus.data.images.folders import LeftOut, walk
    from isthmus.data.images.single import WRITTEN
    from isthmus.errors import DataError
    from isthmus.io.atomic import check_folder
    from isthmus.io.files import shown

    check_apart(path, out, "images")
    check_folder(out)
    made = dict[Path, Path]()
    for source in walk(path, LeftOut()).all_images():
        target = out / source.relative_to(path)
        target = target if target.suffix.lower() in WRITTEN else target.with_suffix(".png")
        if target in made:
            raise DataError(
                f"{shown(made[target])} and {shown(source)} would both be written to {shown(target)}: rename one of them"
            )
        made[target] = source
        yield Target(source, target)
    if not made:
        raise DataError(f"{shown(path)} has no images: give an image, or a folder with images")


def _folder_notes(path: Path) -> list[str]:
    """What is in the folder that is not an image, and which extensions change."""
    from isthmus.data.images.folders import LeftOut, some, walk
    from isthmus.data.images.single import WRITTEN

    left_out = LeftOut()
    others = [each for each in walk(path, left_out).all_images() if each.suffix.lower() not in WRITTEN]
    what = "image is" if len(others) == 1 else "images are"
    renamed = [f"{len(others):,} {what} written as .png instead of the format of the file ({some(others)})"]
    return [*left_out.sentences(), *(renamed if others else [])]


def _write(run: Path, ae: Autoencoder, units: Units, target: Target, single: Single) -> None:
    """Reconstructs and writes one image."""
    import numpy as np

    from isthmus.data.images.header_fields import Kind
    from isthmus.data.images.single import write_image
    from isthmus.experiments.image_units import in_units
    from isthmus.io.files import shown

    pixels = single.pixels
    given = in_units(pixels, units, ae.shape_)
    made = ae.reconstruct_image(given, out=np.empty(given.shape, np.float32)) * units.factor(pixels.dtype)
    made = made.reshape(pixels.shape)
    if pixels.dtype.kind in "ui":
        limits = np.iinfo(pixels.dtype)
        _check_made(run, target.source, pixels, made)
        made = np.rint(made.astype(np.float64) if limits.bits > 16 else made).clip(limits.min, limits.max)
    target.out.parent.mkdir(parents=True, exist_ok=True)
    write_image(target.out, made.astype(pixels.dtype, copy=False), single.dpi, single.profile)
    kind = Kind(1 if pixels.ndim == 2 else pixels.shape[2], str(pixels.dtype))
    print_line(f"written: {shown(target.out)}, {'x'.join(map(str, pixels.shape[:2]))} pixels, {_described(kind)}")


def _described(kind: Kind) -> str:
    """The kind of pixels: gray or color with its bits, or the channels and their type."""
    bits = 8 * kind.dtype.itemsize
    named = {(1, "u"): "gray", (3, "u"): "color"}.get((kind.channels, kind.dtype.kind))
    return str(kind) if named is None else f"{named} with {bits} bits"


def _check_made(run: Path, path: Path, pixels: Array, made: Array) -> None:
    """`DataError` if a reconstruction is in another unit than its image, as after training on other targets; a note if it may be."""
    import numpy as np

    from isthmus.errors import DataError
    from isthmus.io.files import shown

    top, beyond = np.iinfo(pixels.dtype).max, float(np.iinfo(pixels.dtype).max) / 2
    least, largest = float(made.min()), float(made.max())
    own = f"the image from {pixels.min()} to {pixels.max()}"
    unit = f"the reconstruction of {shown(path)} has values from {least:g} to {largest:g}, and {own}"
    advice = f"if the targets of {shown(run)} were in another unit, use ae.reconstruct_image in Python"
    if np.mean((made < np.iinfo(pixels.dtype).min - beyond) | (made > top + beyond)) > _MAX_BEYOND:
        raise DataError(f"{unit}: {advice}")
    if largest <= top / 255 and pixels.max() > top / 16:
        print_notes([f"{unit}: {advice}"])


def _print_changes(changes: Counter[str], several: list[Path], color: bool) -> None:
    """Notes on conversions, and on files with several pages."""
    from isthmus.data.images.folders import some
    from isthmus.data.images.header_fields import COLOR, GRAY
    from isthmus.data.images.pixels import rewritten

    notes = rewritten(changes, COLOR if color else GRAY, None)
    if several:
        what = "file has more pages or frames" if len(several) == 1 else "files have more pages or frames"
        notes.append(f"{len(several):,} {what} ({some(several)}): only the first is reconstructed")
    print_notes(notes)
