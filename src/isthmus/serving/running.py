"""A server that runs until it is told to end, and then ends with the requests in flight."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from isthmus.errors import DataError
from isthmus.serving.access_log import AccessLog
from isthmus.serving.connections import ConnectionLimits, GuardedProtocol
from isthmus.serving.refusing import refuse
from isthmus.serving.repository import WatchedRepository
from isthmus.serving.tokens import OPEN_PATHS
from isthmus.text import printable

__all__ = ["RefuseWhenDraining", "bound_socket", "run_server"]

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
    except PermissionError:
        bound.close()
        raise DataError(f"--port {port}: it is not allowed to this user: give a port of at least 1024") from None
    except OSError as error:
        bound.close()
        raise DataError(
            f"--port {port} of {printable(host)}: {error.strerror}: stop the program that has it, or give another one"
        ) from None
    return bound


def run_server(
    bound: socket.socket,
    app: ASGIApp,
    repository: WatchedRepository,
    limits: ConnectionLimits,
    *,
    in_flight: Callable[[], int],
    refused: Callable[[str], None],
    log: AccessLog,
) -> bool:
    """Serves until SIGTERM or SIGINT. Then the server is not ready, refuses new requests, and waits for those in flight.

    Args:
        bound: the socket.
        app: the application.
        repository: its models, opened.
        limits: of connections.
        in_flight: the number of requests that have begun and not ended.
        refused: is told why a connection is refused.
        log: what goes wrong outside of requests.

    Returns:
        Whether all requests were answered.
    """
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
    server = _Server(config, limits, repository.drain, in_flight)
    with _logging_to(log):
        asyncio.run(_served(server, bound, repository))
    server.complete()
    return not server.cut_off


async def _served(server: _Server, bound: socket.socket, repository: WatchedRepository) -> None:
    await repository.start()
    await server.serve([bound])
    try:
        await asyncio.wait_for(repository.close(), server.seconds_left())
    except TimeoutError:
        server.cut_off = True


class _Server(uvicorn.Server):
    """Checks its connections, and drains."""

    def __init__(
        self, config: uvicorn.Config, limits: ConnectionLimits, drain: Callable[[], None], in_flight: Callable[[], int]
    ) -> None:
        super().__init__(config)
        self._limits, self._drain, self._in_flight = limits, drain, in_flight
        self._until, self._watchdog = math.inf, threading.Timer(limits.grace_seconds + _MARGIN, os._exit, [1])
        self._watchdog.daemon = True
        self.cut_off = False

    def seconds_left(self) -> float:
        """Of the grace."""
        return max(0.1, self._until - asyncio.get_running_loop().time())

    def complete(self) -> None:
        """Nothing needs to be watched any longer, unless something still computes."""
        if not self.cut_off:
            self._watchdog.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the server; the second one does not wait for requests."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self._check()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._until = loop.time() + self._limits.grace_seconds
        self._watchdog.start()
        self._drain()
        rounds = 0
        while self._in_flight() and loop.time() < self._until and not self.force_exit:
            await asyncio.sleep(0.02)
            rounds += 1
            if rounds % 50 == 0:
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
        self._log.message(self.format(record))


@contextlib.contextmanager
def _logging_to(log: AccessLog) -> Any:
    handler, names = _ToLog(log), ("uvicorn.error", "asyncio")
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
