"""Trains models of dynamically binarized images and estimates their log-likelihood on test images; writes docs/likelihoods.md.

python benchmarks/likelihoods.py FOLDER [--models vae,iwae] [--states 0] [--epochs 200] [--precision auto] [--samples 5000]
    [--digits 10000]

MNIST after the protocol of Burda, Grosse & Salakhutdinov 2016 ("Importance weighted autoencoders", one stochastic layer): 50 codes,
200-200 tanh units each way. Fashion-MNIST after that of Norouzi, Fleet & Norouzi 2020 ("Exemplar VAE"): 40 codes, 300-300 units, there
gated ones, here SiLU. Training images are binarized anew at every step, test images once. An interrupted training continues from its
checkpoint in FOLDER. Results are kept in benchmarks/measured/likelihoods; the page has all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from run import HERE

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP
from isthmus.augmentations import Binarize
from isthmus.bottlenecks import Gaussian, ImportanceWeighted
from isthmus.bottlenecks.base import Bottleneck
from isthmus.experiments.reproduction import machine
from isthmus.likelihoods import Bernoulli
from isthmus.optimizers import Adam, OneCycle
from isthmus.priors import VampPrior

KEPT = HERE / "measured" / "likelihoods"
BURDA = MLP((200, 200), "tanh")
TRAINING, BATCH = 50_000, 100  # the last 10,000 training digits are for validation


@dataclass(frozen=True)
class Model:
    """A model of a table: its bottleneck, the published figure in nats, the images and the hidden layers."""

    title: str
    bottleneck: Callable[[], Bottleneck]
    published: float | None
    source: str
    images: str = "MNIST"
    mlp: MLP = BURDA


FASHION: Any = {"images": "Fashion-MNIST", "mlp": MLP((300, 300), "silu")}
MODELS = {
    "vae": Model("VAE", lambda: Gaussian(50), 86.76, "Burda et al. 2016, table 1"),
    "iwae-5": Model("IWAE, 5 draws", lambda: ImportanceWeighted(50, draws=5), None, ""),
    "iwae-50": Model("IWAE, 50 draws", lambda: ImportanceWeighted(50, draws=50), 84.78, "Burda et al. 2016, table 1"),
    "vamp": Model("VAE with a VampPrior of 500", lambda: Gaussian(50, prior=VampPrior(500)), None, ""),
    "fashion-vae": Model("VAE", lambda: Gaussian(40), 228.70, "Norouzi et al. 2020", **FASHION),
    "fashion-iwae-5": Model("IWAE, 5 draws", lambda: ImportanceWeighted(40, draws=5), None, "", **FASHION),
}


@dataclass(frozen=True)
class Result:
    """What was measured of one training."""

    model: str
    random_state: int
    epochs: int
    seconds: float
    nll: float  # of test digits, by importance sampling
    standard_error: float  # of the mean over the digits
    validation: float  # the training's loss on validation digits, at the end
    halfway: float  # the same after half of the epochs: what more epochs may bring
    samples: int
    digits: int
    measuring_seconds: float
    machine: str
    precision: str = "float32"  # of the training; the log-likelihood is always float32


def binarized(images: np.ndarray, random_state: int) -> np.ndarray:
    """Each pixel is 1 with its gray level as probability."""
    return (np.random.default_rng(random_state).uniform(size=images.shape) < images / 255).astype(np.uint8)


def images_of(model: Model) -> data.Dataset:
    """The images that a model is trained on."""
    return data.mnist() if model.images == "MNIST" else data.fashion_mnist()


def trained(name: str, random_state: int, epochs: int, precision: Any, folder: Path) -> Autoencoder:
    """A model trained to the end, from its checkpoint if there is one."""
    images = images_of(MODELS[name]).train / np.float32(255)
    X, held = images[:TRAINING], images[TRAINING:]
    path, done = folder / "checkpoint.safetensors", folder / "model.safetensors"
    if done.is_file():
        ae: Autoencoder = load(done)
        return ae
    if path.is_file():
        print(f"{name}: continues from {path}", flush=True)
        ae = load(path)
        reports = ae.iter_resume(X, validation_data=held)
    else:
        ae = Autoencoder(
            MODELS[name].bottleneck(),
            architecture=MODELS[name].mlp,
            augmentation=Binarize(),
            likelihood=Bernoulli(),
            optimizer=Adam(1e-3, schedule=OneCycle(warmup=0.1)),
            epochs=epochs,
            batch_size=BATCH,
            kind="images",
            precision=precision,
            random_state=random_state,
        )
        reports = ae.iter_fit(X, validation_data=held)
    for report in reports:
        if report.epoch % max(1, epochs // 50) == 0 or report.step == report.steps:
            print(f"{name} epoch {report.epoch} loss {report.loss:.3f} validation {report.val_loss:.3f}", flush=True)
            if report.step < report.steps:
                ae.checkpoint(path)
    ae.save(done)
    path.unlink(missing_ok=True)
    return ae


def measured(name: str, random_state: int, ae: Autoencoder, samples: int, digits: int) -> Result:
    """The log-likelihood of binarized test images."""
    test = images_of(MODELS[name]).test
    assert test is not None
    x = binarized(test, 0)[:digits].astype(np.float32)
    began = time.perf_counter()
    nll = -ae.log_likelihood(x, samples=samples, random_state=0)
    history = ae.history_
    return Result(
        model=name,
        random_state=random_state,
        epochs=history[-1].epoch,
        seconds=round(ae.seconds_, 1),
        nll=float(nll.mean()),
        standard_error=float(nll.std(ddof=1) / np.sqrt(len(nll))),
        validation=float(history[-1].val_loss or np.nan),
        halfway=float(history[len(history) // 2].val_loss or np.nan),
        samples=samples,
        digits=len(x),
        measuring_seconds=round(time.perf_counter() - began, 1),
        machine=machine(),
        precision=ae.precision_,
    )


COLUMNS = (
    *("model", "published", "ours", "n", "standard error over images"),
    *("images", "draws", "epochs", "precision", "seconds of training", "validation loss, halfway → end"),
)


def table(images: str, results: list[Result]) -> str:
    """The rows of the models of a data set; empty without one."""
    rows = []
    kinds = [(name, epochs) for name in MODELS for epochs in sorted({each.epochs for each in results})]
    for name, epochs in kinds:
        model = MODELS[name]
        own = [each for each in results if (each.model, each.epochs, model.images) == (name, epochs, images)]
        if not own:
            continue
        figures = [result.nll for result in own]
        spread = f" ± {statistics.stdev(figures):.2f}" if len(figures) > 1 else ""
        first, published = own[0], "-" if model.published is None else f"{model.published:.2f} ({model.source})"
        rows.append(
            f"| {model.title} | {published} | {statistics.mean(figures):.2f}{spread} | {len(own)} | {first.standard_error:.2f} "
            f"| {first.digits:,} | {first.samples:,} | {first.epochs} | {first.precision} | {first.seconds:,.0f} "
            f"| {first.halfway:.2f} → {first.validation:.2f} |"
        )
    if not rows:
        return ""
    return "\n".join([f"## {images}", "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", *rows, "", ""])


def page(results: list[Result]) -> str:
    """The tables with what they mean."""
    tables = "".join(table(images, results) for images in ("MNIST", "Fashion-MNIST"))
    any_one = results[0]
    return f"""# Log-likelihood of dynamically binarized images

