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

import numpy as np
import uvicorn

from isthmus.errors import DataError
from isthmus.runtime.manifest import Port
from isthmus.serving import Entry, ServedModel, open_model
from isthmus.serving.app import make_app
from isthmus.serving.entry_points import FixedRepository
from isthmus.serving.settings import Settings

__all__ = ["EXPORTED", "Answer", "Doubling", "ask", "exported", "served"]

EXPORTED = Path(__file__).parent / "files" / "exported-1"


class Doubling(ServedModel):
    """It doubles rows, refuses 13, and waits while `free` is not set."""

    name, version, platform = "doubling", "1", "isthmus_onnx"

    def __init__(self) -> None:
        port = Port("X", "float32", (1,))
        self.described, self.entries = (
            {"missing": "error"},
            {entry: Entry((port,), (port,)) for entry in ("encode", "decode")},
        )
        self.free, self.begun = threading.Event(), threading.Event()
        self.computed = list[tuple[str, int]]()
        self.free.set()

    def compute(self, entry: str, inputs: Mapping[str, Any]) -> list[Any]:
        self.begun.set()
        assert self.free.wait(10)
        self.computed.append((entry, len(inputs["X"])))
        if (inputs["X"] == 13).any():
            raise DataError(f"row {int(np.argwhere(inputs['X'] == 13)[0, 0])} is 13: correct it")
        return [inputs["X"] * 2]


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
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)  # else the system reads megabytes for a client
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
