"""Loading a model file as an autoencoder, a detector of examples or of images, or a classifier."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from isthmus.architectures import Modules
from isthmus.architectures.base import Architecture
from isthmus.data.kinds import Kind
from isthmus.errors import ModelFileError, NotPossibleError, RecordError
from isthmus.estimators import classifier_file as classifiers
from isthmus.estimators import image_detector_file as image_detectors
from isthmus.estimators import model_file
from isthmus.estimators import outlier_detector_file as detectors
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.checkpoint import ResumeState, check_values, expected_tensors, to_data_units
from isthmus.estimators.classifier import AutoencoderClassifier
from isthmus.estimators.context_file import expected_context, read_context
from isthmus.estimators.defaults import COMPONENTS, ResolvedComponents
from isthmus.estimators.fitted_state import FittedAttributes
from isthmus.estimators.image_detector import ImageOutlierDetector
from isthmus.estimators.named_records import read_parameters, read_value, record_types
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.preparation import initial_attributes
from isthmus.estimators.table_file import expected_table, read_table
from isthmus.estimators.units_file import read_affine, read_curves, read_extent, read_fill
from isthmus.estimators.wrapper import tensors_under
from isthmus.io.files import shown
from isthmus.io.memory_limit import parse_size
from isthmus.model import Model
from isthmus.nn.device import choose_device, grad_mode
from isthmus.nn.variables import Variables
from isthmus.records import Record
from isthmus.training.state import State

__all__ = ["load", "load_autoencoder"]


@grad_mode()  # so that the model can be trained even if load runs in inference mode
def load(
    path: str | os.PathLike[str],
    *,
    architecture: Modules | None = None,
    device: str = "auto",
    max_memory: int | str | None = None,
) -> Any:
    """Reads a model file: the `Autoencoder`, detector or `AutoencoderClassifier` that was saved, ready to use.

    A checkpoint gives the autoencoder as it was when the file was written; `Autoencoder.resume` continues its training.

    Args:
        path: the model file, or the folder of a run.
        architecture: the modules of a user's own architecture, whose code a file does not contain.
        device: "cpu", "cuda", ...; auto: a GPU if there is one.
        max_memory: how much memory the methods may use, in bytes or as text such as "4GB". The default is half a gigabyte or a thousand
            times the size of the examples given, whichever is larger: a file from a stranger could require any amount.

    Returns:
        The fitted estimator.

    Raises:
        FileNotFoundError: there is no such file.
        ModelFileError: the file is damaged, is not a model file of isthmus, or is a link, a pipe or a device.

    Examples:
        >>> ae.save("digits.safetensors")
        >>> isthmus.load("digits.safetensors").shape_
        (8, 8)
    """
    ae, header, tensors = _read(path, architecture, device, max_memory)
    with model_file.inconsistent_as_error(path):
        for name, (cls, _) in _WRAPPERS.items():
            part = _part(path, header, name)
            if part is not None:
                return cls._loaded(ae, part, tensors_under(name, tensors), architecture)
    return ae


def load_autoencoder(path: str | os.PathLike[str]) -> Autoencoder:
    """`load` for commands that require an autoencoder; `NotPossibleError` for the file of a detector or classifier."""
    loaded = load(path)
    if isinstance(loaded, Autoencoder):
        return loaded
    name, verb = ("classifier", "finetune") if isinstance(loaded, AutoencoderClassifier) else ("detector", "detect")
    attribute = "autoencoder" if isinstance(loaded, ImageOutlierDetector) else "autoencoder_"
    raise NotPossibleError(
        f"{shown(path)} contains a {name} (for `isthmus {verb}`), and this command requires an autoencoder: give its run, or "
        f"save the autoencoder of the file with isthmus.load(...).{attribute}.save(...)"
    )


_WRAPPERS: dict[str, tuple[Any, type[BaseModel]]] = {  # by the name of its part in the header
    "detector": (OutlierDetector, detectors.DetectorPart),
    "classifier": (AutoencoderClassifier, classifiers.ClassifierPart),
    "image_detector": (ImageOutlierDetector, image_detectors.ImageDetectorPart),
}


def _part(path: str | os.PathLike[str], header: model_file.Header, name: str) -> Any:
    """The header's entry of a detector or classifier, None if it has none."""
    entry = getattr(header, name)
    return None if entry is None else model_file.part(Path(path), _WRAPPERS[name][1], name, entry)


