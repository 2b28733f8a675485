"""Pythae: its trainer, with encoder and decoder of the work's sizes."""

from __future__ import annotations

import logging
import tempfile

import torch
from common import Timer, Work, data, main
from nets import dense
from pythae.data.datasets import BaseDataset
from pythae.models import AE, VAE, AEConfig, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn


class Encoder(BaseEncoder):  # type: ignore[misc]
    """Dense layers to the code, or to mean and log-variance."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.latent_dim, self.kind = work.code, work.kind
        self.net = dense((784, *work.hidden, work.code * (2 if work.kind == "variational" else 1)))

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.net(x.reshape(len(x), -1))
        if self.kind == "variational":
            mean, log_variance = h.chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)
        return ModelOutput(embedding=torch.relu(h))


class Decoder(BaseDecoder):  # type: ignore[misc]
    """The way back, to pixels in [0, 1]."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.net = nn.Sequential(dense((work.code, *work.hidden[::-1], 784)), nn.Sigmoid())

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.net(z).reshape(-1, 1, 28, 28))


class Watch(TrainingCallback):  # type: ignore[misc]
    """Times the epochs and keeps the loss."""

    def __init__(self, timer: Timer) -> None:
        self.timer, self.loss = timer, 0.0

    def on_epoch_begin(self, *_: object, **__: object) -> None:
        if not self.timer.seconds:
            self.timer.begin()

    def on_log(self, _: object, logs: dict[str, float], **__: object) -> None:
        self.loss = logs.get("train_epoch_loss", self.loss)

    def on_epoch_end(self, *_: object, **__: object) -> None:
        self.timer.epoch()


def train(work: Work, timer: Timer) -> float:
    """Trains; the loss of the last epoch, per pixel (of the dense net its squared error)."""
    logging.disable(logging.CRITICAL)
    X = torch.from_numpy(data()[:, None].astype("float32") / 255)
    shape = {"input_dim": (1, 28, 28), "latent_dim": work.code}
    if work.kind == "variational":
        model = VAE(VAEConfig(reconstruction_loss="bce", **shape), encoder=Encoder(work), decoder=Decoder(work))
    else:
        model = AE(AEConfig(**shape), encoder=Encoder(work), decoder=Decoder(work))
    watch = Watch(timer)
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"rmsprop": ("RMSprop", {"alpha": 0.9, "eps": 1e-7}), "adam": ("Adam", None)}
        name, parameters = kinds[work.optimizer]
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=work.epochs,
            learning_rate=work.lr,
            per_device_train_batch_size=work.batch,
            optimizer_cls=name,
            optimizer_params=parameters,
        )
        dataset = BaseDataset(X, torch.zeros(len(X)))
        BaseTrainer(model=model, train_dataset=dataset, training_config=config, callbacks=[watch]).train()
    return watch.loss / 784


if __name__ == "__main__":
    main(train)
