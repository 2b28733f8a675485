"""The tags of the pages of a TIFF file that say what its samples are. Nothing is decoded."""

from __future__ import annotations

from typing import Any, BinaryIO, NamedTuple

__all__ = ["TiffPage", "tiff_pages"]

_MAX_PAGES = 10_000
_MAX_VALUES = 1 << 16  # of a tag; a page has at most so many samples
_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}  # bytes of an unsigned whole number, by its type
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES = 256, 257, 258, 259, 262, 274, 277
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT, _DEPTH = 322, 323, 338, 339, 32997
_READ = {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES} | {
    _TILE_WIDTH,
    _TILE_HEIGHT,
    _EXTRA,
    _FORMAT,
    _DEPTH,
}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK = 0, 1, 2, 3, 5
_ALPHA = {(1,), (2,)}  # the one extra sample is alpha
_UNSIGNED = {1, 4}  # 4: of unknown format


class TiffPage(NamedTuple):
    """The tags of a page: the values of each, by the number of the tag."""

    tags: dict[int, tuple[int, ...]]

    def first(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        return (self.tags.get(tag) or (default,))[0]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels, before rotation."""
        return self.first(_HEIGHT, 0), self.first(_WIDTH, 0)

    @property
    def tile(self) -> tuple[int, int]:
        """(height, width) of a tile in pixels, or zeros."""
        return self.first(_TILE_HEIGHT, 0), self.first(_TILE_WIDTH, 0)

    @property
    def samples(self) -> int:
        """The number of samples of a pixel."""
        return self.first(_SAMPLES, 1)

    @property
    def bits(self) -> set[int]:
        """The bits of the samples."""
        return set(self.tags.get(_BITS) or (1,))

    @property
    def formats(self) -> set[int]:
        """What the samples are: 1 for whole numbers, 2 for signed ones, 3 for floating-point numbers."""
        return {1 if value in _UNSIGNED else value for value in self.tags.get(_FORMAT) or (1,)}

    @property
    def orientation(self) -> int:
        """The orientation, 1 to 8; 1 is upright."""
        found = self.first(_ORIENTATION, 1)
        return found if found in range(1, 9) else 1

    @property
    def depth(self) -> int:
        """The number of slices in the page."""
        return self.first(_DEPTH, 1)

    @property
    def compression(self) -> int:
        """The number of the compression; 1 for none."""
        return self.first(_COMPRESSION, 1)

    @property
    def numeric(self) -> bool:
        """Whether samples are measured values, and not the numbers of colors in a palette or the like."""
        return self.first(_PHOTOMETRIC, _BLACK_IS_ZERO) in {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK}

    @property
    def has_extra(self) -> bool:
        """Whether there are more samples than the colors need."""
        colors = {_RGB: 3, _CMYK: 4, _PALETTE: 1}.get(self.first(_PHOTOMETRIC, _BLACK_IS_ZERO))
        return colors is not None and self.samples > colors

    @property
    def deep_color(self) -> bool:
        """Whether the page has three colors of 16 bits, of which Pillow reads the first eight."""
        return self.first(_PHOTOMETRIC, _BLACK_IS_ZERO) == _RGB and self.samples == 3 and self.bits == {16}

    @property
    def plain(self) -> bool:
        """Whether the page is a usual image: gray, a palette, or colors, of up to 16 bits, perhaps with an alpha channel."""
        photometric, alpha = self.first(_PHOTOMETRIC, _BLACK_IS_ZERO), self.tags.get(_EXTRA, ()) in _ALPHA
        if photometric in {_WHITE_IS_ZERO, _BLACK_IS_ZERO}:
            known = self.samples == 1 or (self.samples == 2 and alpha and self.bits == {8})
        elif photometric == _RGB:
            known = self.samples == 3 or (self.samples == 4 and alpha)
        elif photometric in {_PALETTE, _CMYK}:
            known = self.samples == {_PALETTE: 1, _CMYK: 4}[photometric]
        else:
            return True
        return known and self.formats == {1} and max(self.bits) <= 16 and self.depth == 1


def tiff_pages(file: BinaryIO) -> tuple[list[TiffPage], bool]:
    """The pages of a TIFF file, and whether the file ends before its last page. No pages if it is no TIFF file.

    BigTIFF has counts and pointers of 8 bytes. A list of pages that leads back to itself ends there.
    """
    file.seek(0)
    head = file.read(16)
    order: Any = {b"II": "little", b"MM": "big"}.get(head[:2])
    if order is None or int.from_bytes(head[2:4], order) not in {42, 43}:
        return [], False
    big = int.from_bytes(head[2:4], order) == 43
    count, entry, pointer = (8, 20, 8) if big else (2, 12, 4)
    at, seen, pages = int.from_bytes(head[8:16] if big else head[4:8], order), set[int](), list[TiffPage]()
    while at and at not in seen and len(seen) < _MAX_PAGES:
        seen.add(at)
        file.seek(at)
        n_tags = int.from_bytes(number := file.read(count), order)
        entries = file.read(min(entry * n_tags, _MAX_VALUES * entry))
        file.seek(at + count + entry * n_tags)
        following = file.read(pointer)
        if len(number) < count or len(following) < pointer:
            return pages, True
        tags = {}
        for start in range(0, len(entries), entry):
            tag = int.from_bytes(entries[start : start + 2], order)
            if tag in _READ:
                tags[tag] = _values(file, entries[start + 2 : start + entry], order, pointer)
        pages.append(TiffPage(tags))
        at = int.from_bytes(following, order)
    return pages, False


def _values(file: BinaryIO, entry: bytes, order: Any, pointer: int) -> tuple[int, ...]:
    """The values of a tag; none if they are no whole numbers."""
    size = _SIZES.get(int.from_bytes(entry[:2], order))
    if size is None:
        return ()
    length = size * min(int.from_bytes(entry[2 : 2 + pointer], order), _MAX_VALUES)
    values = entry[2 + pointer :]
    if length > pointer:
        file.seek(int.from_bytes(values, order))
        values = file.read(length)
    return tuple(int.from_bytes(values[at : at + size], order) for at in range(0, min(length, len(values)), size))
