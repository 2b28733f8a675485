"""Figures without a window: created, laid out in pixels and written as PNG, without global Matplotlib state."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from isthmus.io.atomic import replace_file
from isthmus.plots.lettering import sanitize_figure
from isthmus.text import sentence

__all__ = [
    "NotebookFigure",
    "chart",
    "empty_figure",
    "fit_to_boxes",
    "panels",
    "png",
    "save_png",
    "stacked",
]

DPI = 150
MARGIN = 12  # pixels around the content

Box = tuple[float, float, float, float]  # left, bottom, width, height in pixels


class NotebookFigure(Figure):
    """A Matplotlib figure that notebooks display. Its label is the description (alt text)."""

    def draw(self, renderer: RendererBase) -> None:
        """Draws the figure, with all text shown literally."""
        sanitize_figure(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        return png(self)


def empty_figure(alt: str) -> NotebookFigure:
    """An empty figure; `fit_to_boxes` sets its size."""
    figure = NotebookFigure(figsize=(1, 1), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.set_label(sentence(alt))
    return figure


def chart(alt: str, width: float = 7.0, height: float = 5.0) -> tuple[NotebookFigure, Axes]:
    """A figure with one axes, and the axes; width and height in inches. The layout leaves room for labels."""
    figure, (axes,) = panels(alt, 1, width, height)
    return figure, axes


def panels(alt: str, n: int, width: float, height: float) -> tuple[NotebookFigure, list[Axes]]:
    """A figure with n axes side by side, and the axes; width and height of each in inches. The layout leaves room for labels."""
    figure = NotebookFigure(figsize=(n * width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.set_label(sentence(alt))
    all_axes = [figure.add_subplot(1, n, i + 1) for i in range(n)]
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, all_axes


def stacked(alt: str, n: int, width: float, height: float) -> tuple[NotebookFigure, list[Axes]]:
    """A figure with n axes below each other that share their horizontal axis, and the axes; the first has twice the height."""
    figure = NotebookFigure(figsize=(width, (n + 1) * height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.set_label(sentence(alt))
    all_axes = list(figure.subplots(n, 1, sharex=True, squeeze=False, height_ratios=[2, *[1] * (n - 1)])[:, 0])
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, all_axes


def fit_to_boxes(figure: Figure, boxes: Mapping[Axes, Box]) -> None:
    """Places each axes in its box of pixels, and sizes the figure so that no tick, label or title is cut off."""
    sanitize_figure(figure)
    right = max(left + width for left, _, width, _ in boxes.values())
    top = max(bottom + height for _, bottom, _, height in boxes.values())
    _place(figure, boxes, right, top, 0, 0)
    # The size of labels in pixels does not depend on the size of the figure.
    reach = Bbox.union([cast(Bbox, axes.get_tightbbox()) for axes in boxes])
    left, bottom = MARGIN + math.ceil(max(0, -reach.x0)), MARGIN + math.ceil(max(0, -reach.y0))
    _place(figure, boxes, left + max(right, reach.x1) + MARGIN, bottom + max(top, reach.y1) + MARGIN, left, bottom)


def _place(figure: Figure, boxes: Mapping[Axes, Box], width: float, height: float, left: int, bottom: int) -> None:
    width, height = float(math.ceil(width)), float(math.ceil(height))
    figure.set_size_inches((width + 0.01) / DPI, (height + 0.01) / DPI)  # the canvas rounds down
    for axes, (x, y, w, h) in boxes.items():
        axes.set_position(((left + x) / width, (bottom + y) / height, w / width, h / height))


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file, with its label as description. Equal figures give equal bytes."""
    canvas = FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    metadata = {"Software": None, "Description": sentence(figure.get_label())}
    canvas.print_png(buffer, metadata=metadata)  # type: ignore[no-untyped-call]  # Matplotlib's, yet untyped
    return buffer.getvalue()


def save_png(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes the figure as a PNG file, atomically.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written (`FileNotFoundError`: the folder does not exist). No partial file is left.
    """
    path = Path(path)
    replace_file(path, png(figure))
    return path
