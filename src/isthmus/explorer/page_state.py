"""What the page has to know of a model to show itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from isthmus.explorer.disturbance import grid_of
from isthmus.explorer.known import Known
from isthmus.explorer.maps import MAPS, principal_components
from isthmus.explorer.view import View
from isthmus.serving import ServedModel

__all__ = ["limits_of", "page_state"]

_MOST_Y = 100  # labels in the chooser


def limits_of(model: ServedModel, view: View) -> tuple[float, float] | None:
    """The lowest and highest value of examples, for drawing; None of a table, or where it is not known."""
    if view.drawn == "table":
        return None
    if view.ports[0].dtype == "uint8":
        return 0.0, 255.0
    limits = model.described.get("range")
    return None if limits is None else (float(limits[0]), float(limits[1]))


def page_state(model: ServedModel, view: View, known: Known | None, can_disturb: bool, reason: str) -> dict[str, Any]:
    """The model as JSON.

    Args:
        model: that is shown.
        view: of it.
        known: its held-out examples, or None.
        can_disturb: whether the spread of its values is known.
        reason: one sentence, why there are no held-out examples.
    """
    code = model.entries["decode"].inputs[0]
    return {
        "name": model.name,
        "version": model.version,
        "platform": model.platform,
        "drawn": view.drawn,
        "kind": view.kind,
        "shape": view.shape,
        "dtype": view.ports[0].dtype,
        "columns": [column._asdict() for column in view.columns],
        "channels": model.described.get("features") if view.drawn == "lines" else None,
        "limits": limits_of(model, view),
        "code_shape": code.shape,
        "whole_codes": np.dtype(code.dtype).kind in "iu",
        "missing": model.described["missing"] == "allow",
        "grid": grid_of(view) if view.drawn != "volume" else None,
        "can_disturb": view.drawn != "volume" and can_disturb,
        "detector": model.described.get("detector"),
        "y": _y_state(view, known),
        "maps": MAPS,
        "held_out": None if known is None else _held_out_state(known),
        "reason": reason if known is None else "",
    }


def _held_out_state(known: Known) -> dict[str, Any]:
    shares = principal_components(known.codes)[1]
    return {
        "count": len(known),
        "note": known.examples.note,
        "colors": [*known.choices(), {"by": "score", "name": "score"}],
        "has_ids": known.examples.ids is not None,
        "variance": [round(float(share), 4) for share in shares],
    }


def _y_state(view: View, known: Known | None) -> dict[str, Any] | None:
    """How y is chosen: among labels, or as numbers."""
    port = view.y
    if port is None:
        return None
    choices: list[Any] = list(port.labels)
    if not choices and not port.shape and known is not None:
        choices = np.unique(known.examples.inputs["y"]).tolist()
    size = math.prod(port.shape)
    return {"choices": choices if len(choices) <= _MOST_Y else [], "size": size, "dtype": port.dtype}
