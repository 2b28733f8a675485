"""A path as a job, and a job as a computation."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

from isthmus.data.options import ReadOptions, flag_of
from isthmus.errors import IsthmusError, ModelFileError, NotPossibleError, RecordError
from isthmus.io.files import shown
from isthmus.runtime.manifest import NAME as MANIFEST
from isthmus.runtime.manifest import read_manifest
from isthmus.scaleout.computation import Computation
from isthmus.scaleout.exported import PARTS, ExportedComputation
from isthmus.scaleout.job import Job, Verb, sha256_of

__all__ = ["Opened", "Runtime", "job_of", "open_computation"]

Runtime = Literal["auto", "torch", "onnx"]

_TAKEN = ("labels", "columns", "drop", "id", "na_values")  # options of reading that apply to rows of many files
_OF_RUN = (*_TAKEN, "weights", "by")
_FOLDER = "exported"  # as `isthmus export` names it
_MODEL = "model.safetensors"


class Opened(NamedTuple):
    """A job, and notes for the user."""

    job: Job
    notes: tuple[str, ...] = ()


def open_computation(job: Job) -> Computation:
    """The model of a job, ready to compute.

    Raises:
        ModelFileError: it is another one than when the work began, so that its results would have the name of those of the first one.
    """
    opened, path = _opened(job), Path(job.model)
    if sha256_of(path / MANIFEST if job.runtime == "onnx" else path) != job.sha256:  # after it was read
        raise ModelFileError(f"{shown(path)} has changed since the work began: run the same command again")
    return opened


def _opened(job: Job) -> Computation:
    if job.runtime == "onnx":
        return ExportedComputation(job)
    try:
        from isthmus.scaleout.live import LiveComputation
    except ModuleNotFoundError as error:
        raise NotPossibleError(
            f"{job.run} is no exported folder, and a run needs {error.name}, which is not installed: pip install isthmus, or export the run"
        ) from None
    return LiveComputation(job)


def job_of(
    verb: Verb,
    run: Path,
    out: Path,
    options: ReadOptions,
    *,
    model: Path | None = None,
    keep: Sequence[str] = (),
    runtime: Runtime = "auto",
    arguments: dict[str, Any] | None = None,
) -> Opened:
    """The job of a verb.

    Args:
        verb: what is computed.
        run: a run folder, a model file, a detector, or an exported folder.
        out: the folder of the results.
        options: the options of reading that the user gave.
        model: a detector that was calibrated for the run; None: what `run` is.
        keep: the columns that are copied to the results.
        runtime: "onnx" for an exported folder, "torch" for the model itself, "auto" for an export beside it if there is one.
        arguments: further arguments of the computation.

    Raises:
        RecordError: an option of reading does not apply.
        NotPossibleError: the runtime is not possible.
    """
    for name in options.given():
        if name not in _TAKEN:
            raise RecordError(
                f"{flag_of(name)} ({name}=) does not apply to the rows of many files, which are read as those of the run: leave it out"
            )
    if (run / MANIFEST).is_file() and not (run / _MODEL).is_file():
        if runtime == "torch":
            raise NotPossibleError(
                f"{shown(run)} is an exported folder, which PyTorch does not run: give the run, or --runtime onnx"
            )
        if _given(arguments or {}):
            raise NotPossibleError(
                f"{', '.join(map(flag_of, _given(arguments or {})))} needs PyTorch, and {shown(run)} is an exported folder: give the run"
            )
        return Opened(_job(verb, run, run, "onnx", options, keep, {}, out))
    options, path = _with_options_of_run(run, options), _model_file(model or run)
    arguments = _given(arguments or {})
    if runtime != "torch":
        export, problem = _export_beside(path, verb, arguments)
        if export is not None:
            note = (
                f"the workers use the export {shown(export)} of this model, without PyTorch; its results differ from those of PyTorch in "
                "the last digits: for those give --runtime torch (runtime='torch')"
            )
            job = _job(verb, run, export, "onnx", options, keep, arguments, out)
            return Opened(job, (note,) if runtime == "auto" else ())
        if runtime == "onnx":
            raise NotPossibleError(f"{shown(run)} cannot be run by onnxruntime: {problem}")
    return Opened(_job(verb, run, path, "torch", options, keep, arguments, out))


def _job(
    verb: Verb, run: Path, model: Path, runtime: Literal["torch", "onnx"], options: ReadOptions,
    keep: Sequence[str], arguments: dict[str, Any], out: Path,
) -> Job:  # fmt: skip
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in options.given().items()}
    sha256 = sha256_of(model / MANIFEST if runtime == "onnx" else model)
    return Job(
        verb, str(run), str(model.absolute()), sha256, runtime, given, arguments, tuple(keep), str(out.absolute())
    )


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that change something: a random state only with samples."""
    found = {name: value for name, value in arguments.items() if value is not None and value is not False}
    return {name: value for name, value in found.items() if name != "random_state" or "samples" in found}


def _model_file(run: Path) -> Path:
    """The model file of a run; what is no run is said by those who open it."""
    path = run / _MODEL if run.is_dir() else run
    if not path.is_file():
        from isthmus.experiments.run_folder import open_estimator

        open_estimator(run)
    return path


def _with_options_of_run(run: Path, options: ReadOptions) -> ReadOptions:
    """The user's options, with those of the run that apply to other files too."""
    from isthmus.experiments.run_record import options_of

    own = options_of(run)
    if own.window is not None:
        raise NotPossibleError(
            f"{shown(run)} is a run of windows of a series, which are not cut from many files: use one file at a time"
        )
    return options.over(ReadOptions(**{name: getattr(own, name) for name in _OF_RUN}))


def _export_beside(model: Path, verb: Verb, arguments: dict[str, Any]) -> tuple[Path | None, str]:
    """The export of this very model that is in the run, beside it or in the current folder; else None, and why."""
    if arguments:
        return None, f"{', '.join(map(flag_of, arguments))} needs PyTorch: leave it out"
    if find_spec("onnxruntime") is None:
        return None, "onnxruntime is not installed: pip install 'isthmus[runtime]'"
    sha256, folder = sha256_of(model), model.parent
    for place in dict.fromkeys([folder / _FOLDER, folder.parent / _FOLDER, Path(_FOLDER)]):
        if not (place / MANIFEST).is_file():
            continue
        try:
            manifest = read_manifest(place)
        except IsthmusError:  # a damaged export beside the run is not what was asked for
            continue
        if manifest.described.get("model_sha256") == sha256 and PARTS[verb] in manifest.parts:
            return place, ""
    return (
        None,
        f"there is no export of this model with the part {PARTS[verb]} beside it: write one with isthmus export",
    )
