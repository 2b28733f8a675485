"""Completed tables have all columns of the file, in its order and with its types; Parquet files state their own missing cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.cli import app
from isthmus.data import read
from isthmus.data.dataset import Dataset
from isthmus.data.options import ReadOptions
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.errors import DataError, IsthmusWarning, RecordError
from isthmus.experiments.run_folder import save_run
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.experiments.splits import split

N = 60


def orders() -> pd.DataFrame:
    """A table with text that cannot be learned at its begin, in the middle and at its end."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "note": [f"call {n} again" for n in range(N)],
            "price": rng.normal(size=N).round(2),
            "order": np.arange(1000, 1000 + N),
            "city": pd.Series(rng.choice(["Ulm", "Bonn"], N), dtype=object),
            "ticket": [f"T-{n}" for n in range(N)],
            "paid": rng.choice(["yes", "late"], N),
            "count": rng.integers(0, 9, N),
            "secret": [f"s{n}" for n in range(N)],
        }
    )
    rows["when"] = pd.date_range("2020-01-01", periods=N, freq="60D").strftime("%Y-%m-%d")
    rows.loc[3, "city"] = rows.loc[5, "ticket"] = None
    rows.loc[:4, "when"] = None
    return rows


def run(*words: Any) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def written(path: Path, rows: pd.DataFrame) -> Path:
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path)
    return path


