"""Images of any size brought to one size: stretched, with a border, or cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.options import Fit, ReadOptions

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Resize", "fit_note", "resized"]

Array = npt.NDArray[Any]
Size = tuple[int, int]  # height and width in pixels


class Resize(NamedTuple):
    """The size that every image gets, and what happens to images of another aspect ratio."""

    size: Size
    fit: Fit

    @classmethod
    def of(cls, options: ReadOptions) -> Resize | None:
        """That of reading options; None if images keep their size."""
        return None if options.resize is None else cls(options.resize, options.fit)

    def change(self, own: Size) -> str | None:
        """What happens to an image of a size, by its name in `pixels.REWRITTEN`; None if nothing."""
        if own == self.size:
            return None
        if self.fit == "letterbox" and self.inner(own) != self.size:
            return "letterboxed"
        return "cropped" if self.fit == "crop" and self.lost(own) else "resized"

    def inner(self, own: Size) -> Size:
        """The size of an image within its border; the whole size if it has none."""
        (height, width), (h, w) = own, self.size
        if self.fit != "letterbox":
            return self.size
        if height * w > width * h:
            return h, max(1, round(width * h / height))
        return max(1, round(height * w / width)), w

    def lost(self, own: Size) -> float:
        """The share of the pixels of an image that is cut off."""
        (height, width), (h, w) = own, self.size
        return 0.0 if self.fit != "crop" else 1 - min(height * w, width * h) / max(height * w, width * h)

    def stretch(self, own: Size) -> float:
        """The factor by which the aspect ratio of an image changes, 1 if it changes by rounding alone."""
        (height, width), (h, w) = own, self.size
        if self.fit != "stretch" or round(width * h / height) == w or round(height * w / width) == h:
            return 1.0
        return max(height * w, width * h) / min(height * w, width * h)

    def border(self, own: Size) -> float:
        """The share of the border in the resized image."""
        (a, b), (h, w) = self.inner(own), self.size
        return 1 - a * b / (h * w)


def resized(image: Image, resize: Resize) -> Array:
    """The pixels (h, w) or (h, w, channels) of an image in its new size."""
    from PIL.Image import Resampling

    width, height = image.size
    if resize.fit == "crop":
        lost = resize.lost((height, width)) / 2
        across = width * resize.size[0] > height * resize.size[1]
        left, top = (width * lost, 0.0) if across else (0.0, height * lost)
        box = (left, top, width - left, height - top)
        return np.asarray(image.resize(resize.size[::-1], Resampling.BILINEAR, box=box))
    inner = resize.inner((height, width))
    pixels = np.asarray(image if inner == (height, width) else image.resize(inner[::-1], Resampling.BILINEAR))
    if inner == resize.size:
        return pixels
    spare = [outer - side for outer, side in zip(resize.size, inner, strict=True)]
    borders = [(each // 2, each - each // 2) for each in spare]
    return np.pad(pixels, [*borders, *[(0, 0)] * (pixels.ndim - 2)], mode="edge")


def fit_note(resize: Resize | None, sizes: Sequence[Size], can_choose: bool = True) -> list[str]:
    """A note on images whose aspect ratio changes, on the border of letterboxed images, or on what is cut off; none without any.

    Args:
        resize: how images are resized.
        sizes: height and width of each image before it is resized.
        can_choose: whether the user can choose another way, as a run cannot.
    """
    if resize is None:
        return []
    factors = [factor for factor in map(resize.stretch, sizes) if factor > 1]
    if factors:
        what, its = ("image changes", "its") if len(factors) == 1 else ("images change", "their")
        advice = ": to keep it, use fit='letterbox' or 'crop' (--fit)" if can_choose else ""
        return [f"{len(factors):,} {what} {its} aspect ratio, by a factor of up to {max(1.01, *factors):.2f}{advice}"]
    shares = {
        "of the pixels of these images are border": [resize.border(size) for size in sizes],
        "of the pixels of these images are cut off": [resize.lost(size) for size in sizes],
    }
    changed = {what: [share for share in each if share] for what, each in shares.items()}
    return [
        f"{sum(each) / len(each):.0%} {what}, and at most {max(each):.0%} of an image"
        for what, each in changed.items()
        if each
    ]
