"""What is known of the held-out examples: their codes, their neighbors, and what colors them on the map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.explorer.view import View, encoded_array
from isthmus.serving import HeldOut, ServedModel

__all__ = ["Known", "computed_in_blocks"]

Array = NDArray[Any]
_BLOCK = 128  # examples that are computed at once, so that a slider in between does not wait
_MOST_CLASSES = 20
_NEIGHBORS = 6


class Known:
    """Held-out examples and their codes.

    Args:
        model: that is served.
        view: of it.
        examples: held-out ones.

    Attributes:
        codes: (n, d).
    """

    def __init__(self, model: ServedModel, view: View, examples: HeldOut) -> None:
        self.model, self.view, self.examples = model, view, examples
        codes = computed_in_blocks(model, "encode", examples.inputs)[0]
        self.codes: Array = codes.reshape(len(codes), -1)

    def __len__(self) -> int:
        return len(self.examples)

    def inputs(self, index: int) -> dict[str, Array]:
        """One example."""
        return {name: values[index : index + 1] for name, values in self.examples.inputs.items()}

    def about(self, index: int) -> dict[str, Any]:
        """The number, ID and label of an example, as JSON."""
        labels, ids = self.examples.labels, self.examples.ids
        return {
            "index": index,
            "label": None if labels is None else _plain(labels[index]),
            "id": None if ids is None else str(ids[index]),
        }

    def content(self, index: int) -> Any:
        """One example as JSON."""
        return self.view.contents([self.examples.inputs[port.name][index : index + 1] for port in self.view.ports])[0]

    def find(self, name: str) -> int | None:
        """The number of the example with an ID, or None."""
        ids = self.examples.ids
        return None if ids is None else next((i for i, each in enumerate(ids) if str(each) == name), None)

    def neighbors(self, code: Array, but: int | None) -> list[dict[str, Any]]:
        """The held-out examples whose codes are nearest to a code (d,), by Euclidean distance; not the example itself."""
        distances = np.sqrt(((self.codes.astype(np.float64) - code.astype(np.float64)) ** 2).sum(1))
        if but is not None:
            distances[but] = np.inf
        nearest = np.argsort(distances, kind="stable")[: min(_NEIGHBORS, len(self) - (but is not None))].tolist()
        return [self.about(i) | {"distance": float(distances[i]), "content": self.content(i)} for i in nearest]

    def scores(self) -> Array:
        """The score of each example: that of a detector, else of the autoencoder (n,)."""
        entry = "detect" if "detect" in self.model.entries else "score"
        return computed_in_blocks(self.model, entry, self.examples.inputs)[0].astype(np.float64)

    def choices(self) -> list[dict[str, str]]:
        """What can color the map, without the scores."""
        labels = [{"by": "label", "name": "label"}] if self.examples.labels is not None else []
        columns = self.view.columns if len(self.view.columns) <= 100 else ()
        return labels + [{"by": f"column:{i}", "name": column.name} for i, column in enumerate(columns)]

    def colors(self, by: str) -> dict[str, Any]:
        """The values that color the map, as JSON; `by` is one of `choices`."""
        if by == "label":
            assert self.examples.labels is not None
            return colors_of([_plain(label) for label in self.examples.labels])
        place = int(by.partition(":")[2])
        if not self.view.by_column:
            return colors_of(self.examples.inputs[self.view.ports[0].name].reshape(len(self), -1)[:, place].tolist())
        port = self.view.ports[place]
        values = self.examples.inputs[port.name].tolist()
        if port.kind == "date":
            return _colors_of_dates(values)
        return colors_of([value if value != "" else None for value in values])


def computed_in_blocks(model: ServedModel, entry: str, inputs: dict[str, Array]) -> list[Array]:
    """The outputs of an entry, computed in blocks of rows."""
    count = len(next(iter(inputs.values())))
    blocks = [
        model.compute(entry, {name: values[first : first + _BLOCK] for name, values in inputs.items()})
        for first in range(0, count, _BLOCK)
    ]
    return [np.concatenate(each) for each in zip(*blocks, strict=True)]


def colors_of(values: list[Any]) -> dict[str, Any]:
    """Up to 20 names or whole numbers as categories, other numbers as a scale, more names not at all."""
    unknown = [value is None or value != value for value in values]
    there = {value for value, gone in zip(values, unknown, strict=True) if not gone}
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in there)
    if len(there) <= _MOST_CLASSES and (not numeric or all(float(value).is_integer() for value in there)):
        order = sorted(there) if numeric else sorted(there, key=str)
        place = {value: i for i, value in enumerate(order)}
        names = [f"{value:.0f}" if numeric else str(value) for value in order]
        shown = [-1 if gone else place[value] for value, gone in zip(values, unknown, strict=True)]
        return {"kind": "categories", "names": names, "values": shown}
    if not numeric:
        return {"kind": "none", "reason": f"There are {len(there):,} different labels, too many for colors."}
    numbers = np.array([np.nan if gone else value for value, gone in zip(values, unknown, strict=True)], np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = np.percentile(finite, [1, 99]) if len(finite) else (0.0, 1.0)
    return {"kind": "numbers", "values": encoded_array(numbers), "low": float(low), "high": float(high)}


def _colors_of_dates(values: list[int]) -> dict[str, Any]:
    """Dates, in microseconds, as days: as categories, or as a scale whose ends have names too."""
    found = colors_of([np.nan if value < -(2**62) else value / 86_400e6 for value in values])
    if found["kind"] == "categories":
        return found | {"names": [_day(float(name)) for name in found["names"]]}
    return found | {"low_name": _day(found["low"]), "high_name": _day(found["high"])}


def _day(days: float) -> str:
    return str(np.datetime64(round(days * 86_400), "s").astype("datetime64[D]"))


def _plain(label: Any) -> Any:
    """A label as JSON: a number or text, None for a missing one."""
    label = label.item() if isinstance(label, np.generic) else label
    if label is None or isinstance(label, int | str):
        return label
    if isinstance(label, float):
        return None if label != label else int(label) if label.is_integer() else label
    return str(label)
