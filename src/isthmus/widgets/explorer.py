# ruff: noqa: ARG001  (takes_autoencoder gives the labels y to the examples X)
"""Makes the widget for an autoencoder and examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.context_array import attach_context
from isthmus.errors import NotPossibleError, RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.latent_traversal import unit_ranges
from isthmus.widgets.display import Shown, display_of

if TYPE_CHECKING:
    from isthmus.widgets.sliders import CodeSliders

__all__ = ["explore"]

Array = NDArray[Any]
MAX_EXAMPLES = 1000  # that can be picked


@takes_autoencoder
@check_units_once()
def explore(ae: Autoencoder, X: Any, y: Any = None, *, n_units: int = 10) -> CodeSliders:
    """Sliders for the dimensions of the code in a notebook: the decoded example follows while they move.

    Images are drawn as images, series as curves, tables as the values of their columns. An example of X is picked by its row; the sliders
    then start at its code. The dimensions of largest variance come first, in the ranges of `isthmus.latent_traversal.traverse`.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_), of which the first 1,000 can be picked.
        y: labels or covariates of X for a conditional autoencoder, which decodes with those of the picked example; others ignore them.
        n_units: the number of dimensions with sliders. Others keep the values of the example.

    Returns:
        The widget, an ``anywidget.AnyWidget``. Its attributes ``example`` and ``code`` can be read, set and observed.

    Raises:
        NotPossibleError: anywidget is not installed, or the codes are entries of a codebook or all equal.
        RecordError: n_units is invalid.

    Examples:
        >>> widget = isthmus.widgets.explore(ae, X)
        >>> widget.example = 3
        >>> len(widget.code)
        4
    """
    if n_units < 1:
        raise RecordError(f"invalid n_units={n_units}: expected at least 1")
    try:
        from isthmus.widgets.sliders import CodeSliders
    except ModuleNotFoundError as error:
        raise NotPossibleError(
            f"widgets require {error.name}, which is not installed: run pip install 'isthmus[notebook]'"
        ) from None
    given = ae._examples(X)
    values = given[:MAX_EXAMPLES]
    ranges, codes, context = unit_ranges(ae, values), ae.transform(values), ae._context(None, values)
    display = display_of(ae, np.asarray(values))

    def decode(code: Array, row: int) -> Shown:
        rows = attach_context(code[None].astype(codes.dtype), None if context is None else context[row : row + 1])
        return display(np.asarray(ae._decode(rows))[0], decoded=True)

    units = [
        {"unit": unit, "low": float(ranges.low[unit]), "high": float(ranges.high[unit])}
        for unit in ranges.units[:n_units].tolist()
    ]
    return CodeSliders(
        codes,
        lambda row: display(np.asarray(values[row])),
        decode,
        drawing=display.layout,
        units=units,
        note=_note(len(given), len(values), len(units), codes.shape[1]),
    )


def _note(given: int, kept: int, sliders: int, size: int) -> str:
    """What is left out, in a sentence; "" if nothing is."""
    parts = [f"the first {kept:,} of {given:,} examples"] if kept < given else []
    parts += [f"{sliders} of {size:,} dimensions, those of largest variance"] if sliders < size else []
    return f"Shown: {'; '.join(parts)}." if parts else ""
