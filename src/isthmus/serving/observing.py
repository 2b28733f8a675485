"""What there is to tell of each request, for metrics and log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CLIENT_CLOSED", "Exchange", "Observed"]

CLIENT_CLOSED = 499  # the status of a request whose client went away before the answer


class Exchange(NamedTuple):
    """A request and its answer.

    Attributes:
        began: seconds since 1970.
        method, path: of the request, without its query.
        client: its address.
        model, entry: that answered; "" for other requests.
        rows: of the request; None for other requests.
        batch_rows: that were computed together, of this and other requests; None for other requests.
        status: of the answer.
        bytes_in, bytes_out: of the bodies.
        seconds: from the end of the request's headers to the end of the answer.
    """

    began: float
    method: str
    path: str
    client: str
    model: str
    entry: str
    rows: int | None
    batch_rows: int | None
    status: int
    bytes_in: int
    bytes_out: int
    seconds: float


class Observed:
    """An application whose requests are counted and told.

    Args:
        app: the application.
        observers: are told of each request when it has ended.
    """

    def __init__(self, app: ASGIApp, *observers: Callable[[Exchange], None]) -> None:
        self._app, self._observers = app, observers
        self.in_flight = 0  # requests that have begun and not ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, start, status, bytes_in, bytes_out = time.time(), time.perf_counter(), CLIENT_CLOSED, 0, 0
        answers, gone = False, False  # whether an answer has begun, and whether the client went away before

        async def counted_receive() -> Message:
            nonlocal bytes_in, gone
            message = await receive()
            bytes_in += len(message.get("body", b""))
            gone |= message["type"] == "http.disconnect" and not answers
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status, bytes_out, answers
            answers = True
            if not gone:  # else nobody gets it
                status = message.get("status", status)
                bytes_out += len(message.get("body", b""))
            await send(message)

        self.in_flight += 1
        try:
            await self._app(scope, counted_receive, counted_send)
        except Exception:
            status = 500
            raise
        finally:
            self.in_flight -= 1
            known = scope.get("isthmus", {})
            client = scope.get("client") or ("",)
            exchange = Exchange(
                began=began,
                method=scope["method"],
                path=scope["path"],
                client=client[0],
                model=known.get("model", ""),
                entry=known.get("entry", ""),
                rows=known.get("rows"),
                batch_rows=known.get("batch_rows"),
                status=status,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                seconds=time.perf_counter() - start,
            )
            for observer in self._observers:
                observer(exchange)
