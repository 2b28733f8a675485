"""Latent traversals, interpolation and samples from a mixture, compared with closed forms, planted cases and other implementations."""

from __future__ import annotations

import re
import sys
import warnings
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from isthmus import Autoencoder, plots
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import L1, Gaussian, Identity, TopK, VectorQuantized
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators import latent_density
from isthmus.evaluation import latent_traversal
from isthmus.plots import embeddings

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
TABLE = (RNG.normal(size=(200, 3)) @ RNG.normal(size=(3, 7)) * [1, 1, 1, 1, 10, 1, 1] + [0, 0, 0, 0, 500, 0, 0]).astype(
    "f"
)
PICTURES = RNG.integers(0, 256, (60, 6, 5, 3)).astype(np.uint8)


@cache
def trained(kind: str) -> Autoencoder:
    bottleneck = {
        "gaussian": Gaussian(4),
        "identity": Identity(3),
        "relu": Identity(6, activation="relu"),
        "sparse": L1(5),
        "topk": TopK(6, k=2),
        "vq": VectorQuantized(4, codebook_size=8),
    }[kind]
    return Autoencoder(bottleneck, architecture=MLP((12,)), epochs=3, batch_size=50, random_state=0).fit(TABLE)


@cache
def colored() -> Autoencoder:
    return Autoencoder(Identity(2), architecture=Conv((3,), code="map"), epochs=1, random_state=0).fit(PICTURES)


# Traversals


