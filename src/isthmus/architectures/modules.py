"""An encoder and a decoder of the user."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from pydantic import InstanceOf
from torch import Generator, nn

from isthmus.architectures.base import Architecture, Pair
from isthmus.errors import RecordError
from isthmus.io.memory_limit import check_memory
from isthmus.nn.invariant_layers import make_batch_invariant
from isthmus.records import record

__all__ = ["Modules"]


@record
class Modules(Architecture):
    """Your own encoder, (b, *shape) -> (b, ..., encoder_outputs) with features last, and decoder, (b, ..., size) -> (b, *shape).

    Both are copied with their weights when training begins: your modules do not change. Two records are equal if they hold the same
    modules. A model file contains only the weights; `isthmus.load(path, architecture=Modules(...))` supplies the code.
    """

    encoder: InstanceOf[nn.Module]
    decoder: InstanceOf[nn.Module]

    @property
    def user_defined(self) -> bool:
        return True

    @property
    def stochastic(self) -> bool:
        return True

    @property
    def inference_batch_size(self) -> int:
        return 32

    def positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(_run("encoder", self.encoder, (3, *shape)).shape[1:-1])

    def build(
        self,
        shape: tuple[int, ...],
        encoder_outputs: int,
        size: int,
        generator: Generator,
        outputs: tuple[int, ...] | None = None,
    ) -> Pair:
        outputs = shape if outputs is None else outputs
        encoder, decoder = deepcopy((self.encoder, self.decoder))  # together, so that shared layers stay shared
        pair = Pair(encoder.to(torch.get_default_device()), decoder.to(torch.get_default_device()))
        h = _run("encoder", pair.encoder, (3, *shape))
        if h.ndim < 2 or h.shape[0] != 3 or h.shape[-1] != encoder_outputs:
            raise RecordError(
                f"Modules: the encoder outputs {tuple(h.shape)} for 3 examples, but the bottleneck expects (3, ..., {encoder_outputs})"
            )
        y = _run("decoder", pair.decoder, (*h.shape[:-1], size))
        if y.shape != (3, *outputs):
            expected = "the examples are" if outputs == shape else "the likelihood expects"
            raise RecordError(
                f"Modules: the decoder outputs {tuple(y.shape)} for 3 codes, but {expected} {(3, *outputs)}"
            )
        make_batch_invariant(pair.encoder)  # after a first batch, which lazy layers need to get their sizes
        make_batch_invariant(pair.decoder)
        return pair


def _run(name: str, module: nn.Module, shape: tuple[int, ...]) -> torch.Tensor:
    """The output of a module for zeros of a shape, in the dtype of its weights."""
    check_memory(4 * math.prod(shape), f"a batch of shape {shape} for your modules")
    training, weights = module.training, (p.dtype for p in module.parameters() if p.is_floating_point())
    try:
        with torch.no_grad():
            result = module.eval()(torch.zeros(shape, dtype=next(weights, torch.float32)))
    except Exception as error:  # the user's code: whatever it raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RecordError(f"Modules: the {name} does not take a batch of shape {shape}: {reason}") from error
    finally:
        module.train(training)
    if not isinstance(result, torch.Tensor):
        raise RecordError(f"Modules: the {name} returns a {type(result).__name__}; expected a tensor")
    return result
