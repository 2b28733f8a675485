"""The settings of training that "auto" stands for: precision, batch size, epochs and threads."""

from __future__ import annotations

import math

import torch

from isthmus.architectures.base import Architecture
from isthmus.errors import RecordError
from isthmus.estimators.memory_estimate import footprint
from isthmus.model import Model
from isthmus.nn.device import computes_bfloat16
from isthmus.training.config import Precision

__all__ = ["batch_size_for", "choose_precision", "epochs_for", "threads_for"]

# multiplications in the forward pass of a step; with more, a second thread saves a third of the time
_MIN_PARALLEL_WORK = 50_000_000
_MIN_ADAPTIVE_WORK = 4_000_000  # where a busy machine costs nothing


def choose_precision(
    given: Precision, architecture: Architecture, shape: tuple[int, ...], device: torch.device
) -> Precision:
    """The precision to use. "auto" is bfloat16 if the architecture was measured to be as good in it and the device has it."""
    supported = architecture.supports_bfloat16(shape)
    if given == "bfloat16" and not supported:
        raise RecordError(
            f"invalid precision='bfloat16' for {architecture!r} on examples of shape {shape}: PyTorch's gradients would be "
            "wrong; use 'float32'"
        )
    if given != "auto":
        return given
    return "bfloat16" if supported and architecture.prefers_bfloat16(shape) and computes_bfloat16(device) else "float32"


def batch_size_for(n: int) -> int:
    """The batch size for n examples: n / 40, from 16 to 256."""
    return min(256, max(16, n // 40))


def epochs_for(n: int, batch_size: int) -> int:
    """The number of epochs for n examples: about 3,000 steps, from 10 to 50 epochs. More epochs overfit small data sets."""
    return min(50, max(10, math.ceil(3000 / math.ceil(n / batch_size))))


def threads_for(model: Model, batch_size: int, adaptive: bool = False) -> int:
    """The number of threads for training steps: 1 if more would save little time, else PyTorch's setting.

    Threads wait for each other many times per step. Next to a busy process two threads are slower than one, most of all for small steps,
    unless the training notices it and uses one (``adaptive``). The work of user modules is unknown, so they get all threads.
    docs/threads.md has measurements.
    """
    work, least = batch_size * footprint(model).multiplications, _MIN_ADAPTIVE_WORK if adaptive else _MIN_PARALLEL_WORK
    small = model.device.type == "cpu" and work < least and not model.architecture.user_defined
    return 1 if small else torch.get_num_threads()
