"""The command line. A run is a folder with a trained model; each verb creates a run or uses one.

Modules in reading order:

    console         printed lines, tables, progress, and array files
    signals         SIGTERM, SIGHUP and Ctrl-C
    printing        the tables of an evaluation
    data_options    --data and the reading options
    output_files    the files that a verb writes for the files of a folder
    sound           the summary of sound, and reconstruction of recordings of any length
    data_summary    the summary of a data set and of its pairs
    options         other options and arguments that several verbs share
    together        training in several processes
    run             training of one run, from reading the data to the report
    train           verbs that train one run
    sweep           the verb that trains a run for each value of a parameter
    reproduce       the verb that reproduces the tutorials
    analyze         verbs that evaluate and list
    components      the verb that lists components
    images          reconstruction of images of any size
    bulk            verbs applied to many files, and their options
    transform       verbs that write arrays
    impute          the verb that replaces missing values
    score           the verb that writes scores of examples
    calibration     normal examples for detectors
    follow          anomaly detection in a file that grows
    detection_task  what detection in examples, series and images has in common
    detect_series   anomaly detection in series
    detect_images   anomaly detection in whole images
    detect          anomaly detection
    finetune        classifiers
    compress        compressed files
    export          ONNX files
    card            model cards
    serve           models over HTTP
    explore         the page on which a run is explored
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, NoReturn, ParamSpec

import typer

from isthmus._version import __version__
from isthmus.cli import (
    analyze,
    card,
    components,
    compress,
    detect,
    explore,
    export,
    finetune,
    impute,
    reproduce,
    score,
    serve,
    sweep,
    train,
    transform,
)
from isthmus.cli.console import fail, print_line, warnings_as_notes
from isthmus.cli.signals import termination_as_exception
from isthmus.cli.together import check_verb
from isthmus.io import memory_limit
from isthmus.io.delayed_imports import delay_imports
from isthmus.io.terminal import make_streams_tolerant, output_failure, print_error, print_lines, show_traceback

__all__ = ["app", "main"]

P = ParamSpec("P")

_PLENTY = 2**31  # bytes of addresses with which imports may wait
_LEAST = 2**28  # bytes that are left when all is loaded, for products and figures

app = typer.Typer(
    name="isthmus",
    help="Train and use autoencoders on your own data. `isthmus train` without arguments trains one on MNIST.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Maximum memory for reading files, such as 4GB; default: a limit that depends on the size of each file.",
        ),
    ] = None,
) -> None:
    """Handles the options before the verb."""
    memory_limit.set_memory_limit(max_memory)
    if version:
        print_line(f"isthmus {__version__}")
        raise typer.Exit
    check_verb(context.invoked_subcommand)
    if context.invoked_subcommand is None:
        print_lines(*context.get_help().split("\n"))


VERBS: dict[str, list[Callable[..., None]]] = {
    "Train": [train.train, train.resume, sweep.sweep, reproduce.reproduce],
    "Evaluate": [analyze.evaluate, analyze.robustness, analyze.compare, analyze.plot, card.card],
    "Apply": [
        transform.encode,
        transform.decode,
        transform.reconstruct,
        impute.impute,
        transform.sample,
        score.score,
        detect.detect,
        finetune.finetune,
        compress.compress,
        compress.decompress,
        export.export,
    ],
    "Serve": [serve.serve, explore.explore],
    "List": [analyze.recipes, components.components, analyze.data],
}  # the sections of the help


def _load_all() -> None:
    """Loads what reports and figures need: what fails for lack of memory then fails before a training, and not behind it."""
    import torch  # noqa: F401  # first: it ends a process that has no memory for it

    _check_addresses()
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401

    _check_addresses()
    import sklearn.manifold
    import sklearn.mixture
    import sklearn.tree  # noqa: F401

    _check_addresses()


def _check_addresses() -> None:
    """A `MemoryError` where the library of NumPy's products could end the process for lack of addresses."""
    if memory_limit.address_space() < _LEAST:
        raise MemoryError


def check_units_once(verb: Callable[P, None]) -> Callable[P, None]:
    """The verb, with at most one warning about the units of its data."""

    @wraps(verb)
    def checked(*arguments: P.args, **named: P.kwargs) -> None:
        if verb in (train.train, train.resume):
            if memory_limit.address_space() > _PLENTY:
                delay_imports("scipy.stats", "pandas")  # which scikit-learn imports, until the training is done
            else:
                _load_all()
        from isthmus.estimators.unit_check import check_units_once

        with check_units_once(check_once=False):
            verb(*arguments, **named)

    return checked


for panel, verbs in VERBS.items():
    for verb in verbs:
        # a server runs where only the runtime is installed, and its models warn in each request
        app.command(rich_help_panel=panel)(verb if panel == "Serve" else check_units_once(verb))


def main() -> NoReturn:
    """The entry point. Output that cannot be printed does not stop the work, but the exit code is then 1."""
    make_streams_tolerant()
    code = _run()
    failure = output_failure()
    if failure is not None:
        print_error(f"isthmus: {failure}{'' if code else '; everything else succeeded'}")
    raise SystemExit(code or int(failure is not None))


def _run() -> int:
    """Runs the command and returns its exit code."""
    try:
        _run_verb()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _run_verb() -> None:
    """Runs the command; prints errors that a user can cause as one sentence.

    Raises:
        SystemExit: with 2 for an invalid command or parameter, 1 for other errors of a user, 128 + n after signal n.
    """
    from isthmus.errors import IsthmusError, RecordError

    signals: list[int] = []
    try:
        with termination_as_exception() as signals, warnings_as_notes(print_error):
            code = app(prog_name="isthmus", standalone_mode=False)
        if code == 130:  # the command-line parser catches an interrupt and returns this
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        fail("stopped", 128 + (signals[-1] if signals else signal.SIGINT))
    except Exception as error:
        parser_message = getattr(error, "format_message", None)  # of errors of the command-line parser
        if parser_message or isinstance(error, RecordError):
            fail(f"{parser_message()}{_hint_of_quotes(sys.argv)}" if parser_message else error, 2)
        if memory_limit.lacks_memory(error):
            fail("there is not enough memory: use a smaller model or smaller batches, or give fewer examples", 1)
        if isinstance(error, ModuleNotFoundError) and error.name:  # in the small distribution, or a broken installation
            fail(f"this requires {error.name.partition('.')[0]}, which is not installed: pip install isthmus", 1)
        if isinstance(error, IsthmusError | OSError | ModuleNotFoundError):
            fail(error, 1)
        sys.excepthook = show_traceback
        raise


def _hint_of_quotes(words: list[str]) -> str:
    """A hint if the shell seems to have replaced a pattern of --data by the names of files; else ""."""
    given = next((place + 1 for place, word in enumerate(words) if word in {"--data", "-d"}), len(words))
    files = words[given : given + 2]
    replaced = len(files) == 2 and all(os.path.isfile(file) for file in files)
    return ": put a pattern in quotes, as in --data 'folder/*.parquet'" if replaced else ""
