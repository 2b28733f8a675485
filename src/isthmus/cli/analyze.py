"""Verbs that evaluate runs, and verbs that list recipes, figures and data."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.console import counted, first_line, print_json, print_line, print_notes, print_table
from isthmus.cli.data_options import DataOptions, takes_data, takes_pairs
from isthmus.cli.data_summary import print_data
from isthmus.cli.options import Json, Out, Run

__all__ = ["compare", "data", "evaluate", "plot", "recipes", "robustness"]


@takes_pairs
def evaluate(run: Run, data_options: DataOptions, out: Out = None, as_json: Json = False) -> None:
    """Evaluate a run: reconstruction errors, latent diagnostics, label probes and advice; with --data, also on other data."""
    from isthmus.cli.printing import print_evaluation
    from isthmus.experiments import run_folder, run_report

    folder = out if out is not None else run if run.is_dir() and os.access(run, os.W_OK) else None
    with nullcontext() if out is None else run_folder.reserve_folder(out):
        if folder is not None:
            run_folder.check_report_paths(folder)
        found = run_report.evaluate_run(run, data_options.source)
        print_notes(found.notes, as_json)
        if as_json:
            print_json(found.to_dict())
        else:
            print_evaluation(found)
        path = None if folder is None else run_report.write_page(folder, run, found)
    if not as_json:
        print_line("no report page is written: give a folder with --out" if path is None else f"written: {path}")


@takes_pairs
def compare(
    run: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders or model files.")],
    data_options: DataOptions,
    each: Annotated[
        bool, typer.Option("--each", help="A row for each run, also for runs that differ in their random state alone.")
    ] = False,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """Compare several runs on the same held-out examples: metrics, different parameters and a recommendation.

    Runs that differ in their random state alone are one row: mean ± standard deviation (number of runs).
    """
    from isthmus.experiments import comparison, comparison_result
    from isthmus.experiments.run_folder import reserve_folder

    with reserve_folder(out) if out is not None else nullcontext():
        found = comparison.compare(run, origin=data_options.source, grouped=not each)
        written = [] if out is None else comparison_result.write(found, out)
    if as_json:
        print_json(found.to_dict())
        return
    for note in found.notes:
        print_line(f"note: {note}")
    header, lines = found.table()
    print_table([f"{counted(len(found.examples), 'held-out example')}", *header[1:]], lines)
    print_line("* the best value of its column")
    differences = found.differences()
    print_line("different parameters:" if differences else "all parameters are equal")
    for path, values in differences.items():
        print_line(f"  {path}: {' | '.join(values)}")
    print_line(found.verdict())
    for file in written:
        print_line(f"written: {file}")


@takes_data
def robustness(
    run: Run,
    data_options: DataOptions,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=VALUE",
            help="Arguments such as kinds=GaussianNoise,Masking levels=0.3,0.5,0.7 draws=3 n=500 random_state=0.",
        ),
    ] = None,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """Measure how well a run denoises at increasing corruption levels, compared with the identity, filters and ridge regression."""
    from isthmus.assignments import arguments
    from isthmus.evaluation import robustness_curve
    from isthmus.experiments import run_data, run_folder, run_record
    from isthmus.experiments.run_report import impute_split
    from isthmus.io.atomic import check_writable, replace_file
    from isthmus.io.tables import csv_records
    from isthmus.plots.noise_robustness import save

    choices = arguments({"robustness": robustness_curve.robustness}, settings or [])["robustness"]
    if run_data.is_own(run, data_options.source):
        instead = "use isthmus evaluate, or give clean examples with --data"
        run_data.refuse_target(run, "robustness", instead)
    source = run_data.as_own(run, data_options.source)
    ae, dataset = run_data.load_examples(run, source)
    print_notes(dataset.notes, as_json)
    found = run_data.split_of(run, dataset, ae.missing, source)
    print_notes(found.notes, as_json)
    part, name = impute_split(ae, found, dataset.name)
    folder = out or run_record.folder_of(run)
    with run_folder.reserve_folder(folder):
        check_writable(folder / "robustness.csv")
        run_folder.check_report_paths(folder)
        given = {"train": part.train, "train_labels": part.train_labels} | choices
        result = robustness_curve.robustness(ae, part.test, part.test_labels, **given)
        replace_file(folder / "robustness.csv", csv_records([each.to_dict() for each in result.figures]).encode())
        figures = save(result, folder / "figures")
    if as_json:
        print_json(result.to_dict())
        return
    print_table(
        [f"{counted(result.n_examples, 'example')} of {name}, corrupted by", *result.methods],
        result.rows(),
        multiline=True,
    )
    for note in result.notes():
        print_line(note)
    print_line(f"written: {', '.join(str(path) for path in (folder / 'robustness.csv', *figures))}")


@takes_pairs
def plot(
    run: Run,
    data_options: DataOptions,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND]... [NAME=VALUE]...",
            help="Kinds such as latent or tsne, and arguments such as levels=0.5,0.8.",
        ),
    ] = None,
    out: Out = None,
) -> None:
    """Draw figures of a run. Without a kind, list the kinds."""
    from isthmus import plots
    from isthmus.errors import RecordError
    from isthmus.experiments import run_data, run_figures, run_folder, run_record

    if out is not None and out.suffix.lower() == ".png":
        raise RecordError(f"--out {out}: expected a folder, in which each kind of figure is a file")
    kinds = [word for word in settings or [] if "=" not in word]
    if not kinds:
        print_table(["kind", "figure"], [[kind, first_line(getattr(plots, kind))] for kind in plots.__all__])
        return
    choices = run_figures.figure_options(kinds, [word for word in settings or [] if "=" in word])
    for kind in filter(run_figures.compares_with_inputs, kinds):
        run_data.refuse_target(
            run, f"the figure {kind}", "draw reconstructions, or see isthmus evaluate for PCA and ridge regression"
        )
    source, with_target = data_options.source, "reconstructions" in kinds
    source = run_data.as_own(run, run_data.with_recorded_target(run, source) if with_target else source)
    ae, dataset = run_data.load_examples(run, source, target=with_target)
    print_notes(dataset.notes, False)
    found = run_data.split_of(run, dataset, ae.missing, source)
    print_notes(found.notes)
    part = run_data.imputed(ae, found)
    folder = out or run_record.folder_of(run) / run_folder.FIGURES
    if out is None:
        run_folder.check_report_paths(run_record.folder_of(run))
    try:
        drawn = run_figures.draw(folder, ae, kinds, part, choices, strict=True, observed=found)
    except TypeError as error:
        raise RecordError(f"invalid argument in {' '.join(settings or [])}: {error}") from None
    for _, path, _ in drawn:
        print_line(f"written: {path}")


def recipes() -> None:
    """List the recipes, one per line, with the paper of each."""
    from isthmus import recipes as module

    rows = [[name, first_line(getattr(module, name)), module.paper(name)] for name in module.__all__]
    print_table(["recipe", "description", "paper"], rows)


@takes_pairs
def data(
    data_options: DataOptions,
    path: Annotated[str | None, typer.Argument(metavar="PATH", help="A file or a folder.")] = None,
) -> None:
    """Show how a file or folder is read: its parts, columns and missing values. Without a path, list the built-in data sets."""
    from isthmus.errors import RecordError

    if path is not None and data_options.data is not None:
        raise RecordError(f"the data are given twice, as {path} and as --data {data_options.data}: give them once")
    shown = path if path is not None else data_options.data
    if shown is not None:
        print_data(shown, data_options.options, data_options.target)
        return
    data_options.source  # noqa: B018  # raises an error if there are reading options without data
    from isthmus import data as module
    from isthmus.errors import IsthmusError

    rows = []
    for name in module.names():
        try:
            rows.append([name, module.load(name, download=False).summary().partition(": ")[2]])
        except IsthmusError as error:
            rows.append([name, str(error)])
    print_table(["data set", "description"], rows)
    print_line(
        "or a path: .npy, .npz, .mtx, .idx, .idx.gz, .csv, .xlsx, .parquet, .wav, an image, or a folder of WAV files or "
        "images (subfolders are labels)"
    )
