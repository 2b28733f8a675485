"""Who may ask a server, and what it tells of requests: tokens, host names, metrics and the log."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp, Message

from isthmus.errors import DataError
from isthmus.serving.access_log import AccessLog
from isthmus.serving.app import make_app
from isthmus.serving.batching import Batcher
from isthmus.serving.entry_points import FixedRepository
from isthmus.serving.metrics import Metrics
from isthmus.serving.observing import CLIENT_CLOSED, Exchange, Observed
from isthmus.serving.openapi import openapi
from isthmus.serving.opening import open_model
from isthmus.serving.settings import Settings
from isthmus.serving.tokens import RequireHost, RequireToken, Tokens, is_loopback, read_tokens

FOLDER = Path(__file__).parent / "files" / "exported-1"
SECRET, OTHER = "s3cret-s3cret-s3cret", "another-token-of-another-client"
REQUEST = {"inputs": [{"name": "code", "shape": [2, 2], "datatype": "FP32", "data": [0, 0, 1, 1]}]}


class Answer:
    """What an application answered."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.status = int(messages[0]["status"])
        self.headers = [(name.decode(), value.decode()) for name, value in messages[0].get("headers", [])]
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


def ask(app: ASGIApp, path: str, *headers: tuple[str, str], body: bytes = b"", query: bytes = b"") -> Answer:
    """What an application answers, without a network."""
    sent = list[Message]()

    async def receive() -> Message:
        if asked:
            await asyncio.sleep(60)
        asked.append(True)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asked = list[bool]()
    given = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {
        "type": "http",
        "method": "POST" if body else "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [*given, (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1234),
        "server": ("127.0.0.1", 80),
    }
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return Answer(sent)


@pytest.fixture(scope="module")
def app() -> ASGIApp:
    return make_app(FixedRepository([open_model(FOLDER, "mixed")], Settings()), Settings())


def token_file(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_request_needs_a_token(app: ASGIApp) -> None:
    guarded = RequireToken(app, Tokens([OTHER, SECRET]))
    assert ask(guarded, "/v2", ("Authorization", f"Bearer {SECRET}")).status == 200
    assert ask(guarded, "/v2", ("authorization", f"bearer {OTHER}")).status == 200
    for path in (
        "/v2",
        "/metrics",
        "/",
        "/openapi.json",
        "/v2/models/mixed/ready",
        "/v2/health/live/",
        "//v2/health/live",
    ):
        answer = ask(guarded, path)
        assert answer.status == 401, path
        assert answer.error == "this server needs a token: send the header Authorization: Bearer TOKEN"
        assert ("www-authenticate", 'Bearer realm="isthmus"') in answer.headers
    assert ask(guarded, "/v2/health/live").status == ask(guarded, "/v2/health/ready").status == 200


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {SECRET} {SECRET}",
        f"Token {SECRET}",
        SECRET,
        "Bearer \xff",
        "Basic !",
        f"Basic {base64.b64encode(SECRET.encode()).decode()}",
    ],
)
def test_a_wrong_token_is_refused(app: ASGIApp, value: str) -> None:
    assert ask(RequireToken(app, Tokens([SECRET])), "/v2", ("Authorization", value)).status == 401


def test_two_tokens_in_one_request_are_refused(app: ASGIApp) -> None:
    right, wrong = ("Authorization", f"Bearer {SECRET}"), ("Authorization", "Bearer wrong")
    assert ask(RequireToken(app, Tokens([SECRET])), "/v2", right, wrong).status == 401


def test_a_browser_gives_the_token_as_password(app: ASGIApp) -> None:
    guarded = RequireToken(app, Tokens([SECRET]))
    for user in ("", "anybody"):
        given = base64.b64encode(f"{user}:{SECRET}".encode()).decode()
        assert ask(guarded, "/v2", ("Authorization", f"Basic {given}")).status == 200


def test_tokens_are_read_from_lines(tmp_path: Path) -> None:
    tokens = read_tokens(token_file(tmp_path / "tokens", f"\ufeff# clients\n\n  {SECRET}\r\n{OTHER}\n{OTHER}"))
    assert len(tokens) == 2
    assert tokens.accept(SECRET.encode())
    assert not tokens.accept(b"# clients")
    assert SECRET not in repr(vars(tokens))


