"""The log: a line of JSON for each request and each event."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isthmus.io.atomic import check_writable
from isthmus.io.terminal import print_lines
from isthmus.serving.observing import Exchange
from isthmus.text import printable, sentence

__all__ = ["AccessLog"]

_WAITING = 10_000  # lines at most
_CLOSING = 2.0  # seconds for the last lines


class AccessLog:
    """Lines of JSON in printable ASCII. A thread writes them, so that a full pipe or disk does not hold up requests.

    The log has no bodies, no headers and no query strings. A file is opened for each group of lines: it can be renamed or removed at any
    time. Lines that cannot be written fast enough are dropped, and the next line says how many.

    Args:
        path: the file, to which lines are appended; None for standard error.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._dropped, self._failure = path, 0, ""
        if path is not None:
            check_writable(path)
            with path.open("ab"):
                pass
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._write_all, name="isthmus log", daemon=True)
        self._thread.start()

    def request(self, exchange: Exchange) -> None:
        """Writes the line of a request."""
        self._put(
            exchange.began,
            {
                "method": printable(exchange.method, 20),
                "path": printable(exchange.path),
                "status": exchange.status,
                "rows": exchange.rows,
                "batch_rows": exchange.batch_rows,
                "bytes_in": exchange.bytes_in,
                "bytes_out": exchange.bytes_out,
                "seconds": round(exchange.seconds, 6),
                "client": printable(exchange.client),
            },
        )

    def message(self, text: str) -> None:
        """Writes the line of an event."""
        self._put(time.time(), {"message": sentence(text)})

    def close(self) -> None:
        """Writes the lines that wait, for two seconds at most."""
        try:
            self._lines.put(None, timeout=_CLOSING)
        except queue.Full:
            return
        self._thread.join(_CLOSING)

    def _put(self, seconds: float, fields: dict[str, Any]) -> None:
        moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._dropped:
            fields["dropped_lines"] = self._dropped
        try:
            self._lines.put_nowait(json.dumps({"time": moment} | fields))
            self._dropped = 0
        except queue.Full:
            self._dropped += 1

    def _write_all(self) -> None:
        """Writes lines until the end."""
        lines = list[str]()
        while True:
            line = self._lines.get()
            if line is not None:
                lines.append(line)
            if lines and (line is None or self._lines.empty() or len(lines) >= _WAITING):
                self._write(lines)
                lines.clear()
            if line is None:
                return

    def _write(self, lines: list[str]) -> None:
        """Writes lines; after one that a full disk or a killed process has left torn, on a line of their own."""
        if self._path is None:
            print_lines(*lines, error=True)
            return
        try:
            with self._path.open("a+b") as file:
                torn = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
                file.write("\n".join([*([""] if torn else []), *lines, ""]).encode())
            self._failure = ""
        except OSError as error:
            if self._failure != str(error):  # the same failure is told once
                self._failure = str(error)
                print_lines(f"isthmus: {printable(self._path)}: {error.strerror}; requests are not logged", error=True)
