"""An estimator around an autoencoder, in the file of that autoencoder: what its parameters were, and what it has learned itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel
from sklearn.frozen import FrozenEstimator

from isthmus.architectures import Modules
from isthmus.errors import RecordError
from isthmus.estimators import model_file
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.saving import write_model

__all__ = ["Surrounding", "describe_parameters", "read_parameters", "under", "write"]


class Surrounding(BaseModel):
    """What a header says of an estimator around the autoencoder."""

    model_config = model_file.STRICT

    autoencoder: Literal["auto", "fitted", "frozen"] | dict[str, Any]  # the one it was given, or what one was to be
    parameters: dict[str, Any]  # all others


def describe_parameters(estimator: Any) -> dict[str, Any]:
    """The parameters of an estimator around an autoencoder, as fields of `Surrounding`."""
    values = estimator.get_params(deep=False)
    given = values.pop("autoencoder")
    if isinstance(given, Autoencoder):
        given = "fitted" if given.__sklearn_is_fitted__() else _plain(given.get_params(deep=False))
    return {"autoencoder": "frozen" if isinstance(given, FrozenEstimator) else given, "parameters": _plain(values)}


def read_parameters(part: Surrounding, ae: Autoencoder, architecture: Modules | None) -> dict[str, Any]:
    """The parameters again. A fitted autoencoder that was given is the one in the file."""
    names = model_file.record_types()

    def read(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: model_file.read_value(value, names, architecture) for name, value in values.items()}

    given: Any = part.autoencoder
    if isinstance(given, dict):
        given = Autoencoder(**read(given))
        given._validate_params()
    given = {"fitted": ae, "frozen": FrozenEstimator(ae)}.get(given, given) if isinstance(given, str) else given
    if "autoencoder" in part.parameters:
        raise RecordError("its parameters say twice what its autoencoder is")
    return {"autoencoder": given} | read(part.parameters)


def write(
    path: str | os.PathLike[str],
    ae: Autoencoder,
    name: Literal["detector", "classifier"],
    part: Surrounding,
    own: model_file.Tensors,
) -> None:
    """Writes the model file of an autoencoder, with a part in its header and tensors below the same name."""
    fitted = ae._require_fitted()
    with fitted.at_rest():
        more = {f"{name}.{key}": tensor for key, tensor in own.items()}
        write_model(path, ae, fitted, None, more, {name: part.model_dump(mode="json")})


def under(name: str, tensors: model_file.Tensors) -> model_file.Tensors:
    """The tensors below a name, without it."""
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    model_file.check_records(values.values())
    return {
        name: None if isinstance(value, np.random.RandomState) else model_file.describe_value(value)
        for name, value in values.items()
    }
