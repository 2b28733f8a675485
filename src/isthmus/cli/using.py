"""Verbs that put a run to use: arrays in, arrays out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.options import Data, Labels, Out, Resize, Run, all_examples, origin_of
from isthmus.console import array_path, counted, say, write_array, write_table

__all__ = ["decode", "encode", "impute", "reconstruct", "sample"]


def encode(run: Run, data: Data = None, out: Out = None, labels: Labels = None, resize: Resize = None) -> None:
    """The codes of examples, as .npy: all of --data, or the run's held-out ones."""
    path = array_path(out, "codes.npy")
    ae, X = all_examples(run, data, labels, resize)
    write_array(path, ae.encode(X))


def reconstruct(run: Run, data: Data = None, out: Out = None, labels: Labels = None, resize: Resize = None) -> None:
    """Examples through the autoencoder and back, as .npy, in the units of the data; restores what a denoising one was trained to."""
    path = array_path(out, "reconstructions.npy")
    ae, X = all_examples(run, data, labels, resize)
    write_array(path, ae.reconstruct(X))


def impute(run: Run, data: Data = None, out: Out = None, labels: Labels = None, resize: Resize = None) -> None:
    """Missing numbers completed, of --data or of all the run's own: tables as .csv with their names, the labels last; or .npy."""
    from isthmus import runs
    from isthmus.data.examples import Examples
    from isthmus.data.observed import gaps
    from isthmus.errors import RecordError

    if out is not None:
        array_path(out, "", (".csv", ".npy"))
    origin = origin_of(data, labels, resize) or runs.origin_of(run)
    ae, dataset = runs.examples_of(run, origin)
    table = dataset.train.ndim == 2
    path = array_path(out, "whole.csv" if table else "whole.npy", (".csv", ".npy"))
    if path.suffix == ".csv" and not table:
        raise RecordError(f"--out {path}: a .csv file holds tables, and these examples are {ae.shape_}; write .npy")
    whole = ae.impute(Examples(dataset.train, dataset.columns))
    if path.suffix == ".npy":
        write_array(path, whole)
    else:
        names = None if dataset.columns is None else [*dataset.columns, *([origin.labels] if origin.labels else [])]
        write_table(path, names, whole, dataset.train_labels)
    say(f"{counted(gaps(dataset.train), 'missing number')} of {whole.size:,} completed")


def decode(run: Run, codes: Annotated[Path, typer.Argument(help="Codes as .npy, (n, k).")], out: Out = None) -> None:
    """Examples from codes, as .npy."""
    from isthmus import runs
    from isthmus.data import read

    path = array_path(out, "decoded.npy")
    ae = runs.open_run(run)
    write_array(path, ae.decode(read(codes).train))


def sample(
    run: Run,
    n: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 64,
    random_state: Annotated[int, typer.Option(min=0, help="Another number gives other samples.")] = 0,
    method: Annotated[
        str,
        typer.Option(help="prior; or gmm, a mixture fitted to the codes of --data, or of the run's training examples."),
    ] = "prior",
    data: Data = None,
    out: Out = None,
    labels: Labels = None,
    resize: Resize = None,
) -> None:
    """New examples from the prior, or from a mixture fitted to codes, as .npy."""
    from isthmus import runs

    path = array_path(out, "samples.npy")
    origin = origin_of(data, labels, resize)
    if method != "gmm" and origin is None:
        write_array(path, runs.open_run(run).sample(n, random_state, method=method))  # type: ignore[arg-type]  # it is checked
        return
    ae, dataset = runs.examples_of(run, origin)
    X = runs.split(dataset).train if origin is None else dataset.train
    write_array(path, ae.sample(n, random_state, method=method, X=X))  # type: ignore[arg-type]