def _read(
    path: str | os.PathLike[str], architecture: Modules | None, device: str, max_memory: int | str | None
) -> tuple[Autoencoder, model_file.Header, model_file.Tensors]:
    """The autoencoder of a file, its header and its tensors."""
    allowed = None if max_memory is None else parse_size(max_memory)
    path = os.path.join(path, "model.safetensors") if os.path.isdir(path) else path

    def expected(header: model_file.Header, tensors: model_file.Tensors) -> model_file.Tensors:
        chosen = _read_components(header, tensors, architecture)[1]
        meta_model = _with_old_variables(chosen.meta_model(), tensors)
        required = dict(meta_model.state_dict())
        required |= expected_tensors(header, tensors, meta_model, chosen.records["optimizer"])
        required |= expected_context(header, tensors) | expected_table(tensors)
        return required | _expected_wrapper_tensors(path, header, tensors, chosen, math.prod(meta_model.shape))

    header, tensors, history, columns = model_file.read_file(path, expected)
    with model_file.inconsistent_as_error(path):
        ae, chosen = _read_components(header, tensors, architecture)
        user_defined = chosen.records["architecture"].user_defined
        nonfinite = _first_nonfinite(tensors, lambda name: user_defined and name.startswith(("encoder.", "decoder.")))
        if nonfinite is None:
            ae.device = _choose_device_name(header, device)
            known = (read_context(header, tensors), read_table(tensors, columns, chosen.records["scaling"]))
            fitted = initial_attributes(chosen, columns, header.seed, ae.precision, choose_device(ae.device), *known)
            _with_old_variables(fitted.model, tensors).load_state_dict(
                {name: tensors[name] for name in fitted.model.state_dict()}
            )
            fitted = replace(fitted, history=history, seconds=header.seconds, state=State(header.epoch, header.step))
            if user_defined:
                nonfinite = _first_nonfinite(tensors, fitted.model.user_buffers.__contains__)
        if nonfinite is None and header.round is not None:
            optimizer, parameters = chosen.records["optimizer"], ae.get_params(deep=False)
            check_values(header, tensors, parameters)
            interrupted = ResumeState(header, tensors, fitted.model, optimizer, parameters)
            fitted = replace(fitted, interrupted=interrupted, precision=header.round.precision)
        if nonfinite is None and header.kind is None:
            fitted = _with_losses_in_data_units(fitted)
    if nonfinite is not None:
        raise ModelFileError(f"{shown(path)} is damaged: {nonfinite} is not finite")
    ae._fitted = replace(fitted, loaded=True, max_memory=allowed)
    return ae, header, tensors


def _expected_wrapper_tensors(
    path: str | os.PathLike[str],
    header: model_file.Header,
    stored: model_file.Tensors,
    chosen: ResolvedComponents,
    n_features: int,
) -> model_file.Tensors:
    """The expected tensors, on "meta", of a detector or classifier. A file has at most one of checkpoint, detector, classifier.

    n_features: of an example in model units.
    """
    if sum(each is not None for each in (header.round, *(getattr(header, name) for name in _WRAPPERS))) > 1:
        raise RecordError("it contains more than one of checkpoint, detector and classifier")
    code_size, expected = math.prod(chosen.code_shape()), model_file.Tensors()
    if (detector := _part(path, header, "detector")) is not None:
        own, sizes = tensors_under("detector", stored), (code_size, n_features)
        tensors = detectors.expected_tensors(detector, own, chosen.shape, *sizes)
        expected = {f"detector.{name}": tensor for name, tensor in tensors.items()}
    if (classifier := _part(path, header, "classifier")) is not None:
        tensors = classifiers.expected_tensors(classifier, tensors_under("classifier", stored), code_size, chosen.dtype)
        expected = {f"classifier.{name}": tensor for name, tensor in tensors.items()}
    if _part(path, header, "image_detector") is not None:
        tensors = image_detectors.expected_tensors(tensors_under("image_detector", stored))
        expected = {f"image_detector.{name}": tensor for name, tensor in tensors.items()}
    return expected