@pytest.mark.parametrize(
    ("content", "mode", "sentence"),
    [
        (SECRET, 0o604, "other users may read"),
        ("# nothing\n", 0o600, "has no token: write one in a line"),
        (f"{SECRET}\nshort", 0o600, "line 2: the token is too short: use at least 16 characters"),
        ("two words of a secret", 0o600, "line 1: a token has printable ASCII characters without spaces"),
        ("ünïcödé-ünïcödé-ünïcödé", 0o600, "line 1: a token has printable ASCII"),
        ("x" * 2**20 + "x", 0o600, "is larger than 1 MB"),
    ],
)
def test_token_files_that_are_refused(content: str, mode: int, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as found:
        read_tokens(token_file(tmp_path / "tokens", content, mode))
    assert sentence in str(found.value)
    assert content.strip() not in str(found.value)  # no message shows a token


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]", "my.name:80"])
def test_names_of_this_machine_are_accepted(app: ASGIApp, host: str) -> None:
    assert ask(RequireHost(app, ["My.Name"]), "/v2", ("Host", host)).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", "", "[::1].evil"]
)
def test_other_names_are_refused(app: ASGIApp, host: str) -> None:
    answer = ask(RequireHost(app), "/v2", ("Host", host))
    assert answer.status == 421
    assert "--allow-host" in answer.error


def test_addresses_of_this_machine_alone() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "", "127.evil.example", "10.0.0.1", "localhost.example")))


def observed(app: ASGIApp, *observers: Any) -> tuple[Observed, list[Exchange]]:
    exchanges = list[Exchange]()
    return Observed(app, exchanges.append, *observers), exchanges


def test_what_is_told_of_a_request(app: ASGIApp) -> None:
    around, exchanges = observed(app)
    body = json.dumps(REQUEST).encode()
    answer = ask(around, "/v2/models/mixed.decode/infer", body=body)
    assert answer.status == 200
    (exchange,) = exchanges
    path, known = "/v2/models/mixed.decode/infer", ("mixed", "decode", 2, 2)
    assert exchange[1:10] == ("POST", path, "127.0.0.1", *known, 200, len(body))
    assert exchange.bytes_out == len(answer.body)
    assert 0 < exchange.seconds < 60
    assert abs(exchange.began - time.time()) < 60
    assert around.in_flight == 0


