"""No test talks to the network: every connection but to this machine itself is refused, and fails the test that asked for it."""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Any

__all__ = ["RefusedError", "close_subprocesses", "guard", "refused"]

refused: list[str] = []  # what was asked for, and by which test

_NOBODY = "http://127.0.0.1:9"  # the port where nothing listens


class RefusedError(ConnectionError):
    """A test asked for the network."""


def guard() -> None:
    """Refuses connections and look-ups of names in this process, for good."""
    sys.addaudithook(_audit)


def close_subprocesses() -> None:
    """Sends what subprocesses ask of the network to a port of this machine where nothing listens."""
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy"):
        os.environ[name] = os.environ[name.upper()] = _NOBODY
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1,::1"


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # else a socket of this machine's files
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = arguments[0]
    else:
        return
    if not _own(host):
        test = os.environ.get("PYTEST_CURRENT_TEST", "a test").partition(" ")[0]
        refused.append(f"{test} asked for {host!r} ({event})")
        raise RefusedError(refused[-1])


def _own(host: Any) -> bool:
    """Whether an address is this machine's."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if text in {None, "", "localhost", "ip6-localhost"}:
        return True
    try:
        return ipaddress.ip_address(str(text).partition("%")[0]).is_loopback
    except ValueError:  # a name
        return False
