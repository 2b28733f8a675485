"""A server that runs: slow clients, too many connections, its end, and models that change under load."""

from __future__ import annotations

import http.client
import json
import logging
import os
import resource
import select
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus.errors import DataError
from isthmus.serving.access_log import AccessLog
from isthmus.serving.connections import ConnectionLimits, allow_open_files
from isthmus.serving.opening import open_model
from isthmus.serving.running import bound_socket, library_messages_to
from isthmus.serving.service import Service
from isthmus.serving.settings import Settings

FOLDER = Path(__file__).parent / "files" / "exported-1"
CODES = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
QUICK = ConnectionLimits(
    max_connections=8, header_seconds=0.3, body_seconds=0.5, write_seconds=0.6, keep_alive_seconds=1, grace_seconds=5
)


class Running:
    """A server in a thread of its own."""

    def __init__(self, service: Service) -> None:
        self.service, self.ended = service, list[bool]()
        bound = bound_socket("127.0.0.1", 0)
        bound.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
        )  # the system does not hold answers that nobody reads
        self.port = int(bound.getsockname()[1])
        service.repository.load()
        started = threading.Event()
        self.thread = threading.Thread(target=lambda: self.ended.append(service.run(bound, started=started.set)))
        self.thread.start()
        assert started.wait(20)

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """The answer to a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """The value of a metric."""
        text = self.ask("/metrics")[1].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    def connect(self, sent: bytes = b"", buffer: int = 2**16) -> socket.socket:
        """A connection on which this was sent."""
        made = socket.socket()
        made.settimeout(20)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        made.connect(("127.0.0.1", self.port))
        made.sendall(sent)
        return made


@contextmanager
def running(
    folder: Path, *words: object, settings: Settings | None = None, limits: ConnectionLimits = QUICK
) -> Iterator[Running]:
    """A server with its log in a folder."""
    words = words or (f"mixed={FOLDER}",)
    server = Running(
        Service(
            [str(word) for word in words], settings or Settings(), limits, log_file=folder / "log", watch_seconds=0.03
        )
    )
    try:
        yield server
    finally:
        server.service.stop()
        server.thread.join(20)
    assert not server.thread.is_alive()


def request(codes: np.ndarray[Any, Any]) -> bytes:
    """The body of a request for what codes mean."""
    data = codes.ravel().tolist()
    inputs = [{"name": "code", "shape": list(codes.shape), "datatype": "FP32", "data": data}]
    return json.dumps({"inputs": inputs}).encode()


def head(method: str, path: str, length: int) -> bytes:
    """The headers of a request."""
    known = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}"
    return f"{method} {path} HTTP/1.1\r\n{known}\r\n\r\n".encode()


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = list[bytes]()
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def dripped(*given: tuple[socket.socket, bytes]) -> list[bytes]:
    """What comes on connections on which a little is sent again and again, until the other side closes them all."""
    heard, opened, deadline = {connection: b"" for connection, _ in given}, dict(given), time.monotonic() + 10
    while opened:
        assert time.monotonic() < deadline
        for connection, piece in list(opened.items()):
            try:
                if select.select([connection], [], [], 0.02)[0]:
                    part = connection.recv(65536)
                    heard[connection] += part
                    if not part:
                        del opened[connection]
                else:
                    connection.sendall(piece)
            except ConnectionError:
                del opened[connection]
    return list(heard.values())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with short limits."""
    with running(tmp_path_factory.mktemp("serving"), settings=Settings(request_seconds=0.5)) as found:
        yield found


