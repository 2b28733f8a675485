"""The works that are measured: the same net, data, batch size and optimizer for everybody.

This file imports nothing but the standard library, so that peers in other environments can read it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Work:
    """Layers of a dense net down to the code and back, or a convolutional net by its name; pixels in [0, 1], cross-entropy."""

    title: str
    hidden: tuple[int, ...]
    code: int
    batch: int
    optimizer: Literal["adam", "rmsprop", "adadelta"]
    lr: float
    kind: Literal["dense", "variational", "conv", "denoising"] = "dense"
    activation: Literal["linear", "relu"] = "linear"  # of the code
    epochs: int = 4  # the first is not counted


WORKS = {
    "dense": Work("784-32-784, Adam", (), 32, 256, "adam", 1e-3, activation="relu", epochs=6),
    "keras-simple": Work("784-32-784, Adadelta", (), 32, 256, "adadelta", 1.0, activation="relu", epochs=6),
    "keras-deep": Work("784-128-64-32, Adadelta", (128, 64), 32, 256, "adadelta", 1.0, activation="relu", epochs=4),
    "keras-vae": Work("variational 784-256-2, RMSprop", (256,), 2, 100, "rmsprop", 1e-3, "variational"),
    "keras-conv": Work(
        "convolutions to a code of 4x4x8, Adadelta", (16, 8), 8, 128, "adadelta", 1.0, "conv", "relu", 2
    ),
    "keras-denoising": Work(
        "denoising, convolutions to a code of 7x7x32, noise of std 0.5, Adadelta",
        (32,),
        32,
        128,
        "adadelta",
        1.0,
        "denoising",
        "relu",
        2,
    ),
    "fashion-deep": Work("784-256-128-20, Adam", (256, 128), 20, 512, "adam", 1e-3),
    "default": Work("784-512-256-32, Adam: the net of `isthmus train`", (512, 256), 32, 256, "adam", 1e-3, epochs=13),
    "hinton": Work("784-1000-500-250-30, Adam", (1000, 500, 250), 30, 256, "adam", 1e-3, epochs=3),
}
