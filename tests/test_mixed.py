"""Tables of numbers and categories: the scaling `Columns`, which makes blocks of 0 and 1, and the likelihood `Mixed`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Independent, OneHotCategorical
from torch.distributions import Normal as TorchNormal

from isthmus import Autoencoder, OutlierDetector, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian
from isthmus.corruptions import GaussianNoise, Masking
from isthmus.errors import DataError, RecordError
from isthmus.likelihoods import Bernoulli, Categorical, Mixed, Normal, Poisson
from isthmus.scaling import Columns, MinMax, NoScaling, Standard
from isthmus.trainable import Batch

CLASSES = (0, 3, 0, 0, 5)
WIDTH = 1 + 3 + 1 + 1 + 5
BLOCKS = [slice(1, 4), slice(6, 11)]
NUMBERS = [0, 4, 5]


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def made_table(n: int = 400, state: int = 0) -> np.ndarray:
    """Numbers and categories that depend on one another."""
    rng = np.random.default_rng(state)
    first = rng.integers(0, 3, n)
    second = (first + rng.integers(0, 2, n)) % 5
    numbers = rng.normal(size=(n, 3)) * (5, 0.1, 20) + np.stack([3 * first, second, 100 + 0 * first], 1)
    return np.stack([numbers[:, 0], first, numbers[:, 1], numbers[:, 2], second], 1)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return made_table()


def with_missing(table: np.ndarray, rate: float = 0.2) -> np.ndarray:
    return np.where(np.random.default_rng(1).random(table.shape) < rate, np.nan, table)


def fitted(X: np.ndarray, **choices: Any) -> Autoencoder:
    given: dict[str, Any] = {"architecture": MLP((24,)), "scaling": Columns(CLASSES), "likelihood": Mixed(CLASSES)}
    given |= {"batch_size": 50, "epochs": 40, "random_state": 0}
    return Autoencoder(Gaussian(3, beta=0.1), **given | choices).fit(X)


@pytest.fixture(scope="module")
def ae(table: np.ndarray) -> Autoencoder:
    return fitted(table)


@pytest.fixture(scope="module")
def incomplete(table: np.ndarray) -> Autoencoder:
    return fitted(with_missing(table), missing="allow", likelihood="auto")


def rows(b: int = 6, state: int = 0) -> Tensor:
    """Rows in model units."""
    codes = torch.stack([torch.randint(n, (b,), generator=generator(state)) for n in (3, 5)], 1)
    x = torch.randn(b, 5, generator=generator(state), dtype=torch.float64)
    x[:, [1, 4]] = codes.double()
    return Columns(CLASSES).expand(x)


# The scaling


def test_a_category_becomes_a_block_and_back() -> None:
    scaling, x = Columns(CLASSES), torch.from_numpy(made_table(50))
    blocks = scaling.expand(x)
    assert blocks.shape == (50, *scaling.shape((5,))) == (50, WIDTH)
    assert torch.equal(blocks[:, NUMBERS], x[:, [0, 2, 3]])
    for column, block in zip((1, 4), BLOCKS, strict=True):
        one_hot = torch.nn.functional.one_hot(x[:, column].long(), CLASSES[column])
        assert torch.equal(blocks[:, block], one_hot.double())
    assert torch.equal(scaling.collapse(blocks), x)
    x[3, 4] = math.nan
    assert scaling.expand(x)[3, BLOCKS[1]].isnan().all()
    assert scaling.collapse(scaling.expand(x))[3].isnan().tolist() == [False, False, False, False, True]


def test_numbers_are_scaled_as_by_the_scaling_of_numbers_and_categories_not_at_all(table: np.ndarray) -> None:
    for numbers in (Standard(), MinMax(per="feature"), NoScaling()):
        affine, alone = Columns(CLASSES, numbers).fit(table), numbers.fit(table[:, [0, 2, 3]])
        for found, wanted, category in zip(affine, alone, (0, 1), strict=True):
            np.testing.assert_allclose(np.broadcast_to(found, 5)[[0, 2, 3]], np.broadcast_to(wanted, 3))
            assert (np.broadcast_to(found, 5)[[1, 4]] == category).all()


def test_without_categories_it_is_the_scaling_of_numbers(table: np.ndarray) -> None:
    for classes in ((), (0,) * 5):
        plain, columns = (
            Autoencoder(2, scaling=scaling, epochs=2, random_state=0).fit(table)
            for scaling in (Standard(), Columns(classes))
        )
        np.testing.assert_array_equal(plain.score_samples(table), columns.score_samples(table))


def test_the_fill_of_a_category_are_its_frequencies(table: np.ndarray) -> None:
    X, scaling = with_missing(table), Columns(CLASSES)
    fill = scaling.fill(scaling.fit(X), np.nanmean(X, 0), X, (5,))
    for column, block in zip((1, 4), BLOCKS, strict=True):
        known = X[~np.isnan(X[:, column]), column]
        np.testing.assert_allclose(fill[block], [(known == code).mean() for code in range(CLASSES[column])])
    np.testing.assert_allclose(fill[NUMBERS], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("scaling", "sentence"),
    [
        (lambda: Columns((0, 3)), "names 2 columns, and the examples have the shape"),
        (lambda: Columns(CLASSES, MinMax()), "does not scale each column by itself"),
        (lambda: Columns((0, -1)), "invalid classes"),
    ],
)
def test_a_scaling_that_does_not_fit_is_refused(scaling: Any, sentence: str, table: np.ndarray) -> None:
    with pytest.raises(RecordError, match=sentence):
        Autoencoder(2, scaling=scaling()).fit(table)


# The likelihood


def test_it_is_the_product_of_densities_and_probabilities() -> None:
    likelihood, x = Mixed(CLASSES, Normal(0.7)), rows()
    y = torch.randn(6, *likelihood.outputs((WIDTH,)), generator=generator(3), dtype=torch.float64)
    log_p = Independent(TorchNormal(y[:, :3], 0.7), 1).log_prob(x[:, NUMBERS])
    log_p += OneHotCategorical(logits=y[:, 3:6]).log_prob(x[:, BLOCKS[0]])
    log_p += OneHotCategorical(logits=y[:, 6:]).log_prob(x[:, BLOCKS[1]])
    torch.testing.assert_close(likelihood.nll(y, x), -log_p)


@pytest.mark.parametrize("numbers", [Normal(0.7), Bernoulli(), (Normal(), Bernoulli(), Normal(2.0))], ids=repr)
def test_costs_add_up_to_the_loss_also_of_the_values_that_count(numbers: Any) -> None:
    likelihood, x = Mixed(CLASSES, numbers), rows()
    y = torch.randn(6, *likelihood.outputs((WIDTH,)), generator=generator(3), dtype=torch.float64)
    costs = likelihood.costs(y, x)
    assert costs.shape == x.shape
    torch.testing.assert_close(costs.sum(1), likelihood.nll(y, x))
    for block in BLOCKS:
        assert ((costs[:, block] != 0) == (x[:, block] == 1)).all()  # at the observed category
    counted = Columns(CLASSES).whole(torch.rand(6, WIDTH, generator=generator(4)) < 0.5)
    torch.testing.assert_close(costs.where(counted, 0).sum(1), likelihood.nll(y, x, counted=counted))


def test_numbers_may_be_counts_and_classes_which_the_encoder_sees_otherwise() -> None:
    """The encoder sees logarithms of counts, and classes as blocks; the decoder gives each class a logit."""
    likelihood = Mixed((0, 2, 0), (Poisson(), Categorical(3)))
    x = torch.tensor([[4.0, 1, 0, 2], [0, 0, 1, 1]])
    assert likelihood.encoder_shape((4,)) == (6,)
    seen = torch.cat([torch.log1p(x[:, :1]), torch.nn.functional.one_hot(x[:, 3].long(), 3), x[:, 1:3]], 1)
    torch.testing.assert_close(likelihood.encoder_input(x), seen)
    y = torch.randn(2, *likelihood.outputs((4,)), generator=generator())
    assert y.shape == (2, 1 + 3 + 2)
    parts = Poisson().nll(y[:, :1], x[:, :1]) + Categorical(3).nll(y[:, None, 1:4], x[:, 3:])
    torch.testing.assert_close(likelihood.nll(y, x), parts - (y[:, 4:].log_softmax(1) * x[:, 1:3]).sum(1))
    torch.testing.assert_close(likelihood.reconstruction(y, x), likelihood.mean(y))
    assert likelihood.measure == "counts, Categorical, 2 categories"


def test_numbers_that_a_likelihood_does_not_accept_are_named(rng: np.random.Generator) -> None:
    X = np.stack([rng.integers(0, 3, 100), rng.normal(size=100), rng.poisson(3, 100)], 1).astype(np.float64)
    counts = Mixed((3, 0, 0), (Normal(), Poisson()))
    with pytest.raises(DataError, match="the scaling would change them"):
        Autoencoder(1, scaling=Columns((3, 0, 0)), likelihood=counts, epochs=1).fit(X)
    scaling = Columns((3, 0, 0), NoScaling())
    ae = Autoencoder(1, scaling=scaling, likelihood=counts, epochs=1, random_state=0).fit(X)
    X[7, 2] = 1.5
    for use in (ae.score_samples, Autoencoder(1, scaling=scaling, likelihood=counts, epochs=1).fit):
        with pytest.raises(DataError, match=r"row 7, column 2 is 1\.5, but the Poisson likelihood requires"):
            use(X)


def test_probabilities_of_all_categories_sum_to_one() -> None:
    likelihood = Mixed((3, 4))
    every = Columns((3, 4)).expand(torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0)))
    y = torch.randn(1, 7, generator=generator()).expand(12, -1)
    assert (-likelihood.nll(y, every)).exp().sum().item() == pytest.approx(1)


def test_draws_are_categories_with_the_probabilities_of_the_mean() -> None:
    likelihood = Mixed(CLASSES, Normal(0.5))
    y = torch.randn(1, WIDTH, generator=generator(3)).expand(20_000, -1)
    drawn, mean = likelihood.draw(y, likelihood.variables((WIDTH,)), generator(5)), likelihood.mean(y)[0]
    for block in BLOCKS:
        assert ((drawn[:, block] == 1).sum(1) == 1).all()
        assert (drawn[:, block].sum(1) == 1).all()
        count = drawn[:, block].sum(0)
        assert mean[block].sum().item() == pytest.approx(1)
        assert stats.chisquare(count, mean[block] * 20_000 / mean[block].sum()).pvalue > 1e-3
    torch.testing.assert_close(drawn[:, NUMBERS].mean(0), mean[NUMBERS], atol=0.02, rtol=0)
    assert drawn[:, NUMBERS].std(0).sub(0.5).abs().max() < 0.02
    assert torch.equal(drawn, likelihood.draw(y, likelihood.variables((WIDTH,)), generator(5)))


def test_each_column_of_numbers_may_learn_a_scale_of_its_own() -> None:
    likelihood = Mixed((0, 2, 0), (Normal("learned"), Normal("learned")))
    variables = likelihood.variables((4,)).train()
    x = torch.zeros(500, 4)
    x[:, [0, 3]] = torch.randn(500, 2, generator=generator()) * torch.tensor([0.1, 3.0])
    for _ in range(200):
        likelihood.nll(torch.zeros(500, 4), x, variables)
    scales = [math.exp(value) for name, value in variables.state_dict().items() if name.endswith("log_scale")]
    assert scales == pytest.approx([0.1, 3.0], rel=0.1)


def test_a_likelihood_that_does_not_fit_is_refused(table: np.ndarray) -> None:
    with pytest.raises(RecordError, match="give scaling=Columns"):
        Autoencoder(2, scaling=Standard(), likelihood=Mixed(CLASSES)).fit(table)
    with pytest.raises(RecordError, match="numbers has 1 likelihoods"):
        Mixed(CLASSES, (Normal(),))


# The autoencoder


def test_scores_are_densities_of_numbers_and_probabilities_of_categories_in_the_units_of_the_data(
    table: np.ndarray,
) -> None:
    """Numbers have the density of their own units; a probability has none. `Bernoulli` stands for numbers without density."""
    numbers = (Normal(0.4), Normal(0.4), Bernoulli())
    X = table.copy()
    X[:, 3] = (X[:, 3] > 100) * 7.0  # scaled to 0 and 1, and not a density: this scale must not enter the loss
    ae = fitted(X, scaling=Columns(CLASSES, MinMax(per="feature")), likelihood=Mixed(CLASSES, numbers), epochs=1)
    model = ae.model_.double()
    raw = torch.from_numpy(X)
    x = Columns(CLASSES).expand((raw - model.shift) / model.scale)
    scale, expected = model.scale.double(), np.zeros(len(X))
    with torch.no_grad():
        y = model.decoder(model.encode(x))
        for column, output in ((0, 0), (2, 1)):
            center = (y[:, output] * scale[column] + model.shift[column]).numpy()
            expected += stats.norm.logpdf(X[:, column], center, 0.4 * scale[column].item())
        p = torch.sigmoid(y[:, 2]).numpy()
        expected += np.log(np.where(X[:, 3] > 0, p, 1 - p))
        for column, part in ((1, y[:, 3:6]), (4, y[:, 6:])):
            expected += part.log_softmax(1).numpy()[np.arange(len(X)), X[:, column].astype(int)]
        found = model.nll(y, x)
    np.testing.assert_allclose(-found.numpy(), expected, rtol=1e-5)


def test_another_unit_of_a_number_changes_scores_by_its_logarithm(table: np.ndarray) -> None:
    larger = table * (1024, 1, 1, 1, 1)
    one, other = fitted(table, epochs=2), fitted(larger, epochs=2)
    np.testing.assert_allclose(one.score_samples(table) - other.score_samples(larger), math.log(1024), atol=1e-4)


def test_it_learns_numbers_and_categories(ae: Autoencoder, table: np.ndarray) -> None:
    test = made_table(200, state=5)
    made = ae.reconstruct(test)
    for column in (1, 4):
        most_frequent = np.bincount(table[:, column].astype(int)).argmax()
        assert (made[:, column] == test[:, column]).mean() > (test[:, column] == most_frequent).mean() + 0.3
    drawn = ae.sample(200, random_state=0)
    assert set(np.unique(drawn[:, 1])) == {0, 1, 2}
    assert set(np.unique(drawn[:, 4])) <= {0, 1, 2, 3, 4}


def test_missing_values_are_imputed_by_valid_categories(incomplete: Autoencoder, table: np.ndarray) -> None:
    X = with_missing(table)
    made, missing = incomplete.impute(X), np.isnan(X)
    np.testing.assert_array_equal(made[~missing], X[~missing])
    assert repr(incomplete.likelihood_) == f"Mixed(classes={CLASSES}, numbers=Normal(scale='learned'))"
    for column in (1, 4):
        there = missing[:, column]
        most_frequent = np.bincount(table[:, column].astype(int)).argmax()
        guessed = (table[there, column] == most_frequent).mean()
        assert (made[there, column] == table[there, column]).mean() > guessed + 0.1
    nothing = np.full((1, 5), np.nan)
    penalty = incomplete.model_.score(batch_of(incomplete, nothing)).penalty.detach()[0]
    assert incomplete.score_samples(nothing)[0] == pytest.approx(
        -float(penalty), rel=1e-5
    )  # computed in a larger batch


def batch_of(ae: Autoencoder, X: np.ndarray) -> Batch:
    x = ae.model_.normalize(torch.from_numpy(X))
    return Batch(x, x)


def test_a_missing_category_counts_as_if_its_column_were_not_there(incomplete: Autoencoder) -> None:
    """The loss of the others is their part of the costs."""
    model = incomplete.model_
    x = batch_of(incomplete, made_table(8)).x
    y = model.decoder(model.encode(x))
    without = x.clone()
    without[:, BLOCKS[1]] = math.nan
    costs = model.likelihood.costs(y, x, model.likelihood_memory)
    torch.testing.assert_close(
        model.nll(y, x) - model.nll(y, without), costs[:, BLOCKS[1]].sum(1), atol=1e-5, rtol=1e-5
    )


def test_masking_hides_whole_categories_at_its_rate(incomplete: Autoencoder) -> None:
    X = made_table(4000)
    masked = np.isnan(incomplete.corrupt(X, corruption=Masking(0.3, value="missing")))
    np.testing.assert_allclose(masked.mean(0), 0.3, atol=0.03)
    x = batch_of(incomplete, X).x
    hidden = incomplete.model_.corrupt(Masking(0.3, value="missing"), x, generator()).x.isnan()
    for block in BLOCKS:
        assert (hidden[:, block].all(1) == hidden[:, block].any(1)).all()
    kept = incomplete.model_.corrupt(Masking(0.3, value="missing"), x, generator()).x
    assert torch.equal(kept[~hidden], x[~hidden])


def test_noise_reaches_the_values_of_a_block(ae: Autoencoder) -> None:
    x = rows().float()
    noisy = ae.model_.corrupt(GaussianNoise(0.1), x, generator()).x
    assert torch.equal(noisy, GaussianNoise(0.1)(x, generator()))


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["encode", "reconstruct", "score_samples", "impute"])
def test_rows_keep_their_bits_in_any_grouping(incomplete: Autoencoder, method: str) -> None:
    X = with_missing(made_table(150, state=3))
    apply = getattr(incomplete, method)
    whole, order = apply(X), np.random.default_rng(0).permutation(150)
    np.testing.assert_array_equal(apply(X[order]), whole[order])
    np.testing.assert_array_equal(np.concatenate([apply(part) for part in np.array_split(X, 7)]), whole)


def test_a_loaded_model_gives_the_same_bits(incomplete: Autoencoder, tmp_path: Path) -> None:
    incomplete.save(tmp_path / "model.safetensors")
    again, X = load(tmp_path), with_missing(made_table(50, state=3))
    assert again.scaling_ == Columns(CLASSES)
    for method in ("encode", "reconstruct", "score_samples", "impute"):
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(incomplete, method)(X))


def test_a_value_that_is_no_category_is_named(ae: Autoencoder, table: np.ndarray) -> None:
    for code in (3.0, -1.0, 0.5):
        wrong = table.copy()
        wrong[7, 1] = code
        for use in (ae.encode, ae.score_samples, lambda X: fitted(X), lambda X: ae.partial_fit(X)):
            with pytest.raises(DataError, match=rf"row 7, column 1 is {code:g}, but this column has 3 categories"):
                use(wrong)


def test_training_continues_and_other_estimators_take_it(table: np.ndarray) -> None:
    X = table[:120]
    ae = Autoencoder(3, architecture=MLP((8,)), scaling=Columns(CLASSES), epochs=2, random_state=0).fit(X)
    parts = ae.partial_fit(X).score(X)
    assert np.isfinite(parts)
    ae.set_params(likelihood=Mixed(CLASSES, Normal("learned"))).partial_fit(X)
    detector = OutlierDetector(ae.set_params(epochs=2), anomaly_score="standardized", random_state=0).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    nats = OutlierDetector(ae, anomaly_score="nats", random_state=0).fit(X)
    assert np.isfinite(nats.score_samples(X)).all()
