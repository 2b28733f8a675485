"""Recipes: named autoencoders with tuned defaults. Each is one expression of the components.

A recipe returns an unfitted `Autoencoder`. Components that are "auto" are chosen from the data. All parameters can be changed with
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
    """Dense layers of 512 and 256 units each way: the default for any data. The code is 32-dimensional, or half of the features.

    Paper: Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks".

    Args:
        size: the dimension of the code; "auto": 32, or half of the features if that is less.

    Examples:
        >>> isthmus.recipes.deep(16).set_params(epochs=1, random_state=0).fit(X).code_shape_
        (16,)
    """
    return Autoencoder("auto" if size == "auto" else Identity(size), architecture=MLP())


def simple(size: int = 32) -> Autoencoder:
    """One dense layer each way and a non-negative code: the smallest autoencoder.

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size, "relu"), architecture=MLP(()), optimizer=AdamW(1e-2, schedule=OneCycle()))


def linear(size: int = 32) -> Autoencoder:
    """Principal component analysis as an autoencoder: one linear layer each way with tied weights, and squared error.

    Paper: Baldi & Hornik 1989, "Neural networks and principal component analysis: Learning from examples without local minima".

    Args:
        size: the dimension of the code.
    """
    optimizer = AdamW(5e-3, weight_decay=0, schedule=OneCycle())
    return Autoencoder(Identity(size), architecture=MLP((), tied=True), likelihood=Normal(), optimizer=optimizer)


def sparse(size: int = 128) -> Autoencoder:
    """A large code that an L1 penalty makes sparse.

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(L1(size, weight=0.1), architecture=MLP((512,)))


def topk(size: int = 256, k: int = 16) -> Autoencoder:
    """A large code of which only the k largest values are kept.

    Paper: Makhzani & Frey 2013, "k-Sparse autoencoders".

    Args:
        size: the dimension of the code.
        k: the number of units that are not zero.
    """
    return Autoencoder(TopK(size, k=k), architecture=MLP((512,)))


def convolutional(size: int = 32) -> Autoencoder:
    """Convolutions for images of any size and number of channels, and for signals.

    Paper: Masci, Meier, Cireşan & Schmidhuber 2011, "Stacked convolutional auto-encoders for hierarchical feature extraction".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=Conv((32, 64)))


def denoising(size: int = 64) -> Autoencoder:
    """A denoising autoencoder: Gaussian noise of half the range or standard deviation of the data.

    Paper: Vincent, Larochelle, Bengio & Manzagol 2008, "Extracting and composing robust features with denoising autoencoders".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), corruption=GaussianNoise(0.5))


def completing(size: int = 64) -> Autoencoder:
    """Completes examples of which only the first third is visible.

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), corruption=Occlusion(1 / 3))


def variational(size: int = 16) -> Autoencoder:
    """A variational autoencoder with a Gaussian code, from which new examples can be sampled.

    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Gaussian(size), architecture=MLP())


def convolutional_variational(size: int = 16) -> Autoencoder:
    """A variational autoencoder with convolutions.

    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Gaussian(size), architecture=Conv((32, 64)))


def quantized(size: int = 16) -> Autoencoder:
    """A small map of codes, each an entry of a learned codebook: for images.

    Paper: van den Oord, Vinyals & Kavukcuoglu 2017, "Neural discrete representation learning".

    Args:
        size: the dimension of the code at each position.
    """
    return Autoencoder(VectorQuantized(size, codebook_size=256), architecture=Conv((32,), code="map"))


def find(name: str) -> Autoencoder:
    """The recipe with this name and its default size; `RecordError` names the closest match."""
    if name not in __all__:
        raise RecordError(f"no recipe '{name}'{nearest(name, __all__)}")
    autoencoder: Autoencoder = globals()[name]()
    return autoencoder


def paper(name: str) -> str:
    """The paper of the recipe with this name, as its docstring cites it; "" if it has none."""
    paragraphs = (globals()[name].__doc__ or "").split("\n\n")
    cited = next((each for each in paragraphs if each.strip().startswith("Paper: ")), "")
    return " ".join(cited.split()).removeprefix("Paper: ").removesuffix(".")
