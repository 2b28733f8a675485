"""Whether other programs take the processor from a training on several threads: it waits for them at every step, and a person is told.

What tells it: less time of the processor was used than there are threads, and the system took threads off it again and again.
Threads that sleep, or wait for a disk, leave it by themselves, which is counted apart.
"""

from __future__ import annotations

import time
import warnings

from isthmus.errors import IsthmusWarning

__all__ = ["Company"]

_SECONDS = 10.0  # looked at together
_SHARE = 0.8  # of the processor, below which it is said
_TAKEN = (
    40.0  # times a second that a thread is taken off the processor: alone 15 to 35, beside a busy program about 100
)


class Company:
    """Looks at what a training on so many threads gets of the processor, and says once if others take much of it."""

    def __init__(self, threads: int) -> None:
        self.threads, self.since = threads, _usage()

    def look(self) -> None:
        """Between two steps."""
        if self.threads < 2 or self.since is None or time.perf_counter() - self.since[0] < _SECONDS:
            return
        before, self.since = self.since, _usage()
        assert self.since is not None
        seconds, used, taken = (now - then for now, then in zip(self.since, before, strict=True))
        share = used / seconds / self.threads
        if share < _SHARE and taken / seconds / self.threads > _TAKEN:
            threads, self.threads = self.threads, 1  # it is said once
            warnings.warn(
                f"other programs take {1 - share:.0%} of the processor from this training, whose {threads} threads wait for each other at "
                "every step; while they run, one thread may be faster: set OMP_NUM_THREADS=1",
                IsthmusWarning,
                stacklevel=3,
            )


def _usage() -> tuple[float, float, float] | None:
    """The time; seconds of the processor used by this process; how often one of its threads was taken off. None where it is not known."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # another system
        return None
    usage = getrusage(RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime, usage.ru_nivcsw
