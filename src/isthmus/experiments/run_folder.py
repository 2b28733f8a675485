"""The folder of a run: reserving it, writing into it, opening the model in it.

model.safetensors       the model file, self-describing
checkpoint.safetensors  during training and after an interruption: `isthmus resume` continues from it
split.safetensors       a key of each example, and which are held out (`experiments.splits`)
history.csv             one row per epoch, losses in nats per example
run.json                recipe, data source and options (`experiments.run_record`)
figures/*.png           and report.html; events.* for TensorBoard on request
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from isthmus.errors import DataError, FolderInUseError, IsthmusError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.classifier import AutoencoderClassifier
from isthmus.estimators.image_detector import ImageOutlierDetector
from isthmus.estimators.loading import load, load_autoencoder
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.experiments.membership import FILE as MEMBERSHIP
from isthmus.experiments.membership import Membership
from isthmus.experiments.run_record import (
    RECORD,
    DataSource,
    RunInfo,
    info_of,
    options_of,
    read_record,
    source_of,
    write_record,
)
from isthmus.io.atomic import check_folder, check_writable, lock_folder, replace_file
from isthmus.io.tables import csv_records
from isthmus.text import command
from isthmus.training.state import Report

__all__ = [
    "CHECKPOINT",
    "FIGURES",
    "MODEL",
    "SWEEP",
    "check_image_size",
    "check_report_paths",
    "history_csv",
    "how_to_fit_images",
    "is_export",
    "open_estimator",
    "open_interrupted",
    "open_run",
    "reserve_folder",
    "reserve_new_folder",
    "save_checkpoint",
    "save_run",
]

MODEL, CHECKPOINT, HISTORY = "model.safetensors", "checkpoint.safetensors", "history.csv"
EXPORT = "isthmus.json"  # in an exported folder
FIGURES, REPORT = "figures", "report.html"
SWEEP = "sweep.json"  # in a folder whose subfolders are the runs of a sweep
_MAX_NUMBER = 100_000  # of runs with one name


@contextmanager
def reserve_new_folder(name: str, out: Path | None) -> Iterator[Path]:
    """Reserves the folder for a new run: `out`, else the first free one of runs/NAME, runs/NAME-2, ...

    Two processes that start at the same time get two different folders. With the same `out` the second one gets an error.

    Raises:
        IsthmusError: `out` holds a run already.
        FolderInUseError: another process uses `out`.
    """
    with ExitStack() as stack:
        if out is not None:
            yield stack.enter_context(reserve_folder(out, _check_no_run))
        else:
            yield _reserve_numbered(Path("runs") / name, stack)


def _reserve_numbered(first: Path, stack: ExitStack) -> Path:
    """Reserves the first folder of that name which does not exist."""
    for number in range(1, _MAX_NUMBER):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        with suppress(FileExistsError, FolderInUseError):
            if not folder.exists():
                return stack.enter_context(reserve_folder(folder, _check_empty))
    raise IsthmusError("runs/ holds too many runs of that name: choose another folder with --out")


def _check_empty(folder: Path) -> None:
    """`FileExistsError` where another process has used the folder and has ended since."""
    if any(folder.iterdir()):
        raise FileExistsError(errno.EEXIST, "there is a run already", str(folder))


def _check_no_run(folder: Path) -> None:
    """`IsthmusError` where the folder holds a run, complete or interrupted."""
    if (folder / MODEL).exists():
        raise IsthmusError(f"{folder} already holds a run: choose another --out, or remove it first")
    if (folder / CHECKPOINT).exists():
        raise IsthmusError(
            f"{folder} holds an interrupted training: resume it with {command('isthmus', 'resume', folder)}, "
            "or choose another --out"
        )


@contextmanager
def reserve_folder(folder: Path, check: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Creates a folder before the work starts and locks it; after a failure it removes what is empty or incomplete.

    Args:
        folder: the folder to create or to lock.
        check: an additional check, called while the lock is held.

    Raises:
        FolderInUseError: another process has locked it.
        PermissionError: it is not writable.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with lock_folder(folder):
        ours = [folder / name for name in (RECORD, HISTORY, MEMBERSHIP) if not (folder / name).exists()]
        try:
            if check is not None:
                check(folder)
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, "this folder is not writable", str(folder))
            yield folder
        except BaseException:
            if not any((folder / name).exists() for name in (MODEL, CHECKPOINT)):
                for path in ours:
                    path.unlink(missing_ok=True)
            for path in made:
                with suppress(OSError):  # it is not empty
                    path.rmdir()
            raise


def check_report_paths(folder: Path) -> None:
    """`OSError` where a link would move the report or its figures elsewhere, or where one of them is no regular file."""
    check_folder(folder / FIGURES)
    for path in (folder / REPORT, *(folder / FIGURES).glob("*.png")):
        if folder.is_dir():
            check_writable(path)


def save_run(
    folder: Path, ae: Autoencoder, source: DataSource | None, info: RunInfo, membership: Membership | None = None
) -> None:
    """Writes model, history, run.json and membership record, then removes the checkpoint.

    Each file is replaced atomically.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_record(folder, source, info, membership)
        replace_file(folder / HISTORY, history_csv(ae.history_).encode())
    finally:  # the trained model is saved even if another file cannot be written
        ae.save(folder / MODEL)
        (folder / CHECKPOINT).unlink(missing_ok=True)


