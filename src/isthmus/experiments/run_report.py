"""A trained run looked at: what it learned and whether that is any good, as JSON, as a page."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from isthmus.data import Dataset
from isthmus.errors import DataError, IsthmusWarning, NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import DataTransfer, Evaluation, evaluate
from isthmus.experiments import run_data, run_figures, run_folder, run_record
from isthmus.experiments.report import write_report
from isthmus.experiments.report.html import FigureFiles
from isthmus.experiments.report.metrics import data_transfer, paragraph
from isthmus.experiments.run_record import DataSource
from isthmus.experiments.splits import Split
from isthmus.experiments.validation_set import said_of_stopping
from isthmus.text import printable

__all__ = ["EvaluatedData", "Review", "pages", "review", "seen", "whole"]

MapOf = Literal["tsne", "latent"]  # neighbors kept together, or two principal components at once
_SHOWN = 4  # examples in each of the two pictures that stand next to each other


class EvaluatedData(NamedTuple):
    """What the data are called, their two parts, the figures on the held-out one, and whether it chose the model."""

    name: str
    part: Split
    figures: Evaluation
    stopping: str = ""


class Review(NamedTuple):
    """An autoencoder on its own data, on other data beside them if asked; sentences where its own cannot be read or have changed."""

    ae: Autoencoder
    own: EvaluatedData
    other: EvaluatedData | None = None
    note: str = ""
    notes: tuple[str, ...] = ()  # what was noticed when the examples were read
    changes: tuple[str, ...] = ()  # since training, in the data

    def transfer(self) -> DataTransfer | None:
        """Both sides of it, where there are two."""
        if self.other is None:
            return None
        return DataTransfer(self.own.name, self.other.name, self.own.figures, self.other.figures)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the figures on the data that were asked for, and its own beside them where these are others."""
        asked, both = self.other or self.own, self.transfer()
        told = {"data": asked.name, **asked.figures.to_dict()}
        told |= {"changes": list(self.changes)} if self.changes else {}
        told |= {"early_stopping": asked.stopping} if asked.stopping else {}
        return told | ({"note": self.note} if self.note else {}) | ({} if both is None else both.to_dict())


def seen(ae: Autoencoder, part: Split, dataset: Dataset) -> EvaluatedData:
    """Figures on the held-out part of the autoencoder's own data."""
    stopping = said_of_stopping(ae, dataset, part)
    part, name = whole(ae, part, dataset.name)
    figures = evaluate(ae, part.test, part.test_labels, train=part.train, train_labels=part.train_labels)
    return EvaluatedData(name, part, figures, stopping)


def whole(ae: Autoencoder, part: Split, name: str) -> tuple[Split, str]:
    """Examples that figures and pictures can be made of, and their name, which says if numbers were missing."""
    completed = run_data.imputed(ae, part)
    return completed, name if completed is part else f"{name}, as completed by the autoencoder"


def review(run: Path, given: DataSource | None = None) -> Review:
    """Looks at a run's own held-out examples, and at other data if they are given.

    Where its own data cannot be read any more, the ones given are taken for them, and the note says so.

    Raises:
        DataError: no data are given and its own cannot be read, or those given do not fit.
    """
    ae, dataset = run_data.load_examples(run, given)
    part, note = run_data.split_of(run, dataset, ae.missing, given), ""
    if given is None:
        return Review(ae, seen(ae, part, dataset), notes=dataset.notes, changes=part.notes)
    try:
        origin = run_record.source_of(run)
        if run_record.same_data(origin, replace(given, options=given.options.over(origin.options))):
            return Review(ae, seen(ae, part, dataset), notes=dataset.notes, changes=part.notes)
        _, trained = run_data.load_examples(run)
        mine = run_data.split_of(run, trained, ae.missing)
        own = seen(ae, mine, trained)
    except (DataError, OSError, ModuleNotFoundError) as error:
        note = f"the run's own data cannot be read ({error}); these are figures on {dataset.name} alone"
        return Review(ae, seen(ae, part, dataset), note=note, notes=dataset.notes, changes=part.notes)
    changes = (*(f"{trained.name}: {each}" for each in mine.notes), *(f"{dataset.name}: {each}" for each in part.notes))
    part, name = whole(ae, part, dataset.name)
    figures = evaluate(ae, part.test, part.test_labels, train=own.part.train)
    figures = replace(figures, advice=own.figures.advice)  # rules are about the data that it was trained on
    return Review(ae, own, EvaluatedData(name, part, figures), notes=dataset.notes, changes=changes)


def pages(folder: Path, run: Path, found: Review, map_of: MapOf = "tsne") -> Path:
    """Draws a run's pictures and writes its page into a folder, which is the run's own or another; ``map_of`` is the map's kind."""
    run_folder.check_report_paths(folder)
    ae, own, about = found.ae, found.own, run_record.info_of(run)
    pictures = _kept(run)
    if not (found.note and pictures):  # pictures of other data do not take the place of its own
        drawn = run_figures.draw(folder / "figures", ae, run_figures.default_figures(ae), own.part)
        pictures = drawn + [more for more in pictures if more[1].stem not in {path.stem for _, path, _ in drawn}]
    sections = [paragraph("Its own data", f"{found.note[:1].upper()}{found.note[1:]}.")] if found.note else []
    sections += [paragraph("Early stopping", f"{own.stopping[:1].upper()}{own.stopping[1:]}.")] if own.stopping else []
    sections += [paragraph("What changed since training", f"{text[:1].upper()}{text[1:]}.") for text in found.changes]
    both = found.transfer()
    if both is not None and found.other is not None:
        sections.append(data_transfer(both, (_side(folder, ae, own, "own"), _side(folder, ae, found.other, "other"))))
    sections += _map(ae, own.part, map_of)
    title = f"{printable(about.recipe)} on {printable(own.name)}"
    command = about.quoted_command or None
    return write_report(folder, ae, own.figures, pictures, title, command, data=own.name, run=run, sections=sections)


def _map(ae: Autoencoder, part: Split, kind: MapOf) -> list[tuple[str, str]]:
    """A map of the codes whose points show their examples; none where codes make no map."""
    from isthmus.plots.interactive import hover_map

    plain = math.prod(ae.code_shape_) <= 2
    try:
        return [("A map of the codes", hover_map(ae, part.test, part.test_labels, kind="latent" if plain else kind))]
    except (DataError, NotPossibleError):
        return []


def _kept(run: Path) -> FigureFiles:
    """The pictures of known kinds that a run has, as they describe themselves."""
    from isthmus import plots
    from isthmus.plots.figure import read_png

    kept = []
    there = run.is_dir() and not (run / run_folder.FIGURES).is_symlink()
    for path in sorted((run / run_folder.FIGURES).glob("*.png")) if there else []:
        if path.stem in plots.__all__:
            try:
                kept.append((run_figures.title_of(path.stem), path, read_png(path)[1]))
            except (DataError, OSError) as error:
                warnings.warn(f"a figure is left out: {error}", IsthmusWarning, stacklevel=2)
    return kept


def _side(folder: Path, ae: Autoencoder, found: EvaluatedData, role: str) -> FigureFiles:
    """The reconstructions of a few examples of one side of the comparison, drawn into the folder."""
    from isthmus import plots
    from isthmus.plots.figure import save_png

    figure = plots.reconstructions(ae, found.part.test, n=_SHOWN)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    path = save_png(figure, folder / "figures" / f"beside_{role}.png")
    return [(f"on {found.name}", path, str(figure.get_label()))]
