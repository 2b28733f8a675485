"""`LinearSkip`: training begins with PCA, the map stays, and what the networks add is learned."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hostile_files import Header, Tensors, edited
from sklearn.decomposition import PCA
from torch import Tensor, nn

from isthmus import Autoencoder, evaluate, load
from isthmus.architectures import MLP, Conditional, Conv, LinearSkip, Modules
from isthmus.augmentations import Flip, NoAugmentation
from isthmus.bottlenecks import Gaussian
from isthmus.data.memmap import random_subset
from isthmus.errors import DivergenceError, IsthmusWarning, ModelFileError, RecordError
from isthmus.io.safetensors import CHECKSUM, opened, serialize
from isthmus.likelihoods import Bernoulli, Normal, Weighted
from isthmus.nn.least_squares import least_squares
from isthmus.nn.principal import principal_components
from isthmus.optimizers import AdamW
from isthmus.scaling import NoScaling
from isthmus.training.batches import Source
from isthmus.training.start import start

SKIP = LinearSkip(MLP((16,)))


@pytest.fixture(scope="module", name="X")
def curves() -> np.ndarray:
    """Eight curves of 40 values, bent, so that five principal components miss a part."""
    rng = np.random.default_rng(0)
    t, z = np.linspace(0, 1, 40), rng.normal(size=(200, 3))
    return np.tanh(z @ np.stack([np.sin(3 * t), np.cos(9 * t), t])) + 0.01 * rng.normal(size=(200, 40))


def untrained(X: np.ndarray, size: int = 5, **choices: object) -> Autoencoder:
    choices = {"architecture": SKIP, "likelihood": Normal("learned"), "random_state": 0, "scaling": "auto"} | choices
    return Autoencoder(Gaussian(size) if choices.pop("gaussian", False) else size, **choices).initialize(X)


def test_training_begins_with_pca(X: np.ndarray) -> None:
    ae = untrained(X)
    unit = (X - X.mean(0)) / X.std(0)
    pca = PCA(5).fit(unit)
    expected = pca.inverse_transform(pca.transform(unit)) * X.std(0) + X.mean(0)
    np.testing.assert_allclose(ae.reconstruct(X), expected, atol=1e-4)
    np.testing.assert_allclose(np.cov(ae.encode(X).T), np.eye(5), atol=1e-3)


def test_the_networks_learn_what_pca_misses(X: np.ndarray) -> None:
    ae = untrained(X, optimizer=AdamW(1e-2), epochs=20)
    begin = ((ae.reconstruct(X) - X) ** 2).mean()
    fixed = {name: value.clone() for name, value in ae.model_.named_buffers() if "coder" in name}
    ae.fit(X)
    assert ((ae.reconstruct(X) - X) ** 2).mean() < 0.8 * begin
    for name, value in fixed.items():
        assert torch.equal(dict(ae.model_.named_buffers())[name], value), name
    assert ae.model_.encoder.factor != 0
    assert ae.model_.decoder.factor != 0


def test_fewer_examples_than_dimensions_and_constant_examples_are_possible(X: np.ndarray) -> None:
    few = untrained(X[:4], 6)
    np.testing.assert_allclose(few.reconstruct(X[:4]), X[:4], atol=1e-4)
    assert np.isfinite(untrained(np.ones((5, 4)), 2).reconstruct(np.ones((5, 4)))).all()


def test_the_means_of_a_posterior_are_the_components(X: np.ndarray) -> None:
    ae = untrained(X, gaussian=True)
    np.testing.assert_allclose(np.abs(ae.encode(X)), np.abs(untrained(X).encode(X)), atol=1e-4)
    encoder, rows = ae.model_.encoder, torch.as_tensor(X[:3], dtype=torch.float32)
    assert torch.equal(encoder(rows)[:, 5:], encoder.inner(rows)[:, 5:])  # the variances are the network's


def test_with_a_likelihood_that_changes_the_output_only_the_encoder_has_a_map() -> None:
    images = np.random.default_rng(0).integers(0, 255, (50, 6, 6), np.uint8)
    ae = Autoencoder(3, architecture=SKIP, likelihood=Bernoulli(), random_state=0).initialize(images)
    decoder, z = ae.model_.decoder, torch.randn(2, 3)
    assert ae.model_.encoder.weight.any()
    assert torch.equal(decoder(z), decoder.inner(z))


def test_the_map_is_of_the_training_part_augmented(X: np.ndarray) -> None:
    assert not np.allclose(untrained(X, early_stopping=True).encode(X), untrained(X).encode(X))
    images = X.reshape(-1, 5, 8)
    with_flips = untrained(images, augmentation=Flip(), kind="images")
    mirrored = (
        with_flips.reconstruct(images[:, :, ::-1]),
        untrained(images, kind="images").reconstruct(images[:, :, ::-1]),
    )
    errors = [((each - images[:, :, ::-1]) ** 2).mean() for each in mirrored]
    assert errors[0] < 0.9 * errors[1]


def test_the_decoder_of_a_conditional_one_begins_without_the_context(X: np.ndarray) -> None:
    ae = Autoencoder(5, architecture=Conditional(SKIP), likelihood=Normal("learned"), random_state=0)
    y = np.arange(len(X)) % 3
    np.testing.assert_allclose(ae.initialize(X, y).reconstruct(X, y), untrained(X).reconstruct(X), atol=1e-4)


def test_it_continues_a_stream_and_a_file(X: np.ndarray, tmp_path) -> None:
    first = Autoencoder(5, architecture=SKIP, likelihood=Normal("learned"), random_state=0).partial_fit(X)
    begin = first.model_.encoder.weight.clone()
    first.partial_fit(-3 * X)
    assert torch.equal(first.model_.encoder.weight, begin)
    first.save(tmp_path / "model.safetensors")
    assert np.array_equal(load(tmp_path / "model.safetensors").reconstruct(X), first.reconstruct(X))


def test_maps_of_codes_and_conditional_networks_are_refused(X: np.ndarray) -> None:
    with pytest.raises(RecordError, match="a code that is a vector"):
        Autoencoder(2, architecture=LinearSkip(Conv((4,), code="map")), random_state=0).initialize(X)
    with pytest.raises(RecordError, match=r"write Conditional\(LinearSkip"):
        LinearSkip(Conditional())


def test_examples_with_weights_count_in_the_map(X: np.ndarray) -> None:
    rows, weights = np.vstack([X, 50 * np.eye(40)[:3]]), np.r_[np.ones(len(X)), np.zeros(3)]
    still = {"architecture": SKIP, "likelihood": Normal("learned"), "scaling": NoScaling(), "epochs": 1}
    still |= {"optimizer": AdamW(1e-12), "random_state": 0}
    ae, expected = Autoencoder(3, **still).fit(rows, sample_weight=weights), PCA(3).fit(X)
    np.testing.assert_allclose(ae.reconstruct(X), expected.inverse_transform(expected.transform(X)), atol=1e-4)
    twice = Autoencoder(3, **still).fit(X, sample_weight=np.r_[np.full(50, 3.0), np.ones(150)])
    repeated = Autoencoder(3, **still).fit(np.vstack([X, X[:50], X[:50]]))
    np.testing.assert_allclose(twice.reconstruct(X), repeated.reconstruct(X), atol=1e-4)


class ManyWeighted(Source):
    """Three million examples, each its own index, of which one in three has weight 0. It holds none of them."""

    asked = 0  # the most weights at once

    def __len__(self) -> int:
        return 3_000_000

    def __getitem__(self, index: Tensor) -> Tensor:
        return index[:, None].double()

    def weights(self, index: Tensor) -> Tensor:
        self.asked = max(self.asked, len(index))
        return (index % 3).double()


def test_the_first_examples_of_many_with_weights_are_drawn_without_all_their_indices() -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    model = SimpleNamespace(
        start_examples=1000,
        device=torch.device("cpu"),
        shape=(1,),
        normalize=lambda raw: raw,
        inputs=lambda x: x,
        start=lambda x, _, weights: seen.append((x[:, 0].long(), weights)),
    )
    source = ManyWeighted()
    start(model, source, NoAugmentation(), 0)  # type: ignore[arg-type]  # what it asks of a model
    (rows, weights) = seen[0]
    every = np.arange(len(source))
    assert rows.tolist() == every[every % 3 > 0][random_subset(2_000_000, 1000, 0)].tolist()
    assert weights.tolist() == (rows % 3).tolist()
    assert source.asked <= 1 << 20


@pytest.mark.parametrize("weighted", [False, True])
def test_missing_targets_do_not_count_in_the_map_of_the_decoder(X: np.ndarray, weighted: bool) -> None:
    rng = np.random.default_rng(1)
    target = X @ rng.normal(size=(40, 40)) / 6 + 0.1 * rng.normal(size=X.shape)
    target[rng.random(X.shape) < 0.4] = np.nan
    target[:, 7] = np.nan
    weights = rng.uniform(0.1, 3, len(X)) if weighted else None
    still = {"architecture": SKIP, "likelihood": Normal("learned"), "missing": "allow", "epochs": 1}
    still |= {"optimizer": AdamW(1e-12), "random_state": 0, "scaling": NoScaling()}
    ae = Autoencoder(4, **still).fit(X, target=target, sample_weight=weights)
    z, restored, roots = np.c_[np.ones(len(X)), ae.encode(X)], ae.reconstruct(X), np.sqrt(weights if weighted else 1)
    for column in np.delete(np.arange(40), 7):
        some, root = ~np.isnan(target[:, column]), np.broadcast_to(roots, len(X))
        by_hand = np.linalg.lstsq((z * root[:, None])[some], (target[:, column] * root)[some], rcond=None)[0]
        np.testing.assert_allclose(restored[:, column], z @ by_hand, atol=2e-5)
    assert np.isfinite(restored[:, 7]).all()


def test_columns_with_the_same_code_wherever_they_count_have_their_mean() -> None:
    """Nothing but rounding is left of the codes: it decides no slope."""
    rng = np.random.default_rng(0)
    z, y, weights = rng.normal(size=(200, 5)), rng.normal(size=(200, 150)) + 7, rng.uniform(0.1, 3, 200)
    z[100:110] = z[100]
    counted = np.arange(200)[:, None] == np.arange(150)
    counted[100:110, 100:] = True
    slopes, bias = least_squares(
        *(torch.tensor(each, dtype=torch.float32) for each in (z, y, weights)), torch.tensor(counted)
    )
    np.testing.assert_allclose(bias[:100], y[:100, :100].diagonal(), atol=1e-5)
    assert not slopes[:110].any()
    means = np.average(y[100:110, 100:110], axis=0, weights=weights[100:110])
    np.testing.assert_allclose(bias[100:110], means, atol=1e-5)


def test_a_column_without_weight_is_not_in_the_map(X: np.ndarray) -> None:
    weighted = untrained(X, likelihood=Weighted(Normal("learned"), (1.0,) * 30 + (0.0,) * 10))
    scale, expected = X.std(0)[:30], PCA(5).fit(X[:, :30] / X.std(0)[:30])
    restored = expected.inverse_transform(expected.transform(X[:, :30] / scale)) * scale
    np.testing.assert_allclose(weighted.reconstruct(X)[:, :30], restored, atol=1e-4)


def test_a_map_stays_whatever_examples_follow(X: np.ndarray) -> None:
    ae = untrained(X, warm_start=True, epochs=1)
    begin = [value.clone() for name, value in ae.model_.named_buffers() if "coder" in name]
    for trained in (copy.deepcopy(ae).fit(X[:3]), copy.deepcopy(ae).partial_fit(X[:2])):
        now = [value for name, value in trained.model_.named_buffers() if "coder" in name]
        assert all(map(torch.equal, begin, now))


def test_a_sample_of_the_stream_decides_the_map(X: np.ndarray) -> None:
    ae = Autoencoder(5, architecture=SKIP, likelihood=Normal("learned"), random_state=0)
    ae.partial_fit(X[:2], scaling_sample=X)
    assert torch.equal(ae.model_.encoder.weight, untrained(X).model_.encoder.weight)


def test_few_first_examples_of_a_stream_cause_a_warning(X: np.ndarray) -> None:
    ae = Autoencoder(5, architecture=SKIP, likelihood=Normal("learned"), random_state=0)
    with pytest.warns(IsthmusWarning, match="of 2 examples .* 5 dimensions; .*scaling_sample"):
        ae.partial_fit(X[:2])


def test_few_examples_with_many_features_need_no_covariance_of_features() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 20_000))  # the covariance would take 1.6 GB, and minutes
    found = principal_components((rows - rows.mean(0)).astype(np.float32), 6)
    np.testing.assert_allclose(found.explained_variance_[:5], PCA(5).fit(rows).explained_variance_, rtol=1e-4)


def test_the_smallest_values_have_a_map(X: np.ndarray) -> None:
    choices = {"scaling": NoScaling(), "precision": "float64"}
    small = untrained(1e-25 * X, **choices).reconstruct(1e-25 * X)
    np.testing.assert_allclose(1e25 * small, untrained(X, **choices).reconstruct(X), atol=1e-4)


def test_fixed_weights_are_counted_and_said(X: np.ndarray) -> None:
    ae = untrained(X)
    assert ae.n_fixed_ == (5 * 40 + 5) + (40 * 5 + 40)
    assert ae.n_parameters_ == untrained(X, architecture=MLP((16,))).n_parameters_ + 2  # the factors
    assert ">445 weights that training does not change" in ae._repr_html_()
    result = evaluate(ae, X)
    assert result.cost.n_fixed == 445
    assert ["Fixed weights", "445", "weights that training does not change"] in [list(row) for row in result.rows()]
    conditional = Autoencoder(5, architecture=Conditional(SKIP), likelihood=Normal("learned"), random_state=0)
    assert conditional.initialize(X, np.arange(len(X)) % 3).n_fixed_ == 445 + 40 * 3  # columns of the context, 0
    assert untrained(X, architecture=MLP((16,))).n_fixed_ == 0


@pytest.mark.parametrize("broken", ["encoder.weight", "decoder.mapped"])
@pytest.mark.parametrize("own", [False, True])
def test_a_map_that_is_not_finite_is_refused(X: np.ndarray, tmp_path: Path, broken: str, own: bool) -> None:
    modules = Modules(Masked(40, 5), nn.Linear(5, 40)) if own else None
    path = tmp_path / "model.safetensors"
    untrained(X, architecture=SKIP if modules is None else LinearSkip(modules)).save(path)
    assert load(path, architecture=modules).n_fixed_ == 445
    with opened(path) as contents:
        tensors = contents.all_tensors(checked=False)
        metadata = {name: text for name, text in contents.metadata.items() if name != CHECKSUM}
    tensors[broken].flatten()[0] = torch.nan
    path.write_bytes(b"".join(map(bytes, serialize(metadata, tensors))))
    with pytest.raises(ModelFileError, match=rf"{broken} is not finite"):
        load(path, architecture=modules)


class Masked(nn.Linear):
    """A layer with a buffer of the user that may have any value."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("mask", torch.tensor(-torch.inf))


