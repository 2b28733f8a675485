"""One training of a sweep: found in its folder, gone on with where it was cut off, or begun; and its figures on validation examples."""

from __future__ import annotations

import json
import math
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus.data.validation import Examples
from isthmus.errors import DataError, DivergenceError, IsthmusWarning, ModelFileError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.loading import load_autoencoder
from isthmus.evaluation import evaluate
from isthmus.evaluation.older_figures import current
from isthmus.experiments import run_folder
from isthmus.experiments.comparison_metrics import text_of
from isthmus.experiments.membership import Membership
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.io.atomic import check_folder, replace_file
from isthmus.io.files import open_regular
from isthmus.text import as_json
from isthmus.training.state import Report

__all__ = ["ProgressCallback", "SweepContext", "Trial", "trial"]

ProgressCallback = Callable[[Iterator[Report], str, int], Iterator[Report]]
Figures = dict[str, Any]

FIGURES = "validation.json"  # of a trial, beside its model
_MOST = 1 << 20  # bytes of it
_SECONDS = 10  # between two checkpoints
_LOOKED = 20  # steps after which the progress bar moves


@dataclass(frozen=True, eq=False)
class Trial:
    """One training of a sweep.

    Attributes:
        values: of the fields that vary.
        random_state: of this training.
        autoencoder: fitted; None where training diverged.
        figures: of `evaluate`, on the validation examples, as plain values; empty where training diverged.
        folder: its name within the sweep's, or "".
        new: whether it was trained just now, and not found.
        diverged: the sentence of a training that left the finite numbers, or "".
    """

    values: Mapping[str, Any]
    random_state: int
    autoencoder: Autoencoder | None = field(repr=False)
    figures: Figures = field(repr=False)
    folder: str = ""
    new: bool = True
    diverged: str = ""


@dataclass(frozen=True, eq=False)
class SweepContext:
    """What all trainings of a sweep share: examples to train on and to choose by, where runs are kept, and what is said of them."""

    examples: Examples
    validation: Examples
    folder: Path | None = None
    origin: DataSource | None = None
    about: RunInfo = field(default_factory=RunInfo)
    watch: ProgressCallback | None = None
    record: Membership | None = None


def trial(ae: Autoencoder, values: Mapping[str, Any], room: SweepContext, title: str, several: bool) -> Trial:
    """The trial of an unfitted autoencoder; ``several``: there are other random states of the same values.

    Raises `DataError` where its folder holds another training.
    """
    state = int(ae.random_state)  # type: ignore[arg-type]  # a sweep gives each its own
    name = _name(values, state if several else None)
    home = None if room.folder is None else room.folder / name
    if home is None:
        return Trial(values, state, *_measured(_trained(ae, room, title, None), room), "")
    check_folder(home)
    known = _known(home)
    if known is not None and "diverged" in known:
        return Trial(values, state, None, {}, name, new=False, diverged=known["diverged"])
    there = (home / run_folder.MODEL).exists()
    try:
        fitted = _checked(load_autoencoder(home), ae, home) if there else _trained(ae, room, title, home)
    except DivergenceError as error:
        _write(home, {"diverged": str(error)})
        return Trial(values, state, None, {}, name, diverged=str(error))
    if known is None or not there:
        known = evaluate(fitted, room.validation, train=room.examples).to_dict()
        _write(home, known)
    return Trial(values, state, fitted, known, name, new=not there)


def _measured(fitted: Autoencoder, room: SweepContext) -> tuple[Autoencoder, Figures]:
    return fitted, evaluate(fitted, room.validation, train=room.examples).to_dict()


def _trained(ae: Autoencoder, room: SweepContext, title: str, home: Path | None) -> Autoencoder:
    """Trains to the end; in a folder, with a checkpoint each ten seconds, from the one that lies there, if it does."""
    numbers = math.prod(room.examples.values.shape[1:])
    found = None if home is None else _cut_off(ae, home)
    ae = found or ae
    reports = (ae.iter_fit if found is None else ae.iter_resume)(
        room.examples, validation_data=room.validation, every=_LOOKED
    )
    watched = reports if room.watch is None else room.watch(reports, title, numbers)
    if home is None:
        for _ in watched:
            pass
        return ae
    with run_folder.reserve_folder(home):
        last = time.monotonic()
        for report in watched:
            if report.complete and time.monotonic() - last > _SECONDS:
                _keep(home, ae, room)
                last = time.monotonic()
        run_folder.save_run(home, ae, room.origin, room.about, room.record)
    return ae


def _keep(home: Path, ae: Autoencoder, room: SweepContext) -> None:
    try:
        run_folder.save_checkpoint(home, ae, room.origin, room.about, room.record)
    except OSError as error:  # a disk that is full now is no reason to lose what was trained
        warnings.warn(f"no checkpoint could be written ({error}); training goes on", IsthmusWarning, stacklevel=2)


def _cut_off(ae: Autoencoder, home: Path) -> Autoencoder | None:
    """The same training as far as it came, if there is one that can be read."""
    if not (home / run_folder.CHECKPOINT).exists():
        return None
    try:
        return _checked(load_autoencoder(home / run_folder.CHECKPOINT), ae, home)
    except ModelFileError:
        return None


def _checked(found: Autoencoder, wanted: Autoencoder, home: Path) -> Autoencoder:
    """What was found, if it was trained as is wanted."""
    there, here = (ae.get_params(deep=False) for ae in (found, wanted))
    for name in here.keys() - {"verbose", "device"}:
        if there[name] != here[name]:
            raise DataError(
                f"{home} holds a training with {name}={there[name]!r}, and {name}={here[name]!r} is asked for; "
                "choose another folder (--out), or remove it first"
            )
    return found


def _known(home: Path) -> Figures | None:
    """The figures that were measured before."""
    path = home / FIGURES
    if not path.is_file():
        return None
    try:
        with open_regular(path) as file:
            found = json.loads(file.read(_MOST))
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return found if "diverged" in found else current(found)


def _write(home: Path, figures: Figures) -> None:
    home.mkdir(parents=True, exist_ok=True)
    replace_file(home / FIGURES, as_json(figures).encode())


def _name(values: Mapping[str, Any], state: int | None) -> str:
    """The name of a trial's folder: size-8, or size-8_beta-2_state-1."""
    parts = [f"{path.rpartition('.')[2]}-{text_of(value)}" for path, value in values.items()]
    parts += [] if state is None else [f"state-{state}"]
    return re.sub(r"[^\w.+,=-]+", "-", "_".join(parts))[:120]
