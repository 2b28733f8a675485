"""Writes a fitted autoencoder to a model file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from isthmus.errors import DivergenceError, IsthmusWarning
from isthmus.estimators import model_file, model_notes
from isthmus.estimators.context_file import context_part, context_tensors
from isthmus.estimators.defaults import COMPONENTS
from isthmus.estimators.fitted_state import FittedAttributes
from isthmus.estimators.named_records import check_records, describe_value
from isthmus.estimators.table_file import table_tensors

if TYPE_CHECKING:
    from isthmus.estimators.autoencoder import Autoencoder

__all__ = ["write_model"]


def write_model(
    path: str | os.PathLike[str],
    ae: Autoencoder,
    fitted: FittedAttributes,
    run_state: model_file.RunState | None = None,
    extra: model_file.Tensors | None = None,
    parts: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Writes the model file.

    Args:
        path: the file, which is replaced if it exists.
        ae: the estimator, for its parameters.
        fitted: its fitted attributes. The weights must not change during the call.
        run_state: the state of the current training run, for a checkpoint.
        extra: additional tensors.
        parts: additional entries of the header, of a detector or classifier.

    Raises:
        DivergenceError: a weight is not finite.
        NotPossibleError: a component is a record of the user.
    """
    from isthmus._version import __version__

    ae._validate_params()
    nonfinite = fitted.model.first_nonfinite()
    if nonfinite is not None:
        raise DivergenceError(f"{nonfinite} is not finite, so the model cannot be saved; fit it again")
    parameters = {name: getattr(ae, name) for name in sorted(ae._get_param_names())}
    check_records([*parameters.values(), *fitted.records.values()])
    if isinstance(parameters["random_state"], np.random.RandomState):
        parameters["random_state"] = None
    statistics, notes = model_notes.notes(fitted.history, fitted.columns)
    if run_state is None and len(notes["history"]) < len(fitted.history):
        warnings.warn(
            f"the model file stores {len(notes['history']):,} evenly spaced epochs of the {len(fitted.history):,} in the history; "
            "save history_ separately to have all of them",
            IsthmusWarning,
            stacklevel=3,
        )
    header = model_file.Header(
        version=__version__,
        dtype="float64" if fitted.model.dtype == torch.float64 else "float32",
        shape=fitted.shape,
        seed=fitted.seed,
        epoch=fitted.state.epoch,
        step=fitted.state.step,
        seconds=fitted.seconds,
        parameters={name: describe_value(value) for name, value in parameters.items()},
        fitted={name: describe_value(fitted.records[name]) for name in COMPONENTS},
        kind=fitted.kind,
        context=context_part(fitted.context),
        statistics=statistics,
        round=run_state,
        **parts,
    )
    tensors = fitted.model.state_dict() | notes | context_tensors(fitted.context) | table_tensors(fitted.table)
    model_file.write_file(path, header, tensors | (extra or {}))
