"""Kinds of corruption and their levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

from isthmus import corruptions
from isthmus.corruptions import Corruption, GaussianNoise, Level
from isthmus.errors import RecordError
from isthmus.records import nearest
from isthmus.text import quoted

__all__ = ["LEVELS", "InputCorruption", "Kinds", "Levels", "corruption_levels"]

Kinds: TypeAlias = str | Corruption | Sequence[str | Corruption] | None
Levels: TypeAlias = float | Sequence[float] | None


LEVELS: dict[type[Corruption], Level] = {  # corruptions without a level are left out
    kind: kind.level for name in corruptions.__all__ if (kind := getattr(corruptions, name)).level is not None
}


class InputCorruption(NamedTuple):
    """A corruption at one level.

    Attributes:
        corruption: the corruption.
        kind: its name without the level.
        level: the level.
        unit: what the level is, such as "standard deviation".
        trained: whether the autoencoder was trained with this corruption at this level.
    """

    corruption: Corruption
    kind: str
    level: float
    unit: str
    trained: bool


def corruption_levels(trained: Corruption, kinds: Kinds = None, levels: Levels = None) -> list[InputCorruption]:
    """The corruptions to measure, from the lowest level to the highest.

    Args:
        trained: the corruption in training.
        kinds: names of corruptions with a level ("GaussianNoise", "Masking", ...), or corruptions whose other fields are
            used. None for the corruption in training, or Gaussian noise if it has no level.
        levels: values of `GaussianNoise.std`, `Masking.rate`, `SaltAndPepper.rate` or `Occlusion.visible`. None for the
            usual levels and the level in training.

    Returns:
        Each corruption at each level, without duplicates.

    Raises:
        RecordError: a kind does not exist or has no level, or a level is invalid.
    """
    if kinds is None:
        kinds = trained if type(trained) in LEVELS else GaussianNoise()
    given = list(kinds) if isinstance(kinds, Sequence) and not isinstance(kinds, str) else [kinds]
    if not given:
        raise RecordError(f"kinds is empty: expected one or more of {', '.join(kind.__name__ for kind in LEVELS)}")
    found = [each for kind in given for each in _at_levels(_with_level(kind, trained), trained, levels)]
    return list(dict.fromkeys(found))


def _with_level(given: str | Corruption, trained: Corruption) -> Corruption:
    """The given corruption; for a name, the corruption in training if it is of that kind."""
    names = {kind.__name__.lower(): kind for kind in LEVELS}
    if isinstance(given, str):
        kind = names.get(given.lower().replace("_", "").replace("-", ""))
        if kind is not None:
            return trained if type(trained) is kind else kind()
    elif type(given) in LEVELS:
        return given
    word = given if isinstance(given, str) else repr(given)
    known = "without a level" if word in corruptions.__all__ else "no corruption that has a level"
    raise RecordError(f"invalid kinds: {word} is {known}{nearest(word, [kind.__name__ for kind in LEVELS])}")


def _at_levels(base: Corruption, trained: Corruption, levels: Levels) -> Iterator[InputCorruption]:
    """One kind of corruption at its levels."""
    name, unit, usual = LEVELS[type(base)]
    trained_level = getattr(trained, name) if type(trained) is type(base) else None
    if levels is None:
        factor = 2 * trained_level if trained_level is not None and trained_level > 1 else 1.0  # a rate is at most 1
        chosen_levels = sorted(
            {*(factor * each for each in usual), *([] if trained_level is None else [trained_level])}
        )
    else:
        chosen_levels = sorted(_numbers(levels))
    default = getattr(type(base)(), name)
    kind = repr(base.replace(**{name: default})).removesuffix("()")
    falling = usual[0] > usual[-1]  # the larger the visible part of Occlusion, the weaker the corruption
    for level in chosen_levels[::-1] if falling else chosen_levels:
        corruption = base.replace(**{name: level})
        yield InputCorruption(corruption, kind, level, unit, corruption == trained)


def _numbers(levels: Any) -> list[float]:
    """One level or several, as floats."""
    given = [levels] if isinstance(levels, Real | str) or not hasattr(levels, "__iter__") else list(levels)
    if not given or not all(isinstance(each, Real) and not isinstance(each, bool) for each in given):
        raise RecordError(f"invalid levels={quoted(levels)}: expected numbers, such as levels=0.3,0.5,0.7")
    return [float(each) for each in given]
