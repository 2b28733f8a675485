"""Joining the processes of one training, which ``torchrun`` or another program has started, by the variables of the environment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # public in its documentation

from isthmus.errors import DataError, LostProcessError, NotPossibleError, RecordError
from isthmus.nn.processes import ALONE, Processes
from isthmus.trainable import Trainable

__all__ = ["Joined", "are_joined", "check_divisible", "check_same", "join", "joined", "training_with"]

_TIMEOUT = 300.0  # seconds; reading of data and writing of checkpoints by one process take less
_NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_HOW = "start with torchrun --nproc-per-node N -m isthmus train ..., or unset them to train in one process"

_JOINED: ContextVar[Processes] = ContextVar("joined", default=ALONE)


def joined() -> Processes:
    """The processes that this one trains with; `ALONE` by default."""
    return _JOINED.get()


def are_joined() -> bool:
    """Whether the environment says that this process is one of a training in several."""
    return "RANK" in os.environ or "WORLD_SIZE" in os.environ


class Joined:
    """The processes of a training, and what they leave for each other.

    Attributes:
        processes: this one and the others.
        store: PyTorch's store of texts, which all of them reach; None for one process.
        attempt: how many times `torchrun` has started them again.
    """

    def __init__(self, processes: Processes = ALONE, store: Any = None, attempt: int = 0) -> None:
        self.processes, self.store, self.attempt = processes, store, attempt

    def remember(self, name: str, text: str) -> None:
        """Sets a text that all processes and later attempts of the same `torchrun` can read."""
        if self.store is not None:
            self.store.set(name, text)

    def remembered(self, name: str) -> str | None:
        """A text that a process has set; None if none has, or if the process that keeps the texts has ended."""
        try:
            return self.store.get(name).decode() if self.store is not None and self.store.check([name]) else None
        except RuntimeError:
            return None


@contextmanager
def join() -> Iterator[Joined]:
    """A context in which this process trains together with the others, which are in it too.

    Raises:
        RecordError: the environment is incomplete.
        LostProcessError: the other processes cannot be reached.
        NotPossibleError: there are not enough GPUs.
    """
    rank, size, address, port = _environment()
    _set_device_and_threads()
    attempt, timeout = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")), timedelta(seconds=_TIMEOUT)
    served = (
        os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    )  # by torchrun, and so beyond the end of these processes
    try:
        store = TCPStore(address, port, size, not served and rank == 0, timeout, multi_tenant=not served)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        own = PrefixStore(f"attempt {attempt}", store)
        dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        raise LostProcessError(
            f"process {rank} of {size} cannot reach the others at {address}:{port} (MASTER_ADDR, MASTER_PORT): {error}"
        ) from None
    processes = Processes(rank, size, dist.group.WORLD, _TIMEOUT)
    try:
        with training_with(processes):
            yield Joined(processes, store, attempt)
    finally:
        dist.destroy_process_group()


@contextmanager
def training_with(processes: Processes) -> Iterator[None]:
    """A context in which trainings are those of all these processes together."""
    token = _JOINED.set(processes)
    try:
        yield
    finally:
        _JOINED.reset(token)


def _environment() -> tuple[int, int, str, int]:
    """Rank, number of processes, address and port."""
    missing = [name for name in _NAMES if not os.environ.get(name)]
    if missing:
        given = ", ".join(name for name in _NAMES if name not in missing)
        raise RecordError(f"training in several processes needs {', '.join(_NAMES)}, and only {given} is set: {_HOW}")
    rank, size, port = (os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    if not (rank.isdecimal() and size.isdecimal() and port.isdecimal() and int(rank) < int(size)):
        raise RecordError(
            f"RANK={rank}, WORLD_SIZE={size} and MASTER_PORT={port} are no rank below a number of processes and a port: {_HOW}"
        )
    return int(rank), int(size), os.environ["MASTER_ADDR"], int(port)


def _set_device_and_threads() -> None:
    """The GPU with the local rank of this process; where OMP_NUM_THREADS is not set, an equal part of the processor cores."""
    local, here = (
        int(os.environ.get(name, default)) for name, default in (("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))
    )
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise NotPossibleError(
                f"process {local} of this machine has no GPU, since there are {torch.cuda.device_count()}: use --nproc-per-node "
                f"{torch.cuda.device_count()}, or hide the GPUs with CUDA_VISIBLE_DEVICES="
            )
        torch.cuda.set_device(local)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // here))


def check_divisible(model: Trainable, batch_size: int, count: int, processes: Processes) -> None:
    """Raises unless the processes can train this model together on so many examples, in batches of this size."""
    if processes.size == 1:
        return
    if not model.divisible:
        raise NotPossibleError(
            "modules of yours may look at other examples of a batch, or draw random numbers, so that several processes cannot train "
            "them together: train in one process"
        )
    if count < processes.size:
        raise DataError(
            f"there are {count} training examples, too few for {processes.size} processes: start fewer processes, or give more examples"
        )
    if batch_size < processes.size:
        raise RecordError(
            f"a batch has {batch_size} examples, too few for {processes.size} processes: raise batch_size, or start fewer processes"
        )


def check_same(facts: Mapping[str, object], processes: Processes) -> None:
    """`DataError` unless all processes have the same data and settings.

    Args:
        facts: what must be the same, by name; compared by the hash of its text.
        processes: those that have joined.
    """
    if processes.size == 1:
        return
    hashes = [hashlib.blake2b(str(fact).encode(), digest_size=16).hexdigest() for fact in facts.values()]
    every = [text.split() for text in processes.texts(" ".join(hashes))]
    for rank, theirs in enumerate(every):
        different = [name for name, own, other in zip(facts, every[0], theirs, strict=False) if own != other]
        if len(theirs) != len(every[0]):  # each version compares its own facts
            different = ["version of isthmus"]
        if different:
            raise DataError(
                f"process {rank} has other {' and '.join(different)} than process 0: all processes of a training need the same command, "
                "data, checkpoint and version"
            )
