"""Preparation of training: the examples are checked and measured in one pass, and the model is created or updated."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from isthmus.data.channels import channels_first
from isthmus.data.kinds import Kind
from isthmus.data.sentinels import sentence, sentinels
from isthmus.data.tables.column_kinds import GivenKind
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.data.validation import Examples, Missing, shaped_examples
from isthmus.errors import IsthmusWarning, RecordError
from isthmus.estimators.column_weights import with_column_weights
from isthmus.estimators.context import ContextEncoding
from isthmus.estimators.data_warnings import kind_warning, rounding_warning, table_warning
from isthmus.estimators.defaults import (
    ResolvedComponents,
    defaults,
    resolve_defaults,
    statistics_for,
    with_classes,
    with_context,
)
from isthmus.estimators.fitted_state import FittedAttributes
from isthmus.estimators.overflow import check_training_examples
from isthmus.estimators.training_defaults import choose_precision
from isthmus.model import check_gradients
from isthmus.scaling import Curves
from isthmus.training.config import Precision
from isthmus.training.rng import RandomStream, seeded

__all__ = ["Prepared", "apply_changes", "initial_attributes", "prepare"]


class Prepared(NamedTuple):
    """Checked examples, the resolved components, and the hash of the examples if it was requested."""

    examples: Examples
    chosen: ResolvedComponents
    fingerprint: str | None
    context: ContextEncoding | None


def prepare(
    X: Any,
    given: Mapping[str, Any],
    precision: Precision,
    missing: Missing,
    kind: Kind | Literal["auto"],
    *,
    minimum: int,
    fingerprint: bool = False,
    context: Callable[[int], ContextEncoding | None] = lambda _: None,
    own_target: bool = False,
    kinds: Mapping[str, GivenKind] | None = None,
    column_weights: Mapping[str, float] | None = None,
) -> Prepared:
    """Checks examples and resolves the components for them. Warns about examples that seem wrong.

    Reads the examples once, or twice if the scaling requires squared deviations from the mean. The search for sentinels also reads at most
    four million values.

    Args:
        X: the examples, (n, *shape).
        given: a record or "auto" for each component.
        minimum: the required number of examples.
        fingerprint: whether to compute the hash of the examples.
        context: the encoding of y for this number of examples.
        own_target: whether the examples are to be reconstructed as others, which the likelihood sees instead.
        kinds: the kinds of the columns of a frame.
        column_weights: the weights of columns in the loss, by name.

    Raises:
        DataError: the examples are invalid, too few, or too large to compute with.
        RecordError: a column that has a weight is not learned.
    """
    examples = shaped_examples(X, minimum=minimum, kinds=kinds)
    statistics = statistics_for(given, examples, missing, kind, fingerprint)
    _warn(table_warning(examples))
    _warn(channels_first(examples.values.shape[1:]) or "")
    encoding = context(len(examples.values))
    size = None if encoding is None else encoding.size
    chosen = resolve_defaults(given, examples, statistics, precision, missing, kind, size, own_target)
    likelihood = with_column_weights(chosen.records["likelihood"], column_weights, examples.columns, examples.table)
    chosen = chosen._replace(records={**chosen.records, "likelihood": likelihood})
    if chosen.extent is not None:
        check_training_examples(examples.values, chosen.extent, chosen.affine, examples.at)
    if given["scaling"] != "auto" and given["scaling"].open:
        _warn(chosen.records["scaling"].summary(math.prod(examples.values.shape[1:])))
    if kind == "auto" and examples.kind is None:
        _warn(kind_warning(statistics, chosen))
    _warn(rounding_warning(statistics, chosen, examples.columns))
    _warn(sentence(sentinels(examples.values, chosen.kind, examples.columns, examples.table)))
    return Prepared(examples, chosen, statistics.fingerprint() if fingerprint else None, encoding)


def _warn(sentence: str) -> None:
    """Gives a warning unless the sentence is empty."""
    if sentence:
        warnings.warn(sentence, IsthmusWarning, stacklevel=5)


def initial_attributes(
    chosen: ResolvedComponents,
    columns: Sequence[str] | None,
    seed: int,
    precision: Precision,
    device: torch.device,
    context: ContextEncoding | None = None,
    table: TableEncoding | None = None,
) -> FittedAttributes:
    """The fitted attributes before training: the model of the components with random weights, on a device."""
    return FittedAttributes(
        model=chosen.build_model(seeded("cpu", seed, RandomStream.WEIGHTS)).to(device).eval(),
        records=chosen.records,
        shape=chosen.shape,
        code_shape=chosen.code_shape(),
        kind=chosen.kind,
        precision=choose_precision(precision, chosen.records["architecture"], chosen.shape, device),
        seed=seed,
        columns=None if columns is None else np.asarray(columns, dtype=object),
        context=context,
        table=table,
    )


def apply_changes(
    fitted: FittedAttributes,
    given: Mapping[str, Any],
    precision: Precision,
    missing: Missing,
    kind: Kind | Literal["auto"],
    shape: tuple[int, ...],
    kinds: Mapping[str, GivenKind] | None = None,
    column_weights: Mapping[str, float] | None = None,
) -> FittedAttributes:
    """Applies parameters that were changed since the last training run. Changes the model of `fitted` in place.

    ``shape`` is that of a new example, before the augmentation.

    Raises:
        RecordError: a changed parameter does not fit the weights.
    """
    model = fitted.model
    if kinds and (fitted.table is None or not fitted.table.agrees_with(kinds)):
        raise _does_not_fit(f"kinds={dict(kinds)!r}")
    if (missing == "allow") != (model.fill is not None):
        raise _does_not_fit(f"missing={missing!r}")
    if kind not in {"auto", fitted.kind}:
        raise _does_not_fit(f"kind={kind!r}")
    changed = _changed(fitted, given, missing, column_weights)
    records = dict(fitted.records) | changed
    generator = seeded("cpu", fitted.seed, RandomStream.WEIGHTS, fitted.state.step)
    if "penalty" in changed:
        check_gradients(records["bottleneck"], changed["penalty"])
        if model.context is None and any(term.needs_context for term in changed["penalty"].terms):
            raise RecordError(
                f"training continues with the current weights, and it began without the y that {changed['penalty']!r} requires; fit "
                "again with warm_start=False"
            )
    if "penalty" in changed and model.replace_penalty(changed["penalty"], generator):
        fitted.state.optimizer = None
    if records["augmentation"].shape(shape) != fitted.shape:
        raise _does_not_fit(f"augmentation={records['augmentation']!r}")
    for name in changed.keys() - {"optimizer", "augmentation", "corruption", "penalty"}:
        fill = None if model.fill is None else model.fill.numpy(force=True)
        curves = None if model.curves is None else Curves(*(side.numpy(force=True) for side in model.curves))
        units = (model.affine, model.dtype, model.extent, fill, model.context, curves)
        meta_model = ResolvedComponents(records, fitted.shape, fitted.kind, *units).meta_model()
        sizes, required = ({key: t.shape for key, t in m.state_dict().items()} for m in (model, meta_model))
        if name in {"architecture", "scaling"} or sizes != required:
            raise _does_not_fit(f"{name}={changed[name]!r}")
    resolved = choose_precision(precision, records["architecture"], fitted.shape, model.shift.device)
    if (resolved == "float64") != (model.dtype == torch.float64):
        raise _does_not_fit(f"precision={precision!r}")
    if "optimizer" in changed:
        fitted.state.optimizer = None
    model.bottleneck = records["bottleneck"]
    model.use_likelihood(records["likelihood"])
    return replace(fitted, records=records, precision=resolved)


def _changed(
    fitted: FittedAttributes, given: Mapping[str, Any], missing: Missing, column_weights: Mapping[str, float] | None
) -> dict[str, Any]:
    """The components that differ from the fitted ones."""
    changed, default = dict[str, Any](), defaults(missing, given["penalty"])
    for name, record in given.items():
        if isinstance(record, str):  # "auto" keeps the components that were resolved from the data
            record = (
                default[name]
                if name in {"optimizer", "augmentation", "corruption", "penalty"}
                else fitted.records[name]
            )
        elif name == "architecture":
            record = with_context(record, fitted.model.context).for_kind(fitted.kind)
        elif fitted.table is not None:
            record = with_classes(name, record, fitted.table.classes)
        if name == "likelihood":
            own = record.inner if isinstance(given[name], str) else None  # without older weights
            columns = None if fitted.columns is None else fitted.columns.tolist()
            record = with_column_weights(own or record, column_weights, columns, fitted.table)
        if name == "scaling":
            record = record.completed(fitted.records[name])
        if record != fitted.records[name]:
            changed[name] = record
    return changed


def _does_not_fit(change: str) -> RecordError:
    return RecordError(
        f"training continues with the current weights, and {change} does not fit them; fit again with warm_start=False"
    )
