"""The verb that writes a run as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.console import counted, print_json, print_line
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.options import Out, Run, all_examples

__all__ = ["export"]

Parts = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="What to export: encoder, decoder, reconstruct, impute, score, detect, as a,b; default: all that RUN has.",
    ),
]


@takes_data
def export(
    run: Run,
    data_options: DataOptions,
    parts: Parts = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Export a run or a detector as ONNX files, which run without PyTorch; compare them with the model on held-out examples.

    RUN may also be a detector file written by detect --save: then the part detect gives scores, p-values and verdicts.
    """
    from isthmus.errors import RecordError
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.export import export as export_files
    from isthmus.estimators.export.folder import check_target, checked_parts
    from isthmus.estimators.export.parts import autoencoder_of
    from isthmus.estimators.outlier_detector import OutlierDetector
    from isthmus.experiments import run_folder

    opened = run_folder.open_estimator(run)
    if not isinstance(opened, Autoencoder | OutlierDetector):
        raise RecordError(
            f"{run} is of the class {type(opened).__name__}, and autoencoders and detectors of examples are exported: give one of them"
        )
    names = None if parts is None else [name.strip() for name in parts.split(",")]
    folder = out or Path("exported")
    check_target(folder)
    checked_parts(names, opened)
    X = y = None
    if run.is_dir() or data_options.data is not None:
        _, dataset = all_examples(run, data_options, quiet=as_json, ae=autoencoder_of(opened))
        X, y = dataset.train, dataset.train_labels
    found = export_files(opened, folder, parts=names, X=X, y=y)
    if as_json:
        print_json(found._asdict() | {"folder": str(found.folder)})
        return
    for name, difference in found.differences.items():
        print_line(f"{name}.onnx: largest relative difference from the model {difference:.2g}")
    invented = "" if X is not None else " (random ones within the range of the training data)"
    print_line(f"compared on {counted(found.n_examples, 'example')}{invented}")
    print_line(
        f"written to {found.folder}: {counted(len(found.differences), 'ONNX file')} and isthmus.json, {found.n_bytes / 1e6:,.2f} MB"
    )
