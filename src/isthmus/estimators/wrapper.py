"""Reads and writes estimators that wrap an autoencoder, in the model file of that autoencoder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel
from sklearn.frozen import FrozenEstimator

from isthmus.architectures import Modules
from isthmus.errors import RecordError
from isthmus.estimators import model_file, named_records
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.named_records import check_records, describe_value, record_types
from isthmus.estimators.saving import write_model

__all__ = ["WrapperHeader", "describe_parameters", "read_parameters", "tensors_under", "write_wrapper"]


class WrapperHeader(BaseModel):
    """The header entry of an estimator that wraps an autoencoder."""

    model_config = model_file.STRICT

    autoencoder: Literal["auto", "fitted", "frozen"] | dict[str, Any]  # or the parameters of one that was not fitted
    parameters: dict[str, Any]  # all other parameters


def describe_parameters(estimator: Any) -> dict[str, Any]:
    """The parameters of an estimator that wraps an autoencoder, as fields of `WrapperHeader`."""
    values = estimator.get_params(deep=False)
    given = values.pop("autoencoder")
    if isinstance(given, Autoencoder):
        given = "fitted" if given.__sklearn_is_fitted__() else _plain(given.get_params(deep=False))
    return {"autoencoder": "frozen" if isinstance(given, FrozenEstimator) else given, "parameters": _plain(values)}


def read_parameters(part: WrapperHeader, ae: Autoencoder, architecture: Modules | None) -> dict[str, Any]:
    """The inverse of `describe_parameters`. A fitted autoencoder among the parameters is the one in the file."""
    names = record_types()
    given: Any = part.autoencoder
    if isinstance(given, dict):
        given = Autoencoder(**named_records.read_parameters(given, names, architecture))
        given._validate_params()
    given = {"fitted": ae, "frozen": FrozenEstimator(ae)}.get(given, given) if isinstance(given, str) else given
    if "autoencoder" in part.parameters:
        raise RecordError("its parameters contain the autoencoder twice")
    return {"autoencoder": given} | named_records.read_parameters(part.parameters, names, architecture)


def write_wrapper(
    path: str | os.PathLike[str],
    ae: Autoencoder,
    name: Literal["detector", "classifier", "image_detector"],
    part: BaseModel,
    tensors: model_file.Tensors,
) -> None:
    """Writes the model file of an autoencoder with the entry and the tensors of the estimator that wraps it.

    Args:
        path: the file, which is replaced if it exists.
        ae: the fitted autoencoder.
        name: the name of the header entry, and the prefix of the tensors.
        part: the header entry.
        tensors: the tensors of the estimator.
    """
    fitted = ae._require_fitted()
    with fitted.weights_locked():
        extra = {f"{name}.{key}": tensor for key, tensor in tensors.items()}
        write_model(path, ae, fitted, None, extra, {name: part.model_dump(mode="json")})


def tensors_under(name: str, tensors: model_file.Tensors) -> model_file.Tensors:
    """The tensors with the prefix `name`, without this prefix."""
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    check_records(values.values())
    return {
        name: None if isinstance(value, np.random.RandomState) else describe_value(value)
        for name, value in values.items()
    }
