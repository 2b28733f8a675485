"""Connections that no slow client can hold, and their number."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from isthmus.serving.refusing import error_body

__all__ = ["ConnectionLimits", "GuardedProtocol", "allow_open_files"]

_OTHER_FILES = 64  # that a server has open besides its connections


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """The limits of connections.

    Attributes:
        max_connections: at the same time. Above it, an idle one is closed, or the new one gets 503.
        max_header_bytes: of a request.
        header_seconds: for the headers of a request.
        body_seconds: for the body of a request, where nothing answers before.
        write_seconds: in which a client must take a part of an answer.
        keep_alive_seconds: for which a connection may be idle between two requests.
        grace_seconds: for requests in flight when the server is stopped.
    """

    max_connections: int = 1000
    max_header_bytes: int = 16 * 2**10
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    write_seconds: float = 30.0
    keep_alive_seconds: int = 75
    grace_seconds: float = 30.0


def allow_open_files(limits: ConnectionLimits) -> ConnectionLimits:
    """The limits, with fewer connections if the system does not let this process have as many open files. It asks for more where it may.

    Without a free file idle connections could not make room for new ones.

    Args:
        limits: the limits.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit
        return limits
    needed = 2 * limits.max_connections + _OTHER_FILES
    allowed, most = (
        needed if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    if allowed < min(needed, most):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (min(needed, most), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            )
            allowed = min(needed, most)
    fewer = max(1, (allowed - _OTHER_FILES) // 2)
    return replace(limits, max_connections=fewer) if allowed < needed else limits


class _StrictConnection(h11.Connection):
    """Reads requests, and refuses those that h11 takes and a server in the open should not.

    h11 limits only headers that are incomplete, and takes the length of a body from Transfer-Encoding where Content-Length gives another
    one: a proxy that takes the other would see the rest of the body as a request of somebody else.

    Args:
        most: bytes of the headers of a request.
    """

    def __init__(self, most: int) -> None:
        super().__init__(h11.SERVER, most)
        self._most, self.problem = most, "this is no HTTP request, or its headers are too large"

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers) > self._most:
                self._refuse(f"the address and the headers have more than {self._most} bytes: send less")
            if {b"content-length", b"transfer-encoding"} <= names:
                self._refuse("the request has Content-Length and Transfer-Encoding: send one of them")
        return event

    def _refuse(self, problem: str) -> None:
        self.problem = problem
        raise h11.RemoteProtocolError(problem)


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 by uvicorn and h11, with limits. The server calls `check` of each connection about twice a second.

    Args:
        limits: the limits.
        refused: is told the reason each time a connection is refused or cut off: full, headers, body, unread or malformed.
        arguments: of `H11Protocol`.
    """

    def __init__(self, limits: ConnectionLimits, refused: Callable[[str], None], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.conn: _StrictConnection = _StrictConnection(limits.max_header_bytes)
        self._limits, self._tell = limits, refused
        self._incomplete_since: float | None = None  # of the request that is being received
        self._full = False  # whether there are too many connections
        self._unsent, self._unsent_since = 0, 0.0  # bytes, and when there were last more of them

    @property
    def idle(self) -> bool:
        """Whether the connection waits for another request."""
        waits = self.cycle is not None and self.cycle.response_complete and self._incomplete_since is None
        return waits and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._incomplete_since = self.loop.time()
        if len(self.connections) > self._limits.max_connections:
            idle = next(
                (other for other in self.connections if isinstance(other, GuardedProtocol) and other.idle), None
            )
            if idle is not None:
                idle.transport.abort()
            else:
                self._full = True
        if len(self.connections) > 2 * self._limits.max_connections:  # not even a sentence
            self._cut_off("full")

    def data_received(self, data: bytes) -> None:
        if self._full:
            self._answer(503, "there are too many connections: try again later", "full")
            return
        super().data_received(data)
        self._note()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note()  # a part of the next request may have come with the last one

    def _note(self) -> None:
        """Notes since when a request is incomplete."""
        state = self.conn.their_state
        if state is h11.SEND_BODY or (state is h11.IDLE and self.conn.trailing_data[0]):
            self._incomplete_since = self._incomplete_since or self.loop.time()
        else:
            self._incomplete_since = None

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP."""
        self._answer(400, self.conn.problem, "malformed")

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is not done is no event: HTTP/1.1 continues, and the request is logged."""

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent_since = self.loop.time()

    def check(self) -> None:
        """Cuts off a client that is too slow."""
        now, limits = self.loop.time(), self._limits
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._unsent_since = now
        elif now - self._unsent_since > limits.write_seconds:
            self._cut_off("unread")
        self._unsent = unsent
        if self._incomplete_since is None or self.transport.is_closing():
            return
        passed, receives_body = now - self._incomplete_since, self.conn.their_state is h11.SEND_BODY
        if receives_body and passed > limits.header_seconds + limits.body_seconds:
            self._cut_off("body")
        elif not receives_body and passed > (1.0 if self._full else limits.header_seconds):
            if self.conn.trailing_data[0]:
                self._answer(
                    408, f"the headers did not come in {limits.header_seconds:g} seconds: send them at once", "headers"
                )
            else:
                self._cut_off("full" if self._full else "headers")

    def _answer(self, status: int, text: str, reason: str) -> None:
        """A last answer on the connection; none where another one has begun."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self._cut_off(reason)
            return
        body, later = error_body(text), "retry-after: 1\r\n" if status == 503 else ""
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{later}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
        self._tell(reason)

    def _cut_off(self, reason: str) -> None:
        self._tell(reason)
        self.transport.abort()
