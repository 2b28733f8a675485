"""Verbs that put a run to use: arrays in, arrays out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.options import Data, Labels, Out, Resize, Run, all_examples
from isthmus.console import array_path, write_array

__all__ = ["decode", "encode", "reconstruct", "sample"]


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
    out: Out = None,
) -> None:
    """New examples from the prior, as .npy."""
    from isthmus import runs

    path = array_path(out, "samples.npy")
    ae = runs.open_run(run)
    write_array(path, ae.sample(n, random_state))
