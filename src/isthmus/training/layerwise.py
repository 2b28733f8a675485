"""Layer by layer, from the example inwards: each encoder layer and its mirror image are an autoencoder of what the layers below give.

The layers are the model's own, trained where they are: when all have been, the whole goes on from there. Hinton & Salakhutdinov 2006
began so with restricted Boltzmann machines, Bengio et al. 2007 with autoencoders; with a corruption each layer restores its own spoilt
input (Vincent et al. 2010).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from isthmus.bottlenecks import Identity
from isthmus.bottlenecks.base import Bottleneck
from isthmus.errors import NotPossibleError
from isthmus.likelihoods import Likelihood, Normal
from isthmus.model import Losses, Model, Trainable
from isthmus.nn.device import casting
from isthmus.nn.layers import FeaturesFirst, ToChannelsFirst
from isthmus.nn.variables import Variables
from isthmus.training.batches import Source
from isthmus.training.config import TrainingConfig
from isthmus.training.loop import train
from isthmus.training.rng import RandomStream, seeded
from isthmus.training.state import ReportEvery, Reports, State

__all__ = ["Layer", "layers", "pretrain"]

_LEADING = (
    nn.Flatten,
    nn.Identity,
    nn.Upsample,
    ToChannelsFirst,
    FeaturesFirst,
)  # what belongs to the layer that follows


class Layer(Trainable):
    """One layer each way, of a model's own: an autoencoder of what the layers below it make of clean examples.

    The first one has the model's likelihood, the others the squared error, whose scale is learned; the last has the model's bottleneck.

    Args:
        model: that it is of.
        below: the encoder's layers before it.
        encoder, decoder: the pair.
        shape: of its examples.
        last: whether its code is the model's.
    """

    def __init__(
        self,
        model: Model,
        below: nn.Sequential,
        encoder: nn.Module,
        decoder: nn.Module,
        shape: tuple[int, ...],
        last: bool,
    ) -> None:
        super().__init__()
        first = not len(below)
        rising = [
            part for part in decoder.children() if not isinstance(part, nn.ReLU)
        ]  # at 0 it would stay there for ever
        self.encoder, self.decoder, self.shape = encoder, nn.Sequential(*rising), shape
        self.bottleneck: Bottleneck = model.bottleneck if last else Identity(1)
        self.code_memory = model.code_memory if last else Variables()
        self.likelihood: Likelihood = model.likelihood if first else Normal("learned")
        self.likelihood_memory = (
            model.likelihood_memory if first else self.likelihood.variables().to(model.device, model.dtype)
        )
        fill = model.fill
        self._fill = fill if first or fill is None else torch.zeros((), dtype=fill.dtype, device=fill.device)
        self._outside = (model, below)  # in a tuple: neither is part of it

    @property
    def device(self) -> torch.device:
        return self._outside[0].device

    @property
    def stochastic(self) -> bool:
        return self.bottleneck.stochastic

    @torch.no_grad()
    def normalize(self, raw: Tensor) -> Tensor:
        model, below = self._outside
        x = model.normalize(raw)  # of the first layer with what is missing: its target
        found: Tensor = below(_whole(x, model.fill)) if len(below) else x
        return found

    def forward(self, x: Tensor, target: Tensor, generator: Generator, autocast: torch.dtype | None = None) -> Losses:
        """What it costs to restore the target (b, *shape) from x, in nats."""
        with casting(x, autocast):
            hidden = self.encoder(_whole(x, self._fill))
        code = self.bottleneck(hidden.to(x.dtype), self.code_memory, generator)
        with casting(x, autocast):
            output = self.decoder(code.z)
        return Losses(self._nll(output.to(x.dtype), target), code.penalty, code.stats)

    def score(self, x: Tensor, target: Tensor) -> Losses:
        code = self.bottleneck.deterministic(self.encoder(_whole(x, self._fill)), self.code_memory)
        return Losses(self._nll(self.decoder(code.z), target), code.penalty, code.stats)

    def _nll(self, y: Tensor, target: Tensor) -> Tensor:
        """Of the first layer in nats of the data; what the others restore has no other units than its own."""
        model, below = self._outside
        return self.likelihood.nll(y, target, self.likelihood_memory) if len(below) else model.nll(y, target)


def _whole(x: Tensor, fill: Tensor | None) -> Tensor:
    """Examples with something where numbers are missing, or were hidden by a corruption."""
    return x if fill is None else torch.where(x.isnan(), fill, x)


def layers(model: Model) -> list[Layer]:
    """The model's layers as autoencoders, the one next to the examples first.

    Raises:
        NotPossibleError: the decoder does not undo the encoder layer by layer.
    """
    encoders, decoders = _stages(model.encoder), _stages(model.decoder)[::-1]
    if model.architecture.user_defined or len(encoders) != len(decoders):
        raise _not_mirrored(model)
    found, below, x = (
        list[Layer](),
        nn.Sequential(),
        torch.zeros(3, *model.shape, dtype=model.dtype, device=model.device),
    )
    for number, (encoder, decoder) in enumerate(zip(encoders, decoders, strict=True), 1):
        last = number == len(encoders)
        found.append(Layer(model, below, encoder, decoder, tuple(x.shape[1:]), last))
        with torch.no_grad():
            h = encoder(x)
            z = model.bottleneck.deterministic(h, model.code_memory).z if last else h
            try:
                mirrored = decoder(z).shape == x.shape
            except RuntimeError:
                mirrored = False
        if not mirrored:
            raise _not_mirrored(model)
        below, x = nn.Sequential(*below, *encoder), h
    return found


def pretrain(model: Model, examples: Source, plan: TrainingConfig, every: ReportEvery = None) -> Reports:
    """Trains a model's layers one after the other, in place, for equal shares of the plan's epochs; reports say which layer it is.

    Raises:
        NotPossibleError: the decoder does not undo the encoder layer by layer.
        DivergenceError: a layer's training left the finite numbers.
    """
    stack, state, seconds = layers(model), State(), 0.0
    for number, layer in enumerate(stack, 1):
        seed = seeded("cpu", plan.random_state, RandomStream.LAYER, number).initial_seed()
        share = replace(plan, epochs=plan.epochs / len(stack), random_state=seed, patience=None)
        spent = 0.0
        for report in train(layer, examples, share, every=every, state=state):
            spent = seconds + report.seconds
            yield replace(report, seconds=spent, layer=number)
            layer.train()  # who looked at the model in between has put the layers to rest
        state, seconds = State(state.epoch, state.step), spent


def _stages(module: nn.Module) -> list[nn.Sequential]:
    """The parts of a chain of layers: one that has weights each, with what prepares its input and what follows."""
    stages, before, weighs = list[nn.Sequential](), list[nn.Module](), False
    for layer in module if isinstance(module, nn.Sequential) else [module]:
        own = next(layer.parameters(), None) is not None
        if weighs and (own or isinstance(layer, _LEADING)):
            stages, before, weighs = [*stages, nn.Sequential(*before)], [], False
        before, weighs = [*before, layer], weighs or own
    return [*stages, nn.Sequential(*before)]


def _not_mirrored(model: Model) -> NotPossibleError:
    return NotPossibleError(
        f"{model.architecture!r} cannot be trained layer by layer: that takes a decoder that undoes the encoder layer by layer, as "
        "MLP's does without decoder_hidden, and Conv's with up='transpose'"
    )
