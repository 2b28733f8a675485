"""Evaluates a trained run on its own data, and on other data if they are given; writes its report page."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from isthmus.data import Dataset
from isthmus.data.images.patches import evaluation_note
from isthmus.errors import DataError, IsthmusWarning, NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import DataTransfer, Evaluation, evaluate
from isthmus.experiments import run_data, run_figures, run_folder, run_record
from isthmus.experiments.report import write_report
from isthmus.experiments.report.html import FigureFiles
from isthmus.experiments.report.metrics import data_transfer, paragraph
from isthmus.experiments.run_labels import context_labels
from isthmus.experiments.run_record import DataSource
from isthmus.experiments.splits import Split, shared_targets_note
from isthmus.experiments.validation_set import early_stopping_note
from isthmus.text import printable

__all__ = ["EvaluatedData", "RunEvaluation", "evaluate_own_data", "evaluate_run", "impute_split", "write_page"]

MapKind = Literal["tsne", "latent"]  # t-SNE, or the first two principal components of the codes
_N_COMPARED = 4  # examples in each of the two figures of reconstructions, of own and of other data


class EvaluatedData(NamedTuple):
    """An evaluated data set.

    Attributes:
        name: its name.
        part: its training and held-out examples.
        figures: the evaluation on the held-out examples.
        stopping: a warning where early stopping used the held-out examples, or "".
        target: the name of the data set whose examples the reconstructions are compared with; "" for the examples themselves.
        observed: the part with its missing values, which in `part` are imputed.
    """

    name: str
    part: Split
    figures: Evaluation
    stopping: str = ""
    target: str = ""
    observed: Split | None = None


class RunEvaluation(NamedTuple):
    """The evaluation of a run.

    Attributes:
        ae: the autoencoder.
        own: the evaluation on its own data; on the given data where its own cannot be read.
        other: the evaluation on other data, if they are given.
        note: why its own data cannot be read, or "".
        notes: notes of the reader of the data.
        changes: changes of the data since training, one sentence each.
    """

    ae: Autoencoder
    own: EvaluatedData
    other: EvaluatedData | None = None
    note: str = ""
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    def transfer(self) -> DataTransfer | None:
        """The comparison of own and other data; None without other data."""
        if self.other is None:
            return None
        return DataTransfer(self.own.name, self.other.name, self.own.figures, self.other.figures)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the evaluation on the given data and, if these are other data, that on its own data."""
        evaluated, transfer = self.other or self.own, self.transfer()
        values = {"data": evaluated.name, **evaluated.figures.to_dict()}
        values |= {"changes": list(self.changes)} if self.changes else {}
        values |= {"early_stopping": evaluated.stopping} if evaluated.stopping else {}
        return values | ({"note": self.note} if self.note else {}) | ({} if transfer is None else transfer.to_dict())


def evaluate_own_data(ae: Autoencoder, part: Split, dataset: Dataset) -> EvaluatedData:
    """The evaluation on the held-out examples of the autoencoder's own data."""
    stopping = early_stopping_note(ae, dataset, part)
    given = part
    part, name = impute_split(ae, part, dataset.name)
    targets = {"target": part.test_target, "train_target": part.train_target}
    # `evaluate` imputes in the same way, and figures by column leave out what it imputes
    observed = given if len(given.train) == len(part.train) else replace(part, test=given.test)
    figures = evaluate(
        ae, observed.test, part.test_labels, train=observed.train, train_labels=part.train_labels, **targets
    )
    return EvaluatedData(name, part, figures, stopping, dataset.target_name, observed)


def impute_split(ae: Autoencoder, part: Split, name: str) -> tuple[Split, str]:
    """The split without missing values, and the name of the data, which says whether values were imputed."""
    imputed = run_data.imputed(ae, part)
    return imputed, name if imputed is part else f"{name}, imputed by the autoencoder"


def evaluate_run(run: Path, source: DataSource | None = None) -> RunEvaluation:
    """Evaluates a run on the held-out examples of its own data, and on other data if a source is given.

    Where its own data cannot be read any more, only the given data are evaluated, and a note says so.

    Args:
        run: a run folder or a model file.
        source: the source of other data; None evaluates its own data alone.

    Raises:
        DataError: no source is given and its own data cannot be read, or the given data do not fit.
    """
    source = run_data.as_own(run, _with_target(run, source))
    ae, dataset = run_data.load_examples(run, source, target=True)
    part = run_data.split_of(run, dataset, ae.missing, source)

    def alone(note: str = "") -> RunEvaluation:
        found = evaluate_own_data(ae, part, dataset)
        return RunEvaluation(ae, found, note=note, notes=_notes(dataset, part), changes=part.notes)

    if source is None:
        return alone()
    try:
        own_source = run_record.source_of(run)
        if run_record.same_data(own_source, replace(source, options=source.options.over(own_source.options))):
            return alone()
        _, own_dataset = run_data.load_examples(run, target=True)
        own_part = run_data.split_of(run, own_dataset, ae.missing)
        own = evaluate_own_data(ae, own_part, own_dataset)
    except (DataError, OSError, ModuleNotFoundError) as error:
        note = f"the run's own data cannot be read ({error}); these are figures on {dataset.name} alone"
        return alone(note)
    changes = (
        *(f"{own_dataset.name}: {note}" for note in own_part.notes),
        *(f"{dataset.name}: {note}" for note in part.notes),
    )
    other = _evaluate_other(ae, part, dataset, own)
    return RunEvaluation(ae, own, other, notes=_notes(dataset, part), changes=changes)


