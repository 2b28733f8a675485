"""What the page asks of one model."""

from __future__ import annotations

import math
from functools import cached_property
from threading import RLock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, IsthmusError, NotPossibleError
from isthmus.explorer.background import Background
from isthmus.explorer.dimensions import Dimension, dimensions_of, range_around, ranges_of
from isthmus.explorer.disturbance import Statistics, disturbed, statistics_of
from isthmus.explorer.known import Known, colors_of, computed_in_blocks
from isthmus.explorer.maps import MAPS, map_of
from isthmus.explorer.page_state import limits_of, page_state
from isthmus.explorer.pasted import pasted_row
from isthmus.explorer.view import View, encoded_array
from isthmus.serving import ServedModel
from isthmus.text import printable

__all__ = ["Explored"]

Array = NDArray[Any]
_MOST_STEPS = 25
_NEEDED = ("encode", "decode", "reconstruct")


class Example(NamedTuple):
    """An example of a request: the inputs of one row, and its number among the held-out examples or None."""

    inputs: dict[str, Array]
    number: int | None
    notes: tuple[str, ...] = ()


class Explored:
    """A model on the page. What is computed of its held-out examples is kept.

    Args:
        model: that is served.
        given: whether the user gave its examples; otherwise they were held out.

    Raises:
        NotPossibleError: the model lacks what the page shows.
    """

    def __init__(self, model: ServedModel, given: bool = False) -> None:
        lacking = [entry for entry in _NEEDED if entry not in model.entries]
        if lacking:
            raise NotPossibleError(
                f"{printable(model.name)} was exported without {' and '.join(lacking)}, which the page shows: export all parts"
            )
        self.model, self.view, self._given = model, View(model), given
        self.code = model.entries["decode"].inputs[0]
        self._background, self._lock = Background(), RLock()
        self._reason = "The model has no held-out examples here: give an example, and move the sliders from its code."

    @property
    def known(self) -> Known | None:
        """The held-out examples; None if there are none, or if they cannot be read."""
        with self._lock:
            return self._known

    @cached_property
    def _known(self) -> Known | None:
        try:
            examples = self.model.held_out()
            return None if examples is None or not len(examples) else Known(self.model, self.view, examples)
        except IsthmusError as error:
            self._reason = f"The held-out examples cannot be read: {error}"
            return None

    @cached_property
    def _statistics(self) -> list[Statistics] | None:
        known = self.known
        return statistics_of(self.view, None if known is None else known.examples, limits_of(self.model, self.view))

    def state(self) -> dict[str, Any]:
        """What the page has to know to show itself."""
        state = page_state(self.model, self.view, self.known, self._statistics is not None, self._reason)
        return state | {"examples": "given" if self._given else "held-out"}

    def map(self, kind: str) -> dict[str, Any]:
        """The positions of held-out examples: PCA at once, others when they are ready."""
        if kind not in MAPS:
            raise DataError(f"there is no map {printable(kind, 60)!r}: choose from {', '.join(MAPS)}")
        codes = self._needed().codes
        if kind == "pca":
            return {"state": "ready", "points": encoded_array(map_of(kind, codes))}
        state, points, reason = self._background.get(kind, lambda: map_of(kind, codes))
        return {"state": state, "reason": reason} | ({} if points is None else {"points": encoded_array(points)})

    def colors(self, by: str) -> dict[str, Any]:
        """The values that color the map."""
        known = self._needed()
        if by != "score":
            if by not in {choice["by"] for choice in known.choices()}:
                raise DataError(f"{printable(by, 60)!r} colors no map: choose the label, the score or a column")
            return {"state": "ready"} | known.colors(by)
        state, scores, reason = self._background.get("scores", known.scores)
        return {"state": state, "reason": reason} | ({} if scores is None else colors_of([*map(float, scores)]))

    def held_out(self, index: Any) -> dict[str, Any]:
        """One held-out example as JSON."""
        known = self._needed()
        self._check_index(known, index)
        return known.about(index) | {"content": known.content(index), "y": self._y_of(known.inputs(index))}

    def find(self, name: str) -> dict[str, Any]:
        """The held-out example with an ID."""
        known = self._needed()
        index = known.find(name)
        if index is None:
            raise DataError(
                f"no held-out example has the ID {printable(repr(name), 60)}: correct it, or give its number"
            )
        return known.about(index)

    def dimensions(self, code: Any = None, y: Any = None) -> dict[str, Any]:
        """The dimensions of the code, most important first; around one code where no held-out examples are known."""
        known = self.known
        if known is not None:
            found = self._own_dimensions
        else:
            row = self._code(code).astype(np.float64)
            given = self.view.y_input(y)
            found = self._dimensions(row[None], range_around(row), given)
        return {"dimensions": [dimension._asdict() for dimension in found]}

    @cached_property
    def _own_dimensions(self) -> list[Dimension]:
        known = self._needed()
        return self._dimensions(known.codes, ranges_of(known.codes), known.examples.inputs)

    def _dimensions(self, starts: Array, ranges: tuple[Array, Array], inputs: dict[str, Array]) -> list[Dimension]:
        def decode(codes: Array, origins: Array) -> list[Array]:
            y = {"y": inputs["y"][origins]} if self.view.y is not None else {}
            rows = codes.reshape(-1, *self.code.shape).astype(self.code.dtype)
            return computed_in_blocks(self.model, "decode", {self.code.name: rows, **y})

        return dimensions_of(self.view, self.code.shape, starts, ranges, decode)

    def decode(self, code: Any, y: Any = None) -> dict[str, Any]:
        """The reconstruction of a code."""
        return {"content": self._decoded(self._code(code)[None], y)[0]}

    def pasted(self, text: Any) -> dict[str, Any]:
        """A pasted row."""
        if not self.view.columns or not isinstance(text, str):
            raise DataError("rows can be pasted where the model is one of tables: send text")
        row, notes = pasted_row(text, self.view.columns)
        return {"content": row, "notes": notes}

    def walk(self, start: Any, end: Any, steps: int, y: Any = None) -> dict[str, Any]:
        """The reconstructions of codes on the straight line from one example to another."""
        if not 2 <= steps <= _MOST_STEPS:
            raise DataError(f"a walk has 2 to {_MOST_STEPS} steps: choose as many")
        ends = [self._encoded(self.example(each, y).inputs) for each in (start, end)]
        shares = np.linspace(0, 1, steps)[:, None]
        codes = (1 - shares) * ends[0].astype(np.float64) + shares * ends[1].astype(np.float64)
        y = y if y is not None else self._y_of(self.example(start, y).inputs)
        return {"codes": [end.tolist() for end in ends], "contents": self._decoded(self._typed(codes), y)}

    def analyze(self, given: Any, y: Any = None, noise: float = 0.0, hidden: list[int] | None = None) -> dict[str, Any]:
        """An example, its reconstruction and what the model says of it.

        Args:
            given: {"held_out": number} or {"content": as `View.inputs` takes it}.
            y: the label or the covariates; None: that of the held-out example.
            noise, hidden: as for `disturbed`.
        """
        example = self.example(given, y)
        seen, note = disturbed(
            self.view, example.inputs, noise, hidden or [], self._statistics, self.model.described["missing"] == "allow"
        )
        outputs = self.model.compute("reconstruct", seen)
        code, known = self._encoded(seen), self.known
        about: dict[str, Any] = {"index": None, "label": None, "id": None}
        if known is not None and example.number is not None:
            about = known.about(example.number)
        return about | {
            "content": self._contents(example.inputs),
            "seen": self._contents(seen) if noise or hidden else None,
            "reconstruction": self.view.contents(outputs)[0],
            "code": code.astype(np.float64).tolist(),
            "y": self._y_of(example.inputs),
            "scales": self._scales(),
            "neighbors": [] if known is None else known.neighbors(code, example.number),
            "notes": [*example.notes, *([note] if note else [])],
            **self._judged(seen),
        }

    def _judged(self, inputs: dict[str, Array]) -> dict[str, Any]:
        """Score, p-value and verdict, the attributions, and the rank of the score."""
        entry = "detect" if "detect" in self.model.entries else "score"
        values = [each[0].item() for each in self.model.compute(entry, inputs)]
        shares = self.model.attributions(inputs)
        found: dict[str, Any] = {"score": _finite(values[0]), "p_value": None, "anomaly": None}
        if entry == "detect":
            found |= {"p_value": values[1], "anomaly": bool(values[2])}
        found["attributions"] = None if shares is None else [_finite(share) for share in shares[0].reshape(-1).tolist()]
        return found | self._rank(values[0])

    def _rank(self, score: float) -> dict[str, Any]:
        """The share of held-out examples with a lower score, and whether it is still being computed."""
        known = self.known
        if known is None:
            return {"lower": None, "ranking": False}
        state, scores, _ = self._background.get("scores", known.scores)
        return {"lower": None if scores is None else float(np.mean(scores < score)), "ranking": state == "computing"}

    def example(self, given: Any, y: Any = None) -> Example:
        """The example that a request means."""
        if not isinstance(given, dict) or len(given.keys() & {"held_out", "content"}) != 1:
            raise DataError("no example is given: send held_out, a number, or content, its values")
        if "held_out" in given:
            known = self._needed()
            self._check_index(known, given["held_out"])
            inputs = known.inputs(given["held_out"])
            return Example(inputs if y is None else inputs | self.view.y_input(y), given["held_out"])
        inputs = self.view.inputs(given["content"]) | self.view.y_input(y)
        checked = self.model.checked("reconstruct", inputs)
        return Example(checked.inputs, None, checked.notes)

    def _scales(self) -> list[float | None] | None:
        """The standard deviation of each column of a table, for comparing errors; None of a category, or where it is unknown."""
        if self.view.drawn != "table" or self._statistics is None:
            return None
        if not self.view.by_column:
            return [float(value) for value in np.reshape(self._statistics[0].spread, -1)]
        ports = zip(self.view.ports, self._statistics, strict=True)
        return [None if port.dtype == "string" else float(each.spread) for port, each in ports]

    def _contents(self, inputs: dict[str, Array]) -> Any:
        return self.view.contents([inputs[port.name] for port in self.view.ports])[0]

    def _encoded(self, inputs: dict[str, Array]) -> Array:
        return self.model.compute("encode", inputs)[0].reshape(-1)

    def _decoded(self, codes: Array, y: Any) -> list[Any]:
        given = {name: np.repeat(values, len(codes), 0) for name, values in self.view.y_input(y).items()}
        inputs = {self.code.name: codes.reshape(-1, *self.code.shape), **given}
        return self.view.contents(self.model.compute("decode", self.model.checked("decode", inputs).inputs))

    def _code(self, code: Any) -> Array:
        """A code (d,) from JSON."""
        size = math.prod(self.code.shape)
        if not isinstance(code, list) or len(code) != size or not all(_is_number(value) for value in code):
            raise DataError(f"a code has {size} finite numbers: send a list of as many")
        return self._typed(np.array(code, np.float64))

    def _typed(self, codes: Array) -> Array:
        whole = np.dtype(self.code.dtype).kind in "iu"
        return (np.rint(codes) if whole else codes).astype(self.code.dtype)

    def _y_of(self, inputs: dict[str, Array]) -> Any:
        return None if self.view.y is None else np.asarray(inputs["y"][0]).tolist()

    def _needed(self) -> Known:
        known = self.known
        if known is None:
            raise NotPossibleError(self._reason)
        return known

    def _check_index(self, known: Known, index: Any) -> None:
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(known):
            raise DataError(
                f"there is no held-out example {printable(repr(index), 60)}: choose from 0 to {len(known) - 1}"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
