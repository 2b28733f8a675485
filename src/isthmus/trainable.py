"""The contract between a model and the training loop: a batch goes in, the losses of its examples come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from isthmus.corruptions import Corrupted, Corruption
from isthmus.native import Kernels

__all__ = ["Batch", "GradientPass", "Losses", "Trainable"]


class Batch(NamedTuple):
    """What a training step gives to a model, in model units.

    Attributes:
        x: the encoder's input (b, *shape), perhaps corrupted.
        target: what the decoder reconstructs (b, *shape); for a classifier the classes (b,).
        counted: (b, *shape), False where the loss does not count a value of the target; None: all count.
        context: labels or covariates (b, context), which encoder and decoder of a conditional architecture receive; None without.
        factors: the factors that `Trainable.factors` gives, None if all are 1.
        weights: (b,), the weights of the losses of examples, with mean 1 over all examples; None if all are 1.
    """

    x: Float[Tensor, "b *x"]
    target: Tensor
    counted: Bool[Tensor, "b *x"] | None = None
    context: Float[Tensor, "b context"] | None = None
    factors: tuple[float | Tensor, ...] | None = None
    weights: Float[Tensor, "b"] | None = None


class Losses(NamedTuple):
    """The loss of each example of a batch, in nats per example, and statistics of the batch.

    ``shared`` is the part of ``penalty`` that every example has in common: the cost of the batch as a whole.
    """

    nll: Float[Tensor, "b"]
    penalty: Float[Tensor, "b"]
    stats: Mapping[str, Float[Tensor, ""]]
    shared: Float[Tensor, ""] | None = None

    @property
    def total(self) -> Float[Tensor, "b"]:
        """nll + penalty; for a variational autoencoder the negative ELBO."""
        return self.nll + self.penalty

    def weighted(self, weights: Float[Tensor, "b"] | None) -> Losses:
        """The losses of examples times their weights. The cost of the batch as a whole counts once, whatever the weights.

        Args:
            weights: (b,), with mean 1 over all examples; None if all are 1.
        """
        if weights is None:
            return self
        if self.shared is None:
            return self._replace(nll=self.nll * weights, penalty=self.penalty * weights)
        own = self.penalty - self.shared
        return self._replace(nll=self.nll * weights, penalty=own * weights + self.shared)


class GradientPass(Protocol):
    """What computes the losses of a batch, and gradients.

    Attributes:
        kernels: which do it.
    """

    kernels: Kernels

    def takes(self, batch: Batch) -> bool:
        """Whether it can compute the losses of a batch."""

    def __call__(self, batch: Batch, generator: Generator, weight: float) -> Losses:
        """The losses of a batch, without gradients. The parameters have the gradients of ``weight`` times their sum."""


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

    @property
    def divisible(self) -> bool:
        """Whether several processes can compute a step: its nets treat each example by itself, and draw no random numbers."""
        return False

    @property
    def thread_invariant(self) -> bool:
        """Whether the bits of a training step in float32 do not depend on the number of threads, which may then change in a run."""
        return False

    def kernel_pass(self, rows: int) -> GradientPass | None:
        """What computes losses and gradients of batches of so many rows without autograd, as the model is now; None: nothing does."""
        return None

    def net_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of which each of several processes computes the gradient of its own rows alone (`isthmus.nn.processes`)."""
        yield from ()

    def normalize(self, raw: Tensor) -> Tensor:
        """Raw examples (b, *x) -> (b, *shape), without a gradient."""
        raise NotImplementedError

    def inputs(self, x: Tensor) -> Tensor:
        """What it reconstructs of augmented examples (b, *x) in model units, without a gradient: by default the examples."""
        return x

    def corrupt(self, corruption: Corruption, x: Tensor, generator: Generator) -> Corrupted:
        """Corrupted examples x (b, *shape), and which values of the target the loss counts."""
        return corruption.marked(x, generator)

    @property
    def start_examples(self) -> int:
        """The number of examples that `start` receives at most; 0 if it needs none."""
        return 0

    def start(self, x: Tensor, target: Tensor, weights: Tensor | None) -> None:
        """Sets weights from examples (b, *shape), their targets and weights (b,) before the first step, in place; by default none."""

    def factors(self, progress: float) -> tuple[float, ...] | None:
        """The factors of scheduled penalties after this fraction of the training; None if all are 1."""
        return None

    def forward(self, batch: Batch, generator: Generator, autocast: torch.dtype | None = None) -> Losses:
        """The loss of reconstructing the target, with the code used in training."""
        raise NotImplementedError

    def score(self, batch: Batch) -> Losses:
        """The loss without random numbers, as at inference."""
        raise NotImplementedError

    def first_nonfinite(self) -> str | None:
        """The name of the first tensor with a value that is not finite, else None."""
        learned = sorted(self.state_dict().items())
        return next((name for name, value in learned if not torch.isfinite(value).all()), None)
