"""The server over HTTP: a real server on this machine, the real Triton client, and requests of every wrong kind."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from served import EXPORTED, Answer, Doubling, ask, exported, served

import isthmus.runtime
from isthmus.serving.bodies import decompressed
from isthmus.serving.protocol import read_request
from isthmus.serving.request_error import RequestError
from isthmus.serving.settings import Settings

sys.path.insert(0, str(EXPORTED.parent))
from write_export import columns

MODEL = isthmus.runtime.load(EXPORTED, threads=1)
VERSION = MODEL.manifest.described["model_sha256"][:12]
DATATYPES = {"x": "FP64", "n": "FP64", "kind": "BYTES", "big": "FP64", "day": "INT64"}
INFER = "/v2/models/mixed.encode/infer"
DECODE = "/v2/models/mixed.decode/infer"
CODES = {"inputs": [{"name": "code", "datatype": "FP32", "shape": [2, 2], "data": [0, 0.25, -1, 2]}]}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(exported()) as port:
        yield port


def tensors(rows: slice = slice(None)) -> dict[str, np.ndarray[Any, Any]]:
    """The rows of the table as a client sends them."""
    table = {name: values[rows] for name, values in columns().items()}
    kind = np.array(["" if value is None else value for value in table["kind"]], object)
    return {**table, "kind": kind, "big": table["big"].astype(float), "day": table["day"].astype(np.int64)}


def inputs(binary: bool) -> list[triton.InferInput]:
    found = []
    for name, values in tensors().items():
        found.append(triton.InferInput(name, list(values.shape), DATATYPES[name]))
        found[-1].set_data_from_numpy(values, binary_data=binary)
    return found


@pytest.mark.promise(29)
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_the_triton_client_gets_the_bits_of_the_model(port: int, binary: bool, compression: str | None) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    options = {"request_compression_algorithm": compression, "response_compression_algorithm": compression}
    outputs = [triton.InferRequestedOutput("code", binary_data=binary)]
    found = client.infer("mixed.encode", inputs(binary), outputs=outputs, request_id="one", **options)
    assert np.array_equal(found.as_numpy("code"), MODEL.encode(columns()))
    assert found.get_response()["id"] == "one"
    assert found.get_response()["model_version"] == VERSION

    names = ["imputed.kind", "imputed.x", "imputed.day"]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    filled, expected = client.infer("mixed.impute", inputs(binary), outputs=outputs, **options), MODEL.impute(columns())
    assert [output["name"] for output in filled.get_response()["outputs"]] == names
    assert np.array_equal(filled.as_numpy("imputed.x"), expected["x"])
    assert np.array_equal(filled.as_numpy("imputed.day").astype("datetime64[us]"), expected["day"])
    assert [str(text, "utf-8") if binary else text for text in filled.as_numpy("imputed.kind")] == list(
        expected["kind"]
    )

    detected, expected = (
        client.infer("mixed.detect", inputs(binary), model_version=VERSION, **options),
        MODEL.detect(columns()),
    )
    for name, values in zip(("score", "p_value", "anomaly"), expected, strict=True):
        assert np.array_equal(detected.as_numpy(name), values)
        assert detected.as_numpy(name).dtype == values.dtype
    client.close()


def test_the_triton_client_reads_what_is_served(port: int) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mixed.score", VERSION)
    assert not client.is_model_ready("mixed.score", "2")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    names = [f"mixed{entry}" for entry in ("", ".encode", ".decode", ".impute", ".score", ".detect")]
    assert [each["name"] for each in client.get_model_repository_index()] == names
    found = client.get_model_metadata("mixed.encode")
    assert found["versions"] == [VERSION]
    assert {each["name"]: each["datatype"] for each in found["inputs"]} == DATATYPES
    assert found["outputs"] == [{"name": "code", "datatype": "FP32", "shape": [-1, 2]}]
    with pytest.raises(triton.InferenceServerException, match="there is no model 'other'"):
        client.get_model_metadata("other")
    client.close()


def test_what_was_taken_as_missing_is_said(port: int) -> None:
    given = tensors(slice(0, 2)) | {"kind": np.array(["sideways", "left"], object)}
    body = {"inputs": [plain(name, values) for name, values in given.items()]}
    found = ask(port, INFER, body).json
    assert found["parameters"] == {
        "isthmus_notes": "column 'kind' has categories that training did not have, taken as missing: 'sideways'"
    }
    body["inputs"][2]["data"] = [None, "left"]
    again = ask(port, INFER, body).json
    assert "parameters" not in again
    assert again["outputs"] == found["outputs"]


def plain(name: str, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """An input in JSON as no extension is needed for: null for NaN."""
    data = [None if value != value else value for value in values.tolist()]
    return {"name": name, "datatype": DATATYPES[name], "shape": list(values.shape), "data": data}


def changed(**fields: Any) -> dict[str, Any]:
    return {"inputs": [CODES["inputs"][0] | fields]}


def binary(header: dict[str, Any], tensor: bytes, length: int | None = None) -> tuple[bytes, dict[str, str]]:
    text = json.dumps(header).encode()
    return text + tensor, {"Inference-Header-Content-Length": str(len(text) if length is None else length)}


def sized(size: int, *left_out: str) -> dict[str, Any]:
    """The request with its tensor in the binary form."""
    code = CODES["inputs"][0] | {"parameters": {"binary_data_size": size}}
    return {"inputs": [{name: value for name, value in code.items() if name not in {"data", *left_out}}]}


JSON = json.dumps(CODES).encode()
TWICE = b'{"inputs": [], "inputs": []}'
WRONG: dict[str, tuple[int, Any, dict[str, str]]] = {
    # the body as JSON
    "the body is no JSON": (400, b"{", {}),
    "nested too deep": (400, b"[" * 100_000, {}),
    "more than 524288 lists: send data as one flat list": (413, b"[" + b"[]," * 600_000 + b"0]", {}),
    "is no UTF-8 at byte 0": (400, b"\xff\xfe", {}),
    "the JSON is a list: send an object": (400, [], {}),
    "has 'inputs' twice": (400, TWICE, {}),
    "an integer of 5000 digits": (400, b'{"inputs": [' + b"1" * 5000 + b"]}", {}),
    "unknown: leave it out": (400, CODES | {"more": 1}, {}),
    "the request has no inputs": (400, {}, {}),
    "id of the request is an integer": (400, CODES | {"id": 3}, {}),
    "'timeout', which is unknown": (400, CODES | {"parameters": {"timeout": 3}}, {}),
    # inputs
    "an input is null": (400, {"inputs": [None]}, {}),
    "there are 2 inputs": (400, {"inputs": CODES["inputs"] * 2}, {}),
    "the input 'code' is lacking": (400, {"inputs": []}, {}),
    "the input 'other' is unknown: send code": (400, changed(name="other"), {}),
    "the datatype 'FP8': use": (400, changed(datatype="FP8"), {}),
    "is BYTES, and the model takes FP32": (400, changed(datatype="BYTES", data=["a"] * 4), {}),
    "[2, 3]: send [n, 2]": (400, changed(shape=[2, 3]), {}),
    "[4]: send [n, 2]": (400, changed(shape=[4]), {}),
    "[0, 2]: send [n, 2]": (400, changed(shape=[0, 2], data=[]), {}),
    "[-1, 2]: send [n, 2]": (400, changed(shape=[-1, 2]), {}),
    "[True, 2]: send [n, 2]": (400, changed(shape=[True, 2]), {}),
    "rows, and 65536 are allowed": (413, changed(shape=[2**62, 2]), {}),
    "has 3 values, and the shape [2, 2] has 4": (400, changed(data=[1, 2, 3]), {}),
    "has 1 values in dimension 1": (400, changed(data=[[1, 2], [3]]), {}),
    "the value at (0, 1) is nan, which the model does not allow": (400, changed(data=[0, None, 1, 1]), {}),
    "the value at (1, 0) is inf, which": (400, changed(data=[0, 0, float("inf"), 1]), {}),
    "neither data nor binary_data_size": (400, sized(0, "parameters"), {}),
    "both data and binary_data_size": (400, changed(parameters={"binary_data_size": 4}), {}),
    # outputs
    "the output 'other' is unknown": (400, CODES | {"outputs": [{"name": "other"}]}, {}),
    "comes twice: ask once": (400, CODES | {"outputs": [{"name": "reconstruction.x"}] * 2}, {}),
    "has no classes": (
        400,
        CODES | {"outputs": [{"name": "reconstruction.x", "parameters": {"classification": 3}}]},
        {},
    ),
    # tensors in the binary form
    "binary_data_size of 'code' is 16, and 15 bytes are left": (400, *binary(sized(16), bytes(15))),
    "binary_data_size of 'code' is -1": (400, *binary(sized(-1), bytes(16))),
    "the body has 1 bytes after the tensors": (400, *binary(sized(16), bytes(17))),
    "has 12 bytes, and 4 values of FP32 are 16": (400, *binary(sized(12), bytes(12))),
    "Inference-Header-Content-Length is 999": (400, *binary(sized(16), bytes(16), 999)),
    "Content-Length is '-5': send a number": (400, *binary(sized(16), bytes(16), -5)),
    "the value at (0, 0) is nan": (400, *binary(sized(16), struct.pack("<4f", float("nan"), 0, 0, 0))),
    # headers
    "the Content-Type is 'text/plain'": (415, CODES, {"Content-Type": "text/plain"}),
    "the Content-Type is 'application/octet-stream'": (415, CODES, {"Content-Type": "application/octet-stream"}),
    "the Content-Encoding is 'br': use gzip or deflate": (415, CODES, {"Content-Encoding": "br"}),
    "the body is no gzip": (400, CODES, {"Content-Encoding": "gzip"}),
    "the gzip of the body is cut off": (400, gzip.compress(JSON)[:-9], {"Content-Encoding": "gzip"}),
    "bytes after its end": (400, gzip.compress(JSON) * 2, {"Content-Encoding": "gzip"}),
    "the body is no deflate": (400, gzip.compress(JSON), {"Content-Encoding": "deflate"}),
}


@pytest.mark.promise(29)
@pytest.mark.parametrize("sentence", WRONG)
def test_a_wrong_request_is_refused_in_one_sentence(port: int, sentence: str) -> None:
    status, body, headers = WRONG[sentence]
    answer = ask(port, DECODE, body, headers)
    assert sentence in answer.error
    assert answer.status == status


def test_the_inputs_of_a_table_belong_together(port: int) -> None:
    given = [plain(name, values) for name, values in tensors(slice(0, 2)).items()]
    shorter = plain("x", tensors(slice(0, 1))["x"])
    for inputs, sentence in (
        ([shorter, *given[1:]], "the input 'x' has 1 rows, and 'n' has 2: send as many of each"),
        ([*given[:4], given[0]], "the input 'x' comes twice"),
        (given[:4], "the input 'day' is lacking: send x, n, kind, big, day"),
    ):
        answer = ask(port, INFER, {"inputs": inputs})
        assert sentence in answer.error
        assert answer.status == 400
    assert ask(port, INFER, {"inputs": given[::-1]}).body == ask(port, INFER, {"inputs": given}).body  # in any order


def test_unknown_paths_and_methods_are_refused(port: int) -> None:
    for path, method, status, sentence in (
        ("/v2/models/mixed/versions/2/infer", "POST", 404, f"has the version {VERSION}, not '2'"),
        (
            "/v2/models/mixed.reconstruct",
            "GET",
            404,
            "there is no model 'mixed.reconstruct': there are mixed, mixed.encode",
        ),
        ("/v2/models/%00%0a", "GET", 404, r"there is no model '\x00\n'"),
        ("/v3", "GET", 404, "there is no '/v3': see /openapi.json"),
        ("/v2/", "GET", 404, "there is no '/v2/'"),
        ("/v2/models/mixed/infer", "GET", 405, "has no method 'GET': use POST"),
        ("/v2/health/live", "DELETE", 405, "has no method 'DELETE': use GET, HEAD"),
    ):
        answer = ask(port, path, method=method)
        assert sentence in answer.error
        assert answer.status == status
        assert status != 405 or answer.headers["allow"] in sentence
    head = ask(port, "/v2", method="HEAD")
    assert (head.status, head.body, int(head.headers["content-length"])) == (200, b"", len(ask(port, "/v2").body))


def test_answers_are_compressed_as_the_client_accepts(port: int) -> None:
    document = ask(port, "/openapi.json").json
    for accepted, encoding in (
        ("gzip;q=0.5, deflate", "deflate"),
        ("*", "gzip"),
        ("gzip;q=0, *;q=0.1", "deflate"),
        ("br, gzip;q=0.000", None),
        ("gzip;q=x", None),
    ):
        answer = ask(port, "/openapi.json", headers={"Accept-Encoding": accepted})
        assert answer.headers.get("content-encoding") == encoding
        assert answer.headers["vary"] == "Accept-Encoding"
        body = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[encoding](answer.body)
        assert json.loads(body) == document


@pytest.mark.promise(29)
def test_bodies_are_limited() -> None:
    limits = Settings(max_body_bytes=20_000, max_decompressed_bytes=100_000, max_json_bytes=50_000, max_values=400)
    with served(exported(), settings=limits) as port:
        assert ask(port, DECODE, CODES).status == 200
        bomb = gzip.compress(b" " * 10_000_000)
        for body, headers, status, sentence in (
            (b" " * 20_001, {}, 413, "more than 20000 bytes: send"),
            (bomb, {"Content-Encoding": "gzip"}, 413, "more than 100000 bytes when decompressed"),
            (gzip.compress(b" " * 60_000), {"Content-Encoding": "gzip"}, 413, "has 60000 bytes, and 50000 are allowed"),
            (changed(shape=[81, 2], data=[0] * 162), {}, 413, "has 81 rows, and 80 are allowed"),
        ):
            answer = ask(port, DECODE, body, headers)
            assert sentence in answer.error
            assert answer.status == status
        with socket.create_connection(("127.0.0.1", port)) as connection:  # a body without a declared length
            connection.sendall(f"POST {DECODE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            connection.sendall(b"4e20\r\n" + b" " * 20_000 + b"\r\n" + b"1\r\n \r\n0\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.promise(29)
def test_slow_and_cut_off_bodies_hold_nothing() -> None:
    with served(exported(), settings=Settings(request_seconds=0.5, max_in_flight=1)) as port:
        head = f"POST {DECODE} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(JSON)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(head + JSON[:9])
            time.sleep(0.05)
            busy = ask(port, DECODE, CODES)
            assert (busy.status, busy.headers["retry-after"]) == (503, "1")
            assert busy.error == "there are too many requests: try again later"
            assert ask(port, "/v2/health/ready").status == 200
            assert slow.recv(100).startswith(b"HTTP/1.1 408")
        assert ask(port, DECODE, CODES).status == 200
        with socket.create_connection(("127.0.0.1", port)) as cut:
            cut.sendall(head + JSON[:9])
        for _ in range(40):
            if (answer := ask(port, DECODE, CODES)).status != 503:
                break
            time.sleep(0.01)
        assert answer.status == 200


def doubled(*values: float) -> dict[str, Any]:
    return {"inputs": [{"name": "X", "datatype": "FP32", "shape": [len(values), 1], "data": list(values)}]}


def until(condition: Callable[[], bool]) -> None:
    """Waits for what happens soon."""
    stop = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < stop
        time.sleep(0.005)


def test_who_goes_away_leaves_the_queue() -> None:
    model, path = Doubling(), "/v2/models/doubling.encode/infer"
    with served(model, settings=Settings(max_queued=1)) as port, ThreadPoolExecutor(4) as pool:
        model.free.clear()
        first = pool.submit(ask, port, path, doubled(1))
        assert model.begun.wait(10)
        body = json.dumps(doubled(2)).encode()
        with socket.create_connection(("127.0.0.1", port)) as gone:
            gone.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(0.05)
            assert ask(port, path, doubled(3)).status == 503  # the queue is full
        time.sleep(0.05)
        last = pool.submit(ask, port, path, doubled(4))  # takes the place
        time.sleep(0.05)
        model.free.set()
        assert first.result().status == 200
        assert last.result().json["outputs"][0]["data"] == [8.0]
    assert model.computed == [("encode", 1), ("encode", 1)]


@pytest.mark.promise(29)
def test_what_grows_by_decompression_is_counted() -> None:
    def zeros(rows: int) -> tuple[bytes, dict[str, str]]:
        tensor = {"name": "X", "datatype": "FP32", "shape": [rows, 1], "parameters": {"binary_data_size": 4 * rows}}
        body, headers = binary({"inputs": [tensor]}, bytes(4 * rows))
        return gzip.compress(body), headers | {"Content-Encoding": "gzip"}

    model, path = Doubling(), "/v2/models/doubling.encode/infer"
    with (
        served(model, settings=Settings(max_body_bytes=1000, max_held_bytes=350_000)) as port,
        ThreadPoolExecutor() as pool,
    ):
        model.free.clear()
        held = pool.submit(ask, port, path, *zeros(25_000))  # 100 kB, and as much for its outputs
        assert model.begun.wait(10)
        assert ask(port, path, *zeros(65_000)).error == "the server holds too many large requests: try again later"
        model.free.set()
        assert held.result().status == 200
        assert ask(port, path, *zeros(25_000)).status == 200


@pytest.mark.promise(29)
def test_an_answer_that_takes_too_long_is_given_up() -> None:
    model, path = Doubling(), "/v2/models/doubling.encode/infer"
    with served(model, settings=Settings(request_seconds=0.1)) as port:
        model.free.clear()
        late = ask(port, path, doubled(1))
        assert late.status == 504
        assert late.error == "the answer took more than 0.1 seconds: send fewer rows, or try later"
        model.free.set()
        assert ask(port, path, doubled(5)).status == 200


@pytest.mark.promise(29)
def test_decompression_takes_no_more_memory_than_allowed() -> None:
    bomb = gzip.compress(bytes(20_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(RequestError, match="more than 100000 bytes when decompressed"):
            decompressed(bomb, "gzip", 100_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.promise(29)
@pytest.mark.thorough
def test_a_client_that_does_not_read_holds_nothing() -> None:
    body = json.dumps(changed(shape=[60_000, 2], data=[0.5] * 120_000)).encode()
    with (
        served(
            exported(), settings=Settings(max_held_bytes=8_000_000, max_body_bytes=2_000_000, request_seconds=1)
        ) as port,
        socket.socket() as slow,
    ):
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        slow.sendall(f"POST {DECODE} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert slow.recv(12) == b"HTTP/1.1 200"
        busy = ask(port, DECODE, body)
        assert (busy.status, busy.headers["retry-after"]) == (503, "1")
        assert busy.error == "the server holds too many large requests: try again later"
        until(lambda: ask(port, DECODE, body).status == 200)


def test_large_bodies_are_read_beside_the_event_loop(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = list[str]()

    def noted(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return read_request(*arguments)

    monkeypatch.setattr("isthmus.serving.app.read_request", noted)
    large = json.dumps(changed(shape=[9_000, 2], data=[0.125] * 18_000)).encode()
    for body, headers in ((CODES, {}), (large, {}), (gzip.compress(large), {"Content-Encoding": "gzip"})):
        assert ask(port, DECODE, body, headers).status == 200
    assert ["isthmus-bodies" in name for name in threads] == [False, True, True]


@pytest.mark.promise(29)
@pytest.mark.thorough
def test_health_answers_while_large_bodies_are_read(port: int) -> None:
    large = changed(shape=[40_000, 2], data=[0.123456789] * 80_000)
    body, slowest = json.dumps(large).encode(), 0.0
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(ask, port, DECODE, body) for _ in range(2)]
        while not waiting[-1].done():
            begin = time.perf_counter()
            assert ask(port, "/v2/health/live").status == 200
            slowest = max(slowest, time.perf_counter() - begin)
        sizes = {len(each.result().json["outputs"][0]["data"]) for each in waiting}
    assert sizes == {40_000}
    assert slowest < 0.5


@pytest.mark.promise(29)
def test_only_the_row_at_fault_fails(port: int) -> None:
    """Also where requests are computed together."""
    given = tensors(slice(0, 3))
    good = {"inputs": [plain(name, values) for name, values in given.items()]}
    bad = {"inputs": [plain(name, values) for name, values in (given | {"x": np.array([0, 1e308, 0])}).items()]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: ask(port, INFER, body), [good, bad] * 8))
    assert {answer.status for answer in answers[::2]} == {200}
    assert len({answer.body for answer in answers[::2]}) == 1
    for answer in answers[1::2]:
        assert answer.status == 400
        assert answer.error.startswith("row 1 has no finite result")


def check_clients(port: int, clients: int, seconds: float) -> int:
    """Many clients, each with rows and parts of its own, who compare the bits; the number of answers."""
    parts, stop, table = ("encode", "score", "decode"), time.monotonic() + seconds, tensors()
    expected = {"encode": MODEL.encode(columns()), "score": MODEL.score_samples(columns())}
    expected["decode"] = MODEL.decode(expected["encode"])["x"]

    def client(number: int) -> int:
        rng, count = np.random.default_rng(number), 0
        while time.monotonic() < stop:
            part, begin = parts[number % 3], int(rng.integers(0, 50))
            rows = slice(begin, begin + int(rng.integers(1, 10)))
            if part == "decode":
                codes = expected["encode"][rows]
                sent = [{"name": "code", "datatype": "FP32", "shape": list(codes.shape), "data": codes.tolist()}]
            else:
                sent = [plain(name, values[rows]) for name, values in table.items()]
            answer: Answer = ask(port, f"/v2/models/mixed.{part}/infer", {"id": str(number), "inputs": sent})
            assert answer.status == 200, answer.body
            assert answer.json["id"] == str(number)
            values = np.array(answer.json["outputs"][0]["data"], expected[part].dtype)
            assert np.array_equal(values, expected[part][rows].ravel())
            count += 1
        return count

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(client, range(clients)))


@pytest.mark.promise(29)
def test_no_answer_is_lost_or_mixed_up(port: int) -> None:
    assert check_clients(port, 12, 0.4) >= 12


@pytest.mark.promise(29)
@pytest.mark.thorough
def test_no_answer_of_200_clients_is_lost_or_mixed_up(port: int) -> None:
    assert check_clients(port, 200, 20) >= 1000


@pytest.mark.promise(29)
@pytest.mark.thorough
def test_memory_stays_flat_over_wrong_requests(port: int) -> None:
    def memory() -> float:
        with open("/proc/self/status", encoding="ascii") as status:
            return int(status.read().partition("VmRSS:")[2].split()[0]) / 1024

    def flood(seconds: float) -> int:
        stop, count = time.monotonic() + seconds, 0
        bomb = gzip.compress(b"[" * 40_000_000)
        while time.monotonic() < stop:
            for status, body, headers in WRONG.values():
                assert ask(port, DECODE, body, headers).status == status
                count += 1
            assert ask(port, DECODE, bomb, {"Content-Encoding": "gzip"}).status == 413
            cut_off()
        return count

    def cut_off() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                f"POST {DECODE} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n".encode() + bytes(9000)
            )

    flood(5)
    before = memory()
    assert flood(20) > 500
    assert memory() < before + 20  # MiB
