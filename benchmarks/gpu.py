"""Measures isthmus on a GPU: epochs, recorded and not, time to a quality, and a large convolutional variational autoencoder.

python benchmarks/gpu.py [--works dense,hinton] [--targets half-of-pca] [--seeds 3] [--images 20000] [--device cuda]

It prints tables in Markdown. Shares are the arithmetic of an epoch at the speed of the GPU's best product of large matrices, in the
precision used, divided by the measured time. `--device cpu` runs the same on the processor, to try the script.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality import TARGETS
from run import flops
from torch.utils.flop_counter import FlopCounterMode
from works import WORKS

from isthmus import Autoencoder, data, recipes
from isthmus.architectures import Conv
from isthmus.bottlenecks import Gaussian
from isthmus.likelihoods import Bernoulli
from isthmus.nn.device import computes_bfloat16
from isthmus.training import cuda_graph

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from isthmus_peer import autoencoder  # the path has to be set first

SIDE, LARGE_BATCH = 64, 256  # of the large convolutional net


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU is here")
    name = torch.cuda.get_device_name() if given.device == "cuda" else "the processor"
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if not computes_bfloat16(torch.device(given.device)):
        del types["bfloat16"]
    top = {kind: product(dtype, given.device) for kind, dtype in types.items()}
    products = ", ".join(f"{value / 1e12:.1f} TFLOP/s in {kind}" for kind, value in top.items())
    print(f"{name}, PyTorch {torch.__version__}; products: {products}\n", flush=True)
    works(given, top)
    qualities(given)
    large(given, top)


def works(given: argparse.Namespace, top: dict[str, float]) -> None:
    """A line for each work, recorded and step by step."""
    print("| work | steps | seconds per epoch | share | loss |\n|---|---|---|---|---|")
    X, may = data.mnist().train, cuda_graph.can_capture
    for work in filter(None, given.works.split(",")):
        for recorded in (True, False):
            cuda_graph.can_capture = may if recorded else lambda _: False
            ae = autoencoder(WORKS[work]).set_params(device=given.device, epochs=given.epochs)
            seconds = epochs(ae, X)
            share = flops(WORKS[work]) / statistics.median(seconds) / top[ae.precision_]
            how = "recorded" if recorded and given.device == "cuda" else "one by one"
            spread = f"{statistics.median(seconds):.3f} ({min(seconds):.3f} - {max(seconds):.3f})"
            loss = ae.history_[-1].loss / 784
            print(f"| {work} | {how} | {spread} | {share:.1%} of {ae.precision_} | {loss:.4f} |", flush=True)
    cuda_graph.can_capture = may


def qualities(given: argparse.Namespace) -> None:
    """A line for each figure that benchmarks/quality.py reaches on the processor."""
    print("\n| target | figure | reached | seconds of fit |\n|---|---|---|---|")
    digits = data.mnist()
    recipes.simple(8).set_params(epochs=1, device=given.device).fit(
        digits.train[:500]
    )  # what is loaded at the first use
    for name in filter(None, given.targets.split(",")):
        target, seconds, figures = TARGETS[name], list[float](), list[float]()
        for seed in range(given.seeds):
            ae = target.build().set_params(random_state=seed, device=given.device)
            began = time.perf_counter()
            ae.fit(digits.train)
            synchronize(given.device)
            seconds.append(time.perf_counter() - began)
            figures.append(target.measure(ae, digits.test))
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} - {max(seconds):.2f})"
        print(f"| {name} | {target.figure} | {min(figures):.4f} - {max(figures):.4f} | {spread} |", flush=True)


def large(given: argparse.Namespace, top: dict[str, float]) -> None:
    """A convolutional variational autoencoder of photographs' size, on random images: its speed does not depend on what they show."""
    print(f"\n| {SIDE} x {SIDE} x 3, batch {LARGE_BATCH} | seconds per epoch | images/s | share |\n|---|---|---|---|")
    X = np.random.default_rng(0).integers(0, 256, (given.images, SIDE, SIDE, 3), np.uint8)
    architecture = Conv((64, 128, 256, 512), down="stride")
    for precision in top:
        ae = Autoencoder(
            Gaussian(128),
            architecture=architecture,
            likelihood=Bernoulli(),
            batch_size=LARGE_BATCH,
            epochs=given.epochs,
            precision=precision,
            random_state=0,
            device=given.device,
        )
        seconds = statistics.median(epochs(ae, X))
        share = arithmetic(ae, X) * len(X) / seconds / top[precision]
        print(f"| {precision} | {seconds:.3f} | {len(X) / seconds:,.0f} | {share:.1%} |", flush=True)


def epochs(ae: Autoencoder, X: np.ndarray[Any, Any]) -> list[float]:
    """Seconds of each epoch but the first."""
    ends = [time.perf_counter() for report in ae.iter_fit(X) if report.complete]
    return [float(each) for each in np.diff(ends)]


def arithmetic(ae: Autoencoder, X: np.ndarray[Any, Any]) -> float:
    """The floating-point operations of a step, by image."""
    model = ae.model_.train()
    with FlopCounterMode(display=False) as counter:
        z = model.hidden(model.normalize(torch.from_numpy(X[:LARGE_BATCH]).to(model.device)))
        model.decode(z[..., : ae.code_shape_[-1]]).sum().backward()
    return float(counter.get_total_flops()) / LARGE_BATCH


def product(dtype: torch.dtype, device: str) -> float:
    """FLOP/s of a large matrix product."""
    side = 8192 if device == "cuda" else 1024
    a = torch.rand(side, side, device=device).to(dtype)
    return 2 * side**3 / min(timed(lambda: a @ a, device) for _ in range(10))


def timed(call: Callable[[], object], device: str) -> float:
    """Seconds of a call."""
    synchronize(device)
    began = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - began


def synchronize(device: str) -> None:
    """Waits for the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
