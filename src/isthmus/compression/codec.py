"""Examples -> file -> examples, and the figures of it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.compression import file_format
from isthmus.compression.quantizers import Entries, Quantizer, Steps, integers_shape
from isthmus.compression.rate_control import Work, Written, codebook, name_of, restored
from isthmus.data import as_examples
from isthmus.errors import RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation import data_range_of
from isthmus.evaluation.metrics import psnr
from isthmus.io.atomic import check_writable, replace_file
from isthmus.io.memory_limit import check_memory
from isthmus.results import plain
from isthmus.text import quoted

__all__ = ["Compressed", "compress", "decompress", "decompressing", "with_step"]

Array = NDArray[Any]
_DECODED = 1 << 22  # numbers decoded together


def _times(size: float, own: float) -> str:
    return f"{size / own:,.3g} times as much"


@dataclass(frozen=True)
class Compressed:
    """What came of compressing some examples.

    Attributes:
        n_examples, n_features: how many examples, of how many numbers each.
        bytes: the length of the file, all included but the model.
        raw_bytes: of the examples as an array.
        model_bytes: the length of the model file, which decompressing needs too.
        step: how far one step of any number of a code moves a reconstruction, in model units; None for entries of a codebook.
        mse: mean of (x - what comes back)², in squared units of the examples.
        mse_exact: the same with codes that are not rounded.
        mse_scaled: mse in model units, where columns count equally. None where all have one scale.
        increase: by which share the mean squared error has grown, in model units, where columns count equally.
        data_range: the range that `psnr` refers to, as in `isthmus.evaluation.Evaluation`.
        psnr: 10 log10(data_range² / mse), in decibels; None where all numbers are equal.
    """

    n_examples: int
    n_features: int
    bytes: int
    raw_bytes: int
    model_bytes: int
    step: float | None
    mse: float
    mse_exact: float
    mse_scaled: float | None
    increase: float
    data_range: float
    psnr: float | None

    @property
    def bits_per_example(self) -> float:
        """Of the file, all included but the model."""
        return 8 * self.bytes / self.n_examples

    @property
    def bits_per_dim(self) -> float:
        """Of the file, for each number of the examples (for gray pictures: each pixel)."""
        return self.bits_per_example / self.n_features

    def break_even_examples(self, other: float) -> int | None:
        """From how many examples on model and file together are smaller than ``other`` bytes for these; None if never.

        Args:
            other: bytes that another codec needs for these examples.
        """
        saved = (other - self.bytes) / self.n_examples
        return math.ceil(self.model_bytes / saved) if saved > 0 else None

    def rows(self, others: Mapping[str, int]) -> list[tuple[str, str, str]]:
        """Name, value and unit of each figure, for people; beside the bytes that others take for the same examples.

        Args:
            others: bytes by the name of the other codec.
        """
        best = min(others, key=lambda name: others[name])
        after, raw = self.break_even_examples(others[best]), self.break_even_examples(self.raw_bytes)
        rows = [
            ("File", f"{self.bytes:,}", f"bytes, for {self.n_examples:,} examples of {self.n_features:,} features"),
            ("Bits per example", f"{self.bits_per_example:,.4g}", "all of the file counted"),
            ("Bits per dimension", f"{self.bits_per_dim:.4g}", "likewise"),
            ("Raw bytes", f"{self.raw_bytes:,}", _times(self.raw_bytes, self.bytes)),
            *(
                (f"As {name}", f"{size:,}", f"bytes, without loss; {_times(size, self.bytes)}")
                for name, size in others.items()
            ),
            ("Model", f"{self.model_bytes:,}", "bytes, not counted above; who decompresses has to have it"),
            (
                "Model and file",
                f"{self.model_bytes + self.bytes:,}",
                f"bytes; raw is {_times(self.raw_bytes, self.model_bytes + self.bytes)}",
            ),
            ("Smaller than raw, model counted", "never" if raw is None else f"{raw:,}", "examples and more"),
            (f"Smaller than {best}, model counted", "never" if after is None else f"{after:,}", "examples and more"),
            ("Mean squared error", f"{self.mse:.4g}", "squared units of the data"),
            ("Without rounding", f"{self.mse_exact:.4g}", "what the autoencoder itself loses"),
            ("Growth by rounding", f"{self.increase:.2%}", "of the error, in model units"),
        ]
        if self.psnr is not None:
            rows.append(("PSNR", f"{self.psnr:.4g}", f"dB, data range {self.data_range:.4g}; higher is better"))
        if self.step is not None:
            rows.append(("Step", f"{self.step:.4g}", "how far it moves a reconstruction, in model units"))
        return rows

    def to_dict(self) -> dict[str, int | float | None]:
        """The figures as plain JSON values; what is not finite is None."""
        more = {"bits_per_example": self.bits_per_example, "bits_per_dim": self.bits_per_dim}
        known = asdict(self) | more | {"ratio": self.raw_bytes / self.bytes}
        found: dict[str, int | float | None] = plain(known)
        return found


@takes_autoencoder
@check_units_once()
def compress(
    ae: Autoencoder,
    X: Any,
    path: str | os.PathLike[str],
    *,
    step: float | None = None,
    bits: float | None = None,
    error: float | None = None,
) -> Compressed:
    """Writes the codes of examples X (n, *shape), in steps and entropy-coded, to a file, in one piece.

    What comes back is the decoder's answer to the rounded codes: this loses what the autoencoder loses, and a little more. One of
    three says how large steps are; the steps of all units move reconstructions equally far. Entries of a codebook have none.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_) in the units of the training data.
        path: the file; `decompress` reads it.
        step: how far a reconstruction moves by one step, in model units, root of summed squares.
        bits: for each example, of the whole file; the largest error that these allow is taken.
        error: the share by which the mean squared error may grow (in model units), such as 0.05, which it is if nothing is said.

    Returns:
        Sizes in bytes and errors in squared units of X.

    Raises:
        DataError: the examples are not of the shape that was fitted, or not finite.
        RecordError: more than one is given, or what is asked for cannot be.
        ModuleNotFoundError: there is no entropy coder.

    Examples:
        >>> result = compress(ae, X, "digits.isthmus")
        >>> result.n_examples, result.bytes < result.raw_bytes
        (200, True)
    """
    path = Path(path)
    check_writable(path)
    check_is_fitted(ae)
    asked = {"step": step, "bits": bits, "error": error}
    _check(ae, {name: value for name, value in asked.items() if value is not None})
    values = ae._examples(as_examples(X, shape=ae.shape_))  # what is missing could not come back
    work = Work(ae, values, ae.encode(values))
    written = work.written(step, bits, error)
    replace_file(path, written.content)
    return _figures(work, written)


def _check(ae: Autoencoder, given: dict[str, float]) -> None:
    if len(given) > 1:
        raise RecordError(f"{' and '.join(given)} exclude each other: give one of them")
    for name, value in given.items():
        if ae.bottleneck_.discrete:
            raise RecordError(
                f"{name} cannot be chosen for {type(ae.bottleneck_).__name__}: its codes are entries of a codebook; leave it out"
            )
        if not (isinstance(value, int | float | np.number) and 0 < value < math.inf):
            raise RecordError(f"invalid {name}={quoted(value)}: expected a number greater than 0")


def with_step(ae: Autoencoder, X: Any) -> Callable[[float | None], Compressed]:
    """What compressing examples X gives for a step, without a file: encoded once, for as many steps as are asked for."""
    values = ae._examples(as_examples(X, shape=ae.shape_))
    work = Work(ae, values, ae.encode(values))
    return lambda step: _figures(work, work.written(step))


def _figures(work: Work, written: Written) -> Compressed:
    values, data_range = work.values, data_range_of(work.ae, work.values)
    found, exact = work.errors(written.quantizer), work.exact
    error = found.raw / values.size
    return Compressed(
        n_examples=len(values),
        n_features=values[0].size,
        bytes=len(written.content),
        raw_bytes=values.nbytes,
        model_bytes=work.model_bytes,
        step=written.step,
        mse=error,
        mse_exact=exact.raw / values.size,
        mse_scaled=found.scaled / values.size if work.uneven else None,
        increase=found.over(exact),
        data_range=data_range,
        psnr=None if data_range == 0 else psnr(error, data_range),
    )


@takes_autoencoder
def decompressing(
    ae: Autoencoder, path: str | os.PathLike[str]
) -> tuple[tuple[int, ...], np.dtype[Any], Iterator[Array]]:
    """The shape and type of the examples of a compressed file, and the examples block by block: memory holds the file and one block.

    Args:
        ae: the autoencoder that compressed the examples.
        path: the file that `compress` wrote.

    Returns:
        The shape (n, *shape_), the type, and an iterator of blocks (m, *shape_).

    Raises:
        DataError: the file is damaged, or another model made it.
        MemoryLimitError: the examples are far more than in proportion to the file; `isthmus.load(..., max_memory=)` allows them.
    """
    check_is_fitted(ae)
    numbers = math.prod(ae.shape_)
    contents = file_format.read(path, name_of(ae), *integers_shape(ae), numbers, ae._max_memory)
    dtype, n = np.dtype(contents.dtype), contents.shape[0]
    entries = ae.bottleneck_.discrete
    if entries != (contents.steps is None):
        raise file_format.damaged(path, "its codes are of another kind than the model's")
    if contents.steps is None:
        quantizer: Quantizer = Entries(codebook(ae), ae.code_shape_)
    else:
        own = np.dtype(str(ae.model_.dtype).removeprefix("torch."))
        quantizer = Steps(contents.steps, ae.code_shape_, own)
    rows = max(1, _DECODED // numbers)
    parts = (block[begin : begin + rows] for block in contents.blocks() for begin in range(0, len(block), rows))
    return (n, *ae.shape_), dtype, (restored(ae, quantizer.codes(part), dtype) for part in parts)


@takes_autoencoder
def decompress(ae: Autoencoder, path: str | os.PathLike[str]) -> Array:
    """The examples (n, *shape_) of a compressed file, in the order and the type in which they were compressed.

    They are, bit for bit, what ``ae.decode`` says to the rounded codes on this machine; whole numbers are rounded, and kept in the range
    of their type. Another kind of processor may decode a last digit differently; the codes are the same everywhere.

    Args:
        ae: the autoencoder that compressed the examples.
        path: the file that `compress` wrote.

    Returns:
        Examples (n, *shape_) in the units of the training data.

    Raises:
        DataError: the file is damaged, or another model made it.
        MemoryLimitError: see `decompressing`, which takes a file block by block.

    Examples:
        >>> _ = compress(ae, X, "digits.isthmus")
        >>> decompress(ae, "digits.isthmus").shape
        (200, 8, 8)
    """
    shape, dtype, parts = decompressing(ae, path)
    given, needed = Path(path).stat().st_size, math.prod(shape) * dtype.itemsize
    check_memory(needed, f"unpacking {shape[0]:,} examples", given=given, max_memory=ae._max_memory)
    back = np.empty(shape, dtype)
    begin = 0
    for part in parts:
        back[begin : begin + len(part)] = part
        begin += len(part)
    return back
