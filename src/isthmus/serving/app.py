"""The application that answers HTTP requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from isthmus._version import __version__
from isthmus.errors import DataError
from isthmus.serving.batching import BusyError
from isthmus.serving.bodies import (
    HeldBytes,
    LargeResponse,
    accepted_encoding,
    compressed,
    decompressed,
    header_length,
    read_body,
    require_media_type,
)
from isthmus.serving.entry_points import EntryPoint, Repository, entry_points, find
from isthmus.serving.openapi import openapi
from isthmus.serving.protocol import InferenceRequest, model_metadata, read_request, write_response
from isthmus.serving.request_error import RequestError
from isthmus.serving.settings import Settings
from isthmus.text import quoted

__all__ = ["make_app"]

Array = NDArray[Any]
T = TypeVar("T")
_LARGE = 2**16  # bytes whose reading, writing or compression is done in a thread
_COMPRESSED = 1024  # bytes of an answer that are worth compression
_LATER = {"Retry-After": "1"}


def make_app(
    repository: Repository,
    settings: Settings,
    *,
    routes: Sequence[BaseRoute] = (),
    middleware: Sequence[Middleware] = (),
    tokens: bool = False,
) -> Starlette:
    """The application of a server.

    After an inference request, `scope["isthmus"]` is a dictionary of what is known of it: "model" and "entry", which exist, "rows", and
    "batch_rows", which were computed together.

    Args:
        repository: the models.
        settings: the limits.
        routes: of other pages.
        middleware: around all routes, the outermost first.
        tokens: whether a middleware asks for a token, which the OpenAPI document then says.
    """
    server = _Server(repository, settings, tokens)
    model = "/v2/models/{name}"
    own = [
        Route("/v2/health/live", server.live),
        Route("/v2/health/ready", server.ready),
        Route("/v2", server.metadata),
        Route("/v2/repository/index", server.index, methods=["POST"]),
        Route("/openapi.json", server.openapi),
        *(
            route
            for prefix in (model, f"{model}/versions/{{version}}")
            for route in (
                Route(prefix, server.model_metadata),
                Route(f"{prefix}/ready", server.model_ready),
                Route(f"{prefix}/infer", server.infer, methods=["POST"]),
            )
        ),
    ]
    handlers: dict[Any, Any] = {
        RequestError: _refused,
        HTTPException: _http_error,
        ClientDisconnect: _gone,
        Exception: _failed,
    }
    app = Starlette(routes=[*own, *routes], middleware=middleware, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


class _Server:
    """The endpoints of the protocol."""

    def __init__(self, repository: Repository, settings: Settings, tokens: bool) -> None:
        self._repository, self._settings, self._tokens = repository, settings, tokens
        self._held, self._in_flight = HeldBytes(max(settings.max_held_bytes, 4 * settings.max_body_bytes)), 0
        self._threads = ThreadPoolExecutor(2, "isthmus-bodies")
        self._described: tuple[list[Any], bytes] = [], b""  # what the OpenAPI document was made from, and the document
        self._describing = asyncio.Lock()

    async def live(self, request: Request) -> Response:
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        ready = self._repository.ready()
        return _json({"ready": ready}, 200 if ready else 503)

    async def metadata(self, request: Request) -> Response:
        return _json({"name": "isthmus", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def index(self, request: Request) -> Response:
        """All models."""
        state = "READY" if self._repository.ready() else "UNAVAILABLE"
        states = [
            {"name": each.name, "version": each.model.version, "state": state, "reason": ""}
            for each in entry_points(self._repository)
        ]
        return await self._encoded(request, json.dumps(states).encode())

    async def openapi(self, request: Request) -> Response:
        """The document of all models, which is made once for the same models: of hundreds it takes seconds."""
        called = entry_points(self._repository)
        models = [(each.name, each.model.name, each.model.version, each.model.entries[each.entry]) for each in called]
        async with self._describing:
            if not self._described[1] or self._described[0] != models:
                self._described = models, await self._work(_LARGE + 1, self._document, called)
            document = self._described[1]
        return await self._encoded(request, document)

    def _document(self, called: Sequence[EntryPoint]) -> bytes:
        return json.dumps(openapi(called, self._settings, self._tokens)).encode()

    async def model_metadata(self, request: Request) -> Response:
        return await self._encoded(request, json.dumps(model_metadata(self._called(request))).encode())

    async def model_ready(self, request: Request) -> Response:
        called, ready = self._called(request), self._repository.ready()
        return _json({"name": called.name, "ready": ready}, 200 if ready else 503)

    async def infer(self, request: Request) -> Response:
        called = self._called(request)
        known = request.scope["isthmus"] = {"model": called.model.name, "entry": called.entry}
        json_bytes = header_length(request)
        require_media_type(request, json_bytes is not None)
        with self._counted(), called.batcher.in_use(), self._held.hold() as take:
            body = await read_body(request, self._settings, take)
            try:
                async with asyncio.timeout(self._settings.request_seconds):
                    asked = await self._read(request, body, json_bytes, called)
                    known["rows"] = asked.rows
                    take(sum(each.nbytes for each in asked.inputs.values()))
                    values = await self._computed(request, called, asked)
                    take(size := sum(each.nbytes for each in values))
                    content, length = await self._work(size, write_response, asked, called, values)
                    return await self._encoded(request, content, length)
            except TimeoutError:
                raise RequestError(
                    504,
                    f"the answer took more than {self._settings.request_seconds:g} seconds: send fewer rows, or try later",
                ) from None
            except MemoryError:
                raise RequestError(
                    503, "there is too little memory for this request: send fewer rows", _LATER
                ) from None

    def _called(self, request: Request) -> EntryPoint:
        return find(self._repository, request.path_params["name"], request.path_params.get("version"))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts a request in flight."""
        if self._in_flight >= self._settings.max_in_flight:
            raise _busy()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _read(
        self, request: Request, body: bytes, json_bytes: int | None, called: EntryPoint
    ) -> InferenceRequest:
        encoding, most = request.headers.get("content-encoding", ""), self._settings.max_decompressed_bytes

        def read() -> InferenceRequest:
            return read_request(decompressed(body, encoding, most), json_bytes, called, self._settings)

        return await self._work(_LARGE + 1 if encoding else len(body), read)

    async def _computed(self, request: Request, called: EntryPoint, asked: InferenceRequest) -> list[Array]:
        """The outputs; a client that goes away gives its place in the queue to others."""
        deadline = asyncio.get_running_loop().time() + self._settings.request_seconds
        work = asyncio.ensure_future(
            called.batcher.submit(called.entry, asked.inputs, deadline, request.scope["isthmus"])
        )
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return work.result()
        except DataError as error:
            raise RequestError(400, str(error)) from None
        except BusyError:
            raise _busy() from None
        finally:
            work.cancel()
            gone.cancel()

    async def _encoded(self, request: Request, body: bytes, json_bytes: int | None = None) -> Response:
        """An answer, compressed if the client wants it and it is worth it."""
        headers = {"Vary": "Accept-Encoding"}
        if json_bytes is not None:
            headers["Inference-Header-Content-Length"] = str(json_bytes)
        encoding = accepted_encoding(request.headers.get("accept-encoding", ""))
        if encoding and len(body) >= _COMPRESSED:
            body = await self._work(len(body), compressed, body, encoding)
            headers["Content-Encoding"] = encoding
        kind = "application/json" if json_bytes is None else "application/octet-stream"
        if len(body) > _LARGE:
            return LargeResponse(body, headers, kind, self._held, self._settings.request_seconds)
        return Response(body, headers=headers, media_type=kind)

    async def _work(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """What a function returns, which runs in a thread if there is much to do."""
        if size <= _LARGE:
            return function(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


async def _disconnected(request: Request) -> None:
    """Returns when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _busy() -> RequestError:
    return RequestError(503, "there are too many requests: try again later", _LATER)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(value), status, headers, "application/json")


async def _refused(_: Request, error: RequestError) -> Response:
    return _json({"error": error.message}, error.status, error.headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """What is unknown, or has another method."""
    path, headers = quoted(request.url.path, 100), dict(error.headers or {})
    message = str(error.detail)
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))  # Starlette's order is that of a set
        message = f"{path} has no method {quoted(request.method, 20)}: use {headers['Allow']}"
    elif error.status_code == 404:
        message = f"there is no {path}: see /openapi.json"
    return _json({"error": message}, error.status_code, headers)


async def _gone(_: Request, __: ClientDisconnect) -> Response:
    return _json({"error": "the client went away"}, 400)


async def _failed(_: Request, __: Exception) -> Response:
    return _json({"error": "the server has failed: its log says why"}, 500)
