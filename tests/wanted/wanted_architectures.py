"""Encoders and decoders: mirrored, counted, drawn from their own generator, and tied where they say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from isthmus import Autoencoder, data, load
from isthmus.architectures import Modules
from isthmus.bottlenecks import Identity


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


class Backwards(nn.Module):
    """A linear layer's weights, transposed."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self.layer.weight


def test_weights_that_own_modules_share_stay_shared(digits: data.Dataset, tmp_path: Path) -> None:
    X = digits.train[:50].reshape(50, -1)
    layer = nn.Linear(64, 4, bias=False)
    given = Modules(layer, Backwards(layer))
    ae = Autoencoder(Identity(4), architecture=given, epochs=1).fit(X)
    assert ae.model_.decoder.layer.weight is ae.model_.encoder.weight
    ae.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load(tmp_path, architecture=given).encode(X), ae.encode(X))


def test_own_modules_that_draw_are_repeatable_and_leave_the_world_alone(digits: data.Dataset) -> None:
    X = digits.train[:64].reshape(64, -1)
    given = Modules(nn.Sequential(nn.Linear(64, 16), nn.Dropout(0.5), nn.Linear(16, 4)), nn.Linear(4, 64))
    before = torch.get_rng_state()
    ae, again = (Autoencoder(Identity(4), architecture=given, epochs=2, random_state=0) for _ in range(2))
    for _ in ae.fitting(X):
        np.testing.assert_array_equal(ae.transform(X), ae.transform(X))  # between reports too, nothing is dropped
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(ae.encode(X), again.fit(X).encode(X))
