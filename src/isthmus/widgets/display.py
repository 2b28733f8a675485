"""What a widget draws of an example: the pixels of an image, the curves of a series, or the values of a table's columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.table_columns import TableColumn, table_columns
from isthmus.plots.grids import as_cells, limits, model_image_shape
from isthmus.text import printable

__all__ = ["Display", "Shown", "display_of"]

Array = NDArray[Any]
MAX_COLUMNS = 200  # of a table


class Shown(NamedTuple):
    """An example as the page draws it.

    Attributes:
        values: bytes of pixels, or float32 values: of curves, or fractions of the range of each column, NaN where it has none.
        texts: the value of each column as text; empty for images and curves.
    """

    values: bytes
    texts: list[str]


class Display(ABC):
    """How examples are drawn.

    Attributes:
        layout: what the page knows from the start, plain JSON values.
    """

    layout: dict[str, Any]

    @abstractmethod
    def __call__(self, example: Array, decoded: bool = False) -> Shown:
        """An example (*shape_) in the units of the data, or a decoded one, drawn."""


class ImageDisplay(Display):
    """An image. Channels other than three are laid side by side, as in figures."""

    def __init__(self, ae: Autoencoder, examples: Array) -> None:
        self.shape = model_image_shape(ae)
        self.low, self.high = limits(examples, self.shape)
        height, width, *channels = as_cells(examples[:1], self.shape).shape[1:]
        self.layout = {"kind": "image", "height": height, "width": width, "channels": channels[0] if channels else 1}

    def __call__(self, example: Array, decoded: bool = False) -> Shown:
        cell = as_cells(example[None], self.shape)[0].astype(np.float64)
        fractions = np.nan_to_num((cell - self.low) / (self.high - self.low))
        return Shown((fractions.clip(0, 1) * 255).round().astype(np.uint8).tobytes(), [])


class SeriesDisplay(Display):
    """A curve for each channel."""

    def __init__(self, ae: Autoencoder, examples: Array) -> None:
        steps, channels = (*ae.shape_, 1)[:2]
        curves = examples.reshape(len(examples), steps, channels).astype(np.float64)
        self.shape, axes = (steps, channels), (0, 1)
        low, high = np.fmin.reduce(curves, axes), np.fmax.reduce(curves, axes)
        ranges = [list(map(float, pair)) for pair in zip(low, high, strict=True)]
        self.layout = {"kind": "series", "steps": steps, "channels": channels, "ranges": ranges}

    def __call__(self, example: Array, decoded: bool = False) -> Shown:
        return Shown(np.asarray(example, np.float32).reshape(self.shape).tobytes(), [])


class TableDisplay(Display):
    """The value of each column, as text and as a fraction of the range in the examples. Categories and constants have no fraction."""

    def __init__(self, ae: Autoencoder, examples: Array) -> None:
        self.known = table_columns(ae)
        columns = self.known.columns if self.known is not None else _unnamed(int(np.prod(ae.shape_)))
        self.columns = columns[:MAX_COLUMNS]
        values = self._values(examples)
        low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
        has_range = np.array([not column.discrete for column in self.columns]) & (low < high)
        self.low, self.spread = low, np.where(has_range, high - low, np.nan)
        names = [printable(column.name, 80) for column in self.columns]
        self.layout = {"kind": "table", "names": names, "more": len(columns) - len(self.columns)}

    def __call__(self, example: Array, decoded: bool = False) -> Shown:
        values = self._values(example[None], decoded)[0]
        texts = [printable(column.text(value), 80) for column, value in zip(self.columns, values, strict=True)]
        return Shown(((values - self.low) / self.spread).astype(np.float32).tobytes(), texts)

    def _values(self, examples: Array, decoded: bool = False) -> Array:
        """The values of the columns that are shown (n, columns); decoded ones as `Autoencoder.decode` gives them."""
        values = examples.reshape(len(examples), -1).astype(np.float64)
        if self.known is not None:
            values = self.known.values(values) if decoded else self.known.observed(values)
        return values[:, : len(self.columns)]


def _unnamed(count: int) -> tuple[TableColumn, ...]:
    """Columns of numbers without names."""
    return tuple(TableColumn(f"feature {place}", "number", place) for place in range(count))


def display_of(ae: Autoencoder, examples: Array) -> Display:
    """How the examples (n, *shape_) of an autoencoder are drawn."""
    if ae.kind_ == "images":
        return ImageDisplay(ae, examples)
    return TableDisplay(ae, examples) if ae.kind_ == "table" or len(ae.shape_) > 2 else SeriesDisplay(ae, examples)
