"""A denoising convolutional autoencoder from scratch: code 7x7x32, noise of 0.5 drawn once, Adadelta.

It is `isthmus reproduce keras-denoising` in plain PyTorch; tests/test_examples.py holds the losses of both equal. The published test
loss is 0.0938 per pixel. Usage: python examples/denoising_autoencoder.py [EPOCHS]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def build() -> tuple[nn.Module, nn.Module]:
    """Encoder (b, 1, 28, 28) -> (b, 32, 7, 7) and decoder (b, 32, 7, 7) -> (b, 1, 28, 28) logits."""

    def convolution(a: int, b: int) -> nn.Conv2d:
        layer = nn.Conv2d(a, b, kernel_size=3, padding=1)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    half = (nn.ReLU(), nn.MaxPool2d(2))
    double = nn.Upsample(scale_factor=2)
    encoder = nn.Sequential(convolution(1, 32), *half, convolution(32, 32), *half)
    wide = (double, convolution(32, 32), nn.ReLU(), double, convolution(32, 32), nn.ReLU())
    return encoder, nn.Sequential(*wide, convolution(32, 1))


def corrupt(x: Tensor, noise: Tensor) -> Tensor:
    """Digits with noise of half their range, clipped to [0, 1]."""
    return (x + 0.5 * noise).clamp(0, 1)


def loss(noisy: Tensor, x: Tensor, encoder: nn.Module, decoder: nn.Module) -> Tensor:
    """The cross-entropy of clean digits x (b, 1, 28, 28) and what is made of noisy ones, in nats per pixel (b,)."""
    costs = binary_cross_entropy_with_logits(decoder(encoder(noisy)), x, reduction="none")
    return costs.flatten(1).mean(1)


def train(
    noisy: Tensor, x: Tensor, encoder: nn.Module, decoder: nn.Module, orders: Iterable[Tensor], batch_size: int
) -> Iterator[float]:
    """Trains on all of x (n, 1, 28, 28) once for each order; gives the mean loss of each epoch, in nats per pixel."""
    optimizer = torch.optim.Adadelta([*encoder.parameters(), *decoder.parameters()], lr=1.0, rho=0.95, eps=1e-8)
    for order in orders:
        total = 0.0
        for rows in order.split(batch_size):
            costs = loss(noisy[rows], x[rows], encoder, decoder)
            optimizer.zero_grad()
            costs.mean().backward()
            optimizer.step()
            total += float(costs.detach().sum())
        yield total / len(x)


def main(x: Tensor, test: Tensor, epochs: int) -> None:
    """Trains on x (n, 1, 28, 28), and prints the loss of each epoch beside that of the test digits."""
    encoder, decoder = build()
    noisy, noisy_test = (corrupt(part, torch.randn(part.shape)) for part in (x, test))  # drawn once
    orders = (torch.randperm(len(x)) for _ in range(epochs))
    for epoch, trained in enumerate(train(noisy, x, encoder, decoder, orders, batch_size=128), 1):
        with torch.no_grad():
            held_out = float(loss(noisy_test, test, encoder, decoder).mean())
        print(f"epoch {epoch}: {trained:.4f} nats per pixel, test {held_out:.4f}")


if __name__ == "__main__":
    from isthmus.data import mnist  # the data alone are ours

    digits = mnist()
    x, test = (torch.from_numpy(part).unsqueeze(1) / 255 for part in (digits.train, digits.test))
    main(x, test, int(sys.argv[1]) if len(sys.argv) > 1 else 100)
