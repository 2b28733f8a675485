"""A server put together: models, limits, tokens, metrics and log around the application."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from isthmus.serving.access_log import AccessLog
from isthmus.serving.app import make_app
from isthmus.serving.batching import Batcher
from isthmus.serving.connections import ConnectionLimits, allow_open_files
from isthmus.serving.metrics import Metrics
from isthmus.serving.model_paths import model_paths
from isthmus.serving.observing import Observed
from isthmus.serving.repository import WatchedRepository
from isthmus.serving.running import DrainingServer, RefuseWhenDraining, library_messages_to
from isthmus.serving.served_model import ServedModel
from isthmus.serving.settings import Settings
from isthmus.serving.tokens import RequireHost, RequireToken, Tokens

__all__ = ["Service"]


class Service:
    """A server of models.

    Args:
        words: paths, or NAME=PATH.
        settings: the limits of requests.
        limits: the limits of connections.
        tokens: that a request needs; None: it needs none.
        hosts: the names that the Host header of a request may have besides those of this machine; None: any name.
        log_file: of the log; None for standard error.
        watch_seconds: between two looks at the paths.

    Attributes:
        repository: the models.
        log: of requests and events.
        metrics: of requests and models.

    Raises:
        DataError: a path does not exist.
        RecordError: a name cannot be part of an address, or two models have one name.
        OSError: the log cannot be written.
    """

    def __init__(
        self,
        words: Sequence[str],
        settings: Settings,
        limits: ConnectionLimits,
        *,
        tokens: Tokens | None = None,
        hosts: Sequence[str] | None = None,
        log_file: Path | None = None,
        watch_seconds: float = 1.0,
    ) -> None:
        self._settings, self._limits, self._tokens, self._hosts = settings, limits, tokens, hosts
        self._server: DrainingServer | None = None
        paths = model_paths(words)
        self.log, self.metrics = AccessLog(log_file), Metrics()
        self.repository = WatchedRepository(
            paths, self._batcher, log=self.log.message, loaded=self.metrics.loaded, seconds=watch_seconds
        )

    def run(
        self, bound: socket.socket, routes: Sequence[BaseRoute] = (), started: Callable[[], None] = lambda: None
    ) -> bool:
        """Serves until SIGTERM, SIGINT or `stop`.

        Args:
            bound: the socket.
            routes: of other pages.
            started: is called when connections are taken.

        Returns:
            Whether all requests were answered.
        """
        limits = allow_open_files(self._limits)
        if limits != self._limits:
            self.log.message(
                f"the system allows this process so few open files that it serves {limits.max_connections} connections at the same "
                f"time, not {self._limits.max_connections}: see ulimit -n"
            )
        app: ASGIApp = make_app(
            self.repository,
            self._settings,
            routes=[self.metrics.route(), *routes],
            tokens=self._tokens is not None,
        )
        app = app if self._tokens is None else RequireToken(app, self._tokens)
        app = app if self._hosts is None else RequireHost(app, self._hosts)
        observed = Observed(RefuseWhenDraining(app, self.repository.ready), self.log.request, self.metrics.request)
        self.metrics.watch(
            in_flight=lambda: observed.in_flight,
            queued=lambda: sum(self.repository.get(name).queued for name in self.repository.names()),
            models=lambda: len(self.repository.names()),
        )
        self._server = DrainingServer(
            observed,
            self.repository,
            limits,
            in_flight=lambda: observed.in_flight,
            refused=self.metrics.refused,
            started=started,
        )
        with library_messages_to(self.log):
            self._server.run([bound])
        cut_off = self._server.cut_off
        self.log.message(f"the server has ended{', and requests were cut off' if cut_off else ''}")
        self.log.close()
        return not cut_off

    def stop(self) -> None:
        """Ends the server as SIGTERM does, from any thread."""
        if self._server is not None:
            self._server.should_exit = True

    def _batcher(self, model: ServedModel) -> Batcher:
        return Batcher(model, self._settings, self.metrics.computation(model.name))
