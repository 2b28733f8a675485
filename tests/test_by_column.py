"""Figures by column: each column of a table in its own terms, compared with a constant and with PCA."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA

from isthmus import Autoencoder, evaluate
from isthmus.architectures import MLP
from isthmus.data import as_examples, validation
from isthmus.errors import NotPossibleError
from isthmus.estimators.table_columns import TableColumn, TableColumns, table_columns
from isthmus.evaluation import ColumnFigures, Evaluation, MethodErrors, column_figures
from isthmus.evaluation.advice import advice_for
from isthmus.evaluation.column_sums import ColumnSums
from isthmus.evaluation.table_pca import fit_table_pca, principal_axes
from isthmus.likelihoods import Mixed
from isthmus.optimizers import AdamW
from isthmus.scaling import Columns
from isthmus.trainable import Batch

N = 300
rng = np.random.default_rng(0)
KIND = rng.integers(0, 3, N)
FRAME = pd.DataFrame(
    {
        "height": (10.0 * KIND + rng.normal(size=N)).round(1),
        "legs": 2 * KIND + rng.integers(0, 2, N),
        "kind": pd.Categorical.from_codes(KIND, ["bird", "cow", "ant"]),
        "tame": KIND == 1,
        "size": pd.Categorical.from_codes(np.minimum(KIND + rng.integers(0, 2, N), 2), ["s", "m", "l"], ordered=True),
        "seen": pd.to_datetime("2024-01-01") + pd.to_timedelta(100 * KIND + rng.integers(0, 9, N), "D"),
        "noise": rng.choice(["x", "y", "z"], N, p=[0.5, 0.3, 0.2]),
    }
)
GAPS = FRAME.astype({"legs": "Int64", "tame": "boolean"})
for number, name in enumerate(FRAME.columns):
    GAPS.loc[GAPS.index[number::11], name] = None
TRAIN, TEST = GAPS.iloc[:200], GAPS.iloc[200:]
NOMINAL, ORDINAL = ("kind", "tame", "noise"), ("height", "legs", "seen")


def quick(size: Any = 2, **choices: Any) -> Autoencoder:
    usual: dict[str, Any] = {"architecture": MLP((16,)), "epochs": 8, "optimizer": AdamW(1e-2), "device": "cpu"}
    return Autoencoder(size, **usual | choices, random_state=0)


@pytest.fixture(scope="module")
def fitted() -> Autoencoder:
    return quick(missing="allow", kinds={"noise": "category"}).fit(TRAIN)


@pytest.fixture(scope="module")
def found(fitted: Autoencoder) -> Evaluation:
    return evaluate(fitted, TEST, train=TRAIN)


def by_column(found: Evaluation) -> ColumnFigures:
    assert found.by_column is not None
    return found.by_column


def numbers(column: pd.Series) -> pd.Series:
    """A column as numbers: dates as days, ordered categories as positions."""
    if column.dtype.kind == "M":
        return (column - pd.Timestamp("1970-01-01")) / pd.Timedelta("1D")
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.astype(float).where(column.notna())
    return column.astype("Float64").astype(float)


def test_figures_are_those_of_the_frame_that_comes_back(fitted: Autoencoder, found: Evaluation) -> None:
    """What a user computes from `reconstruct`, over the cells that were observed."""
    made = fitted.reconstruct(TEST)
    for name in FRAME.columns:
        figure, there = by_column(found)[name], TEST[name].notna()
        true, ours = TEST[name][there], made[name][there]
        assert figure.n_observed == there.sum() < len(TEST)
        if name in NOMINAL:
            most = TRAIN[name].mode()[0]
            wrong, baseline = (true.astype(object) != ours.astype(object)).mean(), (true.astype(object) != most).mean()
            assert figure.reconstruction.accuracy == pytest.approx(1 - wrong)
            assert figure.baseline_accuracy == pytest.approx(1 - baseline)
            assert figure.error == pytest.approx(wrong / baseline)
            assert figure.most_frequent == str(most).lower()
        else:
            errors = numbers(ours) - numbers(true)
            assert figure.reconstruction.mae == pytest.approx(errors.abs().mean(), rel=1e-6)
            assert figure.reconstruction.rmse == pytest.approx(math.sqrt((errors**2).mean()), rel=1e-6)
            spread = ((numbers(true) - numbers(TRAIN[name]).mean()) ** 2).sum()
            assert figure.error == pytest.approx((errors**2).sum() / spread, rel=1e-6)
            assert figure.reconstruction.explained_variance == pytest.approx(1 - (errors**2).sum() / spread, rel=1e-6)
    size = by_column(found)["size"]
    there = TEST["size"].notna()
    assert size.reconstruction.accuracy == pytest.approx((TEST["size"] == made["size"])[there].mean())


def test_the_headline_is_the_mean_over_columns(found: Evaluation) -> None:
    errors = [each.error for each in by_column(found).columns]
    assert None not in errors
    assert found.errors.column_error == pytest.approx(np.mean(errors))
    by_pca = [each.pca.error for each in by_column(found).columns if each.pca is not None]
    assert found.pca is not None
    assert found.pca.column_error == pytest.approx(np.mean(by_pca))
    assert len(by_pca) == 7
    assert found.errors.mse is found.errors.explained_variance is found.data_range is None
    assert found.training is not None
    assert 0 < found.training.error < 1
    assert found.denoising is not None
    assert found.denoising.column_error is not None


def test_perfect_is_0_and_a_constant_is_1() -> None:
    columns = TableColumns(
        (
            TableColumn("a", "number", 0),
            TableColumn("b", "category", 1, ("x", "y", "z"), 0, 2, 1),
            TableColumn("c", "ordered", 2, ("s", "m", "l"), 0, 2, 1),
        ),
        True,
    )
    true = np.array([[1.0, 0, 2], [2.5, 2, 0], [7, 2, np.nan], [np.nan, np.nan, 1]])
    constants = np.array([3.5, 2, 1])
    made = {"": true.copy(), "pca": np.broadcast_to(constants, true.shape)}
    sums = ColumnSums(columns, constants, np.array([0, 2, 0]), np.dtype(np.float64))
    sums.add(true[:1], {name: rows[:1] for name, rows in made.items()})
    sums.add(true[1:], {name: rows[1:] for name, rows in made.items()})
    figures = [sums.figure(place, None) for place in range(3)]
    assert [each.error for each in figures] == [0, 0, 0]
    assert [each.pca and each.pca.error for each in figures] == [1, 1, 1]
    assert [each.reconstruction.accuracy for each in figures] == [None, 1, 1]
    assert [each.baseline_accuracy for each in figures] == [None, 2 / 3, 1 / 3]
    assert sums.mean_error("pca") == 1


def features(frame: pd.DataFrame) -> tuple[np.ndarray, tuple[int, ...]]:
    """The features of a frame, and for each the number of its categories."""
    examples = as_examples(frame, missing="allow", kinds={"noise": "category"})
    assert examples.table is not None
    return examples.values, examples.table.classes


def test_pca_sees_standardized_numbers_and_one_column_for_each_category() -> None:
    values, classes = features(FRAME)
    parts = [
        (column[:, None] - column.mean()) / column.std() if not n else np.eye(n)[column.astype(int)]
        for column, n in zip(values.T, classes, strict=True)
    ]
    X = np.concatenate(parts, axis=1)
    by_sklearn = PCA(3, svd_solver="full").fit(X)
    expected = by_sklearn.inverse_transform(by_sklearn.transform(X))
    pca, missing = fit_table_pca(values, classes, 3)
    assert missing == ""
    made, begin = pca.reconstruct(values), 0
    for place, n in enumerate(classes):
        block = expected[:, begin : begin + max(1, n)]
        column = values[:, place]
        wanted = block.argmax(1) if n else block[:, 0] * column.std() + column.mean()
        np.testing.assert_allclose(made[:, place], wanted, rtol=1e-4, atol=1e-4)
        begin += max(1, n)
    assert pca.centered(torch.from_numpy(values)).shape == (N, begin)


def test_pca_of_full_width_reconstructs_everything() -> None:
    values, classes = features(FRAME)
    full = sum(max(1, n) for n in classes) - sum(1 for n in classes if n)  # the values of a category add up to 1
    pca, _ = fit_table_pca(values, classes, 1)
    axes = torch.from_numpy(principal_axes(values, pca.statistics, classes, full))
    np.testing.assert_allclose(pca._replace(axes=axes).reconstruct(values), values, rtol=1e-5, atol=1e-5)
    assert f"{full} independent values: the error of PCA would be 0" in fit_table_pca(values, classes, full)[1]
    assert fit_table_pca(values, classes, full - 1)[1] == ""
    assert "needs more than 3 examples" in fit_table_pca(values[:3], classes, 3)[1]
    assert "all examples are equal" in fit_table_pca(np.repeat(values[:1], 9, 0), classes, 3)[1]


def test_a_missing_value_is_the_mean_for_pca() -> None:
    values, classes = features(GAPS)
    pca, _ = fit_table_pca(values, classes, 4)
    assert np.isfinite(pca.reconstruct(values)).all()
    centered = pca.centered(torch.from_numpy(values)).numpy()
    assert (centered[np.isnan(values[:, 0]), 0] == 0).all()
    assert abs(centered.mean(0)).max() < 1e-9


def test_permuted_columns_permute_the_figures(fitted: Autoencoder, found: Evaluation) -> None:
    other = evaluate(fitted, TEST[TEST.columns[::-1]], train=TRAIN[TRAIN.columns[::-1]])
    assert by_column(other) == by_column(found)
    values, classes = features(FRAME)
    order = np.random.default_rng(1).permutation(len(classes))
    made = fit_table_pca(values, classes, 3)[0].reconstruct(values)
    permuted = fit_table_pca(values[:, order], tuple(classes[place] for place in order), 3)[0]
    np.testing.assert_allclose(permuted.reconstruct(values[:, order]), made[:, order], rtol=1e-4, atol=1e-3)


def test_constant_and_unobserved_columns_are_said_and_not_counted(fitted: Autoencoder) -> None:
    rows = TEST.copy()
    rows["height"], rows["kind"], rows["noise"] = 5.0, pd.Categorical(["cow"] * len(rows), ["bird", "cow", "ant"]), None
    figures = column_figures(fitted, rows, train=TRAIN)
    notes = {each.name: (each.error, each.note) for each in figures.columns if each.note}
    assert notes == {
        "height": (None, "constant"),
        "kind": (None, "constant"),
        "noise": (None, "no value is observed"),
    }
    assert figures["kind"].reconstruction.accuracy is not None
    assert figures.error == pytest.approx(np.mean([each.error for each in figures.columns if not each.note]))
    assert [row[2] for row in figures.rows()] == ["-" if each.note else f"{each.error:.3f}" for each in figures.columns]
    assert figures.rows()[0][4].startswith("constant; mean absolute error")


def test_nats_of_the_columns_add_up_to_those_of_the_example() -> None:
    ae = quick(epochs=1, kinds={"noise": "category"}).fit(FRAME)
    found = evaluate(ae, FRAME[:50])
    nats = [each.nats for each in by_column(found).columns]
    assert None not in nats
    assert math.fsum(nats) == pytest.approx(found.nats.nll, rel=1e-5)


def test_nats_of_missing_values_are_left_out(fitted: Autoencoder) -> None:
    model = fitted.model_
    x = model.normalize(torch.from_numpy(features(TEST)[0]))
    batch = Batch(x, x)
    with torch.inference_mode():
        costs, losses = model.costs(batch), model.score(batch)
    torch.testing.assert_close(costs.sum(1), losses.nll, rtol=1e-4, atol=1e-4)
    assert (costs[x.isnan()] == 0).all()


def test_figures_do_not_depend_on_the_size_of_blocks(fitted: Autoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are read block by block, and those of other tests are one block."""
    whole = column_figures(fitted, GAPS, train=TRAIN)
    monkeypatch.setattr(validation, "BLOCK", 1)
    parts = column_figures(fitted, GAPS, train=TRAIN)
    for one, other in zip(whole.columns, parts.columns, strict=True):
        assert one.n_observed == other.n_observed
        for figure in ("error", "nats", "baseline_accuracy"):
            assert getattr(one, figure) == pytest.approx(getattr(other, figure))
        assert one.pca is not None
        assert other.pca is not None
        assert one.pca.error == pytest.approx(other.pca.error, rel=1e-6)


