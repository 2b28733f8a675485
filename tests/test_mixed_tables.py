"""An autoencoder of a table with columns of any kind: what goes in as a frame comes out as one."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    OutlierDetector,
    compare,
    evaluate,
    finetune,
    load,
    plots,
    recipes,
    sweep,
)
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian
from isthmus.compression import compress
from isthmus.data import as_examples
from isthmus.errors import DataError, IsthmusWarning, ModelFileError, NotPossibleError, RecordError
from isthmus.evaluation import detect, pca_reconstructions
from isthmus.io.safetensors import CHECKSUM, opened, serialize
from isthmus.likelihoods import Laplace, Mixed, Normal
from isthmus.optimizers import AdamW
from isthmus.scaling import Columns, MinMax, Standard

N = 400
rng = np.random.default_rng(0)
KIND = rng.integers(0, 3, N)
FRAME = pd.DataFrame(
    {
        "height": 10.0 * KIND + rng.normal(size=N),
        "legs": 2 * KIND + 2,
        "kind": pd.Categorical.from_codes(KIND, ["bird", "cow", "ant"]),
        "tame": KIND == 1,
        "seen": pd.to_datetime("2024-01-01") + pd.to_timedelta(100 * KIND + rng.integers(0, 9, N), "D"),
    },
    index=np.arange(N) + 1000,
)
GAPS = FRAME.astype({"legs": "Int64", "tame": "boolean"})
for number, name in enumerate(FRAME.columns):
    GAPS.loc[GAPS.index[number::10], name] = None
HIDDEN = GAPS.isna()


def quick(size: Any = 2, **choices: Any) -> Autoencoder:
    usual: dict[str, Any] = {"architecture": MLP((16,)), "epochs": 25, "optimizer": AdamW(1e-2), "device": "cpu"}
    return Autoencoder(size, **usual | choices, random_state=0)


@pytest.fixture(scope="module")
def fitted() -> Autoencoder:
    return quick(missing="allow").fit(GAPS)


def test_a_category_is_a_block_with_its_own_likelihood(fitted: Autoencoder) -> None:
    classes = (0, 0, 3, 2, 0, 0, 0)  # the week's phase has two features
    assert fitted.scaling_ == Columns(classes, numbers=Standard())
    assert fitted.likelihood_ == Mixed(classes, numbers=Normal("learned"))
    assert fitted.feature_names_in_.tolist() == list(FRAME.columns)
    assert (fitted.n_features_in_, fitted.shape_) == (5, (7,))
    chosen = quick(scaling=MinMax(per="feature"), likelihood=Laplace(), epochs=1).fit(FRAME)
    assert chosen.scaling_ == Columns(classes, numbers=MinMax(per="feature"))
    assert chosen.likelihood_ == Mixed(classes, numbers=Laplace())


def test_missing_cells_are_completed_in_their_types_and_others_stay(fitted: Autoencoder) -> None:
    complete = fitted.impute(GAPS)
    assert (complete.dtypes == GAPS.dtypes).all()
    assert complete.index.equals(GAPS.index)
    assert not complete.isna().any(axis=None)
    pd.testing.assert_frame_equal(complete.where(~HIDDEN), GAPS.where(~HIDDEN))
    for name in ("kind", "legs", "tame"):
        right = (complete[name].astype(object) == FRAME[name].astype(object))[HIDDEN[name]]
        assert right.mean() >= 0.9
        assert right.mean() > FRAME[name].value_counts(normalize=True).max() + 0.2
    days = (complete["seen"] - FRAME["seen"])[HIDDEN["seen"]].dt.days.abs()
    assert days.mean() < 10  # of 200


def test_a_frame_goes_in_and_a_frame_comes_out(fitted: Autoencoder) -> None:
    made = fitted.reconstruct(GAPS)
    assert (made.dtypes == GAPS.dtypes).all()
    assert made.index.equals(GAPS.index)
    drawn = fitted.sample(5, 0, method="gmm", X=GAPS)
    assert (drawn.dtypes == GAPS.dtypes).all()
    pd.testing.assert_frame_equal(fitted.decode(fitted.encode(GAPS)).set_index(GAPS.index), made)
    array = fitted.reconstruct(as_examples(GAPS, missing="allow"))
    assert isinstance(array, np.ndarray)
    assert array.shape == (N, 7)


def test_polars_and_pyarrow_give_the_same_codes(fitted: Autoencoder) -> None:
    codes = fitted.encode(GAPS)
    of_polars = pl.from_pandas(GAPS)
    np.testing.assert_array_equal(fitted.encode(of_polars), codes)
    np.testing.assert_array_equal(fitted.encode(of_polars.to_arrow()), codes)
    complete = fitted.impute(of_polars)
    assert complete.schema == of_polars.schema
    assert complete.null_count().sum_horizontal().item() == 0
    assert fitted.impute(of_polars.to_arrow()).num_rows == N


def test_columns_are_found_by_name(fitted: Autoencoder) -> None:
    other = GAPS[["tame", "seen", "legs", "kind", "height"]].assign(more="x")
    np.testing.assert_array_equal(fitted.encode(other), fitted.encode(GAPS))
    with pytest.raises(DataError, match=r"^the table has no column kind, seen, which the training data had: add it$"):
        fitted.encode(GAPS.drop(columns=["kind", "seen"]))


def test_other_categories_are_missing_or_an_error(fitted: Autoencoder) -> None:
    rows = GAPS.iloc[:4].astype({"kind": object})
    rows.iloc[0, 2] = None
    unknown = rows.copy()
    unknown.iloc[0, 2] = "dog"
    with pytest.warns(
        IsthmusWarning, match=r"^X has categories that .* did not have: kind \('dog': 1\), which are taken as"
    ):
        codes = fitted.encode(unknown)
    np.testing.assert_array_equal(codes, fitted.encode(rows))
    with pytest.warns(IsthmusWarning, match="dog"):
        assert fitted.impute(unknown)["kind"].iloc[0] == "dog"  # an observed value stays
    strict = quick(epochs=1).fit(FRAME)
    other = FRAME.iloc[:4].astype({"kind": str})
    other.iloc[0, 2] = "dog"
    with pytest.raises(DataError, match=r"kind \('dog': 1\); correct them, or fit with missing='allow'"):
        strict.encode(other)


def test_a_reloaded_model_knows_its_columns(fitted: Autoencoder, tmp_path: Path) -> None:
    fitted.save(tmp_path / "table.safetensors")
    for again in (load(tmp_path / "table.safetensors"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.encode(GAPS), fitted.encode(GAPS))
        pd.testing.assert_frame_equal(again.impute(GAPS), fitted.impute(GAPS))
        assert again.feature_names_in_.tolist() == list(FRAME.columns)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"ant"', b'"cow"'),
        (b'"kind":"category"', b'"kind":"integer" '),
        (b'"height"', b'"weight"'),
        (b'"columns":[', b'"columns":{'),
    ],
    ids=["twice", "kind", "name", "JSON"],
)
def test_a_damaged_encoding_is_refused(old: bytes, new: bytes, fitted: Autoencoder, tmp_path: Path) -> None:
    fitted.save(tmp_path / "table.safetensors")
    with opened(tmp_path / "table.safetensors") as contents:
        tensors, metadata = contents.all_tensors(), dict(contents.metadata)
    content = tensors["table"].numpy().tobytes()
    assert old in content
    tensors["table"] = torch.from_numpy(np.frombuffer(content.replace(old, new), np.uint8).copy())
    metadata.pop(CHECKSUM, None)
    (tmp_path / "bad.safetensors").write_bytes(b"".join(map(bytes, serialize(metadata, tensors))))
    with pytest.raises(ModelFileError):
        load(tmp_path / "bad.safetensors")


def test_training_resumes_on_frames_to_the_last_bit(tmp_path: Path) -> None:
    whole = quick(epochs=3).fit(FRAME)
    begun = quick(epochs=3)
    reports = begun.iter_fit(FRAME)
    next(reports)
    begun.checkpoint(tmp_path / "part.safetensors")
    resumed = load(tmp_path / "part.safetensors").resume(FRAME)
    np.testing.assert_array_equal(resumed.encode(FRAME), whole.encode(FRAME))
    warm = quick(epochs=1, warm_start=True, scaling=Standard(), likelihood=Normal("learned")).fit(FRAME)
    assert warm.fit(FRAME).history_[-1].step > 0
    streamed = quick()
    for part in (FRAME.iloc[:200], FRAME.iloc[200:]):
        streamed.partial_fit(part)
    assert streamed.reconstruct(FRAME).shape == FRAME.shape


def test_kinds_are_a_parameter_like_others(tmp_path: Path) -> None:
    kinds = {"legs": "category", "tame": "drop", "kind": ["ant", "bird", "cow"]}
    ae = quick(kinds=kinds, epochs=1).fit(FRAME)
    assert ae.scaling_.classes == (0, 3, 0, 0, 0, 0)
    ae.save(tmp_path / "kinds.safetensors")
    assert load(tmp_path / "kinds.safetensors").kinds == kinds
    assert clone(ae).kinds == kinds
    assert set(ae.reconstruct(FRAME)["legs"]) <= {2, 4, 6}


def test_kinds_that_do_not_fit_are_named(of_text: Autoencoder) -> None:
    changed = clone(of_text).set_params(warm_start=True).fit(TEXT)
    for kinds in ({"kind": "drop"}, {"legs": "category"}, {"kind": ["ant", "cow", "bird"]}):
        with pytest.raises(RecordError, match=r"and kinds=\{.* does not fit them; fit again with warm_start=False"):
            changed.set_params(kinds=kinds).fit(TEXT)
    with pytest.raises(RecordError, match="kinds names the column 'zzz', which the table does not have"):
        changed.set_params(kinds={"zzz": "drop"}).partial_fit(TEXT)
    with pytest.raises(
        RecordError, match="names columns of a data frame, and X is none: pass a frame, or leave it out"
    ):
        quick(kinds={"a": "category"}).fit(np.ones((20, 3)))
    with pytest.raises(DataError, match="n_samples=0"):
        quick().fit(TEXT.iloc[:0])
    with pytest.raises(NotPossibleError, match="PCA takes numbers, and the table has columns of other kinds"):
        pca_reconstructions(of_text, TEXT)


def test_scikit_learn_takes_frames_through() -> None:
    numbers = ColumnTransformer([("scale", StandardScaler(), ["height", "legs"])])
    search = GridSearchCV(quick(epochs=2), {"bottleneck": [1, 2]}, cv=2).fit(FRAME)
    assert search.best_estimator_.transform(FRAME).shape[1] in {1, 2}
    assert np.isfinite(cross_val_score(quick(epochs=2), FRAME, cv=2)).all()
    named = make_pipeline(quick(epochs=2).set_output(transform="pandas"), LogisticRegression())
    assert named.fit(FRAME, KIND).score(FRAME, KIND) > 0.5
    assert numbers.fit_transform(FRAME).shape == (N, 2)


def test_detectors_and_classifiers_take_the_same_frames(tmp_path: Path) -> None:
    detector = OutlierDetector(quick(), random_state=0).fit(FRAME)
    odd = FRAME.iloc[:20].copy()
    odd["kind"] = odd["kind"].map({"bird": "cow", "cow": "ant", "ant": "bird"}).astype(FRAME["kind"].dtype)
    assert (detector.predict(odd) == -1).mean() > 0.8
    assert (detector.predict(FRAME.iloc[:20]) == -1).mean() < 0.3
    blamed = [each[0].feature for each in detector.attributions(odd)]
    assert blamed.count("kind") > 10
    assert {part.feature for each in detector.attributions(FRAME, n=5) for part in each} <= set(FRAME.columns)
    detector.save(tmp_path / "detector.safetensors")
    np.testing.assert_array_equal(
        load(tmp_path / "detector.safetensors").score_samples(odd), detector.score_samples(odd)
    )
    classifier = AutoencoderClassifier(quick(epochs=2), epochs=20, random_state=0).fit(FRAME, KIND)
    assert classifier.score(FRAME, KIND) > 0.9


def test_detections_state_the_values_that_are_to_blame(fitted: Autoencoder) -> None:
    """Of the column as the user knows it, also of a date; none where it is missing, or a category that training did not have."""
    detector = OutlierDetector.from_fitted(fitted, GAPS, anomaly_score="error", random_state=0)
    rows = GAPS.iloc[40:60].astype({"kind": object})
    rows.loc[rows.index[0], "kind"] = "crab"
    rows.loc[rows.index[10:], "tame"] = ~rows["tame"]
    with pytest.warns(IsthmusWarning, match=r"kind \('crab': 1\)"):
        found = detect(detector, rows)
    frame = found.to_frame()
    known = rows.assign(
        height=rows["height"].map("{:.6g}".format),
        legs=rows["legs"].astype("string"),
        kind=rows["kind"].replace("crab", None).astype("string"),
        tame=rows["tame"].map({True: "true", False: "false"}),
        seen=rows["seen"].dt.strftime("%Y-%m-%d"),
    ).mask(rows.isna(), "")
    known.loc[rows.index[0], "kind"] = ""
    for i in (1, 2, 3):
        expected = [known.iloc[row][name] for row, name in enumerate(frame[f"feature_{i}"])]
        assert frame[f"value_{i}"].tolist() == expected
    assert {"kind", "seen", "tame", "legs", "height"} == set(frame[[f"feature_{i}" for i in (1, 2, 3)]].to_numpy().flat)
    header, first, *_ = found.lines()
    assert header[-3:] == ["feature_3", "value_3", "share_3"]
    assert first[-2] == frame["value_3"][0]
    worst = found.to_dict()["most_anomalous"][0]
    top = worst["attributions"][0]
    assert top["value"] == known.iloc[worst["row"]][top["feature"]] != ""
    assert found.table()[1][0][-1].startswith(f"{top['feature']}={top['value']} {top['share']:.0%}, ")


def test_evaluation_and_figures_take_frames(fitted: Autoencoder) -> None:
    found = evaluate(fitted, GAPS.iloc[:100], train=GAPS.iloc[100:])
    assert found.pca is not None
    rows, made = FRAME.iloc[:100], fitted.reconstruct(FRAME.iloc[:100])
    features = np.stack([as_examples(each).values for each in (rows, made)])
    wrong = fitted.reconstruction_error(rows, per_feature=True)
    for column in (2, 3):  # categories
        np.testing.assert_array_equal(wrong[:, column], features[0, :, column] != features[1, :, column])
    of_kind = evaluate(fitted, rows).by_column["kind"]
    assert of_kind.reconstruction.accuracy == pytest.approx(1 - wrong[:, 2].mean())
    assert plots.reconstructions(fitted, FRAME.iloc[:5]).axes


def test_a_table_of_numbers_alone_stays_an_array() -> None:
    numbers = FRAME[["height", "legs"]]
    ae = quick(1, epochs=1).fit(numbers)
    assert isinstance(ae.reconstruct(numbers), np.ndarray)
    np.testing.assert_array_equal(
        ae.encode(numbers), quick(1, epochs=1).fit(numbers.to_numpy()).encode(numbers.to_numpy())
    )
    as_frame = quick(1, epochs=1, kinds={}).fit(numbers)
    assert (as_frame.reconstruct(numbers).dtypes == numbers.dtypes).all()


def test_samples_are_rows_that_could_be_in_the_table(fitted: Autoencoder) -> None:
    made = fitted.sample(200, 0, method="gmm", X=GAPS, draw=False)
    agree = made["legs"].astype(int) == made["kind"].map({"bird": 2, "cow": 4, "ant": 6}).astype(int)
    assert set(made["kind"]) == {"bird", "cow", "ant"}
    assert agree.mean() > 0.7
    drawn = quick(Gaussian(2), epochs=2).fit(FRAME).sample(200, 0, draw=True)
    assert (drawn.dtypes == FRAME.dtypes).all()
    assert drawn["legs"].between(2, 6).all()


def test_synthetic_rows_have_the_values_and_relations_of_the_table() -> None:
    """Drawn without being asked for: an hour is one of those that occur, a third of the debts are 0, and debts depend on the region."""
    generator = np.random.default_rng(0)
    region = generator.integers(0, 2, 400)
    table = pd.DataFrame(
        {
            "region": pd.Categorical.from_codes(region, ["n", "s"]),
            "hour": generator.choice([0.25, 3.5, 12.75], 400, p=[0.6, 0.3, 0.1]),
            "debt": np.where(generator.random(400) < 1 / 3, 0, np.exp(3 * region + 0.1 * generator.normal(size=400))),
        }
    )
    made = recipes.tabular(2).set_params(architecture=MLP((32,)), epochs=20, random_state=0).fit(table).sample(2000, 0)
    assert set(made["hour"]) == {0.25, 3.5, 12.75}
    assert (made["debt"] == 0).mean() == pytest.approx(1 / 3, abs=0.07)
    debts = made[made["debt"] > 0].groupby("region", observed=True)["debt"].median()
    assert debts["s"] > 10 * debts["n"]


def test_frames_are_drawn_by_default_and_arrays_are_means() -> None:
    frame = quick(Gaussian(2), epochs=1).fit(FRAME)
    pd.testing.assert_frame_equal(frame.sample(50, 0), frame.sample(50, 0, draw=True))
    assert not frame.sample(50, 0).equals(frame.sample(50, 0, draw=False))
    array = quick(Gaussian(2), epochs=1).fit(np.random.default_rng(0).normal(size=(50, 3)))
    np.testing.assert_array_equal(array.sample(50, 0), array.sample(50, 0, draw=False))


TEXT = FRAME.astype({"kind": str})
SOME = TEXT[TEXT["kind"] != "ant"]  # their own encoding would give the categories other numbers


@pytest.fixture(scope="module")
def of_text() -> Autoencoder:
    return quick(epochs=2, kinds={"kind": "category"}).fit(TEXT)


def test_a_fitted_autoencoder_keeps_its_encoding_in_what_wraps_it(of_text: Autoencoder) -> None:
    detector = OutlierDetector.from_fitted(of_text, SOME, random_state=0)
    assert set(detector.score_samples(SOME)) >= set(detector.calibration_scores_)  # of the same rows
    classifier = finetune(of_text, SOME, SOME["legs"], epochs=1, random_state=0)
    np.testing.assert_array_equal(classifier.autoencoder_.encode(TEXT).shape, (N, 2))
    assert classifier.autoencoder_.feature_names_in_.tolist() == list(TEXT.columns)
    with pytest.raises(DataError, match=r"^X was encoded as another table, .*: pass the frame itself$"):
        of_text.encode(as_examples(SOME, kinds={"kind": "category"}))


def test_kinds_reach_what_trains_an_autoencoder_inside() -> None:
    plain = quick(epochs=1, kinds={"kind": "category", "legs": "category"})
    detector = OutlierDetector(plain, random_state=0).fit(TEXT)
    classifier = AutoencoderClassifier(plain, epochs=1, random_state=0).fit(TEXT, KIND, unlabeled=SOME)
    found = sweep(plain, TEXT, {"bottleneck": [1, 2]}, validation_data=SOME)
    fitted = [each.autoencoder for each in found.trials]
    for ae in (detector.autoencoder_, classifier.autoencoder_, *fitted):
        assert ae is not None
        assert ae.scaling_.classes == (0, 3, 3, 2, 0, 0, 0)
    held_out = sweep(plain, TEXT, {"bottleneck": [1, 2]}).trials[0].autoencoder
    assert held_out is not None
    assert held_out.scaling_.classes == (0, 3, 3, 2, 0, 0, 0)


def test_autoencoders_of_one_encoding_are_compared(of_text: Autoencoder) -> None:
    again = quick(1, epochs=1, kinds={"kind": "category"}).fit(TEXT)
    found = compare({"two": of_text, "one": again}, SOME)
    assert found.evaluations[0].errors == evaluate(of_text, SOME).errors
    other = quick(1, epochs=1, kinds={"kind": "drop"}).fit(TEXT)
    with pytest.raises(DataError, match="encode the columns of a table in different ways"):
        compare([of_text, other], SOME)


def test_a_target_has_the_encoding_of_the_model(of_text: Autoencoder) -> None:
    found = evaluate(of_text, SOME, target=SOME)
    assert found.restoration is not None
    assert found.restoration.input.column_error == 0
    assert found.errors.column_error == evaluate(of_text, SOME).errors.column_error


def test_missing_cells_are_filled_whatever_the_dtype_at_use(fitted: Autoencoder) -> None:
    rows, right = GAPS.iloc[:60], fitted.impute(GAPS.iloc[:60])["kind"].astype(str)
    others = {
        "reordered": rows["kind"].cat.reorder_categories(["ant", "bird", "cow"]),
        "fewer": rows["kind"].astype(object).where(rows["kind"] == "cow").astype("category"),
        "text": rows["kind"].astype(object),
    }
    for name, kind in others.items():
        filled = fitted.impute(rows.assign(kind=kind))
        assert not filled["kind"].isna().any()
        assert filled["kind"].dtype == kind.dtype or name == "fewer"
        assert name == "fewer" or (filled["kind"].astype(str) == right).all()
    assert fitted.impute(rows.assign(tame=rows["tame"].astype("float")))["tame"].dtype == np.float64


def test_a_compressed_file_of_such_a_table_is_refused(of_text: Autoencoder, tmp_path: Path) -> None:
    with pytest.raises(
        NotPossibleError, match="a compressed file takes numbers, and the table has columns of other kinds"
    ):
        compress(of_text, TEXT, tmp_path / "x")
