"""Measures isthmus on a GPU: seconds of an epoch of each work, recorded and not, and the share of the GPU's best matrix product.

python benchmarks/gpu.py [--works dense,hinton]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from run import flops
from works import WORKS

from isthmus import data
from isthmus.training import cuda_graph

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from isthmus_peer import autoencoder  # the path has to be set first


def main() -> None:
    """Prints a line for each work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--works", default=",".join(WORKS))
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no GPU is here")
    print(torch.cuda.get_device_name(), f"PyTorch {torch.__version__}")
    top = {name: product(dtype) for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))}
    print("products:", ", ".join(f"{value / 1e12:.1f} TFLOP/s in {name}" for name, value in top.items()))
    X, may = data.mnist().train, cuda_graph.can_capture
    for name in given.works.split(","):
        for recorded in (True, False):
            cuda_graph.can_capture = may if recorded else lambda _: False
            seconds, precision, loss = epoch(name, X)
            share = flops(WORKS[name]) / seconds / top[precision]
            how = "recorded" if recorded else "step by step"
            print(f"{name}, {how}: {seconds:.3f} s an epoch, {share:.1%} of {precision}, loss {loss:.4f}", flush=True)


def epoch(name: str, X: np.ndarray) -> tuple[float, str, float]:
    """The median epoch but for the first, the precision, the loss per pixel."""
    ae = autoencoder(WORKS[name]).set_params(device="cuda", epochs=6)
    ends = [time.perf_counter() for report in ae.iter_fit(X) if report.complete]
    return float(np.median(np.diff(ends))), ae.precision_, ae.history_[-1].loss / 784


def product(dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product."""
    a = torch.rand(8192, 8192, device="cuda").to(dtype)
    seconds = []
    for _ in range(10):
        torch.cuda.synchronize()
        began = time.perf_counter()
        _ = a @ a
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * 8192**3 / min(seconds)


if __name__ == "__main__":
    main()
