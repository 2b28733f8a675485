"""The systems of five tutorials, exactly as they describe them, with the figures that they published.

Initial weights, batch sizes, losses, optimizers and noise are the tutorials'. Where one contradicts itself, the consistent form is
taken and the ``note`` says so. Losses named per pixel are binary cross-entropies in nats, divided by the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import L1, Gaussian, Identity
from isthmus.corruptions import GaussianNoise, Occlusion
from isthmus.errors import RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.experiments.printed_bottleneck import PrintedGaussian
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.optimizers import Adadelta, Adam, OneCycle, RMSprop
from isthmus.records import nearest
from isthmus.scaling import UInt8

__all__ = ["TUTORIALS", "System", "Tutorial", "find"]


@dataclass(frozen=True)
class System:
    """One autoencoder of a tutorial: how it is made, on which data, and what was published about it.

    ``why`` gives the reason why a published figure lies outside the interval of our runs; it is printed only where one does. ``savable`` is
    False for a system with a record that is not part of isthmus: its metrics and figures are written, but no model file.
    """

    build: Callable[[], Autoencoder]
    published: dict[str, float | None]
    data: str = "mnist"
    name: str = ""
    why: str = ""
    savable: bool = True


@dataclass(frozen=True)
class Tutorial:
    """A system of a tutorial, or a few that are compared.

    ``figures`` are names in `isthmus.plots`, with ``choices`` for some of them; ``watched`` is one that is also saved as training
    goes; ``tensorboard`` says that the tutorial watches training in TensorBoard.
    """

    id: str
    title: str
    source: str
    systems: tuple[System, ...]
    figures: tuple[str, ...] = ("reconstructions", "losses")
    note: str = ""
    watched: str | None = None
    tensorboard: bool = False
    choices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


TF = "Autoencoders in TensorFlow (2018)"
KERAS = "All kinds of autoencoders, Keras (2017)"
SIMPLE = "A simple autoencoder in TensorFlow (2018)"
FASHION = "Autoencoder on Fashion-MNIST, TensorFlow 2 (2020)"
DENOISING = "TensorFlow day 19: denoising autoencoder (2017)"


def _tf(size: int, architecture: MLP | Conv, epochs: int, noise: float = 0.0) -> Autoencoder:
    return _pixels(
        Identity(size, "relu"),
        architecture,
        Adam(1e-3, loss_reduction="feature"),
        epochs,
        200,
        GaussianNoise(noise, clip=True) if noise else None,
    )


def _keras(
    bottleneck: Identity | L1, architecture: MLP | Conv, epochs: int, batch: int, noise: GaussianNoise | None = None
) -> Autoencoder:
    return _pixels(
        bottleneck, architecture, Adadelta(1.0, rho=0.95, eps=1e-8, loss_reduction="feature"), epochs, batch, noise
    )


def _pixels(
    bottleneck: Identity | L1 | Gaussian | PrintedGaussian,
    architecture: MLP | Conv,
    optimizer: Adam | Adadelta | RMSprop,
    epochs: float,
    batch_size: int,
    corruption: GaussianNoise | Occlusion | None = None,
    likelihood: Bernoulli | Normal | None = None,
) -> Autoencoder:
    """What all the tutorials share: bytes over 255, cross-entropy unless another likelihood is given, a fixed random state."""
    return Autoencoder(
        bottleneck,
        architecture=architecture,
        corruption=corruption or "auto",
        likelihood=likelihood or Bernoulli(),
        scaling=UInt8(),
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        random_state=0,
    )


def _vae(bottleneck: Gaussian | PrintedGaussian) -> Autoencoder:
    return _pixels(bottleneck, MLP((256,)), RMSprop(1e-3, rho=0.9, eps=1e-8), 50, 100)


def _strided(noise: float) -> Autoencoder:
    architecture = Conv(
        (16,), kernel=5, code="map", down="stride", up="transpose", output="relu", initialization="truncated"
    )
    steps, batch = 10_000, 50
    return _pixels(
        Identity(32, "relu"),
        architecture,
        Adam(0.01, loss_reduction="feature"),
        steps * batch / 60_000,
        batch,
        GaussianNoise(noise),
        Normal(),
    )


def _linear() -> Autoencoder:
    return _pixels(Identity(20), MLP((), tied=True), Adam(3e-3, schedule=OneCycle()), 20, 256, likelihood=Normal())


def _deep(epochs: int, likelihood: Bernoulli | Normal | None = None) -> Autoencoder:
    return _pixels(
        Identity(20), MLP((256, 128)), Adam(1e-3, loss_reduction="feature"), epochs, 512, likelihood=likelihood
    )


def _restoring(
    architecture: MLP | Conv, size: int, corruption: GaussianNoise | Occlusion, likelihood: Bernoulli | Normal
) -> Autoencoder:
    """The tutorials' open questions leave the training free: one-cycle Adam, 10 epochs."""
    return _pixels(
        Identity(size, "relu"), architecture, Adam(2e-3, schedule=OneCycle()), 10, 128, corruption, likelihood
    )


