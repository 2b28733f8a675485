"""A warning when other programs use the processor during multi-threaded training.

The threads of a step wait for each other, so one that is preempted slows down all. Contention has two signs: less CPU time than
the threads could use, and many involuntary context switches. A thread that sleeps or waits for a disk causes voluntary ones only.
"""

from __future__ import annotations

import time
import warnings

from isthmus.errors import IsthmusWarning

__all__ = ["ContentionMonitor"]

_INTERVAL = 10.0  # seconds between checks
_MIN_SHARE = 0.8  # of the CPU time of all threads
_MAX_PREEMPTIONS = 40.0  # per thread and second: 15 to 35 on an idle machine, about 100 next to a busy program


class ContentionMonitor:
    """Measures the CPU time of a training run on several threads, and warns once if other programs take much of it."""

    def __init__(self, threads: int) -> None:
        self.threads, self.since = threads, cpu_usage()

    def check(self) -> None:
        """Measures and perhaps warns. The training loop calls it between two steps."""
        if self.threads < 2 or self.since is None or time.perf_counter() - self.since[0] < _INTERVAL:
            return
        before, self.since = self.since, cpu_usage()
        assert self.since is not None
        seconds, used, taken = (now - then for now, then in zip(self.since, before, strict=True))
        share = used / seconds / self.threads
        if share < _MIN_SHARE and taken / seconds / self.threads > _MAX_PREEMPTIONS:
            threads, self.threads = self.threads, 1  # the warning is given once
            warnings.warn(
                f"other programs use {1 - share:.0%} of the processor time of this training, and its {threads} threads wait for each "
                "other at every step; one thread may be faster: set OMP_NUM_THREADS=1",
                IsthmusWarning,
                stacklevel=3,
            )


def cpu_usage() -> tuple[float, float, float] | None:
    """The time, the CPU seconds of this process and its involuntary context switches; None where the system has no counts."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    usage = getrusage(RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime, usage.ru_nivcsw
