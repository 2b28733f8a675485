"""Compresses examples to a file and decompresses them, with the sizes and errors."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.compression import file_format
from isthmus.compression.compression_result import Compressed
from isthmus.compression.quantizers import CodebookQuantizer, Quantizer, UniformQuantizer, integers_shape
from isthmus.compression.rate_control import EncodedFile, RateControl, codebook_of, decode_as, model_id
from isthmus.data import as_examples
from isthmus.errors import RecordError
from isthmus.estimators.argument_check import refuse_conditional, refuse_table, takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation import data_range_of
from isthmus.evaluation.metrics import psnr
from isthmus.io.atomic import check_writable, replace_file
from isthmus.io.memory_limit import check_memory
from isthmus.text import quoted

__all__ = ["compress", "compression_by_step", "decompress", "decompressing"]

Array = NDArray[Any]
_BLOCK_VALUES = 1 << 22  # values of examples that are decoded at a time


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
    """Compresses examples X (n, *shape_): writes their quantized and entropy-coded codes to a file, atomically.

    Decompression decodes the quantized codes, so the error is that of the autoencoder plus that of quantization. One of ``step``,
    ``bits`` and ``error`` sets the quantization; the steps of all channels move reconstructions equally far. Codebook indices are
    stored without quantization.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_) in the units of the training data.
        path: the file; `decompress` reads it.
        step: distance by which one step moves a reconstruction, in model units (Euclidean norm).
        bits: bits of the whole file per example, at most.
        error: relative increase of the mean squared error, in model units, at most. The default is 0.05.

    Returns:
        Sizes in bytes and errors in squared units of X.

    Raises:
        NotPossibleError: the autoencoder is conditional, or one of a table with other columns than numbers.
        DataError: the examples do not have the shape of the training examples, or are not finite.
        RecordError: more than one of step, bits and error is given, or the value is invalid or cannot be reached.
        ModuleNotFoundError: the entropy coder is not installed.

    Examples:
        >>> result = compress(ae, X, "digits.isthmus")
        >>> result.n_examples, result.bytes < result.raw_bytes
        (200, True)
    """
    path = Path(path)
    check_writable(path)
    check_is_fitted(ae)
    refuse_conditional(ae, "a compressed file")
    refuse_table(ae, "a compressed file")
    targets = {"step": step, "bits": bits, "error": error}
    _check(ae, {name: value for name, value in targets.items() if value is not None})
    values = ae._examples(as_examples(X, shape=ae.shape_))  # missing features are an error: the file cannot mark them
    control = RateControl(ae, values, ae.encode(values))
    encoded = control.encode(step, bits, error)
    replace_file(path, encoded.content)
    return _figures(control, encoded)


def _check(ae: Autoencoder, given: dict[str, float]) -> None:
    """Raises unless at most one of step, bits and error is given, with a valid value."""
    if len(given) > 1:
        raise RecordError(f"{' and '.join(f'{name}=' for name in given)} exclude each other: give one of them")
    for name, value in given.items():
        if ae.bottleneck_.discrete:
            raise RecordError(
                f"{name}= is invalid for {type(ae.bottleneck_).__name__}: its codes are entries of a codebook; leave it out"
            )
        if not (isinstance(value, int | float | np.number) and 0 < value < math.inf):
            raise RecordError(f"invalid {name}={quoted(value)}: expected a number greater than 0")


def compression_by_step(ae: Autoencoder, X: Any) -> Callable[[float | None], Compressed]:
    """A function from a step to the sizes and errors of examples X, without a file. The examples are encoded only once."""
    values = ae._examples(as_examples(X, shape=ae.shape_))
    control = RateControl(ae, values, ae.encode(values))
    return lambda step: _figures(control, control.encode(step))


def _figures(control: RateControl, encoded: EncodedFile) -> Compressed:
    """Sizes and errors of an encoded file."""
    values, data_range = control.values, data_range_of(control.ae, control.values)
    errors, unquantized = control.errors(encoded.quantizer), control.unquantized
    mse = errors.raw / values.size
    return Compressed(
        n_examples=len(values),
        n_features=values[0].size,
        bytes=len(encoded.content),
        raw_bytes=values.nbytes,
        model_bytes=control.model_bytes,
        step=encoded.step,
        mse=mse,
        mse_exact=unquantized.raw / values.size,
        mse_scaled=errors.scaled / values.size if control.uneven else None,
        increase=errors.increase_over(unquantized),
        data_range=data_range,
        psnr=None if data_range == 0 else psnr(mse, data_range),
    )


@takes_autoencoder
def decompressing(
    ae: Autoencoder, path: str | os.PathLike[str]
) -> tuple[tuple[int, ...], np.dtype[Any], Iterator[Array]]:
    """Decompresses a file block by block. Memory holds the file and one block.

    Args:
        ae: the autoencoder that compressed the examples.
        path: the file that `compress` wrote.

    Returns:
        The shape (n, *shape_) and dtype of the examples, and an iterator of blocks (m, *shape_).

    Raises:
        DataError: the file is damaged, or another model made it.
        MemoryLimitError: the examples are much larger than the file; `isthmus.load(..., max_memory=)` raises the limit.
    """
    check_is_fitted(ae)
    refuse_conditional(ae, "a compressed file")
    refuse_table(ae, "a compressed file")
    n_features = math.prod(ae.shape_)
    file = file_format.read(path, model_id(ae), *integers_shape(ae), n_features, ae._max_memory)
    dtype, n = np.dtype(file.dtype), file.shape[0]
    if ae.bottleneck_.discrete != (file.steps is None):
        raise file_format.damaged_file_error(path, "its codes are of another kind than those of the model")
    if file.steps is None:
        quantizer: Quantizer = CodebookQuantizer(codebook_of(ae), ae.code_shape_)
    else:
        code_dtype = np.dtype(str(ae.model_.dtype).removeprefix("torch."))
        quantizer = UniformQuantizer(file.steps, ae.code_shape_, code_dtype)
    rows = max(1, _BLOCK_VALUES // n_features)
    parts = (block[begin : begin + rows] for block in file.blocks() for begin in range(0, len(block), rows))
    return (n, *ae.shape_), dtype, (decode_as(ae, quantizer.dequantize(part), dtype) for part in parts)


@takes_autoencoder
def decompress(ae: Autoencoder, path: str | os.PathLike[str]) -> Array:
    """Decompresses a file to examples with their original order and dtype.

    The result is bit-identical to ``ae.decode`` of the quantized codes on this machine; integers are rounded and clipped to the range
    of their dtype. Another kind of processor may decode a last digit differently; the codes are the same everywhere.

    Args:
        ae: the autoencoder that compressed the examples.
        path: the file that `compress` wrote.

    Returns:
        Examples (n, *shape_) in the units of the training data.

    Raises:
        DataError: the file is damaged, or another model made it.
        MemoryLimitError: the examples are much larger than the file; see `decompressing`, which needs memory for one block.

    Examples:
        >>> _ = compress(ae, X, "digits.isthmus")
        >>> decompress(ae, "digits.isthmus").shape
        (200, 8, 8)
    """
    shape, dtype, parts = decompressing(ae, path)
    given, needed = Path(path).stat().st_size, math.prod(shape) * dtype.itemsize
    check_memory(needed, f"unpacking {shape[0]:,} examples", given=given, max_memory=ae._max_memory)
    examples = np.empty(shape, dtype)
    begin = 0
    for part in parts:
        examples[begin : begin + len(part)] = part
        begin += len(part)
    return examples
