"""The routes of the page and of what it asks, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from threading import Lock
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus.errors import DataError, IsthmusError
from isthmus.explorer.explored import Explored
from isthmus.explorer.pages import HEADERS, file_of_page
from isthmus.serving import ServedModel
from isthmus.text import printable

__all__ = ["routes"]

_MOST_BYTES = 32 * 2**20  # of a request
_REPLACED = "the model was replaced by another version after this page was opened: reload the page"
Answer = Callable[[Explored, dict[str, Any]], dict[str, Any]]


def routes(
    get_model: Callable[[str], ServedModel], names: Callable[[], list[str]], *, given: bool = False
) -> list[Route]:
    """The routes of the explorer page: / and /explore/...

    Args:
        get_model: the model of a name; it raises KeyError if there is none.
        names: of the models that can be chosen.
        given: whether the user gave the examples of the models; otherwise they were held out.
    """
    models = _Models(get_model, names, given)

    def listed(_: Request) -> Response:
        return _json({"models": names()})

    def asked(name: str, answer: Answer) -> Route:
        async def respond(request: Request) -> Response:
            try:
                given = await _given(request)
                name, version = request.path_params["name"], given.pop("version", None)
                found = await run_in_threadpool(lambda: answer(models.get(name, version), given))
            except HTTPException as error:
                return _json({"error": error.detail}, error.status_code)
            except IsthmusError as error:
                return _json({"error": str(error)}, 400)
            return _json(found)

        return Route(f"/explore/models/{{name}}/{name}", respond, methods=["POST"])

    return [
        Route("/", file_of_page),
        Route("/explore/page/{file}", file_of_page),
        Route("/explore/models", listed),
        *(asked(name, answer) for name, answer in _ANSWERS.items()),
    ]


class _Models:
    """What is known of each model; a model that was replaced is looked at anew."""

    def __init__(self, get_model: Callable[[str], ServedModel], names: Callable[[], list[str]], given: bool) -> None:
        self._get_model, self._names, self._given, self._lock = get_model, names, given, Lock()
        self._explored: dict[str, Explored] = {}

    def get(self, name: str, version: Any = None) -> Explored:
        """A model; its version is what a page knows, which may be an older one."""
        try:
            model = self._get_model(name)
        except KeyError:
            raise HTTPException(404, f"there is no model {printable(name, 60)!r}: choose another one") from None
        if version is not None and version != model.version:
            raise HTTPException(409, _REPLACED)
        with self._lock:
            for gone in self._explored.keys() - set(self._names()):
                del self._explored[gone]
            if name not in self._explored or self._explored[name].model is not model:
                self._explored[name] = Explored(model, self._given)
            return self._explored[name]


def _option(given: dict[str, Any], name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
    """A field of a request."""
    value = given.get(name, default)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise DataError(f"{name} is {printable(repr(value), 60)}, which has another type than it should: correct it")
    return value


def _analyze(explored: Explored, given: dict[str, Any]) -> dict[str, Any]:
    noise, hidden = _option(given, "noise", (int, float), 0.0), _option(given, "hidden", list, [])
    if not 0 <= noise <= 1 or not all(isinstance(cell, int) for cell in hidden):
        raise DataError("noise is a number from 0 to 1, and hidden a list of whole numbers: correct them")
    return explored.analyze(given.get("example"), given.get("y"), float(noise), hidden)


_ANSWERS: dict[str, Answer] = {
    "state": lambda explored, _: explored.state(),
    "map": lambda explored, given: explored.map(_option(given, "kind", str, "pca")),
    "colors": lambda explored, given: explored.colors(_option(given, "by", str, "score")),
    "held_out": lambda explored, given: explored.held_out(given.get("index")),
    "find": lambda explored, given: explored.find(_option(given, "id", str, "")),
    "dimensions": lambda explored, given: explored.dimensions(given.get("code"), given.get("y")),
    "decode": lambda explored, given: explored.decode(given.get("code"), given.get("y")),
    "analyze": _analyze,
    "row": lambda explored, given: explored.pasted(given.get("text")),
    "walk": lambda explored, given: explored.walk(
        given.get("start"), given.get("end"), _option(given, "steps", int, 9), given.get("y")
    ),
}  # what the page asks of a model, by the end of the address


async def _given(request: Request) -> dict[str, Any]:
    """The JSON object of a request."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the request is no JSON: send Content-Type: application/json")
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > _MOST_BYTES:
            raise HTTPException(413, f"the request has more than {_MOST_BYTES:,} bytes: send less")
    try:
        given = json.loads(body or b"{}", parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the request is damaged JSON: correct it") from None
    if not isinstance(given, dict):
        raise HTTPException(400, "the request is no JSON object: send one")
    return given


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _json(value: Any, status: int = 200) -> Response:
    try:
        content = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:  # JSON has no infinite numbers: they are null
        content = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    return Response(content, status, HEADERS | {"Cache-Control": "no-store"}, "application/json")


def _finite(value: Any) -> Any:
    """JSON values with None for infinite numbers and NaN."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
