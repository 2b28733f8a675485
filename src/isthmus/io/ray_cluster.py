"""The connection to Ray: a local instance of it, or a running cluster."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

from isthmus.errors import IsthmusError, NotPossibleError
from isthmus.text import printable

__all__ = ["connected", "imported_ray"]

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}  # which Ray reads when it connects
_SECONDS = 5.0  # to reach a cluster
_REFUSED = (b"InvalidAuthToken", b"Unauthenticated")  # what Ray prints; its error says only that it failed
_TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the token of the cluster"


def imported_ray() -> Any:
    """The module `ray`.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    import ray

    return ray


@contextmanager
def connected(ray: Any, address: str | None, jobs: int | None, memory_tries: int | None = None) -> Iterator[None]:
    """Inside the context this process uses Ray: the connection that it has, or a new one, which ends with the context.

    A new one is without usage statistics. The variables of the environment that set this are removed at its end.

    Args:
        ray: from `imported_ray`.
        address: of the cluster, such as 10.0.0.1:6379 or auto; None: a local instance, which only this machine can reach.
        jobs: the cores of the local instance; None: all.
        memory_tries: how often a task that dies of memory is tried again, if its `max_retries` is not 0; None: as Ray does,
            without end.

    Raises:
        NotPossibleError: there is no cluster at the address, it does not accept this process, or Ray does not start.
    """
    if ray.is_initialized():
        yield
        return
    if address is not None:
        _check_reachable(ray, address)
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    local = {"address": "local", "num_cpus": jobs, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    tries = {} if memory_tries is None else {"RAY_task_oom_retries": str(memory_tries)}
    with _environment(_SETTINGS | tries):
        with _kept_handler():
            _connect(ray, address, quiet | (local if address is None else {"address": address}))
        try:
            yield
        finally:
            with _kept_handler():
                ray.shutdown()


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Inside the context these variables are set; those that the user has set stay."""
    ours = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _connect(ray: Any, address: str | None, options: dict[str, Any]) -> None:
    """Connects; `NotPossibleError` if there is no cluster, or it does not accept this process."""
    where = "this machine" if address is None else printable(address)
    with _standard_error() as said:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of Ray are for its own users
                ray.init(**options)
        except ray.exceptions.AuthenticationError:
            raise NotPossibleError(f"Ray at {where} needs a token, and this process has none: {_TOKEN}") from None
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
            if any(word in said() for word in _REFUSED):
                raise NotPossibleError(
                    f"the Ray cluster at {where} refuses the token of this process: {_TOKEN}"
                ) from None
            raise NotPossibleError(_no_connection(error, address)) from None


def _no_connection(error: Exception, address: str | None) -> str:
    """Why Ray did not connect, in a sentence."""
    reason = printable(" ".join(str(error).split()) or type(error).__name__, 600)
    if address is None:
        return f"Ray did not start on this machine ({reason}): use --engine local"
    where = printable(address)
    if isinstance(error, ConnectionError):
        return f"there is no Ray cluster at {where} ({reason}): start one with ray start, or use --engine local"
    return (
        f"Ray at {where} does not accept this process ({reason}): "
        "use the versions of Ray and Python of the cluster if these differ, or --engine local"
    )


@contextmanager
def _standard_error() -> Iterator[Any]:
    """Inside the context what this process and its libraries print to standard error goes to a file; yields a function that reads it.

    After an error that is not one of isthmus it is printed: it may hold the reason.
    """
    with tempfile.TemporaryFile() as file:
        kept = None
        with suppress(OSError):  # of a process without standard error
            kept = os.dup(2)
            os.dup2(file.fileno(), 2)
        printed = b""
        try:
            yield lambda: _read(file)
        except IsthmusError:
            raise
        except Exception:
            printed = _read(file)
            raise
        finally:
            if kept is not None:
                os.dup2(kept, 2)
                os.close(kept)
                _write(printed)


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _write(printed: bytes) -> None:
    """Writes to standard error."""
    with suppress(OSError), os.fdopen(2, "wb", closefd=False) as stream:
        stream.write(printed)


def _check_reachable(ray: Any, address: str) -> None:
    """`NotPossibleError` if nothing listens at an address, for which Ray would wait without end."""
    host, separator, port = address.rpartition("://")[2].rpartition(":")
    if not separator or not port.isdecimal():  # such as auto, which Ray looks up
        return
    host = ray.util.get_node_ip_address() if host in {"localhost", "127.0.0.1"} else host.strip("[]")  # as Ray does
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError, ValueError) as error:  # ValueError: of a name that no host can have
        raise NotPossibleError(
            f"there is no Ray cluster at {printable(address)} ({error}): start one with ray start, or use --engine local"
        ) from None


@contextmanager
def _kept_handler() -> Iterator[None]:
    """Keeps the handler of SIGTERM, which Ray would replace."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
