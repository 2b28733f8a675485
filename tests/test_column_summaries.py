"""A column in few values gives the same kind and the same encoding as the whole column."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from isthmus.data.tables.column_encoding import ColumnEncoding
from isthmus.data.tables.column_kinds import infer_kind
from isthmus.data.tables.text_summaries import HELD, summary_of
from isthmus.errors import DataError

rng = np.random.default_rng(0)
DAY = datetime(2021, 3, 4)  # noqa: DTZ001  # a date without a zone
ZONED = ["2021-01-01 00:00:00Z", "2021-01-01 05:30:00+02:00"]


def days(n: int, **step: int) -> list[datetime]:
    return [DAY + number * timedelta(**step) for number in range(n)]


def iso(times: list[datetime], form: str) -> list[str]:
    return [time.strftime(form) for time in times]


COLUMNS = {
    "measured": pa.array(rng.standard_normal(500)),
    "prices": pa.array(np.round(rng.random(500) * 100, 2)),
    "a price late": pa.array([*np.arange(300.0), 0.25]),
    "three decimals once": pa.array([*np.round(rng.random(400), 1), 0.125]),
    "whole floats": pa.array([*map(float, range(50)), None]),
    "large floats": pa.array([1.0, 2.0, 2.0**60]),
    "infinite": pa.array([1.5, float("inf")] * 10),
    "not a number": pa.array([1.5, float("nan")] * 10),
    "float32": pa.array(rng.random(50), pa.float32()),
    "half": pa.array(rng.random(50).astype(np.float16)),
    "decimals": pa.array([Decimal("1.25"), Decimal("3.50")] * 10),
    "whole decimals": pa.array([Decimal("1.00"), Decimal("3.00")] * 10),
    "integers": pa.array(rng.integers(-5, 99, 300)),
    "unsigned": pa.array([2**64 - 1, 3], pa.uint64()),
    "booleans": pa.array([True, None, False] * 5),
    "all true": pa.array([True] * 5),
    "empty": pa.array([None] * 5, pa.float64()),
    "nothing": pa.nulls(5),
    "bytes": pa.array([b"a", None]),
    "days": pa.array(days(900, days=1), pa.date32()),
    "hours": pa.array(days(900, hours=1), pa.timestamp("ms")),
    "one second late": pa.array([*days(900, hours=24), DAY + timedelta(seconds=1)], pa.timestamp("us")),
    "nanoseconds": pa.array([10**18 + 1, 10**18], pa.timestamp("ns")),
    "with a zone": pa.array([each.replace(tzinfo=UTC) for each in days(5, days=1)], pa.timestamp("us", "UTC")),
    "times of day": pa.array([1, 2], pa.time32("s")),
    "durations": pa.array([1, 2], pa.duration("s")),
    "regions": pa.array(rng.choice(["DE", "FR", "IT"], 500)),
    "few texts": pa.array(["a", "b", "c"]),
    "unique texts": pa.array([f"t{n}" for n in range(40)]),
    "20 of 40": pa.array([f"t{n % 20}" for n in range(40)]),
    "21 of 42": pa.array([f"t{n % 21}" for n in range(42)]),
    "free text": pa.array([f"t{n % 300}" for n in range(1000)]),
    "numbers as text": pa.array(["1.5", "2"] * 10),
    "other dates": pa.array(["31.12.2024", "1.1.2025"] * 10),
    "iso days": pa.array(iso(days(900, days=1), "%Y-%m-%d")),
    "iso times": pa.array(iso(days(3000, hours=1), "%Y-%m-%dT%H:%M:%S")),
    "midnights": pa.array(iso(days(900, days=1), "%Y-%m-%d %H:%M:%S")),
    "zoned": pa.array(ZONED),
    "no month 13": pa.array(["2021-01-01", "2021-13-01"]),
    "large text": pa.array(["a", "b"] * 9, pa.large_string()),
    "categories": pa.array(["b", "a", "b"]).dictionary_encode(),
    "ordered": pa.DictionaryArray.from_arrays([1, 0, None], ["low", "mid", "high"], ordered=True),
    "unique categories": pa.array([f"t{n}" for n in range(40)]).dictionary_encode(),
}


def summarized(column: Any, each: int = 7, **how: Any) -> Any:
    summary = summary_of(column.type, **how)
    for begin in range(0, len(column), each):
        summary.add(column[begin : begin + each])
    return summary


def masked(column: Any) -> Any:
    """The column as a frame gives it to an encoding: without NaN."""
    if not pa.types.is_floating(column.type):
        return column
    return pa.array(np.asarray(column, np.float64).astype(column.type.to_pandas_dtype()), from_pandas=True)


@pytest.mark.parametrize("name", COLUMNS)
def test_the_kind_and_the_encoding_are_those_of_the_whole_column(name: str) -> None:
    column = masked(COLUMNS[name])
    reduced = summarized(COLUMNS[name]).reduced()
    assert reduced.type == column.type
    assert infer_kind(reduced) == infer_kind(column)
    kind = infer_kind(column).kind
    if kind is not None:
        try:
            expected = ColumnEncoding.fit(name, column, kind)
        except (DataError, ValueError) as error:
            with pytest.raises(type(error)):
                ColumnEncoding.fit(name, reduced, kind)
        else:
            assert ColumnEncoding.fit(name, reduced, kind) == expected


@pytest.mark.parametrize("name", ["integers", "booleans", "regions", "prices"])
def test_any_column_can_be_a_stated_category(name: str) -> None:
    column = COLUMNS[name]
    reduced = summarized(column, stated="category").reduced()
    assert ColumnEncoding.fit(name, reduced, "category") == ColumnEncoding.fit(name, column, "category")


def test_of_a_long_column_of_dates_few_texts_are_held() -> None:
    column = pa.array([*iso(days(HELD + 5000, minutes=30), "%Y-%m-%d %H:%M:%S"), "1999-01-01 00:00:17"])
    summary = summarized(column, 4000)
    reduced = summary.reduced()
    assert summary.capped
    assert infer_kind(reduced) == infer_kind(column)
    assert ColumnEncoding.fit("x", reduced, "date") == ColumnEncoding.fit("x", column, "date")
    late = pa.concat_arrays([column, pa.array(["2021-02-30 00:00:00"])])  # no such day
    assert infer_kind(summarized(late, 4000).reduced()).kind is None


def test_many_texts_are_no_category_and_are_not_held() -> None:
    column = pa.array([f"text {n}" for n in range(HELD + 10_000)])
    summary = summarized(column, 4000)
    assert summary.capped
    assert infer_kind(summary.reduced()).kind is None
    assert len(summary.counts()) == HELD


def test_words_for_missing_values_are_counted_and_left_out() -> None:
    column = pa.array(["NA", "2021-01-01", "na", "2021-05-07", None, "none"] * 3)
    summary = summarized(column, words=["na", "none"])
    assert summary.words == {"NA": 3, "na": 3, "none": 3}
    without = summary.without(["na", "none"]).reduced()
    assert infer_kind(without).kind == "date"
    known = pa.array([each for each in column.to_pylist() if each and each[0] == "2"] + [None])
    assert ColumnEncoding.fit("x", without, "date") == ColumnEncoding.fit("x", known, "date")
    assert infer_kind(summary.without(["na"]).reduced()).kind == "category"


def test_the_first_text_of_dates_says_how_they_are_written() -> None:
    """A Parquet file gives texts as different ones and their numbers, in another order than that of the rows."""
    texts = ["2021-01-01T00:00:00", "2021-01-02 00:00:00"]
    column = pa.DictionaryArray.from_arrays([1, 0, 1, None], texts)
    summary = summary_of(pa.string())
    summary.add(column)
    whole = column.dictionary_decode()
    assert ColumnEncoding.fit("x", summary.reduced(), "date") == ColumnEncoding.fit("x", whole, "date")
    assert ColumnEncoding.fit("x", whole, "date").text == " 00:00:00"


def test_few_numbers_of_a_long_column_are_held() -> None:
    summary = summarized(pa.array(rng.permutation(3000) + 0.5))
    assert len(set(summary.reduced().to_pylist())) <= 4
