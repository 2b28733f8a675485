"""Indices of codebook entries, and log-likelihoods, in Python and on the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from test_cli import run
from torch import nn

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity, VectorQuantized
from isthmus.errors import DataError, NotPossibleError
from isthmus.likelihoods import Normal
from isthmus.optimizers import Adam
from isthmus.scaling import Standard

X = data.digits().test[:60]
MAPS = Conv((4,), code="map")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on digits: one with a codebook at each of 2 x 2 positions, and a variational one."""
    folder = tmp_path_factory.mktemp("runs")
    np.save(folder / "x.npy", X)
    for name, words in {
        "entries": ["quantized", "bottleneck.size=2", "bottleneck.codebook_size=8", "architecture.channels=4"],
        "vae": ["variational", "bottleneck.size=2", "architecture.hidden=8"],
    }.items():
        done = run("train", *words, "epochs=1", "--data", "digits", "--out", name, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("architecture", [MLP((8,)), MAPS], ids=repr)
def test_indices_are_those_of_the_entries_of_the_codes(architecture: MLP | Conv) -> None:
    bottleneck = VectorQuantized(2, codebook_size=8)
    ae = Autoencoder(bottleneck, architecture=architecture, epochs=2, random_state=0, kind="images").fit(X)
    indices, codebook = ae.encode_indices(X), ae.model_.code_memory["codebook"].numpy()
    assert indices.dtype == np.int64
    assert indices.shape == (60, *ae.code_shape_[:-1])
    assert len(np.unique(indices)) > 2
    np.testing.assert_array_equal(codebook[indices], ae.encode(X))
    np.testing.assert_array_equal(ae.decode_indices(indices), ae.reconstruct(X))
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(ae.encode_indices(X[order]), indices[order])
    whole, parts = ae.decode_indices(indices[order]), np.split(indices, [1, 8])
    np.testing.assert_array_equal(whole, ae.decode_indices(indices)[order])
    np.testing.assert_array_equal(np.concatenate([ae.decode_indices(part) for part in parts])[order], whole)
    for wrong in (indices.astype(float), indices[:, None], indices[:0]):
        with pytest.raises(DataError, match="expected whole numbers of shape"):
            ae.decode_indices(wrong)
    for value in (-1, 8):
        with pytest.raises(DataError, match="the codebook has the entries 0 to 7"):
            ae.decode_indices(np.full_like(indices, value))


def test_without_a_codebook_there_are_no_indices() -> None:
    ae = Autoencoder(Identity(2), architecture=MLP((8,)), epochs=1, random_state=0).fit(X)
    for use in (ae.encode_indices, ae.decode_indices):
        with pytest.raises(NotPossibleError, match=r"^Identity has no codebook, so its codes have no indices"):
            use(X)


def test_indices_of_a_table_are_decoded_to_a_table() -> None:
    table = pd.DataFrame({"size": np.arange(40.0), "color": ["red", "blue"] * 20})
    ae = Autoencoder(VectorQuantized(2, codebook_size=4), architecture=MLP((8,)), epochs=2, random_state=0)
    indices = ae.set_params(kinds={"size": "number", "color": "category"}).fit(table).encode_indices(table)
    pd.testing.assert_frame_equal(ae.decode_indices(indices), ae.decode(ae.encode(table)))


def test_the_log_likelihood_of_a_linear_model_is_the_exact_one_in_the_units_of_the_data() -> None:
    rng = np.random.default_rng(0)
    rows = 7 + 3 * (rng.normal(size=(300, 2)) @ rng.normal(size=(2, 4)) + 0.5 * rng.normal(size=(300, 4)))
    ae = Autoencoder(
        Gaussian(2), architecture=MLP(()), likelihood=Normal("learned"), scaling=Standard(), random_state=0
    )
    ae.set_params(epochs=30, batch_size=50, optimizer=Adam(2e-2)).fit(rows)
    model = ae.model_
    (layer,) = (part for part in model.decoder.modules() if isinstance(part, nn.Linear))
    V, shift, scale = layer.weight.detach().numpy(), model.shift.numpy(), model.scale.numpy()
    noise = np.exp(2 * float(model.likelihood_memory["log_scale"]))
    covariance = scale[:, None] * (V @ V.T + noise * np.eye(4)) * scale
    exact = scipy.stats.multivariate_normal(shift + scale * layer.bias.detach().numpy(), covariance).logpdf(rows[:40])
    estimates = np.stack([ae.log_likelihood(rows[:40], samples=500, random_state=state) for state in range(8)])
    spread = estimates.std(0, ddof=1)
    assert spread.max() < 0.15
    bias = -(spread**2) / 2  # of the logarithm of a mean, in the first order
    assert (np.abs(estimates.mean(0) - exact - bias) < 5 * spread / np.sqrt(8) + 1e-3).all()
    assert (
        np.abs(exact - ae.score_samples(rows[:40])).min() > 0.1
    )  # a score is that of the code at the posterior's mean


def columns(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open() as file:
        header, *lines = csv.reader(file)
    return header, np.array(lines, float)


def test_the_command_line_encodes_and_decodes_indices(folder: Path) -> None:
    ae = load(folder / "entries")
    done = run("encode", "entries", "--indices", "--data", "x.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    indices = np.load(folder / "indices.npy")
    np.testing.assert_array_equal(indices, ae.encode_indices(X))
    assert run("encode", "entries", "--indices", "--data", "x.npy", "--out", "i.csv", cwd=folder).returncode == 0
    header, values = columns(folder / "i.csv")
    assert header == [f"index_{number}" for number in range(4)]
    np.testing.assert_array_equal(values, indices.reshape(60, 4))
    np.save(folder / "flat.npy", indices.reshape(60, 4))
    for name in ("indices.npy", "flat.npy"):
        done = run("decode", "entries", name, "--indices", "--out", "made.npy", cwd=folder)
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(np.load(folder / "made.npy"), ae.reconstruct(X))
    np.save(folder / "wrong.npy", indices.reshape(80, 3))
    done = run("decode", "entries", "wrong.npy", "--indices", "--out", "none.npy", cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "expected whole numbers of shape (n, 2, 2)" in done.stderr
    done = run("encode", "vae", "--indices", "--out", "none.npy", cwd=folder)
    assert (done.returncode, (folder / "none.npy").exists()) == (1, False)
    assert "Gaussian has no codebook" in done.stderr


def test_the_command_line_writes_scores(folder: Path) -> None:
    ae = load(folder / "vae")
    expected = {(): ae.score_samples(X), ("--samples", "9", "--random-state", "3"): None}
    expected["--samples", "9", "--random-state", "3"] = ae.log_likelihood(X, samples=9, random_state=3)
    for (words, scores), name in zip(expected.items(), ("score", "log_likelihood"), strict=True):
        done = run("score", "vae", *words, "--data", "x.npy", cwd=folder)
        assert done.returncode == 0, done.stderr
        header, values = columns(folder / "scores.csv")
        assert header == [name]
        np.testing.assert_allclose(values[:, 0], scores, rtol=1e-6)
        error = scores.std(ddof=1) / np.sqrt(60)
        said = f"mean {name}: {scores.mean():.5g} nats per example of 60 examples, standard error {error:.4g}"
        assert said in done.stdout
    held_out = run("score", "vae", "--out", "s.npy", cwd=folder)
    assert held_out.returncode == 0
    assert np.load(folder / "s.npy").shape == (360,)
    refused = run("score", "entries", "--samples", "9", "--out", "none.csv", cwd=folder)
    assert (refused.returncode, (folder / "none.csv").exists()) == (1, False)
    assert "VectorQuantized has no posterior density; Gaussian has one" in refused.stderr
