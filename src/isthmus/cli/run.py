"""One run from begin to end: training with checkpoints, evaluation, figures and pages."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from isthmus.cli import printing
from isthmus.cli.console import fail, say, say_json, say_notes, sentences, watcher
from isthmus.cli.signals import SignalHandler
from isthmus.data import Dataset
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.experiments import run_data, run_folder, run_report
from isthmus.experiments.membership import Membership
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.experiments.splits import Split, split
from isthmus.experiments.validation_set import validation_examples
from isthmus.io.terminal import complain
from isthmus.text import command

__all__ = ["Training", "trained"]

_SECONDS = 10  # between two checkpoints, unless steps are counted
_LOOKED = 20  # steps after which the progress bar moves


class Training(NamedTuple):
    """A run to train: its folder, autoencoder, data and settings."""

    folder: Path
    ae: Autoencoder
    origin: DataSource
    dataset: Dataset
    about: RunInfo
    layerwise: bool = False  # each layer alone first
    as_json: bool = False  # standard output is one JSON object


def trained(run: Training, begun: bool) -> None:
    """Trains to the end or until a signal; writes the run, its figures and its pages; prints the evaluation."""
    missing = run.ae.missing
    part = run_data.split_of(run.folder, run.dataset, missing, whole=True) if begun else split(run.dataset, missing)
    say_notes(part.notes, run.as_json)
    with SignalHandler() as caught:
        run_folder.check_report_paths(run.folder)
        _fit(run, part, begun, caught)
    if caught.signal:
        fail(f"stopped after the training; the model is in {run.folder}, without figures", 128 + caught.signal)
    try:
        found = run_report.RunEvaluation(run.ae, run_report.evaluate_own_data(run.ae, part, run.dataset))
        if not run.as_json:
            printing.say_briefly(found.own)
        run_report.write_page(run.folder, run.folder, found, map_kind="latent")
    except Exception:
        again = command("isthmus", "evaluate", run.folder)
        say_notes([f"trained, and the model is in {run.folder}; its report could not be made: {again}"], run.as_json)
        raise
    if run.as_json:
        say_json(_summary(run, found))
        return
    figures = len(list(run.folder.glob("figures/*.png")))
    say(f"written to {run.folder}: model.safetensors, history.csv, report.html, {figures} figures")
    first = (run.about.recipe, run.origin.data) == ("deep", "mnist")
    nxt = "isthmus train variational bottleneck.size=2" if first else command("isthmus", "plot", run.folder, "tsne")
    say(f"open {run.folder / 'report.html'}; try next: {nxt}")


def _summary(run: Training, found: run_report.RunEvaluation) -> dict[str, Any]:
    """What ``--json`` prints: the training, and the evaluation on the held-out examples."""
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
        "evaluation": found.to_dict(),
    }


def _fit(run: Training, part: Split, begun: bool, caught: SignalHandler) -> None:
    """Trains with a progress bar, checkpoints, and event files if they are wanted, and writes the run before these are closed.

    On a signal it keeps a checkpoint and exits.
    """
    writer: Any = nullcontext()
    if run.about.tensorboard:
        from isthmus.experiments.tensorboard import EventWriter

        writer = EventWriter(run.folder, since=run.ae.history_[-1].step + 1 if begun and run.ae.history_ else None)
    X, ae, kept = part.train_of(run.dataset), run.ae, CheckpointTimer(run.about.checkpoint_every)
    seen = part.test[:10]
    validation, notes = validation_examples(run.dataset, part)
    say_notes(notes, run.as_json)
    with writer, sentences(complain if run.as_json else say):

        def due(step: int) -> bool:
            return bool(caught.signal) or step % _LOOKED == 0 or kept.due(step)

        if begun:
            reports = ae.iter_resume(X, validation_data=validation, every=due)
        else:
            reports = ae.iter_fit(X, validation_data=validation, every=due, layerwise=run.layerwise)
        for report in watcher(run.as_json)(reports, run.about.recipe, math.prod(part.train.shape[1:])):
            if report.layer is not None:
                if caught.signal:
                    reports.close()
                    fail(f"stopped while layer {report.layer} was trained alone; begin anew", 128 + caught.signal)
                continue
            if run.about.tensorboard and report.complete:
                writer.scalars(report)
                writer.images(ae, seen if ae.missing == "error" else ae.impute(seen), report.step)
            if caught.signal or kept.due(report.step, report.complete):
                _keep(run, part.record, needed=bool(caught.signal))
                kept.now()
            if caught.signal:
                reports.close()
                stopped = f"stopped after step {report.step:,} of {report.steps:,}"
                fail(f"{stopped}; resume with: {command('isthmus', 'resume', run.folder)}", 128 + caught.signal)
        run_folder.save_run(run.folder, run.ae, run.origin, run.about, part.record)


def _keep(run: Training, record: Membership | None, needed: bool) -> None:
    """Writes a checkpoint; where that fails, training continues, unless it was to be the last thing."""
    try:
        run_folder.save_checkpoint(run.folder, run.ae, run.origin, run.about, record)
    except OSError as error:
        if needed:
            raise
        say_notes([f"no checkpoint could be written ({error}); training continues"], run.as_json)


class CheckpointTimer:
    """When a checkpoint is due: at the first look, then each so many steps, or at the end of an epoch when the last is old enough."""

    def __init__(self, every: int | None) -> None:
        self.every, self.last = every, -math.inf

    def due(self, step: int, complete: bool = False) -> bool:
        """Whether one is to be written now."""
        if self.last == -math.inf:
            return step % _LOOKED == 0 or complete
        if self.every is None:
            return complete and time.monotonic() - self.last > _SECONDS
        return step % self.every == 0

    def now(self) -> None:
        """One was written."""
        self.last = time.monotonic()
