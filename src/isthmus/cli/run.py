"""One run: training with checkpoints, evaluation, figures and the report page."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from isthmus.cli import printing
from isthmus.cli.console import counted, fail, print_json, print_line, print_notes, progress, warnings_as_notes
from isthmus.cli.signals import SignalHandler
from isthmus.cli.together import described
from isthmus.data import Dataset
from isthmus.errors import LostProcessError, NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.experiments import run_data, run_folder, run_report
from isthmus.experiments.membership import Membership
from isthmus.experiments.run_labels import training_labels
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.experiments.splits import Split, shared_targets_note, split
from isthmus.experiments.validation_set import labeled_validation_examples
from isthmus.io.delayed_imports import finish_imports
from isthmus.io.terminal import print_error
from isthmus.nn.processes import ALONE, Processes
from isthmus.text import command
from isthmus.training.joining import Joined
from isthmus.training.state import Report, Reports

__all__ = ["Training", "resume_run", "train_run"]

_CHECKPOINT_SECONDS = 10  # minimum time between checkpoints at the ends of epochs
_REPORT_STEPS = 20  # steps between updates of the progress bar


class Training(NamedTuple):
    """A run to train: its folder, autoencoder, data and settings.

    Attributes:
        layerwise: whether each layer is trained alone first.
        as_json: whether standard output is one JSON object.
        processes: those that train together; the first one writes.
    """

    folder: Path
    ae: Autoencoder
    origin: DataSource
    dataset: Dataset
    about: RunInfo
    layerwise: bool = False
    as_json: bool = False
    processes: Processes = ALONE

    @property
    def writes(self) -> bool:
        """Whether this process writes."""
        return not self.processes.rank


def _check_shape(run: Training) -> None:
    """`NotPossibleError` if an augmentation changes the shape of examples: the report then has no examples to measure."""
    augmentation, shape = run.ae.augmentation, run.dataset.train.shape[1:]
    if not isinstance(augmentation, str) and augmentation.shape(shape) != shape:
        raise NotPossibleError(
            f"{augmentation!r} changes the shape of examples, and a run is measured on examples as they are: use --patches, crop the files "
            "beforehand, or train with isthmus.Autoencoder in Python"
        )


def train_run(run: Training, resume: bool) -> None:
    """Trains to the end or until a signal; writes the run, its figures and its report; prints the evaluation.

    Args:
        run: what to train.
        resume: continue from the checkpoint that `run.ae` was loaded from.
    """
    _check_shape(run)
    missing = run.ae.missing
    part = run_data.split_of(run.folder, run.dataset, missing, whole=True) if resume else split(run.dataset, missing)
    shared = shared_targets_note(part)
    print_notes([*part.notes, *([shared] if shared else [])], run.as_json)
    given = training_labels(run.ae, run.dataset, part)
    print_notes([given.note] if given.note else [], run.as_json)
    with SignalHandler() as handler:
        if run.writes:
            run_folder.check_report_paths(run.folder)
        _fit(run, part, given.y, resume, handler)
    if not run.writes:
        return
    finish_imports()
    if handler.signal:
        fail(f"stopped after training: the model is in {run.folder}, without figures and report", 128 + handler.signal)
    try:
        own = run_report.evaluate_own_data(run.ae, part, run.dataset)
        found = run_report.RunEvaluation(run.ae, own, notes=run.dataset.notes)
        if not run.as_json:
            printing.print_summary(found.own)
        run_report.write_page(run.folder, run.folder, found, map_kind="latent")
    except Exception:
        again = command("isthmus", "evaluate", run.folder)
        note = f"the model is in {run.folder}, but its report could not be written; to try again: {again}"
        print_notes([note], run.as_json)
        raise
    if run.as_json:
        print_json(_summary(run, found))
        return
    figures = len(list(run.folder.glob("figures/*.png")))
    print_line(f"written to {run.folder}: model.safetensors, history.csv, report.html, {figures} figures")
    is_default = (run.about.recipe, run.origin.data) == ("deep", "mnist")
    other = (
        "isthmus train variational bottleneck.size=2" if is_default else command("isthmus", "plot", run.folder, "tsne")
    )
    print_line(f"open {run.folder / 'report.html'}; try next: {other}")


def resume_run(run: Path, source: DataSource | None, every: int | None, joined: Joined, as_json: bool) -> None:
    """Continues an interrupted training.

    Args:
        run: its folder.
        source: where the data are now; None for the source in run.json.
        every: steps between two checkpoints; None as before.
        joined: the processes.
        as_json: whether standard output is one JSON object.
    """
    ae, origin, about = run_folder.open_interrupted(run, source)
    before, size = about.processes, joined.processes.size
    other = f"processes: {before} until now, {size} from now on; the weights are the same except for rounding"
    print_notes([*described(joined), *([other] if before != size else [])], as_json)
    about = replace(about, checkpoint_every=every or about.checkpoint_every, processes=size)
    if not as_json:
        print_line(f"{about.recipe} resumes after {counted(len(ae.history_), 'epoch')}")
    dataset = run_data.read_data(run, origin, ae)
    train_run(Training(run, ae, origin, dataset, about, as_json=as_json, processes=joined.processes), resume=True)


def _summary(run: Training, found: run_report.RunEvaluation) -> dict[str, Any]:
    """The JSON object of ``--json``: facts about training, and the evaluation on the held-out examples."""
    ae, last = run.ae, run.ae.history_[-1]
    return {
        "folder": str(run.folder),
        "recipe": run.about.recipe,
        "epochs": last.epoch,
        "steps": last.step,
        "seconds": ae.seconds_,
        "device": str(ae.model_.device),
        "precision": ae.precision_,
        "n_parameters": ae.n_parameters_,
        "n_fixed": ae.n_fixed_,
        "evaluation": found.to_dict(),
    }


def _fit(run: Training, part: Split, y: Any, resume: bool, handler: SignalHandler) -> None:
    """Trains with a progress bar, checkpoints and optional event files, and writes the run. On a signal it saves a checkpoint and exits."""
    writer = _event_writer(run, resume)
    X, ae, timer = part.train_of(run.dataset), run.ae, CheckpointTimer(run.about.checkpoint_every)
    held = labeled_validation_examples(run.dataset, part)
    given: dict[str, Any] = {"target": part.train_target, "validation_data": held.given(uses_y=y is not None)}
    given["sample_weight"] = part.train_weights
    print_notes(held.notes, run.as_json)
    with writer, warnings_as_notes(print_error if run.as_json else print_line):

        def report_due(step: int) -> bool:
            return bool(handler.signal) or step % _REPORT_STEPS == 0 or timer.due(step)

        if resume:
            reports = ae.iter_resume(X, y, every=report_due, **given)
        else:
            reports = ae.iter_fit(X, y, every=report_due, layerwise=run.layerwise, **given)
        for report in progress(run.as_json)(_heard(run, reports), run.about.recipe, math.prod(part.train.shape[1:])):
            # the same in all processes: a signal from here on counts at the next report
            number = run.processes.most(handler.signal)
            if report.layer is not None:
                if number:
                    reports.close()
                    fail(
                        f"stopped while pretraining layer {report.layer}, which has no checkpoints: start again",
                        128 + number,
                    )
                continue
            if run.about.tensorboard and report.complete and run.writes:
                writer.scalars(report)
                _log_images(writer, ae, part, report.step)
            if number or timer.due(report.step, report.complete):
                _save_checkpoint(run, part.record, required=bool(number))
                timer.restart()
            if number:
                run.processes.most(0)  # the others end when the checkpoint is written
                reports.close()
                stopped = f"stopped after step {report.step:,} of {report.steps:,}"
                fail(f"{stopped}; resume with: {command('isthmus', 'resume', run.folder)}", 128 + number)
        if run.writes:
            run_folder.save_run(run.folder, run.ae, run.origin, run.about, part.record)


def _heard(run: Training, reports: Reports) -> Iterator[Report]:
    """The reports of a training. Where another process is lost, the error says how to continue."""
    try:
        yield from reports
    except LostProcessError as error:
        kept = (run.folder / run_folder.CHECKPOINT).exists()
        how = f"resume with: {command('isthmus', 'resume', run.folder)}" if kept else "there is no checkpoint yet"
        raise LostProcessError(f"{error}; {how}") from error


def _event_writer(run: Training, resume: bool) -> Any:
    """A context with the writer of event files, if some are wanted."""
    if not (run.about.tensorboard and run.writes):
        return nullcontext()
    from isthmus.experiments.tensorboard import EventWriter

    return EventWriter(run.folder, since=run.ae.history_[-1].step + 1 if resume and run.ae.history_ else None)


def _log_images(writer: Any, ae: Autoencoder, part: Split, step: int) -> None:
    """Writes the first held-out examples and their reconstructions to the event file."""
    X, labels = part.test[:10], None if part.test_labels is None else part.test_labels[:10]
    writer.images(ae, X if ae.missing == "error" else ae.impute(X, labels), step, labels)


def _save_checkpoint(run: Training, record: Membership | None, required: bool) -> None:
    """Writes a checkpoint. If that fails, an error is raised when it is required; otherwise a note is printed."""
    if not run.writes:
        return
    try:
        run_folder.save_checkpoint(run.folder, run.ae, run.origin, run.about, record)
    except OSError as error:
        if required:
            raise
        print_notes([f"the checkpoint could not be written ({error}); training continues"], run.as_json)


class CheckpointTimer:
    """Decides when a checkpoint is due.

    The first one is due at the first report. Later ones are due after a number of steps, or at the end of an epoch if the last
    one is old enough.

    Args:
        every: the number of steps between two checkpoints; None for checkpoints at the ends of epochs.
    """

    def __init__(self, every: int | None) -> None:
        self.every, self.last = every, -math.inf

    def due(self, step: int, complete: bool = False) -> bool:
        """Whether a checkpoint is due after this step; `complete` marks the end of an epoch."""
        if self.last == -math.inf:
            return step % _REPORT_STEPS == 0 or complete
        if self.every is None:
            return complete and time.monotonic() - self.last > _CHECKPOINT_SECONDS
        return step % self.every == 0

    def restart(self) -> None:
        """Records that a checkpoint was written now."""
        self.last = time.monotonic()
