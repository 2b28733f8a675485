"""A fitted autoencoder as a model file."""

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
from isthmus.estimators.defaults import COMPONENTS
from isthmus.estimators.fitted_state import FittedAttributes

if TYPE_CHECKING:
    from isthmus.estimators.autoencoder import Autoencoder

__all__ = ["write_model"]


def write_model(
    path: str | os.PathLike[str],
    ae: Autoencoder,
    fitted: FittedAttributes,
    stands: model_file.RunState | None = None,
    more: model_file.Tensors | None = None,
    parts: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Writes the model file.

    Args:
        ae: whose parameters are written.
        fitted: what was fitted; its weights must not move meanwhile.
        stands: where a training stands that is under way.
        more: further tensors.
        parts: of the header, which others than an autoencoder read.
    """
    from isthmus._version import __version__

    ae._validate_params()
    nonfinite = fitted.model.first_nonfinite()
    if nonfinite is not None:
        raise DivergenceError(f"{nonfinite} is not finite, so the model cannot be saved; fit it again")
    parameters = {name: getattr(ae, name) for name in sorted(ae._get_param_names())}
    model_file.check_records([*parameters.values(), *fitted.records.values()])
    if isinstance(parameters["random_state"], np.random.RandomState):
        parameters["random_state"] = None
    statistics, notes = model_notes.notes(fitted.history, fitted.columns)
    if stands is None and len(notes["history"]) < len(fitted.history):
        warnings.warn(
            f"of a history of {len(fitted.history):,} epochs a model file keeps {len(notes['history']):,}, evenly spaced; "
            "history_ has them all as long as this autoencoder lives",
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
        parameters={name: model_file.describe_value(value) for name, value in parameters.items()},
        fitted={name: model_file.describe_value(fitted.records[name]) for name in COMPONENTS},
        kind=fitted.kind,
        statistics=statistics,
        round=stands,
        **parts,
    )
    model_file.write_file(path, header, fitted.model.state_dict() | notes | (more or {}))
