"""Loads the kernels that were built for this processor, and calls them with tensors.

They are there where a compiler built them with the package (`isthmus.native.build`) and this processor computes with them as PyTorch
does; `load` gives None elsewhere. The environment variable ISTHMUS_NATIVE=0 leaves them out. Their threads are those of PyTorch, whose
OpenMP library they use.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["Kernels", "load", "name"]

_VERSION = 1  # of kernels.c
_SIZE, _ADDRESS, _INT = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int
_ARGUMENTS = {
    "isthmus_forward": [_SIZE, _INT, _ADDRESS, _ADDRESS, _ADDRESS, _INT, _ADDRESS, _ADDRESS, _INT],
    "isthmus_backward": [_SIZE, _INT, *[_ADDRESS] * 2, _INT, *[_ADDRESS] * 6, _INT],
    "isthmus_cross_entropy": [_SIZE, _SIZE, *[_ADDRESS] * 4, _INT],
    "isthmus_scale_rows": [_SIZE, _SIZE, *[_ADDRESS] * 3, _INT],
}
_VARIANTS = {"AVX512": ("avx512", "avx2"), "AVX2": ("avx2",)}  # by PyTorch's name of the instructions, best first


class Kernels:
    """The functions of a library. Tensors must be contiguous, in float32, and on the CPU.

    Args:
        path: of the library.

    Attributes:
        name: of the kind of processor it is for, such as "avx2".

    Raises:
        OSError: it cannot be loaded, is of another version, or computes something else than PyTorch.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem.removeprefix("kernels_")
        self.library = ctypes.CDLL(str(path))
        if not hasattr(self.library, "isthmus_kernels_version") or self.library.isthmus_kernels_version() != _VERSION:
            raise OSError(f"{path} is of another version of isthmus")
        for function, arguments in _ARGUMENTS.items():
            getattr(self.library, function).argtypes = arguments
        if not _is_right(self):
            raise OSError(f"{path} does not compute what PyTorch does")

    def forward(
        self, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], rectified: bool
    ) -> tuple[Tensor, ...]:
        """The outputs (b, n) of dense layers one after the other, of x (b, k). All but the last are rectified if so wanted.

        Args:
            x: (b, k).
            weights: (n, k) of each layer.
            biases: (n,) of each layer.
            rectified: whether max(0, output) is the input of the next layer.
        """
        rows = x.shape[0]
        outputs = [x.new_empty(rows, weight.shape[0]) for weight in weights]
        sizes = (_SIZE * (len(weights) + 1))(x.shape[1], *[weight.shape[0] for weight in weights])
        failed = self.library.isthmus_forward(
            rows,
            len(weights),
            sizes,
            _addresses(weights),
            _addresses(biases),
            rectified,
            x.data_ptr(),
            _addresses(outputs),
            torch.get_num_threads(),
        )
        _check_memory(failed)
        return tuple(outputs)

    def backward(
        self,
        slope: Tensor,
        x: Tensor,
        weights: Sequence[Tensor],
        outputs: Sequence[Tensor],
        rectified: bool,
        needs_x: bool,
    ) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        """The slopes of a loss by x, by each weight and by each bias.

        Args:
            slope: (b, n), the slope by the last output.
            x: (b, k), the input of `forward`.
            weights: (n, k) of each layer.
            outputs: (b, n) of each layer but the last.
            rectified: as in `forward`.
            needs_x: whether the slope by x is computed; None otherwise.
        """
        rows, count = x.shape[0], len(weights)
        sizes = (_SIZE * (count + 1))(x.shape[1], *[weight.shape[0] for weight in weights])
        slopes = [*(torch.empty_like(output) for output in outputs), slope]
        of_weights = [torch.empty_like(weight) for weight in weights]
        of_biases = [weight.new_empty(weight.shape[0]) for weight in weights]
        of_x = torch.empty_like(x) if needs_x else None
        failed = self.library.isthmus_backward(
            rows,
            count,
            sizes,
            _addresses(weights),
            rectified,
            x.data_ptr(),
            _addresses(outputs),
            _addresses(slopes),
            _addresses(of_weights),
            _addresses(of_biases),
            None if of_x is None else of_x.data_ptr(),
            torch.get_num_threads(),
        )
        _check_memory(failed)
        return of_x, of_weights, of_biases

    def cross_entropy(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The cross-entropy of logits y and targets x, both (b, ...), summed over each example: (b,), and its slope by y (b, ...).

        Args:
            y: the logits.
            x: the targets.
        """
        nll, slope, rows = y.new_empty(y.shape[0]), torch.empty_like(y), y.shape[0]
        self.library.isthmus_cross_entropy(
            rows,
            y.numel() // max(rows, 1),
            y.data_ptr(),
            x.data_ptr(),
            slope.data_ptr(),
            nll.data_ptr(),
            torch.get_num_threads(),
        )
        return nll, slope

    def scale_rows(self, slope: Tensor, factors: Tensor) -> Tensor:
        """Each row of slope (b, ...) times its factor (b,).

        Args:
            slope: the rows.
            factors: one for each row.
        """
        to, rows = torch.empty_like(slope), slope.shape[0]
        self.library.isthmus_scale_rows(
            rows,
            slope.numel() // max(rows, 1),
            slope.data_ptr(),
            factors.data_ptr(),
            to.data_ptr(),
            torch.get_num_threads(),
        )
        return to


def _is_right(kernels: Kernels) -> bool:
    """Whether kernels compute what PyTorch does, for layers of some sizes."""
    generator = torch.Generator("cpu").manual_seed(0)
    with torch.no_grad(), torch.device("cpu"), torch.autocast("cpu", enabled=False):
        x, first, last, a, b = (
            torch.empty(shape, dtype=torch.float32).uniform_(-1, 1, generator=generator)
            for shape in ((17, 37), (41, 37), (37, 41), (41,), (37,))
        )
        hidden, y = kernels.forward(x, [first, last], [a, b], True)
        right = torch.relu(torch.addmm(a, x, first.T))
        nll, slope = kernels.cross_entropy(y, x)
        of_x, of_weights, of_biases = kernels.backward(slope, x, [first, last], [hidden], True, True)
        of_hidden = (slope @ last) * (right > 0)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(y, x, reduction="none").sum(1)
        found = (hidden, y, nll, slope, of_x, *of_weights, *of_biases)
        expected = (
            *(right, torch.addmm(b, right, last.T), losses, torch.sigmoid(y) - x, of_hidden @ first),
            *(of_hidden.T @ x, slope.T @ right, of_hidden.sum(0), slope.sum(0)),
        )
        return all(torch.allclose(f, e, 1e-4, 1e-4) for f, e in zip(found, expected, strict=True) if f is not None)


def _addresses(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (_ADDRESS * len(tensors))(*[tensor.data_ptr() for tensor in tensors])


def _check_memory(failed: int) -> None:
    if failed:
        raise MemoryError("there is no memory for a matrix product: use a smaller batch or smaller layers")


@cache
def load() -> Kernels | None:
    """The kernels of this processor, or None."""
    if os.environ.get("ISTHMUS_NATIVE") == "0":
        return None
    machine = platform.machine().lower()
    names = ("neon",) if machine in {"arm64", "aarch64"} else _VARIANTS.get(torch.backends.cpu.get_cpu_capability(), ())
    for name in names:
        try:
            return Kernels(Path(__file__).parent / f"kernels_{name}.native")
        except OSError:  # not built
            continue
    return None


def name() -> str:
    """The name of the kernels of this processor, "" without."""
    kernels = load()
    return "" if kernels is None else kernels.name
