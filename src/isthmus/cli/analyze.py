"""Verbs that show what a run learned, and what there is."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import nullcontext
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.console import counted, first_line, say, say_json, say_notes, table
from isthmus.cli.data_options import Given, takes_data
from isthmus.cli.options import Json, Out, Run
from isthmus.text import printable

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.data.options import ReadOptions
    from isthmus.data.tables.text_columns import TextColumns

__all__ = ["compare", "data", "evaluate", "plot", "recipes", "robustness"]


@takes_data
def evaluate(run: Run, given: Given, out: Out = None, as_json: Json = False) -> None:
    """What it learned, and whether that is any good: errors, codes, labels, advice; with --data on other data, side by side."""
    from isthmus.cli.printing import say_tables
    from isthmus.experiments import run_folder, run_report

    folder = out if out is not None else run if run.is_dir() and os.access(run, os.W_OK) else None
    with nullcontext() if out is None else run_folder.reserve_folder(out):
        if folder is not None:
            run_folder.check_report_paths(folder)
        found = run_report.evaluate_run(run, given.origin)
        say_notes(found.notes, as_json)
        if as_json:
            say_json(found.to_dict())
        else:
            say_tables(found)
        path = None if folder is None else run_report.write_page(folder, run, found)
    if not as_json:
        say("no page: name a folder for it with --out" if path is None else f"written: {path}")


@takes_data
def compare(
    run: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of runs, or model files.")],
    given: Given,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """Several runs on the same held-out examples: their figures, what differs between them, and which to take."""
    from isthmus.experiments.comparison import compare as compared
    from isthmus.experiments.comparison import write
    from isthmus.experiments.run_folder import reserve_folder

    with reserve_folder(out) if out is not None else nullcontext():
        found = compared(run, origin=given.origin)
        written = [] if out is None else write(found, out)
    if as_json:
        say_json(found.to_dict())
        return
    for note in found.notes:
        say(f"note: {note}")
    header, lines = found.table()
    table([f"{counted(len(found.examples), 'held-out example')}", *header[1:]], lines)
    say("* best in its column")
    differences = found.differences()
    say("what differs:" if differences else "nothing differs in what they were made and trained by")
    for path, values in differences.items():
        say(f"  {path}: {' | '.join(values)}")
    say(found.verdict())
    for file in written:
        say(f"written: {file}")


@takes_data
def robustness(
    run: Run,
    given: Given,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...",
            help="kinds=GaussianNoise,Masking levels=0.3,0.5,0.7 draws=3 n=500 random_state=0",
        ),
    ] = None,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """How well a run denoises at growing levels of corruption, compared with the identity, filters and ridge regression."""
    from isthmus.evaluation.robustness_curve import robustness as measured
    from isthmus.experiments import run_data, run_folder, run_record
    from isthmus.experiments.run_report import impute_split
    from isthmus.io.atomic import check_writable, replace_file
    from isthmus.io.tables import csv_records
    from isthmus.plots.noise_robustness import save
    from isthmus.records import arguments

    choices = arguments({"robustness": measured}, settings or [])["robustness"]
    ae, dataset = run_data.load_examples(run, given.origin)
    say_notes(dataset.notes, as_json)
    found = run_data.split_of(run, dataset, ae.missing, given.origin)
    say_notes(found.notes, as_json)
    part, name = impute_split(ae, found, dataset.name)
    folder = out or run_record.folder_of(run)
    with run_folder.reserve_folder(folder):
        check_writable(folder / "robustness.csv")
        run_folder.check_report_paths(folder)
        result = measured(ae, part.test, train=part.train, **choices)
        replace_file(folder / "robustness.csv", csv_records([each.to_dict() for each in result.figures]).encode())
        pictures = save(result, folder / "figures")
    if as_json:
        say_json(result.to_dict())
        return
    table([f"{counted(result.n_examples, 'example')} of {name}, corrupted by", *result.methods], result.rows())
    for note in result.notes():
        say(note)
    say(f"written: {', '.join(str(path) for path in (folder / 'robustness.csv', *pictures))}")


@takes_data
def plot(
    run: Run,
    given: Given,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND]... [NAME=VALUE]...", help="latent, tsne, ...; and arguments: levels=0.5,0.8"),
    ] = None,
    out: Out = None,
) -> None:
    """Draw pictures of a run; without a kind, list them."""
    from isthmus import plots
    from isthmus.errors import RecordError
    from isthmus.experiments import run_data, run_figures, run_folder, run_record

    if out is not None and out.suffix.lower() == ".png":
        raise RecordError(f"--out {out}: pictures go into a folder, one file for each kind; give the folder's name")
    kinds = [word for word in settings or [] if "=" not in word]
    if not kinds:
        table(["kind", "what it shows"], [[kind, first_line(getattr(plots, kind))] for kind in plots.__all__])
        return
    choices = run_figures.figure_options(kinds, [word for word in settings or [] if "=" in word])
    ae, dataset = run_data.load_examples(run, given.origin)
    say_notes(dataset.notes, False)
    found = run_data.split_of(run, dataset, ae.missing, given.origin)
    say_notes(found.notes)
    part = run_data.imputed(ae, found)
    folder = out or run_record.folder_of(run) / run_folder.FIGURES
    if out is None:
        run_folder.check_report_paths(run_record.folder_of(run))
    try:
        drawn = run_figures.draw(folder, ae, kinds, part, choices, strict=True)
    except TypeError as error:
        raise RecordError(f"{' '.join(settings or [])} cannot be drawn: {error}") from None
    for _, path, _ in drawn:
        say(f"written: {path}")


def recipes() -> None:
    """List the recipes, one line each."""
    from isthmus import recipes as module

    table(["recipe", "what it is"], [[name, first_line(getattr(module, name))] for name in module.__all__])


@takes_data
def data(
    given: Given,
    path: Annotated[str | None, typer.Argument(metavar="[PATH]", help="A file or a folder, which is read.")] = None,
) -> None:
    """What is understood of a file or a folder when it is read; without one, the data sets that come with isthmus."""
    named = path if path is not None else given.data
    if named is not None:
        say_data(named, given.options)
        return
    given.origin  # noqa: B018  # options of reading, and nothing to read
    from isthmus import data as module
    from isthmus.errors import IsthmusError

    rows = []
    for name in module.names():
        try:
            rows.append([name, module.load(name, download=False).summary().partition(": ")[2]])
        except IsthmusError as error:
            rows.append([name, str(error)])
    table(["data", "what it is"], rows)
    say(
        "or a path: .npy, .npz, .idx, .idx.gz, .csv, .xlsx, .parquet, an image, or a folder of images (sub-folders are labels)"
    )


def say_data(data: str, options: ReadOptions) -> None:
    """What was understood of data: a line of summary, the notes, and the columns of a table with what they hold."""
    from isthmus.data.readers import read_with_texts
    from isthmus.data.tables.summary import drop_of, look, words_held

    def read(options: ReadOptions, texts: TextColumns) -> Dataset:
        return read_with_texts(data, options, texts)

    dataset, blocking, texts = look(read, options, _COLUMNS)
    rows = [] if dataset is None else _say_dataset(dataset, blocking)
    for name, kind in list(blocking.items())[: max(_COLUMNS - len(rows), 0)]:
        missing = "-"
        if dataset is not None:
            kind, some, n = words_held(texts.labels(name), options.na_values)
            missing = _share(some, n)
        rows.append([printable(name), kind, missing, "-", "-", "-"])
    if rows:
        table(["column", "holds", "missing", "least", "mean", "largest"], rows)
    learned = 0 if dataset is None else dataset.train.shape[1]
    if (more := learned + len(blocking) - len(rows)) > 0 and rows:
        say(f"and {more:,} columns more")
    if not blocking:
        return
    if dataset is None:
        say("no column can be learned: give at least one with numbers")
        return
    part = drop_of(list(blocking))
    part = part if len(part) <= _LONGEST else "--drop or --columns and patterns such as 'gene_*'"
    say(f"{learned:,} of {counted(learned + len(blocking), 'column')} can be learned, with {part}")


def _say_dataset(dataset: Dataset, blocking: Collection[str]) -> list[list[str]]:
    """Says the summary and the notes; returns the rows of the table of columns, if it is one."""
    import numpy as np

    from isthmus.data.sentinels import sentence, sentinels
    from isthmus.data.tables.summary import numbers_held

    say(dataset.summary())
    asked = "left out as requested:"
    say_notes([note for note in dataset.notes if not (blocking and note.startswith(asked))])
    if dataset.kind != "table" or dataset.train.ndim != 2:
        return []
    if wrong := sentence(sentinels(dataset.train, dataset.kind, dataset.columns)):
        say_notes([wrong])
    positions = (str(place) for place in count())
    names = dataset.columns or tuple(
        islice((name for name in positions if name not in blocking), dataset.train.shape[1])
    )
    rows = []
    for place, name in enumerate(names[:_COLUMNS]):
        values = np.asarray(dataset.train[:, place], float)
        known = values[~np.isnan(values)]
        span = [f"{value:.6g}" for value in (known.min(), known.mean(), known.max())] if len(known) else ["-"] * 3
        rows.append([name, numbers_held(values), _share(len(values) - len(known), len(values)), *span])
    return rows


def _share(some: int, n: int) -> str:
    """How many are missing, with their share."""
    return f"{some:,} ({some / n:.2g} of all)" if some else "0"


_LONGEST = 2000  # characters of a part of a command
_COLUMNS = 40  # of a table that are shown
