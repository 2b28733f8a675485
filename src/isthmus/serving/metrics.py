"""Metrics in the form of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus._version import __version__
from isthmus.serving.batching import Computation
from isthmus.serving.observing import Exchange

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The metrics of one server, in a registry of their own.

    The values of labels are bounded: models that exist, what can be asked of them, and statuses. What was asked of unknown models counts
    with empty names.

    Attributes:
        registry: of prometheus_client.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = ["model", "entry"]
        self._requests = Counter(
            "isthmus_requests", "Requests that were answered", [*names, "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "isthmus_request_seconds",
            "Seconds from a request to the end of its answer",
            names,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rows = Histogram(
            "isthmus_batch_rows", "Rows that were computed together", names, buckets=_ROWS, registry=self.registry
        )
        self._joined = Counter("isthmus_batched_requests", "Requests that were computed", names, registry=self.registry)
        self._computing = Counter("isthmus_computing_seconds", "Seconds of computation", names, registry=self.registry)
        self._loads = Counter(
            "isthmus_model_loads",
            "Models that were loaded, or could not be",
            ["model", "result"],
            registry=self.registry,
        )
        self._in_flight = Gauge("isthmus_requests_in_flight", "Requests that have not ended", registry=self.registry)
        self._queued = Gauge(
            "isthmus_queued_requests", "Requests that wait for their computation", registry=self.registry
        )
        self._refused = Counter(
            "isthmus_refused_connections",
            "Connections that were refused or cut off",
            ["reason"],
            registry=self.registry,
        )
        self._models = Gauge("isthmus_models", "Models that are served", registry=self.registry)
        Info("isthmus", "The version of isthmus", registry=self.registry).info({"version": __version__})
        ProcessCollector(registry=self.registry)

    def request(self, exchange: Exchange) -> None:
        """Counts a request."""
        self._requests.labels(exchange.model, exchange.entry, str(exchange.status)).inc()
        self._seconds.labels(exchange.model, exchange.entry).observe(exchange.seconds)

    def computation(self, model: str) -> Callable[[Computation], None]:
        """A function that counts the computations of a model."""

        def count(computed: Computation) -> None:
            self._rows.labels(model, computed.entry).observe(computed.rows)
            self._joined.labels(model, computed.entry).inc(computed.requests)
            self._computing.labels(model, computed.entry).inc(computed.seconds)

        return count

    def loaded(self, model: str, success: bool) -> None:
        """Counts a model that was loaded, or could not be."""
        self._loads.labels(model, "loaded" if success else "failed").inc()

    def refused(self, reason: str) -> None:
        """Counts a connection that was refused or cut off."""
        self._refused.labels(reason).inc()

    def watch(
        self,
        *,
        in_flight: Callable[[], int],
        queued: Callable[[], int],
        models: Callable[[], int],
    ) -> None:
        """Tells where the values come from that are read when they are asked for.

        Args:
            in_flight: the number of requests that have not ended.
            queued: the number of requests that wait.
            models: the number of models.
        """
        self._in_flight.set_function(in_flight)
        self._queued.set_function(queued)
        self._models.set_function(models)

    def route(self) -> Route:
        """The route /metrics."""

        async def metrics(request: Request) -> Response:
            """The metrics of the server, in the text form of Prometheus."""
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
            return Response(encode(self.registry), headers={"content-type": content_type, "cache-control": "no-store"})

        return Route("/metrics", metrics)
