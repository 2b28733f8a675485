"""Headers of older formats as headers of the newest: a function for each step from one format to the next.

A format is strict: a header that holds what its format did not know is refused, so that no field has two meanings.

    1   history and names of columns stand in the header; no checksum
    2   both are tensors; checkpoints have a ``round``
    3   the parameter ``missing``
    4   the ``kind`` of examples, the parts ``detector`` and ``classifier``, losses in nats of the data
    5   today's names of records, fields and parameters
    6   augmentation, penalty, and the context of conditional autoencoders
    7   tables of columns of any kind, the parameters ``kinds`` and ``column_weights``, the part ``image_detector``. Its first files have
        no ``curve_gap``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["FORMAT", "FORMATS", "upgrade_header", "upgrade_tensors", "upgrade_values"]

FORMAT = 7
FORMATS = range(1, FORMAT + 1)  # those that are read; files of each are kept in tests/files

Entry = dict[str, Any]


class Renamed(NamedTuple):
    """A record's new name, and those of its fields that have another name now, old to new."""

    name: str
    fields: Mapping[str, str] = {}


_FIXED = {"once": "fixed"}
_PER = {"per": "loss_reduction"}
_RECORDS = {
    "Clean": Renamed("Clean", _FIXED),
    "Noise": Renamed("GaussianNoise", {"scale": "std", **_FIXED}),
    "Mask": Renamed("Masking", _FIXED),
    "SaltAndPepper": Renamed("SaltAndPepper", _FIXED),
    "Occlude": Renamed("Occlusion", {"given": "visible", **_FIXED}),
    "VectorQuantized": Renamed("VectorQuantized", {"entries": "codebook_size", "revive": "dead_threshold"}),
    "Bytes": Renamed("UInt8"),
    "Unscaled": Renamed("NoScaling"),
    **{name: Renamed(name, _PER) for name in ("Adam", "AdamW", "Adadelta", "RMSprop", "SGD")},
}
_NEW = {renamed.name for renamed in _RECORDS.values()} - _RECORDS.keys()  # names that no older format has
_PARAMETERS = {"measure": "anomaly_score"}
_VALUES: Mapping[str, Mapping[str, str]] = {
    "missing": {"refuse": "error", "mask": "allow"},
    "anomaly_score": {"whitened": "standardized"},
}


def upgrade_header(entry: Entry, version: int) -> Entry:
    """The header's entry in the newest format; ValueError that names what its own format does not know.

    Args:
        entry: the header's entry without its format's number.
        version: that number, one of `FORMATS`.
    """
    if version >= 4 and entry.get("kind") is None:
        raise ValueError(f"format {version} has a kind")
    for step in _STEPS[version - 1 :]:
        entry = step(entry)
    return entry


