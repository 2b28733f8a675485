"""The rows of a comparison: an autoencoder, or several that differ in their random state alone, with the mean of their figures."""

from __future__ import annotations

import re
import statistics
from collections.abc import Hashable, Sequence
from itertools import takewhile
from typing import NamedTuple

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import format_figure
from isthmus.experiments.comparison_metrics import settings_key

__all__ = ["Row", "ahead", "row_notes", "rows_of", "within_spread"]


class Row(NamedTuple):
    """A row: its name, and the places of its autoencoders."""

    name: str
    places: tuple[int, ...]


def rows_of(names: Sequence[str], autoencoders: Sequence[Autoencoder], sources: Sequence[Hashable]) -> tuple[Row, ...]:
    """One row for autoencoders that differ in their random state alone, one each for the others, in the order of the first ones.

    Args:
        names: of the autoencoders.
        autoencoders: the fitted autoencoders.
        sources: what each was trained on; equal for equal data.
    """
    alike: dict[Hashable, list[int]] = {}
    for place, (ae, source) in enumerate(zip(autoencoders, sources, strict=True)):
        alike.setdefault((source, settings_key(ae)), []).append(place)
    rows = []
    for places in alike.values():
        states = {autoencoders[place].random_state for place in places}
        if len(states) == len(places) and all(isinstance(state, int) for state in states):
            rows.append(Row(_common([names[place] for place in places]), tuple(places)))
        else:  # the same training twice, or something else that differs
            rows += [Row(names[place], (place,)) for place in places]
    rows.sort(key=lambda row: row.places)
    short = [row.name for row in rows]
    return tuple(
        row if short.count(row.name) == 1 else row._replace(name=", ".join(names[place] for place in row.places))
        for row in rows
    )


def _common(names: Sequence[str]) -> str:
    """The common beginning of names: size-8 of size-8_state-0 and size-8_state-1; all of them where there is none."""
    if len(names) == 1:
        return names[0]
    start = "".join(letters[0] for letters in takewhile(lambda each: len(set(each)) == 1, zip(*names, strict=False)))
    if any(name[len(start) :][:1].isdigit() for name in names):
        start = start.rstrip("0123456789")
    return re.sub(r"[\W_]*((random_)?state|seed)?[\W_]*$", "", start) or ", ".join(names)


def within_spread(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the means of two rows differ by no more than the larger of their standard deviations, or not in four digits."""
    means = statistics.fmean(one), statistics.fmean(other)
    deviation = max(statistics.stdev(each) if len(each) > 1 else 0.0 for each in (one, other))
    return abs(means[0] - means[1]) <= deviation or format_figure(means[0]) == format_figure(means[1])


def ahead(one: Sequence[float], other: Sequence[float]) -> int:
    """1 where the errors of one row are lower than those of the other, -1 where they are higher, 0 within their spread."""
    if within_spread(one, other):
        return 0
    return 1 if statistics.fmean(one) < statistics.fmean(other) else -1


def row_notes(rows: Sequence[Row]) -> list[str]:
    """A note that names the rows of several autoencoders, if there are any."""
    named = ", ".join(f"{row.name} ({len(row.places)})" for row in rows if len(row.places) > 1)
    how = "mean ± standard deviation; to see each: --each (grouped=False)"
    return [f"models that differ in random_state alone are one row: {named}; {how}"] if named else []
