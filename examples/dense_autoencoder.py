"""A dense autoencoder from scratch: 784-32-784, ReLU code, cross-entropy per pixel, Adadelta.

It is `isthmus reproduce keras-simple` in plain PyTorch; tests/test_examples.py holds the losses of both equal. The published test loss is
0.1022 per pixel. Usage: python examples/dense_autoencoder.py [EPOCHS]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

PIXELS = 784


def build() -> tuple[nn.Module, nn.Module]:
    """Encoder (b, 784) -> (b, 32) and decoder (b, 32) -> (b, 784) logits."""
    encoder = nn.Sequential(nn.Linear(PIXELS, 32), nn.ReLU())
    decoder = nn.Sequential(nn.Linear(32, PIXELS))
    for layer in (encoder[0], decoder[0]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return encoder, decoder


def loss(x: Tensor, encoder: nn.Module, decoder: nn.Module) -> Tensor:
    """The cross-entropy of x (b, 784) in [0, 1] and its reconstruction, in nats per pixel (b,)."""
    return binary_cross_entropy_with_logits(decoder(encoder(x)), x, reduction="none").mean(1)


def train(
    x: Tensor, encoder: nn.Module, decoder: nn.Module, orders: Iterable[Tensor], batch_size: int
) -> Iterator[float]:
    """Trains on all of x (n, 784) once for each order of its rows; gives the mean loss of each epoch, in nats per pixel."""
    optimizer = torch.optim.Adadelta([*encoder.parameters(), *decoder.parameters()], lr=1.0, rho=0.95, eps=1e-8)
    for order in orders:
        total = 0.0
        for rows in order.split(batch_size):
            costs = loss(x[rows], encoder, decoder)
            optimizer.zero_grad()
            costs.mean().backward()
            optimizer.step()
            total += float(costs.detach().sum())
        yield total / len(x)


def main(x: Tensor, test: Tensor, epochs: int) -> None:
    """Trains on x (n, 784), and prints the loss of each epoch beside that of the test digits."""
    encoder, decoder = build()
    orders = (torch.randperm(len(x)) for _ in range(epochs))
    for epoch, trained in enumerate(train(x, encoder, decoder, orders, batch_size=256), 1):
        with torch.no_grad():
            held_out = float(loss(test, encoder, decoder).mean())
        print(f"epoch {epoch}: {trained:.4f} nats per pixel, test {held_out:.4f}")


if __name__ == "__main__":
    from isthmus.data import mnist  # the data alone are ours

    digits = mnist()
    x, test = (torch.from_numpy(part).flatten(1) / 255 for part in (digits.train, digits.test))
    main(x, test, int(sys.argv[1]) if len(sys.argv) > 1 else 50)
