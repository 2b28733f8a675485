"""Exported files: each component, table, detector and condition gives what the live model gives, by two other programs."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import scipy.sparse
import torch
from onnx.reference import ReferenceEvaluator
from test_every_component import LABELS, SLOTS, autoencoder, examples, made, seen_by

import isthmus.runtime
from isthmus import Autoencoder, OutlierDetector, data, recipes
from isthmus.architectures import MLP, Conditional, Conv, Modules
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.export import export
from isthmus.estimators.export.onnx_graph import onnx_model
from isthmus.estimators.export.parts import Part
from isthmus.estimators.export.ports import Port
from isthmus.likelihoods import Bernoulli
from isthmus.nn.log_gamma import log_gamma
from isthmus.nn.places import places

EXPORTED = [
    (slot, name)
    for slot in ("architecture", "bottleneck", "likelihood", "scaling", "prior")
    for name in SLOTS[slot].__all__
]


def run(path: Path, **inputs: Any) -> list[np.ndarray[Any, Any]]:
    """The outputs of a file."""
    found: list[np.ndarray[Any, Any]] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, inputs
    )
    return found


def close(new: Any, old: Any) -> bool:
    """Whether values are equal but for rounding in single precision."""
    return float(np.abs(np.asarray(new, float) - old).max()) <= 1e-5 * float(np.abs(old).max())


@pytest.mark.promise(31)
@pytest.mark.thorough
@pytest.mark.parametrize(("slot", "name"), EXPORTED, ids=[f"{slot}={name}" for slot, name in EXPORTED])
def test_every_component_is_exported(slot: str, name: str, tmp_path: Path) -> None:
    record = made(slot, name)
    ae = autoencoder(slot, record).fit(examples(record), LABELS)
    X = seen_by(ae, examples(record))[:20]
    found = export(ae, tmp_path / "out", parts=["reconstruct", "score"], X=X, y=LABELS[:20])
    assert max(found.differences.values()) <= 1e-5
    inputs = {"X": X, "y": LABELS[:20]} if ae.model_.architecture.context else {"X": X}
    for part, method in {"reconstruct": ae.reconstruct, "score": ae.score_samples}.items():
        path = tmp_path / "out" / f"{part}.onnx"
        assert close(run(path, **inputs)[0], method(X, LABELS[:20]))
        assert close(ReferenceEvaluator(onnx.load(path)).run(None, inputs)[0], method(X, LABELS[:20]))
    model = isthmus.runtime.load(tmp_path / "out")
    for method in (model.reconstruct, model.score_samples):
        whole = method(X, LABELS[:20])
        for size in (1, 7):
            parts = [
                method(X[begin : begin + size], LABELS[begin : min(20, begin + size)]) for begin in range(0, 20, size)
            ]
            assert np.array_equal(np.concatenate(parts), whole), (method, size)


def houses(n: int, state: int = 0) -> pd.DataFrame:
    """A table with a column of each kind and dependent values."""
    rng = np.random.default_rng(state)
    rooms, region = rng.integers(1, 7, n), rng.choice(["north", "south", "coast"], n)
    table = pd.DataFrame(
        {"rooms": rooms, "region": region, "area": (18.0 * rooms * rng.lognormal(0, 0.15, n)).round(1)}
    )
    table["garden"] = table["area"] > 70
    table["sold"] = pd.to_datetime("2022-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "D")
    table["floor"] = rng.choice([1, 2, 5], n)
    return table


KINDS = {"region": "category", "garden": "boolean", "floor": "category"}


def with_gaps(table: pd.DataFrame) -> pd.DataFrame:
    nullable = table.astype({"rooms": "Int64", "garden": "boolean", "floor": "Int64"})
    return nullable.mask(np.random.default_rng(1).random(table.shape) < 0.1)


@pytest.mark.promise(31)
@pytest.mark.thorough
def test_a_table_has_an_input_for_each_column(tmp_path: Path) -> None:
    table = houses(200)
    ae = Autoencoder(3, kinds=KINDS, architecture=MLP((16,)), epochs=3, random_state=0).fit(table)
    ae.export(tmp_path / "out", X=table)
    new = houses(40, 7)
    inputs = {name: new[name].to_numpy() for name in new} | {
        "sold": new["sold"].to_numpy().astype("datetime64[us]").astype(np.int64),
        "region": new["region"].to_numpy(object),
    }
    assert close(run(tmp_path / "out" / "encoder.onnx", **inputs)[0], ae.encode(new))
    made, expected = run(tmp_path / "out" / "reconstruct.onnx", **inputs), ae.reconstruct(new)
    for values, name in zip(made, expected, strict=True):
        values = values.astype("datetime64[us]") if name == "sold" else values
        assert (values == expected[name].to_numpy()).mean() > 0.97, name  # where rounding does not decide
    model = isthmus.runtime.load(tmp_path / "out")
    frame = model.reconstruct(new)
    assert list(frame) == list(expected)
    assert all((frame[name].to_numpy() == expected[name].to_numpy()).mean() > 0.97 for name in frame)
    assert close(model.score_samples(new), ae.score_samples(new))
    with pytest.raises(DataError, match="'east', which training did not have"):
        model.encode(new.assign(region="east"))
    with pytest.raises(DataError, match="no column area, which the training data had"):
        model.encode(new.drop(columns="area"))


@pytest.mark.promise(31)
@pytest.mark.thorough
def test_missing_values_are_inside_the_graph(tmp_path: Path) -> None:
    table = with_gaps(houses(200))
    ae = Autoencoder(3, kinds=KINDS, architecture=MLP((16,)), missing="allow", epochs=3, random_state=0).fit(table)
    ae.export(tmp_path / "out", X=table)
    model, new = isthmus.runtime.load(tmp_path / "out"), with_gaps(houses(40, 7))
    assert close(model.encode(new), ae.encode(new))
    complete, expected = model.impute(new), ae.impute(new)
    assert not complete.isna().any().any()
    for name in complete:
        known = new[name].notna().to_numpy()
        assert (complete[name].to_numpy()[known] == new[name].to_numpy()[known]).all(), name
        assert (complete[name].to_numpy() == expected[name].to_numpy()).mean() > 0.97, name
    with pytest.warns(UserWarning, match="categories that training did not have, taken as missing: 'east'"):
        codes = model.encode(new.assign(region="east"))
    assert close(codes, model.encode(new.assign(region=None)))


@pytest.mark.thorough
def test_columns_may_have_any_names_and_large_categories(tmp_path: Path) -> None:
    rng, numbers = np.random.default_rng(0), np.arange(60)
    table = pd.DataFrame(
        {
            "code": numbers / 7,
            "": rng.choice(["a", "b"], 60),
            "y": 2**60 + numbers % 3,
            "reconstruction.code": numbers % 5,
        }
    ).assign(score=pd.to_datetime(numbers, unit="D").tz_localize("Asia/Tokyo"))
    kinds: Any = {"": "category", "y": "category"}
    ae = Autoencoder(2, kinds=kinds, architecture=MLP((8,)), epochs=1, random_state=0).fit(table)
    ae.export(tmp_path / "out", X=table)
    model = isthmus.runtime.load(tmp_path / "out")
    assert close(model.encode(table), ae.encode(table))
    assert close(model.score_samples(table), ae.score_samples(table))
    made, expected = model.reconstruct(table), ae.reconstruct(table)
    assert list(made) == list(table)
    assert made["y"].tolist() == expected["y"].tolist()
    assert made["score"].dtype == expected["score"].dtype
    apart = (pd.Series(made["score"]) - pd.Series(expected["score"])).abs()
    assert apart.max() <= pd.Timedelta(seconds=1)  # single precision knows two months to half a second
    with pytest.raises(DataError, match="column 'y' has the category 3"):
        model.encode(table.assign(y=3))


@pytest.mark.thorough
def test_an_empty_category_is_no_missing_value(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": np.arange(40) / 7, "c": ["", "b"] * 20})
    kinds: Any = {"c": "category"}
    ae = Autoencoder(2, kinds=kinds, architecture=MLP((8,)), missing="allow", epochs=1, random_state=0).fit(table)
    with pytest.raises(NotPossibleError, match="column 'c' has the empty text as a category"):
        ae.export(tmp_path / "out", X=table)


@pytest.mark.promise(31)
@pytest.mark.thorough
@pytest.mark.parametrize("score", ["neighbors", "combined", "code", "standardized", "error", "nats", "ensemble"])
def test_every_score_of_a_detector_is_exported(score: Any, tmp_path: Path) -> None:
    table = with_gaps(houses(200))
    ae = Autoencoder(3, kinds=KINDS, architecture=MLP((16,)), missing="allow", epochs=3, random_state=0)
    detector = OutlierDetector(ae, anomaly_score=score, random_state=0).fit(table)
    found = detector.export(tmp_path / "out", X=table, parts=["detect"])
    assert found.differences["detect"] <= 1e-5
    new = with_gaps(houses(40, 7))
    scores, p_values, anomalous = isthmus.runtime.load(tmp_path / "out").detect(new)
    assert close(scores, detector.score_samples(new))
    assert np.array_equal(p_values, detector.p_values(new))
    assert np.array_equal(anomalous, detector.predict(new) == -1)


@pytest.mark.thorough
def test_dates_have_the_same_place_among_those_of_training(tmp_path: Path) -> None:
    """A quantile of a date that occurs often is that of its whole group, also where a sine has another last bit."""
    table = houses(300)
    table["sold"] = table["sold"].dt.to_period("W").dt.start_time
    ae = recipes.tabular(3).set_params(kinds=KINDS, epochs=1, random_state=0)
    detector = OutlierDetector(ae, anomaly_score="neighbors", random_state=0).fit(table)
    assert detector.export(tmp_path / "out", X=table, parts=["encoder", "detect"]).differences["detect"] <= 1e-6


@pytest.mark.promise(31)
@pytest.mark.thorough
@pytest.mark.parametrize("labels", [["a", "b", "c"], [3, 7, 9], None], ids=["text", "numbers", "covariates"])
def test_a_conditional_autoencoder_takes_y(labels: Any, tmp_path: Path) -> None:
    X = np.asarray(data.digits().train[:100])
    y = np.random.default_rng(0).normal(size=100) if labels is None else np.array(labels)[np.arange(100) % 3]
    ae = Autoencoder(4, kind="images", architecture=Conditional(MLP((8,))), epochs=1, random_state=0).fit(X, y)
    for given in ({}, {"X": X}):
        with pytest.raises(NotPossibleError, match="conditional: pass X and y"):
            ae.export(tmp_path / "out", **given)
    ae.export(tmp_path / "out", X=X, y=y)
    model = isthmus.runtime.load(tmp_path / "out")
    assert close(model.reconstruct(X[:9], y[:9]), ae.reconstruct(X[:9], y[:9]))
    assert close(model.decode(ae.encode(X[:9], y[:9]), y[:9]), ae.decode(ae.encode(X[:9], y[:9]), y[:9]))
    with pytest.raises(DataError, match="conditional: pass y"):
        model.encode(X[:9])


@pytest.mark.promise(31)
@pytest.mark.thorough
def test_windows_and_images_keep_their_shape_and_type(tmp_path: Path) -> None:
    waves = np.sin(np.arange(600) / 5)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(600, 2))
    windows = data.Windows(waves, length=16, step=4)
    detector = OutlierDetector(Autoencoder(3, architecture=MLP((16,)), epochs=2, random_state=0), random_state=0).fit(
        windows
    )
    assert detector.export(tmp_path / "series", X=windows).differences["detect"] <= 1e-5
    bytes_ = (255 * np.asarray(data.digits().train[:60])).astype(np.uint8)
    ae = Autoencoder(3, architecture=Conv((4,)), epochs=1, random_state=0).fit(bytes_)
    ae.export(tmp_path / "images", X=bytes_)
    model = isthmus.runtime.load(tmp_path / "images")
    assert close(model.reconstruct(bytes_), ae.reconstruct(bytes_))
    with pytest.raises(DataError, match="the model takes uint8"):
        model.reconstruct(bytes_ / 255)
    with pytest.raises(DataError, match=r"shape \(64,\), and those of the model have \(8, 8\)"):
        model.reconstruct(bytes_.reshape(-1, 64))


@pytest.mark.parametrize("precision", ["float32", pytest.param("float64", marks=pytest.mark.thorough)])
def test_scores_of_certain_pixels_are_finite(precision: Any, tmp_path: Path) -> None:
    """The sigmoid of a logit below -104 is 0 in single precision, and its logarithm was minus infinity in exported files."""
    X = np.repeat([[0.0, 1, 0, 1, 0.5]], 20, 0) + np.linspace(0, 0.4, 20)[:, None] * [1, 0, 0, 0, 1]
    ae = Autoencoder(2, architecture=MLP((4,)), likelihood=Bernoulli(), epochs=2, precision=precision, random_state=0)
    ae.fit(X.astype(precision))
    with torch.no_grad():
        for parameter in ae.model_.decoder.parameters():
            parameter.add_(parameter.sign() * 30)
    codes = ae.transform(X)
    assert np.isfinite(ae.score_samples(X)).all()
    ae.export(tmp_path / "e", parts=["score"], X=X.astype(precision))
    (scores,) = run(tmp_path / "e/score.onnx", X=X.astype(precision))
    assert scores.min() < -100 * codes.shape[1]
    assert close(scores, ae.score_samples(X))
    with np.errstate(over="ignore", invalid="ignore"):  # its sigmoid computes both signs, and chooses then
        (wanted,) = ReferenceEvaluator(str(tmp_path / "e/score.onnx")).run(None, {"X": X.astype(precision)})
    assert close(wanted, scores)


@pytest.mark.thorough
def test_a_folder_is_replaced_as_a_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).random((20, 4))
    ae = Autoencoder(2, architecture=MLP((4,)), epochs=1, random_state=0).fit(X)
    out, rename = tmp_path / "out", Path.rename
    ae.export(out, parts=["encoder"], X=X)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def failing(path: Path, target: Path) -> Path:
        if target == out and "export" in path.name:
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(DataError, match=r"out cannot be written \(Permission denied\): choose another folder"):
        ae.export(out, parts=["encoder"], X=X[:10])
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(DataError, match=r"cannot be written \("):
        ae.export(out / "isthmus.json" / "out", parts=["encoder"], X=X)
    ae.export(out, parts=["encoder"], X=X[:10])
    assert isthmus.runtime.load(out).manifest.described["compared_on"] == 10
    monkeypatch.chdir(out)
    with pytest.raises(DataError, match="is the current folder"):
        ae.export(".", X=X)


@pytest.mark.thorough
def test_examples_to_compare_on_may_be_sparse_in_any_form(tmp_path: Path) -> None:
    X = scipy.sparse.random(40, 6, 0.3, "coo", random_state=0)
    ae = Autoencoder(2, architecture=MLP((4,)), epochs=1, random_state=0).fit(X)
    assert ae.export(tmp_path / "out", parts=["encoder"], X=X).n_examples == 40
    assert close(isthmus.runtime.load(tmp_path / "out").encode(X), ae.encode(X))


def test_a_plain_module_is_trained_moved_and_copied_as_any_other() -> None:
    X = np.random.default_rng(0).random((30, 6)).astype(np.float32)
    ae = Autoencoder(2, architecture=MLP((5,)), epochs=1, random_state=0).fit(X)
    module, examples, before = ae.to_module(), torch.from_numpy(X), ae.score_samples(X)
    assert close(module.score(examples).detach().numpy(), before)
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(50):
        optimizer.zero_grad()
        loss = -module.score(examples).mean()
        loss.backward()
        optimizer.step()
    assert all((parameter.grad != 0).any() for parameter in module.parameters())
    assert module.score(examples).mean() > before.mean() + 0.1
    assert np.array_equal(ae.score_samples(X), before)  # it has copies of the weights
    other = ae.to_module()
    other.load_state_dict(module.state_dict())
    for copied in (other, deepcopy(module)):
        assert torch.equal(copied(examples), module(examples))
    precise = deepcopy(module).double()
    assert precise.encode(examples).dtype == precise.score(examples).dtype == torch.float64
    assert precise.decode(module.encode(examples)).dtype == torch.float64
    assert close(precise(examples).detach(), module(examples).detach().numpy())
    coarse = deepcopy(module).to(torch.bfloat16)
    assert coarse.encode(examples).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.thorough)])
def test_operations_that_overflowed_are_written_in_other_forms(dtype: Any) -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.logaddexp(x[:, 0], x[:, 1]), torch.expm1(x[:, 0].clamp(-50, 50))

    part = Part(torch.nn.Identity(), [Port("X", dtype, (2,))], [Port("a", dtype), Port("b", dtype)], function)
    session = onnxruntime.InferenceSession(onnx_model(part, "part", {}).SerializeToString())
    x = np.array([-1e4, -200, -104, -20, -1e-8, 0, 1e-8, 20, 90, 200, 1e4, np.inf, -np.inf])
    X = np.stack(np.broadcast_arrays(x[:, None], x), -1).reshape(-1, 2).astype(dtype)
    for found, wanted in zip(session.run(None, {"X": X}), function(torch.from_numpy(X)), strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-6, atol=3e-9)


@pytest.mark.thorough
def test_double_precision_is_exported_or_said_not_to_be(tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((20, 4))
    elu, gelu = (
        Autoencoder(2, architecture=MLP((4,), activation=each), epochs=1, precision="float64", random_state=0).fit(X)
        for each in ("elu", "gelu")
    )
    assert elu.export(tmp_path / "out", parts=["encoder"], X=X).differences["encoder"] < 1e-14
    with pytest.raises(NotPossibleError, match=r"onnxruntime cannot run the exported file: .*; nothing was written"):
        gelu.export(tmp_path / "gelu", parts=["encoder"], X=X)


def test_places_are_those_of_searchsorted() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 8, 9, 100):
        columns = torch.from_numpy(np.sort(rng.integers(0, 20, (3, count)), axis=1)).double()
        x = torch.from_numpy(rng.integers(-1, 22, (50, 3))).double()
        for right in (False, True):
            assert torch.equal(places(x, columns, right), torch.searchsorted(columns, x.T.contiguous(), right=right).T)


def test_an_exported_log_gamma_is_that_of_pytorch() -> None:
    class Gamma(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return log_gamma(x)

    x = torch.cat([torch.logspace(-6, 6, 500), torch.arange(1.0, 60.0)]).double()
    traced = torch.export.export(Gamma(), (x,)).module()
    assert not any("lgamma" in str(node.target) for node in traced.graph.nodes)
    torch.testing.assert_close(traced(x), torch.lgamma(x), rtol=1e-13, atol=1e-13)


def test_what_onnx_does_not_have_is_one_sentence(tmp_path: Path) -> None:
    class Bessel(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(self.inner(x))

        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(4, 2)

    ae = Autoencoder(2, architecture=Modules(Bessel(), torch.nn.Linear(2, 4)), epochs=1, random_state=0)
    ae.fit(np.random.default_rng(0).random((20, 4)).astype(np.float32))
    with pytest.raises(NotPossibleError, match=r"the part encoder cannot be exported: .*bessel_j0") as found:
        ae.export(tmp_path / "out")
    assert str(found.value).isprintable()
    assert "Next steps" not in str(found.value)
    assert not (tmp_path / "out").exists()
