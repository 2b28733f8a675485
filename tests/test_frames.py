"""Frames and other containers: dates and names are noticed alike in all of them, and what holds no examples is named."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

import isthmus
from isthmus import Autoencoder, compare, evaluate, plots
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.data import as_examples, load, read
from isthmus.errors import DataError, IsthmusWarning

X = np.random.default_rng(0).normal(size=(20, 3))
DAY, NOON, HOUR = (
    datetime.date(2020, 1, 2),
    datetime.datetime(2020, 1, 2, 12, tzinfo=datetime.UTC),
    datetime.timedelta(hours=1),
)


def quick() -> Autoencoder:
    """An autoencoder that is fitted in a moment."""
    return Autoencoder(Identity(2), architecture=MLP(()), epochs=1, random_state=0)


# --- what is no number ------------------------------------------------------------------------------------------------


def of(value: Any, dtype: Any = object) -> Any:
    """An array with the value in row 1, column 1."""
    made = np.ones((3, 2), dtype)
    made[:, 1] = value
    made[0, 1] = np.datetime64("NaT") if made.dtype.kind == "M" else made[0, 1]
    return made


MOMENTS: dict[str, Callable[[Any], Any]] = {
    "pandas": lambda values: pd.DataFrame({"a": [1.5, 2, 3], "when": values}),
    "pandas objects": lambda values: pd.DataFrame({"a": [1.5, 2, 3], "when": pd.Series(values, dtype=object)}),
    "pandas alone": lambda values: pd.DataFrame({"when": values}),
    "pandas of pyarrow": lambda values: pa.table({"a": [1.5, 2, 3], "when": values}).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda values: pl.DataFrame({"a": [1.5, 2, 3], "when": values}),
    "polars alone": lambda values: pl.DataFrame({"when": values}),
    "pyarrow": lambda values: pa.table({"a": [1.5, 2, 3], "when": values}),
    "pyarrow batch": lambda values: pa.RecordBatch.from_pydict({"a": [1.5, 2, 3], "when": values}),
}  # fmt: skip


@pytest.mark.promise(16)
@pytest.mark.parametrize("container", MOMENTS)
@pytest.mark.parametrize(
    "value", [DAY, NOON.replace(tzinfo=None), NOON], ids=["dates", "datetimes", "with a time zone"]
)
def test_dates_are_days_since_1970_in_every_data_frame(container: str, value: Any) -> None:
    examples = as_examples(MOMENTS[container]([value] * 3))
    assert examples.table is not None
    assert examples.columns is not None
    noon = 0.5 if isinstance(value, datetime.datetime) else 0.0
    assert examples.values[:, examples.columns.index("when")].tolist() == [18_263 + noon] * 3


@pytest.mark.promise(16)
@pytest.mark.parametrize("container", MOMENTS)
@pytest.mark.parametrize(
    ("value", "reason"), [(HOUR, "durations"), (NOON.time(), "times of day")], ids=["durations", "times"]
)
def test_times_and_durations_are_left_out_with_a_word(container: str, value: Any, reason: str) -> None:
    frame = MOMENTS[container]([value] * 3)
    if "alone" in container:
        with pytest.raises(DataError, match=rf"^no column of the table can be learned: when \({reason}\)"):
            as_examples(frame)
        return
    with pytest.warns(IsthmusWarning, match=rf"1 left out: when \({reason}\); if one is wrong, give its kind"):
        examples = as_examples(frame)
    assert examples.values.tolist() == [[1.5], [2], [3]]


@pytest.mark.promise(16)
@pytest.mark.parametrize(
    ("given", "what"),
    [
        (np.full((3, 2), DAY, "M8[D]"), "dates"),
        (np.full((3, 2), DAY, "M8[ns]"), "dates"),
        (np.ones((3, 2), "m8[h]"), "durations"),
        (of(np.datetime64(DAY)), "dates"),
        (of(np.datetime64(DAY, "ns")), "dates"),
        (of(np.datetime64("NaT")), "dates"),
        (of(np.timedelta64(3, "h")), "durations"),
        (of(pd.Timestamp(DAY)), "dates"),
        (of(pd.NaT), "dates"),
        (of(pd.Period("2020")), "dates"),
        (of(DAY), "dates"),
        (of(HOUR), "durations"),
        ([[np.datetime64(DAY), 1.5]] * 3, "dates"),
        ([[1.5, DAY]] * 3, "dates"),
        (np.full((3, 2, 2), DAY, "M8[D]"), "dates"),
    ],
)
def test_dates_are_refused_in_every_array(given: Any, what: str) -> None:
    with pytest.raises(
        DataError, match=rf"^X holds {what}: row 0, .* is .*; convert them to numbers or leave the column"
    ):
        as_examples(given)


@pytest.mark.parametrize("container", ["pandas", "polars", "pyarrow"])
def test_what_columns_were_taken_for_is_a_warning_and_kinds_change_it(container: str) -> None:
    columns = {"a": [1.5, 2, 3], "when": [DAY] * 3, "it's": ["u", "v", "u"], "b": [4, 5, 6]}
    given = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}[container](columns)
    said = "^4 columns: 1 number, 1 date, 1 category (it's: 2), 1 integer; if one is wrong, give its kind"
    with pytest.warns(IsthmusWarning, match=re.escape(said).replace("\\^", "^")):
        examples = as_examples(given)
    assert examples.values.tolist() == [[1.5, 18_263, 0, 4], [2, 18_263, 1, 5], [3, 18_263, 0, 6]]
    left = as_examples(given, kinds={"when": "number" if container == "none" else "date", "it's": "category"})
    assert left.table is not None
    assert left.table.note() == ""
    left = as_examples(given, kinds={"when": "drop", "it's": "drop"})
    assert left.columns == ("a", "b")
    assert left.values.tolist() == [[1.5, 4], [2, 5], [3, 6]]


@pytest.mark.parametrize("container", ["pandas", "polars", "pyarrow"])
def test_columns_of_a_frame_are_chosen_as_those_of_a_file(container: str, tmp_path: Path) -> None:
    columns = {
        "g_1": [1.0, 2, 3],
        "when": [DAY] * 3,
        "name": ["02", "b", "c"],
        "kind": ["u", None, "v"],
        "g_2": [4, 5, None],
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "x.parquet")
    given = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}[container](columns)
    for options in ({"drop": "when"}, {"columns": "g_*"}, {"drop": ["w*"], "columns": ["g_2", "when", "g_1"]}):
        named = {"id": "name", "labels": "kind", **options}
        found, right = load(given, **named), load(tmp_path / "x.parquet", **named)
        np.testing.assert_array_equal(found.train, right.train)
        assert found.columns == right.columns == ("g_1", "g_2")
        assert found.ids is not None
        assert found.train_labels is not None
        assert found.ids.tolist() == ["02", "b", "c"]
        assert found.train_labels.tolist() == ["u", None, "v"]
        assert (found.id_name, found.label_name, found.kind) == ("name", "kind", "table")
        assert found.notes == right.notes
    for wrong, sentence in (
        ({"drop": "whne"}, "the frame has no column 'whne'"),
        ({"sheet": "x"}, "a frame takes labels=, columns=, drop=, id=, kinds="),
    ):
        with pytest.raises(DataError, match=sentence):
            load(given, **wrong)


@pytest.mark.parametrize(
    "given", [X, {"a": [1]}, pl.LazyFrame({"a": [1]}), None], ids=["array", "dict", "lazy", "None"]
)
def test_objects_that_are_neither_path_nor_data_frame_are_refused(given: Any) -> None:
    for reader in (load, read):
        with pytest.raises(
            DataError, match=f"{type(given).__name__} is neither a path nor a pandas, polars or pyarrow frame"
        ):
            reader(given)


def test_columns_with_integer_names_are_selected_by_name() -> None:
    found = load(pd.DataFrame({7: ["u", "v"], 8: [1, 2], 9: [3, 4]}), labels=7, drop=[8])
    assert (found.columns, found.train.tolist()) == (("9",), [[3], [4]])
    named = as_examples(pd.DataFrame({7: ["u", "v"], 8: [1, 2]}), kinds={"7": "category"})
    assert (named.columns, named.values.tolist()) == (("7", "8"), [[0, 1], [1, 2]])
    with pytest.raises(DataError, match="two columns with the name '7'"):
        load(pd.DataFrame(X, columns=[7, 8, 7]))


# --- names ------------------------------------------------------------------------------------------------------------

TWICE = {
    "pandas": pd.DataFrame(X, columns=list("aba")),
    "numbers": pd.DataFrame(X, columns=[7, 8, 7]),
    "a number and its text": pd.DataFrame(X, columns=[1, "a", "1"]),
    "two levels": pd.DataFrame(X, columns=pd.MultiIndex.from_tuples([("u", 1), ("u", 2), ("u", 1)])),
    "pyarrow": pa.table(list(X.T), names=list("aba")),
}


@pytest.mark.parametrize("kind", TWICE)
def test_a_name_that_comes_twice_is_named_at_fit(kind: str) -> None:
    name = {"pandas": "a", "pyarrow": "a", "numbers": "7", "two levels": "u/1"}.get(kind, "1")
    with pytest.raises(DataError, match=f"two columns with the name '{name}'"):
        quick().fit(TWICE[kind])


def renamed(names: Any) -> Callable[[list[int]], Any]:
    """The columns of a frame in some order."""
    return lambda order: pd.DataFrame(X, columns=names).iloc[:, order]


ORDERED: dict[str, Callable[[list[int]], Any]] = {
    "text": renamed(list("abc")),
    "numbers of columns": renamed(None),
    "numbers": renamed([400, 500, 600]),
    "NumPy numbers": renamed(np.arange(3, dtype=np.int8)),
    "fractions": renamed([0.5, 1.5, 2.5]),
    "text and numbers": renamed(["a", 1, 2]),
    "dates": renamed(pd.date_range("2020", periods=3)),
    "two levels": renamed(pd.MultiIndex.from_product([["u"], [1, 2, 3]])),
    "categories": renamed(pd.CategoricalIndex(list("abc"))),
    "polars": lambda order: pl.DataFrame(X, schema=list("abc")).select([list("abc")[place] for place in order]),
    "pyarrow": lambda order: pa.table(list(X.T), names=list("abc")).select([list("abc")[place] for place in order]),
    "pyarrow batch": lambda order: pa.RecordBatch.from_arrays(list(X.T), names=list("abc")).select(order),
}


@pytest.mark.parametrize("kind", ORDERED)
def test_column_names_of_any_type_in_another_order_are_refused(kind: str, tmp_path: Path) -> None:
    frame = ORDERED[kind]
    ae = quick().fit(frame([0, 1, 2]))
    ae.save(tmp_path / "ae")
    codes = quick().fit(X).encode(X)
    for known in (ae, isthmus.load(tmp_path / "ae")):
        np.testing.assert_array_equal(known.encode(frame([0, 1, 2])), codes)
        np.testing.assert_array_equal(known.encode(X), codes)
        with pytest.raises(ValueError, match="names must be in the same order"):
            known.transform(frame([2, 0, 1]))
        with pytest.raises(ValueError, match="yet now missing"):
            known.score_samples(frame([0, 1]))


def test_without_fitted_names_columns_are_taken_by_position() -> None:
    ae = quick().fit(X)
    assert not hasattr(ae, "feature_names_in_")
    np.testing.assert_array_equal(ae.encode(pd.DataFrame(X, columns=[2, 0, 1])), ae.encode(X))


# --- containers -------------------------------------------------------------------------------------------------------

VALUES = np.array([[0.0, 1], [1, 0], [4, 1]])

RIGHT = {
    "nullable": pd.DataFrame({"a": pd.array([0, 1, 4], "Int64"), "b": pd.array([True, False, True], "boolean")}),
    "of pyarrow": pd.DataFrame({"a": pd.array([0, 1, 4], "int8[pyarrow]"), "b": pd.array([1.0, 0, 1], "double[pyarrow]")}),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 1, 4]), "b": pd.arrays.SparseArray([1, 0, 1])}),
    "one index": pd.DataFrame(VALUES, index=[0, 0, 0], columns=["a", "b"]),
    "pyarrow": pa.table({"a": [0, 1, 4], "b": [True, False, True]}),
    "pyarrow parts": pa.concat_tables([pa.table({"a": [0], "b": [1.0]}), pa.table({"a": [1, 4], "b": [0.0, 1]})]),
    "pyarrow batch": pa.RecordBatch.from_pydict({"a": [0, 1, 4], "b": [1, 0, 1]}),
    "decimals": pl.DataFrame({"a": [0, 1, 4], "b": pl.Series([1.0, 0, 1]).cast(pl.Decimal(5, 2))}),
}  # fmt: skip


@pytest.mark.parametrize("kind", RIGHT)
def test_data_frames_of_every_library_give_the_same_values(kind: str) -> None:
    examples = as_examples(RIGHT[kind])
    np.testing.assert_array_equal(examples.values, VALUES)
    assert examples.columns == ("a", "b")


@pytest.mark.parametrize(
    "given",
    [
        pa.table({"a": [1, 2], "b": [1, None]}),
        pd.DataFrame({"a": [1, 2], "b": pd.array([1, None], "int64[pyarrow]")}),
        pd.DataFrame({"a": [1, 2], "b": pd.Categorical([1, None])}),
        pd.DataFrame({"a": [1, 2], "b": pd.arrays.SparseArray([1, np.nan])}),
        [np.ma.masked_array([1.0, 2], [0, 0]), np.ma.masked_array([1.0, 2], [0, 1])],
    ],
    ids=["pyarrow", "of pyarrow", "categories", "sparse", "masked rows"],
)
def test_a_missing_value_is_missing_in_every_container(given: Any) -> None:
    assert np.isnan(as_examples(given, missing="allow").values).tolist() == [[False, False], [False, True]]
    with pytest.raises(DataError, match="NaN: row 1, column 1"):
        as_examples(given)


class Rows(IterableDataset):  # type: ignore[type-arg]
    """Examples one after another."""

    def __iter__(self) -> Any:
        yield from torch.tensor(X)


class Own:
    """What NumPy asks for an array."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.given


