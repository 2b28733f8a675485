"""The inputs of exported models: frames, arrays and labels of any kind mean what the live model takes them for, or get a sentence."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
import scipy.sparse

from isthmus.errors import DataError
from isthmus.runtime.columns import as_table
from isthmus.runtime.inputs import checked_inputs
from isthmus.runtime.manifest import Port

NUMBERS = (Port("X", "float64", (3,)),)
FRAME = pd.DataFrame({"a": [1.0, 2], "b": [3.0, 4], "c": [5.0, 6]})


def given(ports: Any, X: Any, y: Any = None, **options: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The checked inputs, with warnings as errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return checked_inputs(
            ports, X, y, **{"missing": False, "note": pytest.fail, "features": ("a", "b", "c")} | options
        )


@pytest.mark.parametrize(
    "table",
    [
        FRAME[["c", "a", "b"]],
        FRAME.convert_dtypes(),
        polars.DataFrame(FRAME[["b", "c", "a"]]),
        pyarrow.table(FRAME[["c", "b", "a"]].to_dict("list")),
        {name: FRAME[name].to_numpy() for name in "cab"},
        FRAME.to_numpy(),
        scipy.sparse.coo_matrix(FRAME.to_numpy()),
        FRAME.to_numpy().astype(object),
    ],
    ids=["pandas", "nullable", "polars", "pyarrow", "dictionary", "array", "sparse", "objects"],
)
def test_the_columns_of_a_table_of_numbers_are_found_by_name(table: Any) -> None:
    assert np.array_equal(given(NUMBERS, table)["X"], FRAME.to_numpy())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (FRAME.rename(columns={"a": "d"}), "no column a, which the training data had"),
        (FRAME.assign(d=1.0), "has the column d, which the training data did not have"),
        (FRAME.assign(b=None), "column 'b' has missing values, and the model allows none"),
        (FRAME.assign(b="many"), "column 'b' holds values that are no numbers"),
        (FRAME[:0], "no rows"),
        (np.ma.masked_less(FRAME.to_numpy(), 2), r"value at \(0, 0\) is nan, which the model does not allow"),
        ([[1.0], [1.0, 2.0]], "different lengths"),
    ],
)
def test_a_table_of_other_columns_is_an_error(table: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        given(NUMBERS, table)


def test_hidden_and_absent_values_are_missing() -> None:
    gaps = FRAME.convert_dtypes()
    gaps.loc[1, "b"] = pd.NA
    for table in (gaps, np.ma.masked_equal(FRAME.to_numpy(), 4), {**FRAME, "b": np.ma.masked_equal(FRAME["b"], 4)}):
        assert np.array_equal(given(NUMBERS, table, missing=True)["X"], [[1, 3, 5], [2, np.nan, 6]], equal_nan=True)


@pytest.mark.parametrize("X", [np.zeros((2, 2)), None, [{"day": 1}, {"day": 2}]])
def test_what_is_no_table_is_an_error(X: Any) -> None:
    with pytest.raises(DataError, match="the model takes a table: pass a frame, or a dictionary of columns"):
        given([Port("day", "int64", (), "day", "date")], X)


DAYS = pd.Series(pd.to_datetime(["2020-01-01 12:00", "2020-07-01 12:00"]))
ZONED = DAYS.dt.tz_localize("Europe/Berlin")
MOMENTS = [1577876400000000, 1593597600000000]  # 11 and 10 o'clock of UTC


@pytest.mark.parametrize(
    "days",
    [
        ZONED,
        polars.Series(ZONED),
        pyarrow.chunked_array([pyarrow.array(ZONED)]),
        ["2020-01-01T12:00:00+01:00", "2020-07-01T10:00:00Z"],
        ZONED.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(),
    ],
    ids=["pandas", "polars", "pyarrow", "text", "array"],
)
def test_dates_with_a_zone_are_moments_of_utc(days: Any) -> None:
    zoned, plain = (Port("day", "int64", (), "day", "date", zone=zone) for zone in ("Europe/Berlin", ""))
    assert given([zoned], {"day": days})["day"].tolist() == MOMENTS
    if not isinstance(days, np.ndarray):  # it cannot state a zone
        with pytest.raises(DataError, match="column 'day' has a time zone, unlike in the training data"):
            given([plain], {"day": days})
    with pytest.raises(DataError, match="column 'day' has no time zone, unlike in the training data"):
        given([zoned], {"day": DAYS})
    assert given([plain], {"day": DAYS})["day"].tolist() == DAYS.astype("datetime64[us]").astype(np.int64).tolist()


def test_reconstructed_dates_have_their_zone() -> None:
    port = Port("reconstruction.day", "int64", (), "day", "date", zone="Europe/Berlin")
    for frame in (pd.DataFrame({"day": ZONED}), polars.DataFrame({"day": ZONED})):
        assert list(as_table(frame, [port], [np.array(MOMENTS)])["day"]) == list(frame["day"])


def test_categories_that_are_numbers_are_checked() -> None:
    large = 2**60  # float64 does not tell it from the next number
    port = Port("n", "int64", (), "n", "category", (str(large), str(large + 1)))
    assert given([port], {"n": np.array([large + 1, large])})["n"].tolist() == [large + 1, large]
    with pytest.raises(DataError, match="column 'n' has the category 3, which training did not have"):
        given([port], {"n": [large, 3]})
    notes = list[str]()
    port = Port("n", "float64", (), "n", "category", ("0.5", "2"))
    found = given([port], {"n": [0.5, 2, 3, np.nan]}, missing=True, note=notes.append)["n"]
    assert np.array_equal(found, [0.5, 2, np.nan, np.nan], equal_nan=True)
    assert notes == ["column 'n' has categories that training did not have, taken as missing: 3.0"]


def test_a_missing_text_is_not_the_empty_category() -> None:
    port = Port("c", "string", (), "c", "category", ("", "b"))
    assert given([port], {"c": ["b", ""]})["c"].tolist() == ["b", ""]
    with pytest.raises(DataError, match="column 'c' has missing values"):
        given([port], {"c": ["b", None]})


@pytest.mark.parametrize(
    ("port", "y", "message"),
    [
        (
            Port("y", "int64", (), labels=("5", "6")),
            [5.7, 5],
            r"y has the label 5\.7, which the training data did not have",
        ),
        (Port("y", "int64", (), labels=("5", "6")), [5, 9], "y has the label 9, which the training data did not have"),
        (Port("y", "int64", ()), [5.7, 5], "no whole numbers"),  # of a folder that does not name the labels
        (Port("y", "int64", (), labels=("5", "6")), ["a", "b"], "missing, infinite or no numbers"),
        (Port("y", "float64", (2,)), [1.0, 2.0], r"y has the shape \(\) for each example, and the model takes \(2,\)"),
        (Port("y", "float64", (1,)), [1.0, np.nan], "missing, infinite or no numbers"),
        (Port("y", "float64", (1,)), [1.0], "y has 1 entries for 2 examples"),
    ],
)
def test_conditions_that_do_not_fit_are_errors(port: Port, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        given([*NUMBERS, port], FRAME, y)


@pytest.mark.parametrize("y", [[6, 5], np.array([6.0, 5.0]), pd.array([6, 5], "Int64"), polars.Series([6, 5])])
def test_conditions_have_the_type_of_the_model(y: Any) -> None:
    found = given([*NUMBERS, Port("y", "int64", (), labels=("5", "6"))], FRAME, y)["y"]
    assert found.dtype == np.int64
    assert found.tolist() == [6, 5]
