"""The user's own two modules."""

from __future__ import annotations

from copy import deepcopy

import torch
from pydantic import InstanceOf
from torch import Generator, nn

from isthmus.architectures.base import Architecture, Pair
from isthmus.errors import RecordError
from isthmus.records import record

__all__ = ["Modules"]


@record
class Modules(Architecture):
    """An own encoder and decoder: (b, *shape) -> (b, ..., width), features last, and (b, ..., size) -> (b, *shape).

    They are copied when training begins, weights and all: the modules given here stay as they are. Two records are equal if they
    hold the same modules. A model file keeps the weights only: `isthmus.load(path, architecture=Modules(...))` brings the code.
    """

    encoder: InstanceOf[nn.Module]
    decoder: InstanceOf[nn.Module]

    @property
    def draws(self) -> bool:
        return True

    def build(self, shape: tuple[int, ...], width: int, size: int, generator: Generator) -> Pair:
        encoder, decoder = deepcopy((self.encoder, self.decoder))  # together: what they share stays shared
        pair = Pair(encoder.to(torch.get_default_device()), decoder.to(torch.get_default_device()))
        h = _run("encoder", pair.encoder, torch.zeros(2, *shape))
        if h.shape[0] != 2 or h.shape[-1] != width:
            raise RecordError(
                f"Modules: the encoder gives {tuple(h.shape)} for 2 examples, but the bottleneck wants (2, ..., {width})"
            )
        y = _run("decoder", pair.decoder, torch.zeros(*h.shape[:-1], size))
        if y.shape != (2, *shape):
            raise RecordError(
                f"Modules: the decoder gives {tuple(y.shape)} for 2 codes, but the examples are {(2, *shape)}"
            )
        return pair


def _run(name: str, module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    training = module.training
    try:
        with torch.no_grad():
            result = module.eval()(x)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RecordError(f"Modules: the {name} does not take a batch of shape {tuple(x.shape)}: {reason}") from error
    finally:
        module.train(training)
    assert isinstance(result, torch.Tensor)
    return result
