"""Tables of numbers and categories."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Generator, Tensor, nn

from isthmus.errors import RecordError
from isthmus.likelihoods.base import NO_VARIABLES, Likelihood, Support, mask_uncounted
from isthmus.likelihoods.normal import Normal
from isthmus.nn.blocks import Classes, runs, split, width
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["Mixed"]


@record
class Mixed(Likelihood):
    """A table of numbers and categories, independent given the code: a density for the numbers, a softmax for each category.

    It belongs to the scaling ``Columns`` with the same ``classes``, which makes a block of 0 and 1 of each category (a heterogeneous
    likelihood as in Nazabal, Olmos, Ghahramani & Valera 2020, "Handling incomplete heterogeneous data using VAEs", section 3).
    The reconstruction of a category are the probabilities in its block; in the units of the data it is the most probable one.
    The cost of a category stands at the value of the block that is 1, the observed category; the others cost nothing.

    Args:
        classes: for each column 0 for a number, or the number of its categories. (): all are numbers.
        numbers: the likelihood of all numbers together, or a tuple with one for each column of numbers.

    Examples:
        >>> Mixed((0, 3, 0), numbers=Normal("learned")).outputs((5,))
        (5,)
    """

    classes: Classes = ()
    numbers: Likelihood | tuple[Likelihood, ...] = Normal()

    @model_validator(mode="after")
    def _there_is_one_for_each_number(self) -> Mixed:
        count = self.classes.count(0)
        if isinstance(self.numbers, tuple) and len(self.numbers) != count:
            raise ValueError(f"numbers has {len(self.numbers)} likelihoods, and classes={self.classes} {count} numbers")
        return self

    @property
    def density(self) -> bool:
        return any(part.density for part in self._parts)

    def densities(self, shape: tuple[int, ...]) -> bool | NDArray[np.bool_] | NDArray[np.float64]:
        if not self.classes:
            return self._parts[0].densities(shape)
        self.outputs(shape)  # checks it
        parts = zip(self._parts, self._shapes, strict=True)
        numbers = iter([each for part, own in parts for each in np.broadcast_to(part.densities(own), own)])
        return np.array([False if n else next(numbers) for n in self.classes for _ in range(max(1, n))])

    @property
    def parts(self) -> tuple[tuple[Likelihood, tuple[int, ...]], ...]:
        columns = tuple(column for column, n in enumerate(self.classes) if not n)
        own = [(column,) for column in columns] if isinstance(self.numbers, tuple) else [columns] * len(self._parts)
        return tuple(zip(self._parts, own, strict=True)) if self.classes else ()

    @property
    def columns(self) -> tuple[int, ...]:
        return tuple(max(1, n) for n in self.classes)

    @property
    def weighted(self) -> bool:
        return any(part.weighted for part in self._parts)

    def weights_of(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        if not self.classes:
            return self._parts[0].weights_of(shape)
        parts = zip(self._parts, self._shapes, strict=True)
        numbers = iter([each for part, own in parts for each in part.weights_of(own)])
        return np.array([1.0 if n else next(numbers) for n in self.classes for _ in range(max(1, n))])

    @property
    def unweighted(self) -> Likelihood:
        if isinstance(self.numbers, tuple):
            return self.replace(numbers=tuple(part.unweighted for part in self.numbers))
        return self.replace(numbers=self.numbers.unweighted)

    @property
    def support(self) -> Support:
        return Support() if self.classes else self._parts[0].support

    @property
    def measure(self) -> str:
        numbers = [part.measure for part in self._parts]
        return ", ".join([*dict.fromkeys(numbers), *(f"{n} categories" for n in self.classes if n)])

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if not self.classes:
            return self._parts[0].outputs(shape)
        if shape != (width(self.classes),):
            raise RecordError(
                f"Mixed: its classes make {width(self.classes)} values of an example, but the scaling makes {math.prod(shape)}; "
                "give scaling=Columns(...) the same classes"
            )
        return (sum(self._sizes),)

    def encoder_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if not self.classes:
            return self._parts[0].encoder_shape(shape)
        parts = zip(self._parts, self._shapes, strict=True)
        return (sum(math.prod(part.encoder_shape(own)) for part, own in parts) + sum(self.classes),)

    def encoder_input(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *h"]:
        numbers, blocks = self._values(x)
        inputs = [part.encoder_input(each) for part, each in zip(self._parts, numbers, strict=True)]
        if all(a.shape == b.shape for a, b in zip(inputs, numbers, strict=True)):
            return self._joined(inputs, blocks)
        return torch.cat([*(each.flatten(1) for each in inputs), *blocks], -1)  # some numbers became several values

    def variables(self, shape: tuple[int, ...]) -> Variables:
        shapes = self._shapes if self.classes else (shape,)
        return PartVariables([part.variables(own) for part, own in zip(self._parts, shapes, strict=True)])

    def costs(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        (outputs, logits), (numbers, blocks) = self._outputs(y), self._values(x)
        parts = zip(self._parts, outputs, numbers, self._variables(variables), strict=True)
        costs = [part.costs(each, values, own) for part, each, values, own in parts]
        return self._joined(costs, list(map(_costs, logits, blocks)))

    def nll(
        self,
        y: Float[Tensor, "b *y"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        counted: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        (outputs, logits), (numbers, blocks) = self._outputs(y), self._values(x)
        masks: Any = ([None] * len(numbers), [None] * len(blocks)) if counted is None else self._values(counted)
        parts = zip(self._parts, outputs, numbers, self._variables(variables), masks[0], strict=True)
        terms = [part.nll(*given) for part, *given in parts]
        costs = zip(map(_costs, logits, blocks), masks[1], strict=True)
        terms += [mask_uncounted(cost, mask).sum(1) for cost, mask in costs]
        return sum(terms[1:], terms[0])

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        outputs, logits = self._outputs(y)
        means = [part.mean(each) for part, each in zip(self._parts, outputs, strict=True)]
        return self._joined(means, [each.softmax(-1) for each in logits])

    def reconstruction(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], counted: Bool[Tensor, "b *x"] | None = None
    ) -> Float[Tensor, "b *x"]:
        (outputs, logits), (numbers, _) = self._outputs(y), self._values(x)
        masks: Any = [None] * len(numbers) if counted is None else self._values(counted)[0]
        parts = zip(self._parts, outputs, numbers, masks, strict=True)
        made = [part.reconstruction(*given) for part, *given in parts]
        return self._joined(made, [each.softmax(-1) for each in logits])

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        outputs, logits = self._outputs(y)
        parts = zip(self._parts, outputs, self._variables(variables), strict=True)
        numbers = [part.draw(each, own, generator) for part, each, own in parts]
        return self._joined(numbers, [_drawn(each, generator) for each in logits])

    @property
    def _parts(self) -> tuple[Likelihood, ...]:
        """The likelihoods of numbers."""
        if isinstance(self.numbers, tuple):
            return self.numbers
        return (self.numbers,) if 0 in self.classes or not self.classes else ()

    @property
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of what each of these likelihoods describes."""
        return (
            ((1,),) * len(self._parts)
            if isinstance(self.numbers, tuple)
            else ((self.classes.count(0),),) * len(self._parts)
        )

    @property
    def _sizes(self) -> tuple[int, ...]:
        """The numbers of decoder outputs, first of these likelihoods, then of the categories."""
        parts = zip(self._parts, self._shapes, strict=True)
        return (*(math.prod(part.outputs(own)) for part, own in parts), *filter(None, self.classes))

    def _outputs(self, y: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The decoder's outputs for each of these likelihoods, and the logits of each category."""
        if not self.classes:
            return [y], []
        pieces, count = y.split(list(self._sizes), -1), len(self._parts)
        parts = zip(pieces[:count], self._parts, self._shapes, strict=True)
        return [piece.reshape(y.shape[0], *part.outputs(own)) for piece, part, own in parts], list(pieces[count:])

    def _values(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The numbers (b, count) of each of these likelihoods, and the block of each category."""
        if not self.classes:
            return [x], []
        pieces = split(x, self.classes)
        numbers = [piece for piece, n in pieces if not n]
        blocks = [piece for piece, n in pieces if n]
        if not numbers:
            return [], blocks
        joined = torch.cat(numbers, -1)
        return list(joined.split(1, -1)) if isinstance(self.numbers, tuple) else [joined], blocks

    def _joined(self, numbers: list[Tensor], blocks: list[Tensor]) -> Tensor:
        """The inverse of `_values`."""
        if not self.classes:
            return numbers[0]
        values, each, begin = torch.cat(numbers, -1) if numbers else None, iter(blocks), 0
        pieces = list[Tensor]()
        for count, n in runs(self.classes):
            if n or values is None:
                pieces.append(next(each))
            else:
                pieces.append(values[..., begin : begin + count])
                begin += count
        return torch.cat(pieces, -1)

    def _variables(self, variables: Variables) -> list[Variables]:
        """The variables of each of these likelihoods."""
        if isinstance(variables, PartVariables):
            return list(variables.each)  # type: ignore[arg-type]  # a ModuleList of Variables
        return [NO_VARIABLES] * len(self._parts)


class PartVariables(Variables):
    """The variables of several likelihoods."""

    def __init__(self, each: list[Variables]) -> None:
        super().__init__()
        self.each = nn.ModuleList(each)


def _costs(logits: Tensor, block: Tensor) -> Tensor:
    """-log p of categories (b, n), at the place of the observed one, in nats."""
    return -block * logits.log_softmax(-1)


def _drawn(logits: Tensor, generator: Generator) -> Tensor:
    """Blocks (b, n) of 0 and 1 drawn from a softmax: the largest logit with Gumbel noise."""
    waiting = torch.empty_like(logits).exponential_(generator=generator)
    category = (logits - waiting.log()).argmax(-1, keepdim=True)
    return (category == torch.arange(logits.shape[-1], device=logits.device)).to(logits.dtype)