y = np.arange(20)
PAIRS = TensorDataset(torch.tensor(X), torch.tensor(y))
NONSENSE: dict[str, tuple[Any, str]] = {
    "(X, y)": ((X, y), r"tuple of two arrays, .*pass the examples alone, X\[0\]"),
    "[X, y]": ([X, y], r"list of two arrays, .*pass the examples alone, X\[0\]"),
    "tensors": ((torch.tensor(X), torch.tensor(y)), r"tuple of two arrays, .*X\[0\]"),
    "a column of labels": ((X, y[:, None]), r"two arrays, .*X\[0\]"),
    "a list of labels": ((X, y.tolist()), r"tuple of two arrays, of shapes \(20, 3\) and \(20,\): .*X\[0\]"),
    "a series of labels": ((X, pd.Series(y)), r"tuple of two arrays, .*X\[0\]"),
    "two parts": ([X, X[:5]], r"list of two arrays, .*X\[0\]"),
    "target is input": ((X, X), r"two arrays, .*np\.stack\(X\) if each is one example, np\.concatenate\(X\)"),
    "two parts of one size": ([X, X], r"np\.concatenate\(X\) if both hold some"),
    "a column and labels": ((X[:, 0], y), r"tuple of two arrays, of shapes \(20,\) and \(20,\): .*column_stack\(X\)"),
    "a series and labels": ((pd.Series(X[:, 0]), y), r"two arrays, .*np\.stack\(X\) if each is one example"),
    "masked": ([np.ma.masked_array(X), np.ma.masked_array(X)], "two arrays"),
    "frames": ((pd.DataFrame(X), pd.Series(y)), "tuple that holds data frames: pass one frame"),
    "two frames": ([pd.DataFrame(X), pd.DataFrame(X)], "list that holds data frames"),
    "rows with labels": ([(row, 1) for row in X], "alone, without labels"),
    "TensorDataset": (PAIRS, r"TensorDataset: .*X\.tensors\[0\]"),
    "TensorDataset without labels": (TensorDataset(torch.tensor(X)), r"TensorDataset: .*X\.tensors\[0\]"),
    "Subset": (Subset(PAIRS, range(5)), r"torch\.stack\(\[x for x, label in X\]\)"),
    "IterableDataset": (Rows(), r"torch\.stack\(list\(X\)\)"),
    "DataLoader": (DataLoader(PAIRS, batch_size=4), r"torch\.cat\(\[x for x, label in X\]\)"),
    "generator": ((row for row in X), "generator, which has no order or no length"),
    "set": ({1.0, 2.0}, "set, which has no order"),
    "path": (Path("x.csv"), r"isthmus\.data\.read\(X\)\.train"),
    "text": ("x.csv", r"isthmus\.data\.read\(X\)\.train"),
    "mapping": ({"X": X, "y": y}, r"dict that holds 'X', 'y': pass the array of the examples alone"),
    "nothing": (None, "NoneType: pass an array"),
    "fields": (
        np.zeros(20, [("a", float), ("b", int)]),
        r"structured array with the fields 'a', 'b': .*_unstructured\(X\)$",
    ),
    "sparse tensor": (torch.tensor(X).to_sparse(), r"sparse tensor: pass X\.to_dense\(\)"),
    "lists in pyarrow": (
        pa.table({"a": range(20), "b": [[1, 2]] * 20}),
        r"column 'b' holds a list<.*in each row: expand it into columns of numbers, or leave it out, kinds={'b': 'drop'}$",
    ),
    "lists in pandas": (
        pd.DataFrame({"a": range(20), "b": [[1, 2]] * 20}),
        r"column 'b' holds a .*list<.*in each row: expand it",
    ),
    "lists in polars": (
        pl.DataFrame({"a": range(20), "b": [[1, 2]] * 20}),
        r"column 'b' holds a .*list<.*in each row: expand it",
    ),
    "an array of its own": (Own("x"), "Own that gives no array"),
}


