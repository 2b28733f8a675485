"""What a training on several threads does when other programs use the processor: it uses one, or gives a warning.

The threads of a step wait for each other, so one that is preempted slows down all. Contention has two signs: less CPU time than
the threads could use, and many involuntary context switches. A thread that sleeps or waits for a disk causes voluntary ones only.
"""

from __future__ import annotations

import time
import warnings

from isthmus.errors import IsthmusWarning

__all__ = ["ContentionMonitor"]

_INTERVAL = 10.0  # seconds between checks
_ADAPTIVE_INTERVAL = 0.25  # where a check can change the number of threads
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 30.0  # seconds on one thread, before all are tried again; doubled each time
_MIN_SHARE = 0.8  # of the CPU time of all threads
_MAX_PREEMPTIONS = 40.0  # per thread and second: 15 to 35 on an idle machine, about 100 next to a busy program


class ContentionMonitor:
    """Measures the CPU time of a training run on several threads, in case that other programs take much of it.

    Args:
        threads: of the run.
        adaptive: whether the run may use another number of threads; else a warning is given once.

    Attributes:
        current: how many threads the next step uses.
    """

    def __init__(self, threads: int, adaptive: bool = False) -> None:
        self.threads, self.current, self.adaptive = threads, threads, adaptive
        self.interval = _ADAPTIVE_INTERVAL if adaptive else _INTERVAL
        self.pause, self.since = _FIRST_PAUSE, cpu_usage()

    def check(self) -> None:
        """Measures, and perhaps changes `current` or warns. It is called before each step."""
        if self.threads < 2 or self.since is None:
            return
        passed = time.perf_counter() - self.since[0]
        if self.current < self.threads:
            if passed >= self.pause:
                self.current, self.since = self.threads, cpu_usage()
                self.pause = min(2 * self.pause, _LONGEST_PAUSE)
        elif passed >= self.interval:
            before, self.since = self.since, cpu_usage()
            assert self.since is not None
            self._judge(*(now - then for now, then in zip(self.since, before, strict=True)))

    def _judge(self, seconds: float, used: float, taken: float) -> None:
        """Decides from what happened since the last check: seconds, those of the processor, and involuntary context switches."""
        share = used / seconds / self.threads
        contended = share < _MIN_SHARE and taken / seconds / self.threads > _MAX_PREEMPTIONS
        if self.adaptive:
            self.current = 1 if contended else self.threads
            self.pause = self.pause if contended else _FIRST_PAUSE
        elif contended:
            threads, self.threads = self.threads, 1  # the warning is given once
            warnings.warn(
                f"other programs use {1 - share:.0%} of the processor time of this training, and its {threads} threads wait for each "
                "other at every step; one thread may be faster: set OMP_NUM_THREADS=1",
                IsthmusWarning,
                stacklevel=5,
            )


def cpu_usage() -> tuple[float, float, float] | None:
    """The time, the CPU seconds of this process and its involuntary context switches; None where the system has no counts."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    usage = getrusage(RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime, usage.ru_nivcsw
