"""The verb that reproduces the tutorials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.console import print_json, print_line, print_table, progress
from isthmus.cli.options import FIELDS, Json, Out
from isthmus.cli.signals import resumed_by_same_command

__all__ = ["reproduce"]


def reproduce(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[ID] [FIELD=VALUE]...", help=f"The id of a tutorial, then {FIELDS}.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Reproduce every tutorial. Runs that exist in --out are not trained again.")
    ] = False,
    random_state: Annotated[
        str | None,
        typer.Option(
            metavar="S1,S2,...",
            help="Random states: train with each; print mean, SD, and whether the published value is in the 95 % prediction interval.",
        ),
    ] = None,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """Train the systems of a tutorial as published; print published and measured values. Without an id, list the tutorials."""
    from isthmus.experiments import reproduction, reproduction_table, tutorials
    from isthmus.io.atomic import replace_file

    words = settings or []
    if not words and not everything:
        print_table(["id", "title", "source"], [[t.id, t.title, t.source] for t in tutorials.TUTORIALS])
        return
    chosen = list(tutorials.TUTORIALS) if everything else [tutorials.find(words.pop(0))]
    words, states = _random_states(random_state, words)
    target = out or Path("runs") / "reproduction"
    with resumed_by_same_command(f"the runs are in {target}"):
        rows = [
            reproduction_table.Row(tutorial, system, runs)
            for tutorial in chosen
            for system, runs in zip(
                tutorial.systems,
                reproduction.completed(tutorial, target, words, states, progress(as_json)),
                strict=True,
            )
        ]
    if as_json:
        print_json([row.to_dict() for row in rows])
        return
    print_table(list(reproduction_table.HEADER), reproduction_table.table(rows))
    for sentence in reproduction_table.sentences(rows):
        print_line(sentence)
    if everything:
        replace_file(target / "table.md", reproduction_table.markdown(rows).encode())
    print_line(f"written to {target}: a folder for each run, with model, figures and result.json")
    for row in rows:
        if not row.system.savable:
            print_line(f"{row.name} has no model file: its bottleneck is not part of isthmus")


def _random_states(option: str | None, words: list[str]) -> tuple[list[str], list[int]]:
    """The words without ``random_state=``, and the random states of it or of the option; the default is one."""
    from isthmus.errors import RecordError
    from isthmus.experiments.reproduction import DEFAULT_STATE

    states = [word.partition("=") for word in words if word.partition("=")[0].strip() == "random_state"]
    given = [text for _, _, text in states] + ([] if option is None else [option])
    if len(given) > 1:
        raise RecordError("the random states are given twice: give only --random-state, such as --random-state 0,1,2")
    parts = [part.strip() for part in given[0].split(",")] if given else [str(DEFAULT_STATE)]
    if not all(part.isdecimal() and len(part) <= 10 and int(part) < 2**32 for part in parts) or len(
        set(map(int, parts))
    ) < len(parts):
        raise RecordError(
            f"invalid --random-state {given[0]!r}: expected different whole numbers from 0 to {2**32 - 1}, such as 0,1,2"
        )
    return [word for word in words if word.partition("=")[0].strip() != "random_state"], [int(part) for part in parts]
