"""The map between raw and model units in a model file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.errors import RecordError
from isthmus.estimators.model_file import Header, Tensors
from isthmus.scaling import Affine, Curves, Extent, Scaling

__all__ = ["read_affine", "read_curves", "read_extent", "read_fill"]


def read_affine(header: Header, tensors: Tensors) -> Affine:
    """Shift and scale; `RecordError` for those that do not fit."""
    for side in ("shift", "scale"):
        if not _broadcasts(tensors[side], header.shape):
            raise RecordError(f"{side} of shape {tuple(tensors[side].shape)} does not fit {header.shape}")
    if not (tensors["scale"] > 0).all():
        raise RecordError("scale must be greater than 0")
    return Affine(tensors["shift"].numpy(), tensors["scale"].numpy())


def read_curves(header: Header, tensors: Tensors, scaling: Scaling) -> Curves | None:
    """The curves, None for a scaling without; `RecordError` for tensors that are none."""
    if not scaling.curved:
        return None
    missing = next((name for name in Curves._fields if f"curve_{name}" not in tensors), None)
    if missing is not None:
        raise RecordError(f"{scaling!r} requires curve_{missing}")
    curves = Curves(*(tensors[f"curve_{name}"] for name in Curves._fields))
    d, k = math.prod(header.shape), curves.knots.shape[-1] if curves.knots.ndim == 2 else 0
    shapes = [tuple(side.shape) for side in curves]
    if k < 2 or shapes != [(d, k), (d, k), (d,), (d,), (d, 2)] or any(side.dtype != torch.float64 for side in curves):
        raise RecordError(f"curves of shapes {shapes} do not fit {header.shape}")
    if problem := curves.problem():
        raise RecordError(problem)
    extent = read_extent(header, tensors)
    if extent is not None:
        _check_logarithms(curves, np.broadcast_to(extent.least, header.shape).ravel())
    return Curves(*(side.numpy() for side in curves))


def _check_logarithms(curves: Curves, least: NDArray[Any]) -> None:
    """`RecordError` unless the training values of each logarithm are above the point where it continues as its tangent."""
    first, last = curves.tangents.exp().unbind(1)
    if bool(((last > first) & (torch.from_numpy(least.astype(np.float64)) + curves.shift <= 0)).any()):
        raise RecordError("the shift of a logarithm does not make the least value positive")


def read_extent(header: Header, tensors: Tensors) -> Extent | None:
    """The minima and maxima of the training examples, None if the file has none; `RecordError` for those that do not fit."""
    least, largest = tensors.get("least"), tensors.get("largest")
    if least is None or largest is None:
        return None
    if not _broadcasts(least, header.shape) or (least.shape, least.dtype) != (largest.shape, largest.dtype):
        raise RecordError(f"least of shape {tuple(least.shape)} does not fit {header.shape}")
    if not (least <= largest).all():
        raise RecordError("least is greater than largest")
    return Extent(least.numpy(), largest.numpy())


def read_fill(header: Header, tensors: Tensors, scaling: Scaling) -> NDArray[Any] | None:
    """The values that replace missing ones, None without missing="allow"; `RecordError` for a wrong shape."""
    fill = tensors.get("fill")
    if fill is None:
        return None
    if "missing" not in header.parameters:
        raise RecordError("it has a fill, but its parameters have no missing=")
    if fill.shape != scaling.shape(header.shape) or fill.dtype not in {torch.float32, torch.float64}:
        raise RecordError(f"fill of shape {tuple(fill.shape)} does not fit {header.shape}")
    return fill.numpy()


def _broadcasts(tensor: torch.Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a tensor has a float dtype and broadcasts to an example."""
    sides = tuple(tensor.shape)
    fits = len(sides) <= len(shape) and all(a in {1, b} for a, b in zip(sides[::-1], shape[::-1], strict=False))
    return fits and tensor.dtype in {torch.float32, torch.float64}
