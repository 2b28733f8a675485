"""Trains the tutorials' systems with one or several random states, and measures the figures that the tutorials published.

A run is the training of one system with one random state. Its folder holds model, history, figures and result.json.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field

from isthmus import native
from isthmus._version import __version__
from isthmus.assignments import split_assignments
from isthmus.data import Dataset, load
from isthmus.errors import DataError, RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.overrides import overridden
from isthmus.experiments.resumable import interrupted, with_checkpoints
from isthmus.experiments.run_figures import draw
from isthmus.experiments.run_folder import history_csv, reserve_folder, save_checkpoint, save_run
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.experiments.splits import Split
from isthmus.experiments.tensorboard import EventWriter, installed
from isthmus.experiments.tutorial_metrics import METRICS, held_out
from isthmus.experiments.tutorials import System, Tutorial
from isthmus.io.atomic import replace_file
from isthmus.io.files import open_regular
from isthmus.text import as_json
from isthmus.training.state import Report

__all__ = ["DEFAULT_STATE", "Reproduction", "Run", "all_kept", "completed", "keep", "kept", "machine", "reproduce"]

WATCHED_EPOCHS = {1, 2, 5, 10, 20, 50, 100, 200}
DEFAULT_STATE = 0  # the random state of the tutorials' systems here
_STATE = "state-"
_RENAMED = {  # metrics in a result.json of an earlier version
    "spoilt MSE": "corrupted MSE",
    "given MSE": "occluded MSE",
    "mean picture's MSE": "training mean's MSE",
    "linear map's MSE": "ridge regression's MSE",
}
_MOST = 1 << 20  # bytes of a result.json
Watcher = Callable[[Iterator[Report], str, int], Iterator[Report]]


class Run(BaseModel):
    """The contents of a result.json: one system, trained with one random state."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    id: str
    system: str
    title: str
    published: dict[str, float | None]
    ours: Annotated[dict[str, float], Field(min_length=1)]
    epochs: int
    seconds: float
    precision: str
    random_state: int = DEFAULT_STATE
    overrides: list[str]
    machine: str
    threads: int


@dataclass(frozen=True)
class Reproduction:
    """One trained system of a tutorial, with its metrics."""

    tutorial: Tutorial
    system: System
    autoencoder: Autoencoder
    dataset: Dataset
    metrics: dict[str, float]
    random_state: int = DEFAULT_STATE
    assignments: tuple[str, ...] = ()

    @property
    def run(self) -> Run:
        """The contents of its result.json."""
        return Run(
            id=self.tutorial.id,
            system=self.system.name,
            title=self.tutorial.title,
            published=dict(self.system.published),
            ours=self.metrics,
            epochs=self.autoencoder.history_[-1].epoch,
            seconds=self.autoencoder.seconds_,
            precision=self.autoencoder.precision_,
            random_state=self.random_state,
            overrides=list(self.assignments),
            machine=machine(),
            threads=torch.get_num_threads(),
        )


def reproduce(
    tutorial: Tutorial,
    assignments: Sequence[str] = (),
    watch: Watcher | None = None,
    folder: Path | None = None,
    random_states: Sequence[int] = (DEFAULT_STATE,),
) -> Iterator[Reproduction]:
    """Trains each system of a tutorial with each random state, with fields overridden if any are given, and measures it.

    With a folder, an interrupted training is resumed from its last checkpoint.

    Args:
        assignments: ``field=value``, as on the command line; `random_state` has its own argument.
        watch: given the reports, a title and the number of features of an example, yields the reports again: a progress bar, say.
        folder: where the runs are kept, with the event files and figures that the tutorial writes while it trains.
        random_states: one training for each.
    """
    for system in tutorial.systems:
        for state in random_states:
            yield train_system(tutorial, system, assignments, watch, folder, state)


def train_system(
    tutorial: Tutorial,
    system: System,
    assignments: Sequence[str],
    watch: Watcher | None,
    folder: Path | None,
    state: int,
) -> Reproduction:
    if "random_state" in split_assignments(assignments):
        raise RecordError(
            "random_state is not a field here: give the argument random_states=(0, 1), one training for each"
        )
    ae, dataset = overridden(system.build(), [*assignments, f"random_state={state}"]), load(system.data)
    place = None if folder is None else home(folder, tutorial, system, state)
    begun = interrupted(ae, place) if place is not None and system.savable else None
    ae = begun or ae
    reports: Iterator[Report] = (ae.iter_fit if begun is None else ae.iter_resume)(
        dataset.train, validation_data=dataset.test, every=50
    )
    if place is not None:
        since = begun.history_[-1].step + 1 if begun else None
        reports = recorded(reports, tutorial, ae, dataset, place, since)
        if system.savable:
            contents = (place, ae, DataSource(system.data), RunInfo(tutorial.id))
            reports = with_checkpoints(reports, lambda: save_checkpoint(*contents))
    words = [tutorial.id, system.name, f"random state {state}" if state != DEFAULT_STATE else ""]
    for _ in (
        reports if watch is None else watch(reports, ", ".join(filter(None, words)), math.prod(dataset.train.shape[1:]))
    ):
        pass
    if place is not None:  # before anything else can fail
        _save(place, ae, tutorial, system)
    metrics = {name: METRICS[name](ae, dataset) for name in system.published}
    return Reproduction(tutorial, system, ae, dataset, metrics, state, tuple(assignments))


def _save(place: Path, ae: Autoencoder, tutorial: Tutorial, system: System) -> None:
    """Writes model and history; the history alone for a system that is not savable."""
    if system.savable:
        save_run(place, ae, DataSource(system.data), RunInfo(tutorial.id))
    else:
        place.mkdir(parents=True, exist_ok=True)
        replace_file(place / "history.csv", history_csv(ae.history_).encode())


