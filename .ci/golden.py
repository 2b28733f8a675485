"""Golden curves: the losses of short trainings with this source and with that of an earlier commit, bit for bit, on this machine.

Usage: python .ci/golden.py COMMIT

The cases are those of tests/test_truths.py, and every component that both have in an `__all__`; the exit code is 1 if a bit differs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from inspect import signature
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SLOTS = {  # the parameter of an autoencoder, and the module of its components
    "augmentation": "augmentations",
    "corruption": "corruptions",
    "architecture": "architectures",
    "bottleneck": "bottlenecks",
    "likelihood": "likelihoods",
    "penalty": "penalties",
    "scaling": "scaling",
    "optimizer": "optimizers",
}
REQUIRED = {"size": 8, "k": 3, "classes": 5, "weight": 0.1}
MORE: dict[str, dict[str, Any]] = {  # what is no component
    "missing values": {"missing": "allow"},
    "float64": {"precision": "float64"},
    "bfloat16": {"precision": "bfloat16"},
    "early stopping": {"early_stopping": True},
}


def cases() -> dict[str, dict[str, Any]]:
    """The parameters of an autoencoder for each case that the isthmus at hand has."""
    from importlib import import_module

    import test_truths  # of the same commit

    from isthmus.bottlenecks import Gaussian
    from isthmus.corruptions import GaussianNoise

    found: dict[str, dict[str, Any]] = {}
    for name, (bottleneck, architecture) in test_truths.CASES.items():
        found[name] = {"bottleneck": bottleneck, "architecture": architecture, "corruption": GaussianNoise(0.1)}
    for slot, module in SLOTS.items():
        try:
            components = import_module(f"isthmus.{module}")
        except ImportError:
            continue  # of a later version
        for name in components.__all__:
            kind = getattr(components, name)
            needed = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
            if needed <= REQUIRED.keys() and (slot != "optimizer" or hasattr(kind, "build")):
                others = {"bottleneck": Gaussian(8)} if slot == "penalty" else {}
                found[f"{slot}={name}"] = {slot: kind(**{each: REQUIRED[each] for each in needed})} | others
    return found | MORE


def measure() -> None:
    """Prints the losses of each case as JSON, in hexadecimal."""
    import numpy as np
    import torch

    from isthmus import Autoencoder, data
    from isthmus.architectures import MLP
    from isthmus.errors import IsthmusError
    from isthmus.optimizers import AdamW

    torch.set_num_threads(1)
    digits, found = data.digits(), dict[str, list[str]]()
    X = digits.train[:512]
    labels = [digits.train_labels[:512]] if "y" in signature(Autoencoder.iter_fit).parameters else []
    forms = [X, (X * 255).astype(np.uint8), (X * 4).round(), X + 1, (X + 1).reshape(len(X), -1)]
    common = {"bottleneck": 8, "architecture": MLP((32,)), "optimizer": AdamW(2e-3), "batch_size": 32, "epochs": 3}
    for name, choices in cases().items():
        chosen: dict[str, Any] = common | {"precision": "float32", "random_state": 0} | choices
        for rows in [np.where(X > 0.95, np.nan, X)] if "missing" in choices else forms:
            try:
                history = list(Autoencoder(**chosen).iter_fit(rows, *labels, every=8))
            except IsthmusError:
                continue  # the component is for values of another kind
            values = [value for each in history for value in (each.loss, each.val_loss)]
            found[name] = [float(value).hex() for value in values if value is not None]
            break
    print(json.dumps(found))


def losses(root: Path) -> dict[str, list[str]]:
    """The losses with the source of a folder."""
    path = os.pathsep.join(str(root / part) for part in ("src", "tests"))
    world = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(Path(__file__).resolve()), "--measure"]
    done = subprocess.run(command, cwd=root, env=world, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def line(name: str, old: list[str], new: list[str] | None) -> str:
    """What is said of a case."""
    before = [float.fromhex(each) for each in old]
    if new is None or len(new) != len(old):
        said = "not trained now" if new is None else f"{len(new)} losses now"
    else:
        apart = max(abs(float.fromhex(b) - a) / abs(a) for a, b in zip(before, new, strict=True))
        said = "identical" if new == old else f"different, by up to {apart:.1e} of the loss"
    return f"{name:32} {len(old):3} losses, {before[0]:9.4f} to {before[-1]:9.4f}: {said}"


def main(commit: str) -> int:
    """Compares, and prints a line for each case; 1 if one differs."""
    with tempfile.TemporaryDirectory() as folder:
        earlier, git = Path(folder) / "earlier", ["git", "-C", str(ROOT)]
        subprocess.run([*git, "worktree", "add", "-q", "--detach", str(earlier), commit], check=True)
        try:
            before = losses(earlier)
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(earlier)], check=True)
    now = losses(ROOT)
    for name, old in before.items():
        print(line(name, old, now.get(name)))
    same = sum(now.get(name) == old for name, old in before.items())
    print(
        f"{same} of {len(before)} curves are bit-identical to those of {commit}; {len(now) - len(before)} cases are new"
    )
    return int(same != len(before))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(measure() if sys.argv[1] == "--measure" else main(sys.argv[1]))
