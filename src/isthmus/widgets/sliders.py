"""The widget: sliders for the dimensions of the code, and the decoded example beside the picked one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from isthmus.widgets.display import Shown

__all__ = ["CodeSliders"]

Array = NDArray[Any]
_FOLDER = Path(__file__).parent


class CodeSliders(anywidget.AnyWidget):  # type: ignore[misc]  # it has no types here
    """Sliders for the dimensions of a code. The decoded example follows them.

    All attributes are traits of ipywidgets: they can be read, set and observed.

    Attributes:
        drawing: how examples are drawn.
        units: the dimensions that have sliders: the index of each in the flat code, and its range.
        example: the row of the picked example. Setting it sets `original`, `own_code` and `code`.
        n_examples: how many can be picked.
        note: what is left out, or "".
        own_code: the code of the picked example.
        code: the values of all dimensions. Setting it sets `decoded`.
        original, original_texts, decoded, texts: the two examples as they are drawn (`display.Shown`).
        answered: counts the codes that were decoded, so that the page sends the next one.
    """

    _esm = _FOLDER / "explore.js"
    _css = _FOLDER / "explore.css"

    drawing = traitlets.Dict().tag(sync=True)
    units = traitlets.List().tag(sync=True)
    example = traitlets.Int(0).tag(sync=True)
    n_examples = traitlets.Int(0).tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    code = traitlets.List(traitlets.Float()).tag(sync=True)
    own_code = traitlets.List(traitlets.Float()).tag(sync=True)
    original = traitlets.Bytes().tag(sync=True)
    original_texts = traitlets.List().tag(sync=True)
    decoded = traitlets.Bytes().tag(sync=True)
    texts = traitlets.List().tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)

    def __init__(
        self, codes: Array, original: Callable[[int], Shown], decode: Callable[[Array, int], Shown], **known: Any
    ) -> None:
        """The widget of examples.

        Args:
            codes: their codes (n, d).
            original: draws the example of a row.
            decode: decodes and draws a code (d,), with the context of the example of a row.
            known: values of attributes.
        """
        self._codes, self._original, self._decode = codes, original, decode
        super().__init__(n_examples=len(codes), **known)
        self._pick()
        self.observe(self._pick, "example")
        self.observe(self._show, "code")

    @traitlets.validate("example")  # type: ignore[untyped-decorator]
    def _row(self, proposal: Any) -> int:
        """A row that exists; a page, or a user, may name another one."""
        return int(min(max(proposal["value"], 0), max(self.n_examples - 1, 0)))

    @traitlets.validate("code")  # type: ignore[untyped-decorator]
    def _finite(self, proposal: Any) -> list[float]:
        """A code of the right length with finite values."""
        code = [float(value) for value in proposal["value"]]
        if len(code) != self._codes.shape[1] or not np.isfinite(code).all():
            raise traitlets.TraitError(f"invalid code: expected {self._codes.shape[1]} finite numbers")
        return code

    def _pick(self, change: Any = None) -> None:
        """Shows the example, and puts the sliders on its code."""
        answered = self.answered
        with self.hold_sync():
            self.original, self.original_texts = self._original(self.example)
            self.own_code = self._codes[self.example].astype(float).tolist()
            self.code = self.own_code
            if self.answered == answered:  # an equal code is no change, but the context may be another one
                self._show()

    def _show(self, change: Any = None) -> None:
        """Decodes the code."""
        with self.hold_sync():
            self.decoded, self.texts = self._decode(np.array(self.code), self.example)
            self.answered += 1
