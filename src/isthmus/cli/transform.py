"""Verbs that write arrays: codes, reconstructions, imputed values, decoded and sampled examples."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.bulk import takes_files
from isthmus.cli.console import (
    array_path,
    as_flags,
    print_line,
    print_notes,
    write_array,
    write_frame,
    write_table,
)
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.images import reconstruct_images
from isthmus.cli.options import Out, Run, all_examples
from isthmus.cli.sound import reconstruct_sound

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.estimators.autoencoder import Autoencoder

Labels = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LABEL",
        help="For a conditional autoencoder: the class, or the covariates as 0.5,2, of the new examples; several take turns.",
    ),
]

Files = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILES]",
        help="An image of any size, a WAV file of any length, or a folder of them, whose reconstructions --out receives as such files.",
    ),
]

__all__ = ["decode", "encode", "path_for", "reconstruct", "sample", "write_with_ids"]

_OF_FRAMES = (".csv", ".parquet")  # files of tables with other columns than numbers


@takes_data
@takes_files("indices")
def encode(
    run: Run,
    data_options: DataOptions,
    indices: Annotated[
        bool, typer.Option("--indices", help="Of a codebook: write the numbers of its entries, not the codes.")
    ] = False,
    out: Out = None,
) -> None:
    """Write the codes of --data, or of the run's held-out examples, as .npy, or as .csv with ids; of many files, as Parquet files."""
    what = "index" if indices else "code"
    path = array_path(out, "indices.npy" if indices else "codes.npy", (".npy", ".csv"))
    ae, dataset = all_examples(run, data_options)
    codes = (ae.encode_indices if indices else ae.encode)(dataset.train, dataset.train_labels)
    write_with_ids(path, codes, dataset, [f"{what}_{number}" for number in range(codes[0].size)])


@takes_data
@takes_files()
def reconstruct(run: Run, data_options: DataOptions, path: Files = None, out: Out = None) -> None:
    """Write the reconstructions of images or sound of any size; or of --data or the run's held-out examples, as .npy or .csv."""
    from isthmus.data.sound.folder import holds_sound
    from isthmus.errors import RecordError

    if path is not None:
        given = data_options.options.given()
        skip_broken = bool(given.pop("skip_broken", False))
        if data_options.data is not None or given:
            raise RecordError(
                f"{path} and --data with its options both say what to reconstruct: give one of them (files are written as files, "
                "--data as .npy or .csv)"
            )
        if not holds_sound(path):
            reconstruct_images(run, path, out, skip_broken)
        elif skip_broken:
            raise RecordError("--skip-broken is for a folder of images: leave it out")
        else:
            reconstruct_sound(run, path, out)
        return
    if out is not None:
        array_path(out, "", (".npy", *_OF_FRAMES))
    ae, dataset = all_examples(run, data_options)
    path = path_for(out, "reconstructions", ae, (".npy", ".csv"))
    if dataset.kind == "series" and path.suffix == ".csv":
        raise RecordError(
            f"--out {path}: the reconstructions are windows, which are no table: give a name that ends in .npy"
        )
    values = ae.reconstruct(dataset.train, dataset.train_labels)
    if dataset.table is not None and path.suffix in _OF_FRAMES:
        write_frame(path, dataset.table.decode(values, dataset.frame), _ids(dataset), dataset.id_name)
        return
    write_with_ids(path, values, dataset, list(dataset.columns or (f"column {n}" for n in range(values[0].size))))


def _ids(dataset: Dataset) -> Any:
    """The ids of the rows, with the type that they have in a file whose columns have types; None without ids."""
    known = dataset.frame is not None and dataset.id_name in dataset.frame.column_names
    return dataset.frame.column(dataset.id_name) if known else dataset.ids


def path_for(out: Path | None, stem: str, ae: Autoencoder, endings: tuple[str, ...] = (".npy",)) -> Path:
    """The output path of examples: of a table with other columns than numbers .csv or .parquet, and .npy for its features.

    Args:
        out: as given.
        stem: the name of the file, if none was given.
        ae: the model.
        endings: those of other examples; the first one is used if no name was given.
    """
    if hasattr(ae, "table_"):
        return array_path(out, f"{stem}.csv", (*_OF_FRAMES, ".npy"))
    return array_path(out, f"{stem}{endings[0]}", endings)


def _write_examples(path: Path, ae: Autoencoder, made: Any) -> None:
    """Writes new examples: an array, or the frame of an autoencoder of a table."""
    if hasattr(ae, "table_") and path.suffix != ".npy":
        write_frame(path, made)
    else:
        write_array(path, ae.table_.encode(made).values if hasattr(ae, "table_") else made)