def test_everything_is_in_the_outputs(found: Evaluation) -> None:
    plain = json.loads(json.dumps(found.to_dict()))
    assert [each["column"] for each in plain["by_column"]] == list(FRAME.columns)
    assert plain["errors"]["mse"] is None
    kind = plain["by_column"][2]
    assert kind["accuracy"] == by_column(found)["kind"].reconstruction.accuracy
    assert kind["pca_accuracy"] is not None
    frame = by_column(found).to_frame()
    assert frame.set_index("column").loc["seen", "mae"] == by_column(found)["seen"].reconstruction.mae
    assert found.to_frame()["column_error"][0] == found.errors.column_error
    assert "by_column" not in found.to_frame()
    names = [name for name, _, _ in found.rows()]
    assert names[:2] == ["Error by column", "PCA's error by column"]
    assert not [name for name in names if "quared" in name or "PSNR" in name]
    assert "days" in by_column(found)["seen"].terms()
    assert "the most frequent: " in by_column(found)["noise"].terms()


def test_columns_without_gain_are_advised(fitted: Autoencoder, found: Evaluation) -> None:
    def advised(**errors: float) -> list[str]:
        columns = tuple(
            replace(each, reconstruction=MethodErrors(errors.get(each.name, 0.5))) for each in by_column(found).columns
        )
        result = replace(found, by_column=ColumnFigures(columns))
        return [each.text for each in advice_for(fitted, result) if each.rule == "columns without gain"]

    assert advised(noise=0.99) == []
    assert advised(noise=1.0)[0].startswith(
        "1 of 7 columns is not reconstructed better than by a constant: 'noise' (than the most frequent category): "
    )
    assert "2 of 7 columns are not" in advised(noise=1.2, seen=1.5)[0]
    assert ": 'seen' (than the mean), 'noise' (" in advised(noise=1.2, seen=1.5)[0]


