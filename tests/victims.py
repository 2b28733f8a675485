"""What the processes do that tests kill, and the examples that both know."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from isthmus import Autoencoder, load
from isthmus.architectures import MLP, Conv, Modules
from isthmus.bottlenecks import Gaussian, Identity, TopK, VectorQuantized
from isthmus.corruptions import GaussianNoise
from isthmus.likelihoods import Normal
from isthmus.optimizers import SGD, Adadelta, Adam, AdamW, OneCycle, RMSprop


def own() -> Modules:
    """An encoder of the user's that draws from the global generators."""
    return Modules(nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.BatchNorm1d(8), nn.Linear(8, 2)), nn.Linear(2, 6))


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "one-cycle": {"optimizer": AdamW(1e-2, schedule=OneCycle()), "epochs": 5.5},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3, "tol": 0.05, "epochs": 12},
    "noise": {"corruption": GaussianNoise(0.3), "bottleneck": Gaussian(2)},
    "noise drawn once": {"corruption": GaussianNoise(0.3, fixed=True)},
    "codes": {"bottleneck": VectorQuantized(2, codebook_size=8)},
    "sparse": {"bottleneck": TopK(4, k=2)},
    "Adadelta": {"optimizer": Adadelta()},
    "RMSprop": {"optimizer": RMSprop(momentum=0.5)},
    "double": {"precision": "float64", "optimizer": SGD(1e-3, clip=1.0)},
    "convolutions": {"architecture": Conv((4, 4)), "epochs": 2, "precision": "bfloat16"},
    "own modules": {"architecture": "own"},
    "divergence": {"optimizer": SGD(2.0), "likelihood": Normal()},
    "mapped": {},
}


def examples(case: str, folder: Path) -> np.ndarray[Any, Any]:
    """What a case is trained on."""
    rng = np.random.default_rng(0)
    if case == "convolutions":
        return rng.random((90, 8, 8), np.float32)
    X = rng.random((210, 6), np.float32)
    if case == "mapped":
        if not (folder / "x.npy").exists():
            np.save(folder / "x.npy", X)
        return np.load(folder / "x.npy", mmap_mode="r")
    return X


def built(case: str) -> Autoencoder:
    """The autoencoder of a case, untrained."""
    choices = {"bottleneck": Identity(2), "architecture": MLP((8,)), "optimizer": Adam(1e-2), "epochs": 4} | CASES[case]
    if choices["architecture"] == "own":
        torch.manual_seed(0)
        choices["architecture"] = own()
    return Autoencoder(**choices, random_state=0, batch_size=16)


def trained(case: str, folder: Path) -> None:
    """Trains from the checkpoint that is there, or from the beginning, with a checkpoint at each step; writes the model at its end."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    file, X = folder / "checkpoint.safetensors", examples(case, folder)
    if file.exists():
        ae = load(file, architecture=own() if CASES[case].get("architecture") == "own" else None)
        reports = ae.iter_resume(X, every=1)
    else:
        ae = built(case)
        reports = ae.iter_fit(X, every=1)
    for _ in reports:
        ae.checkpoint(file)
    ae.save(folder / "model.safetensors")


def undisturbed(case: str, folder: Path) -> None:
    """Trains without a stop, and without a look; writes the model."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    built(case).fit(examples(case, folder)).save(folder / "whole.safetensors")


def saving(path: Path, number: int) -> None:
    """Saves one of two models over and over."""
    torch.set_num_threads(1)
    ae = load(path)
    with torch.no_grad():
        next(ae.model_.parameters()).fill_(float(number))
    while True:
        ae.save(path)


def saving_where_nothing_can_be_written(path: Path, way: str, sender: Connection) -> None:
    """Saves a model on a full disk, or without the rights to write; sends the error."""
    ae = load(path)
    if way == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    elif os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        ae.save(path)
        sender.send("saved")
    except Exception as error:
        sender.send(str(error))


def weights_hash(path: Path, architecture: Modules | None = None) -> str:
    """A hash of all numbers in a model, and of its history but for the seconds."""
    ae = load(path, architecture=architecture)
    found = hashlib.sha256()
    for name, tensor in sorted(ae.model_.state_dict().items()):
        found.update(name.encode() + tensor.numpy().tobytes())
    for report in ae.history_:
        found.update(
            repr(
                (report.epoch, report.step, report.loss, report.val_loss, report.lr, sorted(report.stats.items()))
            ).encode()
        )
    return found.hexdigest()


def quietly() -> None:
    """What a killed process says is of no interest."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
