"""Trains the tutorials' systems and measures the figures that they published, each by one definition.

Pixels are in [0, 1] in every figure here, whatever the units of the data.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus._version import __version__
from isthmus.corruptions import GaussianNoise
from isthmus.data import Dataset, load
from isthmus.errors import DataError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.overrides import overridden
from isthmus.estimators.unit_check import once
from isthmus.evaluation.corruption_levels import LEVELS
from isthmus.evaluation.metrics import pca_error
from isthmus.evaluation.robustness_curve import robustness
from isthmus.experiments.run_folder import DataSource, RunInfo, draw, save_run
from isthmus.experiments.splits import Split
from isthmus.experiments.tensorboard import EventWriter, installed
from isthmus.experiments.tutorials import System, Tutorial
from isthmus.io.atomic import replace_file
from isthmus.io.files import open_regular
from isthmus.text import as_json
from isthmus.training.state import Report

__all__ = ["FIGURES", "Reproduction", "keep", "kept", "machine", "markdown", "reproduce", "table"]


WATCHED_EPOCHS = {1, 2, 5, 10, 20, 50, 100, 200}


@dataclass(frozen=True)
class Reproduction:
    """One trained system of a tutorial, with its figures beside the published ones."""

    tutorial: Tutorial
    system: System
    autoencoder: Autoencoder
    dataset: Dataset
    figures: dict[str, float]

    @property
    def row(self) -> dict[str, Any]:
        """What `isthmus reproduce` prints: plain values."""
        return {
            "id": self.tutorial.id,
            "system": self.system.name,
            "title": self.tutorial.title,
            "published": dict(self.system.published),
            "ours": self.figures,
            "epochs": self.autoencoder.history_[-1].epoch,
            "seconds": self.autoencoder.seconds_,
            "precision": self.autoencoder.precision_,
        }


def reproduce(
    tutorial: Tutorial,
    assignments: Sequence[str] = (),
    watch: Callable[[Iterator[Report], str, int], Iterator[Report]] | None = None,
    folder: Path | None = None,
) -> Iterator[Reproduction]:
    """Trains each system of a tutorial, perhaps with fields overridden, and measures it.

    Args:
        assignments: ``field=value``, as on the command line.
        watch: given the reports, a title and the numbers in an example, yields the reports again: a progress bar, say.
        folder: where the runs are kept, with the event files and pictures that the tutorial writes while it trains.
    """
    for system in tutorial.systems:
        ae, dataset = overridden(system.build(), assignments), load(system.data)
        reports: Iterator[Report] = ae.iter_fit(dataset.train, validation_data=dataset.test, every=50)
        if folder is not None:
            reports = recorded(reports, tutorial, ae, dataset, home(folder, tutorial, system))
        title = f"{tutorial.id}, {system.name}" if system.name else tutorial.id
        for _ in reports if watch is None else watch(reports, title, math.prod(dataset.train.shape[1:])):
            pass
        if folder is not None:  # before anything else can fail
            save_run(home(folder, tutorial, system), ae, DataSource(system.data), RunInfo(tutorial.id))
        figures = {name: FIGURES[name](ae, dataset) for name in system.published}
        yield Reproduction(tutorial, system, ae, dataset, figures)


def recorded(
    reports: Iterator[Report], tutorial: Tutorial, ae: Autoencoder, dataset: Dataset, place: Path
) -> Iterator[Report]:
    """The same reports; on the way, event files and pictures are written where the tutorial does so."""
    part = Split(dataset.train, _test(dataset), dataset.test_labels)
    with EventWriter(place) if tutorial.tensorboard and installed() else nullcontext() as events:
        for report in reports:
            if report.complete and events is not None:
                events.scalars(report)
            if report.complete and tutorial.watched is not None and report.epoch in WATCHED_EPOCHS:
                draw(place / "figures" / f"epoch-{report.epoch:03}", ae, [tutorial.watched], part)
            yield report


def home(folder: Path, tutorial: Tutorial, system: System) -> Path:
    """The folder of one system; a tutorial with several has one below it for each."""
    several = len(tutorial.systems) > 1
    return folder / tutorial.id / (str(tutorial.systems.index(system)) if several else "")


def _test(dataset: Dataset) -> NDArray[np.generic]:
    assert dataset.test is not None, "the tutorials' data sets have a test part"
    return dataset.test


def _valid(ae: Autoencoder) -> float:
    val_loss = ae.history_[-1].val_loss
    assert val_loss is not None, "the tutorials are trained with a validation set"
    return val_loss


def _error(ae: Autoencoder, given: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """Mean squared error of what is made of the given against the clean, pixels in [0, 1]."""
    with once():
        ae.encode(clean[:3])  # units are judged by these: what is spoilt on purpose is in no other
        difference = (ae.reconstruct(given) - clean.astype(np.float32)) / 255
    return float(np.square(difference, dtype=np.float64).mean())


def _given_error(ae: Autoencoder, dataset: Dataset) -> float:
    test = _test(dataset)
    return float(np.square((ae.corrupt(test) - test.astype(np.float32)) / 255, dtype=np.float64).mean())


def _baseline_error(name: str) -> Callable[[Autoencoder, Dataset], float]:
    """What a baseline leaves of the test pictures, spoilt as in training, once."""

    def error(ae: Autoencoder, data: Dataset) -> float:
        level = getattr(ae.corruption_, LEVELS[type(ae.corruption_)].field)
        only: dict[str, Any] = {"levels": level, "baselines": [name], "draws": 1, "n": len(_test(data))}
        result = robustness(ae, _test(data), train=data.train, **only)
        return next(each.mse for each in result.figures if each.method == name) / 255**2

    return error


def _error_at(scale: float) -> Callable[[Autoencoder, Dataset], float]:
    """The error of what is made of test pictures with normal noise of another scale."""
    return lambda ae, data: _error(ae, ae.corrupt(_test(data), corruption=GaussianNoise(scale)), _test(data))


_MOST = 1 << 20  # bytes of a result.json
FIGURES: dict[str, Callable[[Autoencoder, Dataset], float]] = {
    # the running mean over the last epoch, as Keras reports it
    "loss per pixel": lambda ae, _: ae.history_[-1].loss / math.prod(ae.shape_),
    "loss per digit": lambda ae, _: ae.history_[-1].loss,
    # the same loss on the test pictures, spoilt too where training spoils
    "test per pixel": lambda ae, _: _valid(ae) / math.prod(ae.shape_),
    "test per digit": lambda ae, _: _valid(ae),
    "mean code": lambda ae, data: float(ae.encode(_test(data)).mean()),
    "parameters": lambda ae, _: ae.n_parameters_,
    "encoder parameters": lambda ae, _: sum(p.numel() for p in ae.model_.encoder.parameters()),
    "decoder parameters": lambda ae, _: sum(p.numel() for p in ae.model_.decoder.parameters()),
    # mean squared errors on the test pictures: from clean input, and from spoilt
    "test MSE": lambda ae, data: _error(ae, _test(data), _test(data)),
    "restored MSE": lambda ae, data: _error(ae, np.asarray(ae.corrupt(_test(data))), _test(data)),
    **{f"restored MSE at {scale}": _error_at(scale) for scale in (0.3, 0.7, 1.0)},
    # and of the spoilt pictures themselves, and what is made of them without a net
    "spoilt MSE": _given_error,
    "given MSE": _given_error,
    "mean picture's MSE": _baseline_error("mean example"),
    "linear map's MSE": _baseline_error("linear map"),
    "PCA's test MSE": lambda ae, data: pca_error(data.train, _test(data), math.prod(ae.code_shape_)) / 255**2,
}


def keep(result: Reproduction, folder: Path, assignments: Sequence[str] = ()) -> dict[str, Any]:
    """Writes model, pictures and result.json into a folder of its own, and returns the row."""
    place = home(folder, result.tutorial, result.system)
    row = result.row | {"overrides": list(assignments), "machine": machine(), "threads": torch.get_num_threads()}
    part = Split(result.dataset.train, _test(result.dataset), result.dataset.test_labels)
    save_run(place, result.autoencoder, DataSource(result.system.data), RunInfo(result.tutorial.id))
    draw(place / "figures", result.autoencoder, result.tutorial.pictures, part, result.tutorial.choices)
    replace_file(place / "result.json", as_json(row).encode())
    return row


def kept(tutorial: Tutorial, folder: Path, assignments: Sequence[str] = ()) -> list[dict[str, Any]] | None:
    """The rows that an earlier run of the same tutorial with the same overrides left in a folder, if all are there."""
    rows = []
    for system in tutorial.systems:
        path = home(folder, tutorial, system) / "result.json"
        if not path.is_file():
            return None
        try:
            with open_regular(path) as file:
                row = json.loads(file.read(_MOST))
            table([row])
        except (ValueError, LookupError, TypeError, AttributeError):
            raise DataError(f"{path} is damaged; remove it, or choose another folder (--out)") from None
        if row["overrides"] != list(assignments) or row["system"] != system.name:
            return None
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The header and a line for each row: id, what it is, published, ours, epochs, seconds, threads."""
    lines = [["id", "what it is", "published", "ours", "epochs", "seconds", "threads"]]
    for row in rows:
        title = f"{row['title']} ({row['system']})" if row["system"] else row["title"]
        published = "; ".join(
            f"{name} {number(value)}" for name, value in row["published"].items() if value is not None
        )
        ours = "; ".join(f"{name} {number(value)}" for name, value in row["ours"].items())
        lines.append(
            [row["id"], title, published or "-", ours, f"{row['epochs']}", f"{row['seconds']:.0f}", f"{row['threads']}"]
        )
    return lines


def number(value: float) -> str:
    """A figure with as many digits as it deserves."""
    if float(value).is_integer() and abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}" if abs(value) >= 0.02 else f"{value:.5f}"


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown, with the machines it was made on."""
    header, *body = table(rows)
    lines = [header, ["---"] * len(header), *body]
    text = "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
    machines = "; ".join(sorted({row["machine"] for row in rows}))
    return f"{text}\n\nMachine: {machines}.\n"


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
    return f"{name}, {threads} thread{'s' * (threads > 1)}, PyTorch {torch.__version__}, isthmus {__version__}"
