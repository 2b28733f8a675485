"""Whether images are decoded once or stay in their files; and which conversions they will have if they stay there."""

from __future__ import annotations

import math
from collections import Counter

from isthmus.data.images.decoding import SKIP_BROKEN, ImageFile, decode_pages
from isthmus.data.images.header_fields import DEEP, Kind
from isthmus.data.images.pixels import changes_of
from isthmus.data.images.resizing import Resize
from isthmus.data.options import ReadOptions
from isthmus.errors import DataError
from isthmus.io.memory_limit import allowed_memory, shown_size

__all__ = ["advice_for", "cache_bytes", "conversions", "streaming_note"]

_SHARE = 4  # decoded images may take a quarter of the memory: the parts of a split are a second copy
_UNKNOWN = 2 << 30  # bytes, where the available memory is unknown


def cache_bytes(options: ReadOptions) -> int:
    """The bytes that decoded images may take: the option, or a quarter of the memory that this process may use."""
    if options.cache is not None:
        return options.cache
    allowed = allowed_memory()
    return int(allowed / _SHARE) if math.isfinite(allowed) else _UNKNOWN


def streaming_note(count: int, size: int, cache: int, given: bool, n_images: int | None = None) -> str:
    """A note on images that stay in their files, or on their patches.

    Args:
        count: the number of images, or of patches.
        size: the bytes of all of them, decoded.
        cache: the bytes that decoded images may take.
        given: whether the user chose them.
        n_images: the number of the images of which these are patches; None without patches.
    """
    one, many = ("image", "images") if n_images is None else ("patch", "patches")
    images, take = (f"1 {one}", "takes") if count == 1 else (f"{count:,} {many}", "take")
    limit = (
        f"cache={shown_size(cache)} (--cache)"
        if given
        else f"a quarter of the available memory ({shown_size(cache)}; cache=, --cache)"
    )
    kept = (n_images or count) * cache // size
    stay = (
        f"{kept:,} of {'them' if n_images is None else f'{n_images:,} images'} stay decoded"
        if kept
        else "none stays decoded"
    )
    cost = (
        ""
        if n_images is None
        else "; training decodes an image for each of its patches: random crops by augmentation=Crop are faster"
    )
    return f"{images} {take} {shown_size(size)} decoded, more than {limit}: they are read from their files in each epoch, {stay}{cost}"


def advice_for(options: ReadOptions, folder: bool) -> str:
    """The end of the message about a damaged image."""
    return SKIP_BROKEN if folder and not options.skip_broken else ""


def conversions(file: ImageFile, kind: Kind, options: ReadOptions, advice: str) -> Counter[str]:
    """The conversions of the pages of a file. It is decoded only if it has an alpha channel, since headers do not say what is transparent.

    Raises:
        DataError: the file must be decoded, and is damaged.
    """
    resize = Resize.of(options)
    if kind == DEEP or not any(page.alpha for page in file.pages):
        return Counter(way for page in file.pages for way in changes_of(page, kind, resize))
    try:
        return Counter(way for _, ways in decode_pages(file, kind, resize) for way in ways)
    except DataError as error:
        raise DataError(f"{error}{advice}") from error
