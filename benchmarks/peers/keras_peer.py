"""Keras on TensorFlow, as its tutorials write it: model.fit on arrays in [0, 1]."""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from common import Timer, Uses, Work, corrupted, data, main
from keras import layers, ops


class Sampling(layers.Layer):
    """Draws the code, and adds its divergence to the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = keras.random.SeedGenerator(0)

    def call(self, inputs: tuple[object, object]) -> object:
        mean, log_variance = inputs
        kl = 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1)
        self.add_loss(ops.mean(kl))
        return mean + ops.exp(0.5 * log_variance) * keras.random.normal(ops.shape(mean), seed=self.seed)


class Watch(keras.callbacks.Callback):
    """Times the epochs."""

    def __init__(self, timer: Timer) -> None:
        super().__init__()
        self.timer = timer

    def on_train_begin(self, logs: object = None) -> None:
        self.timer.begin()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.timer.epoch()


def net(work: Work) -> tuple[keras.Model, keras.Model]:
    """The work as a Keras model, and the part of it that encodes."""
    if work.kind in {"dense", "variational"}:
        x = inputs = layers.Input((784,))
        for size in work.hidden:
            x = layers.Dense(size, "relu")(x)
        if work.kind == "variational":
            z = Sampling()((layers.Dense(work.code)(x), layers.Dense(work.code)(x)))
        else:
            z = layers.Dense(work.code, work.activation)(x)
        encoder = keras.Model(inputs, z)
        for size in work.hidden[::-1]:
            z = layers.Dense(size, "relu")(z)
        return keras.Model(inputs, layers.Dense(784, "sigmoid")(z)), encoder
    x = inputs = layers.Input((28, 28, 1))
    if work.kind == "conv":
        for size in (16, 8, 8):
            x = layers.MaxPooling2D(2, padding="same")(layers.Conv2D(size, 3, padding="same", activation="relu")(x))
        encoder = keras.Model(inputs, x)
        for size, padding in ((8, "same"), (8, "same"), (16, "valid")):
            x = layers.UpSampling2D(2)(layers.Conv2D(size, 3, padding=padding, activation="relu")(x))
    else:
        for size in (32, 32):
            x = layers.MaxPooling2D(2, padding="same")(layers.Conv2D(size, 3, padding="same", activation="relu")(x))
        encoder = keras.Model(inputs, x)
        for size in (32, 32):
            x = layers.Conv2D(size, 3, padding="same", activation="relu")(layers.UpSampling2D(2)(x))
    return keras.Model(inputs, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x)), encoder


def shaped(work: Work, X: np.ndarray) -> np.ndarray:
    """Digits in [0, 1], as the net takes them."""
    x = X.astype("float32") / 255
    return x.reshape(-1, 784) if work.kind in {"dense", "variational"} else x[..., None]


def train(work: Work, timer: Timer) -> float:
    """Trains; the loss of the last epoch, per pixel."""
    keras.utils.set_random_seed(0)
    X = shaped(work, data())
    given = corrupted(X) if work.kind == "denoising" else X
    optimizers = {
        "adam": keras.optimizers.Adam(work.lr),
        "rmsprop": keras.optimizers.RMSprop(work.lr),
        "adadelta": keras.optimizers.Adadelta(work.lr),
    }
    (model, _), variational = net(work), work.kind == "variational"

    def loss(x: object, y: object) -> object:
        pixels = keras.losses.binary_crossentropy(x, y)
        return 784 * pixels if variational else pixels

    model.compile(optimizers[work.optimizer], loss)
    kept = model.fit(given, X, work.batch, work.epochs, verbose=0, callbacks=[Watch(timer)])
    return float(np.asarray(kept.history["loss"][-1])) / (784 if variational else 1)


def uses(work: Work) -> Uses:
    """What a net is used for: `predict` for many digits, a call of a batch for few."""
    model, encoder = net(work)

    def over(part: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
        def call(X: np.ndarray) -> np.ndarray:
            x = shaped(work, X)
            return np.asarray(part.predict_on_batch(x) if len(x) <= 64 else part.predict(x, 1000, verbose=0))

        return call

    def score(X: np.ndarray) -> np.ndarray:
        losses = keras.losses.binary_crossentropy(shaped(work, X), over(model)(X))
        return 784 * np.asarray(losses).reshape(len(X), -1).mean(1)

    return {"encode": over(encoder), "reconstruct": over(model), "score": score}


if __name__ == "__main__":
    main(train, uses)
