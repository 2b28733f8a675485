"""The command line: verbs over runs. Each says what it wrote; each error is one sentence; nothing heavy loads before it is needed.

Read in this order:

    signals    being asked to stop
    console    sentences, tables, progress, and the arrays that verbs write
    printing   what a trained run shows, as tables
    options    the options and arguments that verbs share
    run        a run from its beginning to its end
    train      verbs that train
    analyze    verbs that show what a run learned, and what there is
    apply      verbs that put a run to use
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, NoReturn, ParamSpec

import typer

from isthmus._version import __version__
from isthmus.cli import analyze, apply, train
from isthmus.cli.console import fail, say, sentences
from isthmus.cli.signals import terminable
from isthmus.io import memory_limit
from isthmus.io.terminal import complain, make_streams_tolerant, put, show_traceback, unprinted

__all__ = ["app", "main"]

P = ParamSpec("P")

app = typer.Typer(
    name="isthmus",
    help="Autoencoders of every kind, on your own data. `isthmus train` alone trains one on MNIST and shows what it learned.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    max_memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="What a file may ask for, such as 4GB; else what is in proportion to it."),
    ] = None,
) -> None:
    """The options that come before a verb."""
    memory_limit.set_memory_limit(max_memory)
    if version:
        say(f"isthmus {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        put(*context.get_help().split("\n"))


VERBS: dict[str, list[Callable[..., None]]] = {
    "Train": [train.train, train.resume, train.sweep, train.reproduce],
    "Look": [analyze.evaluate, analyze.robustness, analyze.compare, analyze.plot, analyze.recipes, analyze.data],
    "Use": [
        apply.encode,
        apply.decode,
        apply.reconstruct,
        apply.impute,
        apply.sample,
        apply.detect,
        apply.finetune,
        apply.compress,
        apply.decompress,
    ],
}


def once_each(verb: Callable[P, None]) -> Callable[P, None]:
    """A verb that doubts the units of what it is given once, however often it looks at that."""

    @wraps(verb)
    def answered(*arguments: P.args, **named: P.kwargs) -> None:
        from isthmus.estimators.unit_check import once

        with once(check_once=False):
            verb(*arguments, **named)

    return answered


for panel, verbs in VERBS.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(once_each(verb))


def main() -> NoReturn:
    """The entry point. What could not be printed stops nothing, and makes the exit code of what else succeeded 1."""
    make_streams_tolerant()
    code = _run()
    missing = unprinted()
    if missing is not None:
        complain(f"isthmus: {missing}{'' if code else '; all else is done'}")
    raise SystemExit(code or int(missing is not None))


def _run() -> int:
    """The exit code of a command: errors that a user can cause become one sentence and 1, or 2 for a mistake in the command."""
    try:
        _answer()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _answer() -> None:
    """Does what the command says; ends with a sentence and an exit code where a user's error prevents it."""
    from isthmus.errors import IsthmusError, RecordError

    heard: list[int] = []
    try:
        with terminable() as heard, sentences(complain):
            code = app(standalone_mode=False)
        if code == 130:  # the parser's answer to an interrupt, which it does not let through
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        fail("stopped", 128 + (heard[-1] if heard else signal.SIGINT))
    except Exception as error:
        said = getattr(error, "format_message", None)  # the parser's own
        if said or isinstance(error, RecordError):
            fail(said() if said else error, 2)
        if _lacks_memory(error):
            fail("there is not enough memory for that; take smaller sizes, or fewer examples at a time", 1)
        if isinstance(error, IsthmusError | OSError | ModuleNotFoundError):
            fail(error, 1)
        sys.excepthook = show_traceback
        raise


def _lacks_memory(error: Exception) -> bool:
    """Whether an error says that there was too little memory, be it for a tensor, for loading PyTorch, or for a thread's stack."""
    said = str(error).lower()
    return isinstance(error, MemoryError | SystemError) or any(words in said for words in _LACKING)


_LACKING = (
    "allocate",
    "bad_alloc",
    "out of memory",
    "failed to map segment",
    "failed to launch worker thread",
    "can't start new thread",
)
