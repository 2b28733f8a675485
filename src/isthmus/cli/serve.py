"""The verb that serves models over HTTP."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.console import print_line, warnings_as_notes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isthmus.serving.served_model import Entry, ServedModel
    from isthmus.serving.service import Service

__all__ = ["serve"]

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Run folders, exported folders, model files, or folders of such, which are watched. NAME=RUN gives another name.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Requests need a token of this file, which has one in each line."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Serve other machines without tokens: whoever reaches the port may ask.")
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="A name that clients call this server by, besides localhost; with a local --host."
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Append the log to a file; default: standard error. It has a line of JSON per request."
    ),
]
Size = Annotated[str, typer.Option(metavar="SIZE", help="Bytes of a request, also after decompression.")]
Seconds = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="For a request: to be read, and to be answered.")
]
Wait = Annotated[
    float, typer.Option(min=0, max=1000, metavar="MS", help="For which a free model waits for further requests.")
]
_SHOWN_INPUTS, _LONGEST_EXAMPLE = 8, 400


def serve(
    runs: Runs,
    host: Annotated[
        str, typer.Option(help="The address to serve at; others than this machine's own need --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any free one.")] = 8000,
    token_file: TokenFile = None,
    insecure: Insecure = False,
    allow_host: AllowHost = None,
    log: Log = None,
    max_body: Size = "64MiB",
    max_rows: Annotated[int, typer.Option(min=1, help="Rows of a request.")] = 65_536,
    max_in_flight: Annotated[int, typer.Option(min=1, help="Requests at the same time.")] = 512,
    max_queued: Annotated[int, typer.Option(min=1, help="Requests of a model that wait.")] = 256,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections at the same time.")] = 1000,
    timeout: Seconds = 30.0,
    grace: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="For requests in flight when the server is stopped.")
    ] = 30.0,
    max_batch_rows: Annotated[int, typer.Option(min=1, help="Rows that are computed together.")] = 1024,
    batch_wait: Wait = 1.0,
    threads: Annotated[int, typer.Option(min=1, help="Computations of a model at the same time.")] = 1,
) -> None:
    """Serve runs and exported folders over HTTP by the Open Inference Protocol; GET /openapi.json describes all requests."""
    from isthmus.io.memory_limit import parse_size
    from isthmus.serving.settings import Settings

    _check_installed()
    from isthmus.serving.connections import ConnectionLimits
    from isthmus.serving.service import Service
    from isthmus.serving.tokens import is_loopback, read_tokens

    _check_address(host, is_loopback(host), token_file, insecure)
    size = parse_size(max_body)
    settings = Settings(
        max_body_bytes=size,
        max_decompressed_bytes=size,
        max_json_bytes=min(size, Settings.max_json_bytes),
        max_rows=max_rows,
        max_in_flight=max_in_flight,
        max_queued=max_queued,
        request_seconds=timeout,
        batch_wait_ms=batch_wait,
        max_batch_rows=max_batch_rows,
        threads=threads,
    )
    service = Service(
        runs,
        settings,
        ConnectionLimits(max_connections=max_connections, body_seconds=timeout + 5, grace_seconds=grace),
        tokens=None if token_file is None else read_tokens(token_file),
        hosts=[host, *(allow_host or [])] if is_loopback(host) else None,
        log_file=log,
    )
    if not _served(service, host, port, token_file is not None):
        raise SystemExit(1)


def _check_installed() -> None:
    """`NotPossibleError` where a library is not installed that the server needs."""
    from isthmus.errors import NotPossibleError

    try:
        from isthmus.serving import service  # noqa: F401
    except ModuleNotFoundError as error:
        raise NotPossibleError(
            f"a server needs {error.name}, which is not installed: pip install 'isthmus[serve]'"
        ) from None


def _check_address(host: str, loopback: bool, token_file: Path | None, insecure: bool) -> None:
    """`RecordError` where nobody said who may ask."""
    from isthmus.errors import RecordError

    if not loopback and token_file is None and not insecure:
        raise RecordError(
            f"--host {host} serves other machines: give --token-file, or --insecure if all of them may ask"
        )
    if insecure and token_file is not None:
        raise RecordError("--insecure and --token-file: give one of them")


def _served(service: Service, host: str, port: int, needs_token: bool) -> bool:
    """Serves until a signal; whether all requests were answered."""
    from isthmus.explorer import routes
    from isthmus.serving.running import bound_socket

    pages = routes(lambda name: service.repository.get(name).model, service.repository.names)
    with bound_socket(host, port) as bound, warnings_as_notes(service.log.message):
        models = service.repository.load()
        _print_models(models)
        address = partial(_print_address, host, bound.getsockname()[1], models, needs_token)
        return service.run(bound, routes=pages, started=address)


def _print_models(models: Sequence[ServedModel]) -> None:
    """Prints what is served, and what it takes."""
    for model in models:
        print_line(f"{model.name}: version {model.version}, {model.platform}")
        print_line(f"  {', '.join(_address(model, entry) for entry in model.entries)}")
        takes = dict[str, str]()
        for name, entry in model.entries.items():
            takes.setdefault(_named(entry.inputs), name)
        for inputs, name in takes.items():
            print_line(f"  {'codes' if name == 'decode' else 'examples'}: {inputs}")
    if not models:
        print_line("note: there are no models yet: those that appear are served")


def _address(model: ServedModel, entry: str) -> str:
    """The name by which clients ask for an entry."""
    return model.name if entry == "reconstruct" else f"{model.name}.{entry}"


def _named(ports: Sequence[Any]) -> str:
    shown = [f"{port.name} {port.dtype} {('n', *port.shape)}".replace("'", "") for port in ports[:_SHOWN_INPUTS]]
    more = f" and {len(ports) - len(shown)} more" if len(ports) > len(shown) else ""
    return ", ".join(shown).replace(",)", ")") + more


def _print_address(host: str, port: int, models: Sequence[ServedModel], needs_token: bool) -> None:
    """Prints the address, and a command to try it with."""
    from isthmus.text import command

    name = f"[{host}]" if ":" in host else host
    base = f"http://{name}:{port}"
    print_line(f"served at {base}, stopped by Ctrl-C; the address in a browser shows the models")
    token = ["-H", "Authorization: Bearer TOKEN"] if needs_token else []
    words = ["curl", *token, f"{base}/v2"]
    if models:
        model = models[0]
        entry, asked = next(iter(model.entries.items()))
        example = _example(asked)
        address = f"{base}/v2/models/{_address(model, entry)}"
        words = ["curl", *token, address]
        if len(example) <= _LONGEST_EXAMPLE:
            words = ["curl", *token, "-H", "Content-Type: application/json", "-d", example, f"{address}/infer"]
    print_line(f"try: {command(*words)}")


def _example(entry: Entry) -> str:
    """The JSON of a request with one row."""
    import math

    inputs = []
    for port in entry.inputs:
        count = math.prod(port.shape)
        values = (
            [port.labels[0] if port.labels else ""]
            if port.dtype == "string"
            else [False if port.dtype == "bool" else 0] * count
        )
        datatype = {"string": "BYTES", "bool": "BOOL", "float32": "FP32", "float64": "FP64"}.get(
            port.dtype, port.dtype.upper()
        )
        inputs.append({"name": port.name, "shape": [1, *port.shape], "datatype": datatype, "data": values})
    return json.dumps({"inputs": inputs})
