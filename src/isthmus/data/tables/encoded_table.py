"""The features of a table in a known encoding, and what of its values training did not have."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.text import command, printable

__all__ = ["EncodedTable"]

_LISTED = 5  # in a sentence


class EncodedTable(NamedTuple):
    """The features (n, d) of a table.

    Attributes:
        values: the features.
        unknown: by column the categories that training did not have, with the number of rows.
        fractions: by column the number of fractions where training had whole numbers.
    """

    values: NDArray[np.float64]
    unknown: dict[str, dict[str, int]]
    fractions: dict[str, int]

    def joined(self, other: EncodedTable) -> EncodedTable:
        """What training did not have of the values of two tables, with the features of the second one.

        Args:
            other: the second table.
        """
        unknown = {name: dict(labels) for name, labels in self.unknown.items()}
        for name, labels in other.unknown.items():
            own = unknown.setdefault(name, {})
            for label, n in labels.items():
                own[label] = own.get(label, 0) + n
        fractions = dict(self.fractions)
        for name, n in other.fractions.items():
            fractions[name] = fractions.get(name, 0) + n
        return EncodedTable(other.values, unknown, fractions)

    def sentence(self) -> str:
        """A sentence about the unknown categories; "" without any."""
        parts = [
            f"{printable(name)} ({', '.join(f'{printable(label, 30)}: {n:,}' for label, n in list(labels.items())[:_LISTED])}"
            f"{', ...' if len(labels) > _LISTED else ''})"
            for name, labels in self.unknown.items()
        ]
        if not parts:
            return ""
        return f"categories that the training data did not have: {', '.join(parts)}"

    def note_on_fractions(self) -> str:
        """A sentence about fractions in columns that were guessed to hold whole numbers; "" without any."""
        if not self.fractions:
            return ""
        listed = ", ".join(f"{printable(name)}: {n:,}" for name, n in list(self.fractions.items())[:_LISTED])
        more = ", ..." if len(self.fractions) > _LISTED else ""
        name = next(iter(self.fractions))
        return (
            f"fractions where the training data had whole numbers ({listed}{more}), which are taken as they are; if the column holds "
            f"numbers, train with that kind ({command('--kind', f'{name}=number')}, kinds={{{name!r}: 'number'}})"
        )
