"""A variational autoencoder from scratch: 784-256-2-256-784, cross-entropy and divergence per digit, RMSprop.

It is `isthmus reproduce keras-vae` in plain PyTorch; tests/test_examples.py holds the losses of both equal. docs/reproduction.md
has the figures of all 50 epochs. Usage: python examples/variational_autoencoder.py [EPOCHS]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

PIXELS, HIDDEN, SIZE = 784, 256, 2
Draw = Callable[[torch.Size], Tensor]  # standard normal numbers of a shape


def build() -> tuple[nn.Module, nn.Module]:
    """Encoder (b, 784) -> (b, 4), the means and log-variances of a code, and decoder (b, 2) -> (b, 784) logits."""
    encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * SIZE))
    decoder = nn.Sequential(nn.Linear(SIZE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))
    for layer in (encoder[0], encoder[2], decoder[0], decoder[2]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return encoder, decoder


def loss(x: Tensor, encoder: nn.Module, decoder: nn.Module, draw: Draw) -> Tensor:
    """Minus the evidence lower bound of x (b, 784) in [0, 1], in nats per digit (b,)."""
    mean, log_variance = encoder(x).chunk(2, dim=1)
    z = mean + torch.exp(0.5 * log_variance) * draw(mean.shape)
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
    return binary_cross_entropy_with_logits(decoder(z), x, reduction="none").sum(1) + kl


def train(
    x: Tensor,
    encoder: nn.Module,
    decoder: nn.Module,
    orders: Iterable[Tensor],
    batch_size: int,
    draw: Draw = torch.randn,
) -> Iterator[float]:
    """Trains on all of x (n, 784) once for each order of its rows; gives the mean loss of each epoch, in nats per digit."""
    optimizer = torch.optim.RMSprop([*encoder.parameters(), *decoder.parameters()], lr=1e-3, alpha=0.9, eps=1e-8)
    for order in orders:
        total = 0.0
        for rows in order.split(batch_size):
            costs = loss(x[rows], encoder, decoder, draw)
            optimizer.zero_grad()
            costs.mean().backward()
            optimizer.step()
            total += float(costs.detach().sum())
        yield total / len(x)


def main(x: Tensor, test: Tensor, epochs: int) -> None:
    """Trains on x (n, 784), and prints the loss of each epoch beside that of the test digits."""
    encoder, decoder = build()
    orders = (torch.randperm(len(x)) for _ in range(epochs))
    for epoch, trained in enumerate(train(x, encoder, decoder, orders, batch_size=100), 1):
        with torch.no_grad():
            held_out = float(loss(test, encoder, decoder, torch.randn).mean())
        print(f"epoch {epoch}: {trained:.2f} nats per digit, test {held_out:.2f}")


if __name__ == "__main__":
    from isthmus.data import mnist  # the data alone are ours

    digits = mnist()
    x, test = (torch.from_numpy(part).flatten(1) / 255 for part in (digits.train, digits.test))
    main(x, test, int(sys.argv[1]) if len(sys.argv) > 1 else 50)