_RESTORED = (
    "restored MSE",
    "corrupted MSE",
    "ridge regression's MSE",
    "restored MSE at 0.3",
    "restored MSE at 0.7",
    "restored MSE at 1.0",
    "parameters",
)
_COMPLETED = ("restored MSE", "occluded MSE", "training mean's MSE", "ridge regression's MSE")

_ONE_BIAS = "the tutorial's first decoder layer has one bias for all 16 maps; here each map has its own"

CONV_CODE = Conv((16,), kernel=5, code="map", down="stride", up="transpose")

TUTORIALS: tuple[Tutorial, ...] = (
    Tutorial(
        "tf-simple",
        "784-32-784, ReLU code, Adam",
        TF,
        (System(lambda: _tf(32, MLP(()), 20), {"loss per pixel": None, "test per pixel": None}),),
    ),
    Tutorial(
        "tf-conv",
        "convolutions, pooling and resizing, code 4x4x8",
        TF,
        (System(lambda: _tf(8, Conv((16, 8), code="map"), 20), {"loss per pixel": None, "test per pixel": None}),),
        ("reconstructions", "codes", "losses"),
    ),
    Tutorial(
        "tf-denoising",
        "the same with 32-32-16 maps, fresh noise of 0.5, clipped",
        TF,
        (
            System(
                lambda: _tf(16, Conv((32, 32), code="map"), 100, 0.5), {"loss per pixel": None, "test per pixel": None}
            ),
        ),
        ("denoising", "noisy", "losses"),
    ),
    Tutorial(
        "keras-simple",
        "784-32-784, ReLU code, Adadelta",
        KERAS,
        (
            System(
                lambda: _keras(Identity(32, "relu"), MLP(()), 50, 256),
                {"loss per pixel": 0.1039, "test per pixel": 0.1022, "mean code": 7.52},
                why="no setting that the tutorial leaves open is known to account for it; "
                "Adadelta's epsilon of 1e-7 instead of 1e-8 lowers the test loss by 0.0001",
            ),
        ),
    ),
    Tutorial(
        "keras-sparse",
        "784-32-784 with an L1 penalty on the code",
        KERAS,
        tuple(
            System(
                partial(_keras, L1(32, weight), MLP(()), 100, 256),
                {"loss per pixel": 0.1036, "test per pixel": 0.1020, "mean code": 5.30},
                name=name,
                why=why,
            )
            for name, weight, why in (
                ("penalty of a batch's sum", 256 * 784 * 10e-8, ""),
                ("penalty of a batch's mean", 784 * 10e-8, "the published figures are of the penalty of a batch's sum"),
            )
        ),
        ("reconstructions", "codes", "losses"),
        "10e-8 times the sum of the code; the Keras of that year added it up over the batch of 256, today's averages: "
        "only the sum gives the published figures",
    ),
    Tutorial(
        "keras-deep",
        "784-128-64-32-64-128-784",
        KERAS,
        (
            System(
                lambda: _keras(Identity(32, "relu"), MLP((128, 64)), 100, 256),
                {"loss per pixel": 0.1023, "test per pixel": 0.1020},
            ),
        ),
    ),
    Tutorial(
        "keras-conv",
        "convolutions, pooling and doubling, code 4x4x8",
        KERAS,
        (
            System(
                lambda: _keras(Identity(8, "relu"), Conv((16, 8), code="map", up="double"), 50, 128),
                {"loss per pixel": 0.0975, "test per pixel": 0.0981},
                why="the test loss changes by up to 0.002 from one epoch to the next, and the figure is of the last epoch",
            ),
        ),
        ("reconstructions", "codes", "losses"),
        "the tutorial's text says 0.0964, its printed history 0.0975",
        tensorboard=True,
    ),
    Tutorial(
        "keras-denoising",
        "convolutional, code 7x7x32, noise of 0.5 drawn once, clipped",
        KERAS,
        (
            System(
                lambda: _keras(
                    Identity(32, "relu"), Conv((32,), code="map"), 100, 128, GaussianNoise(0.5, clip=True, fixed=True)
                ),
                {"loss per pixel": 0.0940, "test per pixel": 0.0938},
            ),
        ),
        ("denoising", "noisy", "losses"),
        tensorboard=True,
    ),
    Tutorial(
        "keras-vae",
        "variational, 784-256-2-256-784",
        KERAS,
        (
            System(
                lambda: _vae(Gaussian(2)),
                {"loss per digit": 147.43, "test per digit": 150.38},
                why="the published figures are of the printed form, whose divergence is smaller than that of the codes it samples",
            ),
            System(
                lambda: _vae(PrintedGaussian(2)),
                {"loss per digit": 147.43, "test per digit": 150.38},
                name="as printed, not a bound",
                savable=False,
            ),
        ),
        ("latent", "manifold", "samples", "losses"),
        "the tutorial samples with standard deviation exp(s), but its divergence uses exp(s) as the variance, "
        "which is not a bound on the likelihood; the first row uses s as the log-variance in both, "
        "the second row is the printed form. Its bottleneck is not part of isthmus, so it has no model file",
        choices={"manifold": {"by": "linear"}},
    ),
    Tutorial(
        "keras-tsne",
        "encode to 32 dimensions, then t-SNE to two",
        KERAS,
        (System(lambda: _keras(Identity(32, "relu"), MLP((128, 64)), 100, 256), {"test per pixel": None}),),
        ("tsne",),
    ),
    Tutorial(
        "lowlevel",
        "784-128-784, weights from N(0, 1), summed loss, RMSprop",
        SIMPLE,
        (
            System(
                lambda: _pixels(
                    Identity(128, "relu"),
                    MLP((), initialization="normal"),
                    RMSprop(0.005, rho=0.9, eps=1e-5, loss_reduction="batch"),
                    10,
                    64,
                ),
                {"loss per pixel": None, "test per pixel": None},
            ),
        ),
        note="epsilon 1e-5 outside the root stands for TensorFlow's 1e-10 inside",
    ),
    Tutorial(
        "sequential",
        "784-256-128-784, linear inside",
        SIMPLE,
        (
            System(
                lambda: _pixels(
                    Identity(128),
                    MLP((256,), "linear", decoder_hidden=()),
                    Adam(1e-3, loss_reduction="feature"),
                    10,
                    32,
                ),
                {"loss per pixel": None, "test per pixel": None},
            ),
        ),
        note="the tutorial applies the sigmoid twice, in the layer and in the loss; here it is applied once",
    ),
    Tutorial(
        "fashion-deep",
        "784-256-128-20-128-256-784 on Fashion-MNIST",
        FASHION,
        (
            System(
                lambda: _deep(200),
                {
                    "encoder parameters": 236_436,
                    "decoder parameters": 237_200,
                    "loss per pixel": None,
                    "test per pixel": None,
                },
                "fashion_mnist",
            ),
        ),
        ("sheet", "reconstructions", "losses"),
        "the tutorial's sheet holds originals only; here it holds each original and its reconstruction",
        watched="sheet",
    ),
    Tutorial(
        "pca",
        "PCA as the linear autoencoder, and a deep one of equal width, 20",
        FASHION,
        tuple(
            System(build, {"test MSE": None, "PCA's test MSE": None}, data, f"{name}, {data}")
            for data in ("fashion_mnist", "mnist")
            for name, build in (("linear, tied", _linear), ("deep", lambda: _deep(20, Normal())))
        ),
        ("pca",),
        "compared with PCA in closed form: the linear autoencoder reaches its error, the deep one has a lower error",
    ),
    Tutorial(
        "strided-0.3",
        "strided and transposed convolutions, noise of 0.3",
        DENOISING,
        (System(lambda: _strided(0.3), {"test MSE": 0.00249}, why=_ONE_BIAS),),
        ("noise_levels", "feature_maps", "losses"),
        "the error on clean test digits, as the tutorial measures it; its first decoder layer has one bias for 16 maps, here each has one",
    ),
    Tutorial(
        "strided-0.8",
        "the same trained at 0.8",
        DENOISING,
        (System(lambda: _strided(0.8), {"test MSE": 0.01118}, why=_ONE_BIAS),),
        ("noise_levels", "feature_maps", "losses"),
        choices={"noise_levels": {"levels": (0.5, 0.8, 0.9, 1.0)}},
    ),
    Tutorial(
        "dense-or-conv",
        "the same denoising job, dense and convolutional, noise of 0.5",
        DENOISING,
        (
            System(
                lambda: _restoring(MLP((512,)), 128, GaussianNoise(0.5), Normal()),
                dict.fromkeys(_RESTORED),
                name="dense",
            ),
            System(
                lambda: _restoring(CONV_CODE, 32, GaussianNoise(0.5), Normal()),
                dict.fromkeys(_RESTORED),
                name="conv",
            ),
        ),
        ("denoising", "restorations", "robustness", "losses"),
        "the same noise, steps and loss for both; the error at other noise levels than in training shows how each generalizes",
        choices={"restorations": {"levels": (0.3, 0.5, 0.7, 1.0)}, "robustness": {"n": 200, "draws": 1}},
    ),
    Tutorial(
        "occluded",
        "a third or a quarter of the image is given: restore the whole",
        DENOISING,
        tuple(
            System(
                partial(_restoring, MLP((512, 256)), 64, Occlusion(share), Bernoulli()),
                dict.fromkeys(_COMPLETED),
                name=name,
            )
            for name, share in (("a third given", 1 / 3), ("a quarter given", 1 / 4))
        ),
        ("completion", "robustness", "losses"),
        "compared with the mean of the training images, and with ridge regression from the visible pixels to all",
        choices={"robustness": {"baselines": ("training mean", "ridge regression")}},
    ),
)
"""The systems of five published tutorials, in the order of their sources."""


def find(name: str) -> Tutorial:
    """The tutorial of that id; `RecordError` names the nearest.

    Args:
        name: the id of the tutorial.

    Raises:
        RecordError: there is no such tutorial.
    """
    known = {tutorial.id: tutorial for tutorial in TUTORIALS}
    if name not in known:
        raise RecordError(f"no tutorial '{name}'{nearest(name, known)}")
    return known[name]
