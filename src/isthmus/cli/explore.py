"""The verb that shows a run in the browser."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.console import print_line
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.options import Run, all_examples

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.serving import ServedModel

__all__ = ["explore"]

_HOST = "127.0.0.1"
_NAMES = [_HOST, "localhost"]


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
    listening = _listening(port)
    address = f"http://{_HOST}:{listening.getsockname()[1]}/"
    print_line(f"{model.name} is shown at {address} (Ctrl-C stops)")
    if not no_browser:
        import webbrowser

        webbrowser.open(address)
    _serve(model, listening, given=data_options.source is not None)


def _opened(run: Path, data_options: DataOptions) -> ServedModel:
    """The model, with examples that were held out or are given."""
    from isthmus.errors import NotPossibleError
    from isthmus.runtime.manifest import NAME as MANIFEST

    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise NotPossibleError(
            f"the page needs {error.name}, which is not installed: pip install 'isthmus[serve]'"
        ) from None
    from isthmus.serving import open_model

    exported = (run / MANIFEST).is_file()
    if exported and data_options.source is not None:
        raise NotPossibleError(f"{run} is an exported folder, which reads no --data: give the run, or leave --data out")
    has_examples = not exported and (run.is_dir() or data_options.source is not None)
    return open_model(run, run.resolve().stem or "model", _examples(run, data_options) if has_examples else None)


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


def _listening(port: int) -> socket.socket:
    """A socket of this machine that listens.

    Raises:
        RecordError: the port is taken.
    """
    from isthmus.errors import RecordError

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise RecordError(
            f"--port {port} cannot be used ({error.strerror}): give another one, or 0 for a free one"
        ) from None
    return listening


def _serve(model: ServedModel, listening: socket.socket, given: bool) -> None:
    """Serves the page until it is stopped. Requests that name another host are refused: pages of other sites must not read it."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from isthmus.explorer import routes

    models = {model.name: model}
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=_NAMES, www_redirect=False)
    app = Starlette(routes=routes(models.__getitem__, lambda: list(models), given=given), middleware=[guard])
    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(settings).run([listening])