def test_a_table_of_numbers_keeps_its_figures() -> None:
    """Those by column are the parts of the error by column that it has anyway."""
    X = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 5)) * [1e5, 1, 3, 1e-3, 1] + 7.0
    ae = quick().fit(pd.DataFrame(X, columns=list("abcde")))
    found = evaluate(ae, X[:60], train=X[60:])
    assert found.errors.mse == pytest.approx(np.square(ae.reconstruct(X[:60]) - X[:60]).mean())
    assert by_column(found).error == pytest.approx(found.errors.column_error)
    assert found.pca is not None
    assert by_column(found).pca_error == pytest.approx(found.pca.column_error)
    assert [each.name for each in by_column(found).columns] == list("abcde")
    assert column_figures(ae, X[:60], train=X[60:]) == by_column(found)


@pytest.mark.filterwarnings("ignore:X is an ordinary array")  # and its values are those of a table
def test_codes_of_categories_in_an_array_are_columns_too() -> None:
    values, _ = features(FRAME)
    X = values[:, [0, 2]]
    ae = quick(1, scaling=Columns((0, 3)), likelihood=Mixed((0, 3))).fit(X)
    figures = column_figures(ae, X)
    assert [each.name for each in figures.columns] == ["column 0", "column 1"]
    assert figures["column 1"].reconstruction.accuracy == (ae.reconstruct(X)[:, 1] == X[:, 1]).mean()
    known = table_columns(ae)
    assert known is not None
    assert [each.kind for each in known.columns] == ["number", "category"]