def recorded(
    reports: Iterator[Report], tutorial: Tutorial, ae: Autoencoder, dataset: Dataset, place: Path, since: int | None
) -> Iterator[Report]:
    """Passes the reports on, and writes event files and figures during training where the tutorial does so.

    Args:
        since: the first step of a resumed training.
    """
    part = Split(dataset.train, held_out(dataset), dataset.test_labels)
    with EventWriter(place, since=since) if tutorial.tensorboard and installed() else nullcontext() as events:
        for report in reports:
            if report.complete and events is not None:
                events.scalars(report)
            if report.complete and tutorial.watched is not None and report.epoch in WATCHED_EPOCHS:
                draw(place / "figures" / f"epoch-{report.epoch:03}", ae, [tutorial.watched], part)
            yield report


def home(folder: Path, tutorial: Tutorial, system: System, random_state: int = DEFAULT_STATE) -> Path:
    """The folder of a run: ID, or ID/NUMBER for a system with a name; within it state-STATE for a random state other than 0."""
    place = folder / tutorial.id / (str(tutorial.systems.index(system)) if system.name else "")
    return place if random_state == DEFAULT_STATE else place / f"{_STATE}{random_state}"


def keep(result: Reproduction, folder: Path) -> Run:
    """Writes model, figures and result.json into the folder of the run, and returns the contents of result.json."""
    place, run = home(folder, result.tutorial, result.system, result.random_state), result.run
    part = Split(result.dataset.train, held_out(result.dataset), result.dataset.test_labels)
    _save(place, result.autoencoder, result.tutorial, result.system)
    draw(place / "figures", result.autoencoder, result.tutorial.figures, part, result.tutorial.choices)
    replace_file(place / "result.json", as_json(run.model_dump()).encode())
    return run


def kept(
    tutorial: Tutorial,
    system: System,
    folder: Path,
    assignments: Sequence[str] = (),
    random_state: int = DEFAULT_STATE,
) -> Run | None:
    """The run with the same system, random state and overrides that a folder holds; None if it holds none."""
    for state in {random_state: None, DEFAULT_STATE: None}:  # earlier versions had one place for all random states
        run = _read(home(folder, tutorial, system, state) / "result.json", system)
        if run is not None and (run.random_state, run.overrides) == (random_state, list(assignments)):
            return run
    return None


def all_kept(tutorial: Tutorial, system: System, folder: Path) -> list[Run]:
    """All runs of a system without overrides that a folder holds, sorted by random state."""
    place = home(folder, tutorial, system)
    paths = [place / "result.json", *place.glob(f"{_STATE}*/result.json")]
    runs = {run.random_state: run for run in (_read(path, system) for path in paths) if run and not run.overrides}
    return [runs[state] for state in sorted(runs)]


def _read(path: Path, system: System) -> Run | None:
    """The contents of a result.json; None where there is no file, or one of another system."""
    if not path.is_file():
        return None
    try:
        with open_regular(path) as file:
            run = Run.model_validate_json(file.read(_MOST), strict=True)
        run = run.model_copy(update={"ours": {_RENAMED.get(name, name): value for name, value in run.ours.items()}})
        if "random_state" not in run.model_fields_set:  # written by an earlier version
            given = [word.partition("=")[2] for word in run.overrides if word.startswith("random_state=")]
            others = [word for word in run.overrides if not word.startswith("random_state=")]
            run = run.model_copy(
                update={"random_state": int(given[-1]) if given else DEFAULT_STATE, "overrides": others}
            )
    except (ValueError, RecursionError):
        raise DataError(f"{path} is damaged; remove it, or choose another folder (--out)") from None
    return run if run.system == system.name else None


def completed(
    tutorial: Tutorial,
    folder: Path,
    assignments: Sequence[str] = (),
    random_states: Sequence[int] = (DEFAULT_STATE,),
    watch: Watcher | None = None,
) -> list[list[Run]]:
    """The runs of each system, one for each random state. Runs that the folder holds are read; the others are trained now."""
    found = [[kept(tutorial, each, folder, assignments, state) for state in random_states] for each in tutorial.systems]
    if all(all(runs) for runs in found):
        return [[run for run in runs if run] for runs in found]
    for system, runs in zip(tutorial.systems, found, strict=True):
        for run, state in zip(runs, random_states, strict=True):
            if run is None:
                _check_no_other(home(folder, tutorial, system, state), system)
    with reserve_folder(folder / tutorial.id):
        return [
            [
                run or keep(train_system(tutorial, system, assignments, watch, folder, state), folder)
                for run, state in zip(runs, random_states, strict=True)
            ]
            for system, runs in zip(tutorial.systems, found, strict=True)
        ]


def _check_no_other(place: Path, system: System) -> None:
    """`DataError` if the folder of a run holds another one, which the training would replace."""
    other = _read(place / "result.json", system)
    if other is not None:
        given = f"{' '.join(other.overrides) or 'no overrides'} and random_state={other.random_state}"
        raise DataError(f"{place} holds a run with {given}: choose another folder (--out), or remove it first")


def machine() -> str:
    """The processor, the threads that work on it, and the versions: what seconds depend on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0] if models else name
    threads = torch.get_num_threads()
    kernels = f" ({native.name()} kernels)" if native.name() else ""
    return f"{name}, {threads} thread{'s' * (threads > 1)}, PyTorch {torch.__version__}, isthmus {__version__}{kernels}"