def test_failures_parts_and_clients_that_go_away_are_told() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("a bug")

    async def parts(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for more in (True, False):
            await send({"type": "http.response.body", "body": b"half", "more_body": more})

    async def unanswered(scope: Any, receive: Any, send: Any) -> None:
        pass

    around, exchanges = observed(fails)
    with pytest.raises(KeyError):
        ask(around, "/v2")
    assert exchanges[0].status == 500
    assert around.in_flight == 0
    around, exchanges = observed(parts)
    assert ask(around, "/v2").body == b"halfhalf"
    assert exchanges[0].bytes_out == 8
    around, exchanges = observed(unanswered)
    with pytest.raises(IndexError):
        ask(around, "/v2")
    assert exchanges[0].status == CLIENT_CLOSED


def test_who_goes_away_before_the_answer_is_told_so() -> None:
    """Also where the application then answers nobody."""

    async def answers(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 400})
        await send({"type": "http.response.body", "body": b"nobody reads this"})

    around, exchanges = observed(answers)
    given, sent = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}], []

    async def receive() -> Any:
        return given.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(around({"type": "http", "method": "POST", "path": "/v2"}, receive, send))
    assert (exchanges[0].status, exchanges[0].bytes_in, exchanges[0].bytes_out) == (CLIENT_CLOSED, 4, 0)


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """The values of the metrics as Prometheus reads them."""
    app = make_app(FixedRepository([], Settings()), Settings(), routes=[metrics.route()])
    answer = ask(app, "/metrics")
    assert dict(answer.headers)["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.body.decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_requests_are_counted_by_model_entry_and_status(app: ASGIApp) -> None:
    metrics = Metrics()
    around, _ = observed(app, metrics.request)
    metrics.watch(in_flight=lambda: 3, queued=lambda: 2, models=lambda: 1)
    for _ in range(3):
        ask(around, "/v2/models/mixed.decode/infer", body=json.dumps(REQUEST).encode())
    ask(around, "/v2/models/mixed.decode/infer", body=b"no JSON")
    metrics.loaded("mixed", True)
    metrics.loaded("mixed", False)
    metrics.refused("body")
    found = samples(metrics)
    assert found["isthmus_requests_total", "decode", "mixed", "200"] == 3
    assert found["isthmus_requests_total", "decode", "mixed", "400"] == 1
    assert found["isthmus_request_seconds_count", "decode", "mixed"] == 4
    assert found["isthmus_model_loads_total", "mixed", "failed"] == 1
    assert found["isthmus_refused_connections_total", "body"] == 1
    assert found[("isthmus_requests_in_flight",)] == 3
    assert found[("isthmus_queued_requests",)] == 2


def test_computations_are_counted() -> None:
    metrics = Metrics()
    model = open_model(FOLDER, "mixed")

    async def compute() -> None:
        batcher = Batcher(model, Settings(), metrics.computation("mixed"))
        inputs = model.checked("decode", {"code": np.zeros((3, 2), np.float32)}).inputs
        await batcher.submit("decode", inputs, asyncio.get_running_loop().time() + 5)
        await batcher.close()

    asyncio.run(compute())
    found = samples(metrics)
    assert found["isthmus_batch_rows_sum", "decode", "mixed"] == 3
    assert found["isthmus_batched_requests_total", "decode", "mixed"] == 1


def test_unknown_names_do_not_grow_the_metrics(app: ASGIApp) -> None:
    metrics = Metrics()
    around, _ = observed(app, metrics.request)
    ask(around, "/v2/models/nobody/infer", body=b"{}")
    before = len(samples(metrics))
    for number in range(20):
        assert ask(around, f"/v2/models/unknown-{number}/infer", body=b"{}").status == 404
        ask(around, f"/{number}")
    assert len(samples(metrics)) == before


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_each_request_is_a_line_of_json(app: ASGIApp, tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log")
    around, _ = observed(app, log.request)
    ask(around, "/v2/models/mixed.decode/infer", body=json.dumps(REQUEST).encode())
    ask(around, "/v2/\u202e\x1b[2J\n\"'" + "x" * 500, query=b"secret=1")
    log.message("a model\nis loaded")
    log.close()
    first, second, third = lines(tmp_path / "log")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["method"], first["status"], first["rows"], first["client"]) == ("POST", 200, 2, "127.0.0.1")
    assert first["path"] == "/v2/models/mixed.decode/infer"
    assert second["path"].isprintable()
    assert len(second["path"]) < 300
    assert third["message"] == "a model\\nis loaded"
    assert "secret" not in (tmp_path / "log").read_text()


def test_no_token_is_logged(app: ASGIApp, tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log")
    around, _ = observed(RequireToken(app, Tokens([SECRET])), log.request)
    for value in (f"Bearer {SECRET}", f"Bearer {SECRET}x", SECRET):
        ask(around, "/v2", ("Authorization", value), query=SECRET.encode())
    log.close()
    assert [line["status"] for line in lines(tmp_path / "log")] == [200, 401, 401]
    assert SECRET not in (tmp_path / "log").read_text()


def test_a_log_that_was_renamed_is_written_anew(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log")
    log.message("first")
    while not (tmp_path / "log").stat().st_size:
        time.sleep(0.001)
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.message("second")
    log.close()
    assert [line["message"] for name in ("log.1", "log") for line in lines(tmp_path / name)] == ["first", "second"]


FULL = """
from resource import RLIM_INFINITY, RLIMIT_FSIZE, setrlimit
from isthmus.io.terminal import make_streams_tolerant, output_failure, print_lines
make_streams_tolerant()
for most, text in ((0, "lost"), (RLIM_INFINITY, "kept")):
    setrlimit(RLIMIT_FSIZE, (most, RLIM_INFINITY))
    print_lines(text, error=True)
assert "(File too large)" in output_failure(), output_failure()
"""


def test_the_log_on_standard_error_goes_on_after_a_full_disk(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        subprocess.run([sys.executable, "-c", FULL], stderr=file, check=True)
    assert (tmp_path / "log").read_text() == "kept\n"


def test_a_line_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    """As a full disk or a killed process leaves it."""
    (tmp_path / "log").write_text('{"time": "2026')
    log = AccessLog(tmp_path / "log")
    log.message("first")
    time.sleep(0.02)
    log.message("second")
    log.close()
    torn, *whole = (tmp_path / "log").read_text().splitlines()
    assert torn == '{"time": "2026'
    assert [json.loads(line)["message"] for line in whole] == ["first", "second"]


def test_a_log_that_cannot_be_written_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    log = AccessLog(tmp_path / "folder" / "log")
    (tmp_path / "folder" / "log").unlink()
    (tmp_path / "folder").rmdir()
    for _ in range(3):
        log.message("lost")
        time.sleep(0.01)
    log.close()
    assert capsys.readouterr().err.count("requests are not logged") == 1
    with pytest.raises(OSError, match="the folder does not exist"):
        AccessLog(tmp_path / "folder" / "log")


def test_the_description_of_all_models_is_made_once_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of hundreds of models it takes seconds, in which health must be answered. Other models have another one."""
    models, made = [open_model(FOLDER, "a")], list[str]()

    class Changing(FixedRepository):
        def names(self) -> list[str]:
            return [model.name for model in models]

    def counted(*given: Any) -> Any:
        made.append(threading.current_thread().name)
        return openapi(*given)

    monkeypatch.setattr("isthmus.serving.app.openapi", counted)
    changing = make_app(Changing([models[0], open_model(FOLDER, "b")], Settings()), Settings())
    first, second = (ask(changing, "/openapi.json").body for _ in range(2))
    assert first == second
    models.append(open_model(FOLDER, "b"))
    assert b"/v2/models/b.decode/infer" in ask(changing, "/openapi.json").body
    assert len(made) == 2
    assert all(name.startswith("isthmus-bodies") for name in made)
