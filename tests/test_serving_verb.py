"""isthmus serve, as a person types it; and where neither PyTorch nor scikit-learn is installed."""

from __future__ import annotations

import contextlib
import http.client
import inspect
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_cli import run
from test_serving_running import CODES, head, request, running

from isthmus.cli.serve import serve
from isthmus.serving.opening import open_model
from isthmus.serving.tokens import OPEN_PATHS

FOLDER = Path(__file__).parent / "files" / "exported-1"
SECRET = "s3cret-s3cret-s3cret"
ALONE = """
import sys
LACKING = set(sys.argv.pop(1).split(","))
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Lacking())
from isthmus.cli import main
main()
"""
LARGE = (
    "torch,sklearn,scipy,pandas,pyarrow,matplotlib,onnx,PIL,jaxtyping"  # what isthmus-runtime and typer do not bring
)


@contextmanager
def serving(
    *words: object, port: int = 0, home: Path | None = None, files: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], int, list[str]]]:
    """A server where only the small distribution is installed: its process, its port, and what it printed."""
    command = [sys.executable, "-c", ALONE, LARGE, "serve", *map(str, words), "--port", str(port)]
    variables = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_CACHE_HOME"}}
    variables |= {} if home is None else {"HOME": str(home)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    limit = None if files is None else partial(resource.setrlimit, resource.RLIMIT_NOFILE, (files, files))
    with subprocess.Popen(command, env=variables, preexec_fn=limit, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        printed = list[str]()
        for line in process.stdout:
            printed.append(line)
            if line.startswith("try: "):
                break
        else:
            raise AssertionError(process.stderr.read())
        found = re.search(r"served at http://127\.0\.0\.1:(\d+)", "".join(printed))
        assert found is not None
        try:
            yield process, int(found[1]), printed
        finally:
            process.kill()


def test_an_export_is_served_until_sigterm(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(SECRET)
    (tmp_path / "tokens").chmod(0o600)
    home = tmp_path / "home"
    home.mkdir()
    with serving(f"mixed={FOLDER}", "--token-file", tmp_path / "tokens", home=home) as (process, port, printed):
        shown = "".join(printed)
        assert "mixed, mixed.encode, mixed.decode, mixed.impute, mixed.score, mixed.detect" in shown
        assert "codes: code float32 (n, 2)" in shown
        example = re.search(r"-d '(.*)' (http\S+)", printed[-1])
        assert example is not None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for body, status, *headers in (
            (example[1], 200, ("Authorization", f"Bearer {SECRET}")),
            (example[1], 401, ("Authorization", f"Bearer {SECRET[:-1]}")),
            (example[1], 401),
        ):
            connection.request(
                "POST", example[2].partition(str(port))[2], body, {"Content-Type": "application/json", **dict(headers)}
            )
            response = connection.getresponse()
            content = response.read()
            assert response.status == status, content
        for headers, status, part in (
            ({"Authorization": f"Bearer {SECRET}"}, 200, b"isthmus explorer"),
            ({}, 401, b"needs a token"),
        ):
            connection.request("GET", "/", headers=headers)
            response = connection.getresponse()
            assert part in response.read()
            assert response.status == status
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        log = process.stderr.read()
        assert process.wait(20) == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line.get("status") for line in lines] == [200, 401, 401, 200, 401, None]
    assert lines[0]["rows"] == 1
    assert SECRET[:-1] not in log + shown
    assert not list(home.rglob("*"))  # as onnxruntime's identifier of the machine, which it sends to its makers


@pytest.mark.promise(29)
@pytest.mark.thorough
def test_no_request_fails_when_a_server_is_stopped_and_started_under_load(tmp_path: Path) -> None:
    """A connection that is closed before an answer, or refused, is tried again, as clients do; nothing else may happen."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stop, problems, counts = threading.Event(), list[str](), [0] * 20
    expected = open_model(FOLDER, "mixed").compute("decode", {"code": CODES})[0].tolist()

    def ask(number: int) -> None:
        rng = np.random.default_rng(number)
        while not stop.is_set():
            begin, end = sorted(rng.choice(65, 2, replace=False).tolist())
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.request(
                    "POST",
                    "/v2/models/mixed.decode/infer",
                    request(CODES[begin:end]),
                    {"Content-Type": "application/json"},
                )
                response = connection.getresponse()
                content = response.read()
            except (ConnectionError, http.client.BadStatusLine):
                time.sleep(0.01)
                continue
            finally:
                connection.close()
            if response.status == 200 and json.loads(content)["outputs"][0]["data"] == expected[begin:end]:
                counts[number] += 1
            elif response.status != 503 or response.headers["Retry-After"] is None:
                problems.append(f"{response.status} {content!r}")

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(len(counts))]
    for client in clients:
        client.start()
    for _ in range(4):
        before = sum(counts)
        with serving(f"mixed={FOLDER}", "--log", tmp_path / "log", port=port) as (process, _, _):
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        assert sum(counts) > before
    stop.set()
    for client in clients:
        client.join()
    assert not problems
    assert min(counts) > 0
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {line["status"] for line in log if "status" in line} <= {200, 503}
    assert sum(line.get("status") == 200 for line in log) == sum(counts)  # no answer was lost on its way


@pytest.mark.thorough
@pytest.mark.parametrize(("signals", "code"), [(1, 1), (2, 128 + signal.SIGINT)])
def test_a_client_cannot_hold_a_server_that_is_stopped(signals: int, code: int, tmp_path: Path) -> None:
    """After the grace a request is cut off; a second signal does not wait for it."""
    grace = 0.5 if signals == 1 else 60
    words = (f"mixed={FOLDER}", "--grace", grace, "--log", tmp_path / "log")
    with serving(*words) as (process, port, _), socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(head("POST", "/v2/models/mixed.decode/infer", 1000) + b"{")
        time.sleep(0.3)
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert process.wait(10) == code
    assert ("requests were cut off" in (tmp_path / "log").read_text()) == (signals == 1)


@pytest.mark.thorough
def test_a_server_without_free_files_goes_on(tmp_path: Path) -> None:
    """Idle connections make room for new ones, also where the system allows fewer files than --max-connections needs."""
    live = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        serving(f"mixed={FOLDER}", "--log", tmp_path / "log", files=160) as (process, port, _),
        contextlib.ExitStack() as opened,
    ):
        for _ in range(250):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            connection.sendall(live)
            assert connection.recv(999).startswith(b"HTTP/1.1 200 ")
        for _ in range(200):  # at once, and without a request
            opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        time.sleep(0.2)
        opened.close()
        answer, deadline = b"", time.monotonic() + 10
        while not answer.startswith(b"HTTP/1.1 200 "):  # until those that have gone are no longer counted
            assert time.monotonic() < deadline
            with (
                socket.create_connection(("127.0.0.1", port), timeout=20) as last,
                contextlib.suppress(ConnectionError),
            ):
                last.sendall(live)
                answer = last.recv(999)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "it serves 48 connections at the same time, not 1000" in (tmp_path / "log").read_text()


SENTENCES = {
    "--host 0.0.0.0": (2, "--host 0.0.0.0 serves other machines: give --token-file, or --insecure"),
    "--host :: --insecure --token-file tokens": (2, "--insecure and --token-file: give one of them"),
    "--token-file tokens": (1, "tokens"),
    "--max-body many": (2, "invalid"),
    "--log nowhere/log": (1, "the folder does not exist"),
    "--max-rows 0": (2, "--max-rows"),
}


@pytest.mark.parametrize("words", SENTENCES)
def test_options_that_are_refused(words: str, tmp_path: Path) -> None:
    done = run("serve", str(FOLDER), "--port", "0", *words.split(), cwd=tmp_path)
    code, sentence = SENTENCES[words]
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("isthmus: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not done.stdout


def test_a_missing_extra_is_one_sentence() -> None:
    command = [sys.executable, "-c", ALONE, "starlette", "serve", str(FOLDER), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "isthmus: a server needs starlette, which is not installed: pip install 'isthmus[serve]'\n"


def test_a_run_without_pytorch_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    done = subprocess.run([sys.executable, "-c", ALONE, LARGE, "serve", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(
        r"isthmus: .* is no exported folder, and a run needs \w+, which is not installed: .*\n", done.stderr
    )


DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_states_the_limits() -> None:
    """Its table has each option with its default."""
    page = (DOCS / "serving.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| `--([a-z-]+)` \| ([\d,]+)", page, re.MULTILINE))
    defaults = {name.replace("_", "-"): each.default for name, each in inspect.signature(serve).parameters.items()}
    known = {name: value for name, value in defaults.items() if name in stated}
    assert known.pop("max-body") == f"{stated.pop('max-body')}MiB"
    assert {name: float(value.replace(",", "")) for name, value in stated.items()} == known
    assert set(stated) >= {"max-rows", "max-in-flight", "max-queued", "max-connections", "timeout", "grace"}
    for name in defaults:
        assert f"--{name}" in page or name == "runs"


def test_the_kubernetes_example_is_consistent() -> None:
    deployment, service = yaml.safe_load_all((DOCS / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")} == OPEN_PATHS
    words = container["args"]
    grace, leaves = (
        float(words[words.index("--grace") + 1]),
        float(container["lifecycle"]["preStop"]["exec"]["command"][1]),
    )
    assert pod["terminationGracePeriodSeconds"] > leaves + grace + 3
    (volume,) = pod["volumes"]
    assert volume["secret"]["defaultMode"] & 0o007 == 0  # read_tokens refuses what others may read
    (mount,) = container["volumeMounts"]
    assert words[words.index("--token-file") + 1] == f"{mount['mountPath']}/tokens"


@pytest.mark.thorough
def test_the_client_of_the_page_gets_an_answer(tmp_path: Path) -> None:
    words = ("--data", "digits", "epochs=1", "architecture.hidden=8", "bottleneck.size=2", "--out", "digits")
    assert run("train", *words, cwd=tmp_path).returncode == 0
    (script,) = re.findall(r"```python\n(.*?)```", (DOCS / "serving.md").read_text(encoding="utf-8"), re.DOTALL)
    with running(tmp_path, tmp_path / "digits") as server:
        script = script.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "(2, 8, 8)\n", done.stderr
