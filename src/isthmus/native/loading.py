"""Loads the kernels that were built for this processor.

They are there where a compiler built them with the package (`isthmus.native.build`) and this processor computes with them as PyTorch
does; `load` gives None elsewhere. The environment variable ISTHMUS_NATIVE=0 leaves them out, and ISTHMUS_NATIVE=avx2 takes these alone.

A stopwatch does not choose between them: the bits of a training would depend on what else the machine did then.
"""

from __future__ import annotations

import os
import platform
import warnings
from functools import cache
from pathlib import Path

import torch

from isthmus.errors import IsthmusWarning
from isthmus.native.agreement import is_right
from isthmus.native.library import Kernels
from isthmus.text import quoted

__all__ = ["load", "name", "opened"]

_VARIANTS = {"AVX512": ("avx512", "avx2"), "AVX2": ("avx2",)}  # by PyTorch's name of the instructions, best first


def opened(path: Path) -> Kernels:
    """The kernels of a library, which are those of PyTorch.

    Args:
        path: of the library.

    Raises:
        OSError: it cannot be loaded, is of another version, or computes something else than PyTorch.
    """
    kernels = Kernels(path)
    if not is_right(kernels):
        raise OSError(f"{path} does not compute what PyTorch does")
    return kernels


@cache
def load() -> Kernels | None:
    """The kernels of this processor, or None. An `IsthmusWarning` says that those of ISTHMUS_NATIVE are not there."""
    asked = os.environ.get("ISTHMUS_NATIVE", "")
    if asked == "0":
        return None
    machine = platform.machine().lower()
    names = ("neon",) if machine in {"arm64", "aarch64"} else _VARIANTS.get(torch.backends.cpu.get_cpu_capability(), ())
    for name in names if asked in {"", "1"} else {asked} & {*names}:
        try:
            return opened(Path(__file__).parent / f"kernels_{name}.native")
        except OSError:  # not built
            continue
    if asked not in {"", "1"}:
        warnings.warn(
            f"ISTHMUS_NATIVE={quoted(asked, 20)}: there are no such kernels for this processor, and PyTorch computes; leave it out, or "
            f"use 0{''.join(f' or {name}' for name in names)}",
            IsthmusWarning,
            stacklevel=2,
        )
    return None


def name() -> str:
    """The name of the kernels of this processor, "" without."""
    kernels = load()
    return "" if kernels is None else kernels.name
