"""What own modules draw, such as dropout's masks, is drawn from a stream of ours, whoever else draws meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Generator
from torch.utils._python_dispatch import TorchDispatchMode

from isthmus.errors import NotPossibleError

__all__ = ["drawing_from"]


@contextmanager
def drawing_from(generator: Generator, device: torch.device) -> Iterator[None]:
    """Within, what would be drawn from the global generators comes from another stream of the generator; they stay as they are.

    Where this is the only thread, the global generators are set to the stream meanwhile, and put back. Beside other threads, which may
    draw from them, each operation that draws is given a generator of its own instead. Both draw the same numbers.
    """
    seed = generator.initial_seed() ^ 1
    if device.type == "cuda" or threading.active_count() == 1:  # on a GPU dropout takes no generator
        with _globally(seed, device):
            yield
    else:
        with _Redirected(Generator(device).manual_seed(seed)):
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
    """Gives every operation that draws a generator. PyTorch keeps a mode to the thread that entered it."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch's
        self.generator = generator

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip it, PyTorch would import its compiler, which takes seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _draws(func) or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        _refuse_recomputing()
        return _seeded(func)(*args, **kwargs, generator=self.generator)


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


def _refuse_recomputing() -> None:
    """An error where activations are computed again in the backward, which would draw other numbers then."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") != "isthmus.model":
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            raise NotPossibleError(
                "the own modules draw random numbers, as dropout does, within torch.utils.checkpoint, and beside other threads "
                "they would draw others when they are computed again: train them where no other thread runs"
            )
        frame = frame.f_back  # type: ignore[assignment]
