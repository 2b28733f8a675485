"""Dense layers."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Generator, Tensor, nn

from isthmus.architectures.base import Architecture, Initialization, Pair, blank, initialize
from isthmus.errors import RecordError
from isthmus.nn.activations import Activation, activation_layers
from isthmus.nn.dense_stack import DenseStack
from isthmus.nn.invariant import dense
from isthmus.nn.invariant_layers import Dense
from isthmus.records import Sizes, record

__all__ = ["MLP"]

_LARGE = 2**17  # weights


@record
class MLP(Architecture):
    """Dense layers: encoder (d, *hidden, encoder_outputs), decoder (size, *hidden reversed, d), for examples of any shape.

    ``hidden=()`` is one layer each; with ``tied=True`` and a linear code this is principal component analysis. ``decoder_hidden`` sets
    other hidden layers for the decoder. With ``tied=True`` the decoder uses the transposed weights of the encoder and its own biases.

    Examples:
        >>> Autoencoder(4, architecture=MLP((64, 32))).initialize(X).n_parameters_
        12804
    """

    hidden: Sizes = (512, 256)
    activation: Activation = "relu"
    decoder_hidden: Sizes | None = None
    tied: bool = False
    initialization: Initialization = "glorot"

    def prefers_bfloat16(self, shape: tuple[int, ...]) -> bool:
        """If the first layer is so large that its matrix product dominates the cost.

        Args:
            shape: of one example.
        """
        return bool(self.hidden) and math.prod(shape) * self.hidden[0] >= _LARGE

    def build(
        self,
        shape: tuple[int, ...],
        encoder_outputs: int,
        size: int,
        generator: Generator,
        outputs: tuple[int, ...] | None = None,
    ) -> Pair:
        outputs = shape if outputs is None else outputs
        d = math.prod(shape)
        down = (d, *self.hidden, encoder_outputs)
        up = (size, *(self.hidden[::-1] if self.decoder_hidden is None else self.decoder_hidden), math.prod(outputs))
        if self.tied and up != down[::-1]:
            several = "" if outputs == shape else f", since the likelihood asks for outputs of shape {outputs}"
            raise RecordError(
                f"MLP: tied weights need a mirrored pair, but the layers are {down} and {up}{several}; use tied=False"
            )
        encoders = [blank(Dense, a, b) for a, b in pairwise(down)]
        decoders: list[nn.Module] = (
            [Transposed(e) for e in encoders[::-1]] if self.tied else [blank(Dense, a, b) for a, b in pairwise(up)]
        )
        encoder = DenseStack(nn.Flatten(), *self._between(encoders))
        decoder = DenseStack(*self._between(decoders), nn.Unflatten(1, outputs))
        initialize(encoder, self.initialization, generator)
        initialize(decoder, self.initialization, generator)
        return Pair(encoder, decoder)

    def _between(self, layers: list[nn.Module]) -> list[nn.Module]:
        """The layers with the activation between them, but not after the last."""
        return [part for layer in layers[:-1] for part in (layer, *activation_layers(self.activation))] + layers[-1:]


class Transposed(nn.Module):
    """A dense layer with the transposed weights of another one and its own bias."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, nn.Linear)
        self._of = (layer,)  # in a tuple, so that the weights are the encoder's alone
        self.bias = nn.Parameter(layer.weight.new_zeros(layer.in_features))

    def forward(self, x: Tensor) -> Tensor:
        return dense(x, self._of[0].weight.T, self.bias)
