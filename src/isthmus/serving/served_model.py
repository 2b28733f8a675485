"""The contract of a model that is served."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.runtime.inputs import checked_inputs
from isthmus.runtime.manifest import Port
from isthmus.text import printable

__all__ = ["ENTRIES", "Checked", "Entry", "HeldOut", "ServedModel"]

Array = NDArray[Any]
ENTRIES = {
    "reconstruct": "reconstruct",
    "encode": "encoder",
    "decode": "decoder",
    "impute": "impute",
    "score": "score",
    "detect": "detect",
}  # what can be asked of a model, and the part of an export that answers


class Entry(NamedTuple):
    """What can be asked of a model.

    Attributes:
        inputs: names, dtypes and shapes of one example; text where the dtype is "string".
        outputs: likewise.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Examples that the model was not trained on, to look at.

    Attributes:
        inputs: an array (n, *shape) for each input of `reconstruct`.
        labels: (n,), None for a missing one; or None.
        ids: a name for each example (n,), or None.
        note: one sentence: which examples these are.
    """

    inputs: dict[str, Array]
    labels: Array | None = None
    ids: Array | None = None
    note: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


class Checked(NamedTuple):
    """The inputs of a request.

    Attributes:
        inputs: an array (n, *shape) of the dtype of each input.
        notes: what was taken as missing, one sentence each.
    """

    inputs: dict[str, Array]
    notes: tuple[str, ...]


class ServedModel(ABC):
    """A model that answers requests. Its methods can be called from several threads.

    Attributes:
        name: by which clients know it.
        version: the first 12 digits of the checksum of the model file.
        platform: "isthmus_pytorch" or "isthmus_onnx".
        entries: what can be asked, by name, of `ENTRIES`.
        described: what is known of it, as plain JSON values: kind, shape, code_shape, missing, records and, of a detector, detector.
    """

    name: str
    version: str
    platform: str
    entries: Mapping[str, Entry]
    described: Mapping[str, Any]

    def checked(self, entry: str, inputs: Mapping[str, Array]) -> Checked:
        """The inputs of one request in the dtypes of the model.

        Args:
            entry: its name.
            inputs: an array (n, *shape) for each input, of any dtype that holds the same values.

        Raises:
            DataError: an input is missing or unknown, or values are not like those of the training data.
        """
        ports = self.entries[entry].inputs
        names = [port.name for port in ports]
        unknown, lacking = (
            [name for name in inputs if name not in names],
            [name for name in names if name not in inputs],
        )
        if unknown or lacking:
            what = f"has no input {printable(repr(unknown[0]), 60)}" if unknown else f"needs the input {lacking[0]!r}"
            raise DataError(f"{entry} {what}: pass {', '.join(map(printable, names))}")
        columns = {port.column: _moments(port, inputs[port.name]) for port in ports if port.kind}
        decodes, notes = entry == "decode", list[str]()
        given = checked_inputs(
            ports,
            columns or inputs[names[0]],
            inputs.get("y") if ports[-1].name == "y" and not ports[-1].kind else None,
            missing=self.described["missing"] == "allow" and not decodes,
            what="codes" if decodes else "examples",
            note=notes.append,
        )
        return Checked(given, tuple(notes))

    @abstractmethod
    def compute(self, entry: str, inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs of an entry, (n, *shape) each, in order. A row has the same bits in any grouping of rows.

        Args:
            entry: its name.
            inputs: what `checked` returned, or rows of several such inputs one after another.

        Raises:
            DataError: values are too far from those of the training data to compute with.
        """

    def attributions(self, inputs: Mapping[str, Array]) -> Array | None:
        """The share of each value of examples in their anomaly score or loss, (n, *shape); None where the model cannot tell.

        Of a table with other columns than numbers it is (n, number of columns).
        """
        return None

    def held_out(self) -> HeldOut | None:
        """Examples to look at; None if there are none. Reading them may take seconds; the result is kept."""
        return None


def _moments(port: Port, values: Array) -> Array:
    """Dates that are given as microseconds since 1970, as dates."""
    return values.astype("datetime64[us]") if port.kind == "date" and values.dtype.kind in "iu" else values
