"""Verbs that train: each leaves the folder of a run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli.options import FIELDS, Data, Every, Json, Labels, Out, Resize, Settings, origin_of, size_of
from isthmus.console import counted, say, say_json, table, watcher

__all__ = ["reproduce", "resume", "train"]


def train(
    settings: Settings = None,
    data: Data = "mnist",
    labels: Labels = None,
    resize: Resize = None,
    out: Out = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files, scalars and pictures, too.")
    ] = False,
    checkpoint_every: Every = None,
    layerwise: Annotated[
        bool, typer.Option("--layerwise", help="Train each layer and its mirror image alone first, then the whole.")
    ] = False,
) -> None:
    """Train an autoencoder; write the model, its figures, pictures and a report."""
    from isthmus import recipes as recipes_module
    from isthmus import runs
    from isthmus.overrides import overridden
    from isthmus.runner import Training, trained

    words = settings or []
    recipe = words.pop(0) if words and "=" not in words[0] else "deep"
    ae = overridden(recipes_module.find(recipe).set_params(random_state=0), words)
    origin = runs.Origin(data or "mnist", labels, size_of(resize))
    dataset = origin.read()
    folder = runs.free_folder(f"{recipe}-{dataset.name}", out)
    for note in dataset.notes:
        say(f"note: {note}")
    say(f"{recipe} on {dataset.summary()}")
    about = runs.About(recipe, " ".join(["isthmus", *sys.argv[1:]]), tensorboard, checkpoint_every)
    trained(Training(folder, ae, origin, dataset, about, layerwise), begun=False)


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run that was cut off.")],
    data: Data = None,
    labels: Labels = None,
    resize: Resize = None,
    checkpoint_every: Every = None,
) -> None:
    """Go on with a training that was stopped or killed, from its last checkpoint, as if nothing had been."""
    from isthmus import runs
    from isthmus.runner import Training, trained

    ae, origin, about = runs.interrupted(run, origin_of(data, labels, resize))
    if checkpoint_every is not None:
        about = replace(about, checkpoint_every=checkpoint_every)
    say(f"{about.recipe} goes on after {counted(len(ae.history_), 'epoch')}")
    trained(Training(run, ae, origin, runs.read_again(run, origin), about), begun=True)


def reproduce(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[ID] [FIELD=VALUE]...", help=f"A tutorial's id, then {FIELDS}.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every tutorial, one after the other; what is in --out already is kept.")
    ] = False,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """Train a tutorial's systems exactly as it does; print the published figures beside ours. Without an id, list them."""
    from isthmus import reproduction, tutorials

    words = settings or []
    if not words and not everything:
        table(["id", "what it is", "from"], [[t.id, t.title, t.source] for t in tutorials.TUTORIALS])
        return
    chosen = list(tutorials.TUTORIALS) if everything else [tutorials.find(words.pop(0))]
    target = out or Path("runs") / "reproduction"
    rows: list[dict[str, Any]] = []
    for tutorial in chosen:
        kept = reproduction.kept(tutorial, target, words)
        if kept is None:
            results = reproduction.reproduce(tutorial, words, watcher(as_json), target)
            kept = [reproduction.keep(result, target, words) for result in results]
        rows += kept
    if as_json:
        say_json(rows)
        return
    header, *body = reproduction.table(rows)
    table(header, body)
    if everything:
        (target / "table.md").write_text(reproduction.markdown(rows), encoding="utf-8")
    say(f"written to {target}: a folder for each, with model, pictures and result.json")
