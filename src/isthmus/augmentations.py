"""Augmentations: changes of example and target alike, drawn anew at every training step.

An augmentation acts in model units (see `scaling`; images are in [0, 1]) before the corruption, and draws from the given generator.
``Shift(2) >> Binarize()`` applies one after the other. `Shift`, `Flip` and `Crop` are those of Krizhevsky, Sutskever & Hinton 2012,
"ImageNet classification with deep convolutional neural networks", section 4.1.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field, InstanceOf
from torch import Generator, Tensor

from isthmus.errors import RecordError
from isthmus.records import MAX_STEPS, Count, Record, record

__all__ = ["AugmentationChain", "Binarize", "Crop", "Dequantize", "Flip", "NoAugmentation", "Shift"]

_MANTISSA = 2.0**24  # the whole numbers that float32 can tell apart


class Domain(NamedTuple):
    """The values that an augmentation accepts, in model units: from ``low`` to ``high``."""

    low: float = -math.inf
    high: float = math.inf


class Made(NamedTuple):
    """The values of augmented examples, in model units: the given ones if ``kept``, ``points``, and all between them if ``continuous``."""

    kept: bool = True
    points: tuple[float, ...] = ()
    continuous: bool = False


SAME = Made()


class Augmentation(Record):
    """The contract of an augmentation."""

    @property
    def augments(self) -> bool:
        """Whether it changes anything."""
        return True

    @property
    def domain(self) -> Domain:
        """The values that it accepts, in model units: by default all."""
        return Domain()

    @property
    def steps(self) -> tuple[Augmentation, ...]:
        """The augmentations that are applied one after the other: itself, unless it is a chain."""
        return (self,)

    def made(self, of: Made = SAME) -> Made:
        """The values that it makes, which the likelihood must accept: by default those that it is given.

        Args:
            of: the values that it is given.
        """
        return of

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of augmented examples: by default that of the examples.

        Args:
            shape: of one example.

        Raises:
            RecordError: it does not apply to examples of this shape.
        """
        return shape

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *y"]:
        """Augmented examples (b, *self.shape(shape)), in model units: a new tensor, or x itself if nothing changes.

        Args:
            x: the examples (b, *shape), in model units. NaN where values are missing.
            generator: for the random numbers.
        """
        raise NotImplementedError

    def __rshift__(self, other: Augmentation) -> Augmentation:
        """This augmentation, then the other. `NoAugmentation` adds nothing.

        Args:
            other: another augmentation.
        """
        if not isinstance(other, Augmentation):
            return NotImplemented
        steps = (*self.steps, *other.steps)
        return steps[0] if len(steps) == 1 else AugmentationChain(steps) if steps else self


@record
class NoAugmentation(Augmentation):
    """No augmentation."""

    @property
    def augments(self) -> bool:
        return False

    @property
    def steps(self) -> tuple[Augmentation, ...]:
        return ()

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        return x


@record
class AugmentationChain(Augmentation):
    """Several augmentations, one after the other: what ``Shift(2) >> Binarize()`` makes."""

    augmentations: Annotated[tuple[InstanceOf[Augmentation], ...], Field(max_length=MAX_STEPS)]

    @property
    def augments(self) -> bool:
        return any(step.augments for step in self.augmentations)

    @property
    def domain(self) -> Domain:
        lows, highs = zip(Domain(), *(step.domain for step in self.augmentations), strict=True)
        return Domain(max(lows), min(highs))

    @property
    def steps(self) -> tuple[Augmentation, ...]:
        return tuple(step for each in self.augmentations for step in each.steps)

    def made(self, of: Made = SAME) -> Made:
        return reduce(lambda values, step: step.made(values), self.augmentations, of)

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        for step in self.augmentations:
            shape = step.shape(shape)
        return shape

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *y"]:
        for step in self.augmentations:
            x = step(x, generator)
        return x

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.augmentations)) if len(self.augmentations) > 1 else super().__repr__()


@record
class Binarize(Augmentation):
    """Each value becomes 1 with its own value as the probability, else 0, drawn anew at each step.

    This is the dynamic binarization of published likelihoods of MNIST (Salakhutdinov & Murray 2008, "On the quantitative analysis of
    deep belief networks"; Burda et al. 2016). Values are in [0, 1] in model units.

    Examples:
        >>> Binarize() >> Flip()
        Binarize() >> Flip()
    """

    @property
    def domain(self) -> Domain:
        return Domain(0, 1)

    def made(self, of: Made = SAME) -> Made:
        return Made(kept=False, points=(0.0, 1.0))

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        ones = torch.empty_like(x).uniform_(generator=generator) < x
        return torch.where(x.isnan(), x, ones.to(x.dtype))