def test_other_data_have_no_columns() -> None:
    X = rng.normal(size=(40, 3))
    ae = quick(1, epochs=1).fit(X)
    assert evaluate(ae, X).by_column is None
    with pytest.raises(NotPossibleError, match="need an autoencoder of a table whose columns have names: fit one to"):
        column_figures(ae, X)


def test_labels_are_predicted_from_pca_of_the_table(fitted: Autoencoder) -> None:
    labels = evaluate(fitted, TEST, KIND[200:], train=TRAIN, train_labels=KIND[:200]).labels
    assert labels is not None
    assert labels.linear_probe_pca is not None
    assert labels.linear_probe_pca > labels.most_frequent + 0.2


def test_a_target_is_what_columns_are_compared_with(fitted: Autoencoder) -> None:
    target = FRAME.iloc[200:]
    found = evaluate(fitted, TEST, target=target)
    made = fitted.reconstruct(TEST)
    assert by_column(found)["kind"].reconstruction.accuracy == (made["kind"] == target["kind"]).mean()
    assert found.restoration is not None
    assert found.restoration.ridge is None
    assert found.restoration.input.column_error is not None
    assert 0 < found.restoration.input.column_error < found.errors.error


def test_one_row_gives_no_advice_on_errors_that_do_not_exist() -> None:
    """All its columns are constant, and a constant has no error."""
    frame = pd.DataFrame({"a": np.arange(12.0), "k": ["x", "y"] * 6})
    ae = Autoencoder(1, epochs=1, random_state=0, kinds={"a": "integer", "k": "category"}).fit(frame)
    texts = [each.text for each in evaluate(ae, frame[:1], train=frame).advice]
    assert not any("nan" in text for text in texts)
