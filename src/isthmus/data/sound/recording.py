"""One WAV file: its samples as fractions of full scale, and writing samples in the format of a file."""

from __future__ import annotations

import io
import struct
import warnings
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError
from isthmus.io.atomic import replace_file
from isthmus.io.files import open_regular, shown
from isthmus.text import printable

__all__ = ["Encoded", "Recording", "check_rate", "encoded", "read_recording", "write_recording"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
_BITS = {"uint8": 8, "int16": 16, "int32": 32, "float32": 32, "float64": 64}  # of a sample, by its dtype
_DAMAGED = (ValueError, struct.error, EOFError, ArithmeticError, LookupError, TypeError, UnboundLocalError, MemoryError)
_BLOCK = 1 << 20  # rows that are encoded together


@dataclass(frozen=True)
class Recording:
    """One WAV file, whose samples are read when they are needed.

    Attributes:
        path: of the file.
        rate: samples per second.
        length, channels: the number of samples of a channel, and of channels.
        dtype: of the samples; of 24 bits int32.
        bits: of a sample in the file.
    """

    path: Path
    rate: int
    length: int
    channels: int
    dtype: np.dtype[Any]
    bits: int

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.length / self.rate

    @property
    def format(self) -> str:
        """The format of the samples in words."""
        return f"{self.bits}-bit{' float' * (self.dtype.kind == 'f')}"

    def fractions(self) -> Floats:
        """The samples (length, channels) as fractions of full scale: from -1 to 1, and beyond only in files of floats.

        Raises:
            DataError: a sample is not finite, or the file has changed.
        """
        samples = _read(self.path).samples
        if samples.dtype != self.dtype or samples.shape != (self.length, self.channels):
            raise DataError(f"{shown(self.path)} has changed while it was read: try again")
        values = samples.astype(np.float32)
        if self.dtype.kind != "f":
            middle, full = _scale(self.dtype, 8 * self.dtype.itemsize)
            return np.asarray((values - np.float32(middle)) / np.float32(full))
        if not np.isfinite(values).all():
            row, channel = np.argwhere(~np.isfinite(values))[0].tolist()
            raise DataError(
                f"sample {row} of {shown(self.path)}, channel {channel}, is {samples[row, channel]:g}: replace it by a number"
            )
        return values


class Encoded(NamedTuple):
    """Samples (length, channels) in the dtype of a file, and how many were clipped to its range."""

    samples: Array
    n_clipped: int


class _Samples(NamedTuple):
    """The rate and the samples (length, channels) of a file, memory-mapped unless they have 24 bits."""

    rate: int
    samples: Array
    mapped: bool


def read_recording(path: Path) -> Recording:
    """A WAV file with integers of 8, 16, 24 or 32 bits, or floats of 32 or 64 bits.

    Raises:
        DataError: the file is damaged, compressed or empty.
    """
    found = _read(path)
    bits = _BITS.get(found.samples.dtype.name)
    if bits is None or found.rate < 1:
        raise DataError(
            f"{shown(path)} has {found.samples.dtype} samples, {found.rate} per second, which cannot be read: save it with 16 bits"
        )
    length, channels = found.samples.shape
    return Recording(path, found.rate, length, channels, found.samples.dtype, bits if found.mapped else 24)


def _read(path: Path) -> _Samples:
    """The samples of a file by SciPy."""
    from scipy.io import wavfile

    open_regular(path).close()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", wavfile.WavFileWarning)
            warnings.filterwarnings(
                "ignore", "Chunk|Incomplete", wavfile.WavFileWarning
            )  # of what is no sound, such as a title
            try:
                (rate, samples), mapped = wavfile.read(path, mmap=True), True
            except ValueError as error:
                if "mmap=True" not in str(error):
                    raise
                (rate, samples), mapped = wavfile.read(path), False
        length = len(samples)
    except (wavfile.WavFileWarning, *_DAMAGED) as error:
        why = printable(str(error).rstrip("."), 100)
        raise DataError(
            f"{shown(path)} cannot be read as WAV ({why}): save it again without compression, or remove it"
        ) from None
    if not length:
        raise DataError(f"{shown(path)} has no samples: remove it")
    return _Samples(int(rate), samples.reshape(length, -1), mapped)


def check_rate(recording: Recording, rate: int | None) -> None:
    """`DataError` if a recording has another rate than the training recordings; None: their rate is unknown."""
    if rate is not None and recording.rate != rate:
        raise DataError(
            f"{shown(recording.path)} has {recording.rate:,} samples per second, and the training recordings have {rate:,}: resample it"
        )


def encoded(values: Floats, like: Recording) -> Encoded:
    """Fractions of full scale (length, channels) as samples in the format of a recording; integers are rounded and clipped."""
    dtype = like.dtype.newbyteorder("=")
    if dtype.kind == "f":
        return Encoded(values.astype(dtype), 0)
    middle, full = _scale(dtype, like.bits)
    unit, samples, clipped = 2 ** (8 * dtype.itemsize - like.bits), np.empty(values.shape, dtype), 0
    for begin in range(0, len(values), _BLOCK):
        whole = np.rint(values[begin : begin + _BLOCK].astype(np.float64) * full + middle)
        within = whole.clip(middle - full, middle + full - 1)
        clipped += int((whole != within).sum())
        samples[begin : begin + _BLOCK] = within * unit  # 24 bits are the upper ones of 32
    return Encoded(samples, clipped)


def write_recording(path: Path, samples: Array, like: Recording) -> None:
    """Writes samples (length, channels), encoded like a recording, as a WAV file with its rate, atomically."""
    from scipy.io import wavfile

    content = io.BytesIO()
    if like.bits == 24:  # which SciPy does not write
        with wave.open(content, "wb") as file:
            file.setparams((samples.shape[1], 3, like.rate, len(samples), "NONE", ""))
            file.writeframes(samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes())
    else:
        wavfile.write(content, like.rate, samples)
    replace_file(path, content.getbuffer())


def _scale(dtype: np.dtype[Any], bits: int) -> tuple[int, int]:
    """The integer that stands for silence, and the distance of the least one from it."""
    full: int = 2 ** (bits - 1)
    return (full if dtype.kind == "u" else 0), full