def _read_components(
    header: model_file.Header, tensors: model_file.Tensors, architecture: Modules | None
) -> tuple[Autoencoder, ResolvedComponents]:
    """The unfitted autoencoder that a header describes, and its components; ValueError or similar if it describes none."""
    names, shape = record_types(), header.shape
    ae = Autoencoder(**read_parameters(header.parameters, names, architecture))
    ae._validate_params()
    fitted = {slot: read_value(header.fitted[slot], names, architecture) for slot in COMPONENTS}
    for slot, kind in COMPONENTS.items():
        if not isinstance(fitted[slot], kind):
            raise RecordError(f"{fitted[slot]!r} is not a valid {slot}")
    layers = fitted["architecture"]
    deep = next((name for name in layers.get_params() if _layer_count(layers, name) > len(tensors)), None)
    if deep is not None:
        raise RecordError(f"{deep} requires more layers than the file has tensors")
    return ae, ResolvedComponents(
        fitted,
        shape,
        header.kind or _kind_of_old_file(shape),
        read_affine(header, tensors),
        getattr(torch, header.dtype),
        read_extent(header, tensors),
        read_fill(header, tensors, fitted["scaling"]),
        _context_size(header, fitted["architecture"]),
        read_curves(header, tensors, fitted["scaling"]),
    )


def _context_size(header: model_file.Header, architecture: Architecture) -> int | None:
    """The number of context features; `RecordError` if header and architecture disagree."""
    size = None if header.context is None else header.context.size
    if architecture.context is not None and architecture.context != size:
        raise RecordError(f"{architecture!r} does not fit a context of {size} features")
    return size


def _with_losses_in_data_units(fitted: FittedAttributes) -> FittedAttributes:
    """Converts the losses of files of versions up to 0.3, which were in model units, to nats of the data.

    With missing="allow" the conversion requires the examples: `Autoencoder.resume` converts an interrupted training, and a
    finished history stays unchanged.
    """
    model = fitted.model
    if model.fill is not None or not model.likelihood.density:
        return fitted
    state = fitted.state if fitted.interrupted is None else fitted.interrupted.state
    return replace(fitted, history=to_data_units(fitted.history, state, *[model.log_scale_sum] * 3))


def _kind_of_old_file(shape: tuple[int, ...]) -> Kind:
    """The kind in files of older formats: "images" for shapes with several axes and for (784,), else "table"."""
    return "images" if len(shape) > 1 or shape == (784,) else "table"


def _with_old_variables(model: Model, stored: model_file.Tensors) -> Model:
    """The model, with the learned scale as a parameter if the file has it so (versions up to 0.3). Resumed training keeps it."""
    variables = model.likelihood_memory
    if "squares" in variables and "likelihood_memory.squares" not in stored:
        model.likelihood_memory = Variables(parameters={"log_scale": variables["log_scale"]})
    return model


_CHECKED_ELSEWHERE = (
    "costs.",
    "optimizer.",
    "good.optimizer.",
    "detector.",
    "classifier.",
    "image_detector.",
    "context.",
)


def _first_nonfinite(tensors: model_file.Tensors, may_be: Callable[[str], bool]) -> str | None:
    """The name of the first tensor of a model, or of its copies in a checkpoint, with a value that is not finite; None without.

    Other tensors of checkpoints, detectors and classifiers are checked elsewhere.

    Args:
        tensors: all tensors of the file.
        may_be: whether the tensor of a model with this name may have any value.
    """
    for name, value in tensors.items():
        if name == "history" or name.startswith(_CHECKED_ELSEWHERE):
            continue
        if not may_be(name.removeprefix("best.").removeprefix("good.")) and not torch.isfinite(value).all():
            return name
    return None


def _choose_device_name(header: model_file.Header, device: str) -> str:
    """The device to use; with "auto" a checkpoint prefers the device on which it was written, if available."""
    if device == "auto" and header.round is not None:
        try:
            return choose_device(header.round.device).type
        except RecordError:
            return device
    return device


def _layer_count(record: Record, name: str) -> int:
    value = record.get_params()[name]
    return len(value) if isinstance(value, tuple) else 0
