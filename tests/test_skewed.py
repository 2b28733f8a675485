"""Logarithms and quantiles of skewed columns: exact inverses, densities in raw units, and the columns that they are chosen for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import QuantileTransformer
from typer.testing import CliRunner

from isthmus import Autoencoder, OutlierDetector, load
from isthmus.architectures import MLP
from isthmus.augmentations import Binarize
from isthmus.cli import app
from isthmus.data import Windows
from isthmus.errors import DataError, IsthmusWarning, ModelFileError, RecordError
from isthmus.io.safetensors import CHECKSUM, opened, serialize
from isthmus.likelihoods import Bernoulli, ContinuousBernoulli, Mixed, Normal
from isthmus.scaling import Columns, Logarithm, PerColumn, Quantile, Scaling

N = 300
rng = np.random.default_rng(0)
SIZE = rng.normal(size=N)
X = np.stack(
    [
        np.exp(2 * SIZE + 0.5 * rng.normal(size=N)),  # 0: a logarithm suits it
        np.where(rng.random(N) < 0.3, 0.0, rng.pareto(1.5, N)),  # 1: quantiles
        SIZE + rng.normal(size=N),
        np.full(N, 7.5),
    ],
    1,
)
FRAME = pd.DataFrame(
    {
        "age": np.round(40 + 10 * X[:, 2]),
        "income": np.round(1000 * X[:, 0], 2),
        "region": pd.Categorical.from_codes(rng.integers(0, 3, N), ["n", "o", "s"]),
        "debt": X[:, 1],
    }
)
GAPS = FRAME.copy()
GAPS.loc[::7, "income"] = np.nan
GAPS.loc[3::7, "region"] = None
KINDS = {"kinds": {"age": "integer", "region": "category"}}
CURVED: list[Scaling] = [
    Logarithm(5),
    Quantile(),
    Quantile("uniform", 9),
    Quantile(ties="interval"),
    PerColumn((0,), (1,)),
]

curved = pytest.mark.parametrize("scaling", CURVED, ids=repr)


def quick(scaling: Any, **choices: Any) -> Autoencoder:
    """A small autoencoder; of frames it is given the kinds that it would guess and print."""
    return Autoencoder(2, scaling=scaling, architecture=MLP((8,)), epochs=3, random_state=0, device="cpu", **choices)


@pytest.fixture(scope="module")
def fitted() -> Autoencoder:
    with pytest.warns(
        IsthmusWarning, match="1 of 3 columns by logarithm: income; 1 of 3 columns by quantiles: debt; the"
    ):
        return quick(PerColumn(), missing="allow", **KINDS).fit(GAPS)


@curved
def test_a_curve_increases_and_is_inverted_exactly(scaling: Scaling) -> None:
    """Within the range of training and beyond it, for values that a logarithm does not have too."""
    model = quick(scaling, precision="float64").initialize(X).model_
    steps = np.sort(np.concatenate([np.linspace(-20, 400, 80), X[:, 0], X[:, 1]]))
    raw = torch.from_numpy(np.tile(steps[:, None], 4))
    x = model.normalize(raw)
    assert torch.isfinite(x).all()
    assert (x.diff(dim=0)[raw.diff(dim=0) > 0] > 0).all()
    torch.testing.assert_close(model.denormalize(x), raw, rtol=1e-9, atol=1e-9)


@curved
def test_the_slope_of_a_curve_is_its_derivative(scaling: Scaling) -> None:
    model = quick(scaling, precision="float64").initialize(X).model_
    raw = torch.linspace(-20, 400, 101, dtype=torch.float64)[:, None].repeat(1, 4)
    step = 1e-6
    slopes = (model.normalize(raw + step) - model.normalize(raw - step)) / (2 * step)
    torch.testing.assert_close(-model.log_scales_of(model.normalize(raw)), slopes.log(), rtol=1e-4, atol=1e-4)


def test_a_logarithm_is_a_standardized_scaling_of_logarithms() -> None:
    """The same model, and the density of x is that of log x divided by x."""
    raw = np.exp(rng.normal(1, 2, (200, 9)))
    raw[::5, 1] = np.nan
    ours, theirs = (quick(each, missing="allow", precision="float64") for each in (Logarithm(), "auto"))
    ours.fit(raw), theirs.fit(np.log(raw))
    np.testing.assert_allclose(ours.transform(raw), theirs.transform(np.log(raw)), atol=1e-8)
    expected = theirs.score_samples(np.log(raw)) - np.nansum(np.log(raw), 1)
    np.testing.assert_allclose(ours.score_samples(raw), expected, rtol=1e-8)
    np.testing.assert_allclose(np.log(ours.impute(raw)), theirs.impute(np.log(raw)), atol=1e-8)
    assert ours.history_[-1].loss == pytest.approx(theirs.history_[-1].loss + np.nansum(np.log(raw)) / 200)


def test_quantiles_are_those_of_scikit_learn() -> None:
    fitted = quick(Quantile("uniform", N), precision="float64").initialize(X[:, :3])
    expected = QuantileTransformer(n_quantiles=N).fit_transform(X[:, :3])
    made = fitted.model_.normalize(torch.from_numpy(X[:, :3])).numpy()
    assert np.abs(made - expected)[:, [0, 2]].max() < 1 / N
    assert np.ptp(made[X[:, 1] == 0, 1]) == 0
    assert made[X[:, 1] == 0, 1][0] == pytest.approx((X[:, 1] == 0).mean() / 2)  # the middle of equal ranks
    normal = quick(Quantile(), precision="float64").initialize(X[:, :3]).model_.normalize(torch.from_numpy(X[:, :3]))
    np.testing.assert_allclose(normal[:, [0, 2]].std(0), 1, atol=0.02)


def test_all_ranks_of_a_frequent_value_lead_back_to_it() -> None:
    """Column 0 has a fifth of zeros, column 1 four values; normal numbers, the ranks of drawn rows, become them as often as the data."""
    raw = np.stack(
        [np.where(np.arange(N) % 5 == 0, 0.0, X[:, 0]), rng.choice([-1.0, 0.5, 2, 30], N, p=[0.5, 0.3, 0.15, 0.05])], 1
    )
    model = quick(Quantile(ties="interval"), precision="float64").initialize(raw).model_
    ranks = torch.from_numpy(np.random.default_rng(1).normal(size=(20_000, 2)))
    drawn = model.denormalize(ranks).numpy().clip(raw.min(0), raw.max(0))
    assert (drawn[:, 0] == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert len(np.unique(drawn[:, 0])) > 10_000
    values, counts = np.unique(drawn[:, 1], return_counts=True)
    np.testing.assert_array_equal(values, np.unique(raw[:, 1]))
    np.testing.assert_allclose(counts / 20_000, np.unique(raw[:, 1], return_counts=True)[1] / N, atol=0.01)
    middle = quick(Quantile(), precision="float64").initialize(raw).model_.normalize(torch.from_numpy(raw)).numpy()
    np.testing.assert_allclose(model.normalize(torch.from_numpy(raw)).numpy()[:, 1], middle[:, 1], atol=1e-9)


def test_columns_are_chosen_by_held_out_rows(fitted: Autoencoder) -> None:
    expected = PerColumn(("income",), ("debt",))
    assert (fitted.scaling_, fitted.likelihood_) == (
        Columns((0, 0, 3, 0), expected),
        Mixed((0, 0, 3, 0), Normal("learned")),
    )
    for generator in (np.random.default_rng(each) for each in range(5)):
        plain = np.stack([generator.normal(50, 5, 200), generator.random(200), -np.exp(generator.normal(size=200))], 1)
        with pytest.warns(
            IsthmusWarning, match=r"PerColumn\(\): none of 3 columns by logarithm or quantiles, all are standardized"
        ):
            assert quick(PerColumn()).initialize(plain).scaling_ == PerColumn((), ())
    with pytest.warns(IsthmusWarning, match="1 of 4 columns by logarithm: 0; the others"):
        assert quick(PerColumn(quantile=())).initialize(X).scaling_ == PerColumn((0,), ())


def test_a_column_stays_standardized_if_held_out_rows_gain_little() -> None:
    """Here the quantiles of 60 rows: in the rows that they are fitted to they always gain."""
    few = np.random.default_rng(7).gamma(3.0, size=(60, 1))
    assert (few**3).mean() - 3 * few.mean() * few.var() - few.mean() ** 3 > few.std() ** 3  # its skewness is above 1
    with pytest.warns(IsthmusWarning, match="none of 1 columns"):
        assert quick(PerColumn(logarithm=())).initialize(few).scaling_ == PerColumn((), ())


def test_a_rare_flag_stays_standardized() -> None:
    flags = np.stack([np.arange(N) % 33 == 0, np.arange(N) % 2], 1).astype(float)
    flags = np.tile(flags, (5, 1))
    with pytest.warns(IsthmusWarning, match="none of 2 columns by logarithm or quantiles"):
        quick(PerColumn()).fit(flags)


def test_a_table_comes_back_within_its_range_from_a_file_too(fitted: Autoencoder, tmp_path: Path) -> None:
    complete = fitted.impute(GAPS)
    pd.testing.assert_frame_equal(complete[GAPS.notna()], GAPS.astype(complete.dtypes)[GAPS.notna()])
    for made in (complete, fitted.reconstruct(GAPS)):
        assert (made[["age", "income", "debt"]].min() >= GAPS[["age", "income", "debt"]].min()).all()
        assert (made[["age", "income", "debt"]].max() <= GAPS[["age", "income", "debt"]].max()).all()
    fitted.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.scaling_ == fitted.scaling_
    pd.testing.assert_frame_equal(again.impute(GAPS), complete)
    np.testing.assert_array_equal(again.score_samples(GAPS), fitted.score_samples(GAPS))


def test_training_continues_with_the_chosen_columns(fitted: Autoencoder, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.save(tmp_path / "m.safetensors")
        continued = load(tmp_path / "m.safetensors").partial_fit(GAPS)
    assert continued.scaling_ == fitted.scaling_
    with pytest.raises(RecordError, match="does not fit them"):
        continued.set_params(scaling=PerColumn(("debt",))).partial_fit(GAPS)


def test_a_constant_column_is_exact_and_later_zeros_are_far_away() -> None:
    positive = X + np.array([0, 1, 0, 0])
    ae = quick(PerColumn((0, 3), (1,))).fit(positive)
    np.testing.assert_array_equal(ae.reconstruct(positive)[:, 3], 7.5)
    detector = OutlierDetector(ae, random_state=0).fit(positive)
    odd = positive[:3].copy()
    odd[:, 0] = [0.0, -5.0, 1e6]
    scores = detector.score_samples(np.concatenate([odd, positive]))
    assert np.isfinite(scores).all()
    assert (scores[:3] < np.quantile(scores[3:], 0.05)).all()


def test_errors_name_the_column() -> None:
    with pytest.raises(
        DataError, match=r"feature 'debt'.* has 0, and Logarithm\(\) takes numbers above 0: .*PerColumn"
    ):
        quick(Logarithm(), **KINDS).fit(FRAME)
    with pytest.raises(
        RecordError, match=r"names the column 'wage', and the examples have columns age, income, region, debt"
    ):
        quick(PerColumn(("wage",)), **KINDS).fit(FRAME)
    with pytest.raises(RecordError, match="'region', which holds categories"):
        quick(PerColumn(("region",)), **KINDS).fit(FRAME)
    with pytest.raises(RecordError, match="names the column 4, and the examples have 4 columns"):
        quick(PerColumn((), (4,))).fit(X)
    with pytest.raises(RecordError, match="number of one column and the name of another: give the name as text, '1'"):
        quick(PerColumn((1,), ())).fit(pd.DataFrame(X[:, :2] + 1, columns=[1, 0]))
    assert quick(PerColumn(("1",), ())).fit(pd.DataFrame(X[:, :2] + 1, columns=[1, 0])).scaling_.logarithm == ("1",)
    with pytest.raises(RecordError, match="column 0 is named twice"):
        PerColumn((0,), (0, 1))


def test_columns_of_series_and_columns_named_twice_are_refused() -> None:
    windows = Windows(pd.DataFrame(X[:60, :2] + 1, columns=["load", "heat"]), length=4)
    for scaling in (PerColumn(), PerColumn(("load",), ())):
        with pytest.raises(
            RecordError, match=r"columns of tables, and the examples have shape \(4, 2\): use Logarithm"
        ):
            quick(scaling).fit(windows)
    with pytest.raises(DataError, match=r"takes numbers above 2: use a larger shift, or scaling=Quantile\(\)$"):
        quick(Logarithm(-2)).fit(windows)
    with pytest.raises(RecordError, match="column 1 twice, by name and by number"):
        quick(PerColumn(("income",), (1,)), **KINDS).fit(FRAME)


def test_columns_that_are_observed_in_every_other_row_have_a_curve_and_a_fill() -> None:
    rows = np.exp(np.random.default_rng(0).normal(size=(200_000, 2)))
    rows[::2, 1] = np.nan
    ae = quick(Quantile(), missing="allow", batch_size=50_000).set_params(epochs=1).fit(rows)
    x = ae.model_.normalize(torch.from_numpy(rows[1::2]))
    assert torch.allclose(x.std(0), torch.ones(2), atol=0.05)
    assert torch.allclose(ae.model_.fill, ae.model_.normalize(torch.from_numpy(rows)).nanmean(0), atol=1e-5)


def test_errors_of_a_detector_are_in_model_units() -> None:
    ae = quick(PerColumn((0,), (1,))).fit(X)
    x, y = (ae.model_.normalize(torch.from_numpy(each)).double() for each in (X, ae.reconstruct(X).astype(float)))
    errors = (x - y).square().numpy()[:, :3]
    found = OutlierDetector.from_fitted(ae, X, random_state=0).contributions(X)[:, :3]
    np.testing.assert_allclose(found / found.mean(0), errors / errors.mean(0), rtol=1e-3)


def swapped(tangents: torch.Tensor) -> torch.Tensor:
    return tangents.flip(1)


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("curve_knots", swapped, "the knots of a curve do not increase"),
        ("curve_values", swapped, "the knots of a curve do not increase"),
        ("curve_tangents", swapped, "in the wrong order"),
        ("curve_tangents", lambda tangents: tangents / 4, "too near"),
        ("curve_shift", lambda shift: shift - 1, "too near"),  # of a curve without a logarithm
        ("curve_gap", lambda gap: gap - 1, "too near"),
        ("curve_gap", lambda gap: gap + torch.tensor([0, 1, 0, 0]), "too near"),  # of a logarithm
        ("curve_shift", lambda shift: shift * np.nan, "not finite"),
        (
            "curve_shift",
            lambda shift: shift - 1e9 * torch.tensor([0, 1, 0, 0]),
            "does not make the least value positive",
        ),
    ],
)
def test_a_file_whose_curves_no_fit_can_give_is_refused(
    name: str, damage: Any, problem: str, fitted: Autoencoder, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "m.safetensors")
    load(tmp_path / "m.safetensors")
    with opened(tmp_path / "m.safetensors") as contents:
        tensors = contents.all_tensors(checked=False)
        metadata = {name: text for name, text in contents.metadata.items() if name != CHECKSUM}
    tensors[name] = damage(tensors[name])
    (tmp_path / "bad.safetensors").write_bytes(b"".join(map(bytes, serialize(metadata, tensors))))
    with pytest.raises(ModelFileError, match=problem):
        load(tmp_path / "bad.safetensors")


def test_a_checkpoint_without_gaps_is_resumed(tmp_path: Path) -> None:
    raw = np.sin(np.arange(60)[:, None] * np.array([0.1, 0.7])).round()
    ae = quick(Quantile(ties="interval", quantiles=12), early_stopping=True, batch_size=16)
    for report in ae.iter_fit(raw, every=1):
        if report.step == 5:
            ae.checkpoint(tmp_path / "now.safetensors")
    with opened(tmp_path / "now.safetensors") as contents:
        tensors = contents.all_tensors(checked=False)
        metadata = {name: text for name, text in contents.metadata.items() if name != CHECKSUM}
    gaps = [name for name in tensors if name.endswith("curve_gap")]
    assert sorted(gaps) == ["best.curve_gap", "curve_gap", "good.curve_gap"]
    for name in gaps:
        tensors[name.replace("gap", "shift")] += tensors.pop(name)
    (tmp_path / "old.safetensors").write_bytes(b"".join(map(bytes, serialize(metadata, tensors))))
    resumed = [load(tmp_path / f"{name}.safetensors").resume(raw) for name in ("old", "now")]
    assert all(map(torch.equal, *(each.model_.state_dict().values() for each in resumed)))


@pytest.mark.thorough
def test_the_command_line_prints_the_chosen_columns(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    words = ["bottleneck.size=2", "architecture.hidden=8", "epochs=2", "scaling=PerColumn", "missing=allow"]
    result = CliRunner().invoke(app, ["train", "--data", f"{tmp_path}/t.csv", *words, "--out", f"{tmp_path}/r"])
    assert result.exit_code == 0, result.output
    assert "1 of 3 columns by logarithm: income" in " ".join(result.output.split())


def test_whole_numbers_have_finite_densities_at_frequent_values() -> None:
    raw = np.zeros((40, 2, 2), np.uint8)
    raw[32, 0], raw[:, 1, 0] = (132, 7), np.arange(40) % 3
    ae = quick(Quantile(ties="interval")).initialize(raw)
    assert ae.model_.log_scales_of(ae.model_.normalize(torch.as_tensor(raw))).isfinite().all()
    assert np.array_equal(ae.model_.denormalize(ae.model_.normalize(torch.as_tensor(raw))).round().numpy(), raw)


def test_uniform_ranks_are_values_of_a_unit_interval() -> None:
    incomes = np.exp(np.random.default_rng(0).normal(size=(80, 3)))
    choices: dict[str, Any] = {"epochs": 2, "random_state": 0}
    ranks, late = Quantile("uniform"), incomes * 1.01
    ae = Autoencoder(2, scaling=ranks, likelihood=Bernoulli(), **choices)
    ae.fit(incomes[:60], validation_data=incomes[60:].clip(incomes[:60].min(0), incomes[:60].max(0)))
    ends = ae.model_.normalize(torch.from_numpy(incomes[:60])).aminmax()
    assert 0 < float(ends.min) < 0.02 < 0.98 < float(ends.max) < 1
    with_category = pd.DataFrame(incomes, columns=["a", "b", "c"]).assign(d=FRAME["region"][:80])
    mixed = Autoencoder(2, scaling=ranks, likelihood=ContinuousBernoulli(), **choices).fit(with_category)
    assert mixed.likelihood_ == Mixed((0, 0, 0, 3), numbers=ContinuousBernoulli())
    with pytest.raises(DataError, match=r"Bernoulli likelihood requires examples in \[0, 1\] after scaling"):
        Autoencoder(2, scaling=Quantile("normal"), likelihood=Bernoulli(), **choices).fit(incomes)
    with pytest.warns(IsthmusWarning, match="validation_data: the Bernoulli likelihood requires"):
        Autoencoder(2, scaling=ranks, likelihood=Bernoulli(), **choices).fit(incomes, validation_data=late)
    drawn = Autoencoder(2, scaling=ranks, augmentation=Binarize(), likelihood=Bernoulli(), **choices).fit(incomes)
    assert np.isfinite(drawn.score_samples(incomes)).all()


@pytest.mark.thorough
def test_an_extreme_value_is_blamed_and_not_what_it_distorts() -> None:
    random = np.random.default_rng(0)
    size = random.normal(size=400)
    flats = pd.DataFrame(
        {
            "area": 60 * np.exp(0.4 * size) + random.normal(size=400),
            "rent": 800 * np.exp(0.5 * size + 0.1 * random.normal(size=400)),
            "rooms": 2.5 + size + 0.3 * random.normal(size=400),
            "pets": pd.Categorical(np.where(size > 0.3, "yes", "no")),
        }
    )
    ae = Autoencoder(3, scaling=PerColumn(("area", "rent"), ()), architecture=MLP((32,)), epochs=60, random_state=0)
    detector = OutlierDetector(ae, anomaly_score="nats", random_state=0).fit(flats[:350])
    for column, value in {"rent": 1e6, "area": 5_000.0, "rooms": 40.0}.items():
        wrong = flats[370:].assign(**{column: value})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "column .* lies far outside the training range")
            blamed = [each[0].feature for each in detector.attributions(wrong, n=1)]
        assert blamed.count(column) == len(wrong), (column, blamed)
    flipped = flats[370:].assign(pets=flats["pets"].cat.rename_categories({"yes": "no", "no": "yes"}))
    blamed = [each[0].feature for each in detector.attributions(flipped, n=1)]
    assert blamed.count("pets") >= 0.8 * len(flipped)