def test_a_traversal_changes_one_latent_unit() -> None:
    ae = trained("identity")
    codes = ae.transform(TABLE)
    found = latent_traversal.traverse(ae, TABLE, steps=5)
    assert found.units.tolist() == np.argsort(-codes.var(0)).tolist()
    np.testing.assert_allclose(found.variances, codes.var(0)[found.units], rtol=1e-4)
    for unit, values, examples in zip(found.units, found.values, found.examples, strict=True):
        np.testing.assert_allclose(values[[0, -1]], np.quantile(codes[:, unit], [0.05, 0.95]), rtol=1e-4)
        np.testing.assert_allclose(np.diff(values), np.diff(values)[0])
        wanted = np.tile(codes.mean(0, dtype=float), (5, 1))
        wanted[:, unit] = values
        np.testing.assert_allclose(examples, ae.decode(wanted), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("kind", ["identity", "relu", "gaussian"])
def test_the_ranges_of_units_are_those_of_the_traversal(kind: str) -> None:
    ae = trained(kind)
    ranges, found = latent_traversal.unit_ranges(ae, TABLE), latent_traversal.traverse(ae, TABLE, steps=2)
    units = ranges.units.tolist()
    assert units == found.units.tolist()
    np.testing.assert_allclose(np.stack([ranges.low, ranges.high], 1)[units], found.values)
    np.testing.assert_allclose(ranges.variances[units], found.variances)
    np.testing.assert_allclose(ranges.base, 0 if kind == "gaussian" else ae.transform(TABLE).mean(0), atol=1e-4)


def test_a_traversal_of_a_normal_prior_goes_from_minus_three_to_three() -> None:
    ae = trained("gaussian")
    found = latent_traversal.traverse(ae, TABLE, units=2, steps=3)
    np.testing.assert_array_equal(found.values, [[-3, 0, 3]])
    np.testing.assert_allclose(found.examples[0, 1], ae.decode(np.zeros((1, 4)))[0], rtol=1e-6)
    around = latent_traversal.traverse(ae, TABLE, units=[2], steps=3, example=17)
    code = ae.transform(TABLE[17:18])
    code[0, 2] = 3
    np.testing.assert_allclose(around.examples[0, 2], ae.decode(code)[0], rtol=1e-5)


def test_constant_latent_units_are_left_out() -> None:
    ae = Autoencoder(Identity(3), architecture=MLP(()), epochs=1, random_state=0).fit(TABLE)
    last = [layer for layer in ae.model_.encoder.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight[1] = 0
    assert sorted(latent_traversal.traverse(ae, TABLE).units) == [0, 2]
    with pytest.raises(NotPossibleError, match="all equal"):
        latent_traversal.traverse(ae, TABLE[:1])


def test_a_sparse_latent_unit_is_traversed_to_its_maximum() -> None:
    ae = trained("topk")
    codes = ae.transform(TABLE)
    found = latent_traversal.traverse(ae, TABLE)
    for unit, values in zip(found.units, found.values, strict=True):
        low, high = np.quantile(codes[:, unit], [0.05, 0.95])
        ends = (low, high) if low < high else (codes[:, unit].min(), codes[:, unit].max())
        np.testing.assert_allclose(values[[0, -1]], ends, rtol=1e-5, atol=1e-6)


# Interpolations


@pytest.mark.parametrize("how", ["lerp", "slerp"])
def test_an_interpolation_is_between_the_reconstructions_and_symmetric(how: Any) -> None:
    ae, (a, b) = trained("gaussian"), (TABLE[:5], TABLE[5:10])
    way = latent_traversal.interpolate(ae, a, b, steps=7, method=how)
    np.testing.assert_allclose(way[:, 0], ae.reconstruct(a), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(way[:, -1], ae.reconstruct(b), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        way, latent_traversal.interpolate(ae, b, a, steps=7, method=how)[:, ::-1], rtol=1e-4, atol=1e-3
    )


def test_spherical_interpolation_has_equal_angles_and_constant_radius() -> None:
    a, b = np.array([[3.0, 0, 0], [1, 0, 0]]), np.array([[0, 3.0, 0], [-1, 0, 0]])
    t = np.linspace(0, 1, 5)[None, :, None]
    one, other = latent_traversal.slerp_weights(a, b, t)
    way = one * a[:, None] + other * b[:, None]
    angles = np.linspace(0, np.pi / 2, 5)
    np.testing.assert_allclose(way[0], 3 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1), atol=1e-12)
    np.testing.assert_allclose(way[1], (1 - t[0]) * a[1] + t[0] * b[1], atol=1e-12)  # opposite: a line


def test_spherical_interpolation_requires_a_normal_prior_and_codebooks_refuse_interpolation() -> None:
    with pytest.raises(NotPossibleError, match="normal prior, and Identity has none"):
        latent_traversal.interpolate(trained("identity"), TABLE[:2], TABLE[2:4], method="slerp")
    for call in (latent_traversal.traverse, lambda ae, X: latent_traversal.interpolate(ae, X, X)):
        with pytest.raises(NotPossibleError, match="entries of a codebook"):
            call(trained("vq"), TABLE)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda ae: latent_traversal.traverse(ae, TABLE, steps=1), "at least 2"),
        (lambda ae: latent_traversal.traverse(ae, TABLE, n_units=0), "at least 1"),
        (lambda ae: latent_traversal.traverse(ae, TABLE, units=[7]), "no unit 7: expected an index from 0 to 2"),
        (lambda ae: latent_traversal.traverse(ae, TABLE, units="x"), "integers from 0 to 2"),
        (lambda ae: latent_traversal.traverse(ae, TABLE, example=200), "no example 200"),
        (lambda ae: latent_traversal.interpolate(ae, TABLE, TABLE, method="curved"), "'lerp' or 'slerp'"),
        (lambda ae: latent_traversal.interpolate(ae, TABLE[:2], TABLE[:3]), "2 examples and b 3"),
        (lambda ae: latent_traversal.neighbors(ae, TABLE, TABLE, k=201), "1 to 200"),
        (lambda ae: plots.interpolation(ae, TABLE, pairs=[0, 1, 2]), "even number"),
        (lambda ae: plots.interpolation(ae, TABLE, pairs=[0, 200]), "0 to 199"),
        (lambda ae: plots.interpolation(ae, TABLE[:1]), "too few for interpolation"),
        (lambda ae: plots.neighbors(ae, TABLE[:1]), "no other examples"),
        (lambda ae: plots.traversal(ae, None), "pass X"),
    ],
)
def test_invalid_traversals_raise_one_sentence(call: Any, word: str) -> None:
    with pytest.raises((DataError, RecordError, NotPossibleError), match=re.escape(word)):
        call(trained("identity"))


# Neighbors


def test_neighbors_are_the_nearest_codes() -> None:
    ae = trained("gaussian")
    found = latent_traversal.neighbors(ae, TABLE, TABLE[3:5], k=4)
    codes = ae.transform(TABLE).astype(float)
    for query, indices, distances in zip((3, 4), *found, strict=True):
        apart = np.sqrt(((codes - codes[query]) ** 2).sum(1))
        assert indices.tolist() == np.argsort(apart)[:4].tolist()
        np.testing.assert_allclose(distances, np.sort(apart)[:4], rtol=1e-4, atol=1e-5)
        assert indices[0] == query


def test_the_figure_of_neighbors_shows_the_nearest_training_examples() -> None:
    ae, test, train = colored(), PICTURES[:10], PICTURES[10:]
    figure = plots.neighbors(ae, test, train=train, n=2, k=3)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["example", "nearest codes among 50 training examples", "nearest scaled features"]
    said = [[float(text.get_text()) for text in axes.texts] for axes in figure.axes[1:]]
    np.testing.assert_allclose(
        said[0], latent_traversal.neighbors(ae, train, test[:2], 3).distances.ravel(), atol=0.006
    )
    flat = [side.reshape(len(side), -1) / 255 for side in (train, test)]
    by_hand, _ = NearestNeighbors(n_neighbors=3).fit(flat[0]).kneighbors(flat[1][:2])
    np.testing.assert_allclose(said[1], by_hand.ravel(), atol=0.006)
    assert "among 8 other examples" in plots.neighbors(ae, test, n=2, k=3).axes[1].get_title(loc="left")


