"""The command line: verbs over runs. Each says what it wrote; each error is one sentence; nothing heavy loads before it is needed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from isthmus import __version__
from isthmus.console import array_path, counted, fail, first_line, say, table, watcher, write_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.estimator import Autoencoder
    from isthmus.runs import Origin

__all__ = ["app", "main"]

app = typer.Typer(
    name="isthmus",
    help="Autoencoders of every kind, on your own data. `isthmus train` alone trains one on MNIST and shows what it learned.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

FIELDS = "field=value: any field of any record, such as epochs=30, bottleneck.beta=4, architecture.hidden=256,64, architecture=Conv"
Settings = Annotated[
    list[str] | None, typer.Argument(metavar="[RECIPE] [FIELD=VALUE]...", help=f"A recipe's name, then {FIELDS}.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or a model file.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        help="mnist, fashion_mnist, digits, or a path: .npy .npz .idx .csv .parquet or a folder of images.",
    ),
]
Labels = Annotated[str | None, typer.Option(help="The column of a table that holds the labels.")]
Resize = Annotated[str | None, typer.Option(metavar="HxW", help="Bring the pictures of a folder to one size.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write.")]
Every = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="STEPS",
        help="Write a checkpoint each so many steps; else at the end of an epoch, when the last is ten seconds old.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print plain JSON.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """The options that come before a verb."""
    if version:
        say(f"isthmus {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())


@app.command()
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
) -> None:
    """Train an autoencoder; write the model, its figures, pictures and a report."""
    from isthmus import recipes as recipes_module
    from isthmus import runs
    from isthmus.overrides import overridden
    from isthmus.runner import Training, trained

    words = settings or []
    recipe = words.pop(0) if words and "=" not in words[0] else "deep"
    ae = overridden(recipes_module.find(recipe).set_params(random_state=0), words)
    origin = runs.Origin(data or "mnist", labels, _size(resize))
    dataset = origin.read()
    folder = runs.free_folder(f"{recipe}-{dataset.name}", out)
    for note in dataset.notes:
        say(f"note: {note}")
    say(f"{recipe} on {dataset.summary()}")
    about = runs.About(recipe, " ".join(["isthmus", *sys.argv[1:]]), tensorboard, checkpoint_every)
    trained(Training(folder, ae, origin, dataset, about), begun=False)


@app.command()
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

    ae, origin, about = runs.interrupted(run, _origin(data, labels, resize))
    if checkpoint_every is not None:
        about = replace(about, checkpoint_every=checkpoint_every)
    say(f"{about.recipe} goes on after {counted(len(ae.history_), 'epoch')}")
    trained(Training(run, ae, origin, runs.read_again(run, origin), about), begun=True)


@app.command()
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
        print(json.dumps(rows, indent=2))
        return
    header, *body = reproduction.table(rows)
    table(header, body)
    if everything:
        (target / "table.md").write_text(reproduction.markdown(rows), encoding="utf-8")
    say(f"written to {target}: a folder for each, with model, pictures and result.json")


@app.command()
def evaluate(run: Run, data: Data = None, labels: Labels = None, resize: Resize = None, as_json: Json = False) -> None:
    """Figures on held-out examples: errors, nats, and PCA of equal width beside them."""
    from isthmus import runs
    from isthmus.runner import evaluated

    ae, dataset = runs.examples_of(run, _origin(data, labels, resize))
    part = runs.split(dataset)
    if as_json:
        from isthmus.evaluation import evaluate as figures

        print(json.dumps(figures(ae, part.test, part.train).as_dict(), indent=2))
        return
    evaluated(ae, part, dataset.name)


@app.command()
def encode(run: Run, data: Data = None, out: Out = None, labels: Labels = None, resize: Resize = None) -> None:
    """The codes of examples, as .npy: all of --data, or the run's held-out ones."""
    path = array_path(out, "codes.npy")
    ae, X = _all_examples(run, data, labels, resize)
    write_array(path, ae.encode(X))


@app.command()
def reconstruct(run: Run, data: Data = None, out: Out = None, labels: Labels = None, resize: Resize = None) -> None:
    """Examples through the autoencoder and back, as .npy, in the units of the data; restores what a denoising one was trained to."""
    path = array_path(out, "reconstructions.npy")
    ae, X = _all_examples(run, data, labels, resize)
    write_array(path, ae.reconstruct(X))