def trained(folder: Path, path: Path, **options: Any) -> None:
    """Writes a run on a file."""
    source = DataSource(str(path), ReadOptions(**options))
    dataset = source.read()
    part = split(dataset, "allow")
    ae = Autoencoder(2, architecture=MLP((4,)), epochs=1, missing="allow", random_state=0)
    save_run(folder, ae.fit(part.train_of(dataset)), source, RunInfo(), part.record)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_completed_table_has_the_columns_of_its_file_in_their_order(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns of free text were left out of it, with a note."""
    monkeypatch.chdir(tmp_path)
    rows = orders()
    path = written(tmp_path / f"orders{suffix}", rows)
    without = {"drop": "secret"} if suffix == ".csv" else {"kinds": {"secret": "drop"}}
    trained(tmp_path / "r", path, id="order", labels="paid", **without)
    for words in ((), ("--data", written(tmp_path / f"more{suffix}", rows.assign(new="x"))), ("--data", path)):
        said = run("impute", "r", *words, "--out", f"whole{suffix}")
        whole = pd.read_csv("whole.csv") if suffix == ".csv" else pd.read_parquet("whole.parquet")
        assert [name for name in whole if name != "new"] == [name for name in rows if name != "secret"]
        assert whole["city"].notna().all()
        assert whole["when"].notna().all()
        others = ["note", "price", "order", "ticket", "paid", "count"]
        pd.testing.assert_frame_equal(whole[others], rows[others], check_dtype=suffix == ".parquet")
        listed = "note, ticket" + (", new" if "more" in str(words) else "")
        assert f"unchanged, as they are no features: {listed}" in said
    for name in ("whole.npy", f"whole{suffix}"):  # cells, not features, of which a date has several
        said = run("impute", "r", "--out", name)
        assert "imputed: 6 missing values" in said
        assert f"6 missing values of {4 * N}" in said
    for kind, sentence in (
        ("sice=category", "'sice', which the table does not have"),
        ("sice=drop", "'sice', which the table does not have"),
        ("order=integer", "holds the ids"),
    ):
        result = CliRunner().invoke(app, ["encode", "r", "--data", str(path), "--kind", kind])
        assert sentence in str(result.exception) + result.output
        assert result.exit_code != 0
    run("encode", "r", "--data", path, "--kind", "city=category", "--kind", "note=drop")


def test_ids_and_ordered_categories_of_parquet_keep_their_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids became text, and ordered categories unordered."""
    monkeypatch.chdir(tmp_path)
    size = pd.Categorical(["S", "M", "L", None] * (N // 4), ["S", "M", "L"], ordered=True)
    rows = orders()[["order", "price", "city"]].assign(size=size)
    path = written(tmp_path / "orders.parquet", rows)
    trained(tmp_path / "r", path, id="order")
    for verb in ("reconstruct", "impute"):
        run(verb, "r", "--data", path, "--out", "out.parquet")
        out = pyarrow.parquet.read_table("out.parquet")
        assert out.schema.field("order").type == pyarrow.int64()
        assert out.column("order").to_pylist() == rows["order"].tolist()
        again = pd.read_parquet("out.parquet")["size"]
        assert again.cat.ordered
        assert again.cat.categories.tolist() == ["S", "M", "L"]
        assert again.notna().all()
    known = rows["size"].notna()
    assert (again[known] == rows["size"][known]).all()


def test_a_frame_of_ordered_categories_stays_ordered() -> None:
    size = pyarrow.DictionaryArray.from_arrays([0, 1, None, 1] * 10, ["S", "M"], ordered=True)
    frame = pyarrow.table({"size": size, "x": np.arange(40.0)})
    encoding, values = TableEncoding.fit_encode(frame)
    complete = np.nan_to_num(values)
    for made in (encoding.decode(complete), encoding.impute(frame, values, complete)):
        column = made.column("size").combine_chunks()
        assert column.type.ordered
        assert column.dictionary.to_pylist() == ["S", "M"]
        assert column.to_pylist() == ["S", "M", "S", "M"] * 10


def test_words_in_parquet_are_words(tmp_path: Path) -> None:
    """NA may be Namibia: a Parquet file says by itself which cells are missing."""
    rows = pd.DataFrame({"land": ["NA", "DE", None, "FR"] * 15, "a": np.arange(60.0)})
    path = written(tmp_path / "x.parquet", rows)
    found = read(path)
    assert found.table is not None
    assert found.table.columns[0].categories == ("DE", "FR", "NA")
    assert int(np.isnan(found.train[:, 0]).sum()) == 15
    assert any(
        "texts of x.parquet that are read as they are: 15 ('NA' 15); if they mean missing" in n for n in found.notes
    )
    marked = read(path, na_values="NA")
    assert marked.table is not None
    assert marked.table.columns[0].categories == ("DE", "FR")
    assert any("missing values in columns of text of x.parquet: 15 ('NA' 15)" in note for note in marked.notes)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("dtype", ["int64", "float32", "Int16"])
def test_marks_apply_to_numbers_of_parquet(dtype: str, mixed: bool, tmp_path: Path) -> None:
    rows = pd.DataFrame({"a": pd.array([1, -999, 3, 4] * 15, dtype=dtype), "b": np.arange(60)})
    rows = rows.assign(k=["x", "y"] * 30) if mixed else rows
    found = read(written(tmp_path / "x.parquet", rows), na_values=("-999", "7.0"))
    assert np.isnan(found.train[:, 0]).tolist() == [False, True, False, False] * 15
    assert np.flatnonzero(np.isnan(found.train[:, 1])).tolist() == [7]
    assert not np.isnan(read(tmp_path / "x.parquet").train).any()


def test_dates_with_zones_are_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were left out as dates in another form, or read as categories."""
    monkeypatch.chdir(tmp_path)
    moments = pd.date_range("2024-01-01", periods=N, freq="36h", tz="UTC")
    texts = [
        each.strftime("%Y-%m-%dT%H:%M:%SZ") if n % 2 else each.tz_convert("Asia/Tokyo").isoformat()
        for n, each in enumerate(moments)
    ]
    rows = pd.DataFrame({"when": texts, "x": np.arange(N) / 4})
    path = written(tmp_path / "x.csv", rows)
    found = read(path)
    assert found.table is not None
    assert found.table.columns[0].kind == "date"
    np.testing.assert_allclose(found.train[:, 0], moments.as_unit("us").asi8 / 86_400e6, rtol=1e-12)
    assert any("1 date (when in UTC)" in note for note in found.notes)
    assert found.table.decode(found.train).column("when").to_pylist() == [f"{m:%Y-%m-%dT%H:%M:%SZ}" for m in moments]
    typed = found.table.encode(pd.DataFrame({"when": moments, "x": 0.5}))
    np.testing.assert_array_equal(typed.values[:, 0], found.train[:, 0])
    with pytest.raises(DataError, match="column 'when' has no time zone, unlike in the training data"):
        found.table.encode(pd.DataFrame({"when": [f"{m:%Y-%m-%dT%H:%M:%S}" for m in moments], "x": 0.5}))


def test_an_array_that_lost_its_table_is_recognized(tmp_path: Path) -> None:
    """rng.permutation and numpy.ascontiguousarray give ordinary arrays, in which categories are numbers."""
    earlier = orders()[["price", "city", "count"]].dropna().rename(columns={"city": "town"})
    read(written(tmp_path / "earlier.csv", earlier))  # of several tables with such values it is the last one
    train = read(written(tmp_path / "x.csv", orders()[["price", "city", "count"]].dropna())).train
    small = Autoencoder(1, epochs=1, random_state=0)
    for lost in (np.random.default_rng(0).permutation(train), np.ascontiguousarray(train), np.asarray(train)[:20]):
        with pytest.warns(
            IsthmusWarning, match="categories such as those of 'city' are learned as numbers; pass the array"
        ):
            small.fit(lost)
    for fine in (train, train[np.random.default_rng(0).permutation(len(train))], np.asarray(train) + 0.5):
        small.fit(fine)
    read(written(tmp_path / "y.csv", pd.DataFrame({"a": ["x", "y"] * 20, "b": ["u", "v", "v", "u"] * 10})))
    small.fit(np.random.default_rng(0).integers(0, 2, (40, 2)).astype(float))  # zeros and ones are no table's


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"labels": "paid", "kinds": {"paid": "category"}},
            "'paid' of .*, which holds the labels .--labels, labels=. and is not",
        ),
        ({"id": "order", "kinds": {"order": "integer"}}, "'order' of .*, which holds the ids"),
        ({"by": "ticket", "kinds": {"ticket": "drop"}}, "'ticket' of .*, which holds the groups"),
        ({"weights": "count", "kinds": {"count": "number"}}, "'count' of .*, which holds the weights of examples"),
        ({"drop": "note", "kinds": {"note": "category"}}, "'note' of .*, which is left out .--drop"),
        ({"columns": "price,city", "kinds": {"paid": "category"}}, "'paid' of .*, which is left out .--drop"),
        ({"kinds": {"sice": "category"}}, "'sice', which the table does not have"),
    ],
)
@pytest.mark.parametrize("of", ["frame", ".csv", ".parquet"])
def test_a_kind_of_a_column_that_is_not_learned_says_why(
    options: dict[str, Any], sentence: str, of: str, tmp_path: Path
) -> None:
    """It said that the table does not have the column."""
    given = orders() if of == "frame" else written(tmp_path / f"x{of}", orders())
    with pytest.raises(RecordError, match=sentence):
        read(given, **options)


def test_data_counts_the_columns_that_are_left_out(tmp_path: Path) -> None:
    said = run("data", written(tmp_path / "orders.csv", orders())).replace("\n", " ")
    assert "6 columns (3 more left out) as 10 features" in said
    many = pd.DataFrame({f"c{n}": [f"text {n} {row}" for row in range(N)] for n in range(50)})
    said = run("data", written(tmp_path / "many.csv", orders().join(many)))
    assert "and 19 more columns" in said


def test_roles_of_arrays_are_checked(tmp_path: Path) -> None:
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 4
    np.savez(tmp_path / "x.npz", X=X, kind=y, short=y[:7], wide=np.stack([y, y], 1))
    found = read(tmp_path / "x.npz", labels="kind", by="kind")
    assert found.train_labels is not None
    assert found.groups is not None
    assert found.train_labels.tolist() == found.groups.tolist() == y.tolist()
    for name, shape in (("short", r"\(7,\)"), ("wide", r"\(30, 2\)")):
        with pytest.raises(DataError, match=rf"{name} .--by, by=. of .*x.npz has shape {shape}, for 30 examples"):
            read(tmp_path / "x.npz", by=name)


def test_missing_groups_are_not_one_group() -> None:
    groups = np.full(30, None, dtype=object)
    dataset = Dataset("x", np.random.default_rng(0).normal(size=(30, 3)), groups=groups, groups_name="patient")
    with pytest.raises(DataError, match="no example has a patient: fill in the groups, or leave them out"):
        split(dataset, "error")
