"""Event files for TensorBoard: losses and pictures of a training run. Needs the extra ``tensorboard``."""

from __future__ import annotations

import os
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import NotPossibleError
from isthmus.estimators.argument_check import check_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.plots.grids import as_cells, first_examples, limits, model_image_shape
from isthmus.training.state import Report

__all__ = ["EventWriter", "installed"]

Array = NDArray[Any]
EXAMPLES = 16  # as many examples are pictured at most
MAPS = 64  # and as many maps of a code
SMALLEST = 4  # pixels on the screen for one number of a flat code


def installed() -> bool:
    """Whether the extra is there."""
    return find_spec("tensorboard") is not None


class EventWriter:
    """Writes event files into a folder, which is made if it is not there; close it, or use it in ``with``.

    Args:
        since: of a resumed training: what earlier files say of this step and those after it counts no more.

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
        """Writes what is still held back, and ends the file."""
        self._writer.close()

    def scalars(self, report: Report) -> None:
        """A report's figures at its step: loss/train, loss/validation, loss/nll, loss/penalty (nats per example), optimizer/lr, stats/*."""
        figures = {
            "loss/train": report.loss,
            "loss/validation": report.val_loss,
            "loss/nll": report.nll,
            "loss/penalty": report.penalty,
            "optimizer/lr": report.lr,
        }
        for tag, value in (figures | {f"stats/{name}": value for name, value in report.stats.items()}).items():
            if value is not None:
                self._writer.add_scalar(tag, value, report.step)

    def pictures(self, ae: Autoencoder, X: Any, step: int) -> None:
        """The first 16 examples of X (n, *shape) over their reconstructions, and their codes, as images at a step.

        Examples that are no pictures are a row of pixels each. A flat code is a row of pixels; a code of maps is a row of
        its first 64 maps. Codes are drawn from the least number (black) to the largest (white). The model is left in the mode,
        training or not, in which it is found.

        Raises:
            DataError: X does not fit the autoencoder.
        """
        check_autoencoder(ae, "EventWriter.pictures")
        examples = first_examples(X, EXAMPLES)
        training = ae.model_.training
        ae.model_.eval()
        try:
            back, codes = ae.reconstruct(examples), ae.encode(examples)
        finally:
            ae.model_.train(training)
        shape = model_image_shape(ae)
        if examples.ndim > 4:
            shape = (examples[0].size,)
        low, high = limits(examples, shape)
        cells = np.stack([gray(as_cells(part, shape), low, high) for part in (examples, back)])
        self._image("examples over reconstructions", sheet(cells if cells.ndim > 3 else cells[:, None]), step)
        self._image("codes", code_image(codes), step)

    def _image(self, tag: str, image: NDArray[np.uint8], step: int) -> None:
        layout = "HWC" if image.ndim == 3 else "HW"
        self._writer.add_image(tag, image, step, dataformats=layout)


def gray(values: Array, low: Any, high: Any) -> NDArray[np.uint8]:
    """Numbers from low to high as bytes; what lies beyond is black or white."""
    share = (np.asarray(values, np.float64) - low) / (high - low)
    return np.asarray(np.rint(255 * share.clip(0, 1)), np.uint8)


def code_image(codes: Array) -> NDArray[np.uint8]:
    """Codes (n, d) as n rows of pixels, (n, w, d) as n pictures, one under the other, (n, h, w, d) as n rows of maps.

    Codes of more axes are taken as flat.
    """
    codes = codes.reshape(len(codes), -1) if codes.ndim > 4 else codes
    low, high = float(codes.min()), float(codes.max())
    values = gray(codes, low, high if high > low else low + 1)
    if codes.ndim == 2:
        return values.repeat(SMALLEST, axis=0).repeat(SMALLEST, axis=1)
    if codes.ndim == 3:
        return sheet(values.transpose(0, 2, 1)[:, None])
    return sheet(np.moveaxis(values[..., :MAPS], -1, 1))


def sheet(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (rows, columns, h, w) or (rows, columns, h, w, 3) as one, with a grey line a pixel wide between them."""
    rows, columns, h, w = cells.shape[:4]
    around = [(0, 0), (0, 0), (0, 1), (0, 1)] + [(0, 0)] * (cells.ndim - 4)
    apart = np.pad(cells, around, constant_values=128)
    whole = np.moveaxis(apart, 2, 1).reshape(rows * (h + 1), columns * (w + 1), *cells.shape[4:])
    return whole[:-1, :-1]
