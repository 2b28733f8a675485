"""Which examples a run was trained on, as far as its membership record can tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset
from isthmus.experiments.membership import Membership, read_membership, trained_on
from isthmus.experiments.split_by_content import known_by_rule

__all__ = ["Known", "known_examples", "trained_notes"]

Mask = NDArray[np.bool_]


class Known(NamedTuple):
    """Masks (n,) of the examples that a run was trained on, and of those that it was not trained on. Of the others nothing is known."""

    trained: Mask
    new: Mask

    @property
    def unknown(self) -> Mask:
        """(n,), the examples of which nothing is known."""
        return ~(self.trained | self.new)


def known_examples(record: Membership | None, dataset: Dataset) -> Known | None:
    """What is known of the training examples of a data set; None without a membership record.

    Args:
        record: of the run.
        dataset: the examples, of which the training part is meant.
    """
    if record is None:
        return None
    if record.rule is not None:
        return Known(*known_by_rule(record, dataset))
    trained = trained_on(record, dataset.train)
    return Known(trained, ~trained if record.keys is not None else np.zeros_like(trained))


def trained_notes(folders: Mapping[str, Path], values: Any, held_out: bool) -> list[str]:
    """A note for each run that was trained on some of the examples, or perhaps was.

    Args:
        folders: the folder of each run, by its name.
        values: the examples (n, *shape).
        held_out: whether a split chose them, so that it has already said what is unknown.
    """
    notes = list[str]()
    for name, folder in folders.items():
        known = known_examples(read_membership(folder), Dataset("X", values))
        count, unknown = (0, 0) if known is None else (int(known.trained.sum()), int(known.unknown.sum()))
        if count:
            notes.append(f"{name} was trained on {count:,} of these {len(values):,} examples: its errors are too low")
        if unknown and not held_out:
            notes.append(
                f"{name} may have been trained on {unknown:,} of these {len(values):,} examples, as it has no list of its training "
                "examples: its errors may be too low"
            )
    return notes
