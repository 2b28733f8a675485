"""Schedules: a factor over the course of training, for the learning rate or the weight of a penalty."""

from __future__ import annotations

import math

from isthmus.records import Count, Fraction, Record, record

__all__ = ["Constant", "Cosine", "Cyclic", "OneCycle", "Warmup"]


class Schedule(Record):
    """The contract of a schedule: a factor on the learning rate of an optimizer, or on the weight of a penalty."""

    def __call__(self, progress: float) -> float:
        """The factor after this fraction of the training, in [0, 1).

        Args:
            progress: the fraction of the training that is done.
        """
        raise NotImplementedError


@record
class Constant(Schedule):
    """Always 1."""

    def __call__(self, progress: float) -> float:
        return 1.0


@record
class Cosine(Schedule):
    """Cosine annealing from 1 to ``final`` (Loshchilov & Hutter 2017, without restarts)."""

    final: Fraction = 0.0

    def __call__(self, progress: float) -> float:
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@record
class OneCycle(Schedule):
    """The one-cycle policy (Smith & Topin 2018).

    A cosine from ``start`` to 1 during the fraction ``warmup`` of the training, then a cosine from 1 to ``final``.
    """

    warmup: Fraction = 0.2
    start: Fraction = 0.04
    final: Fraction = 0.0

    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return 1 + (self.start - 1) * 0.5 * (1 + math.cos(math.pi * progress / self.warmup))
        share = (progress - self.warmup) / (1 - self.warmup)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))


@record
class Warmup(Schedule):
    """Linear from ``start`` to 1 during the fraction ``warmup`` of the training, then 1.

    For the divergence of a variational autoencoder: Bowman et al. 2016, "Generating sentences from a continuous space".
    """

    warmup: Fraction = 0.2
    start: Fraction = 0.0

    def __call__(self, progress: float) -> float:
        return 1.0 if progress >= self.warmup else self.start + (1 - self.start) * progress / self.warmup


@record
class Cyclic(Schedule):
    """Cycles that rise linearly from ``start`` to 1 and stay there (Fu et al. 2019, "Cyclical annealing schedule").

    ``rise`` is the fraction of each cycle that rises. It was made for the divergence of a variational autoencoder.
    """

    cycles: Count = 4
    rise: Fraction = 0.5
    start: Fraction = 0.0

    def __call__(self, progress: float) -> float:
        return Warmup(self.rise, self.start)(progress * self.cycles % 1)
