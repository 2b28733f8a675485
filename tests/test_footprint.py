"""How much memory a model is said to take, beside what the system sees it take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
