"""What a training begins with: examples, checked and measured in one pass, and a model, untrained or with changed components."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from isthmus.data.channels import channels_first
from isthmus.data.kinds import Kind
from isthmus.data.sentinels import sentence, sentinels
from isthmus.data.validation import Examples, Missing, shaped_examples
from isthmus.errors import IsthmusWarning, RecordError
from isthmus.estimators.defaults import (
    ResolvedComponents,
    choose_precision,
    defaults,
    doubted,
    drowned,
    resolve_defaults,
    statistics_for,
)
from isthmus.estimators.fitted_state import FittedAttributes
from isthmus.estimators.overflow import check_training_examples
from isthmus.training.config import Precision
from isthmus.training.rng import RandomStream, seeded

__all__ = ["Prepared", "follow_changes", "initial", "prepare"]


class Prepared(NamedTuple):
    """Checked examples, the choices for them, and their hash where it was asked for."""

    examples: Examples
    chosen: ResolvedComponents
    fingerprint: str | None


def prepare(
    X: Any,
    given: Mapping[str, Any],
    precision: Precision,
    missing: Missing,
    kind: Kind | Literal["auto"],
    *,
    minimum: int,
    fingerprint: bool = False,
) -> Prepared:
    """Checks examples and resolves the choices for them; warns where something about them is doubtful.

    Reads them once, and once more where a scaling needs squares around the mean. A part of at most four million numbers is read
    beside that, to look for sentinels.

    Args:
        given: a record or "auto" for each component.
        minimum: how many examples there must be.
        fingerprint: whether their hash is wanted.
    """
    examples = shaped_examples(X, minimum=minimum)
    statistics = statistics_for(given, examples, missing, kind, fingerprint)
    _warn(channels_first(examples.values.shape[1:]) or "")
    chosen = resolve_defaults(given, examples, statistics, precision, missing, kind)
    if chosen.extent is not None:
        check_training_examples(examples.values, chosen.extent, chosen.affine, examples.at)
    if kind == "auto" and examples.kind is None:
        _warn(doubted(statistics, chosen))
    _warn(drowned(statistics, chosen, examples.columns))
    _warn(sentence(sentinels(examples.values, chosen.kind, examples.columns)))
    return Prepared(examples, chosen, statistics.fingerprint() if fingerprint else None)


def _warn(doubt: str) -> None:
    """Says what is doubtful, if anything is."""
    if doubt:
        warnings.warn(doubt, IsthmusWarning, stacklevel=5)


def initial(
    chosen: ResolvedComponents, columns: Sequence[str] | None, seed: int, precision: Precision, device: torch.device
) -> FittedAttributes:
    """The model of the choices, its weights drawn, on a device, and what is known of it."""
    return FittedAttributes(
        model=chosen.model(seeded("cpu", seed, RandomStream.WEIGHTS)).to(device).eval(),
        records=chosen.records,
        shape=chosen.shape,
        code_shape=chosen.code_shape(),
        kind=chosen.kind,
        precision=choose_precision(precision, chosen.records["architecture"], chosen.shape, device),
        seed=seed,
        columns=None if columns is None else np.asarray(columns, dtype=object),
    )


def follow_changes(
    fitted: FittedAttributes,
    given: Mapping[str, Any],
    precision: Precision,
    missing: Missing,
    kind: Kind | Literal["auto"],
) -> FittedAttributes:
    """Takes up choices that were changed since the last round of training, in its own copy of the model.

    Raises:
        RecordError: the weights do not allow a change.
    """
    model = fitted.model
    if (missing == "allow") != (model.fill is not None):
        raise _does_not_fit(f"missing={missing!r}")
    if kind not in {"auto", fitted.kind}:
        raise _does_not_fit(f"kind={kind!r}")
    changed = _changed(fitted, given, missing)
    records = dict(fitted.records) | changed
    for name in changed.keys() - {"optimizer", "corruption"}:
        fill = None if model.fill is None else model.fill.numpy(force=True)
        meta_model = ResolvedComponents(
            records, fitted.shape, fitted.kind, model.affine, model.dtype, model.extent, fill
        ).meta_model()
        sizes, asked = ({key: t.shape for key, t in m.state_dict().items()} for m in (model, meta_model))
        if name in {"architecture", "scaling"} or sizes != asked:
            raise _does_not_fit(f"{name}={changed[name]!r}")
    now = choose_precision(precision, records["architecture"], fitted.shape, model.shift.device)
    if (now == "float64") != (model.dtype == torch.float64):
        raise _does_not_fit(f"precision={precision!r}")
    if "optimizer" in changed:
        fitted.state.optimizer = None
    model.bottleneck, model.likelihood = records["bottleneck"], records["likelihood"]
    return replace(fitted, records=records, precision=now)


def _changed(fitted: FittedAttributes, given: Mapping[str, Any], missing: Missing) -> dict[str, Any]:
    """The components that are others than those that were fitted."""
    changed, free = dict[str, Any](), defaults(missing)
    for name, wanted in given.items():
        if isinstance(wanted, str):  # what the data decided stays
            wanted = free[name] if name in {"optimizer", "corruption"} else fitted.records[name]
        if wanted != fitted.records[name]:
            changed[name] = wanted
    return changed


def _does_not_fit(change: str) -> RecordError:
    return RecordError(
        f"training continues with the present weights, which {change} would not fit; fit anew, with warm_start=False"
    )
