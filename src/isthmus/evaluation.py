"""What an autoencoder learned, in figures: measured on held-out examples, each with its unit, and PCA of equal width beside it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.corruptions import Clean
from isthmus.data import as_examples
from isthmus.data.examples import blocks
from isthmus.data.mapped import Rows
from isthmus.errors import DataError
from isthmus.estimator import Autoencoder
from isthmus.inference import in_batches
from isthmus.likelihoods import Bernoulli
from isthmus.metrics import cross_entropies, entropies, principal_components, psnr
from isthmus.scaling import Bytes, Unscaled, range_of

__all__ = ["PCA_ROWS", "Evaluation", "evaluate"]

Array = NDArray[Any]
Fitted = Literal["training examples", "the same examples"]

PCA_ROWS = 100_000  # PCA is fitted on no more examples than these, drawn at random
_PCA_NUMBERS = 2**26  # nor on more numbers than these, 256 MiB
_BLOCK = 2**22  # numbers measured together
_CACHED = 2**18  # numbers compared together
_TOGETHER = 128  # examples, of which blocks hold whole numbers


@dataclass(frozen=True)
class Evaluation:
    """Figures of one autoencoder on some examples.

    Attributes:
        n_examples, n_numbers: how many examples, of how many numbers each.
        code_size: numbers in one code.
        n_parameters: learned numbers of the model.
        seconds: how long training took.
        encode_per_second: examples encoded per second, measured here.
        mse: mean of (x - reconstruction)², in squared units of the examples.
        span: the range that `psnr` refers to: 255 for bytes, 1 for numbers that are in [0, 1] unscaled, else largest - least.
        psnr: 10 log10(span² / mse), in decibels; infinite where nothing is lost, None where all numbers are equal.
        nll, penalty: the two parts of the loss with the point code, in nats per example. The point code is not drawn at random:
            for a variational autoencoder this is not -ELBO, whose codes are.
        nats: nll + penalty, in nats per example.
        nats_per_number: nats / n_numbers.
        bce_per_pixel: binary cross-entropy in nats per number, of pixels in [0, 1]; what lies beyond, in examples that the scaling
            has not seen, counts as the nearer end. None unless the likelihood is Bernoulli.
        bce_floor: the least it can be for these examples, their own entropy. None likewise.
        pca_mse, pca_psnr: what `code_size` principal components of the scaled examples leave, as mse and psnr. None where
            `pca_missing` says why.
        mse_scaled, pca_mse_scaled: the same errors in model units, where columns count equally. None where all have one scale.
        pca_fitted_on: what PCA was fitted on; on the same examples it has an advantage.
        pca_missing: why there is no PCA of equal width, or "".
        mse_spoilt: mean squared error of the spoilt examples themselves. None for an autoencoder trained on clean ones.
        mse_restored: mean squared error of what is made of them. None likewise.
    """

    n_examples: int
    n_numbers: int
    code_size: int
    n_parameters: int
    seconds: float
    encode_per_second: float
    mse: float
    span: float
    psnr: float | None
    nats: float
    nll: float
    penalty: float
    nats_per_number: float
    bce_per_pixel: float | None
    bce_floor: float | None
    pca_mse: float | None
    pca_psnr: float | None
    mse_scaled: float | None
    pca_mse_scaled: float | None
    pca_fitted_on: Fitted
    pca_missing: str
    mse_spoilt: float | None
    mse_restored: float | None

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value and unit of each figure that there is, for people."""
        fitted = f"{self.code_size:,} components, fitted on {self.pca_fitted_on}"
        peak = f"dB against a span of {_shown(self.span)}; higher is better"
        parts = (self.nll, self.penalty) if self.penalty else (None, None)
        table: list[tuple[str, float | None, str]] = [
            ("Mean squared error", self.mse, "squared units of the data"),
            ("PCA's mean squared error", self.pca_mse, self.pca_missing or fitted),
            ("Error of scaled numbers", self.mse_scaled, "squared, after scaling: columns count equally"),
            ("PCA's error of scaled numbers", self.pca_mse_scaled, fitted),
            ("PSNR", self.psnr, peak),
            ("PCA's PSNR", self.pca_psnr, peak),
            ("Cross-entropy per pixel", self.bce_per_pixel, "nats, pixels in [0, 1]"),
            ("Least possible cross-entropy", self.bce_floor, "nats, the entropy of the pixels themselves"),
            ("Spoilt examples' squared error", self.mse_spoilt, "squared units of the data"),
            ("Restored examples' squared error", self.mse_restored, "squared units of the data"),
            ("Loss", self.nats, "nats per example, with the point code"),
            ("Reconstruction part", parts[0], "nats per example"),
            ("Penalty part", parts[1], "nats per example"),
            ("Loss per number", self.nats_per_number, f"nats; an example has {self.n_numbers:,} numbers"),
            ("Parameters", self.n_parameters, "learned numbers"),
            ("Training", self.seconds, "seconds"),
            ("Encoding", self.encode_per_second, "examples per second"),
            ("Measured on", self.n_examples, "examples"),
        ]
        kept = [row for row in table if row[1] is not None or row[0] == "PCA's mean squared error"]
        return [(name, "none" if value is None else _shown(value), unit) for name, value, unit in kept]

    def as_dict(self) -> dict[str, int | float | str | None]:
        """The figures as plain JSON values; what is not finite is None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


class _Subspace(NamedTuple):
    """The principal components of some examples in model units: mean and scale (d,) in raw units, k orthonormal axes (k, d)."""

    mean: torch.Tensor
    scale: torch.Tensor
    axes: torch.Tensor

    def errors(self, raw: torch.Tensor) -> torch.Tensor:
        """What the components leave of examples (n, *shape), in model units: (n, d)."""
        centered = (raw.reshape(len(raw), -1) - self.mean) / self.scale
        return centered - (centered @ self.axes.T) @ self.axes


def evaluate(ae: Autoencoder, X: Any, train: Any = None) -> Evaluation:
    """Measures an autoencoder on examples X (n, *shape), best ones held out from training.

    Memory does not grow with n: a memory map stays where it is. PCA of equal width is fitted on at most `PCA_ROWS` examples
    (fewer where 256 MiB hold fewer), drawn at random and always the same ones.

    Args:
        ae: a fitted autoencoder.
        X: examples in the units of the training data.
        train: examples that PCA is fitted on, (m, *shape); without them X itself, and the result says so.

    Raises:
        DataError: the examples are not of the shape that was fitted, or not finite.
    """
    values = _checked(ae, X, "X")
    fitted = values if train is None else _checked(ae, train, "train")
    size, numbers = math.prod(ae.code_shape_), math.prod(ae.shape_)
    scale = np.broadcast_to(ae.model_.scale.cpu().numpy().astype(np.float64), ae.shape_)
    subspace, missing = _principal(fitted, scale.ravel(), size)
    mean = _means(ae, values, subspace)
    uneven = bool((scale != scale.flat[0]).any())
    nll, penalty = mean["nll"] * numbers, mean["penalty"] * numbers
    span = _span(ae, values)
    return Evaluation(
        n_examples=len(values),
        n_numbers=numbers,
        code_size=size,
        n_parameters=ae.n_parameters_,
        seconds=ae.seconds_,
        encode_per_second=_encoding_rate(ae, values),
        mse=mean["mse"],
        span=span,
        psnr=_psnr(mean["mse"], span),
        nats=nll + penalty,
        nll=nll,
        penalty=penalty,
        nats_per_number=(nll + penalty) / numbers,
        bce_per_pixel=mean.get("bce"),
        bce_floor=mean.get("floor"),
        pca_mse=mean.get("pca"),
        pca_psnr=_psnr(mean.get("pca"), span),
        mse_scaled=mean["scaled"] if uneven else None,
        pca_mse_scaled=mean.get("pca scaled") if uneven else None,
        pca_fitted_on="the same examples" if train is None else "training examples",
        pca_missing=missing,
        mse_spoilt=mean.get("spoilt"),
        mse_restored=mean.get("restored"),
    )


def _psnr(error: float | None, span: float) -> float | None:
    return None if error is None or span == 0 else psnr(error, span)


def _checked(ae: Autoencoder, X: Any, name: str) -> Array:
    values = as_examples(X).values
    if values.shape[1:] != ae.shape_:
        raise DataError(
            f"the examples of {name} are {values.shape[1:]}, but this autoencoder was fitted on {ae.shape_}; "
            f"reshape {name} to (n, *shape_)"
        )
    return values


def _means(ae: Autoencoder, values: Array, subspace: _Subspace | None) -> dict[str, float]:
    """What `_measured` gives, for each number of the examples on average."""
    sums: dict[str, float] = {}
    for begin, block in blocks(values, _TOGETHER):
        for name, value in _measured(ae, block, begin, subspace).items():
            sums[name] = sums.get(name, 0.0) + value
    return {name: value / values.size for name, value in sums.items()}


def _measured(ae: Autoencoder, block: Array, begin: int, subspace: _Subspace | None) -> dict[str, float]:
    """Sums over the numbers of some examples: of squared errors, cross-entropies and nats."""
    model, back = ae.model_, ae.reconstruct(block)

    def cost(raw: torch.Tensor) -> torch.Tensor:
        x = model.inwards(raw)
        losses = model.score(x, x)
        return torch.stack([losses.nll, losses.penalty], dim=1)

    nll, penalty = in_batches(cost, block, model).sum(0, dtype=np.float64).tolist()
    sums = {"nll": nll, "penalty": penalty} | _compared(ae, block, back, subspace)
    if not isinstance(ae.corruption_, Clean):
        spoilt = ae.corrupt(block, random_state=begin)
        sums |= {"spoilt": _squares(block, spoilt), "restored": _squares(block, ae.reconstruct(spoilt))}
    return sums


def _compared(ae: Autoencoder, block: Array, back: Array, subspace: _Subspace | None) -> dict[str, float]:
    """Sums over the numbers of examples and their reconstructions, in double precision, a cache full at a time."""
    shift, scale = (side.cpu().double() for side in (ae.model_.shift, ae.model_.scale))
    sums: dict[str, float] = {}

    def add(name: str, values: torch.Tensor) -> None:
        sums[name] = sums.get(name, 0.0) + float(values.sum())

    for raw, made in zip(_cached(block), _cached(back), strict=True):
        apart = made - raw
        add("mse", apart.square())
        add("scaled", (apart / scale).square())
        if isinstance(ae.likelihood_, Bernoulli):
            x = ((raw - shift) / scale).clamp_(0, 1)
            add("bce", cross_entropies(x, (made - shift) / scale))
            add("floor", entropies(x))
        if subspace is not None:
            errors = subspace.errors(raw)
            add("pca scaled", errors.square())
            add("pca", (errors * subspace.scale).square())
    return sums


def _cached(values: Array) -> Iterator[torch.Tensor]:
    """Examples in double precision, so many at a time that passes over them stay in the processor's cache."""
    rows = max(1, _CACHED // values[0].size)
    for begin in range(0, len(values), rows):
        yield torch.from_numpy(np.require(values[begin : begin + rows], np.float64, ["C", "W"]))


def _squares(x: Array, y: Array) -> float:
    return sum(float((b - a).square().sum()) for a, b in zip(_cached(x), _cached(y), strict=True))


def _principal(values: Array, scale: NDArray[np.float64], size: int) -> tuple[_Subspace | None, str]:
    """The first ``size`` principal components of examples in model units, as the autoencoder sees them; or none, and why."""
    numbers = values[0].size
    n = min(len(values), PCA_ROWS, _PCA_NUMBERS // numbers)
    if size >= numbers:
        return None, f"a code of {size:,} numbers for examples of {numbers:,}: PCA would lose nothing"
    if size >= n:
        return None, f"PCA with {size:,} components needs more than {size:,} examples; it has {n:,}"
    chosen = np.arange(n) if n == len(values) else np.sort(np.random.default_rng(0).permutation(len(values))[:n])
    runs = [slice(begin, begin + max(1, _BLOCK // numbers)) for begin in range(0, n, max(1, _BLOCK // numbers))]
    mean = np.zeros(numbers)
    rows = Rows(values)
    for run in runs:
        mean += rows(chosen[run]).reshape(-1, numbers).sum(0, dtype=np.float64) / n
    centered = np.empty((n, numbers), np.float32)
    for run in runs:  # centered before it is rounded: columns far from zero keep their digits
        np.subtract(rows(chosen[run]).reshape(-1, numbers), mean, out=centered[run], casting="same_kind")
    centered /= scale.astype(np.float32)
    if not centered.any():
        return None, "the examples are all the same: there are no principal components"
    axes = principal_components(centered, size).components_.astype(np.float64)
    return _Subspace(*(torch.tensor(part) for part in (mean, scale, axes))), ""


def _span(ae: Autoencoder, values: Array) -> float:
    """The range that a peak signal-to-noise ratio refers to."""
    low, high, _ = range_of(values)
    if isinstance(ae.scaling_, Unscaled) and low >= 0 and high <= 1:
        return 1.0
    return 255.0 if isinstance(ae.scaling_, Bytes) or values.dtype == np.uint8 else high - low


def _encoding_rate(ae: Autoencoder, values: Array) -> float:
    """Examples encoded per second, over a fifth of a second or longer."""
    _, block = next(blocks(values, _TOGETHER))
    ae.encode(block[:_TOGETHER])  # the first call is slower than those that follow
    began, elapsed, count = time.perf_counter(), 0.0, 0
    while elapsed < 0.2:
        ae.encode(block)
        count, elapsed = count + len(block), time.perf_counter() - began
    return count / elapsed


def _shown(value: float) -> str:
    """Four digits; whole numbers in full."""
    if not math.isfinite(value):
        return "infinite" if value > 0 else str(value)
    whole = isinstance(value, int) or 1000 <= abs(value) < 1e9
    return f"{value:,.0f}" if whole else f"{value:.4g}"
