"""Lightning: its module, its trainer, nothing logged."""

from __future__ import annotations

import logging
import warnings

import lightning
import torch
from common import Timer, Work, corrupted, data, main
from nets import Net, cross_entropy, optimizer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset


class Module(lightning.LightningModule):
    """The work, as Lightning wants it."""

    def __init__(self, work: Work, timer: Timer) -> None:
        super().__init__()
        self.net, self.work, self.timer, self.total, self.mean = Net(work), work, timer, 0.0, 0.0

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        x, clean = batch
        y, kl = self.net(x)
        loss = cross_entropy(y, clean) * (784 if self.work.kind == "variational" else 1) + kl
        self.total += loss.item() * len(x)
        return loss

    def on_train_start(self) -> None:
        self.timer.begin()

    def on_train_epoch_end(self) -> None:
        self.mean, self.total = self.total / 60000 / (784 if self.work.kind == "variational" else 1), 0.0
        self.timer.epoch()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer(self.net, self.work)


def train(work: Work, timer: Timer) -> float:
    """Trains; the loss of the last epoch, per pixel."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(0)
    X = data()[:, None].astype("float32") / 255
    given = corrupted(X) if work.kind == "denoising" else X
    loader = DataLoader(TensorDataset(torch.from_numpy(given), torch.from_numpy(X)), work.batch, shuffle=True)
    module = Module(work, timer)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    lightning.Trainer(max_epochs=work.epochs, accelerator="cpu", **quiet).fit(module, loader)
    return module.mean


if __name__ == "__main__":
    main(train)