@pytest.mark.promise(29)
def test_slow_clients_are_cut_off(server: Running) -> None:
    body = request(np.zeros((3000, 2), np.float32))
    unfinished = head("POST", "/v2/models/mixed.decode/infer", 1000) + b"{"
    begin = time.monotonic()
    with (
        server.connect(head("POST", "/v2/models/mixed.decode/infer", len(body)) + body, buffer=4096) as unread,
        server.connect(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n") as headers,
        server.connect() as silent,
        server.connect(unfinished) as asked,
        server.connect(head("GET", "/v2", 1000) + b"{") as ignored,  # the body of a request that has none
    ):
        answer, unasked = dripped((headers, b"X-More: 1\r\n"), (ignored, b" "))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'{"error": "the headers did not come in 0.3 seconds' in answer
        assert received(silent) == b""
        assert received(asked).startswith(b"HTTP/1.1 408 ")
        assert unasked.startswith(b"HTTP/1.1 200 ")
        while not server.metric('isthmus_refused_connections_total{reason="unread"}'):
            assert time.monotonic() < begin + 15
            time.sleep(0.05)
        assert len(received(unread)) < 100_000
    assert time.monotonic() - begin < 10
    assert server.metric('isthmus_refused_connections_total{reason="headers"}') >= 2


@pytest.mark.promise(29)
def test_what_is_not_http_gets_an_answer(server: Running) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET /v2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000,
        head("POST", "/v2/models/mixed.decode/infer", 4).replace(b"Content-Length: 4", b"Transfer-Encoding: chunked")
        + b"no\r\n",
    ):
        with server.connect(sent) as made:
            answer = received(made)
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_requests_that_come_together_are_watched_one_by_one(server: Running) -> None:
    """A client that sends the begin of a request with the one before holds a connection no longer than others do."""
    first, begun = head("GET", "/v2", 0), time.monotonic()
    with (
        server.connect(first + b"GET /v2 HTTP/1.1\r\nHost: lo") as headers,
        server.connect(first + head("POST", "/x", 100) + b"{") as body,
    ):
        assert received(headers).count(b"HTTP/1.1 408 ") == 1
        answer = received(body)
        assert answer.count(b"HTTP/1.1 200 ") == answer.count(b"HTTP/1.1 404 ") == 1
    assert time.monotonic() - begun < 5
    with server.connect() as busy:  # each piece ends within a request, and each request is whole in time
        pieces, sent = first * 16, 0
        while sent < len(pieces):
            busy.sendall(pieces[sent : sent + len(first)] if sent else pieces[: len(first) - 9])
            sent += len(first) if sent else len(first) - 9
            time.sleep(0.03)
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 16:
            part = busy.recv(65536)
            assert part
            answers += part
    assert answers.count(b"HTTP/1.1 200 ") == 16


@pytest.mark.promise(29)
@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"X: " + b"x" * 17_000 + b"\r\n", "the address and the headers have more than 16384 bytes"),
        (b"X: x\r\n" * 3_000, "the address and the headers have more than 16384 bytes"),
        (b"Transfer-Encoding: chunked\r\n", "the request has Content-Length and Transfer-Encoding"),
        (b"Content-Length: 7\r\n", "this is no HTTP request"),
    ],
)
def test_a_request_that_a_proxy_may_read_otherwise_is_refused(sent: bytes, sentence: str, server: Running) -> None:
    """Also where all of it comes at once; what follows is no request."""
    hidden = b"0\r\n\r\n" + head("GET", "/v2/health/live", 0)
    given = head("POST", "/v2/repository/index", len(hidden)).removesuffix(b"\r\n") + sent + b"\r\n" + hidden
    with server.connect(given) as made:
        answer = received(made)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert sentence in answer.decode()


@pytest.mark.parametrize(
    ("allowed", "raised", "connections"),
    [((99, 999), (264, 999), 100), ((99, 164), (164, 164), 50), ((300, 300), None, 100)],
)
def test_the_system_is_asked_for_open_files(
    allowed: tuple[int, int], raised: tuple[int, int] | None, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[int, int]]()
    monkeypatch.setattr(resource, "getrlimit", lambda _: allowed)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert allow_open_files(ConnectionLimits(max_connections=100)).max_connections == connections
    assert asked == ([] if raised is None else [raised])


