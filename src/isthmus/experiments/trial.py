"""One training of a sweep, and its figures on validation examples: read from its folder, resumed, or started."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import get_num_threads

from isthmus.data.validation import Examples
from isthmus.errors import DataError, DivergenceError, ModelFileError
from isthmus.estimators.argument_check import with_context
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.loading import load_autoencoder
from isthmus.evaluation import Evaluation, evaluate
from isthmus.evaluation.older_figures import current
from isthmus.experiments import run_folder
from isthmus.experiments.comparison_metrics import text_of
from isthmus.experiments.membership import Membership
from isthmus.experiments.resumable import NOT_COMPARED, checked_params, interrupted, with_checkpoints
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.io.atomic import check_folder, replace_file
from isthmus.io.files import open_regular
from isthmus.text import as_json
from isthmus.training.state import Report

__all__ = ["ProgressCallback", "SweepContext", "Trial", "folder_name", "is_trained", "trial"]

ProgressCallback = Callable[[Iterator[Report], str, int], Iterator[Report]]
Figures = dict[str, Any]

FIGURES = "validation.json"  # of a trial, next to its model
_MAX_BYTES = 1 << 20  # of a validation.json
_PROGRESS_STEPS = 20  # between two updates of the progress bar
_MAX_NAME = 120  # characters of a folder's name


@dataclass(frozen=True, eq=False)
class Trial:
    """One training of a sweep.

    Attributes:
        values: values of the fields that vary.
        random_state: random state of this training.
        autoencoder: the fitted autoencoder; None where training diverged.
        figures: the result of `evaluate` on the validation examples, as JSON values; empty where training diverged.
        folder: name of its folder within the folder of the sweep, or "".
        new: whether it was trained in this call, and not read from its folder.
        diverged: the error message where training diverged, or "".
        failed: why there is no result, in a sentence, or "". The same call trains it again.
        threads: the number of threads that it was allowed; None in folders of older versions.
    """

    values: Mapping[str, Any]
    random_state: int
    autoencoder: Autoencoder | None = field(repr=False)
    figures: Figures = field(repr=False)
    folder: str = ""
    new: bool = True
    diverged: str = ""
    failed: str = ""
    threads: int | None = None

    @property
    def status(self) -> str:
        """done, diverged, or failed with the reason."""
        return f"failed: {self.failed}" if self.failed else "diverged" if self.diverged else "done"


@dataclass(frozen=True, eq=False)
class SweepContext:
    """What all trainings of a sweep share: training and validation examples, the folder, and what each run folder records.

    Attributes:
        y, validation_y: labels or covariates of the examples, for trainings that use them; or None.
        targets: what is to be reconstructed instead of the training and of the validation examples; None for the examples.
        weights: of the training and of the validation examples in training; evaluations count each example once.
        stopping: says after each step whether to write a checkpoint and to stop; None: never.
    """

    examples: Examples
    validation: Examples
    folder: Path | None = None
    origin: DataSource | None = None
    about: RunInfo = field(default_factory=RunInfo)
    watch: ProgressCallback | None = None
    record: Membership | None = None
    y: Any = None
    validation_y: Any = None
    targets: tuple[Any, Any] = (None, None)
    weights: tuple[Any, Any] = (None, None)
    stopping: Callable[[], bool] | None = None

    def evaluate(self, ae: Autoencoder) -> Evaluation:
        """The evaluation on the validation examples."""
        train = with_context(ae, self.examples, self.y, "train_labels")
        train_target, target = self.targets
        held = with_context(ae, self.validation, self.validation_y)
        return evaluate(ae, held, target=target, train=train, train_target=train_target)

    def training(self, uses_y: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a training: examples and labels, and target and validation data by name."""
        held = (self.targets[1], self.weights[1])
        parts = [
            self.validation,
            *([self.validation_y] if uses_y else []),
            *(each for each in held if each is not None),
        ]
        validation = parts[0] if len(parts) == 1 else tuple(parts)
        named = {"target": self.targets[0], "sample_weight": self.weights[0], "validation_data": validation}
        return (self.examples, self.y if uses_y else None), named


def trial(ae: Autoencoder, values: Mapping[str, Any], context: SweepContext, title: str, several: bool) -> Trial:
    """Trains and evaluates an unfitted autoencoder, or reads the trial from its folder.

    Args:
        ae: the unfitted autoencoder.
        values: values of the fields that vary.
        context: what all trials share.
        title: title of the progress bar.
        several: whether the sweep has several random states, so that the folder's name needs one.

    Raises:
        DataError: its folder holds another training.
        ModelFileError: the model in its folder cannot be read.
        FolderInUseError: another process trains it there.
    """
    state = int(ae.random_state)  # type: ignore[arg-type]  # a sweep gives each its own
    name = folder_name(values, state if several else None)
    folder = None if context.folder is None else context.folder / name
    if folder is None:
        return Trial(values, state, *_evaluated(_trained(ae, context, title, None), context), threads=get_num_threads())
    check_folder(folder)
    if is_trained(folder):  # complete: it does not change, and needs no lock
        return _in_folder(ae, values, context, title, folder)
    with run_folder.reserve_folder(folder):  # looked at once more: another task may have ended here since
        return _in_folder(ae, values, context, title, folder)


