"""The verb that shows a run in the browser."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.console import print_line
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.options import Run, all_examples
from isthmus.text import printable

if TYPE_CHECKING:
    import socket

    from isthmus.data import Dataset
    from isthmus.serving import ServedModel

__all__ = ["explore"]

_HOST = "127.0.0.1"


@takes_data
def explore(
    run: Run,
    data_options: DataOptions,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="The port of the page; 0 takes a free one.")
    ] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Show a run in the browser: a map of codes, sliders that decode, reconstructions of examples.

    RUN may also be a detector file, or a folder written by export. The examples are those that were held out, or --data. The page is
    served from this machine to this machine alone. Ctrl-C stops it.
    """
    model = _opened(run, data_options)
    from isthmus.serving.running import bound_socket

    with bound_socket(_HOST, port) as bound:
        bound.listen()
        address = f"http://{_HOST}:{bound.getsockname()[1]}/"
        print_line(f"{model.name} is shown at {address} (Ctrl-C stops it)")
        if not no_browser:
            import webbrowser

            webbrowser.open(address)
        _serve(model, bound, given=data_options.source is not None)


def _opened(run: Path, data_options: DataOptions) -> ServedModel:
    """The model, with examples that were held out or are given."""
    from isthmus.errors import NotPossibleError
    from isthmus.runtime.manifest import NAME as MANIFEST

    try:
        from isthmus.serving import running  # noqa: F401
    except ModuleNotFoundError as error:
        raise NotPossibleError(
            f"the page needs {error.name}, which is not installed: pip install 'isthmus[serve]'"
        ) from None
    from isthmus.serving import open_model

    exported = (run / MANIFEST).is_file()
    if exported and data_options.source is not None:
        raise NotPossibleError(f"{run} is an exported folder, which reads no --data: give the run, or leave --data out")
    has_examples = not exported and (run.is_dir() or data_options.source is not None)
    return open_model(run, _name(run), _examples(run, data_options) if has_examples else None)


def _name(run: Path) -> str:
    """The name of a run on the page: that of its folder or file."""
    path = run if run.name not in {"", ".."} else run.resolve()
    return printable(path.stem if path.is_file() else path.name) or "model"


def _examples(run: Path, data_options: DataOptions) -> Any:
    """Reads the examples when the page asks for them, or at once if the user gave them, so that an error is seen."""

    def read() -> Dataset:
        if run.is_dir():
            return all_examples(run, data_options)[1]
        from isthmus.estimators.export.parts import autoencoder_of
        from isthmus.experiments import run_data, run_folder

        ae = autoencoder_of(run_folder.open_estimator(run))  # type: ignore[arg-type]
        return run_data.load_examples(run, data_options.source, ae, parts="train")[1]

    if data_options.source is None:
        return read
    dataset = read()
    return lambda: dataset


def _serve(model: ServedModel, bound: socket.socket, given: bool) -> None:
    """Serves the page until it is stopped. Requests that name another host are refused: pages of other sites must not read it."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    from isthmus.explorer import routes
    from isthmus.serving.tokens import RequireHost

    models = {model.name: model}
    pages = routes(models.__getitem__, lambda: list(models), given=given)
    app = Starlette(routes=pages, middleware=[Middleware(RequireHost)])
    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(settings).run([bound])
