"""What the header of an image says: its size, the kind of its pixels, and how decoding changes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["COLOR", "DEEP", "GRAY", "Header", "Kind"]


class Kind(NamedTuple):
    """The kind of pixels: the number of channels, and the NumPy name of the dtype of each."""

    channels: int
    type_name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the pixels."""
        return np.dtype(self.type_name)

    @property
    def convertible(self) -> bool:
        """Whether gray becomes color where other images are in color, and the other way round."""
        return self in {GRAY, COLOR}

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """The shape of an image: (h, w), or (h, w, channels) if there are several."""
        return size if self.channels == 1 else (*size, self.channels)

    def __str__(self) -> str:
        named = {GRAY: "8-bit gray", DEEP: "16-bit gray", COLOR: "color"}
        return named.get(self, f"{self.channels:,} channel{'s' * (self.channels > 1)} of {self.type_name}")


GRAY = Kind(1, "uint8")
DEEP = Kind(1, "uint16")
COLOR = Kind(3, "uint8")


@dataclass(frozen=True)
class Header:
    """The header of one image, or of one page of a file.

    Attributes:
        format: Pillow's name of the format.
        size: (height, width) in pixels, after rotation to upright.
        kind: the kind of its pixels.
        orientation: the EXIF orientation, 1 to 8; 1 is upright.
        more: whether the file has several pages.
        cut: whether the file ends before its last page; checked with the first page only.
        rewritten: the conversions that decoding makes, by the names in `pixels.REWRITTEN`.
        alpha: whether pixels can be transparent; decoding shows whether some are.
        sampled: whether all samples of a TIFF page are read as they are (`samples`), since Pillow would lose some.
    """

    format: str
    size: tuple[int, int]
    kind: Kind
    orientation: int
    more: bool
    cut: bool
    rewritten: frozenset[str]
    alpha: bool
    sampled: bool = False
