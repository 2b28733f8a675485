"""Layer by layer: each alone is an autoencoder of what the layers below give, and the whole begins where they ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_cli import run

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP, Conv
from isthmus.augmentations import Binarize, Crop
from isthmus.bottlenecks import Gaussian, Identity, TopK, VectorQuantized
from isthmus.corruptions import Masking
from isthmus.errors import NotPossibleError
from isthmus.likelihoods import Normal
from isthmus.optimizers import SGD, Adam, AdamW, Cosine, OneCycle
from isthmus.scaling import NoScaling
from isthmus.schedules import Warmup
from isthmus.training.batches import InMemorySource
from isthmus.training.config import TrainingConfig
from isthmus.training.encoder_input import EncoderInput
from isthmus.training.layerwise import paired_layers


def small(bottleneck: Any = "auto", **choices: Any) -> Autoencoder:
    return Autoencoder(bottleneck, **{"architecture": MLP((24, 12)), "epochs": 3, "random_state": 0} | choices)


def stacked(ae: Autoencoder, X: np.ndarray, **choices: Any) -> Autoencoder:
    """The autoencoder when its layers have been trained alone, and the whole not yet."""
    reports = ae.iter_fit(X, layerwise=True, **choices)
    assert ae.architecture is not None
    count = None
    for report in reports:
        count = len(paired_layers(ae.model_)) if count is None else count
        if report.layer == count and report.step == report.steps:
            break
    reports.close()
    return ae


def test_layers_one_after_the_other_find_the_principal_subspace(rng: np.random.Generator) -> None:
    """Tied and linear, each layer is PCA of the one below: the greedy solution is the whole's (Baldi & Hornik 1989)."""
    X = rng.normal(size=(300, 6)) * [2, 1.5, 1.2, 1, 0.1, 0.05] @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    X -= X.mean(0)
    architecture = MLP((4,), activation="linear", tied=True)
    ae = Autoencoder(
        Identity(2),
        architecture=architecture,
        likelihood=Normal(),
        scaling=NoScaling(),
        optimizer=Adam(5e-2, schedule=Cosine()),
        epochs=800,
        batch_size=300,
        precision="float64",
        random_state=0,
    )
    below, top = (layer.weight.detach().numpy() for layer in stacked(ae, X).model_.encoder if hasattr(layer, "weight"))
    axes = np.linalg.svd(X)[2]
    for learned, k in ((below, 4), (top @ below, 2)):
        cosines = np.linalg.svd(axes[:k] @ np.linalg.qr(learned.T)[0])[1]
        np.testing.assert_allclose(cosines, 1, atol=1e-6)


