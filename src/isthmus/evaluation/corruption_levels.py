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


LEVELS: dict[type[Corruption], Level] = {  # of the corruptions that have one
    kind: kind.level for name in corruptions.__all__ if (kind := getattr(corruptions, name)).level is not None
}


class InputCorruption(NamedTuple):
    """A corruption at one level.

    kind is its name without the level, unit says what the level is, and trained whether it is what the autoencoder was trained with.
    """

    corruption: Corruption
    kind: str
    level: float
    unit: str
    trained: bool


def corruption_levels(trained: Corruption, kinds: Kinds = None, levels: Levels = None) -> list[InputCorruption]:
    """The corruptions of a sweep, mildest first, for an autoencoder that was trained with one.

    Args:
        kinds: names of corruptions that have a level ("GaussianNoise", "Masking", ...), or such corruptions, whose other
            fields are kept; without them the one in training, or noise where there was none.
        levels: values of `GaussianNoise.std`, `Masking.rate`, `SaltAndPepper.rate`, `Occlusion.visible`; without them
            usual ones and that in training.

    Raises:
        RecordError: there is no such kind, or it cannot have such a level.
    """
    if kinds is None:
        kinds = trained if type(trained) in LEVELS else GaussianNoise()
    given = list(kinds) if isinstance(kinds, Sequence) and not isinstance(kinds, str) else [kinds]
    if not given:
        raise RecordError(f"kinds is empty: give one or more of {', '.join(kind.__name__ for kind in LEVELS)}")
    ways = [way for each in given for way in _levels(_kind(each, trained), trained, levels)]
    return list(dict.fromkeys(ways))


def _kind(given: str | Corruption, trained: Corruption) -> Corruption:
    """The corruption that is meant; by its name that in training, if it is of that kind."""
    names = {kind.__name__.lower(): kind for kind in LEVELS}
    if isinstance(given, str):
        kind = names.get(given.lower().replace("_", "").replace("-", ""))
        if kind is not None:
            return trained if type(trained) is kind else kind()
    elif type(given) in LEVELS:
        return given
    word = given if isinstance(given, str) else repr(given)
    known = "without a level" if word in corruptions.__all__ else "no corruption that has a level"
    raise RecordError(f"kinds: {word} is {known}{nearest(word, [kind.__name__ for kind in LEVELS])}")


def _levels(base: Corruption, trained: Corruption, levels: Levels) -> Iterator[InputCorruption]:
    """One kind at its levels."""
    name, unit, usual = LEVELS[type(base)]
    own = getattr(trained, name) if type(trained) is type(base) else None
    if levels is None:
        stretch = 2 * own if own is not None and own > 1 else 1.0  # a rate is at most 1
        chosen_levels = sorted({*(stretch * each for each in usual), *([] if own is None else [own])})
    else:
        chosen_levels = sorted(_numbers(levels))
    default = getattr(type(base)(), name)
    kind = repr(base.replace(**{name: default})).removesuffix("()")
    falling = usual[0] > usual[-1]  # the more is given, the milder
    for level in chosen_levels[::-1] if falling else chosen_levels:
        corruption = base.replace(**{name: level})
        yield InputCorruption(corruption, kind, level, unit, corruption == trained)


def _numbers(levels: Any) -> list[float]:
    given = [levels] if isinstance(levels, Real | str) or not hasattr(levels, "__iter__") else list(levels)
    if not given or not all(isinstance(each, Real) and not isinstance(each, bool) for each in given):
        raise RecordError(f"invalid levels={quoted(levels)}: expected numbers, such as levels=0.3,0.5,0.7")
    return [float(each) for each in given]