# Pictures


def test_the_rows_of_the_figure_are_the_decoded_codes() -> None:
    ae = colored()
    figure = plots.traversal(ae, PICTURES, n=3, steps=4)
    found = latent_traversal.traverse(ae, PICTURES, n_units=3, steps=4)
    drawn = np.asarray(figure.axes[0].images[0].get_array())[..., :3]
    larger, gap = 4, 1  # pictures of 6 x 5 are drawn with 4 x 4 pixels each
    top, left = 24 + gap, 2 * (20 + gap)
    cell = drawn[top : top + 24 : larger, left : left + 20 : larger]
    np.testing.assert_allclose(cell, (found.examples[1, 2].clip(0, 255) / 255), atol=0.02)
    names = [label.get_text().split("\n")[0] for label in figure.axes[0].get_yticklabels()]
    assert names == [f"code[{unit}]" for unit in found.units]


def test_a_table_is_shown_as_how_far_each_column_is_from_its_mean() -> None:
    wine = load_wine(as_frame=True).data
    ae = Autoencoder(Identity(2), epochs=2, random_state=0).fit(wine)
    figure = plots.traversal(ae, wine, steps=5)
    found, values = latent_traversal.traverse(ae, wine, steps=5), wine.to_numpy()
    wanted = (found.examples[1] - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), wanted.T, rtol=1e-4)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(wine.columns)
    way = plots.interpolation(ae, wine, pairs=(3, 17), steps=5)
    fade = np.asarray(way.axes[1].images[0].get_array())
    np.testing.assert_allclose(fade[:, 2], (fade[:, 0] + fade[:, 4]) / 2, rtol=1e-5)
    assert [label.get_text() for label in way.axes[0].get_xticklabels()] == ["3", "17"]


# Maps


def test_a_map_states_its_trustworthiness() -> None:
    line = np.linspace(0, 1, 40)[:, None]
    faithful, torn = np.hstack([line, 0 * line]), RNG.permutation(np.hstack([line, 0 * line]))
    assert "trustworthiness 1.00 (10 neighbors among 40 points)" in embeddings.trustworthiness_note(line, faithful)
    assert float(re.findall(r"\d\.\d+", embeddings.trustworthiness_note(line, torn))[0]) < 0.7
    assert embeddings.trustworthiness_note(line[:2], faithful[:2]) == ""
    ae = trained("identity")
    assert "trustworthiness" in plots.latent(ae, TABLE).axes[0].get_title(loc="left")


@pytest.mark.slow
def test_umap_is_repeatable_keeps_neighbors_and_leaves_global_random_generators_unchanged() -> None:
    pytest.importorskip("umap", reason="UMAP is not installed: pip install umap-learn")
    groups = np.repeat(np.eye(3) * 50, 20, axis=0) + RNG.normal(size=(60, 3))
    before, np_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, again = (embeddings.project(groups, "umap", 0).points for _ in range(2))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(np_before, np.random.get_state()[1])
    assert torch.equal(before, torch.get_rng_state())
    near = NearestNeighbors(n_neighbors=5).fit(one).kneighbors(return_distance=False)
    assert (near // 20 == np.arange(60)[:, None] // 20).all()


def test_umap_is_called_with_a_random_state_and_its_warnings_are_suppressed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    class Stand:
        def __init__(self, **settings: Any) -> None:
            asked.update(settings)

        def fit_transform(self, codes: Array) -> Array:
            warnings.warn("n_jobs value 1 overridden", UserWarning, stacklevel=2)
            return codes[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Stand))
    figure = plots.umap(trained("identity"), TABLE, limit=12, random_state=7)
    assert asked == {"n_neighbors": 11, "min_dist": 0.1, "init": "pca", "n_jobs": 1, "random_state": 7}
    assert "UMAP map of the codes of 12 of 200 examples (limit=12)" in figure.axes[0].get_title(loc="left")


def test_without_umap_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ModuleNotFoundError, match=re.escape("pip install 'isthmus[umap]'")):
        plots.umap(trained("identity"), TABLE)


# Mixtures