def test_the_first_layer_is_trained_as_a_shallow_autoencoder_is(digits: data.Dataset) -> None:
    """By hand, in PyTorch: one step of gradient descent on the whole data, restoring x from one layer each way."""
    X = digits.train[:50].reshape(50, -1).astype(np.float64)
    choices: dict[str, Any] = {
        "architecture": MLP((24, 12), activation="tanh"),
        "scaling": NoScaling(),
        "batch_size": 50,
    }
    choices |= {"likelihood": Normal(), "precision": "float64", "optimizer": SGD(0.01, momentum=0), "epochs": 3}
    start = small(Identity(3), **choices).initialize(X).model_
    (first, *_), (*_, last) = [[m for m in part if hasattr(m, "weight")] for part in (start.encoder, start.decoder)]
    x = torch.from_numpy(X)
    loss = 0.5 * (x - last(torch.tanh(first(x)))).square().sum(1).mean()
    wanted = [
        p - 0.01 * g
        for p, g in zip(
            (first.weight, last.weight), torch.autograd.grad(loss, (first.weight, last.weight)), strict=True
        )
    ]
    reports = small(Identity(3), **choices).iter_fit(X, layerwise=True)
    ae, report = reports.gi_frame.f_locals["self"], next(reports)
    assert (report.layer, report.step, report.steps) == (1, 1, 1)
    assert report.loss == pytest.approx(loss.item() + 32 * np.log(2 * np.pi))
    np.testing.assert_allclose(ae.model_.encoder[1].weight.detach(), wanted[0].detach(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ae.model_.decoder[4].weight.detach(), wanted[1].detach(), rtol=1e-9, atol=1e-12)
    kept = ae.model_.encoder[3].weight
    np.testing.assert_array_equal(kept.detach(), start.encoder[3].weight.detach())
    next(reports)
    np.testing.assert_allclose(ae.model_.encoder[1].weight.detach(), wanted[0].detach(), rtol=1e-9, atol=1e-12)
    assert not np.array_equal(kept.detach(), start.encoder[3].weight.detach())


def test_each_layer_denoises_its_own_corrupted_input(digits: data.Dataset) -> None:
    """Where all is masked, a layer can but learn the mean of what the layers below make of clean examples."""
    X = digits.train[:300].reshape(300, -1)
    ae = small(
        Identity(3),
        corruption=Masking(1.0),
        architecture=MLP((8,)),
        epochs=300,
        batch_size=300,
        optimizer=AdamW(5e-2, schedule=OneCycle()),
    )
    second = paired_layers(stacked(ae, X).model_)[1]
    clean = second.inputs(second.normalize(torch.from_numpy(X)))
    restored = second.decoder(second.encoder(torch.zeros(1, 8)))
    assert (clean > 0).any()
    np.testing.assert_allclose(restored[0].detach(), clean.mean(0), atol=0.1 * float(clean.std()))


@pytest.mark.thorough
def test_deep_sigmoid_layers_learn_sooner_one_by_one() -> None:
    """At as many epochs in all: the classic claim, for the nets that it was made for."""
    digits = data.digits()
    choices = {"architecture": MLP((48, 32, 16), activation="sigmoid"), "batch_size": 32}
    choices |= {"optimizer": AdamW(1e-2, schedule=OneCycle())}
    greedy = small(Identity(8), **choices, epochs=25).fit(digits.train[:800], layerwise=True)
    scratch = small(Identity(8), **choices, epochs=50).fit(digits.train[:800])
    assert greedy.score(digits.test) > scratch.score(digits.test) + 1


KINDS: list[dict[str, Any]] = [
    {"architecture": MLP((16, 8)), "bottleneck": Gaussian(3)},
    {"architecture": MLP(()), "bottleneck": TopK(8, k=2)},
    {"architecture": MLP((16,), tied=True), "bottleneck": Identity(4)},
    {"architecture": Conv((4, 6), up="transpose"), "bottleneck": Identity(4)},
    {
        "architecture": Conv((4,), up="transpose", down="stride", code="map"),
        "bottleneck": VectorQuantized(3, codebook_size=8),
    },
]


@pytest.mark.promise(9)
@pytest.mark.parametrize("choices", KINDS, ids=repr)
def test_layerwise_training_lowers_every_loss_and_is_bit_identical(
    choices: dict[str, Any], digits: data.Dataset
) -> None:
    X = digits.train[:64]
    one, two = (small(**choices, epochs=6, batch_size=16) for _ in range(2))
    reports = list(one.iter_fit(X, layerwise=True))
    by_layer = [[r.loss for r in reports if r.layer == n] for n in range(1, len(paired_layers(one.model_)) + 1)]
    assert all(losses[-1] < losses[0] for losses in by_layer if len(losses) > 1)
    assert [r for r in reports if r.layer is None] == list(one.history_)
    assert [r.epoch for r in one.history_] == [1, 2, 3, 4, 5, 6]
    assert one.seconds_ > reports[-1].seconds
    for _ in two.iter_fit(X, layerwise=True):
        two.reconstruct(X[:3])  # looking changes nothing
    np.testing.assert_array_equal(one.reconstruct(X), two.reconstruct(X))
    assert not np.array_equal(one.reconstruct(X), small(**choices, epochs=6, batch_size=16).fit(X).reconstruct(X))


@pytest.mark.parametrize(
    "architecture", [MLP((16,), decoder_hidden=(8,)), Conv((4,)), Conv((4,), up="double")], ids=repr
)
def test_a_decoder_that_is_no_mirror_is_refused(architecture: Any, digits: data.Dataset) -> None:
    with pytest.raises(NotPossibleError, match=r"cannot be trained layer by layer: .* Conv with up='transpose'$"):
        small(architecture=architecture).fit(digits.train[:40], layerwise=True)


def test_the_schedule_of_a_penalty_holds_in_pretraining_too(digits: data.Dataset) -> None:
    """With one step an epoch the penalty of the innermost layer is that of the factor at this step."""
    choices: dict[str, Any] = {"architecture": MLP((16,)), "epochs": 4, "batch_size": 100, "random_state": 0}
    ae = Autoencoder(Gaussian(3, schedule=Warmup(1.0, start=0.5)), **choices)
    reports = [each for each in ae.iter_fit(digits.train[:100], layerwise=True) if each.layer == 2]
    assert [each.penalty / each.stats["kl"] for each in reports] == pytest.approx([0.5, 0.75], rel=1e-5)


def test_continued_training_refuses_layerwise(digits: data.Dataset) -> None:
    ae = small(warm_start=True).fit(digits.train[:40], layerwise=True)
    with pytest.raises(NotPossibleError, match="requires an untrained model"):
        ae.fit(digits.train[:40], layerwise=True)


@pytest.mark.promise(10)
def test_checkpoints_are_refused_during_layerwise_training(digits: data.Dataset, tmp_path: Path) -> None:
    X, path = digits.train[:64], tmp_path / "half.safetensors"
    whole = small().fit(X, layerwise=True)
    cut = small()
    for report in cut.iter_fit(X, layerwise=True):
        if report.layer is not None:
            with pytest.raises(NotPossibleError, match="checkpoint"):
                cut.checkpoint(path)
        elif report.epoch == 2:
            cut.checkpoint(path)
            break
    np.testing.assert_array_equal(load(path).resume(X).reconstruct(X), whole.reconstruct(X))
    small().fit(X, layerwise=True, checkpoint=path)
    assert load(path).history_[-1].layer is None


def test_reports_name_the_layer_in_training(digits: data.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    small(verbose=1).fit(digits.train[:64], layerwise=True)
    said = capsys.readouterr().err
    assert [f"layer {n}: epoch" in said for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert "training: epoch 3" in said


@pytest.mark.thorough
def test_the_command_line_trains_layers_first(tmp_path: Path) -> None:
    words = (
        "train",
        "deep",
        "-d",
        "digits",
        "epochs=2",
        "architecture.hidden=8,6",
        "bottleneck.size=3",
        "batch_size=100",
    )
    done = run(*words, "--layerwise", "--out", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "layer 3" in done.stderr
    assert run(*words, "--out", "b", cwd=tmp_path).returncode == 0
    assert len(load(tmp_path / "a").history_) == len(load(tmp_path / "b").history_) == 2
    assert load(tmp_path / "a").history_[0].loss < load(tmp_path / "b").history_[0].loss


def test_each_layer_sees_what_the_layers_below_make_of_augmented_examples(digits: data.Dataset) -> None:
    X, augmentation = digits.train[:40], Crop(6) >> Binarize()
    ae = small(augmentation=augmentation, kind="images", epochs=4).fit(X, layerwise=True)
    assert ae.shape_ == (6, 6)
    assert np.isfinite([report.loss for report in ae.history_]).all()
    first, second, *_ = paired_layers(ae.model_)
    config = TrainingConfig(Masking(0.0), Adam(), 1, 40, 0, augmentation=augmentation)
    source, index = InMemorySource(X, torch.device("cpu")), torch.arange(40)
    raw, generator = source[index], torch.Generator()
    x = augmentation(ae.model_.normalize(raw), generator.manual_seed(1))
    for layer, expected in ((first, x), (second, ae.model_.encoder[:3](x))):
        seen = EncoderInput(layer, source, config)(layer.normalize(raw), index, generator.manual_seed(1))
        torch.testing.assert_close(seen.target, expected)
        torch.testing.assert_close(seen.x, expected)
