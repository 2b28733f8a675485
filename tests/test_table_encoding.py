"""Columns of any kind become features and come back as they were, in every library; what a kind was taken for is said."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
from pydantic import ValidationError

from isthmus.data.tables.frame_columns import arrow_columns
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.errors import DataError, RecordError

N = 120
rng = np.random.default_rng(0)
DAYS = np.datetime64("2020-01-01") + rng.integers(0, 1500, N)


def frame() -> pd.DataFrame:
    """A column of each kind and type."""
    made = pd.DataFrame(
        {
            "price": rng.exponential(100, N).round(2),
            "narrow": rng.normal(size=N).astype(np.float32),
            "rooms": rng.integers(1, 6, N),
            "floor": rng.integers(0, 9, N).astype(np.int8),
            "age": pd.array(np.where(rng.random(N) < 0.1, None, rng.integers(0, 90, N)), dtype="Int64"),
            "gaps": np.where(rng.random(N) < 0.1, np.nan, rng.normal(size=N)),
            "region": rng.choice(["NO", "SE", "DK"], N),
            "code": pd.Categorical(rng.choice([10, 20], N)),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], N), ["S", "M", "L"], ordered=True),
            "sold": DAYS.astype("datetime64[us]"),
            "seen": pd.to_datetime("2024-01-01", utc=True) + pd.to_timedelta(rng.integers(0, 10**6, N), "s"),
            "day": [str(each) for each in DAYS],
            "minute": [f"{each} 12:3{number % 10}:00" for number, each in enumerate(DAYS)],
            "new": rng.random(N) < 0.5,
            "maybe": pd.array(np.where(rng.random(N) < 0.1, None, rng.random(N) < 0.5), dtype="boolean"),
        },
        index=[f"row {number}" for number in range(N)],
    )
    made.loc["row 3", "region"] = None
    return made


FRAME = frame()
POLARS = pl.from_pandas(FRAME.reset_index(drop=True)).with_columns(
    pl.col("region").cast(pl.Categorical),
    pl.col("day").str.to_date(),
    pl.Series("one of", rng.choice(["a", "b"], N), dtype=pl.Enum(["b", "a"])),
)


def test_every_type_of_pandas_comes_back() -> None:
    encoding, values = TableEncoding.fit_encode(FRAME)
    assert values.shape == (N, len(encoding.features))
    pd.testing.assert_frame_equal(encoding.decode(values, FRAME), FRAME)
    some = FRAME.iloc[5:9]
    pd.testing.assert_frame_equal(encoding.decode(encoding.encode(some).values, some), some)


def test_every_type_of_polars_comes_back() -> None:
    encoding, values = TableEncoding.fit_encode(POLARS)
    polars.testing.assert_frame_equal(encoding.decode(values), POLARS)


def test_every_type_of_pyarrow_comes_back() -> None:
    table = POLARS.drop("region", "one of", "size").to_arrow()
    encoding, values = TableEncoding.fit_encode(table)
    assert encoding.decode(values).equals(table)
    assert np.array_equal(encoding.encode(table.to_batches()[0]).values, values, equal_nan=True)


def test_libraries_give_the_same_features() -> None:
    plain = FRAME.drop(columns=["day", "minute", "code", "size"]).reset_index(drop=True)
    of_pandas, of_polars = (TableEncoding.fit_encode(each) for each in (plain, pl.from_pandas(plain)))
    assert of_pandas[0].columns[:-1] == of_polars[0].columns[:-1]
    assert np.array_equal(of_pandas[1], of_polars[1], equal_nan=True)


def test_features_are_numbers_codes_days_and_the_phases_of_cycles() -> None:
    when = pd.to_datetime(["2020-01-06 06:00", "2022-07-01 18:00", "2020-01-08 00:00"])
    table = pd.DataFrame({"x": [1.5, 2.5, np.nan], "kind": ["b", "a", "b"], "when": when, "ok": [True, False, True]})
    encoding, values = TableEncoding.fit_encode(table)
    assert encoding.features == (
        "x",
        "kind",
        "when",
        *(f"when ({axis} of the {cycle})" for cycle in ("year", "week", "day") for axis in ("sine", "cosine")),
        "ok",
    )
    assert encoding.classes == (0, 2, *[0] * 7, 2)
    days = np.array([18_267.25, 19_174.75, 18_269.0])
    np.testing.assert_array_equal(values[:, :3], np.stack([[1.5, 2.5, np.nan], [1, 0, 1], days], axis=1))
    np.testing.assert_allclose(values[:, 7], np.sin(2 * np.pi * days), atol=1e-9)
    np.testing.assert_allclose(values[:, 6], np.cos(2 * np.pi * days / 7), atol=1e-9)
    assert values[:, 9].tolist() == [1, 0, 1]


@pytest.mark.parametrize(("frequency", "cycle"), [("7D", "week"), ("1D", "day")])
def test_a_phase_that_does_not_change_is_constant_to_the_last_bit(frequency: str, cycle: str) -> None:
    when = pd.date_range("1990-01-02 08:20", periods=900, freq=frequency)
    encoding, values = TableEncoding.fit_encode(pd.DataFrame({"when": when, "x": np.arange(900.0)}))
    phases = [values[:, place] for place, name in enumerate(encoding.features) if f"of the {cycle})" in name]
    assert [len(set(phase)) for phase in phases] == [1, 1]


@pytest.mark.parametrize("time", ["", " 00:00:00", "T00:00:00", "T00:00:00Z"])
def test_texts_that_are_always_midnight_are_days_and_keep_their_layout(time: str) -> None:
    days = pd.date_range("2020-01-01", periods=N, freq="9D").strftime("%Y-%m-%d")
    table = pd.DataFrame({"when": [f"{day}{time}" for day in days], "ok": [True, False] * (N // 2)})
    encoding, values = TableEncoding.fit_encode(table)
    assert [name for name in encoding.features if "of the day" in name] == []
    between = values + np.array([0.3, *[0] * (values.shape[1] - 1)])
    pd.testing.assert_frame_equal(encoding.decode(between, table)[:-1], table[:-1])
    assert TableEncoding.model_validate_json(encoding.model_dump_json()) == encoding


def test_decoded_values_are_of_their_kind_and_within_the_range() -> None:
    encoding, values = TableEncoding.fit_encode(FRAME)
    wild = encoding.decode(np.nan_to_num(values) * 3 - 50, FRAME)
    assert wild["price"].min() == FRAME["price"].min()
    assert set(wild["rooms"]) <= set(range(1, 6))
    assert (wild.dtypes == FRAME.dtypes).all()
    assert set(wild["region"]) <= {"NO", "SE", "DK"}
    assert wild["sold"].between(FRAME["sold"].min(), FRAME["sold"].max()).all()
    assert (wild["sold"] == wild["sold"].dt.normalize()).all()  # the data state days
    between = encoding.decode(np.nan_to_num(values) + 0.4, FRAME)
    assert (between["rooms"] == FRAME["rooms"]).all()


def test_decoded_numbers_have_the_decimals_of_the_data() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"price": np.round(rng.normal(50, 9, 40), 2), "length": rng.normal(size=40), "steps": np.arange(40.0)}
    )
    frame.loc[3, "price"] = None
    encoding, values = TableEncoding.fit_encode(frame, {"steps": "number"})
    assert [column.decimals for column in encoding.columns] == [2, None, None]
    shifted = encoding.decode(np.nan_to_num(values) + 0.123456, frame)
    assert (shifted["price"].round(2) == shifted["price"]).all()
    assert np.allclose(shifted["length"], np.clip(values[:, 1] + 0.123456, values[:, 1].min(), values[:, 1].max()))
    assert not (shifted["steps"] == shifted["steps"].round()).all()
    assert TableEncoding.fit(frame.iloc[:9]).columns[0].decimals is None  # nine values are no evidence


KINDS: dict[str, tuple[Any, str]] = {
    "id": ([f"x{number}" for number in range(N)], "1 left out: id (unique)"),
    "note": ([f"text {number % 60}" for number in range(N)], "1 left out: note (free text: 60 different values)"),
    "few": ([f"text {number % 20}" for number in range(N)], "1 category (few: 20)"),
    "typed": ([f"{number / 4:.2f}" for number in range(N)], "1 left out: typed (numbers as text)"),
    "german": (
        [f"{1 + number % 28}.{1 + number // 28 % 12}.2020" for number in range(N)],
        "1 left out: german (dates in another form than 2024-12-31)",
    ),
    "empty": ([None] * N, "1 left out: empty (empty)"),
    "blank": (["", *["a", "b"] * (N // 2 - 1), "a"], "1 category (blank: 3)"),
    "day": ([datetime.date(2020, 1, 1 + number % 9) for number in range(N)], "1 date"),
    "iso": ([f"2020-01-0{1 + number % 9}" for number in range(N)], "1 date"),
    "near": ([f"2020-13-0{1 + number % 9}x" for number in range(N)], "1 category (near: 9)"),
    "whole": ([1.0, 2.0, np.nan] * (N // 3), "1 integer"),
    "flags": ([True, False] * (N // 2), "1 boolean"),
    "level": (
        pd.Categorical(["low", "high"] * (N // 2), ["low", "high"], ordered=True),
        "1 ordered category (level: 2)",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_a_column_is_said(name: str) -> None:
    values, words = KINDS[name]
    encoding = TableEncoding.fit(pd.DataFrame({"x": rng.normal(size=N), name: values}))
    assert encoding.summary() == f"2 columns: 1 number, {words}"


def test_a_note_is_written_only_about_guesses() -> None:
    typed = pd.DataFrame(
        {"x": [0.5, 1.5], "kind": pd.Categorical(["a", "b"]), "when": pd.to_datetime(["2020", "2021"])}
    )
    assert TableEncoding.fit(typed).note() == ""
    text = typed.astype({"kind": str})
    assert TableEncoding.fit(text).note().endswith("if one is wrong, give its kind, such as kinds={'kind': 'drop'}")
    assert TableEncoding.fit(text, {"kind": "category"}).note() == ""


def test_given_kinds_win() -> None:
    table = pd.DataFrame({"zip": [1, 2, 1, 3], "size": ["M", "S", "L", "S"], "note": ["p", "q", "r", "s"], "x": 0.5})
    encoding, values = TableEncoding.fit_encode(table, {"zip": "category", "size": ["S", "M", "L"], "note": "drop"})
    assert encoding.summary() == (
        "4 columns: 1 category (zip: 3), 1 ordered category (size: 3), 1 number, 1 left out: note (as kinds says)"
    )
    assert values.tolist() == [[0, 1, 0.5], [1, 0, 0.5], [0, 2, 0.5], [2, 0, 0.5]]
    assert encoding.classes == (3, 0, 0)
    pd.testing.assert_frame_equal(encoding.decode(values, table), table.drop(columns="note"))


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        ({"zap": "category"}, "kinds names the column 'zap', which the table does not have"),
        ({"zip": "categorical"}, r"invalid kinds\['zip'\]='categorical': expected one of number, integer, .*, drop$"),
        ({"zip": 3}, r"invalid kinds\['zip'\]=3: expected a kind, or a list of different texts or numbers in"),
        ({"zip": ["a", "a"]}, r"invalid kinds\['zip'\]=\['a', 'a'\]: expected a kind, or a list of different"),
        ({"zip": range(3)}, r"invalid kinds\['zip'\]=range\(0, 3\): expected a kind, or a list"),
        ({"zip": [1, True]}, r"invalid kinds\['zip'\]=\[1, True\]: expected a kind, or a list"),
        ({"zip": [None, "a"]}, "expected a kind, or a list"),
    ],
)
def test_a_wrong_kind_is_named(kinds: Any, sentence: str) -> None:
    with pytest.raises(RecordError, match=sentence):
        TableEncoding.fit(pd.DataFrame({"zip": [1, 2], "x": [0.5, 1.5]}), kinds)


@pytest.mark.parametrize(
    ("column", "kind", "sentence"),
    [
        (["a", "b"], "number", "column 'c' holds values that are no numbers"),
        (["a", "b"], "date", "column 'c' holds values that are no dates"),
        ([0.5, 2.0], "boolean", "column 'c' holds other values than true and false"),
        ([1, 2**60], "integer", r"column 'c' holds a whole number beyond 2\^53"),
        ([None, None], "category", "column 'c' has 0 categories"),
        ([1, "a"], "category", "column 'c' holds values of several types: row 1 is 'a', a str, and others are int"),
    ],
)
def test_values_that_are_not_of_their_kind_are_named(column: Any, kind: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        TableEncoding.fit(pd.DataFrame({"c": pd.Series(column, dtype=object), "x": [0.5, 1.5]}), {"c": kind})


def test_other_categories_are_counted_and_missing() -> None:
    encoding = TableEncoding.fit(pd.DataFrame({"kind": ["a", "b"] * 20, "n": pd.Categorical([1, 2] * 20)}))
    found = encoding.encode(pd.DataFrame({"n": [1, 3, 1, 2], "kind": ["b", "c", "c", None], "more": 0}))
    np.testing.assert_array_equal(found.values, [[1, 0], [np.nan, np.nan], [np.nan, 0], [np.nan, 1]])
    assert found.unknown == {"kind": {"'c'": 2}, "n": {"3": 1}}
    assert found.sentence() == "categories that the training data did not have: kind ('c': 2), n (3: 1)"
    with pytest.raises(DataError, match="the table has no column n, which the training data had: add it"):
        encoding.encode(pd.DataFrame({"kind": ["a"]}))


@pytest.mark.parametrize(
    ("column", "kind", "sentence"),
    [
        (np.array([10**14, 10**14 + 86_400] * 20, "M8[s]"), None, "column 'c' holds values that are no dates"),
        ([1980, 1990] * 20, "date", "column 'c' holds int64, which are no dates: convert them"),
        ([0.25, 0.5] * 20, "integer", "column 'c' holds other numbers than whole ones"),
        (
            ["low", "mid", "high", "low"] * 10,
            ["low", "high"],
            "column 'c' holds 'mid', which its categories in kinds do not",
        ),
    ],
    ids=["far dates", "numbers as dates", "fractions", "levels"],
)
def test_nothing_is_read_as_another_value(column: Any, kind: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        TableEncoding.fit(pd.DataFrame({"c": column, "x": 0.5}), None if kind is None else {"c": kind})


def test_time_zones_are_not_mixed() -> None:
    days = pd.Series(pd.date_range("2024-01-01", periods=40))
    zoned = pd.DataFrame({"when": days.dt.tz_localize("Asia/Tokyo"), "x": 0.5})
    encoding, values = TableEncoding.fit_encode(zoned)
    pd.testing.assert_frame_equal(encoding.decode(values, zoned), zoned)
    utc = zoned.assign(when=zoned["when"].dt.tz_convert("UTC"))
    np.testing.assert_array_equal(encoding.encode(utc).values, values)
    with pytest.raises(DataError, match="column 'when' has no time zone, unlike in the training data: convert it"):
        encoding.encode(pd.DataFrame({"when": days, "x": 0.5}))


ODD: dict[str, Any] = {
    "empty text": pd.DataFrame({"c": ["", "Jr", "Sr"] * 20}),
    "half": pd.DataFrame({"c": np.array([0.5, 1.5, 2.5] * 20, np.float16), "k": ["a", "b", "a"] * 20}),
    "large floats": pd.DataFrame({"c": np.arange(1, 61) * 1.7e29, "k": ["a", "b", "a"] * 20}),
    "numbers as names": pd.DataFrame({7: ["a", "b", "a"] * 20, 8: [1.5, 2.5, 3.5] * 20}),
    "two levels of names": pd.DataFrame({("u", "a"): ["a", "b", "a"] * 20, ("u", "b"): [1.5, 2.5, 3.5] * 20}),
    "part numbers": pd.DataFrame({"c": ["0039-59-39", "0040-60-11", "0041-10-01"] * 20}),
    "python objects": pd.DataFrame({"c": pd.Series(["a", "b", "a"] * 20, dtype=object)}),
    "narrow dates": pd.DataFrame({"c": pd.date_range("2020", periods=60).astype("M8[s]"), "k": ["a", "b", "a"] * 20}),
    "polars milliseconds": pl.DataFrame({"c": pl.Series(DAYS[:60]).cast(pl.Datetime("ms")), "k": ["a", "b", "a"] * 20}),
    "polars nanoseconds": pl.DataFrame({"c": pl.Series(DAYS[:60]).cast(pl.Datetime("ns")), "k": ["a", "b", "a"] * 20}),
    "arrow nanoseconds": pa.table({"c": pa.array(DAYS[:60]).cast(pa.timestamp("ns")), "k": ["a", "b", "a"] * 20}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_columns_come_back_too(name: str) -> None:
    table = ODD[name]
    encoding, values = TableEncoding.fit_encode(table)
    made = encoding.decode(values, table)
    if isinstance(table, pd.DataFrame):
        pd.testing.assert_frame_equal(made, table)
    else:
        assert made.equals(table)


@pytest.mark.parametrize("library", ["polars", "pyarrow", "pandas"])
def test_decimals_come_back_as_numbers(library: str) -> None:
    table = pl.DataFrame({"c": pl.Series([1.5, 2.25, 3.0] * 20).cast(pl.Decimal(6, 2)), "k": ["a", "b", "a"] * 20})
    frame = {
        "polars": table,
        "pyarrow": table.to_arrow(),
        "pandas": table.to_arrow().to_pandas(types_mapper=pd.ArrowDtype),
    }[library]
    encoding, values = TableEncoding.fit_encode(frame)
    assert [float(each) for each in encoding.decode(values)["c"].to_numpy()[:3]] == [1.5, 2.25, 3.0]


def test_a_column_that_is_dropped_is_never_looked_at() -> None:
    odd = pd.DataFrame({"c": [1, "a", 2.5], "x": [0.5, 1.5, 2.5]})
    with pytest.raises(DataError, match="column 'c' holds values of several types"):
        TableEncoding.fit(odd)
    encoding = TableEncoding.fit(odd, {"c": "drop"})
    assert encoding.encode(odd).values.tolist() == [[0.5], [1.5], [2.5]]


def test_an_encoding_travels_as_json() -> None:
    for table in (FRAME, POLARS):
        encoding = TableEncoding.fit(table)
        assert TableEncoding.model_validate_json(encoding.model_dump_json()) == encoding


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "text"},
        {"kind": "number"},
        {"categories": []},
        {"categories": ["a", "a"]},
        {"least": 2.0, "largest": 1.0},
        {"least": None},
        {"cycles": ["day"]},
        {"unknown": 1},
        {"categories": ["a", 3]},
        {"categories": [10**30, 2]},
        {"zone": "Europe/Berlin"},
        {"kind": "date", "categories": [], "zone": "Mars/Phobos"},
        {"kind": "date", "categories": [], "zone": "../../etc/passwd"},
        {"kind": "date", "categories": [], "least": -1e300, "largest": 1e300},
        {"kind": "integer", "categories": [], "least": -1e300},
    ],
    ids=str,
)
def test_an_encoding_that_no_fit_produces_is_refused(damage: dict[str, Any]) -> None:
    good = TableEncoding.fit(pd.DataFrame({"kind": ["a", "b"] * 20})).model_dump(mode="json")
    bad = good | {"columns": [good["columns"][0] | damage]}
    with pytest.raises(ValidationError):
        TableEncoding.model_validate(bad, strict=False)


@pytest.mark.parametrize(
    ("library", "dtype"),
    [("polars", "read_csv"), ("polars", "__builtins__"), ("pandas", "S5"), ("pandas", "U1000000"), ("pyarrow", "x; y")],
)
def test_a_dtype_that_is_none_is_refused(library: str, dtype: str) -> None:
    good = TableEncoding.fit(FRAME[["price"]].assign(k="a")).model_dump(mode="json")
    with pytest.raises(ValidationError):
        TableEncoding.model_validate(good | {"library": library, "dtypes": {"price": dtype}}, strict=False)
    assert TableEncoding.model_validate(good, strict=False).library == "pandas"


def test_encoding_takes_time_in_proportion_to_the_columns() -> None:
    class Names(list[str]):
        looks = 0

        def __iter__(self) -> Any:
            Names.looks += 1
            return super().__iter__()

    frame = pd.DataFrame(np.zeros((1, 50)), columns=[f"c{number}" for number in range(50)])
    assert len(arrow_columns(frame, Names(frame.columns))) == 50
    assert Names.looks == 1  # and not once for each column