def _in_folder(ae: Autoencoder, values: Mapping[str, Any], context: SweepContext, title: str, folder: Path) -> Trial:
    """The trial that is read from its folder, or resumed or trained there."""
    state, name = int(ae.random_state), folder.name  # type: ignore[arg-type]  # a sweep gives each its own
    figures, threads = _read_figures(folder)
    if figures is not None and "diverged" in figures:
        _check_same_parameters(figures, ae, folder)
        return Trial(values, state, None, {}, name, new=False, diverged=figures["diverged"], threads=threads)
    complete = (folder / run_folder.MODEL).exists()
    threads = threads if complete else get_num_threads()
    try:
        fitted = checked_params(_loaded(folder), ae, folder) if complete else _trained(ae, context, title, folder)
    except DivergenceError as error:
        _write_figures(folder, {"diverged": str(error), "parameters": _parameters_hash(ae)}, threads)
        return Trial(values, state, None, {}, name, diverged=str(error), threads=threads)
    if figures is None or not complete:
        figures = context.evaluate(fitted).to_dict()
        _write_figures(folder, figures, threads)
    return Trial(values, state, fitted, figures, name, new=not complete, threads=threads)


def is_trained(folder: Path) -> bool:
    """Whether the folder of a trial holds its result."""
    figures, _ = _read_figures(folder)
    return figures is not None and ("diverged" in figures or (folder / run_folder.MODEL).exists())


def _evaluated(fitted: Autoencoder, context: SweepContext) -> tuple[Autoencoder, Figures]:
    return fitted, context.evaluate(fitted).to_dict()


def _loaded(folder: Path) -> Autoencoder:
    """The model in the folder of a trial. It is not replaced where it cannot be read: a newer isthmus may have written it."""
    try:
        return load_autoencoder(folder)
    except ModelFileError as error:
        raise ModelFileError(f"{error}; to train it again, remove {folder} and repeat the command") from None


def _trained(ae: Autoencoder, context: SweepContext, title: str, folder: Path | None) -> Autoencoder:
    """Trains to the end. With a folder, which is locked, it resumes from a checkpoint there, and writes one every ten seconds."""
    n_features = math.prod(context.examples.values.shape[1:])
    begun = None if folder is None else interrupted(ae, folder)
    ae = begun or ae
    given, named = context.training(ae._uses_y)

    def report_due(step: int) -> bool:
        return step % _PROGRESS_STEPS == 0 or (context.stopping is not None and context.stopping())

    reports = (ae.iter_fit if begun is None else ae.iter_resume)(*given, **named, every=report_due)
    progress = reports if context.watch is None else context.watch(reports, title, n_features)
    if folder is None:
        for _ in progress:
            pass
        return ae
    contents = (folder, ae, context.origin, context.about, context.record)
    for _ in with_checkpoints(progress, lambda: run_folder.save_checkpoint(*contents), context.stopping):
        pass
    run_folder.save_run(*contents)
    return ae


def _parameters_hash(ae: Autoencoder) -> str:
    """A hash of the parameters that decide what is trained."""
    params = {name: value for name, value in ae.get_params(deep=False).items() if name not in NOT_COMPARED}
    return f"{zlib.crc32(repr(sorted(params.items())).encode()):08x}"


def _check_same_parameters(figures: Figures, ae: Autoencoder, folder: Path) -> None:
    """`DataError` where the training that diverged had other parameters; older versions did not record them."""
    if figures.get("parameters", _parameters_hash(ae)) != _parameters_hash(ae):
        raise DataError(
            f"{folder} holds a training that diverged, with other parameters: choose another folder (--out), or remove it first"
        )


def _read_figures(folder: Path) -> tuple[Figures | None, int | None]:
    """The figures in its folder, if they can be read, and the number of threads of the training, if it is known."""
    path = folder / FIGURES
    if not path.is_file():
        return None, None
    try:
        with open_regular(path) as file:
            figures = json.loads(file.read(_MAX_BYTES))
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(figures, dict):
        return None, None
    threads = figures.pop("threads", None)
    known = threads if isinstance(threads, int) else None
    return figures if "diverged" in figures else current(figures), known


def _write_figures(folder: Path, figures: Figures, threads: int | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / FIGURES, as_json(figures | ({} if threads is None else {"threads": threads})).encode())


def folder_name(values: Mapping[str, Any], state: int | None) -> str:
    """The name of a trial's folder: size-8, or size-8_beta-2_state-1. The end of a long one is a hash of all of it."""
    parts = [f"{path.rpartition('.')[2]}-{text_of(value)}" for path, value in values.items()]
    parts += [] if state is None else [f"state-{state}"]
    whole = "_".join(parts)
    name = re.sub(r"[^\w.+,=-]+", "-", whole)
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 9]}-{zlib.crc32(whole.encode()):08x}"
