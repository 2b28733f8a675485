"""The map between raw and model units, as tensors of a model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Num
from numpy.typing import NDArray
from torch import Generator, Tensor

from isthmus.corruptions import Corrupted, Corruption
from isthmus.scaling import Affine, Curves, Extent, Scaling
from isthmus.trainable import Trainable

__all__ = ["InUnits"]


class InUnits(Trainable):
    """A module that converts examples from raw to model units and back.

    Args:
        shape: the shape of one example in raw units, `raw_shape`; ``self.shape`` is that in model units.
        affine: the map from raw to model units; examples are scaled, and reconstructions returned, in its dtype.
        dtype: the dtype of all values in model units.
        fill: the initial replacement of missing values, (*shape), in model units; None if there must be no missing value.
        extent: the range of the training examples, in raw units and the dtype of ``affine``; None if it is unknown.
        scaling: the record that fitted ``affine``; it says which features become blocks.
        curves: the map from raw to model units where it is not affine; None: it is ``affine``.
    """

    shift: Tensor
    scale: Tensor
    log_scales: Tensor
    counted_log_scales: Tensor | None
    density_mask: Tensor | None
    fill: Tensor | None
    least: Tensor | None
    largest: Tensor | None
    curve_knots: Tensor | None
    curve_values: Tensor | None
    curve_shift: Tensor | None
    curve_gap: Tensor | None
    curve_tangents: Tensor | None

    def __init__(
        self,
        shape: tuple[int, ...],
        affine: Affine,
        dtype: torch.dtype,
        fill: NDArray[Any] | None,
        extent: Extent | None,
        scaling: Scaling,
        curves: Curves | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.raw_shape, self.scaling, self.dtype = scaling.shape(shape), shape, scaling, dtype
        # without a shift, as for bytes, scaling is one pass over the data, not three
        self.only_divides = affine.shift.dtype == np.float32 and not affine.shift.any()
        self.register_buffer("shift", torch.as_tensor(affine.shift))
        self.register_buffer("scale", torch.as_tensor(affine.scale))
        log_scales = np.log(affine.scale.astype(np.float64))
        self.log_scale_sum = float(log_scales.mean()) * math.prod(shape)  # the logarithm of the Jacobian of the scaling
        if scaling.classes:  # a category has the scale 1
            log_scales = np.broadcast_to(log_scales, shape).copy()
        self.register_buffer("log_scales", scaling.spread(torch.as_tensor(log_scales)).to(dtype), persistent=False)
        self.register_buffer("counted_log_scales", None, persistent=False)  # where only some values have a density
        self.register_buffer("density_mask", None, persistent=False)  # which ones
        self.register_buffer("fill", None if fill is None else torch.as_tensor(fill).to(dtype))
        self.register_buffer("least", None if extent is None else torch.as_tensor(extent.least))
        self.register_buffer("largest", None if extent is None else torch.as_tensor(extent.largest))
        for name in Curves._fields:
            self.register_buffer(f"curve_{name}", None if curves is None else torch.as_tensor(getattr(curves, name)))
        self.has_constants = extent is not None and bool(extent.constant.any())

    @property
    def device(self) -> torch.device:
        return self.shift.device

    @property
    def affine(self) -> Affine:
        """The map from raw to model units."""
        return Affine(self.shift.numpy(force=True), self.scale.numpy(force=True))

    @property
    def extent(self) -> Extent | None:
        """The range of the training examples in raw units, None if it is unknown."""
        if self.least is None or self.largest is None:
            return None
        return Extent(self.least.numpy(force=True), self.largest.numpy(force=True))

    @property
    def curves(self) -> Curves | None:
        """The map from raw to model units as tensors, None if it is affine."""
        if self.curve_knots is None:
            return None
        return Curves(self.curve_knots, self.curve_values, self.curve_shift, self.curve_gap, self.curve_tangents)

    def normalize(self, raw: Num[Tensor, "b *raw"]) -> Float[Tensor, "b *x"]:
        """Converts examples (b, *raw_shape) in raw units to (b, *shape) in model units."""
        if (curves := self.curves) is not None:
            return self.scaling.expand(curves.bend(raw).to(self.dtype))
        if self.only_divides and raw.dtype != torch.float64:
            return self.scaling.expand(torch.true_divide(raw, self.scale).to(self.dtype))
        return self.scaling.expand(((raw.to(self.shift.dtype) - self.shift) / self.scale).to(self.dtype))

    def denormalize(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *raw"]:
        """Converts examples (b, *shape) in model units to (b, *raw_shape) in raw units."""
        if (curves := self.curves) is not None:
            return curves.unbend(self.scaling.collapse(x)).to(self.shift.dtype)
        return self.scaling.collapse(x.to(self.shift.dtype)) * self.scale + self.shift

    def differences(self, made: Num[Tensor, "b *raw"], true: Num[Tensor, "b *raw"]) -> Tensor:
        """made - true of values in raw units, in model units (b, *raw_shape); for a category 0 where they are the same, else 1."""
        if (curves := self.curves) is not None:
            return self.scaling.differences(curves.bend(made), curves.bend(true))
        return self.scaling.differences(made, true).double() / self.scale.double()

    def corrupt(self, corruption: Corruption, x: Float[Tensor, "b *x"], generator: Generator) -> Corrupted:
        """Corrupts examples. The values of a category are missing, and count in the loss, together: as the first of them is."""
        corrupted = corruption.marked(x, generator)
        if not any(self.scaling.classes):
            return corrupted
        missing = corrupted.x.isnan()
        whole = self.scaling.whole(missing) | x.isnan()
        kept = torch.where(missing & ~whole, x, corrupted.x)
        counted = None if corrupted.counted is None else self.scaling.whole(corrupted.counted)
        return Corrupted(torch.where(whole, math.nan, kept), counted)

    def log_scales_of(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "*b_x"]:
        """What turns -log p of each value in model units into that in raw units: log(scale), or minus the logarithm of the slope.

        Values without a density have 0. The shape broadcasts to that of x.
        """
        if (curves := self.curves) is None:
            return self.log_scales if self.counted_log_scales is None else self.counted_log_scales
        scales = self.scaling.spread(-curves.log_slopes(self.scaling.collapse(x))).to(self.dtype)
        return scales if self.density_mask is None else scales * self.density_mask

    def log_jacobian(
        self, counted: Bool[Tensor, "b *x"] | None, x: Float[Tensor, "b *x"] | None = None
    ) -> float | Tensor:
        """The sum of `log_scales_of` over the values of each example that count; one number if it is the same for all, else (b,).

        Without x it is that of the affine map.
        """
        if x is not None and self.curve_knots is not None:
            scales = self.log_scales_of(x)
            return (scales if counted is None else torch.where(counted, scales, 0)).flatten(1).sum(1)
        if self.counted_log_scales is not None:
            if counted is None:
                return self.counted_log_scales.sum()
            return torch.where(counted, self.counted_log_scales, 0).flatten(1).sum(1)
        return self.log_scale_sum if counted is None else self.log_scale_sums(counted)

    def log_scale_sums(self, counted: Bool[Tensor, "b *x"]) -> Float[Tensor, "b"]:
        """The sum of log(scale) over the values of each example that count, (b,)."""
        return torch.where(counted, self.log_scales, 0).flatten(1).sum(1)
