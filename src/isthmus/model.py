"""The nn.Module that joins the four components: example -> code -> reconstruction -> loss.

It is independent of corruption, devices, epochs and logging: training calls ``model(corrupt(x), target=x)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Num
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from isthmus.architectures.base import Architecture
from isthmus.bottlenecks.base import Bottleneck, Code
from isthmus.likelihoods import Likelihood
from isthmus.nn.device import autocast_to
from isthmus.nn.module_rng import draw_from
from isthmus.scaling import Affine, Extent

__all__ = ["Losses", "Model", "Trainable"]

_IMPUTATIONS = 2  # rounds of imputation after the first fill; other numbers would change what a model file means


class Losses(NamedTuple):
    """The loss of each example of a batch, in nats per example, and statistics of the batch."""

    nll: Float[Tensor, "b"]
    penalty: Float[Tensor, "b"]
    stats: Mapping[str, Float[Tensor, ""]]

    @property
    def total(self) -> Float[Tensor, "b"]:
        """nll + penalty; for a variational autoencoder the negative ELBO."""
        return self.nll + self.penalty


class Trainable(nn.Module):
    """The contract between a model and the training loop: it normalizes raw examples and computes the loss of a batch.

    An autoencoder is one; its target is the example. A single layer in layer-wise training and a classifier are others.
    """

    shape: tuple[int, ...]  # of one example in its units

    @property
    def device(self) -> torch.device:
        """The device of its tensors."""
        raise NotImplementedError

    @property
    def stochastic(self) -> bool:
        """Whether a step draws random numbers. If not, it need not seed a generator."""
        return False

    @property
    def cuda_graph_safe(self) -> bool:
        """Whether a CUDA graph can capture a training step: it has no modules of the user, which may draw from the global generators."""
        return True

    def normalize(self, raw: Tensor) -> Tensor:
        """Raw examples (b, *x) -> (b, *shape), without a gradient."""
        raise NotImplementedError

    def forward(self, x: Tensor, target: Tensor, generator: Generator, autocast: torch.dtype | None = None) -> Losses:
        """The loss of reconstructing the target from x (b, *shape), which may be corrupted, with the code used in training."""
        raise NotImplementedError

    def score(self, x: Tensor, target: Tensor) -> Losses:
        """The loss without random numbers, as at inference."""
        raise NotImplementedError

    def first_nonfinite(self) -> str | None:
        """The name of the first tensor with a value that is not finite, else None."""
        learned = sorted(self.state_dict().items())
        return next((name for name, value in learned if not torch.isfinite(value).all()), None)


class Model(Trainable):
    """An autoencoder: encoder, bottleneck, decoder, likelihood, and the map between raw and model units.

    Args:
        shape: the shape of one example.
        architecture, bottleneck, likelihood: the components.
        affine: the map from raw to model units; examples are scaled, and reconstructions returned, in its dtype.
        generator: draws the initial weights; the global generators are not changed.
        dtype: the dtype of the weights, and of all values in model units.
        fill: the initial replacement of missing values, (*shape), in model units. With it NaN means a missing value, in examples and
            targets; without it there must be no NaN.
        extent: the range of the training examples, in raw units and the dtype of ``affine``. A feature that was constant is
            reconstructed as this constant. None: unknown, as in old files.
    """

    shift: Tensor
    scale: Tensor
    log_scales: Tensor
    fill: Tensor | None
    least: Tensor | None
    largest: Tensor | None

    def __init__(
        self,
        shape: tuple[int, ...],
        architecture: Architecture,
        bottleneck: Bottleneck,
        likelihood: Likelihood,
        affine: Affine,
        generator: Generator,
        dtype: torch.dtype = torch.float32,
        fill: NDArray[Any] | None = None,
        extent: Extent | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.bottleneck, self.likelihood = shape, bottleneck, likelihood
        self.dtype, self.architecture = dtype, architecture
        self.encoder, self.decoder = architecture.build(shape, bottleneck.encoder_outputs, bottleneck.size, generator)
        self.code_memory = bottleneck.variables(generator)
        self.likelihood_memory = likelihood.variables()
        for part in self.children():
            part.to(dtype)
        # without a shift, as for bytes, scaling is one pass over the data, not three
        self.only_divides = affine.shift.dtype == np.float32 and not affine.shift.any()
        self.register_buffer("shift", torch.as_tensor(affine.shift))
        self.register_buffer("scale", torch.as_tensor(affine.scale))
        log_scales = np.log(affine.scale.astype(np.float64))
        self.log_scale_sum = float(log_scales.mean()) * math.prod(shape)  # the logarithm of the Jacobian of the scaling
        self.register_buffer("log_scales", torch.as_tensor(log_scales).to(dtype), persistent=False)
        self.register_buffer("fill", None if fill is None else torch.as_tensor(fill).to(dtype))
        self.register_buffer("least", None if extent is None else torch.as_tensor(extent.least))
        self.register_buffer("largest", None if extent is None else torch.as_tensor(extent.largest))
        self.has_constants = extent is not None and bool(extent.constant.any())

    @property
    def device(self) -> torch.device:
        return self.shift.device

    @property
    def affine(self) -> Affine:
        """The map from raw to model units."""
        return Affine(self.shift.numpy(force=True), self.scale.numpy(force=True))

    @property
    def extent(self) -> Extent | None:
        """The range of the training examples in raw units, None if it is unknown."""
        if self.least is None or self.largest is None:
            return None
        return Extent(self.least.numpy(force=True), self.largest.numpy(force=True))

    @property
    def stochastic(self) -> bool:
        return self.bottleneck.stochastic or self.architecture.stochastic

    @property
    def cuda_graph_safe(self) -> bool:
        return not self.architecture.stochastic

    def normalize(self, raw: Num[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        """Converts examples (b, *shape) from raw to model units."""
        if self.only_divides and raw.dtype != torch.float64:
            return torch.true_divide(raw, self.scale).to(self.dtype)
        return ((raw.to(self.shift.dtype) - self.shift) / self.scale).to(self.dtype)

    def denormalize(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        """Converts examples (b, *shape) from model to raw units."""
        return x.to(self.shift.dtype) * self.scale + self.shift

    def decode_raw(self, z: Float[Tensor, "b *code"]) -> Float[Tensor, "b *x"]:
        """The reconstructions of codes, in raw units. Features that were constant in training keep their value."""
        raw = self.denormalize(self.decode(z))
        if not self.has_constants:
            return raw
        assert self.least is not None
        assert self.largest is not None
        return torch.where(self.least == self.largest, self.least, raw)

    def impute(self, x: Float[Tensor, "b *x"], autocast: torch.dtype | None = None) -> Float[Tensor, "b *x"]:
        """Examples with imputed missing values: first the fill, then in each round the model's own reconstruction.

        Training runs through all rounds, so that each round improves the input of the next.
        """
        if self.fill is None:
            return x
        missing = x.isnan()
        imputed = torch.where(missing, self.fill, x)
        for _ in range(_IMPUTATIONS):
            code = self.bottleneck.deterministic(self._through(self.encoder, imputed, autocast), self.code_memory)
            imputed = torch.where(missing, self.likelihood.mean(self._through(self.decoder, code.z, autocast)), x)
        return imputed

    def forward(
        self,
        x: Float[Tensor, "b *x"],
        target: Float[Tensor, "b *x"],
        generator: Generator,
        autocast: torch.dtype | None = None,
    ) -> Losses:
        """The loss of reconstructing the target from x, with the code used in training."""
        with self._user_draws_from(generator):
            code = self.bottleneck(self._hidden(x, autocast), self.code_memory, generator)
            return self._losses(code, target, autocast)

    def score(self, x: Float[Tensor, "b *x"], target: Float[Tensor, "b *x"]) -> Losses:
        """The loss with the code used at inference, without random numbers."""
        return self._losses(self.bottleneck.deterministic(self._hidden(x), self.code_memory), target)

    def nll(self, y: Float[Tensor, "b *x"], target: Float[Tensor, "b *x"]) -> Float[Tensor, "b"]:
        """-log p(target | y) of decoder outputs, in nats per example and in the units of the data.

        The Jacobian of the scaling converts a density in model units to one in raw units, so that different scalings are comparable:
        it adds log(scale) for each observed value. A probability mass does not change. Scaling enters nowhere else.
        """
        variables, density = self.likelihood_memory, self.likelihood.density
        if self.fill is None:
            nll = self.likelihood.nll(y, target, variables)
            return nll + self.log_scale_sum if density else nll
        observed = ~target.isnan()
        nll = self.likelihood.nll(y, target.where(observed, self.fill), variables, observed)
        return nll + self.log_scale_sums(observed) if density else nll

    def log_scale_sums(self, observed: Bool[Tensor, "b *x"]) -> Float[Tensor, "b"]:
        """The sum of log(scale) over the observed values of each example, (b,)."""
        return torch.where(observed, self.log_scales, 0).flatten(1).sum(1)

    def represent(
        self, x: Float[Tensor, "b *x"], generator: Generator, autocast: torch.dtype | None = None
    ) -> Float[Tensor, "b *code"]:
        """The deterministic codes, for training a classifier on them: user layers may draw random numbers from the generator."""
        with self._user_draws_from(generator):
            return self.bottleneck.deterministic(self._hidden(x, autocast), self.code_memory).z

    def encode(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *code"]:
        """The codes used at inference, of examples in model units."""
        return self.bottleneck.deterministic(self._hidden(x), self.code_memory).z

    def decode(self, z: Float[Tensor, "b *code"]) -> Float[Tensor, "b *x"]:
        """The reconstructions of codes, in model units."""
        return self.likelihood.mean(self._output(z))

    def update_variables(self) -> bool:
        """Replaces the likelihood's variables if a file of an older format had others. Returns whether it did."""
        variables = self.likelihood.variables().to(self.device, self.dtype)
        if variables.state_dict().keys() == self.likelihood_memory.state_dict().keys():
            return False
        variables.load_state_dict(self.likelihood_memory.state_dict(), strict=False)
        self.likelihood_memory = variables
        return True

    def first_nonfinite(self) -> str | None:
        """The name of the first weight or variable with a value that is not finite, else None. Buffers of user modules do not count."""
        user_buffers = {name for name, _ in self.named_buffers() if name.startswith(("encoder.", "decoder."))}
        learned = sorted(item for item in self.state_dict().items() if item[0] not in user_buffers)
        return next((name for name, value in learned if not torch.isfinite(value).all()), None)

    def _user_draws_from(self, generator: Generator) -> AbstractContextManager[object]:
        """A context in which user layers draw from this generator instead of the global ones."""
        return draw_from(generator, self.device) if self.architecture.stochastic else nullcontext()

    def _losses(self, code: Code, target: Tensor, autocast: torch.dtype | None = None) -> Losses:
        return Losses(self.nll(self._output(code.z, autocast), target), code.penalty, code.stats)

    def _hidden(self, x: Tensor, autocast: torch.dtype | None = None) -> Tensor:
        return self._through(self.encoder, self.impute(x, autocast), autocast)

    def _output(self, z: Tensor, autocast: torch.dtype | None = None) -> Tensor:
        return self._through(self.decoder, z, autocast)

    @staticmethod
    def _through(part: nn.Module, x: Tensor, autocast: torch.dtype | None) -> Tensor:
        """The output of encoder or decoder, possibly in another precision. Bottleneck and likelihood compute in full precision."""
        with autocast_to(x, autocast):
            output: Tensor = part(x)
        return output.to(x.dtype)