def upgrade_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model, and of its copies in a checkpoint, with a ``curve_gap`` where the file has it as ``curve_shift``.

    Args:
        tensors: of the file, possibly on "meta".
    """
    added = dict[str, Tensor]()
    for copy in ("", "best.", "good."):
        shift, tangents = tensors.get(f"{copy}curve_shift"), tensors.get(f"{copy}curve_tangents")
        fits = shift is not None and tangents is not None and tangents.shape == (*shift.shape, 2)
        if not fits or f"{copy}curve_gap" in tensors:
            continue
        assert shift is not None
        assert tangents is not None
        logarithmic, none = tangents[..., 0] < tangents[..., 1], torch.zeros_like(shift)
        added[f"{copy}curve_shift"] = torch.where(logarithmic, shift, none)
        added[f"{copy}curve_gap"] = torch.where(logarithmic, none, shift)
    return tensors | added


def upgrade_values(value: Any) -> Any:
    """Parameters, records or a part of a header of format 4, with the names of format 5; ValueError for a new name in it."""
    if not isinstance(value, Mapping):
        return value
    kind = value.get("type")
    if kind in _NEW:
        raise ValueError(f"format 4 has no record {kind}")
    renamed = _RECORDS.get(kind, Renamed("")) if isinstance(kind, str) else Renamed("")
    fields = renamed.fields if renamed.name else _PARAMETERS
    for name in value.keys() & set(fields.values()):
        raise ValueError(f"format 4 has no {name}")
    named = {fields.get(name, name): upgrade_values(inner) for name, inner in value.items()}
    if renamed.name:
        return named | {"type": renamed.name}
    return {name: _upgrade_value(name, inner) for name, inner in named.items()}


def format_4_names(value: Any) -> Any:
    """A record that `describe` described, with the names of format 4: `upgrade_values` backwards."""
    if not isinstance(value, Mapping):
        return value
    old = next((old for old, new in _RECORDS.items() if new.name == value.get("type")), None)
    fields = {new: field for field, new in _RECORDS[old].fields.items()} if old is not None else {}
    named = {fields.get(name, name): format_4_names(inner) for name, inner in value.items()}
    return named if old is None else named | {"type": old}


def _from_1(entry: Entry) -> Entry:
    """Format 2 adds checkpoints. `model_file` makes tensors of the history and the names of columns."""
    _check_without(entry, 1, ("round", "statistics"))
    history = entry.get("history")
    if not isinstance(history, list):
        return entry
    return entry | {"history": [_report(each) for each in history]}


def _report(entry: Any) -> Any:
    """An epoch of a history with today's name of the validation loss."""
    if not isinstance(entry, Mapping):
        return entry
    return {"val_loss" if name == "valid" else name: value for name, value in entry.items()}


def _from_2(entry: Entry) -> Entry:
    """Format 3 adds the parameter ``missing``."""
    _check_without(entry.get("parameters"), 2, ("missing",), "parameter ")
    return entry


def _from_3(entry: Entry) -> Entry:
    """Format 4 adds the kind of examples, and estimators that wrap the autoencoder. A kind stays None: `loading` infers it."""
    _check_without(entry.get("parameters"), 3, ("kind",), "parameter ")
    _check_without(entry, 3, ("kind", "detector", "classifier"))
    return entry


def _from_4(entry: Entry) -> Entry:
    """Format 5 renames records, fields, parameters and their values."""
    parts = ("parameters", "fitted", "detector", "classifier")
    return entry | {name: upgrade_values(entry[name]) for name in parts if name in entry}


def _from_5(entry: Entry) -> Entry:
    """Format 6 adds two components and the context. The parameters stay "auto", which meant none."""
    for part, what in (("parameters", "parameter "), ("fitted", "component ")):
        _check_without(entry.get(part), 5, ("augmentation", "penalty"), what)
    _check_without(entry, 5, ("context",))
    if not isinstance(entry.get("fitted"), Mapping):
        return entry
    return entry | {
        "fitted": entry["fitted"] | {"augmentation": {"type": "NoAugmentation"}, "penalty": {"type": "NoPenalty"}}
    }


def _from_6(entry: Entry) -> Entry:
    """Format 7 adds the parameters ``kinds`` and ``column_weights``, the tensor ``table``, and detectors of anomalous images."""
    _check_without(entry.get("parameters"), 6, ("kinds", "column_weights"), "parameter ")
    _check_without(entry, 6, ("image_detector",))
    return entry


_STEPS: tuple[Callable[[Entry], Entry], ...] = (_from_1, _from_2, _from_3, _from_4, _from_5, _from_6)


def _check_without(entry: Any, version: int, names: tuple[str, ...], what: str = "") -> None:
    """ValueError if the entry has a name that a format does not know."""
    for name in names:
        if isinstance(entry, Mapping) and name in entry:
            raise ValueError(f"format {version} has no {what}{name}")


def _upgrade_value(name: str, value: Any) -> Any:
    """The value of a parameter in format 5; ValueError for one that format 4 did not have."""
    names = _VALUES.get(name, {})
    if not isinstance(value, str):
        return value
    if value in names.values():
        raise ValueError(f"format 4 has no {name}={value}")
    return names.get(value, value)
