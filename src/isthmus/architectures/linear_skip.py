"""A linear map beside the networks of another architecture."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from pydantic import model_validator
from torch import Generator, Tensor, nn

from isthmus.architectures.base import Pair, StartExamples
from isthmus.architectures.wrapping import Wrapping
from isthmus.errors import RecordError
from isthmus.nn.invariant import dense
from isthmus.nn.least_squares import least_squares, weighted_mean
from isthmus.nn.principal import principal_components
from isthmus.records import record

__all__ = ["LinearSkip"]

_START_VALUES, _START_EXAMPLES = 2**25, 20_000  # that principal components are computed from
_LEAST_VARIANCE = 1e-6  # of a component, relative to the first: below, it is rounding


@record
class LinearSkip(Wrapping):
    """Another architecture with a linear map beside its encoder, and one beside its decoder. Training begins with PCA.

    The encoder's map gives the principal components of the training examples, each with variance 1, and the decoder's map the examples by
    least squares; of many examples, of 20,000 or of as many as have 2^25 values, drawn at random. Missing values count as the mean of their
    feature, missing values of ``fit(X, target=...)`` not at all, and weights of examples and columns count. Both maps stay as they are:
    with ``partial_fit`` those of the first examples, or of ``scaling_sample``. What the networks of ``of`` add is multiplied by a learned
    factor each, which is 0 at first (Bachlechner, Majumder, Mao, Cottrell & McAuley 2021, "ReZero is all you need"), so that they learn
    what PCA misses. This helps where few examples have many features, as photographs and textures, and where the relations of columns are
    nearly linear.

    Where the likelihood changes the output, as ``Bernoulli`` and the categories of ``Mixed`` do, the decoder has no map and is that of
    ``of``; with ``Normal("learned")`` it has one.

    Args:
        of: the architecture of the networks. Its code is a vector.

    Examples:
        >>> Autoencoder(4, architecture=LinearSkip(MLP((32,))), likelihood=Normal(), epochs=1, random_state=0).fit(X).code_shape_
        (4,)
    """

    @model_validator(mode="after")
    def _is_innermost(self) -> LinearSkip:
        if self.of.context is not None:
            raise ValueError(f"of={self.of!r} is conditional: write Conditional(LinearSkip(...)) instead")
        return self

    def start_examples(self, shape: tuple[int, ...]) -> int:
        """The number of examples that `start` receives at most: 20,000, or as many as have 2^25 values.

        Args:
            shape: of one example.
        """
        return max(1, min(_START_EXAMPLES, _START_VALUES // math.prod(shape)))

    @property
    def fixed(self) -> tuple[str, ...]:
        return ("weight", "bias", "mapped", *(f"inner.{name}" for name in self.of.fixed))

    def build(
        self,
        shape: tuple[int, ...],
        encoder_outputs: int,
        size: int,
        generator: Generator,
        outputs: tuple[int, ...] | None = None,
    ) -> Pair:
        if self.of.positions(shape):
            raise RecordError(
                f"LinearSkip needs a code that is a vector, and that of {self.of!r} is a map; set code='vector'"
            )
        sizes = (shape, encoder_outputs, size, generator)
        inner = self.of.build(*sizes) if outputs is None else self.of.build(*sizes, outputs)
        features, outputs = math.prod(shape), shape if outputs is None else outputs
        return Pair(
            WithLinearMap(inner.encoder, features, (encoder_outputs,)), WithLinearMap(inner.decoder, size, outputs)
        )

    @torch.no_grad()
    def start(self, pair: Pair, shown: StartExamples, size: int, code: Callable[[Tensor], Tensor]) -> None:
        encoder, decoder = pair
        assert isinstance(encoder, WithLinearMap)
        assert isinstance(decoder, WithLinearMap)
        if encoder.mapped.any():  # an untrained model that has its map, from other examples perhaps
            return
        x, roots = shown.x.flatten(1), shown.weights.sqrt().to(shown.x)[:, None]
        mean, metric = weighted_mean(x, shown.weights), shown.importance.flatten().double().sqrt().numpy(force=True)
        scaled = (x - mean.to(x)) * roots * shown.importance.flatten().sqrt().to(x)
        unit = float(scaled.abs().max())  # so that squares neither overflow nor vanish
        if not unit:
            return
        if (shown.weights != shown.weights[0]).any():
            scaled = torch.cat([scaled, -scaled])  # their mean, which scikit-learn subtracts, is 0
        pca = principal_components((scaled / unit).float().numpy(force=True), min(size, *x.shape))
        variance = np.asarray(pca.explained_variance_, np.float64) * unit**2
        used = variance > _LEAST_VARIANCE * variance[0]
        axes = np.asarray(pca.components_, np.float64)[used] * metric / np.sqrt(variance[used])[:, None]
        encoder.set_map(axes, -axes @ mean.numpy(force=True))
        if shown.target.shape[1:] != decoder.outputs:
            return
        z = torch.cat([code(encoder(part)) for part in shown.x.split(self.inference_batch_size)])
        slopes, bias = least_squares(z.flatten(1), shown.target.flatten(1), shown.weights, shown.counted)
        linear = shown.linear.flatten().numpy(force=True)
        decoder.set_map(slopes * linear[:, None], bias * linear)


class WithLinearMap(nn.Module):
    """A network plus a fixed linear map of its input. Where there is a map, the network's output has a learned factor, first 0.

    Args:
        inner: the network, (b, ...) -> (b, *outputs).
        features: of its input.
        outputs: the shape of its output.
    """

    weight: Tensor
    bias: Tensor
    mapped: Tensor

    def __init__(self, inner: nn.Module, features: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.inner, self.outputs = inner, outputs
        self.factor = nn.Parameter(torch.zeros(()))
        self.register_buffer("weight", torch.zeros(math.prod(outputs), features))
        self.register_buffer("bias", torch.zeros(math.prod(outputs)))
        self.register_buffer("mapped", torch.zeros(outputs))  # 1 for the outputs that have a map

    def set_map(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Sets the first rows and columns of the map; the others stay 0. Rows of zeros are no map."""
        rows, columns = weight.shape
        self.weight[:rows, :columns] = torch.as_tensor(weight).to(self.weight)
        self.bias[:rows] = torch.as_tensor(bias).to(self.bias)
        self.mapped.flatten()[:rows] = torch.as_tensor(weight.any(1)).to(self.mapped)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # the map is computed in the precision of its weights
            linear = dense(x.flatten(1).to(self.weight.dtype), self.weight, self.bias).reshape(-1, *self.outputs)
        factors = torch.lerp(torch.ones_like(self.mapped), self.factor, self.mapped)
        added: Tensor = linear + factors * self.inner(x)
        return added
