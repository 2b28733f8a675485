"""Files that are sound, and ask for what cannot be or should not be: made from sound ones, their checksums computed anew."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isthmus.io.safetensors import opened, serialize

__all__ = ["CHECKPOINTS", "Edit", "edited", "long_history", "parts", "put"]

Header = dict[str, Any]
Tensors = dict[str, Tensor]
Edit = Callable[[Header, Tensors], None]


def parts(path: Path) -> tuple[Header, Tensors]:
    """What a file says, and its tensors."""
    with opened(path) as contents:
        return json.loads(contents.metadata["isthmus"]), contents.all_tensors()


def put(path: Path, header: Header, tensors: Mapping[str, Tensor]) -> Path:
    """The file of what it is to say."""
    path.write_bytes(b"".join(serialize({"isthmus": json.dumps(header)}, tensors)))
    return path


def edited(source: Path, target: Path, edit: Edit) -> Path:
    """A copy that says something else."""
    header, tensors = parts(source)
    edit(header, tensors)
    return put(target, header, tensors)


def stands(**changes: Any) -> Edit:
    return lambda header, _: header["round"].update(changes)


def entry(**changes: Any) -> Edit:
    return lambda header, _: header.update(changes)


def filled(name: str, value: float) -> Edit:
    """One number of a tensor changed."""

    def edit(_: Header, tensors: Tensors) -> None:
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[0] = value

    return edit


def other_batch(_: Header, tensors: Tensors) -> None:
    tensors |= {name: torch.zeros(len(t) + 1, dtype=t.dtype) for name, t in tensors.items() if name in SUMS}


def history(column: int, value: float) -> Edit:
    """One figure of the last epoch: epoch, step, steps, seconds, ..."""

    def edit(_: Header, tensors: Tensors) -> None:
        tensors["history"] = tensors["history"].clone()
        tensors["history"][-1, column] = value

    return edit


SUMS = ("costs.nll", "costs.penalty")
CHECKPOINTS: dict[str, tuple[Edit, str]] = {  # what is changed, and the name that the error has to say
    **{
        f"seconds {value}": (stands(seconds=value), "round.seconds")
        for value in (math.inf, -1.0, math.nan, 1e308, 9e9, "1")
    },
    **{f"seconds of all {value}": (entry(seconds=value), "seconds") for value in (math.inf, -1.0, math.nan, 1e308)},
    **{f"epoch {value}": (entry(epoch=value), "epoch") for value in (10**11, 10**30, -1, 1.5, math.nan)},
    **{f"step {value}": (entry(step=value), "step") for value in (10**30, -1, 1.5)},
    "fewer steps than done": (entry(step=1), r"round\.done"),
    **{f"seed {value}": (entry(seed=value), "seed") for value in (2**32, 10**400, -1)},
    **{f"done {value}": (stands(done=value), "round.done") for value in (10**30, -1, 10**6)},
    **{f"retries {value}": (stands(retries=value), "round.retries") for value in (4, -1, 10**9)},
    **{f"best {value}": (stands(best=value), "round.best") for value in (math.nan, math.inf, -math.inf, "x")},
    **{f"best epoch {value}": (stands(best_epoch=value), "round.best_epoch") for value in (10**11, -1, 50)},
    "nothing is kept": (stands(stopping=False), "round.best"),
    **{
        f"counts {value}": (stands(counts=value), "counts|costs")
        for value in ([0, 2], [16, 0], [17, 2], [-1, 2], [9, 9, 9])
    },
    "fewer counted": (stands(counts=[8, 1]), "epoch"),  # known when the examples are
    **{f"{name} {value}": (filled(name, value), name) for name in SUMS for value in (math.nan, math.inf)},
    "sums of another batch": (other_batch, "counts|costs"),
    **{
        f"{name} {value}": (filled(name, value), "optimizer")
        for name in ("optimizer.means.0", "optimizer.squares.1", "optimizer.steps.0")
        for value in (math.nan, math.inf, -math.inf)
    },
    "squares below 0": (filled("optimizer.squares.0", -1.0), "optimizer.squares.0"),
    "steps below 0": (filled("optimizer.steps.0", -1.0), "optimizer.steps.0"),
    **{f"weights {value}": (filled("good.encoder.1.bias", value), r"good\.encoder") for value in (math.nan, math.inf)},
    "moments to go back to": (filled("good.optimizer.means.0", math.nan), r"good\.optimizer"),
    "best weights": (filled("best.encoder.1.bias", math.nan), r"best\.encoder"),
    "another precision": (stands(precision="float64"), "round.precision"),
    **{
        f"examples {value[:9]!r}": (stands(examples=value), "round.examples")
        for value in ("", "x" * 10**6, "\x1b]0;x\x07")
    },
    **{f"device {value[:9]!r}": (stands(device=value), "round.device") for value in ("", "\x1b[2J", "c" * 10**5)},
    **{
        f"torch {value[:9]!r}": (stands(torch=value), "round.torch")
        for value in ("", "2\nisthmus: all is well", "2" * 10**5)
    },
    **{f"version {value[:9]!r}": (entry(version=value), "version") for value in ("", "1\r\x1b[K", "1" * 10**5)},
    **{f"threads {value}": (stands(threads=value), "round.threads") for value in (0, -1, 10**30)},
    **{f"history: epoch {value}": (history(0, value), "history") for value in (1e11, math.inf, math.nan, 77.0)},
    **{f"history: step {value}": (history(1, value), "history") for value in (1e300, math.inf, -1.0)},
    **{f"history: seconds {value}": (history(3, value), "history") for value in (1e300, math.inf, math.nan, -1.0)},
    "a long statistic": (entry(statistics=["x" * 10_000]), "statistics"),
    "early stopping is off": (
        lambda header, _: header["parameters"].update(early_stopping=False),
        r"round\.stopping",
    ),
    "smaller batches": (lambda header, _: header["parameters"].update(batch_size=3), r"round\.counts"),
}


def long_history(source: Path, target: Path, rows: int) -> Path:
    """A model that says it was trained for very many epochs."""

    def edit(header: Header, tensors: Tensors) -> None:
        values, there = tensors["history"][:1].repeat(rows, 1), tensors["history.there"][:1].repeat(rows, 1)
        values[:, 0] = torch.arange(1, rows + 1)
        tensors |= {"history": values, "history.there": there}
        header["epoch"] = rows

    return edited(source, target, edit)


def every(cases: Mapping[str, tuple[Edit, str]], source: Path, target: Path) -> Iterator[tuple[str, Path, str]]:
    """Each case: its name, its file, and what an error has to say."""
    for name, (edit, said) in cases.items():
        yield name, edited(source, target, edit), said


def _shaped(*shape: int) -> Edit:
    return lambda header, _: header.update(shape=list(shape))


USES: dict[str, Edit] = {  # what a small sound model of maps is changed to
    "an image of 4096 x 4096": _shaped(4096, 4096),
    "an image of 2^15 x 2^15": _shaped(2**15, 2**15),
    "a line of 2^30 as an image": _shaped(1, 2**30),
}