Negative log-likelihood of test images in nats per image, estimated by importance sampling, on the first test images, binarized once; the
table has the number of images, and of draws for each. Fewer draws give a higher figure, and other images another one. The density of a
VampPrior takes far more time than the others, so that it was measured on fewer. Validation losses are of the same images and comparable.
Training images ({TRAINING:,}; the other 10,000 for validation) are binarized
anew at every step. One stochastic layer, batches of {BATCH}, Adam with a one-cycle schedule. MNIST: 50 codes, 200-200 tanh units each way.
Fashion-MNIST: 40 codes, 300-300 units, gated ones in the publication, SiLU here. A lower figure is better. The published trainings on
MNIST took 3,280 epochs; ours took the epochs of the table, and the last column says what the second half of them still brought. The
validation loss is the negative evidence lower bound, or the negative bound of several draws, and lies above the log-likelihood. Seconds
are wall time, and depend on what else the machine does.

{tables}Written {datetime.now(UTC):%Y-%m-%d} by `python benchmarks/likelihoods.py`; machine: {any_one.machine}.
"""


def main() -> None:
    """Trains, measures, and writes the page from all results of the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default="vae")
    parser.add_argument("--states", default="0")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--digits", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "likelihoods.md")
    options = parser.parse_args()
    for name in filter(None, options.models.split(",")):
        for state in map(int, options.states.split(",")):
            folder = options.folder / f"{name}-{options.epochs}-{state}"
            folder.mkdir(parents=True, exist_ok=True)
            ae = trained(name, state, options.epochs, options.precision, folder)
            result = measured(name, state, ae, options.samples, options.digits)
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / f"{folder.name}.json").write_text(json.dumps(asdict(result), indent=1))
            print(result, flush=True)
    results = [Result(**json.loads(path.read_text())) for path in sorted(KEPT.glob("*.json"))]
    if results:
        options.out.write_text(page(results))


if __name__ == "__main__":
    main()
