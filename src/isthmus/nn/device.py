"""Where to compute, in which precision, and what the machine is told so that it computes fast."""

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
    "casting",
    "check_bfloat16",
    "choose_device",
    "computes_bfloat16",
    "enable_malloc_reuse",
    "exact",
    "learning",
    "learns",
    "onednn_matmul",
    "threads",
    "trim_malloc",
]

P = ParamSpec("P")
T = TypeVar("T")

# A forked process has none of the threads that its parent computed with, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

_WITHIN: set[object] = set()  # who is within `onednn_matmul` now
_SWITCHING = threading.RLock()
_KEPT = 2**30  # bytes
_LARGEST = 2**25  # bytes, the most that the C library allows
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # in glibc's malloc.h
_USERS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one. `RecordError` if it cannot be used here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # "meta" has no numbers
    except (RuntimeError, AssertionError):
        raise RecordError(f"device={name!r} cannot be used here; try device='cpu'") from None
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the processor has instructions of its own for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def check_bfloat16(precision: str, device: torch.device) -> None:
    """`IsthmusWarning` where a training would compute in bfloat16 and the device has no instructions for it."""
    if precision == "bfloat16" and not computes_bfloat16(device):
        warnings.warn(
            "precision='bfloat16' is computed without instructions for it on this processor, up to a hundred times slower than 'float32': "
            "take that, or 'auto'",
            IsthmusWarning,
            stacklevel=3,
        )


@contextmanager
def exact() -> Iterator[None]:
    """Within, products are computed in the precision of their numbers, even where PyTorch's autocast is on, and on the processor, or
    where we say, whatever the default device is."""
    with ExitStack() as stack:
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def casting(x: torch.Tensor, dtype: torch.dtype | None) -> Iterator[None]:
    """Within, products and convolutions of tensors like x are computed in another type, if one is given.

    What was cast is forgotten after. PyTorch does so by itself only where no other autocast is around, and would go on with old weights.
    """
    if dtype is None:
        yield
        return
    with torch.autocast(x.device.type, dtype=dtype):
        yield
    torch.clear_autocast_cache()


@contextmanager
def learning() -> Iterator[None]:
    """Within, tensors can learn: whatever mode the caller, or an interrupt, left PyTorch in. After, the mode is what it was."""
    with exact(), torch.inference_mode(False), torch.enable_grad():
        yield


def learns(reports: Callable[P, Generator[T, None, None]]) -> Callable[P, Generator[T, None, None]]:
    """Makes a generator work in the mode of `learning`; between what it yields the caller's stands."""

    @wraps(reports)
    def switched(*args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        working = reports(*args, **kwargs)
        try:
            while True:
                with learning():
                    report = next(working, None)
                if report is None:
                    return
                yield report
        finally:
            if not sys.is_finalizing():  # where a generator is left open at the very end, PyTorch may be half gone
                with learning():
                    working.close()

    return switched


class _Undo:
    """Puts a setting back: when it is left or, where an interrupt came in the way of that, when nothing holds this any more."""

    def __init__(self, put_back: Callable[[], None]) -> None:
        self.put_back, self.rescue = put_back, weakref.finalize(self, put_back)
        self.rescue.atexit = False

    def __call__(self) -> None:
        self.put_back()
        self.rescue.detach()


class _Held:
    """Holds the lock of what `onednn_matmul` switches until it is called or, after an interrupt, until nothing holds it any more."""

    def __init__(self) -> None:
        self.rescue = weakref.finalize(self, _let_go)
        self.rescue.atexit = False
        _SWITCHING.acquire()

    def __call__(self) -> None:
        _let_go()
        self.rescue.detach()


def _let_go() -> None:
    if _SWITCHING._is_owned():  # type: ignore[attr-defined]  # by this thread
        _SWITCHING.release()


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Within, PyTorch computes what this thread asks for on so many threads; after, on as many as before. None changes nothing."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    undo = _Undo(lambda: torch.set_num_threads(before))
    try:
        torch.set_num_threads(count)
        yield
    finally:
        undo()


@contextmanager
def onednn_matmul() -> Iterator[None]:
    """Within, oneDNN computes float32 products if it does so in float32: twice as fast as MKL on AMD's processors.

    A setting that the user made for PyTorch stands.
    """
    products: Any = getattr(torch.backends.mkldnn, "matmul", None) if _exact_in_onednn() else None
    if products is None:
        yield
        return
    own = object()
    undo = _Undo(lambda: _leave(products, own))
    try:
        held = _Held()  # it is one setting for all threads, and stays until the last of ours is out
        if _WITHIN or products.fp32_precision == "none":
            _WITHIN.add(own)
            products.fp32_precision = "bf16"
        held()
        yield
    finally:
        undo()


def _leave(products: Any, own: object) -> None:
    """One of those within `onednn_matmul` is out, if it ever was in."""
    held = _Held()
    if own in _WITHIN:
        products.fp32_precision = "bf16" if len(_WITHIN) > 1 else "none"
        _WITHIN.remove(own)
    held()


@cache
def _exact_in_onednn() -> bool:
    """Whether oneDNN, allowed to take bfloat16, keeps to float32: it does where the processor has no tiles for it."""
    products: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if not torch.backends.mkldnn.is_available() or not hasattr(products, "fp32_precision"):
        return False
    before = products.fp32_precision
    x = torch.linspace(1, 2, 2**14, dtype=torch.float32).reshape(128, 128)
    products.fp32_precision = "bf16"
    try:
        return torch.allclose((x @ x).double(), x.double() @ x.double(), rtol=1e-5, atol=0)
    finally:
        products.fp32_precision = before


@cache
def enable_malloc_reuse() -> None:
    """Asks the C library to keep what a step frees for the next one; otherwise each step asks the system for every page anew.

    Only glibc has the setting, and one that the user made stands. Nothing more is kept than was once in use.
    """
    if not any(name in os.environ for name in _USERS):
        _told("mallopt", _MMAP_THRESHOLD, _LARGEST)
        _told("mallopt", _TRIM_THRESHOLD, _KEPT)


def trim_malloc() -> None:
    """Asks the C library to return what it keeps to the system."""
    _told("malloc_trim", 0)


def _told(function: str, *numbers: int) -> None:
    """Calls a function of the C library, if it has it."""
    try:
        getattr(ctypes.CDLL(None), function)(*numbers)
    except (OSError, AttributeError, TypeError):  # another system, or another C library
        return
