"""From a model file to an autoencoder, or to the detector or classifier around it."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from isthmus.architectures import Modules
from isthmus.data.kinds import Kind
from isthmus.errors import ModelFileError, NotPossibleError, RecordError
from isthmus.estimators import classifier_file as classifiers
from isthmus.estimators import model_file
from isthmus.estimators import outlier_detector_file as detectors
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.checkpoint import ResumeState, asked, check_values, of_the_data
from isthmus.estimators.classifier import AutoencoderClassifier
from isthmus.estimators.defaults import COMPONENTS, ResolvedComponents
from isthmus.estimators.fitted_state import FittedAttributes
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.preparation import initial
from isthmus.estimators.wrapper import Surrounding, under
from isthmus.io.files import shown
from isthmus.io.memory_limit import parse_size
from isthmus.model import Model
from isthmus.nn.device import choose_device, grad_mode
from isthmus.nn.variables import Variables
from isthmus.records import Record
from isthmus.scaling import Affine, Extent
from isthmus.training.state import State

__all__ = ["load", "load_autoencoder"]


@grad_mode()  # what was loaded can be trained, wherever it was loaded
def load(
    path: str | os.PathLike[str],
    *,
    architecture: Modules | None = None,
    device: str = "auto",
    max_memory: int | str | None = None,
) -> Any:
    """Reads a model file: the `Autoencoder`, `OutlierDetector` or `AutoencoderClassifier` that was saved, ready to use.

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
    with model_file.agreeing(path):
        for name, (cls, _) in _AROUND.items():
            part = _part(path, header, name)
            if part is not None:
                return cls._loaded(ae, part, under(name, tensors), architecture)
    return ae


def load_autoencoder(path: str | os.PathLike[str]) -> Autoencoder:
    """`load` for those that can use an autoencoder alone; `NotPossibleError` with what to do where the file is that of a detector."""
    found = load(path)
    if isinstance(found, Autoencoder):
        return found
    name, verb = ("detector", "detect") if isinstance(found, OutlierDetector) else ("classifier", "finetune")
    raise NotPossibleError(
        f"{shown(path)} is the file of a {name}, which `isthmus {verb}` takes, and this takes an autoencoder: give its run, or "
        "write the autoencoder within by isthmus.load(...).autoencoder_.save(...)"
    )


_AROUND: dict[str, tuple[Any, type[Surrounding]]] = {  # by the name of its part in the header
    "detector": (OutlierDetector, detectors.DetectorPart),
    "classifier": (AutoencoderClassifier, classifiers.ClassifierPart),
}


def _part(path: str | os.PathLike[str], header: model_file.Header, name: str) -> Any:
    """What a header says of an estimator around the autoencoder, if it holds that one."""
    entry = getattr(header, name)
    return None if entry is None else model_file.part(Path(path), _AROUND[name][1], name, entry)


def _read(
    path: str | os.PathLike[str], architecture: Modules | None, device: str, max_memory: int | str | None
) -> tuple[Autoencoder, model_file.Header, model_file.Tensors]:
    """The autoencoder of a file, its header and its tensors."""
    allowed = None if max_memory is None else parse_size(max_memory)
    path = os.path.join(path, "model.safetensors") if os.path.isdir(path) else path

    def expected(header: model_file.Header, tensors: model_file.Tensors) -> model_file.Tensors:
        chosen = _described(header, tensors, architecture)[1]
        meta_model = _as_it_was(chosen.meta_model(), tensors)
        wanted = dict(meta_model.state_dict()) | asked(header, tensors, meta_model, chosen.records["optimizer"])
        return wanted | _asked_around(path, header, tensors, chosen)

    header, tensors, history, columns = model_file.read_file(path, expected)
    with model_file.agreeing(path):
        ae, chosen = _described(header, tensors, architecture)
        own = chosen.records["architecture"].user_defined
        broken = next((name for name, value in tensors.items() if not _sound(name, value, own)), None)
        if broken is None:
            ae.device = _usable(header, device)
            fitted = initial(chosen, columns, header.seed, ae.precision, choose_device(ae.device))
            _as_it_was(fitted.model, tensors).load_state_dict(
                {name: tensors[name] for name in fitted.model.state_dict()}
            )
            fitted = replace(fitted, history=history, seconds=header.seconds, state=State(header.epoch, header.step))
            broken = fitted.model.broken()  # of own modules: their weights, but not their buffers
        if broken is None and header.round is not None:
            optimizer, parameters = chosen.records["optimizer"], ae.get_params(deep=False)
            check_values(header, tensors, parameters)
            interrupted = ResumeState(header, tensors, fitted.model, optimizer, parameters)
            fitted = replace(fitted, interrupted=interrupted, precision=header.round.precision)
        if broken is None and header.kind is None:
            fitted = _in_nats_of_the_data(fitted)
    if broken is not None:
        raise ModelFileError(f"{shown(path)} is damaged: {broken} is not finite")
    ae._fitted = replace(fitted, loaded=True, max_memory=allowed)
    return ae, header, tensors


def _asked_around(
    path: str | os.PathLike[str], header: model_file.Header, there: model_file.Tensors, chosen: ResolvedComponents
) -> model_file.Tensors:
    """Sketches of the tensors of a detector or a classifier, of which a file holds one at most, and no training under way."""
    if sum(each is not None for each in (header.round, header.detector, header.classifier)) > 1:
        raise RecordError("it holds two of a checkpoint, a detector and a classifier")
    code, wanted = math.prod(chosen.code_shape()), model_file.Tensors()
    if (detector := _part(path, header, "detector")) is not None:
        own = detectors.asked(detector, under("detector", there), chosen.shape, code)
        wanted = {f"detector.{name}": tensor for name, tensor in own.items()}
    if (classifier := _part(path, header, "classifier")) is not None:
        own = classifiers.asked(classifier, under("classifier", there), code, chosen.dtype)
        wanted = {f"classifier.{name}": tensor for name, tensor in own.items()}
    return wanted


