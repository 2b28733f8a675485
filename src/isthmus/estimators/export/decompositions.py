"""Operations that PyTorch writes for ONNX in a form that overflows or loses all digits, in forms that do not."""

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


DECOMPOSITIONS: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.logaddexp.default: _logaddexp,
    torch.ops.aten.expm1.default: _expm1,
}
