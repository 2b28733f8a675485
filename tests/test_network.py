"""The guard of the tests themselves: the network is refused, this machine is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import network
import pytest


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.connect", (None, ("192.0.2.1", 80))),
        ("socket.connect", (None, ("2001:db8::1", 80, 0, 0))),
        ("socket.sendto", (None, ("192.0.2.1", 53))),
        ("socket.getaddrinfo", ("example.invalid", 80, 0, 0, 0)),
        ("socket.gethostbyname", (b"example.invalid",)),
    ],
)
def test_the_network_is_refused_and_the_test_is_named(event: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(network.RefusedError, match=r"test_network\.py::test_the_network_is_refused"):
        sys.audit(event, *arguments)  # what Python asks itself before it does so
    assert f"({event})" in network.refused.pop()


def test_connections_to_this_machine_are_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"here")
        connection, _ = server.accept()
        with connection:
            assert connection.recv(4) == b"here"


def test_a_subprocess_has_no_network() -> None:
    code = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert os.environ["HTTP_PROXY"] in "http://127.0.0.1:9"
    assert "Connection refused" in done.stderr
