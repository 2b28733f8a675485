"""Plain PyTorch, as the tutorials write it: tensors in [0, 1], a DataLoader, a loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from common import Timer, Uses, Work, corrupted, data, main
from nets import Net, cross_entropy, optimizer
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def train(work: Work, timer: Timer) -> float:
    """Trains; the loss of the last epoch, per pixel."""
    torch.manual_seed(0)
    X = data()[:, None].astype("float32") / 255
    given = corrupted(X) if work.kind == "denoising" else X
    loader = DataLoader(TensorDataset(torch.from_numpy(given), torch.from_numpy(X)), work.batch, shuffle=True)
    net = Net(work)
    steps = optimizer(net, work)
    mean = 0.0
    timer.begin()
    for _ in range(work.epochs):
        total = 0.0
        for x, clean in loader:
            y, kl = net(x)
            loss = cross_entropy(y, clean) * (784 if work.kind == "variational" else 1) + kl
            steps.zero_grad()
            loss.backward()
            steps.step()
            total += loss.item() * len(x)
        mean = total / len(X) / (784 if work.kind == "variational" else 1)
        timer.epoch()
    return mean


def uses(work: Work) -> Uses:
    """What a net is used for, a thousand digits at a time."""
    net = Net(work).eval()

    def over(function: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], np.ndarray]:
        @torch.inference_mode()
        def call(X: np.ndarray) -> np.ndarray:
            blocks = torch.from_numpy(X)[:, None].split(1000)
            return torch.cat([function(block.float() / 255) for block in blocks]).numpy()

        return call

    def score(x: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(net(x)[0], x, reduction="none").flatten(1).sum(1)

    return {"encode": over(net.encoder), "reconstruct": over(lambda x: torch.sigmoid(net(x)[0])), "score": over(score)}


if __name__ == "__main__":
    main(train, uses)