def write_with_ids(path: Path, values: Any, dataset: Dataset, names: list[str]) -> None:
    """Writes an array as .npy, or as a .csv table with one row per example and the ids in the first column.

    Args:
        path: the file.
        values: (n, ...), in the order of the examples.
        dataset: the examples.
        names: of the columns of the table.
    """
    if path.suffix == ".npy":
        write_array(path, values)
        if dataset.id_name is not None:
            print_line(
                "note: a .npy file cannot contain the ids: for a table with ids, give --out a name that ends in .csv"
            )
        return
    id_column = [] if dataset.ids is None else [dataset.id_name or "file"]
    write_table(path, [*id_column, *names], values.reshape(len(values), -1), ids=dataset.ids)


def decode(
    run: Run,
    codes: Annotated[Path, typer.Argument(help="A .npy file of codes of shape (n, k).")],
    label: Labels = None,
    indices: Annotated[
        bool, typer.Option("--indices", help="The file has the numbers of entries of a codebook, as encode --indices.")
    ] = False,
    out: Out = None,
) -> None:
    """Write the examples that the decoder makes of codes, as .npy."""
    from isthmus.data import read
    from isthmus.data.validation import Examples
    from isthmus.experiments import run_folder

    if out is not None:
        array_path(out, "", (".npy", *_OF_FRAMES))
    ae, dataset = run_folder.open_run(run), read(codes)
    path = path_for(out, "decoded", ae)
    y = _given_labels(run, ae, label, len(dataset.train))
    if indices:
        rows, shape = dataset.train, (len(dataset.train), *ae.code_shape_[:-1])
        made = ae.decode_indices(rows.reshape(shape) if rows.size == prod(shape) else rows, y)
    else:
        made = ae.decode(Examples(dataset.train, positions=dataset.positions()), y)
    _write_examples(path, ae, made)


@takes_data
def sample(
    run: Run,
    data_options: DataOptions,
    n: Annotated[int, typer.Option("-n", min=1, help="The number of samples.")] = 64,
    random_state: Annotated[int, typer.Option(min=0, help="The random state of the samples.")] = 0,
    method: Annotated[
        str,
        typer.Option(help="prior; or gmm, a Gaussian mixture fitted to codes of --data, or of the training examples."),
    ] = "prior",
    label: Labels = None,
    draw: Annotated[
        bool | None,
        typer.Option(
            "--draw/--mean",
            help="Draw each example from the likelihood, with its noise, or take its mean; default: --draw for tables with columns of any "
            "kind, else --mean.",
        ),
    ] = None,
    out: Out = None,
) -> None:
    """Write new examples, sampled from the prior or from a Gaussian mixture fitted to codes, as .npy."""
    from isthmus.errors import RecordError
    from isthmus.experiments import run_data, run_folder

    if out is not None:
        array_path(out, "", (".npy", *_OF_FRAMES))
    source = data_options.source
    if method != "gmm" and source is not None:
        raise RecordError("--data is for --method gmm, a mixture fitted to codes: leave it out, or give --method gmm")
    if method != "gmm":
        ae = run_folder.open_run(run)
        path = path_for(out, "samples", ae)
        y = _given_labels(run, ae, label, n)
        with as_flags(("n", "method", "random_state")):
            made = ae.sample(n, random_state, method=method, y=y, draw=draw)  # type: ignore[arg-type]  # `sample` checks it
        _write_examples(path, ae, made)
        return
    ae, dataset = run_data.load_examples(run, source)
    path = path_for(out, "samples", ae)
    print_notes(dataset.notes)
    X = dataset.train
    if source is None:
        part = run_data.split_of(run, dataset, ae.missing)
        print_notes(part.notes)
        X = part.train
    y = _given_labels(run, ae, label, n)
    with as_flags(("n", "method", "random_state")):
        made = ae.sample(n, random_state, method="gmm", X=X, y=y, draw=draw)
    _write_examples(path, ae, made)


def _given_labels(run: Path, ae: Autoencoder, words: list[str] | None, n: int) -> Any:
    """The labels of n new examples: the given ones in turn. None for an autoencoder that is not conditional."""
    from isthmus.errors import RecordError
    from isthmus.experiments.run_labels import is_conditional, parse_label

    if not is_conditional(ae):
        if words:
            raise RecordError(f"{run} is not conditional, so its examples have no labels to choose: leave out --label")
        return None
    labels = [parse_label(ae, word) for word in words or [""]]
    return [labels[i % len(labels)] for i in range(n)]
