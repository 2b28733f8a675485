"""Examples before the first training: one pass that checks and measures them, what "auto" means for them, and what is doubtful."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from isthmus.data.channels import channels_first
from isthmus.data.kinds import Kind
from isthmus.data.sentinels import sentence, sentinels
from isthmus.data.validation import Examples, Missing, shaped_examples
from isthmus.errors import IsthmusWarning
from isthmus.estimators.defaults import ResolvedComponents, doubted, drowned, resolve_defaults, statistics_for
from isthmus.estimators.overflow import check_fitting
from isthmus.training.config import Precision

__all__ = ["Prepared", "prepare"]


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
        check_fitting(examples.values, chosen.extent, chosen.affine, examples.at)
    if kind == "auto" and examples.kind is None:
        _warn(doubted(statistics, chosen))
    _warn(drowned(statistics, chosen, examples.columns))
    _warn(sentence(sentinels(examples.values, chosen.kind, examples.columns)))
    return Prepared(examples, chosen, statistics.fingerprint() if fingerprint else None)


def _warn(doubt: str) -> None:
    """Says what is doubtful, if anything is."""
    if doubt:
        warnings.warn(doubt, IsthmusWarning, stacklevel=5)
