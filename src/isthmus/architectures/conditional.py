"""Encoders and decoders that also receive labels or covariates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import model_validator
from torch import Generator, Tensor, nn

from isthmus.architectures.base import Pair, StartExamples, blank
from isthmus.architectures.wrapping import Wrapping
from isthmus.errors import NotPossibleError, RecordError
from isthmus.nn.invariant_layers import Dense
from isthmus.records import Count, record

__all__ = ["Conditional"]


@record
class Conditional(Wrapping):
    """Another architecture whose encoder and decoder also receive the label or the covariates of each example, the context.

    With ``Gaussian`` it is the conditional variational autoencoder (Sohn, Lee & Yan 2015, "Learning structured output representation
    using deep conditional generative models"; Kingma et al. 2014, section 2, model M2 with observed labels): the code need not hold
    what the context says, and ``sample`` makes examples of a class that is asked for.

    The decoder receives the context as further features of the code, at every position. To the encoder's input a learned linear map of
    the context is added, which is zero at the beginning. A context that is missing, as for the pseudo-inputs of a prior, adds nothing.

    Args:
        of: the architecture of encoder and decoder.
        context: the number of context features: one for each class, or one for each covariate. "auto": as many as ``fit(X, y)`` finds.
    """

    context: Count | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _is_not_nested(self) -> Conditional:
        if self.of.context is not None:
            raise ValueError(f"of={self.of!r} is conditional already; give the architecture without Conditional")
        return self

    def start_examples(self, shape: tuple[int, ...]) -> int:
        return self.of.start_examples(shape)

    def start(self, pair: Pair, shown: StartExamples, size: int, code: Callable[[Tensor], Tensor]) -> None:
        encoder, decoder = pair
        assert isinstance(encoder, ContextAdded)
        assert isinstance(decoder, ContextJoined)
        self.of.start(Pair(encoder.inner, decoder.inner), shown, size, code)

    @property
    def fixed(self) -> tuple[str, ...]:
        return tuple(f"inner.{name}" for name in self.of.fixed)

    def build(
        self,
        shape: tuple[int, ...],
        encoder_outputs: int,
        size: int,
        generator: Generator,
        outputs: tuple[int, ...] | None = None,
    ) -> Pair:
        if self.context == "auto":
            raise RecordError(
                "Conditional: the number of context features is unknown; fit(X, y) finds it, or give context=..."
            )
        sizes = (shape, encoder_outputs, size + self.context, generator)
        inner = self.of.build(*sizes) if outputs is None else self.of.build(*sizes, outputs)
        return Pair(ContextAdded(inner.encoder, self.context, shape), ContextJoined(inner.decoder, self.context))


class ContextAdded(nn.Module):
    """An encoder to whose input a linear map of the context is added, one value for each value of an example."""

    def __init__(self, inner: nn.Module, context: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.context, self.inner = shape, context, inner
        self.map = blank(Dense, context, math.prod(shape), bias=False)
        for weight in self.map.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            added: Tensor = self.inner(x)
        else:
            added = self.inner(x + self.map(context.to(x.dtype)).reshape(-1, *self.shape))
        return added


class ContextJoined(nn.Module):
    """A decoder that receives the context as further features of the code at every position."""

    def __init__(self, inner: nn.Module, context: int) -> None:
        super().__init__()
        self.inner, self.context = inner, context

    def forward(self, z: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            raise NotPossibleError("a conditional decoder requires the label or the covariates of each code: pass y")
        everywhere = context.to(z.dtype).reshape(z.shape[0], *[1] * (z.ndim - 2), self.context)
        decoded: Tensor = self.inner(torch.cat([z, everywhere.expand(*z.shape[:-1], -1)], -1))
        return decoded
