"""Limits of memory and computation, checked before work starts.

By default, work that a file determines may use half a gigabyte, or a thousand times the bytes of its input if that is more, and never
more than the machine has available. ``max_memory`` replaces these limits. The number of multiplications per example is limited too;
``max_memory`` also removes this limit, since it says that the user trusts the file.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from isthmus.errors import MemoryLimitError, RecordError

__all__ = [
    "address_space",
    "allowed_memory",
    "available_memory",
    "check_memory",
    "check_work",
    "get_memory_limit",
    "lacks_memory",
    "parse_size",
    "set_memory_limit",
    "shown_size",
]

_USUAL = 1 << 29  # bytes that are allowed for every file
_PROPORTION = 1 << 10  # bytes of memory per byte of input
_USUAL_WORK = 10**11  # multiplications per example that are allowed for every file: a large image model, some seconds
_WORK = 10**5  # multiplications per byte of an example
_SMALL = 1 << 26  # bytes that are allowed without a check of the machine
_MARGIN = 2  # factor of an estimate above the limit that is still allowed, since the estimate may be too high
_LEFT = "left on this machine"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_CGROUPS = Path("/sys/fs/cgroup")

_user_limit: int | None = None


def parse_size(max_memory: int | float | str) -> int:
    """Bytes from a number or a text such as "4GB", "500 MB", "2GiB"; `RecordError` for other values."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]?i?)b?\s*", str(max_memory).lower())
    bytes_ = (
        float(found[1]) * _UNITS.get(found[2], math.nan) if found and not isinstance(max_memory, bool) else math.nan
    )
    if not 0 < bytes_ < 2**63:
        raise RecordError(f"invalid max_memory={str(max_memory)[:40]!r}: expected bytes, or a size such as '4GB'")
    return int(bytes_)


def shown_size(count: float) -> str:
    """Bytes as text with a unit, such as "640 MB" or "1.2 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB" if count < 1e6 else "more than a million TB"


def set_memory_limit(max_memory: int | float | str | None) -> None:
    """Sets the memory limit of this process, as ``--max-memory`` does; None removes it."""
    global _user_limit
    _user_limit = None if max_memory is None else parse_size(max_memory)


def get_memory_limit() -> int | None:
    """The bytes that `set_memory_limit` allows; None without such a limit."""
    return _user_limit


def check_memory(
    needed: int | float,
    what: str,
    *,
    given: int | None = None,
    max_memory: int | None = None,
    rough: bool = False,
    how: str = "use fewer examples at a time",
) -> None:
    """Raises `MemoryLimitError` if work would need more memory than is allowed.

    Args:
        needed: the bytes that the work needs.
        what: the subject of the sentence, such as "decoding one example".
        given: the bytes of the input, if a file determines how much memory they need; None if the user's parameters do, which only
            the memory of the machine limits.
        max_memory: the bytes that the user allows; they replace both limits.
        rough: whether ``needed`` is an estimate.
        how: what the user can do, apart from raising the limit.
    """
    if needed <= _SMALL and max_memory is None and _user_limit is None:
        return
    allowed = _user_limit if max_memory is None else max_memory
    usual = math.inf if given is None else max(_USUAL, _PROPORTION * given)
    if allowed is not None:
        limit, reason = float(allowed), "allowed"
    elif (left := available_memory()) < usual:
        limit, reason = left, _LEFT
    else:
        limit, reason = usual, "allowed for an input of this size"
    if needed / (_MARGIN if rough and reason == _LEFT else 1) > limit:
        suggested = f"{max(1, math.ceil(needed * 1.1 / 1e9))}GB" if math.isfinite(needed) else "1000GB"
        raise MemoryLimitError(
            f"{what} would take about {shown_size(needed)} of memory, and {shown_size(limit)} are {reason}: {how}, "
            f"or raise the limit with isthmus.load(..., max_memory='{suggested}') or isthmus --max-memory {suggested} before the command"
        )


def check_work(products: int, what: str, given: int, *, max_memory: int | None = None) -> None:
    """Raises `MemoryLimitError` if a file requires more multiplications than its input size allows, without a ``max_memory``.

    Args:
        products: the number of multiplications per example.
        what: the subject of the sentence.
        given: the bytes of one example.
        max_memory: the bytes that the user allows; if given, the number of multiplications is not limited.
    """
    limit = max(_USUAL_WORK, _WORK * given)
    if products > limit and max_memory is None and _user_limit is None:
        raise MemoryLimitError(
            f"{what} would take {float(products):.2g} multiplications, and {float(limit):.2g} are allowed for an input of this size: use "
            "another model, or remove the limit with isthmus.load(..., max_memory='4GB') or isthmus --max-memory 4GB before the command"
        )


def available_memory() -> float:
    """Bytes that this process can still use, by the machine, its control groups and its address space; infinite if unknown."""
    return max(0.0, min((*_of_machine(), *_of_groups(), *_of_process()), default=math.inf))


def address_space() -> float:
    """Bytes of addresses that this process can still take, as `ulimit -v` limits them; infinite without a limit."""
    return max(0.0, min(_of_process(), default=math.inf))


def allowed_memory() -> float:
    """Bytes that this process may still use: those that are left, and no more than `set_memory_limit` allows; infinite if unknown."""
    left = available_memory()
    return left if _user_limit is None else min(left, float(_user_limit))


def _of_machine() -> Iterator[float]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = {name: float(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
        yield sizes["MemAvailable"] + sizes.get("SwapFree", 0.0)
    except (OSError, LookupError, ValueError):
        if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
            yield float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _of_groups() -> Iterator[float]:
    """The available bytes of each control group of this process that has a limit; cached pages of files count as available."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, kinds, inside = line.split(":", 2)
        new = number == "0" and not kinds
        if not new and "memory" not in kinds.split(","):
            continue
        root = _CGROUPS if new else _CGROUPS / "memory"
        names = ("memory.max", "memory.current") if new else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        place = root / inside.strip("/")
        for folder in (place, *place.parents):
            if folder == root.parent:
                break
            try:
                limit, used = (
                    float((folder / name).read_text()) for name in names
                )  # "max" raises ValueError: no limit
                stat = dict(entry.split() for entry in (folder / "memory.stat").read_text().splitlines())
                yield limit - used + float(stat.get("inactive_file", stat.get("total_inactive_file", 0)))
            except (OSError, ValueError):
                continue


def _of_process() -> Iterator[float]:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            yield float(limit - pages * resource.getpagesize())
    except (ImportError, OSError, ValueError):
        return


def lacks_memory(error: BaseException) -> bool:
    """Whether an error is about memory: of a tensor, of loading PyTorch, or of a thread's stack."""
    text = str(error).lower()
    return isinstance(error, MemoryError | SystemError) or any(words in text for words in _MEMORY_MESSAGES)


_MEMORY_MESSAGES = (
    "allocate",
    "bad_alloc",
    "out of memory",
    "failed to map segment",
    "failed to launch worker thread",
    "can't start new thread",
)
