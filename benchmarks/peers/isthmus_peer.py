"""isthmus, by its estimator, with its own defaults for everything that is not the work itself."""

from __future__ import annotations

import os
import sys

from common import Timer, Uses, Work, data, main

from isthmus import Autoencoder, load
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.corruptions import Clean, GaussianNoise
from isthmus.likelihoods import Bernoulli
from isthmus.optimizers import Adadelta, Adam, RMSprop
from isthmus.scaling import UInt8


def autoencoder(work: Work) -> Autoencoder:
    """The work as an estimator."""
    optimizers = {
        "adam": Adam(work.lr, loss_reduction="feature"),
        "rmsprop": RMSprop(work.lr, rho=0.9, eps=1e-7),
        "adadelta": Adadelta(work.lr, eps=1e-7, loss_reduction="feature"),
    }
    architectures = {
        "dense": MLP(work.hidden),
        "variational": MLP(work.hidden),
        "conv": Conv(work.hidden, code="map", up="double"),
        "denoising": Conv(work.hidden, code="map"),
    }
    noise = GaussianNoise(0.5, clip=True, fixed=True)
    return Autoencoder(
        Gaussian(work.code) if work.kind == "variational" else Identity(work.code, work.activation),
        architecture=architectures[work.kind],
        corruption=noise if work.kind == "denoising" else Clean(),
        likelihood=Bernoulli(),
        scaling=UInt8(),
        optimizer=optimizers[work.optimizer],
        epochs=work.epochs,
        batch_size=work.batch,
        precision="float32" if "float32" in sys.argv[3:] else "auto",
        random_state=0,
    )


def train(work: Work, timer: Timer) -> float:
    """Trains; the loss of the last epoch, per pixel."""
    ae, X = autoencoder(work), data()
    timer.begin()
    for report in ae.iter_fit(X):
        if report.complete:
            timer.epoch()
    timer.precision = ae.precision_
    return ae.history_[-1].loss / 784


def uses(work: Work) -> Uses:
    """What a trained one is used for: of the folder that the variable EXPORTED names, else one that is trained for a few steps."""
    folder = os.environ.get("EXPORTED")
    if folder is None:
        ae = autoencoder(work).set_params(epochs=1).fit(data()[: 2 * work.batch])
    else:
        ae = load(f"{folder}/{sys.argv[1]}.safetensors")
    return {"encode": ae.encode, "reconstruct": ae.reconstruct, "score": ae.score_samples}


if __name__ == "__main__":
    main(train, uses)
