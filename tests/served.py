"""A server on this machine, for tests: a real one, in a thread."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn

from isthmus.serving import ServedModel, open_model
from isthmus.serving.app import make_app
from isthmus.serving.entry_points import FixedRepository
from isthmus.serving.settings import Settings

__all__ = ["EXPORTED", "Answer", "ask", "exported", "served"]

EXPORTED = Path(__file__).parent / "files" / "exported-1"


class Answer(NamedTuple):
    """What a server answers."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one sentence of a refusal."""
        found = self.json
        assert list(found) == ["error"]
        assert "Traceback" not in found["error"]
        return str(found["error"])


def exported(name: str = "mixed") -> ServedModel:
    """The export that is kept: a table with gaps, of a detector."""
    return open_model(EXPORTED, name)


@contextmanager
def served(*models: ServedModel, settings: Settings | None = None) -> Iterator[int]:
    """The port of a server of some models."""
    limits = settings or Settings()
    app = make_app(FixedRepository(models, limits), limits)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def ask(
    port: int, path: str, body: Any = None, headers: Mapping[str, str] | None = None, method: str | None = None
) -> Answer:
    """One request by a connection of its own. A body that is no bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    given = {"Content-Type": "application/json"} | dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, given)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()
