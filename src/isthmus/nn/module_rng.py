"""What own modules draw, such as dropout's masks, is drawn from a stream of ours, whoever else draws meanwhile."""

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

__all__ = ["drawing_again", "drawing_from"]


class _Last(threading.local):
    """How a thread drew in its last forward."""

    again: Callable[[], AbstractContextManager[object]] = nullcontext


_LAST = _Last()


@contextmanager
def drawing_from(generator: Generator, device: torch.device) -> Iterator[None]:
    """Within, what would be drawn from the global generators comes from another stream of the generator; they stay as they are.

    Where this is the only thread, the global generators are set to the stream meanwhile, and put back. Beside other threads, which may
    draw from them, each operation that draws is given a generator of its own instead. Both draw the same numbers.
    """
    seed = generator.initial_seed() ^ 1
    if device.type == "cuda" or threading.active_count() == 1:  # on a GPU dropout takes no generator
        _LAST.again = lambda: _globally(seed, device)
        with _globally(seed, device):
            yield
    else:
        mode = _Redirected(Generator(device).manual_seed(seed))
        _LAST.again = lambda: mode if mode.regions else nullcontext()
        with mode:
            yield


@contextmanager
def drawing_again() -> Iterator[None]:
    """Within the backward of what was just computed: layers that are computed again there draw what they drew before."""
    again, _LAST.again = _LAST.again, nullcontext
    with again():
        yield


@contextmanager
def _globally(seed: int, device: torch.device) -> Iterator[None]:
    """Within, the global generators of a device are set; they are put back after."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        world = torch.cuda.default_generators[device.index or 0] if cuda else torch.default_generator
        world.manual_seed(seed)
        yield


class _Redirected(TorchDispatchMode):
    """Gives every operation that draws a generator. PyTorch keeps a mode to the thread that entered it.

    What torch.utils.checkpoint computes again in the backward begins where the generator stood when it was computed first.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch's
        self.generator = generator
        self.regions: dict[object, Tensor] = {}  # where the generator stood at the first draw of each
        self.repeated: dict[object, Generator] = {}  # of each time that one is computed again

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip it, PyTorch would import its compiler, which takes seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _draws(func) or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        return _seeded(func)(*args, **kwargs, generator=self._stream())

    def _stream(self) -> Generator:
        """The generator for a draw: that of what is computed again, or the one that draws everything else."""
        begun, again = _checkpoints()
        stream = self.generator
        if again is not None:
            region, time = again
            if time not in self.repeated:
                if region not in self.regions:
                    raise _unknown()
                self.repeated[time] = Generator(stream.device).set_state(self.regions[region])
            stream = self.repeated[time]
        for region in begun:
            if region not in self.regions:
                self.regions[region] = stream.get_state()
        return stream


@cache
def _draws(func: Any) -> bool:
    """Whether an operation draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


@cache
def _seeded(func: Any) -> Any:
    """The form of an operation that takes a generator."""
    names = {argument.name for argument in func._schema.arguments} | {"generator"}
    forms = (getattr(func.overloadpacket, name) for name in func.overloadpacket.overloads())
    for form in (func, *forms):
        if {argument.name for argument in form._schema.arguments} == names:
            return form
    raise NotPossibleError(
        f"the own modules draw random numbers by {func}, which takes no generator: train them where no other thread runs"
    )


def _checkpoints() -> tuple[list[object], tuple[object, object] | None]:
    """The regions of torch.utils.checkpoint that are computed now, and the one around them that is computed again, and which time.

    PyTorch gives no other view of it than the frames of its functions.
    """
    begun, frame = list[object](), sys._getframe(3)
    while frame is not None and not frame.f_globals.get("__name__", "").startswith("isthmus."):
        name = frame.f_code.co_name
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint" and name in _KNOWN:
            try:
                region = _KNOWN[name](frame)
            except (KeyError, AttributeError):
                raise _unknown() from None
            if region is not None and name in {"backward", "recompute_fn"}:
                return begun, (region, frame)
            if region is not None:
                begun.append(region)
        frame = frame.f_back  # type: ignore[assignment]
    return begun, None


def _begun(frame: FrameType) -> object:
    """What stands for a region while it is computed; None in PyTorch's older way, which has a frame of its own."""
    made = frame.f_locals.get("gen")
    return None if made is None else made.gi_frame.f_locals["new_frame"]


def _repeated(frame: FrameType) -> object:
    """The same while it is computed again."""
    while frame.f_code.co_name != "unpack_hook":
        frame = frame.f_back  # type: ignore[assignment]
    return frame.f_locals["frame"]


_KNOWN: dict[str, Callable[[FrameType], object]] = {
    "checkpoint": _begun,
    "recompute_fn": _repeated,
    "forward": lambda frame: frame.f_locals["ctx"],
    "backward": lambda frame: frame.f_locals["ctx"],
}


def _unknown() -> NotPossibleError:
    return NotPossibleError(
        "the own modules draw random numbers, as dropout does, within a torch.utils.checkpoint that this version of isthmus does not "
        "know, and beside other threads they would draw others when they are computed again: train them where no other thread runs"
    )
