"""Verbs that write and read compressed files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.console import array_path, as_flags, print_json, print_line, print_table, write_blocks
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.options import Json, Out, Run, all_examples
from isthmus.text import command

__all__ = ["compress", "decompress"]


@takes_data
def compress(
    run: Run,
    data_options: DataOptions,
    out: Out = None,
    step: Annotated[
        float | None,
        typer.Option(help="Step size of the codes: how far one step moves a reconstruction, in model units."),
    ] = None,
    bits: Annotated[float | None, typer.Option(help="Maximum bits per example, including the file header.")] = None,
    error: Annotated[
        float | None,
        typer.Option(help="Maximum relative increase of the mean squared error by rounding the codes; default 0.05."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write examples as a small file of rounded, entropy-coded codes; compare its size with gzip, LZMA and PNG."""
    from isthmus import compression
    from isthmus.experiments import run_data

    path = Path("compressed.isthmus") if out is None else out
    run_data.refuse_target(run, "compression", "train a run without --target")
    ae, dataset = all_examples(run, data_options, as_json)
    X = dataset.train
    with as_flags(("step", "bits", "error")):
        found = compression.compress(ae, X, path, step=step, bits=bits, error=error)
    lossless_bytes = compression.lossless(X)
    if as_json:
        print_json(found.to_dict() | {"lossless_bytes": lossless_bytes})
        return
    print_table(["figure", "value", "unit"], [list(row) for row in found.rows(lossless_bytes)])
    print_line(f"written: {path}, {found.bytes:,} bytes; {command('isthmus', 'decompress', run, path)}")


def decompress(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that isthmus compress wrote.")],
    out: Out = None,
) -> None:
    """Write the examples of a compressed file as .npy, or a table as .csv, in their original order and dtype."""
    from isthmus import compression
    from isthmus.errors import RecordError
    from isthmus.experiments import run_folder

    path = array_path(out, "decompressed.npy", (".npy", ".csv"))
    ae = run_folder.open_run(run)
    shape, dtype, blocks = compression.decompressing(ae, file)
    if path.suffix == ".csv" and len(shape) != 2:
        raise RecordError(
            f"--out {path}: a .csv file requires a table, but these examples have shape {shape[1:]}: "
            "give a name that ends in .npy"
        )
    names = getattr(ae, "_features", [f"column {number}" for number in range(shape[1])])
    write_blocks(path, shape, dtype, blocks, names)
