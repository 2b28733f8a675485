"""Random numbers of the user's modules, such as dropout masks: drawn from our own stream, so that other threads do not change them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from types import FrameType
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from isthmus.errors import NotPossibleError

__all__ = ["draw_from", "replay_draws"]


class _LastForward(threading.local):
    """The context in which the last forward pass of a thread drew random numbers."""

    again: Callable[[], AbstractContextManager[object]] = nullcontext


_LAST_FORWARD = _LastForward()


@contextmanager
def draw_from(generator: Generator, device: torch.device) -> Iterator[None]:
    """A context in which operations draw from a stream of this generator instead of the global generators, which do not change.

    In a process with one thread, the global generators are seeded with the stream and restored at the end. With more threads, which
    may draw from the global generators, each random operation gets a generator as an argument. Both ways draw the same numbers.
    """
    seed = generator.initial_seed() ^ 1
    if device.type == "cuda" or threading.active_count() == 1:  # on a GPU dropout takes no generator
        _LAST_FORWARD.again = lambda: _seed_global(seed, device)
        with _seed_global(seed, device):
            yield
    else:
        mode = _GeneratorMode(Generator(device).manual_seed(seed))
        _LAST_FORWARD.again = lambda: mode if mode.regions else nullcontext()
        with mode:
            yield


@contextmanager
def replay_draws() -> Iterator[None]:
    """A context for the backward pass of the last forward pass: recomputed layers draw the same numbers again."""
    again, _LAST_FORWARD.again = _LAST_FORWARD.again, nullcontext
    with again():
        yield


@contextmanager
def _seed_global(seed: int, device: torch.device) -> Iterator[None]:
    """A context in which the global generator of a device is seeded. It is restored at the end."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        default = torch.cuda.default_generators[device.index or 0] if cuda else torch.default_generator
        default.manual_seed(seed)
        yield


class _GeneratorMode(TorchDispatchMode):
    """Passes a generator to every random operation of this thread; a dispatch mode does not affect other threads.

    A region of torch.utils.checkpoint that is recomputed in the backward pass starts from the generator state of its forward pass.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch's
        self.generator = generator
        self.regions: dict[object, Tensor] = {}  # checkpoint region -> generator state at its first draw
        self.repeated: dict[object, Generator] = {}  # recomputation of a region -> its generator

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import PyTorch's compiler, which takes seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _is_random(func) or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        return _seeded(func)(*args, **kwargs, generator=self._stream())

    def _stream(self) -> Generator:
        """The generator for a draw: that of the recomputed region, or the common one."""
        entered, again = _checkpoints()
        stream = self.generator
        if again is not None:
            region, time = again
            if time not in self.repeated:
                if region not in self.regions:
                    raise _unknown_checkpoint()
                self.repeated[time] = Generator(stream.device).set_state(self.regions[region])
            stream = self.repeated[time]
        for region in entered:
            if region not in self.regions:
                self.regions[region] = stream.get_state()
        return stream


@cache
def _is_random(func: Any) -> bool:
    """Whether an operation draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


@cache
def _seeded(func: Any) -> Any:
    """The overload of an operation that has a generator argument."""
    names = {argument.name for argument in func._schema.arguments} | {"generator"}
    overloads = (getattr(func.overloadpacket, name) for name in func.overloadpacket.overloads())
    for overload in (func, *overloads):
        if {argument.name for argument in overload._schema.arguments} == names:
            return overload
    raise NotPossibleError(
        f"these modules draw random numbers with {func}, which has no generator argument: train them in a process without other threads"
    )


def _checkpoints() -> tuple[list[object], tuple[object, object] | None]:
    """The active regions of torch.utils.checkpoint, and the recomputed region around them with its frame, or None.

    PyTorch has no interface for this, so it is read from the stack frames.
    """
    entered, frame = list[object](), sys._getframe(3)
    while frame is not None and not frame.f_globals.get("__name__", "").startswith("isthmus."):
        name = frame.f_code.co_name
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint" and name in CHECKPOINT_FRAMES:
            try:
                region = CHECKPOINT_FRAMES[name](frame)
            except (KeyError, AttributeError):
                raise _unknown_checkpoint() from None
            if region is not None and name in {"backward", "recompute_fn"}:
                return entered, (region, frame)
            if region is not None:
                entered.append(region)
        frame = frame.f_back  # type: ignore[assignment]
    return entered, None


def _region_of_forward(frame: FrameType) -> object:
    """The object that identifies a region in its forward pass; None for reentrant checkpoints, which have their own frames."""
    generator = frame.f_locals.get("gen")
    return None if generator is None else generator.gi_frame.f_locals["new_frame"]


def _region_of_recompute(frame: FrameType) -> object:
    """The same object while the region is recomputed."""
    while frame.f_code.co_name != "unpack_hook":
        frame = frame.f_back  # type: ignore[assignment]
    return frame.f_locals["frame"]


CHECKPOINT_FRAMES: dict[str, Callable[[FrameType], object]] = {
    "checkpoint": _region_of_forward,
    "recompute_fn": _region_of_recompute,
    "forward": lambda frame: frame.f_locals["ctx"],
    "backward": lambda frame: frame.f_locals["ctx"],
}


def _unknown_checkpoint() -> NotPossibleError:
    return NotPossibleError(
        "these modules draw random numbers, for example for dropout, in a torch.utils.checkpoint of an unknown version, and with other "
        "threads the recomputation would draw different numbers: train them in a process without other threads"
    )