def test_samples_have_the_fractions_of_two_planted_clusters() -> None:
    rng = np.random.default_rng(1)
    which = rng.random(2000) < 0.3
    codes = rng.normal(size=(2000, 2)) * [0.5, 0.1] + np.where(which[:, None], [8, 0], [-8, 3])
    found = latent_density.fit(codes)
    assert len(found.weights) == 2
    drawn = found.draw(4000, seed=0)
    right = drawn[:, 0] > 0
    assert right.mean() == pytest.approx(which.mean(), abs=0.025)
    for side, own in ((drawn[right], codes[which]), (drawn[~right], codes[~which])):
        np.testing.assert_allclose(side.mean(0), own.mean(0), atol=0.06)
        np.testing.assert_allclose(np.cov(side.T), np.cov(own.T), atol=0.03)
    np.testing.assert_array_equal(drawn, latent_density.fit(codes).draw(4000, seed=0))
    assert (drawn != found.draw(4000, seed=1)).any()


def test_the_density_is_that_of_a_mixture_fitted_to_the_codes_themselves() -> None:
    rng = np.random.default_rng(2)
    codes = np.concatenate([rng.normal(m, 1, (600, 3)) for m in (-6, 0, 6)]) @ rng.normal(size=(3, 3))
    found = latent_density.fit(codes)
    peer = min((GaussianMixture(k, random_state=0).fit(codes) for k in (1, 2, 3, 4)), key=lambda m: m.bic(codes))
    assert len(found.weights) == peer.n_components == 3
    drawn = found.draw(20_000, seed=0)
    assert peer.score(drawn) == pytest.approx(peer.score(codes), abs=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T), rtol=0.05, atol=0.05)


def test_samples_of_degenerate_codes_stay_in_their_subspace() -> None:
    same = np.full((9, 4), 2.5)
    np.testing.assert_array_equal(latent_density.fit(same).draw(3, 0), same[:3])
    np.testing.assert_array_equal(latent_density.fit(same[:1]).draw(2, 0), same[:2])
    rng = np.random.default_rng(0)
    flat = np.hstack([rng.normal(size=(50, 1)), np.full((50, 1), 7.0)])
    np.testing.assert_array_equal(latent_density.fit(flat).draw(100, 0)[:, 1], 7.0)
    few = rng.normal(size=(3, 40))
    drawn = latent_density.fit(few).draw(100, 0)
    assert np.linalg.matrix_rank(drawn - few.mean(0), tol=1e-6) <= 40
    assert ((drawn >= few.min(0)) & (drawn <= few.max(0))).all()


def test_samples_without_a_prior_are_decoded_from_the_mixture() -> None:
    ae = trained("identity")
    world = torch.get_rng_state(), np.random.get_state()[1].copy()
    new = ae.sample(500, 3, method="gmm", X=TABLE)
    assert torch.equal(world[0], torch.get_rng_state())
    np.testing.assert_array_equal(world[1], np.random.get_state()[1])
    np.testing.assert_array_equal(new, ae.sample(500, 3, method="gmm", X=TABLE))
    np.testing.assert_allclose(new, ae.decode(latent_density.fit(ae.transform(TABLE)).draw(500, 3)))
    assert (new != ae.sample(500, 4, method="gmm", X=TABLE)).any()
    maps_of_codes = colored().sample(4, 0, method="gmm", X=PICTURES)
    assert maps_of_codes.shape == (4, 6, 5, 3)


def test_samples_are_in_the_range_of_the_activation() -> None:
    for kind in ("relu", "sparse"):
        codes = trained(kind).transform(TABLE)
        assert codes.min() == 0
        assert latent_density.fit(codes).draw(500, 0).min() >= 0


@pytest.mark.parametrize(
    ("kind", "words", "error", "said"),
    [
        ("identity", {"method": "gmm"}, DataError, "pass X"),
        ("identity", {}, NotPossibleError, "method='gmm'"),
        ("identity", {"method": "kde"}, RecordError, "'prior' or 'gmm'"),
        ("gaussian", {"X": TABLE}, RecordError, "only used by method='gmm'"),
        ("vq", {"method": "gmm", "X": TABLE}, NotPossibleError, "entries of a codebook"),
        ("vq", {}, NotPossibleError, "no prior to sample from; Gaussian has one$"),
        ("identity", {"method": "gmm", "X": TABLE[:, :3]}, DataError, "3 features"),
    ],
)
def test_invalid_sampling_raises_one_sentence(kind: str, words: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        trained(kind).sample(3, **words)


def test_the_figure_of_samples_names_the_examples_of_the_mixture() -> None:
    ae = trained("identity")
    assert "of 200 examples" in plots.samples(ae, TABLE[:5], train=TABLE).axes[0].get_title(loc="left")
    assert "those given as X" in plots.samples(ae, TABLE).axes[0].get_title(loc="left")
    with pytest.raises(NotPossibleError, match="no prior"):
        plots.samples(ae, TABLE, method="prior")
    with pytest.raises(NotPossibleError):
        plots.samples(trained("vq"), TABLE)
    assert "prior" in plots.samples(trained("gaussian"), TABLE).get_label()
    assert "mixture" in plots.samples(trained("gaussian"), TABLE, method="gmm").get_label()
