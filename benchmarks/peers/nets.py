"""The works as ordinary PyTorch modules, for the peers that stand on PyTorch."""

from __future__ import annotations

import itertools

import torch
from common import Work
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Net", "cross_entropy", "dense", "optimizer"]


def dense(sizes: tuple[int, ...]) -> nn.Sequential:
    """Dense layers with ReLU between."""
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Net(nn.Module):
    """Encoder, code and decoder; what comes out are logits, and the divergence of the code where it is drawn."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work
        if work.kind in {"dense", "variational"}:
            width = work.code * (2 if work.kind == "variational" else 1)
            self.encoder = nn.Sequential(nn.Flatten(), *dense((784, *work.hidden, width)))
            self.decoder = nn.Sequential(*dense((work.code, *work.hidden[::-1], 784)), nn.Unflatten(1, (1, 28, 28)))
        elif work.kind == "conv":
            stage = [nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
            self.encoder = nn.Sequential(
                *[nn.Conv2d(1, 16, 3, padding=1), *stage, nn.Conv2d(16, 8, 3, padding=1), *stage],
                *[nn.Conv2d(8, 8, 3, padding=1), *stage],
            )
            up = [nn.ReLU(), nn.Upsample(scale_factor=2)]
            self.decoder = nn.Sequential(
                *[nn.Conv2d(8, 8, 3, padding=1), *up, nn.Conv2d(8, 8, 3, padding=1), *up, nn.Conv2d(8, 16, 3), *up],
                nn.Conv2d(16, 1, 3, padding=1),
            )
        else:
            stage = [nn.ReLU(), nn.MaxPool2d(2)]
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 32, 3, padding=1), *stage, nn.Conv2d(32, 32, 3, padding=1), *stage
            )
            layers: list[nn.Module] = []
            for _ in range(2):
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
            self.decoder = nn.Sequential(*layers, nn.Conv2d(32, 1, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x)
        if self.work.kind == "variational":
            mean, log_variance = h.chunk(2, 1)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
            return self.decoder(z), kl
        z = F.relu(h) if self.work.activation == "relu" and self.work.kind == "dense" else h
        return self.decoder(z), h.new_zeros(())


def cross_entropy(y: Tensor, x: Tensor) -> Tensor:
    """Nats per pixel."""
    return F.binary_cross_entropy_with_logits(y, x)


def optimizer(net: nn.Module, work: Work) -> torch.optim.Optimizer:
    """PyTorch's optimizer, as one writes it."""
    kinds = {"adam": torch.optim.Adam, "adadelta": torch.optim.Adadelta}
    if work.optimizer == "rmsprop":
        return torch.optim.RMSprop(net.parameters(), lr=work.lr, alpha=0.9, eps=1e-7)
    return kinds[work.optimizer](net.parameters(), lr=work.lr)
