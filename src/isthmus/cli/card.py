"""The verb that writes a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.console import print_json, print_line, print_notes
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.options import Json, Run

__all__ = ["card"]


@takes_data
def card(
    run: Run,
    data_options: DataOptions,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE.md|FOLDER",
            help="A file that ends in .md; or a new folder, which also gets the model file, run.json and ONNX files. "
            "Default: README.md in the run folder.",
        ),
    ] = None,
    license: Annotated[  # noqa: A002 (the name of the option)
        str | None,
        typer.Option(metavar="NAME", help="The license of the model as the hub names it, such as apache-2.0."),
    ] = None,
    no_export: Annotated[bool, typer.Option("--no-export", help="Write no ONNX files into the folder.")] = False,
    as_json: Json = False,
) -> None:
    """Write a model card of a run: what it is, its data, its figures beside those of baselines, and its limits.

    The card has the metadata header of the Hugging Face hub. What is not known is said to be not recorded.
    """
    from isthmus.experiments import card as cards
    from isthmus.experiments.card.facts import UNKNOWN
    from isthmus.experiments.card.writing import CARD, check_new

    target = out if out is not None else run / CARD if run.is_dir() else run.with_suffix(".md")
    alone = target.suffix.lower() == ".md"
    check_new(target)
    facts = cards.gather(run, data_options.source, license=license)
    written = cards.write_card(facts, target) if alone else cards.write_folder(facts, target, onnx=not no_export)
    notes = [*facts.notes]
    notes += [f"the card has no figures: {facts.missing}"] if facts.missing else []
    notes += [f"there are no ONNX files: {written.without_onnx}"] if written.without_onnx else []
    notes += ["the license of the model is not recorded: state it with --license"] if license is None else []
    if as_json:
        print_json({"path": str(written.path), "files": list(written.files), "notes": notes})
        return
    print_notes(notes)
    print_line(f"written to {written.path}" + ("" if alone else f": {', '.join(written.files)}"))
    print_line(f"complete it by hand: intended use, and everything that is {UNKNOWN}")