def save_checkpoint(
    folder: Path, ae: Autoencoder, source: DataSource | None, info: RunInfo, membership: Membership | None = None
) -> None:
    """Writes the files from which `isthmus resume` continues."""
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder, source, info, membership)
    ae.checkpoint(folder / CHECKPOINT)


def history_csv(history: Iterable[Report]) -> str:
    """The history as CSV: one row per epoch, one column per quantity."""
    rows = [
        {k: v for k, v in asdict(report).items() if k not in {"stats", "complete"}} | dict(report.stats)
        for report in history
    ]
    return csv_records(rows)


def open_interrupted(run: Path, source: DataSource | None = None) -> tuple[Autoencoder, DataSource, RunInfo]:
    """The checkpoint of an interrupted training, its data source, and its settings.

    Args:
        run: the folder.
        source: where the data are now; None for the source in run.json.

    Raises:
        DataError: the folder has no checkpoint, or belongs to a sweep, or its run.json is damaged.
    """
    if (run.parent / SWEEP).exists():
        raise DataError(
            f"{run} is a part of a sweep: resume the whole sweep with {info_of(run).quoted_command or 'isthmus sweep'}"
        )
    if not (run / CHECKPOINT).exists():
        if (run / MODEL).exists():
            raise DataError(f"{run} is complete: there is nothing to resume")
        if not run.is_dir():
            raise DataError(
                f"there is no folder {run}: name that of an interrupted training, as isthmus train printed it"
            )
        raise DataError(f"{run} holds no interrupted training (no {CHECKPOINT}): start a training with isthmus train")
    ae, info = load_autoencoder(run / CHECKPOINT), read_record(run, RunInfo)
    check_image_size(run, ae)
    if source is None or source.target is not None:
        return ae, source or source_of(run), info
    with suppress(DataError):  # other data of the run, with its recorded targets
        source = replace(source, target=source_of(run).target)
    return ae, source, info


def open_run(run: Path) -> Autoencoder:
    """The autoencoder in a run folder or a model file.

    Raises:
        NotPossibleError: the file holds a detector or a classifier.
        DataError: the folder holds no complete run.
    """
    return load_autoencoder(_model_path(run))


def open_estimator(run: Path) -> Autoencoder | OutlierDetector | ImageOutlierDetector | AutoencoderClassifier:
    """The estimator in a run folder or a model file: an autoencoder, a detector or a classifier."""
    estimator: Autoencoder | OutlierDetector | ImageOutlierDetector | AutoencoderClassifier = load(_model_path(run))
    return estimator


def is_export(run: Path) -> bool:
    """Whether a folder is an exported one, without a model file."""
    return (run / EXPORT).is_file() and not (run / MODEL).exists()


def _model_path(run: Path) -> Path:
    """A model file, or a folder that holds one; else `DataError`."""
    if run.is_dir() and not (run / MODEL).exists():
        if (run / CHECKPOINT).exists():
            raise DataError(
                f"the training in {run} was interrupted: resume it with {command('isthmus', 'resume', run)}"
            )
        if (run / EXPORT).exists():
            raise DataError(
                f"{run} is an exported folder, without {MODEL}: give the run, or use {command('isthmus', 'serve', run)} or isthmus.runtime"
            )
        trained = command("isthmus", "train", "--out", run)
        raise DataError(f"{run} holds no run (no {MODEL}): create one with {trained}")
    return run


def check_image_size(run: Path, ae: Autoencoder) -> None:
    """`DataError` where run.json resizes images or cuts patches to another size than the model was trained on.

    This comes before the data are read, for a damaged run.json may ask for images of any size.
    """
    options = options_of(run)
    side, before = options.patches, 1 if options.pages == "volume" else 0
    size, how = (options.resize, "resizes images to") if side is None else ((side, side), "cuts images into patches of")
    if size is not None and ae.shape_[before : before + 2] != size:
        raise DataError(
            f"{run / RECORD} is damaged: it {how} {size[0]}x{size[1]} pixels, but the model expects {ae.shape_}"
        )


def how_to_fit_images(run: Path, ae: Autoencoder) -> str:
    """How images get the shape of training images: cut into patches where these were, else resized."""
    side = options_of(run).patches
    if side is None:
        return f"bring them to one size: --resize {ae.shape_[0]}x{ae.shape_[1]}"
    return f"cut them into patches: --patches {side}, or reconstruct whole images: {command('isthmus', 'reconstruct', run, 'IMAGES')}"
