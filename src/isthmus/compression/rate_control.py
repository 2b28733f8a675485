"""How large the steps are: as given, or found for a number of bits or for an error; and what rounding by them loses."""

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
    Entries,
    Quantizer,
    Steps,
    finest_and_coarsest,
    largest,
    sensitivities,
    steps_of,
)
from isthmus.data.memmap import random_subset
from isthmus.data.validation import blocks
from isthmus.errors import RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.format_upgrades import format_4_names
from isthmus.estimators.named_records import describe_value
from isthmus.io.safetensors import checksum

__all__ = ["Work", "Written", "codebook", "name_of", "restored"]

Array = NDArray[Any]
_ERROR = 0.05  # the share by which the error may grow unless something else is asked for
_TRIED = 1024  # examples on which steps are tried before all are looked at


class Written(NamedTuple):
    """The bytes of a file, how codes are rounded in it, and the step that this is."""

    content: bytes
    quantizer: Quantizer
    step: float | None


class Errors(NamedTuple):
    """Sums of squares over some examples: in their units, and in model units."""

    raw: float
    scaled: float

    def over(self, exact: Errors) -> float:
        """By which share this is more than what exact codes leave, in model units."""
        if exact.scaled:
            return self.scaled / exact.scaled - 1
        return math.inf if self.scaled else 0.0


class Work:
    """Examples and their codes, to be written in one way or another."""

    def __init__(self, ae: Autoencoder, values: Array, codes: Array) -> None:
        self.ae, self.values, self.codes = ae, values, codes
        self.entries = ae.bottleneck_.discrete

    @cached_property
    def moves(self) -> NDArray[np.float64]:
        """How far reconstructions move per unit of each channel."""
        return sensitivities(self.ae, self.codes)

    @cached_property
    def sizes(self) -> NDArray[np.float64]:
        """The largest number of each channel, without its sign."""
        found: NDArray[np.float64] = np.abs(self.codes.reshape(-1, self.codes.shape[-1])).max(0).astype(np.float64)
        return found

    @cached_property
    def exact(self) -> Errors:
        """What codes leave that are not rounded."""
        return self.errors(None)

    @property
    def uneven(self) -> bool:
        """Whether scales differ, so that errors in the examples' units are those of the largest columns."""
        scale = self.ae.model_.scale
        return bool((scale != scale.flatten()[0]).any())

    @cached_property
    def model_bytes(self) -> int:
        """The length of the model file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            self.ae.save(path)
            return path.stat().st_size

    def written(self, step: float | None = None, bits: float | None = None, error: float | None = None) -> Written:
        """The file for a step, for a number of bits, or for an error."""
        if self.entries:
            quantizer: Quantizer = Entries(codebook(self.ae), self.ae.code_shape_)
            return Written(self.content(quantizer), quantizer, None)
        if step is None:
            low, high = finest_and_coarsest(self.moves, self.sizes)
            step = self._by_error(error or _ERROR, low, high) if bits is None else self._by_bits(bits, low, high)
        quantizer = self.quantizer(step)
        return Written(self.content(quantizer), quantizer, step)

    def quantizer(self, step: float) -> Steps:
        """The steps of all channels."""
        return Steps(steps_of(step, self.moves, self.sizes), self.ae.code_shape_, self.codes.dtype)

    def content(self, quantizer: Quantizer) -> bytes:
        """The bytes of the file."""
        steps = quantizer.steps if isinstance(quantizer, Steps) else None
        dtype = self.values.dtype.str[1:]
        return file_format.packed(file_format.Contents(name_of(self.ae), dtype, quantizer.integers(self.codes), steps))

    def errors(self, quantizer: Quantizer | None) -> Errors:
        """What all examples lose by their codes rounded, or as they are."""
        scale = self.ae.model_.scale.cpu().numpy().astype(np.float64)
        raw = scaled = 0.0
        for begin, block in blocks(self.values):
            codes = self.codes[begin : begin + len(block)]
            codes = codes if quantizer is None else quantizer.codes(quantizer.integers(codes))
            apart = restored(self.ae, codes, block.dtype) - block.astype(np.float64)
            raw += float(np.square(apart).sum())
            scaled += float(np.square(apart / scale).sum())
        return Errors(raw, scaled)

    def _by_bits(self, bits: float, low: float, high: float) -> float:
        def size(step: float) -> float:
            return 8 * len(self.content(self.quantizer(step))) / len(self.values)

        inverse = largest(lambda finer: size(1 / finer) <= bits, 1 / high, 1 / low)
        if inverse is None:
            raise RecordError(
                f"invalid bits={bits:g}: with the largest steps each of these examples takes {size(high):,.1f}"
            )
        return 1 / inverse

    def _by_error(self, share: float, low: float, high: float) -> float:
        """The largest step by which the error grows by no more than a share: bisected on some examples, then made sure of on all."""
        positions = random_subset(len(self.values), _TRIED)
        part = (
            Work(self.ae, self.values[positions], self.codes[positions]) if len(positions) < len(self.values) else self
        )

        def grown(work: Work, step: float) -> float:
            return work.errors(self.quantizer(step)).over(work.exact)

        step = largest(lambda tried: grown(part, tried) <= share, low, high) or 0
        while step >= low and grown(self, step) > share:
            step *= 0.98
        if step < low:
            raise RecordError(f"invalid error={share:g}: no step is that fine; give step= or bits=")
        return step


def codebook(ae: Autoencoder) -> Array:
    """The entries of a VectorQuantized bottleneck, (entries, size)."""
    entries: Array = ae.model_.code_memory["codebook"].detach().cpu().numpy()
    return entries


def restored(ae: Autoencoder, codes: Array, dtype: np.dtype[Any]) -> Array:
    """What codes decode to, in the type of the examples."""
    made = ae.decode(codes)
    if dtype.kind == "f":
        return made.astype(dtype, copy=False)
    kind = np.iinfo(dtype)
    low, high = float(kind.min), float(kind.max)
    high = high if int(high) == kind.max else np.nextafter(high, 0)  # 2^63 is no longer within
    return np.rint(made.astype(np.float64)).clip(low, high).astype(dtype)


def name_of(ae: Autoencoder) -> bytes:
    """16 bytes that name a model: of the SHA-256 of its decoder and its encoder, its weights and its units.

    Records have the names of format 4, with which the first compressed files were written.
    """
    slots = ("architecture", "bottleneck", "likelihood")
    records = {slot: format_4_names(describe_value(getattr(ae, f"{slot}_"))) for slot in slots}
    texts = {slot: json.dumps(record, sort_keys=True) for slot, record in records.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in ae.model_.state_dict().items()}
    return bytes.fromhex(checksum(texts, tensors))[:16]