@record
class Dequantize(Augmentation):
    """Adds uniform noise of one step and mean 0 to values that have only ``levels`` different ones (Theis et al. 2016, section 3.1).

    The values k / (levels - 1) become (k + u - 1/2) / (levels - 1) with u in [0, 1): their mean is the value that inference sees. They lie
    half a step around [0, 1]: the likelihood must be a density of all numbers, such as ``Normal("learned")``. (Dinh et al. 2017, "Real
    NVP", take (k + u) / levels.)

    In expectation the density of the noisy values is a lower bound on the probability of the original ones, in nats: in model units, for
    n values, E[log p(noisy)] - n log(levels - 1) <= log P(original). Losses and scores are in the units of the data, where this term is
    n log(step), 0 for whole numbers such as bytes: the loss in training is then such a bound. ``score_samples`` and ``log_likelihood``
    add no noise: they are the log density in the middle of each step, no bound, but log P where the density is constant within steps.

    ``levels`` is the number of values: 256 for bytes, 17 for the digits of scikit-learn.
    """

    levels: Annotated[int, Field(ge=2, le=2**16)] = 256

    @property
    def domain(self) -> Domain:
        return Domain(0, 1)

    def made(self, of: Made = SAME) -> Made:
        return Made(kept=False, points=(-0.5 / (self.levels - 1), 1 + 0.5 / (self.levels - 1)), continuous=True)

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        # a sum that is rounded to a neighboring level would leave its step
        margin = self.levels / _MANTISSA
        noise = torch.empty_like(x).uniform_(generator=generator).clamp_(margin, 1 - margin).sub_(0.5)
        return noise.add_((x * (self.levels - 1)).round_()).div_(self.levels - 1)


@record
class Shift(Augmentation):
    """Moves each image by up to ``pixels`` in each direction, at random (Krizhevsky et al. 2012).

    ``fill`` is the value of pixels that come into the image, in model units, or "edge": the nearest pixel. All channels move alike.
    """

    pixels: Count = 1
    fill: float | Literal["edge"] = 0.0

    def made(self, of: Made = SAME) -> Made:
        return of if self.fill == "edge" else of._replace(points=(*of.points, self.fill))

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        height, width = _sides(self, shape)
        if self.pixels >= (least := min(height, width)):
            raise RecordError(
                f"{self!r} could move images of {height} x {width} out of sight: use at most {least - 1} pixels"
            )
        return shape

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        places, inside = [], []
        for side in _sides(self, x.shape[1:]):
            move = torch.randint(-self.pixels, self.pixels + 1, (len(x), 1), generator=generator, device=x.device)
            place = torch.arange(side, device=x.device) - move
            inside.append((place >= 0) & (place < side))
            places.append(place.clamp(0, side - 1))
        moved = _pixels(x, *places)
        if self.fill == "edge":
            return moved
        seen = inside[0][:, :, None] & inside[1][:, None, :]
        return torch.where(seen.reshape(*seen.shape, *[1] * (x.ndim - 3)), moved, self.fill)


@record
class Flip(Augmentation):
    """Mirrors half of the images, at random: left and right ("horizontal"), or top and bottom ("vertical"). Krizhevsky et al. 2012."""

    axis: Literal["horizontal", "vertical"] = "horizontal"

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        _sides(self, shape)
        return shape

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        _sides(self, x.shape[1:])
        mirrored = torch.randint(2, (len(x), *[1] * (x.ndim - 1)), generator=generator, device=x.device) == 1
        return torch.where(mirrored, x.flip(2 if self.axis == "horizontal" else 1), x)


@record
class Crop(Augmentation):
    """A random part of each image (Krizhevsky et al. 2012). The autoencoder is then one of images of ``size`` pixels on both sides."""

    size: Count

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        height, width = _sides(self, shape)
        if self.size > min(height, width):
            raise RecordError(
                f"{self!r} requires images of at least {self.size} x {self.size} pixels, and these have {height} x {width}"
            )
        return (self.size, self.size, *shape[2:])

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *y"]:
        self.shape(tuple(x.shape[1:]))
        places = []
        for side in x.shape[1:3]:
            begin = torch.randint(side - self.size + 1, (len(x), 1), generator=generator, device=x.device)
            places.append(begin + torch.arange(self.size, device=x.device))
        return _pixels(x, *places)


def _sides(augmentation: Augmentation, shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of images; `RecordError` for examples that are not images."""
    if len(shape) not in {2, 3}:
        raise RecordError(
            f"{augmentation!r} requires images, (height, width) or (height, width, channels), and the shape of an example is {shape}"
        )
    return shape[0], shape[1]


def _pixels(
    x: Float[Tensor, "b h w *c"], rows: Int[Tensor, "b rows"], columns: Int[Tensor, "b columns"]
) -> Float[Tensor, "b rows columns *c"]:
    """The pixels of each image in these rows and columns, which differ from image to image."""
    each = torch.arange(len(x), device=x.device)
    return x[each[:, None, None], rows[:, :, None], columns[:, None, :]]
