"""Rate control: the size of steps, given directly or found for a number of bits or an error; and the error of quantization."""

from __future__ import annotations

import json
import math
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.compression import file_format
from isthmus.compression.quantizers import (
    CodebookQuantizer,
    Quantizer,
    UniformQuantizer,
    channel_steps,
    largest_step,
    sensitivities,
    step_range,
)
from isthmus.data.memmap import random_subset
from isthmus.data.validation import blocks
from isthmus.errors import RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.format_upgrades import format_4_names
from isthmus.estimators.named_records import describe_value
from isthmus.io.safetensors import checksum

__all__ = ["EncodedFile", "RateControl", "codebook_of", "decode_as", "model_id"]

Array = NDArray[Any]
_DEFAULT_INCREASE = 0.05  # of the error
_SEARCH_EXAMPLES = 1024  # on which steps are compared, before the result is verified on all examples


class EncodedFile(NamedTuple):
    """A compressed file.

    Attributes:
        content: its bytes.
        quantizer: the quantizer of the codes.
        step: the step, in model units; None for codebook indices.
    """

    content: bytes
    quantizer: Quantizer
    step: float | None


class SquaredErrors(NamedTuple):
    """Sums of squared errors over some examples.

    Attributes:
        raw: in squared units of the examples.
        scaled: in squared model units.
    """

    raw: float
    scaled: float

    def increase_over(self, unquantized: SquaredErrors) -> float:
        """The relative increase over the error of unquantized codes, in model units."""
        if unquantized.scaled:
            return self.scaled / unquantized.scaled - 1
        return math.inf if self.scaled else 0.0


class RateControl:
    """Encodes the codes of some examples with a given step, number of bits or error.

    Args:
        ae: a fitted autoencoder.
        values: examples (n, *shape_).
        codes: their codes (n, *code_shape_).
    """

    def __init__(self, ae: Autoencoder, values: Array, codes: Array) -> None:
        self.ae, self.values, self.codes = ae, values, codes

    @cached_property
    def sensitivity(self) -> NDArray[np.float64]:
        """How far reconstructions move per unit of each channel, in model units."""
        return sensitivities(self.ae, self.codes)

    @cached_property
    def max_abs(self) -> NDArray[np.float64]:
        """The largest absolute value of each channel."""
        values: NDArray[np.float64] = np.abs(self.codes.reshape(-1, self.codes.shape[-1])).max(0).astype(np.float64)
        return values

    @cached_property
    def unquantized(self) -> SquaredErrors:
        """The errors without quantization."""
        return self.errors(None)

    @property
    def uneven(self) -> bool:
        """Whether features have different scales, so that features of large values dominate errors in the data's units."""
        scale = self.ae.model_.scale
        return bool((scale != scale.flatten()[0]).any())

    @cached_property
    def model_bytes(self) -> int:
        """The size of the model file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            self.ae.save(path)
            return path.stat().st_size

    def encode(self, step: float | None = None, bits: float | None = None, error: float | None = None) -> EncodedFile:
        """The file for a step, a number of bits per example, or a relative increase of the error."""
        if self.ae.bottleneck_.discrete:
            quantizer: Quantizer = CodebookQuantizer(codebook_of(self.ae), self.ae.code_shape_)
            return EncodedFile(self.content(quantizer), quantizer, None)
        if step is None:
            low, high = step_range(self.sensitivity, self.max_abs)
            step = (
                self._step_for_error(error or _DEFAULT_INCREASE, low, high)
                if bits is None
                else self._step_for_bits(bits, low, high)
            )
        quantizer = self.quantizer(step)
        return EncodedFile(self.content(quantizer), quantizer, step)

    def quantizer(self, step: float) -> UniformQuantizer:
        """The quantizer with the steps of all channels."""
        return UniformQuantizer(
            channel_steps(step, self.sensitivity, self.max_abs), self.ae.code_shape_, self.codes.dtype
        )

    def content(self, quantizer: Quantizer) -> bytes:
        """The bytes of the file."""
        steps = quantizer.steps if isinstance(quantizer, UniformQuantizer) else None
        dtype = self.values.dtype.str[1:]
        return file_format.pack(
            file_format.FileContents(model_id(self.ae), dtype, quantizer.quantize(self.codes), steps)
        )

    def errors(self, quantizer: Quantizer | None) -> SquaredErrors:
        """The errors of all examples with quantized codes, or with unquantized ones for None."""
        scale = self.ae.model_.scale.cpu().numpy().astype(np.float64)
        raw = scaled = 0.0
        for begin, block in blocks(self.values):
            codes = self.codes[begin : begin + len(block)]
            codes = codes if quantizer is None else quantizer.dequantize(quantizer.quantize(codes))
            error = decode_as(self.ae, codes, block.dtype) - block.astype(np.float64)
            raw += float(np.square(error).sum())
            scaled += float(np.square(error / scale).sum())
        return SquaredErrors(raw, scaled)

    def _step_for_bits(self, bits: float, low: float, high: float) -> float:
        """The smallest step whose file has at most this number of bits per example."""

        def bits_per_example(step: float) -> float:
            return 8 * len(self.content(self.quantizer(step))) / len(self.values)

        inverse = largest_step(lambda finer: bits_per_example(1 / finer) <= bits, 1 / high, 1 / low)
        if inverse is None:
            raise RecordError(
                f"invalid bits={bits:g}: with the largest step each of these examples needs {bits_per_example(high):,.1f}"
            )
        return 1 / inverse

    def _step_for_error(self, increase: float, low: float, high: float) -> float:
        """The largest step with at most this increase of the error: bisected on some examples, then verified on all."""
        rows = random_subset(len(self.values), _SEARCH_EXAMPLES)
        part = RateControl(self.ae, self.values[rows], self.codes[rows]) if len(rows) < len(self.values) else self

        def increase_of(examples: RateControl, step: float) -> float:
            return examples.errors(self.quantizer(step)).increase_over(examples.unquantized)

        step = largest_step(lambda tried: increase_of(part, tried) <= increase, low, high) or 0
        while step >= low and increase_of(self, step) > increase:
            step *= 0.98
        if step < low:
            raise RecordError(f"invalid error={increase:g}: no step is that small; give step= or bits=")
        return step


def codebook_of(ae: Autoencoder) -> Array:
    """The codebook of a VectorQuantized bottleneck, (entries, size)."""
    entries: Array = ae.model_.code_memory["codebook"].detach().cpu().numpy()
    return entries


def decode_as(ae: Autoencoder, codes: Array, dtype: np.dtype[Any]) -> Array:
    """Decodes codes to the dtype of the examples; for integers, rounded and clipped to its range."""
    decoded = ae._decode(codes)
    if dtype.kind == "f":
        return decoded.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)
    high = high if int(high) == limits.max else np.nextafter(high, 0)  # float(2^63 - 1) is 2^63, which overflows
    return np.rint(decoded.astype(np.float64)).clip(low, high).astype(dtype)


def model_id(ae: Autoencoder) -> bytes:
    """The 16 bytes that identify a model: the beginning of a SHA-256 of its networks, weights and scaling.

    Records have the names of format 4, with which the first compressed files were written.
    """
    components = ("architecture", "bottleneck", "likelihood")
    records = {name: format_4_names(describe_value(getattr(ae, f"{name}_"))) for name in components}
    texts = {name: json.dumps(record, sort_keys=True) for name, record in records.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in ae.model_.state_dict().items()}
    return bytes.fromhex(checksum(texts, tensors))[:16]
