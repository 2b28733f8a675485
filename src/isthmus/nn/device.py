"""Devices and precision, and settings of PyTorch and of the C library for speed."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch

from isthmus.errors import IsthmusWarning, RecordError

__all__ = [
    "autocast_to",
    "check_bfloat16",
    "choose_device",
    "computes_bfloat16",
    "enable_malloc_reuse",
    "grad_mode",
    "no_autocast",
    "onednn_matmul",
    "threads",
    "trim_malloc",
    "with_grad_mode",
]

P = ParamSpec("P")
T = TypeVar("T")

# A forked process does not have the threads of its parent, and would wait for them forever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

_ACTIVE: set[object] = set()  # one object per active `onednn_matmul` context
SWITCH_LOCK = threading.RLock()
_TRIM_BYTES = 2**30
_MMAP_BYTES = 2**25  # the maximum of glibc
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # in glibc's malloc.h
USER_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def choose_device(name: str) -> torch.device:
    """The PyTorch device of this name; "auto" is a GPU if there is one. `RecordError` if the device is not available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # fails on "meta", whose tensors have no values
    except (RuntimeError, AssertionError):
        raise RecordError(f"device={name!r} is not available on this machine; try device='cpu'") from None
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 instructions."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def check_bfloat16(precision: str, device: torch.device) -> None:
    """Gives an `IsthmusWarning` if the precision is bfloat16 and the device has no instructions for it."""
    if precision == "bfloat16" and not computes_bfloat16(device):
        warnings.warn(
            "precision='bfloat16' is up to a hundred times slower than 'float32' on this processor, which has no bfloat16 instructions; "
            "use 'float32' or 'auto'",
            IsthmusWarning,
            stacklevel=3,
        )


@contextmanager
def no_autocast() -> Iterator[None]:
    """A context without PyTorch's autocast, and with the CPU as PyTorch's default device, whatever the user has set."""
    with ExitStack() as stack:
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def autocast_to(x: torch.Tensor, dtype: torch.dtype | None) -> Iterator[None]:
    """A context with autocast to a dtype on the device of x; None changes nothing.

    The autocast cache is cleared at the end. PyTorch does so only at the end of the outermost autocast, and would reuse old weights.
    """
    if dtype is None:
        yield
        return
    with torch.autocast(x.device.type, dtype=dtype):
        yield
    torch.clear_autocast_cache()


@contextmanager
def grad_mode() -> Iterator[None]:
    """A context in which gradients are computed, in whatever mode PyTorch is. The mode is restored at the end."""
    with no_autocast(), torch.inference_mode(False), torch.enable_grad():
        yield


def with_grad_mode(reports: Callable[P, Generator[T, None, None]]) -> Callable[P, Generator[T, None, None]]:
    """Decorates a generator to run in `grad_mode`. While the caller handles a report, PyTorch has the caller's mode."""

    @wraps(reports)
    def switched(*args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        inner = reports(*args, **kwargs)
        try:
            while True:
                with grad_mode():
                    report = next(inner, None)
                if report is None:
                    return
                yield report
        finally:
            if not sys.is_finalizing():  # at interpreter shutdown PyTorch may be partly unloaded
                with grad_mode():
                    inner.close()

    return switched


class _Restore:
    """Restores a setting when called, or when garbage-collected if an interrupt prevented the call."""

    def __init__(self, restore: Callable[[], None]) -> None:
        self.restore, self.finalizer = restore, weakref.finalize(self, restore)
        self.finalizer.atexit = False

    def __call__(self) -> None:
        self.restore()
        self.finalizer.detach()


class _LockHolder:
    """Holds the lock of `onednn_matmul` until it is called, or until it is garbage-collected after an interrupt."""

    def __init__(self) -> None:
        self.finalizer = weakref.finalize(self, _release_lock)
        self.finalizer.atexit = False
        SWITCH_LOCK.acquire()

    def __call__(self) -> None:
        _release_lock()
        self.finalizer.detach()


def _release_lock() -> None:
    if SWITCH_LOCK._is_owned():  # type: ignore[attr-defined]  # by this thread
        SWITCH_LOCK.release()


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """A context in which PyTorch uses this number of CPU threads. The old number is restored at the end. None changes nothing."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    restoration = _Restore(lambda: torch.set_num_threads(before))
    try:
        torch.set_num_threads(count)
        yield
    finally:
        restoration()


@contextmanager
def onednn_matmul() -> Iterator[None]:
    """A context in which oneDNN computes float32 products, if it keeps float32 precision: twice as fast as MKL on AMD processors.

    A setting of the user for PyTorch is not changed.
    """
    matmul: Any = getattr(torch.backends.mkldnn, "matmul", None) if exact_in_onednn() else None
    if matmul is None:
        yield
        return
    own = object()
    restoration = _Restore(lambda: _exit_onednn(matmul, own))
    try:
        lock = _LockHolder()  # the setting is global, and is restored when the last active context ends
        if _ACTIVE or matmul.fp32_precision == "none":
            _ACTIVE.add(own)
            matmul.fp32_precision = "bf16"
        lock()
        yield
    finally:
        restoration()


def _exit_onednn(matmul: Any, own: object) -> None:
    """Ends one `onednn_matmul` context, if it was active."""
    lock = _LockHolder()
    if own in _ACTIVE:
        matmul.fp32_precision = "bf16" if len(_ACTIVE) > 1 else "none"
        _ACTIVE.remove(own)
    lock()


@cache
def exact_in_onednn() -> bool:
    """Whether oneDNN computes in float32 although bfloat16 is allowed: true on processors without bfloat16 matrix units."""
    matmul: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if not torch.backends.mkldnn.is_available() or not hasattr(matmul, "fp32_precision"):
        return False
    before = matmul.fp32_precision
    x = torch.linspace(1, 2, 2**14, dtype=torch.float32).reshape(128, 128)
    matmul.fp32_precision = "bf16"
    try:
        return torch.allclose((x @ x).double(), x.double() @ x.double(), rtol=1e-5, atol=0)
    finally:
        matmul.fp32_precision = before


@cache
def enable_malloc_reuse() -> None:
    """Sets the C library to reuse freed memory. By default each training step requests all its pages from the system again.

    Only glibc has this setting; one made by the user is not changed. Memory does not exceed its earlier peak.
    """
    if not any(name in os.environ for name in USER_SETTINGS):
        _call_libc("mallopt", _MMAP_THRESHOLD, _MMAP_BYTES)
        _call_libc("mallopt", _TRIM_THRESHOLD, _TRIM_BYTES)


def trim_malloc() -> None:
    """Returns the free memory of the C library to the system."""
    _call_libc("malloc_trim", 0)


def _call_libc(function: str, *numbers: int) -> None:
    """Calls a function of the C library if it exists."""
    try:
        getattr(ctypes.CDLL(None), function)(*numbers)
    except (OSError, AttributeError, TypeError):  # another system, or another C library
        return
