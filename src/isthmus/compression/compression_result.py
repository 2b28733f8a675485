"""The result of compression: sizes of the file, the model and other codecs, and the error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from isthmus.results import Result, Table, plain

__all__ = ["Compressed"]


def _times(size: float, compressed: float) -> str:
    """A size relative to that of the compressed file."""
    return f"{size / compressed:,.3g} times as much"


@dataclass(frozen=True, repr=False)
class Compressed(Result):
    """Sizes and errors of compressed examples.

    Attributes:
        n_examples, n_features: number of examples, and of features (pixels of an image) of each.
        bytes: size of the file, without the model.
        raw_bytes: size of the examples as an array.
        model_bytes: size of the model file, which decompression needs too.
        step: distance by which one step of a code value moves a reconstruction, in model units; None for codebook indices.
        mse: mean of (x - decompressed)², in squared units of the examples.
        mse_exact: the same without quantization of the codes.
        mse_scaled: mse in model units, where columns count equally. None where all features have one scale.
        increase: relative increase of the mean squared error by quantization, in model units.
        data_range: range that `psnr` refers to, as in `isthmus.evaluation.Evaluation`.
        psnr: 10 log10(data_range² / mse), in dB. None where all values are equal.
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
        """Bits of the file per example, without the model."""
        return 8 * self.bytes / self.n_examples

    @property
    def bits_per_dim(self) -> float:
        """Bits of the file per feature of an example; for gray images, bits per pixel."""
        return self.bits_per_example / self.n_features

    def break_even_examples(self, other: float) -> int | None:
        """The number of examples from which model and file together are smaller than with another codec.

        Args:
            other: bytes that the other codec needs for these examples.

        Returns:
            The number of examples; None if the other codec is always smaller.
        """
        saved = (other - self.bytes) / self.n_examples
        return math.ceil(self.model_bytes / saved) if saved > 0 else None

    def rows(self, others: Mapping[str, int] | None = None) -> list[tuple[str, str, str]]:
        """Name, value and unit of each figure, for display, with the sizes of other codecs.

        Args:
            others: bytes for the same examples, by the name of the codec.

        Returns:
            The rows.
        """
        others = others or {}
        raw = self.break_even_examples(self.raw_bytes)
        rows = [
            ("File", f"{self.bytes:,}", f"bytes, for {self.n_examples:,} examples of {self.n_features:,} features"),
            ("Bits per example", f"{self.bits_per_example:,.4g}", "of the whole file"),
            ("Bits per dimension", f"{self.bits_per_dim:.4g}", "of the whole file"),
            ("Raw data", f"{self.raw_bytes:,}", f"bytes; {_times(self.raw_bytes, self.bytes)}"),
            *(
                (f"As {name}", f"{size:,}", f"bytes, lossless; {_times(size, self.bytes)}")
                for name, size in others.items()
            ),
            ("Model", f"{self.model_bytes:,}", "bytes, not included above; required for decompression"),
            (
                "Model and file",
                f"{self.model_bytes + self.bytes:,}",
                f"bytes; raw data: {_times(self.raw_bytes, self.model_bytes + self.bytes)}",
            ),
            ("Smaller than raw data, with model", "never" if raw is None else f"{raw:,}", "examples or more"),
            *self._break_even_of_best(others),
            ("Mean squared error", f"{self.mse:.4g}", "squared units of the data"),
            (
                "MSE without quantization",
                f"{self.mse_exact:.4g}",
                "squared units of the data, of the autoencoder alone",
            ),
            ("Increase by quantization", f"{self.increase:.2%}", "of the error, in model units"),
        ]
        if self.psnr is not None:
            rows.append(("PSNR", f"{self.psnr:.4g}", f"dB, data range {self.data_range:.4g}; higher is better"))
        if self.step is not None:
            rows.append(("Step", f"{self.step:.4g}", "distance that it moves a reconstruction, in model units"))
        return rows

    def _break_even_of_best(self, others: Mapping[str, int]) -> list[tuple[str, str, str]]:
        """From how many examples on it is smaller than the best of the others; empty without others."""
        if not others:
            return []
        best = min(others, key=lambda name: others[name])
        count = self.break_even_examples(others[best])
        return [(f"Smaller than {best}, with model", "never" if count is None else f"{count:,}", "examples or more")]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values; None for a value that is not finite."""
        derived = {"bits_per_example": self.bits_per_example, "bits_per_dim": self.bits_per_dim}
        values: dict[str, Any] = plain(asdict(self) | derived | {"ratio": self.raw_bytes / self.bytes})
        return values

    def table(self) -> Table:
        """Header, and name, value and unit of each figure."""
        return ["figure", "value", "unit"], self.rows()

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [self.to_dict()]
