"""How much memory a model is said to take, beside what the system sees it take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from isthmus import Autoencoder
from isthmus.architectures import Conditional, Modules
from isthmus.estimators.memory_estimate import footprint, training_bytes
from isthmus.penalties import Adversarial, Contractive, NoPenalty, Penalty, SmoothDecoder, TotalCorrelationCritic

MEASURED = """
import json, re
from pathlib import Path
import numpy as np
from isthmus import Autoencoder
from isthmus.architectures import Conv
from isthmus.bottlenecks import Gaussian, Identity, VectorQuantized
from isthmus.nn.device import trim_malloc
from isthmus.estimators.memory_estimate import bounded_batch_size, footprint

CASES = {  # examples so large that they are computed one by one
    "dense behind maps": (Gaussian(2), Conv((32, 4)), (1280, 1024), "float32"),
    "a map": (Identity(8), Conv((16, 32), code="map"), (800, 800, 3), "float32"),
    "strides": (Identity(8), Conv((16, 32), code="map", up="transpose", down="stride"), (1280, 1536), "float32"),
    "a codebook": (VectorQuantized(8, codebook_size=512), Conv((16,), code="map"), (1024, 1024), "float32"),
    "a codebook of thousands": (VectorQuantized(2, codebook_size=9000), Conv((4,), code="map"), (400, 400), "float64"),
    "a line": (Identity(8), Conv((16, 2)), (2**20,), "float32"),
    "double precision": (Gaussian(2), Conv((16, 2)), (640, 640), "float64"),
}

def said(name):
    return int(re.search(rf"{name}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

found = {}
for name, (bottleneck, architecture, shape, precision) in CASES.items():
    kind = "images" if len(shape) > 1 else "auto"
    ae = Autoencoder(bottleneck, architecture=architecture, kind=kind, precision=precision, random_state=0, device="cpu")
    for sides in (tuple(min(side, 16) for side in shape), shape):  # first a small one: what is loaded and kept for good
        X = np.random.default_rng(0).random((1, *sides), np.float32)
        ae.initialize(X)
        trim_malloc()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = said("VmRSS")
        ae.reconstruct(X)
        taken = said("VmHWM") - before
    needed = footprint(ae.model_)
    found[name] = (needed.inference_bytes * bounded_batch_size(ae.model_, 1) + needed.shared_bytes, taken)
print(json.dumps(found))
"""


@pytest.mark.promise(22)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory as Linux tells it")
@pytest.mark.thorough
def test_the_memory_estimate_is_near_the_measured_memory() -> None:
    """What was freed goes back to the system at once here: what is kept for later, and taken again, would be measured too."""
    world = os.environ | {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, env=world)
    found = json.loads(done.stdout)
    assert len(found) == 7
    shares = {name: said / taken for name, (said, taken) in found.items()}
    assert min(shares.values()) > 0.8, shares
    assert max(shares.values()) < 3, shares
    assert min(taken for _, taken in found.values()) > 50 << 20, "too little to be measured well"


IN_TRAINING = """
import json, re
from pathlib import Path
import numpy as np
from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.estimators.memory_estimate import training_bytes
from isthmus.nn.device import trim_malloc
from isthmus.penalties import Adversarial, Contractive, NoPenalty, SmoothDecoder, TotalCorrelationCritic

CASES = {
    "no penalty": NoPenalty(),
    "exact Jacobian of the code": Contractive(0.1),
    "exact Jacobian of the decoder": SmoothDecoder(0.1),
    "one direction": Contractive(0.1, exact=False),
    "a critic": Adversarial(1, hidden=(2048, 2048)),
    "a critic of permuted codes": TotalCorrelationCritic(1, hidden=(2048, 2048)),
}

def said(name):
    return int(re.search(rf"{name}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

found = {}
for name, penalty in CASES.items():
    common = {"architecture": MLP((512,)), "penalty": penalty, "epochs": 1, "random_state": 0, "device": "cpu"}
    for n in (64, 4096):  # first a small one: what is loaded and kept for good
        X = np.random.default_rng(0).normal(size=(n, 256)).astype(np.float32)
        ae = Autoencoder(Identity(16), batch_size=n, **common).initialize(X)
        trim_malloc()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = said("VmRSS")
        ae.partial_fit(X)
        taken = said("VmHWM") - before
    found[name] = (training_bytes(ae.model_, n, 16), taken)
print(json.dumps(found))
"""


@pytest.mark.promise(22)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory as Linux tells it")
@pytest.mark.thorough
def test_the_estimate_of_a_training_step_includes_derivatives_and_critics() -> None:
    """Within the factors of the other test: a sum of layers cannot know what PyTorch frees early, and must not be far below."""
    world = os.environ | {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run([sys.executable, "-c", IN_TRAINING], capture_output=True, text=True, check=True, env=world)
    found = json.loads(done.stdout)
    shares = {name: said / taken for name, (said, taken) in found.items()}
    assert min(shares.values()) > 0.8, shares
    assert max(shares.values()) < 3, shares
    assert found["exact Jacobian of the code"][1] > 3 * found["no penalty"][1]
    assert found["a critic"][1] > 3 * found["no penalty"][1]


@pytest.mark.parametrize(
    "penalty",
    [Contractive(1), SmoothDecoder(1), *(kind(1, hidden=(512, 512)) for kind in (Adversarial, TotalCorrelationCritic))],
    ids=repr,
)
def test_what_a_penalty_allocates_enters_the_estimate(penalty: Penalty) -> None:
    X = np.random.default_rng(0).normal(size=(20, 8))
    plain, with_penalty = (
        training_bytes(Autoencoder(16, penalty=each, random_state=0).initialize(X).model_, 512, 16)
        for each in (NoPenalty(), penalty)
    )
    assert with_penalty > 1.5 * plain


class Reshaped(nn.Module):
    """A module of a user that reshapes each example."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)


@pytest.mark.parametrize("wrapped", [False, True])
def test_modules_that_reshape_by_themselves_have_a_rough_estimate(wrapped: bool) -> None:
    """Layers behind a module that no estimate knows count as if their output had the shape of their input."""
    X, y = np.random.default_rng(0).normal(size=(40, 36)).astype(np.float32), np.arange(40) % 2
    encoder = nn.Sequential(Reshaped(1, 6, 6), nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), Reshaped(16), nn.Linear(16, 2))
    modules = Modules(encoder, nn.Sequential(nn.Linear(4 if wrapped else 2, 36)))
    ae = Autoencoder(2, architecture=Conditional(modules) if wrapped else modules, epochs=1, random_state=0).fit(X, y)
    assert ae.transform(X, y).shape == (40, 2)
    assert 36 * 4 < footprint(ae.model_).inference_bytes < 36 * 4 * 100
