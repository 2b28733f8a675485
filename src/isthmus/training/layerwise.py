"""Greedy layer-wise pretraining: each encoder layer and its mirrored decoder layer are trained as an autoencoder, first to last.

A pair reconstructs the output of the earlier encoder layers. Pairs share their layers with the model and are trained in place, as
initial weights for the whole model. Hinton & Salakhutdinov 2006 pretrained with restricted Boltzmann machines, Bengio et al. 2007
with autoencoders. With a corruption each pair denoises its own corrupted input (Vincent et al. 2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from isthmus.bottlenecks import Identity
from isthmus.bottlenecks.base import Bottleneck
from isthmus.corruptions import Corrupted, Corruption
from isthmus.errors import NotPossibleError
from isthmus.likelihoods import Likelihood, Normal
from isthmus.model import Model
from isthmus.nn.device import autocast_to
from isthmus.nn.layers import FeaturesFirst, ToChannelsFirst
from isthmus.nn.processes import gathered, own_rows, own_weights
from isthmus.nn.variables import Variables, weighing
from isthmus.schedules import Constant
from isthmus.trainable import Batch, Losses, Trainable
from isthmus.training.batches import Source
from isthmus.training.config import TrainingConfig
from isthmus.training.loop import train
from isthmus.training.rng import RandomStream, seeded
from isthmus.training.state import ReportEvery, Reports, State

__all__ = ["Layer", "paired_layers", "pretrain"]

# layers without weights that belong to the layer after them
_PREPARING = (nn.Flatten, nn.Identity, nn.Upsample, ToChannelsFirst, FeaturesFirst)


class Layer(Trainable):
    """An encoder layer of a model and its mirrored decoder layer, as an autoencoder of the output of the earlier encoder layers.

    The first pair has the model's likelihood, the others a normal one with a learned scale. The last pair has the model's bottleneck.

    Args:
        model: the model that the layers belong to.
        below: the encoder layers before this one; they receive clean examples.
        encoder, decoder: the pair of layers.
        shape: the shape of one input of the pair.
        last: whether the code of the pair is the code of the model.
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
        # a ReLU at the output could stay at 0, without a gradient
        without_relu = [part for part in decoder.children() if not isinstance(part, nn.ReLU)]
        self.encoder, self.decoder, self.shape = encoder, nn.Sequential(*without_relu), shape
        self.bottleneck: Bottleneck = model.bottleneck if last else Identity(1)
        self.code_memory = model.code_memory if last else Variables()
        self.likelihood: Likelihood = model.likelihood if first else Normal("learned")
        self.likelihood_memory = (
            model.likelihood_memory if first else self.likelihood.variables(shape).to(model.device, model.dtype)
        )
        self._seen = model.likelihood.encoder_input if first else _unchanged
        fill = model.fill
        self._fill = fill if first or fill is None else torch.zeros((), dtype=fill.dtype, device=fill.device)
        self._context = (model, below)  # in a tuple, so that neither becomes a submodule

    @property
    def device(self) -> torch.device:
        return self._context[0].device

    @property
    def stochastic(self) -> bool:
        return self.bottleneck.stochastic

    def factors(self, progress: float) -> tuple[float, ...] | None:
        schedule = self.bottleneck.schedule
        return None if schedule == Constant() else (schedule(progress),)

    @property
    def divisible(self) -> bool:
        return self._context[0].divisible

    def net_parameters(self) -> Iterator[nn.Parameter]:
        for part in (self.encoder, self.decoder, self.likelihood_memory):
            yield from part.parameters()

    def normalize(self, raw: Tensor) -> Tensor:
        return self._context[0].normalize(raw)

    @torch.no_grad()
    def inputs(self, x: Tensor) -> Tensor:
        """The output of the earlier encoder layers."""
        model, below = self._context
        # the first pair keeps NaN, since its likelihood excludes missing values
        hidden: Tensor = below(model.likelihood.encoder_input(_fill_missing(x, model.fill))) if len(below) else x
        return hidden

    def corrupt(self, corruption: Corruption, x: Tensor, generator: Generator) -> Corrupted:
        model, below = self._context
        return super().corrupt(corruption, x, generator) if len(below) else model.corrupt(corruption, x, generator)

    def forward(self, batch: Batch, generator: Generator, autocast: torch.dtype | None = None) -> Losses:
        """The losses (b,) of reconstructing the target (b, *shape), in nats per example."""
        x = batch.x
        with autocast_to(x, autocast):
            hidden = self.encoder(own_rows(self._seen(_fill_missing(x, self._fill))))
        with weighing(batch.weights, self.code_memory):
            code = self.bottleneck(gathered(hidden.to(x.dtype), len(x)), self.code_memory, generator)
        with autocast_to(x, autocast):
            output = self.decoder(own_rows(code.z))
        counted = None if batch.counted is None else own_rows(batch.counted)
        with weighing(own_weights(batch.weights, batch.target), self.likelihood_memory):
            nll = gathered(self._nll(output.to(x.dtype), own_rows(batch.target), counted), len(x))
        penalty = code.penalty if batch.factors is None else code.penalty * batch.factors[0]
        return Losses(nll, penalty, code.stats)

    def score(self, batch: Batch) -> Losses:
        code = self.bottleneck.deterministic(
            self.encoder(self._seen(_fill_missing(batch.x, self._fill))), self.code_memory
        )
        return Losses(self._nll(self.decoder(code.z), batch.target, batch.counted), code.penalty, code.stats)

    def _nll(self, y: Tensor, target: Tensor, counted: Tensor | None) -> Tensor:
        """The negative log-likelihood (b,) in nats per example: for the first pair in raw units, for the others of hidden values."""
        model, below = self._context
        if not len(below):
            return model.nll(y, target, counted)
        return self.likelihood.nll(y, target, self.likelihood_memory, counted)