def _with_target(run: Path, source: DataSource | None) -> DataSource | None:
    """The source with targets, where the run has them; `DataError` where those of other data are not given."""
    source, recorded = run_data.with_recorded_target(run, source), run_data.target_of(run)
    if source is not None and source.target is None and recorded is not None:
        raise DataError(
            f"{run} was trained to reconstruct a target ({recorded}), so its reconstructions of {source.data} are compared with a target "
            "too: give it with --target"
        )
    return source


def _notes(dataset: Dataset, part: Split) -> tuple[str, ...]:
    """The notes of the reader of the data, and those on targets in both parts, and on labels of patches."""
    shared = shared_targets_note(part)
    patches = evaluation_note(dataset.ids, dataset.train.shape[1], part.test_labels is not None)
    return (*dataset.notes, *(each for each in (shared, patches) if each))


def _evaluate_other(ae: Autoencoder, part: Split, dataset: Dataset, own: EvaluatedData) -> EvaluatedData:
    """The evaluation on other data. Baselines are fitted on the run's own training examples, if both have targets or neither has."""
    given = part
    part, name = impute_split(ae, part, dataset.name)
    training: dict[str, Any] = {
        "train": (own.observed or own.part).train,
        "train_labels": context_labels(ae, own.part.train_labels),
        "train_target": own.part.train_target,
    }
    if (part.test_target is None) != (own.part.test_target is None):
        training = {}
    figures = evaluate(ae, given.test, part.test_labels, target=part.test_target, **training)
    figures = replace(figures, advice=own.figures.advice)  # advice is about the training data
    return EvaluatedData(name, part, figures, target=dataset.target_name)


def write_page(folder: Path, run: Path, result: RunEvaluation, map_kind: MapKind = "tsne") -> Path:
    """Draws the figures of a run and writes its report page.

    Args:
        folder: where figures and page are written, the run's own folder or another.
        run: the run folder or model file.
        result: the evaluation of the run.
        map_kind: the kind of the interactive map of the codes.

    Returns:
        The path of the page.
    """
    run_folder.check_report_paths(folder)
    ae, own, info = result.ae, result.own, run_record.info_of(run)
    figure_files = _existing_figures(run)
    if not (result.note and figure_files):  # figures of other data do not replace those of its own data
        kinds = run_figures.default_figures(ae)
        kinds = run_figures.figures_of_pairs(kinds) if own.target else kinds
        drawn = run_figures.draw(folder / "figures", ae, kinds, own.part, observed=own.observed)
        names = {path.stem for _, path, _ in drawn}
        figure_files = drawn + [each for each in figure_files if each[1].stem not in names]
    sections = [paragraph("Own data", _capitalized(result.note))] if result.note else []
    if own.target:
        pairs = [_capitalized(note) for note in result.notes if " are paired with those of " in note]
        compared = f"Reconstructions are compared with the target, {own.target}, not with their inputs."
        sections.append(paragraph("Target", " ".join([compared, *pairs])))
    sections += [paragraph("Early stopping", _capitalized(own.stopping))] if own.stopping else []
    sections += [paragraph("Changes since training", _capitalized(text)) for text in result.changes]
    transfer = result.transfer()
    if transfer is not None and result.other is not None:
        sides = _reconstructions(folder, ae, own, "own"), _reconstructions(folder, ae, result.other, "other")
        sections.append(data_transfer(transfer, sides))
    sections += _map(ae, own.part, map_kind)
    title = f"{printable(info.recipe)} on {printable(own.name)}"
    command = info.quoted_command or None
    return write_report(
        folder, ae, own.figures, figure_files, title, command, data=own.name, run=run, sections=sections
    )


def _capitalized(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _map(ae: Autoencoder, part: Split, kind: MapKind) -> list[tuple[str, str]]:
    """A map of the codes whose points show their examples; empty where the codes cannot be mapped."""
    from isthmus.plots.interactive import hover_map

    two_dimensional = math.prod(ae.code_shape_) <= 2
    try:
        html = hover_map(ae, part.test, part.test_labels, kind="latent" if two_dimensional else kind)
    except (DataError, NotPossibleError):
        return []
    return [("A map of the codes", html)]


def _existing_figures(run: Path) -> FigureFiles:
    """The figures in a run folder whose kind is known, with the descriptions in their files."""
    from isthmus import plots
    from isthmus.plots.figure_file import read_png

    folder = run / run_folder.FIGURES
    figure_files = []
    for path in sorted(folder.glob("*.png")) if run.is_dir() and not folder.is_symlink() else []:
        if path.stem in plots.__all__:
            try:
                figure_files.append((run_figures.title_of(path.stem), path, read_png(path)[1]))
            except (DataError, OSError) as error:
                warnings.warn(f"a figure is left out: {error}", IsthmusWarning, stacklevel=2)
    return figure_files


def _reconstructions(folder: Path, ae: Autoencoder, data: EvaluatedData, role: str) -> FigureFiles:
    """Draws reconstructions of a few examples of own or other data into the folder."""
    from isthmus import plots
    from isthmus.plots.figure import save_png

    part = data.part
    figure = plots.reconstructions(ae, part.test, part.test_labels, target=part.test_target, n=_N_COMPARED)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    path = save_png(figure, folder / "figures" / f"reconstructions_{role}.png")
    return [(f"on {data.name}", path, str(figure.get_label()))]
