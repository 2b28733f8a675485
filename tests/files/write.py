"""Writes the files of this format, and what they give, which every later version has to give too: python tests/files/write.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, TopK, VectorQuantized
from isthmus.corruptions import GaussianNoise
from isthmus.data import as_examples
from isthmus.estimators.model_file import FORMAT
from isthmus.likelihoods import Normal
from isthmus.optimizers import Adam, OneCycle
from isthmus.scaling import Quantile

HERE = Path(__file__).parent


def examples(name: str) -> Any:
    """Numbers that no library's generator has a hand in."""
    if name == "mixed":
        rows = np.arange(60)
        days = (np.datetime64("2020-01-01") + rows * 37).astype("datetime64[ms]")
        columns = {
            "x": np.sin(rows * 0.3),
            "n": rows % 7,
            "kind": np.array(["left", "right", "up"])[rows % 3],
            "day": days,
        }
        return as_examples(pyarrow.table(columns), kinds={"kind": "category"})
    table = np.sin(np.arange(60)[:, None] * np.array([0.1, 0.7, 1.3, 2.9, 0.01, 5.1])).astype(np.float32)
    if name == "ties":
        table = table.round()
    if name == "missing":
        table[np.arange(60), np.arange(60) * 7 % 6] = np.nan
    return (
        np.abs(np.sin(np.arange(60 * 64).reshape(60, 8, 8) * 0.37)).astype(np.float32) if name == "pictures" else table
    )


KINDS = {
    "table": Autoencoder(TopK(4, k=2), architecture=MLP((8,)), likelihood=Normal("learned"), epochs=2),
    "drawn": Autoencoder(Gaussian(2, beta=2.0), architecture=MLP((8,)), corruption=GaussianNoise(0.1), epochs=1.5),
    "quantized": Autoencoder(
        VectorQuantized(2, codebook_size=4),
        architecture=MLP((8,)),
        optimizer=Adam(schedule=OneCycle(warmup=0.5)),
        epochs=1,
    ),
    "missing": Autoencoder(Gaussian(2), architecture=MLP((8,)), missing="allow", epochs=2),
    "pictures": Autoencoder(TopK(2, k=1), architecture=Conv((2, 4), code="map"), kind="images", epochs=1),
    "ties": Autoencoder(Gaussian(2), architecture=MLP((8,)), scaling=Quantile(ties="interval", quantiles=12), epochs=2),
    "mixed": Autoencoder(Gaussian(2), architecture=MLP((8,)), epochs=2),
}


LABELS = np.array(["left", "right", "02134"])[np.arange(60) % 3]
AROUND = {
    "detector": OutlierDetector(KINDS["drawn"], anomaly_score="combined", calibration_fraction=0.5, random_state=0),
    "classifier": AutoencoderClassifier(KINDS["table"], epochs=2, random_state=0),
}


def answers(around: OutlierDetector | AutoencoderClassifier, X: np.ndarray) -> np.ndarray:
    """What it says of examples."""
    return around.predict_proba(X) if isinstance(around, AutoencoderClassifier) else around.decision_function(X)


def main() -> None:
    """Writes them all."""
    torch.set_num_threads(1)
    for name, ae in KINDS.items():
        X = examples(name)
        ae.set_params(random_state=0, batch_size=16).fit(X).save(HERE / f"format-{FORMAT}-{name}.safetensors")
        np.save(HERE / f"format-{FORMAT}-{name}.npy", ae.reconstruct(X))
    for name, around in AROUND.items():
        X = examples("table")
        around.fit(X, LABELS).save(HERE / f"format-{FORMAT}-{name}.safetensors")
        np.save(HERE / f"format-{FORMAT}-{name}.npy", answers(around, X))
    if FORMAT > 1:
        ae, X = KINDS["drawn"].set_params(epochs=3), examples("drawn")
        for report in ae.iter_fit(X, every=1):
            if report.step == 6:
                ae.checkpoint(HERE / f"format-{FORMAT}-checkpoint.safetensors")
        np.save(HERE / f"format-{FORMAT}-checkpoint.npy", ae.reconstruct(X))


if __name__ == "__main__":
    main()