def _described(
    header: model_file.Header, tensors: model_file.Tensors, architecture: Modules | None
) -> tuple[Autoencoder, ResolvedComponents]:
    """The autoencoder that a header describes, unfitted, and its choices; ValueError or the like if it describes none."""
    names, shape = model_file.record_types(), header.shape
    ae = Autoencoder(**{k: model_file.read_value(v, names, architecture) for k, v in header.parameters.items()})
    ae._validate_params()
    fitted = {slot: model_file.read_value(header.fitted[slot], names, architecture) for slot in COMPONENTS}
    for slot, kind in COMPONENTS.items():
        if not isinstance(fitted[slot], kind):
            raise RecordError(f"{fitted[slot]!r} is no {slot}")
    deep = next(
        (n for record in fitted.values() for n in record.get_params() if _layers(record, n) > len(tensors)), None
    )
    if deep is not None:
        raise RecordError(f"{deep} asks for more layers than there are tensors")
    for side in ("shift", "scale"):
        if not _broadcasts(tensors[side], shape):
            raise RecordError(f"{side} of shape {tuple(tensors[side].shape)} does not fit {shape}")
    if not (tensors["scale"] > 0).all():
        raise RecordError("scale has to be greater than 0")
    affine, dtype = Affine(tensors["shift"].numpy(), tensors["scale"].numpy()), getattr(torch, header.dtype)
    return ae, ResolvedComponents(
        fitted, shape, header.kind or _meant(shape), affine, dtype, _extent(header, tensors), _fill(header, tensors)
    )


def _in_nats_of_the_data(fitted: FittedAttributes) -> FittedAttributes:
    """What a version up to 0.3 wrote, whose losses were in model units.

    Where numbers may be missing, how many were is not in the file: there a round that goes on finds it in the examples
    (`Autoencoder.resume`), and a history stays as it is.
    """
    model = fitted.model
    if model.fill is not None or not model.likelihood.density:
        return fitted
    state = fitted.state if fitted.interrupted is None else fitted.interrupted.state
    return replace(fitted, history=of_the_data(fitted.history, state, *[model.log_volume] * 3))


def _meant(shape: tuple[int, ...]) -> Kind:
    """What the axes meant to versions that did not say it: everything but rows was an image, and rows of 784 numbers too."""
    return "images" if len(shape) > 1 or shape == (784,) else "table"


def _as_it_was(model: Model, there: model_file.Tensors) -> Model:
    """The model, whose learned scale is a parameter where the file has it so, as up to 0.3; an interrupted round goes on like that."""
    held = model.likelihood_memory
    if "squares" in held and "likelihood_memory.squares" not in there:
        model.likelihood_memory = Variables(parameters={"log_scale": held["log_scale"]})
    return model


def _broadcasts(tensor: torch.Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a tensor has floats that broadcast to an example."""
    own = tuple(tensor.shape)
    fits = len(own) <= len(shape) and all(a in {1, b} for a, b in zip(own[::-1], shape[::-1], strict=False))
    return fits and tensor.dtype in {torch.float32, torch.float64}


def _extent(header: model_file.Header, tensors: model_file.Tensors) -> Extent | None:
    """The least and largest numbers of the training examples, if the file has them."""
    least, largest = tensors.get("least"), tensors.get("largest")
    if least is None or largest is None:
        return None
    if not _broadcasts(least, header.shape) or (least.shape, least.dtype) != (largest.shape, largest.dtype):
        raise RecordError(f"least of shape {tuple(least.shape)} does not fit {header.shape}")
    if not (least <= largest).all():
        raise RecordError("least is greater than largest")
    return Extent(least.numpy(), largest.numpy())


def _fill(header: model_file.Header, tensors: model_file.Tensors) -> NDArray[Any] | None:
    """What stands for missing numbers, if they may be missing; ValueError unless it is of the shape of an example."""
    fill = tensors.get("fill")
    if fill is None:
        return None
    if "missing" not in header.parameters:
        raise RecordError("its parameters do not say what is done with missing numbers, and yet it has a fill")
    if fill.shape != header.shape or fill.dtype not in {torch.float32, torch.float64}:
        raise RecordError(f"fill of shape {tuple(fill.shape)} does not fit {header.shape}")
    return fill.numpy()


_ELSEWHERE = ("costs.", "optimizer.", "good.optimizer.", "detector.", "classifier.")


def _sound(name: str, value: torch.Tensor, own: bool) -> bool:
    """Whether a tensor may be: weights have to be finite, but in buffers of own modules there may be anything.

    What a checkpoint, a detector or a classifier holds beside weights is looked at for itself.
    """
    if name == "history" or name.startswith(_ELSEWHERE):
        return True
    theirs = name.removeprefix("best.").removeprefix("good.").startswith(("encoder.", "decoder."))
    return (own and theirs) or bool(torch.isfinite(value).all())


def _usable(header: model_file.Header, device: str) -> str:
    """The device that is asked for; for a checkpoint the one that it was made on, if it is here."""
    if device == "auto" and header.round is not None:
        try:
            return choose_device(header.round.device).type
        except RecordError:
            return device
    return device


def _layers(record: Record, name: str) -> int:
    value = record.get_params()[name]
    return len(value) if isinstance(value, tuple) else 0