def _fill_missing(x: Tensor, fill: Tensor | None) -> Tensor:
    """Examples with `fill` in place of NaN: values that are missing, or that a corruption has removed."""
    return x if fill is None else torch.where(x.isnan(), fill, x)


def _unchanged(x: Tensor) -> Tensor:
    return x


def paired_layers(model: Model) -> list[Layer]:
    """The layers of the model as autoencoders, first to last.

    Raises:
        NotPossibleError: the decoder does not mirror the encoder layer by layer.
    """
    if model.likelihood.outputs(model.shape) != model.shape:
        raise NotPossibleError(
            f"{model.likelihood!r} cannot be trained layer by layer: the decoder outputs several parameters of each value, and so does "
            "not mirror the encoder; pass layerwise=False"
        )
    if model.bottleneck.draws > 1 or model.bottleneck.anchors:
        raise NotPossibleError(
            f"{model.bottleneck!r} cannot be trained layer by layer: it requires the whole model; pass layerwise=False"
        )
    if model.architecture.context is not None:
        raise NotPossibleError(
            f"{model.architecture!r} cannot be trained layer by layer: single layers receive no context; pass layerwise=False"
        )
    encoders, decoders = _split_layers(model.encoder), _split_layers(model.decoder)[::-1]
    if model.architecture.user_defined or len(encoders) != len(decoders):
        raise _not_mirrored(model)
    pairs, below, x = (
        list[Layer](),
        nn.Sequential(),
        torch.zeros(3, *model.shape, dtype=model.dtype, device=model.device),
    )
    for number, (encoder, decoder) in enumerate(zip(encoders, decoders, strict=True), 1):
        last = number == len(encoders)
        pairs.append(Layer(model, below, encoder, decoder, tuple(x.shape[1:]), last))
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
    return pairs


def pretrain(model: Model, examples: Source, config: TrainingConfig, every: ReportEvery = None) -> Reports:
    """Trains the pairs of layers of a model one after the other, in place. Each gets an equal part of the epochs.

    Yields:
        Reports, with the number of the layer.

    Raises:
        NotPossibleError: the decoder does not mirror the encoder layer by layer.
        DivergenceError: the training of a layer diverged.
    """
    stack, state, seconds = paired_layers(model), State(), 0.0
    for number, layer in enumerate(stack, 1):
        seed = seeded("cpu", config.random_state, RandomStream.LAYER, number).initial_seed()
        share = replace(config, epochs=config.epochs / len(stack), random_state=seed, patience=None)
        spent = 0.0
        for report in train(layer, examples, share, every=every, state=state):
            spent = seconds + report.seconds
            yield replace(report, seconds=spent, layer=number)
            layer.train()  # the caller may have put the model into evaluation mode
        state, seconds = State(state.epoch, state.step), spent


def _split_layers(module: nn.Module) -> list[nn.Sequential]:
    """Splits a chain of layers into parts with one layer that has weights, the layers that prepare its input, and its activation."""
    stages, pending, has_weights = list[nn.Sequential](), list[nn.Module](), False
    for layer in module if isinstance(module, nn.Sequential) else [module]:
        own = next(layer.parameters(), None) is not None
        if has_weights and (own or isinstance(layer, _PREPARING)):
            stages, pending, has_weights = [*stages, nn.Sequential(*pending)], [], False
        pending, has_weights = [*pending, layer], has_weights or own
    return [*stages, nn.Sequential(*pending)]


def _not_mirrored(model: Model) -> NotPossibleError:
    return NotPossibleError(
        f"{model.architecture!r} cannot be trained layer by layer: its decoder does not mirror the encoder; "
        "use MLP without decoder_hidden, or Conv with up='transpose'"
    )