def test_a_model_with_a_broken_map_is_not_saved(X: np.ndarray, tmp_path: Path) -> None:
    ae = untrained(X)
    ae.model_.decoder.weight[0, 0] = torch.nan
    with pytest.raises(DivergenceError, match=r"decoder\.weight is not finite"):
        ae.save(tmp_path / "model.safetensors")


def test_an_older_checkpoint_continues_with_the_architecture_it_has(X: np.ndarray, tmp_path: Path) -> None:
    """The default with missing="allow" was an MLP before."""
    choices = {"missing": "allow", "epochs": 2, "batch_size": 50, "random_state": 0}
    assert Autoencoder(2, **choices).initialize(X).n_fixed_ > 0
    ae = Autoencoder(2, architecture=MLP((8,)), **choices)
    for report in ae.iter_fit(X, every=1):
        if report.step == 3:
            ae.checkpoint(tmp_path / "new.safetensors")
    old = edited(tmp_path / "new.safetensors", tmp_path / "old.safetensors", with_default_architecture)
    resumed = load(old).resume(X)
    assert (resumed.architecture, resumed.architecture_) == ("auto", MLP((8,)))
    np.testing.assert_array_equal(resumed.reconstruct(X), ae.reconstruct(X))


def with_default_architecture(header: Header, _: Tensors) -> None:
    header["parameters"]["architecture"] = "auto"