def test_a_log_that_fails_does_not_end_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error in the log of a library would come out of the event loop."""
    log = AccessLog(tmp_path / "log")
    with library_messages_to(log), pytest.MonkeyPatch.context() as patched:
        patched.setattr(log, "message", lambda _: 1 / 0)
        logging.getLogger("asyncio").error("no files are left")
    log.close()
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.promise(29)
def test_too_many_connections_are_refused(server: Running) -> None:
    waiting = [server.connect(b"GET /v2 HTTP/1.1\r\n") for _ in range(8)]
    with server.connect(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n") as ninth:
        answer = received(ninth)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in answer
        assert b"too many connections" in answer
    for connection in waiting:
        assert received(connection).startswith(b"HTTP/1.1 408 ")
        connection.close()
    assert server.ask("/v2/health/live")[0] == 200


def test_idle_connections_make_room(server: Running) -> None:
    idle = list[http.client.HTTPConnection]()
    for _ in range(8):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/v2")
        connection.getresponse().read()
        idle.append(connection)
    assert server.ask("/v2/health/live")[0] == 200
    for connection in idle:
        connection.close()


def test_a_port_that_is_taken_is_refused(server: Running) -> None:
    with pytest.raises(DataError, match=f"port {server.port} is taken"):
        bound_socket("127.0.0.1", server.port)
    bound_socket("::1", 0).close()


def test_a_port_that_is_taken_while_models_are_loaded_is_refused(tmp_path: Path) -> None:
    """Two servers that start at the same time both bind the port; one of them serves."""
    service = Service([f"mixed={FOLDER}"], Settings(), QUICK, log_file=tmp_path / "log")
    with bound_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with bound_socket("127.0.0.1", port) as second:
            first.listen()
            with pytest.raises(DataError, match=f"port {port} is taken"):
                service.run(second)


@pytest.mark.promise(29)
def test_requests_in_flight_are_answered_at_the_end(tmp_path: Path) -> None:
    body = request(CODES)
    sent = head("POST", "/v2/models/mixed.decode/infer", len(body)) + body
    with running(tmp_path) as server:
        late = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        late.connect()
        with server.connect(sent[:-1]) as half:
            while server.metric("isthmus_requests_in_flight") < 2:  # this one and that of the metrics
                time.sleep(0.005)
            server.service.stop()
            while server.service.repository.ready():
                time.sleep(0.005)
            late.request("GET", "/v2/health/ready")
            answer = late.getresponse()
            assert (answer.status, json.loads(answer.read())) == (503, {"ready": False})
            assert server.ask("/v2/health/live")[0] == 200
            status, refused = server.ask("/v2/models/mixed.decode/infer", body)
            assert status == 503
            assert b"the server is being stopped" in refused
            half.sendall(sent[-1:])
            content = received(half)
            assert content.startswith(b"HTTP/1.1 200 ")
            assert json.loads(content.partition(b"\r\n\r\n")[2])["outputs"][0]["shape"] == [64]
        late.close()
        server.thread.join(20)
        assert server.ended == [True]
    assert '"message": "the server has ended"' in (tmp_path / "log").read_text()


def changed_under_load(tmp_path: Path, clients: int, seconds: float) -> int:
    """Reloads a model while clients ask; each checks the bits of its answers. The number of requests."""
    folder = shutil.copytree(FOLDER, tmp_path / "models" / "mixed")
    decoded = open_model(FOLDER, "mixed").compute("decode", {"code": CODES})[0].tolist()
    with running(tmp_path, tmp_path / "models", limits=ConnectionLimits()) as server:
        stop = threading.Event()

        def ask(number: int) -> int:
            connection, count = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20), 0
            rng = np.random.default_rng(number)
            while not stop.is_set():
                begin, end = sorted(rng.choice(65, 2, replace=False).tolist())
                connection.request(
                    "POST",
                    "/v2/models/mixed.decode/infer",
                    request(CODES[begin:end]),
                    {"Content-Type": "application/json"},
                )
                response = connection.getresponse()
                content = response.read()
                assert response.status == 200, content
                assert json.loads(content)["outputs"][0]["data"] == decoded[begin:end]
                count += 1
            connection.close()
            return count

        with ThreadPoolExecutor(clients) as pool:
            counts = [pool.submit(ask, number) for number in range(clients)]
            reloads, deadline = 0, time.monotonic() + seconds
            while time.monotonic() < deadline or reloads < 1:
                before = server.service.repository.get("mixed")
                os.utime(folder / "score.onnx")
                while server.service.repository.get("mixed") is before and not any(each.done() for each in counts):
                    time.sleep(0.01)
                reloads += 1
                if any(each.done() for each in counts):
                    break
            stop.set()
            total = sum(each.result() for each in counts)
        assert server.metric("isthmus_model_loads_total") == reloads + 1
    return total


@pytest.mark.promise(29)
def test_models_change_under_load(tmp_path: Path) -> None:
    assert changed_under_load(tmp_path, clients=3, seconds=0.1) > 3


@pytest.mark.promise(29)
@pytest.mark.thorough
def test_models_change_under_much_load(tmp_path: Path) -> None:
    assert changed_under_load(tmp_path, clients=50, seconds=20) > 500
