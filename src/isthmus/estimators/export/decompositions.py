"""Operations that PyTorch writes for ONNX in a form that overflows, loses all digits or cannot be run, in other forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["DECOMPOSITIONS"]


def _logaddexp(x: Tensor, y: Tensor) -> Tensor:
    """PyTorch writes log(exp(x) + exp(y)), which is infinite from 89 on in single precision, and below -104."""
    most = torch.maximum(x, y)
    return torch.where(most.isinf(), most, most + (1 + (-(x - y).abs()).exp()).log())


def _expm1(x: Tensor) -> Tensor:
    """PyTorch writes exp(x) - 1, which is 0 for small x."""
    return torch.tanh(x / 2) * (x.exp() + 1)


def _elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    """onnxruntime has it in single precision only."""
    if x.dtype != torch.float64 or (alpha, scale, input_scale) != (1, 1, 1):
        return NotImplemented  # the operation stays
    return torch.where(x > 0, x, _expm1(x.clamp(max=0)))


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.logaddexp.default: _logaddexp,
    torch.ops.aten.expm1.default: _expm1,
    torch.ops.aten.elu.default: _elu,
}
