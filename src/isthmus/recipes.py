"""Named autoencoders: each is an expression of the four choices, with defaults that are sound on any sane data.

A recipe returns an unfitted `Autoencoder`; what it leaves at "auto" is chosen from the data. Everything can be changed afterwards with
``set_params``, or on the command line with ``field=value``.
"""

from __future__ import annotations

from typing import Literal

from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import L1, Gaussian, Identity, TopK, VectorQuantized
from isthmus.corruptions import GaussianNoise, Occlusion
from isthmus.errors import RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.likelihoods import Normal
from isthmus.optimizers import AdamW, OneCycle
from isthmus.records import nearest

__all__ = [
    "completing",
    "convolutional",
    "convolutional_variational",
    "deep",
    "denoising",
    "linear",
    "quantized",
    "simple",
    "sparse",
    "topk",
    "variational",
]


def deep(size: int | Literal["auto"] = "auto") -> Autoencoder:
    """Dense layers 512 and 256 each way: the default for any data; the code has 32 numbers, or half as many as the data have.

    Args:
        size: of the code; auto: 32, or half as many as an example has features.

    Examples:
        >>> isthmus.recipes.deep(16).set_params(epochs=1, random_state=0).fit(X).code_shape_
        (16,)
    """
    return Autoencoder("auto" if size == "auto" else Identity(size), architecture=MLP())


def simple(size: int = 32) -> Autoencoder:
    """One dense layer each way, a code of non-negative numbers: the smallest autoencoder there is.

    Args:
        size: of the code.
    """
    return Autoencoder(Identity(size, "relu"), architecture=MLP(()), optimizer=AdamW(1e-2, schedule=OneCycle()))


def linear(size: int = 32) -> Autoencoder:
    """Principal component analysis as an autoencoder: one linear layer, tied both ways, squared error.

    Args:
        size: of the code.
    """
    optimizer = AdamW(5e-3, weight_decay=0, schedule=OneCycle())
    return Autoencoder(Identity(size), architecture=MLP((), tied=True), likelihood=Normal(), optimizer=optimizer)


def sparse(size: int = 128) -> Autoencoder:
    """A wide code that an L1 penalty keeps mostly at zero.

    Args:
        size: of the code.
    """
    return Autoencoder(L1(size, weight=0.1), architecture=MLP((512,)))


def topk(size: int = 256, k: int = 16) -> Autoencoder:
    """A wide code of which the k largest numbers pass.

    Args:
        size: of the code.
        k: how many units are not zero.
    """
    return Autoencoder(TopK(size, k=k), architecture=MLP((512,)))


def convolutional(size: int = 32) -> Autoencoder:
    """Convolutions for pictures of any size and number of colors, and for signals.

    Args:
        size: of the code.
    """
    return Autoencoder(Identity(size), architecture=Conv((32, 64)))


def denoising(size: int = 64) -> Autoencoder:
    """Sees examples with normal noise of half their range or deviation, and learns to restore them.

    Args:
        size: of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), corruption=GaussianNoise(0.5))


def completing(size: int = 64) -> Autoencoder:
    """Sees the first third of an example, and learns to complete it.

    Args:
        size: of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), corruption=Occlusion(1 / 3))


def variational(size: int = 16) -> Autoencoder:
    """A distribution over codes: new examples can be sampled.

    Args:
        size: of the code.
    """
    return Autoencoder(Gaussian(size), architecture=MLP())


def convolutional_variational(size: int = 16) -> Autoencoder:
    """A variational autoencoder with convolutions.

    Args:
        size: of the code.
    """
    return Autoencoder(Gaussian(size), architecture=Conv((32, 64)))


def quantized(size: int = 16) -> Autoencoder:
    """A small map of codes, each an entry of a learned codebook: for pictures.

    Args:
        size: of the code at each position.
    """
    return Autoencoder(VectorQuantized(size, codebook_size=256), architecture=Conv((32,), code="map"))


def find(name: str) -> Autoencoder:
    """The recipe of that name, with its own sizes; `RecordError` names the nearest."""
    if name not in __all__:
        raise RecordError(f"no recipe '{name}'{nearest(name, __all__)}")
    made: Autoencoder = globals()[name]()
    return made
