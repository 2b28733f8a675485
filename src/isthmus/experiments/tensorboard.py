"""Event files for TensorBoard: losses and images of a training. Requires the extra ``tensorboard``."""

from __future__ import annotations

import os
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import NotPossibleError
from isthmus.estimators.argument_check import check_autoencoder, with_context
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.plots.grids import as_cells, first_examples, limits, model_image_shape
from isthmus.training.state import Report

__all__ = ["EventWriter", "installed"]

Array = NDArray[Any]
_MAX_EXAMPLES = 16  # in an image
_MAX_MAPS = 64  # of a code, in an image
_UNIT_PIXELS = 4  # height and width of one latent unit of a flat code


def installed() -> bool:
    """Whether TensorBoard is installed."""
    return find_spec("tensorboard") is not None


class EventWriter:
    """Writes event files into a folder and creates it if necessary. Close it, or use it in ``with``.

    Args:
        folder: the folder.
        since: for a resumed training, its first step. TensorBoard then ignores this step and later ones in earlier files.

    Raises:
        NotPossibleError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str], since: int | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise NotPossibleError("TensorBoard is not installed: pip install 'isthmus[tensorboard]'") from error
        self._writer = SummaryWriter(os.fspath(folder), purge_step=since)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Writes the remaining events and closes the file."""
        self._writer.close()

    def scalars(self, report: Report) -> None:
        """Writes a report: loss/train, loss/validation, loss/nll, loss/penalty (nats per example), optimizer/lr, stats/*."""
        values = {
            "loss/train": report.loss,
            "loss/validation": report.val_loss,
            "loss/nll": report.nll,
            "loss/penalty": report.penalty,
            "optimizer/lr": report.lr,
        }
        for tag, value in (values | {f"stats/{name}": value for name, value in report.stats.items()}).items():
            if value is not None:
                self._writer.add_scalar(tag, value, report.step)

    def images(self, ae: Autoencoder, X: Any, step: int, y: Any = None) -> None:
        """Writes two images: the first 16 examples with their reconstructions below, and their codes.

        Examples that are no images become one row of pixels each. A flat code becomes a row of pixels, a code of feature maps a row
        of its first 64 maps. The gray level of a code goes from its minimum (black) to its maximum (white). The training mode
        of the model does not change.

        Args:
            ae: a fitted autoencoder.
            X: examples (n, *shape).
            step: the training step.
            y: labels or covariates of X for a conditional autoencoder; others ignore it.

        Raises:
            DataError: X does not fit the autoencoder.
        """
        check_autoencoder(ae, "EventWriter.images")
        examples = first_examples(with_context(ae, X, y), _MAX_EXAMPLES)
        training = ae.model_.training
        ae.model_.eval()
        try:
            reconstructions, codes = ae.reconstruct(examples), ae.encode(examples)
        finally:
            ae.model_.train(training)
        shape = tuple(model_image_shape(ae) or ())  # windows as images
        if examples.ndim > 4:
            shape = (examples[0].size,)
        low, high = limits(examples, shape)
        cells = np.stack([_to_gray(as_cells(part, shape), low, high) for part in (examples, reconstructions)])
        self._image("examples over reconstructions", _tiled(cells if cells.ndim > 3 else cells[:, None]), step)
        self._image("codes", _code_image(codes), step)

    def _image(self, tag: str, image: NDArray[np.uint8], step: int) -> None:
        layout = "HWC" if image.ndim == 3 else "HW"
        self._writer.add_image(tag, image, step, dataformats=layout)


def _to_gray(values: Array, low: Any, high: Any) -> NDArray[np.uint8]:
    """Values from low to high as gray levels from 0 to 255; values outside are clipped."""
    fraction = (np.asarray(values, np.float64) - low) / (high - low)
    return np.asarray(np.rint(255 * fraction.clip(0, 1)), np.uint8)


def _code_image(codes: Array) -> NDArray[np.uint8]:
    """An image of codes: (n, d) as n rows of pixels, (n, w, d) as a column of n images, (n, h, w, d) as n rows of maps.

    Codes with more axes are flattened.
    """
    codes = codes.reshape(len(codes), -1) if codes.ndim > 4 else codes
    low, high = float(codes.min()), float(codes.max())
    levels = _to_gray(codes, low, high if high > low else low + 1)
    if codes.ndim == 2:
        return levels.repeat(_UNIT_PIXELS, axis=0).repeat(_UNIT_PIXELS, axis=1)
    if codes.ndim == 3:
        return _tiled(levels.transpose(0, 2, 1)[:, None])
    return _tiled(np.moveaxis(levels[..., :_MAX_MAPS], -1, 1))


def _tiled(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One image of cells (rows, columns, h, w) or (rows, columns, h, w, 3), separated by gray lines of one pixel."""
    rows, columns, h, w = cells.shape[:4]
    margins = [(0, 0), (0, 0), (0, 1), (0, 1)] + [(0, 0)] * (cells.ndim - 4)
    padded = np.pad(cells, margins, constant_values=128)
    image = np.moveaxis(padded, 2, 1).reshape(rows * (h + 1), columns * (w + 1), *cells.shape[4:])
    return image[:-1, :-1]
