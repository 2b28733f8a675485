"""One shape and one kind of pixels for all images of a data set."""

from __future__ import annotations

from isthmus.data.images.decoding import ImageFile
from isthmus.data.images.header_fields import COLOR, DEEP, GRAY, Kind
from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["common_shape"]


def common_shape(files: list[ImageFile], options: ReadOptions, run: Reused | None) -> tuple[tuple[int, ...], Kind]:
    """The common shape and kind of all pages; `DataError` names two images that differ."""
    first, kinds = files[0], set[Kind]()
    for file in files:
        for number, page in enumerate(file.pages):
            kinds.add(page.kind)
            _check_size(page.size, first, _named(file, number), options)
            _check_kind(page.kind, first, _named(file, number))
        if options.joins_pages and len(file.pages) != len(first.pages):
            raise DataError(
                f"files differ in their number of pages: {shown(first.path)} has {len(first.pages):,} and {shown(file.path)} "
                f"{len(file.pages):,}; give all the same number, or use --pages examples"
            )
    kind = kinds.pop() if len(kinds) == 1 else COLOR
    if kind.convertible and options.pages != "channels":
        kind = _kind_of_run(run) or kind
    side = options.patches
    size = (side, side) if side is not None else options.resize or first.pages[0].size
    return kind.shape(size), kind


def _check_kind(kind: Kind, first: ImageFile, name: str) -> None:
    """`DataError` if an image has other channels or bits than the first one, unless both are 8-bit gray or color."""
    known = first.pages[0].kind
    if kind == known or (kind.convertible and known.convertible):
        return
    if {known, kind} <= {GRAY, COLOR, DEEP}:
        raise DataError(
            f"images differ in bit depth: {_named(first, 0)} is {known} and {name} {kind}; save all with 8 or all with 16 bits"
        )
    raise DataError(
        f"images differ in their channels or types: {_named(first, 0)} has {known} and {name} {kind}; give images of one kind"
    )


def _check_size(size: tuple[int, int], first: ImageFile, name: str, options: ReadOptions) -> None:
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


def _named(file: ImageFile, page: int) -> str:
    """The name of an image in a message, with its page if several are read."""
    return shown(file.path) if len(file.pages) == 1 else f"page {page + 1} of {shown(file.path)}"


def _kind_of_run(run: Reused | None) -> Kind | None:
    """The kind of images that a run expects, by its shape; None if unknown."""
    if run is None or run.shape is None or len(run.shape) not in (2, 3, 4):
        return None
    if len(run.shape) > 2 and run.shape[-1] == 3:
        return COLOR
    return GRAY if len(run.shape) == 2 or run.shape[-1] == 1 else None
