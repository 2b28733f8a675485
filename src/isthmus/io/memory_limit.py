"""Memory: what the machine has left, what is in proportion to what was given, and a person's word that more may be taken.

What a file asks for is judged before it is computed: by default work may take half a gigabyte, or a thousand times the bytes that a
person gave it, whichever is more, and never more than the machine has. ``max_memory`` takes the place of all of that. Likewise time: an
example may take as many multiplications as below; who says ``max_memory`` trusts the file, and waits as long as it takes.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from isthmus.errors import MemoryLimitError, RecordError

__all__ = ["available", "check_memory", "check_work", "insist", "parse_size", "shown_size"]

_USUAL = 1 << 29  # bytes that any file may ask for
_PROPORTION = 1 << 10  # bytes of work for each byte given
_USUAL_WORK = 10**11  # multiplications for an example that any file may ask for: a large image model, and seconds
_WORK = 10**5  # multiplications for each byte of it
_SMALL = 1 << 26  # bytes that need no look at the machine
_MARGIN = 2  # of an estimate, which must not stand in the way of what may just fit
_LEFT = "left on this machine"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_CGROUPS = Path("/sys/fs/cgroup")

_insisted: int | None = None


def parse_size(max_memory: int | float | str) -> int:
    """Bytes: a number of them, or a text such as "4GB", "500 MB", "2GiB"; `RecordError` where it is neither."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]?i?)b?\s*", str(max_memory).lower())
    bytes_ = (
        float(found[1]) * _UNITS.get(found[2], math.nan) if found and not isinstance(max_memory, bool) else math.nan
    )
    if not 0 < bytes_ < 2**63:
        raise RecordError(f"max_memory={str(max_memory)[:40]!r} cannot be: give bytes, or a size such as '4GB'")
    return int(bytes_)


def shown_size(count: float) -> str:
    """Bytes as a person reads them: 640 MB, 1.2 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB" if count < 1e6 else "more than a million TB"


def insist(max_memory: int | float | str | None) -> None:
    """All work of this process may take so much: what ``--max-memory`` says; None takes that back."""
    global _insisted
    _insisted = None if max_memory is None else parse_size(max_memory)


def check_memory(
    needed: int | float, what: str, *, given: int | None = None, max_memory: int | None = None, rough: bool = False
) -> None:
    """`MemoryLimitError` where work would take more memory than it may.

    Args:
        needed: bytes.
        what: the beginning of the sentence, such as "decoding one example".
        given: bytes that a person gave it to work on, where a file decides how much is made of them; None for a person's own
            choices, which the machine alone limits.
        max_memory: bytes that a person allows; they take the place of both limits.
        rough: whether needed is an estimate.
    """
    if needed <= _SMALL and max_memory is None and _insisted is None:
        return
    said = _insisted if max_memory is None else max_memory
    usual = math.inf if given is None else max(_USUAL, _PROPORTION * given)
    if said is not None:
        most, why = float(said), "allowed"
    elif (left := available()) < usual:
        most, why = left, _LEFT
    else:
        most, why = usual, "in proportion to what it was given"
    if needed / (_MARGIN if rough and why == _LEFT else 1) > most:
        enough = f"{max(1, math.ceil(needed * 1.1 / 1e9))}GB" if math.isfinite(needed) else "1000GB"
        raise MemoryLimitError(
            f"{what} would take about {shown_size(needed)} of memory, and {shown_size(most)} are {why}: take fewer examples at "
            f"a time, or insist, by isthmus.load(..., max_memory='{enough}') or isthmus --max-memory {enough} before the verb"
        )


def check_work(products: int, what: str, given: int, *, max_memory: int | None = None) -> None:
    """`MemoryLimitError` where a file asks for more multiplications than are in proportion, and nobody insists.

    Args:
        products: multiplications.
        what: the beginning of the sentence.
        given: bytes of the example that they are for.
        max_memory: bytes that a person allows, and with them the time.
    """
    most = max(_USUAL_WORK, _WORK * given)
    if products > most and max_memory is None and _insisted is None:
        raise MemoryLimitError(
            f"{what} would take {float(products):.2g} multiplications, and {float(most):.2g} are in proportion to what it was given: take "
            "another model or, if it may take its time, insist, by isthmus.load(..., max_memory='4GB') or isthmus --max-memory 4GB "
            "before the verb"
        )


def available() -> float:
    """Bytes that this process may still take: of the machine, of its control groups, of its address space; infinite if unknown."""
    return max(0.0, min((*_of_machine(), *_of_groups(), *_of_process()), default=math.inf))


def _of_machine() -> Iterator[float]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        known = {name: float(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
        yield known["MemAvailable"] + known.get("SwapFree", 0.0)
    except (OSError, LookupError, ValueError):
        if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
            yield float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _of_groups() -> Iterator[float]:
    """Of each control group around this process that has a limit: what is left of it, pages of files counted as free."""
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
                most, used = (float((folder / name).read_text()) for name in names)  # "max" is no number
                stat = dict(entry.split() for entry in (folder / "memory.stat").read_text().splitlines())
                yield most - used + float(stat.get("inactive_file", stat.get("total_inactive_file", 0)))
            except (OSError, ValueError):
                continue


def _of_process() -> Iterator[float]:
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            yield float(most - pages * resource.getpagesize())
    except (ImportError, OSError, ValueError):
        return
