"""Figures without a window: made, laid out to the pixel and written as PNG, with no state outside the figure itself."""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from isthmus.errors import DataError
from isthmus.io.atomic import replace_file
from isthmus.io.files import open_regular, shown
from isthmus.plots.lettering import lettered
from isthmus.text import sentence

__all__ = ["Picture", "blank", "chart", "frame", "panels", "png", "read_png", "save_png"]

DPI = 150
MARGIN = 12  # pixels around everything
_MOST_BYTES, _MOST_PIXELS = 16 << 20, 1 << 24  # of a figure that is read again

Box = tuple[float, float, float, float]  # left, bottom, width, height in pixels


class Picture(Figure):
    """A Matplotlib figure that a notebook shows by itself; its label says what is to be seen (alt text)."""

    def draw(self, renderer: RendererBase) -> None:
        """Draws it, all text as it is."""
        lettered(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        return png(self)


def blank(alt: str) -> Picture:
    """An empty figure whose size `frame` will set."""
    figure = Picture(figsize=(1, 1), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.set_label(sentence(alt))
    return figure


def chart(alt: str, width: float = 7.0, height: float = 5.0) -> tuple[Picture, Axes]:
    """A figure of one pair of axes, width and height in inches, whose labels make themselves room."""
    figure, (axes,) = panels(alt, 1, width, height)
    return figure, axes


def panels(alt: str, n: int, width: float, height: float) -> tuple[Picture, list[Axes]]:
    """A figure of n pairs of axes side by side, width and height of each in inches, whose labels make themselves room."""
    figure = Picture(figsize=(n * width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.set_label(sentence(alt))
    all_axes = [figure.add_subplot(1, n, i + 1) for i in range(n)]
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, all_axes


def frame(figure: Figure, boxes: Mapping[Axes, Box]) -> None:
    """Gives each axes its box of pixels and the figure the size at which no tick, label or title is cut off."""
    lettered(figure)
    right = max(left + width for left, _, width, _ in boxes.values())
    top = max(bottom + height for _, bottom, _, height in boxes.values())
    _place(figure, boxes, right, top, 0, 0)
    # Labels reach as many pixels beyond their axes whatever the size of the figure.
    reach = Bbox.union([cast(Bbox, axes.get_tightbbox()) for axes in boxes])
    left, bottom = MARGIN + math.ceil(max(0, -reach.x0)), MARGIN + math.ceil(max(0, -reach.y0))
    _place(figure, boxes, left + max(right, reach.x1) + MARGIN, bottom + max(top, reach.y1) + MARGIN, left, bottom)


def _place(figure: Figure, boxes: Mapping[Axes, Box], width: float, height: float, left: int, bottom: int) -> None:
    width, height = float(math.ceil(width)), float(math.ceil(height))
    figure.set_size_inches((width + 0.01) / DPI, (height + 0.01) / DPI)  # the canvas rounds down
    for axes, (x, y, w, h) in boxes.items():
        axes.set_position(((left + x) / width, (bottom + y) / height, w / width, h / height))


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file, described by its label: equal figures give equal bytes."""
    canvas = FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    about = {"Software": None, "Description": sentence(figure.get_label())}
    canvas.print_png(buffer, metadata=about)  # type: ignore[no-untyped-call]  # Matplotlib's, yet untyped
    return buffer.getvalue()


def save_png(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes the figure as PNG and returns where; a reader meets the old file or the whole new one, never a part.

    Raises `OSError` (`FileNotFoundError` for a folder that is not there) and then leaves nothing behind.
    """
    path = Path(path)
    replace_file(path, png(figure))
    return path


def read_png(path: Path) -> tuple[bytes, str]:
    """The bytes of a PNG file, and what it says of itself; never through a link, and nothing of its pixels is decoded.

    Raises `DataError` where it is no such file, or larger than any figure.
    """
    with open_regular(path) as file:
        content = file.read(_MOST_BYTES + 1)
    try:
        width, height = struct.unpack(">8x4x4xII", content[:24])
        if len(content) > _MOST_BYTES or width * height > _MOST_PIXELS:
            raise DataError(f"{shown(path)} is larger than any figure: remove it")
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return content, sentence(image.info.get("Description", path.stem))
    except DataError:
        raise
    except (struct.error, OSError, SyntaxError, ValueError, LookupError, Image.DecompressionBombError) as error:
        raise DataError(f"{shown(path)} is damaged or no PNG file ({error}): remove it") from None
