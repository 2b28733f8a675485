"""A server that runs until it is told to end, and then ends with the requests in flight."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import os
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from isthmus.errors import DataError
from isthmus.serving.access_log import AccessLog
from isthmus.serving.connections import ConnectionLimits, GuardedProtocol
from isthmus.serving.refusing import refuse
from isthmus.serving.repository import WatchedRepository
from isthmus.serving.tokens import OPEN_PATHS
from isthmus.text import printable

__all__ = ["DrainingServer", "RefuseWhenDraining", "bound_socket", "library_messages_to"]

_MARGIN = 3.0  # seconds after the grace, in which the process ends whatever still computes


class RefuseWhenDraining:
    """An application that takes no new requests while the server ends. The paths of health are answered.

    Args:
        app: the application.
        ready: whether requests are taken.
    """

    def __init__(self, app: ASGIApp, ready: Callable[[], bool]) -> None:
        self._app, self._ready = app, ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._ready() or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
        else:
            await refuse(
                send, 503, "the server is being stopped: try again", ("retry-after", "1"), ("connection", "close")
            )


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket of an address, which nobody can connect to yet.

    Args:
        host: a name or an address.
        port: 0 for a free one.

    Raises:
        DataError: the port is taken or not allowed, or the host is not an address of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise DataError(f"--host {printable(host)}: there is no such address: give one of this machine") from None
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host in {"::", "*"}:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _no_address(error, host, port) from None
    return bound


def _no_address(error: OSError, host: str, port: int) -> DataError:
    """Why an address cannot be served at."""
    if isinstance(error, PermissionError):
        return DataError(f"--port {port}: it is not allowed to this user: give a port of at least 1024")
    if error.errno == errno.EADDRINUSE:
        return DataError(f"port {port} is taken: stop the program that has it, or give another --port")
    return DataError(f"--host {printable(host)}: {error.strerror}: give an address of this machine")


class DrainingServer(uvicorn.Server):
    """Serves until SIGTERM or SIGINT. Then it is not ready, refuses new requests, and waits for those in flight.

    Args:
        app: the application.
        repository: its models, opened.
        limits: of connections.
        in_flight: the number of requests that have begun and not ended.
        refused: is told why a connection is refused.
        started: is called when connections are taken.

    Attributes:
        cut_off: whether requests were not answered because the grace had passed.
    """

    def __init__(
        self,
        app: ASGIApp,
        repository: WatchedRepository,
        limits: ConnectionLimits,
        *,
        in_flight: Callable[[], int],
        refused: Callable[[str], None],
        started: Callable[[], None],
    ) -> None:
        config = uvicorn.Config(
            app,
            http=partial(GuardedProtocol, limits, refused),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=limits.max_header_bytes,
            timeout_keep_alive=limits.keep_alive_seconds,
            backlog=1024,
        )
        super().__init__(config)
        self._repository, self._limits, self._in_flight, self.cut_off = repository, limits, in_flight, False
        self._until, self._started = math.inf, started
        self._watchdog = threading.Timer(limits.grace_seconds + _MARGIN, os._exit, [1])
        self._watchdog.daemon = True

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves; then the models are closed, and nothing computes any longer."""
        asyncio.run(self._run(sockets))
        if not self.cut_off:
            self._watchdog.cancel()

    async def _run(self, sockets: list[socket.socket] | None) -> None:
        await self._repository.start()
        try:
            await self.serve(sockets)
        finally:
            self._repository.drain()
        try:
            await asyncio.wait_for(self._repository.close(), self.seconds_left())
        except TimeoutError:
            self.cut_off |= not self._repository.answered

    def seconds_left(self) -> float:
        """Of the grace."""
        return max(0.1, self._until - asyncio.get_running_loop().time())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the server; the second one does not wait for requests."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:  # another program had bound the port before it was listened at
            if not sockets:
                raise
            raise _no_address(error, *sockets[0].getsockname()[:2]) from None
        self._started()

    async def on_tick(self, counter: int) -> bool:
        if counter % 5 == 0:  # of a tenth of a second
            self._check()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._until = loop.time() + self._limits.grace_seconds
        self._watchdog.start()
        self._repository.drain()
        rounds = 0
        while self._in_flight() and loop.time() < self._until:
            await asyncio.sleep(0.02)
            rounds += 1
            if rounds % 25 == 0:
                self._check()
        self.cut_off = self._in_flight() > 0
        self.config.timeout_graceful_shutdown = math.ceil(self.seconds_left())
        await super().shutdown(sockets)

    def _check(self) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, GuardedProtocol):
                connection.check()


class _ToLog(logging.Handler):
    """Hands what libraries log to the log of the server."""

    def __init__(self, log: AccessLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.message(self.format(record))
        except Exception:  # what is logged may be that nothing works; an error here would end the event loop
            self.handleError(record)


@contextlib.contextmanager
def library_messages_to(log: AccessLog) -> Iterator[None]:
    """Inside the context, warnings and errors of libraries are lines of the log."""
    handler, names = _ToLog(log), ("uvicorn.error", "asyncio")
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
