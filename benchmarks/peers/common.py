"""What every peer's script shares: the digits, a clock, and a line of JSON at the end.

python SCRIPT WORK DIGITS         trains, and prints seconds of each epoch, loss and memory
python SCRIPT WORK DIGITS first   encodes one digit
python SCRIPT WORK DIGITS uses    prints seconds of a call, for each use and number of digits in `COUNTS`
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from works import WORKS, Work  # the path has to be set first

__all__ = ["COUNTS", "WORKS", "Timer", "Uses", "Work", "corrupted", "data", "main"]

COUNTS = (1, 64, 60_000)
Uses = dict[str, Callable[[np.ndarray[Any, Any]], object]]  # digits as bytes (n, 28, 28) -> codes, pictures or scores


class Timer:
    """Wall time of each epoch; what happens before `begin` does not count."""

    def __init__(self) -> None:
        self.precision = "float32"
        self.seconds: list[float] = []
        self.last = time.perf_counter()

    def begin(self) -> None:
        """Training begins."""
        self.last = time.perf_counter()

    def epoch(self) -> None:
        """An epoch is over."""
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now


def data() -> np.ndarray[Any, Any]:
    """60,000 digits (n, 28, 28) as bytes, from the file that the second argument names."""
    return np.load(sys.argv[2])


def corrupted(X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Digits in [0, 1] with noise of 0.5, clipped, drawn once."""
    rng = np.random.default_rng(0)
    return np.clip(X + 0.5 * rng.standard_normal(X.shape, np.float32), 0, 1)


def main(train: Callable[[Work, Timer], float], uses: Callable[[Work], Uses] | None = None) -> None:
    """Does what the arguments ask for."""
    work = WORKS[sys.argv[1]]
    if sys.argv[3:] == ["uses"]:
        assert uses is not None, "this peer is not asked for that"
        X = data()
        print(json.dumps({use: [median(call, X[:n]) for n in COUNTS] for use, call in uses(work).items()}))
        return
    if sys.argv[3:] == ["first"]:
        assert uses is not None, "this peer is not asked for that"
        uses(work)["encode"](np.load(sys.argv[2], mmap_mode="r")[:1])
        return
    timer = Timer()
    loss = train(work, timer)
    peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # of this program alone
    print(json.dumps({"seconds": timer.seconds, "loss": float(loss), "memory": peak, "precision": timer.precision}))


def median(call: Callable[[np.ndarray[Any, Any]], object], X: np.ndarray[Any, Any]) -> float:
    """Seconds of a call: of as many as a second holds, after a first one that counts only where it took five."""
    seconds, warm = list[float](), False
    while sum(seconds) < 1:
        began = time.perf_counter()
        call(X)
        seconds.append(time.perf_counter() - began)
        if len(seconds) == 1 and seconds[0] < 5 and not warm:
            seconds.clear()
            warm = True
    return statistics.median(seconds)