@pytest.mark.promise(16)
@pytest.mark.parametrize("kind", NONSENSE)
def test_arguments_without_examples_are_refused_with_advice(kind: str) -> None:
    given, sentence = NONSENSE[kind]
    with pytest.raises(DataError, match=sentence):
        quick().fit(given)


def test_the_error_for_an_npz_object_says_what_to_pass(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", X=X, y=y)
    with np.load(tmp_path / "x.npz") as opened, pytest.raises(DataError, match="NpzFile that holds 'X', 'y'"):
        as_examples(opened)


def test_a_list_of_two_examples_is_accepted_where_their_shape_is_fitted() -> None:
    images = np.random.default_rng(0).normal(size=(30, 4, 3))
    ae = quick().fit(images)
    for count in (1, 2, 3):
        np.testing.assert_array_equal(ae.encode(list(images[:count])), ae.encode(images[:count]))
    with pytest.raises(DataError, match="two arrays"):
        ae.encode([images, images])
    assert as_examples(list(X[:2]), shape=(3,)).values.shape == (2, 3)


DOUBTED: dict[str, tuple[Any, str]] = {
    "two columns": ([X[:, 0], X[:, 1]], r"list of two arrays, of shapes \(20,\) and \(20,\): each is used as one"),
    "two tensors": (list(torch.tensor(X[:2])), r"two arrays, .*np\.column_stack\(X\) if each is one column of all$"),
    "folds": (np.split(X[:18], 3), r"list of 3 arrays of shape \(6, 3\): .*np\.concatenate\(X\) if each holds some$"),
    "parts of a tuple": ((X, X, X), r"tuple of 3 arrays of shape \(20, 3\): each is used as one example"),
    "pictures of parts": ([np.zeros((9, 4, 5), np.uint8)] * 3, r"list of 3 arrays of shape \(9, 4, 5\)"),
    "tensors": ([torch.tensor(X)] * 3, r"list of 3 arrays of shape \(20, 3\)"),
    "three columns": (
        list(X.T),
        r"list of 3 arrays of shape \(20,\): .*np\.column_stack\(X\) if each is one column of all$",
    ),
}


@pytest.mark.promise(16)
@pytest.mark.parametrize("kind", DOUBTED)
def test_lists_of_arrays_that_may_be_columns_warn(kind: str) -> None:
    """They are taken as scikit-learn takes them, one example each; stacked by the user, they say it themselves."""
    given, sentence = DOUBTED[kind]
    with pytest.warns(IsthmusWarning, match=sentence) as caught:
        examples = as_examples(given)
    assert len(caught) == 1
    np.testing.assert_array_equal(examples.values, np.stack([np.asarray(each) for each in given]))
    as_examples(np.stack([np.asarray(each) for each in given]))
    as_examples(given, shape=examples.values.shape[1:])


@pytest.mark.parametrize("count", [2, 3, 12])
def test_lists_of_series_warn_for_every_length(count: int) -> None:
    frame = pd.DataFrame(
        np.zeros((20, count)), index=pd.date_range("2020", periods=20), columns=list("abcdefghijkl")[:count]
    )
    for given in ([frame[name] for name in frame], [*pl.DataFrame(dict(frame))]):
        with pytest.warns(
            IsthmusWarning, match=r"arrays? of shape.*\(20,\).*: each is used as one example; .*column_stack"
        ):
            assert as_examples(given, shape=(20,)).values.shape == (count, 20)
        with pytest.warns(IsthmusWarning, match="column_stack"):
            as_examples(given)
    rows = frame.T  # whose rows have the names of the columns, and are examples
    rows.columns = [f"n{each}" for each in range(20)]
    assert as_examples([rows.iloc[each] for each in range(count)], shape=(20,)).values.shape == (count, 20)


RGB = [np.full((8, 9, 3), each, np.uint8) for each in range(4)]


@pytest.mark.parametrize(
    "given",
    [
        X.tolist(),
        list(X),
        tuple(X[:3]),
        [[1.0, 2.0], [3.0, 4.0]],
        ([1.0, 2.0], [3.0, 4.0]),
        [[[1.0, 2.0]] * 4] * 3,
        RGB,
        [each[..., 0] for each in RGB],
        list(np.zeros((40, 28, 6))),
        list(torch.zeros(12, 20, 2)),
        [np.zeros((2, 50))] * 3,
    ],
    ids=[
        "lists",
        "rows",
        "three rows",
        "two lists",
        "two tuples",
        "nested",
        "colors",
        "gray",
        "windows",
        "tensors",
        "short",
    ],
)
def test_lists_of_examples_do_not_warn(given: Any) -> None:
    assert len(as_examples(given).values) == len(given)


def test_unused_arrays_of_an_npz_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x_train=X, y_train=y, x_more=X, mask=y)
    assert read(path).notes == (f"not used: 2 of the arrays in {path} (x_more, mask); used: x_train, y_train",)
    np.savez(path, x_train=X, y_train=y, x_valid=X, mask=y)
    assert read(path).notes == (
        f"not used: 1 of the arrays in {path} (mask); used: x_train, y_train, x_valid",
        f"x_valid in {path} is used as the test part",
    )
    np.savez(tmp_path / "y.npz", x=X, y=y)
    assert not read(tmp_path / "y.npz").notes


@pytest.mark.thorough
def test_short_lists_of_examples_do_not_warn_after_fit() -> None:
    """Verbs of the package know the shape of an example, and pictures look at the first of many."""
    images = list(np.random.default_rng(0).normal(size=(30, 9, 3)))
    ae = quick().fit(np.stack(images))
    for few in (images[:2], images[:5]):
        ae.score(few)
        evaluate(ae, few)
        compare([ae, ae], few)
        plots.reconstructions(ae, few)
    plots.reconstructions(ae, images, n=4)


@pytest.mark.parametrize("dtype", ["Int64", "float64", "string", "datetime64[us]"])
def test_a_row_without_an_id_has_an_empty_one(dtype: str, tmp_path: Path) -> None:
    keys = pd.Series([1, None, 3]).astype("Int64").astype(dtype)
    frame = pd.DataFrame({"key": keys, "a": [0.5, 1.5, 2.0]})
    frame.to_parquet(tmp_path / "t.parquet")
    for found in (load(frame, id="key"), read(tmp_path / "t.parquet", id="key")):
        assert found.ids is not None
        assert [each == "" for each in found.ids] == [False, True, False]
