"""Training in several processes: one of them prints and writes, and a later attempt finds the folder of the first."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from isthmus.cli.console import counted
from isthmus.text import sentence

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from isthmus.training.joining import Joined

__all__ = ["Begin", "begin", "check_verb", "described", "reserved_by_first", "together"]

Begin = Literal["new", "resume", "complete"]
_FOLDER, _ERROR = "isthmus folder", "isthmus error"
_WAIT = 3.0  # seconds for process 0 to say the same
_ALONE = {"sweep", "reproduce", "finetune"}  # verbs that train, in one process


def check_verb(verb: str | None) -> None:
    """`RecordError` for a verb that would do its work several times over."""
    from isthmus.errors import RecordError

    if verb in _ALONE and os.environ.get("RANK") and os.environ.get("WORLD_SIZE", "1") != "1":
        raise RecordError(f"{verb} does not run in several processes: start it without torchrun (train and resume do)")


@contextmanager
def together() -> Iterator[Joined]:
    """A context in which this process trains with others, if the environment says so; else alone.

    Processes other than 0 print nothing, except why they end where process 0 did not say it.
    """
    from isthmus.training.joining import Joined, are_joined, join

    if not are_joined():
        yield Joined()
        return
    with join() as joined:
        try:
            with ExitStack() as stack:
                if joined.processes.rank:
                    nothing = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                    stack.enter_context(redirect_stdout(nothing))
                    stack.enter_context(redirect_stderr(nothing))
                yield joined
        except KeyboardInterrupt as stop:
            if joined.processes.rank:
                raise SystemExit(128 + getattr(stop, "number", 2)) from None
            raise
        except Exception as error:
            _explain(error, joined)
            raise


def _explain(error: Exception, joined: Joined) -> None:
    """Tells the others why this process ends. `SystemExit` where another one has said it."""
    from isthmus.errors import LostProcessError, RecordError

    rank, text, lost = joined.processes.rank, sentence(error), isinstance(error, LostProcessError)
    key, until = f"{_ERROR} {joined.attempt}", time.monotonic() + (_WAIT if rank and not lost else 0)
    while (said := joined.remembered(key)) is None and time.monotonic() < until:
        time.sleep(0.05)
    if said is not None and (lost or said == text):
        raise SystemExit(2 if isinstance(error, RecordError) else 1)
    if not lost:
        joined.remember(key, text)
        if rank:
            error.args = (f"process {rank}: {text}",)


@contextmanager
def begin(joined: Joined, reserved: AbstractContextManager[Path]) -> Iterator[tuple[Path, Begin]]:
    """A context with the folder of a training, which process 0 reserves, and whether it begins, continues, or has ended before.

    An attempt after a failure has the folder of the first one.

    Args:
        joined: the processes.
        reserved: the context that reserves the folder of a first attempt.
    """
    from isthmus.experiments.run_folder import CHECKPOINT, MODEL, reserve_folder

    if joined.processes.rank:
        said = json.loads(joined.processes.texts("")[0])
        yield Path(said["folder"]), said["begin"]
        return
    before = joined.remembered(_FOLDER) if joined.attempt else None
    with reserved if before is None else reserve_folder(Path(before)) as folder:
        joined.remember(_FOLDER, str(folder))
        how: Begin = "new"
        if before is not None:
            how = "resume" if (folder / CHECKPOINT).exists() else "complete" if (folder / MODEL).exists() else "new"
        joined.processes.texts(json.dumps({"folder": str(folder), "begin": how}))
        yield folder, how


def reserved_by_first(joined: Joined, reserved: AbstractContextManager[object]) -> AbstractContextManager[object]:
    """The context in process 0; another one has nothing to reserve."""
    return nullcontext() if joined.processes.rank else reserved


def described(joined: Joined) -> list[str]:
    """A note on the processes; none if there is one."""
    import torch

    size, threads = joined.processes.size, torch.get_num_threads()
    if size == 1:
        return []
    return [
        f"{size} processes train together, with {counted(threads, 'thread')} each (OMP_NUM_THREADS); process 0 writes"
    ]