@app.command()
def decode(run: Run, codes: Annotated[Path, typer.Argument(help="Codes as .npy, (n, k).")], out: Out = None) -> None:
    """Examples from codes, as .npy."""
    from isthmus import runs
    from isthmus.data import read

    path = array_path(out, "decoded.npy")
    ae = runs.open_run(run)
    write_array(path, ae.decode(read(codes).train))


@app.command()
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


@app.command()
def plot(
    run: Run,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND]... [NAME=VALUE]...", help="latent, tsne, ...; and arguments: levels=0.5,0.8"),
    ] = None,
    data: Data = None,
    labels: Labels = None,
    resize: Resize = None,
    out: Out = None,
) -> None:
    """Draw pictures of a run; without a kind, list them."""
    from isthmus import plots, runs
    from isthmus.errors import RecordError

    if out is not None and out.suffix.lower() == ".png":
        raise RecordError(f"--out {out}: pictures go into a folder, one file for each kind; give the folder's name")
    kinds = [word for word in settings or [] if "=" not in word]
    if not kinds:
        table(["kind", "what it shows"], [[kind, first_line(getattr(plots, kind))] for kind in plots.__all__])
        return
    choices = runs.picture_choices(kinds, [word for word in settings or [] if "=" in word])
    ae, dataset = runs.examples_of(run, _origin(data, labels, resize))
    part = runs.split(dataset)
    folder = out or (run if run.is_dir() else run.parent) / "pictures"
    try:
        drawn = runs.draw(folder, ae, kinds, part, choices, strict=True)
    except TypeError as error:
        raise RecordError(f"{' '.join(settings or [])} cannot be drawn: {error}") from None
    for _, path, _ in drawn:
        say(f"written: {path}")


@app.command()
def recipes() -> None:
    """List the recipes, one line each."""
    from isthmus import recipes as module

    table(["recipe", "what it is"], [[name, first_line(getattr(module, name))] for name in module.__all__])


@app.command()
def data() -> None:
    """List the data sets that come with isthmus, and the kinds of files it reads."""
    from isthmus import data as module
    from isthmus.errors import IsthmusError

    rows = []
    for name in module.names():
        try:
            rows.append([name, module.load(name).summary().partition(": ")[2]])
        except IsthmusError as error:
            rows.append([name, str(error)])
    table(["data", "what it is"], rows)
    say("or a path: .npy, .npz, .idx, .idx.gz, .csv, .parquet, or a folder of images (sub-folders are labels)")


def main() -> NoReturn:
    """The entry point: errors that a user can cause become one sentence and exit code 1, or 2 for a mistake in the command."""
    from isthmus.errors import IsthmusError, RecordError

    try:
        app(standalone_mode=False)
    except KeyboardInterrupt:
        fail("stopped", 130)
    except Exception as error:
        said = getattr(error, "format_message", None)  # the parser's own
        kind = type(error).__name__
        if said or isinstance(error, RecordError) or kind == "InvalidParameterError":  # scikit-learn's, about a field
            fail(said() if said else error, 2)
        if isinstance(error, MemoryError) or "allocate" in str(error) or "out of memory" in str(error).lower():
            fail("there is not enough memory for that; take smaller sizes, or fewer examples at a time", 1)
        if isinstance(error, IsthmusError | OSError | ModuleNotFoundError):
            fail(error, 1)
        raise
    raise SystemExit(0)


def _origin(data: str | None, labels: str | None, resize: str | None) -> Origin | None:
    """The data that --data names, if it names any."""
    from isthmus import runs
    from isthmus.errors import RecordError

    if data is not None:
        return runs.Origin(data, labels, _size(resize))
    if labels is not None or resize is not None:
        raise RecordError("--labels and --resize say how to read --data; name the data too")
    return None


def _all_examples(
    run: Path, data: str | None, labels: str | None, resize: str | None
) -> tuple[Autoencoder, NDArray[Any]]:
    """A run with all examples of --data, or the ones that it held out itself."""
    from isthmus import runs

    ae, dataset = runs.examples_of(run, _origin(data, labels, resize))
    return ae, runs.split(dataset).test if data is None else dataset.train


def _size(text: str | None) -> tuple[int, int] | None:
    from isthmus.errors import RecordError

    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise RecordError(f"--resize {text!r} is no size; write for example 64x64")
    return int(height), int(width)
