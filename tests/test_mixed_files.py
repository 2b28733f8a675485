"""Files with columns of any kind: read, trained on and written from the command line, with the same answers as for a data frame."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import drawing
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import isthmus
from isthmus import Autoencoder
from isthmus.cli import app
from isthmus.data import read
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.table_array import table_of
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.errors import DataError, IsthmusWarning, MemoryLimitError, RecordError
from isthmus.experiments.new_values import dates_note, unknown_marks

N = 60
SMALL = ("bottleneck.size=2", "architecture.hidden=8", "epochs=2", "batch_size=16", "missing=allow")


def people() -> pd.DataFrame:
    """A table with a gap in each of its columns but the first one."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "name": [f"p{n}" for n in range(N)],
            "age": pd.array(rng.integers(18, 80, N), dtype="Int64"),
            "city": rng.choice(["Ulm", "Bonn", "none"], N),
            "member": pd.array(rng.random(N) < 0.5, dtype="boolean"),
            "joined": pd.date_range("2020-01-01", periods=N, freq="30D").strftime("%Y-%m-%d"),
            "income": np.round(rng.normal(30_000, 5_000, N), 2),
            "zip": [f"0{n % 4}100" for n in range(N)],
        }
    )
    for number, name in enumerate(rows.columns[1:6]):
        rows.loc[number, name] = None
    return rows


def written(folder: Path, suffix: str = ".csv", rows: pd.DataFrame | None = None) -> Path:
    rows, path = people() if rows is None else rows, folder / f"people{suffix}"
    if suffix == ".csv":
        rows.to_csv(path, index=False, na_rep="NA")
    elif suffix == ".xlsx":
        pytest.importorskip("openpyxl", reason="the extra excel is not installed")
        rows.to_excel(path, index=False)
    else:
        rows.to_parquet(path)
    return path


def run(*words: Any) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_a_file_has_the_features_of_its_frame(suffix: str, tmp_path: Path) -> None:
    kinds = {"zip": "category"}
    found = read(written(tmp_path, suffix), kinds=kinds)
    frame = isthmus.data.load(people(), kinds=kinds)
    assert found.table is not None
    assert frame.table is not None
    assert found.columns == frame.columns
    np.testing.assert_array_equal(found.train, frame.train)
    assert [column.kind for column in found.table.columns] == [
        "integer",
        "category",
        "boolean",
        "date",
        "number",
        "category",
    ]
    assert found.table.columns[1].categories == ("Bonn", "Ulm", "none")
    assert found.table.columns[5].categories == ("00100", "01100", "02100", "03100")
    note = found.notes[-1]
    assert (
        "7 columns: 1 integer, 2 categories (city: 3, zip: 4), 1 boolean, 1 date, 1 number, 1 left out: name (unique)"
        in note
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_that_looks_like_ids_is_named_once(suffix: str, tmp_path: Path) -> None:
    rows = people().assign(customer=range(7, 7 + N))
    notes = read(written(tmp_path, suffix, rows), kinds={"zip": "category"}).notes
    assert [note.split(";")[0] for note in notes if "as ids are" in note] == [
        "customer (it counts the rows) is a different whole number in every row, as ids are"
    ]


def test_missing_values_of_texts_are_counted_and_none_is_a_word(tmp_path: Path) -> None:
    assert "missing values in columns of text of people.csv: 2 ('NA' 2)" in read(written(tmp_path)).notes
    found = read(tmp_path / "people.csv", na_values="none", drop="joined")
    assert found.table is not None
    assert found.table.columns[1].categories == ("Bonn", "Ulm")


def test_kinds_are_stated_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("size,stars,n\nS,1,1\nM,2,2\nL,3,3\nM,1,4\n")
    found = read(path, kinds={"size": ["S", "M", "L"], "stars": "category", "n": "drop"})
    assert found.table is not None
    assert [column.kind for column in found.table.columns] == ["ordered", "category"]
    assert found.train[:, 0].tolist() == [0, 1, 2, 1]
    same = read(path, kinds=("size=S,M,L", "stars=category", "n=drop"))
    np.testing.assert_array_equal(same.train, found.train)
    for kinds, sentence in (
        ({"sice": "category"}, "the column 'sice', which the table does not have"),
        ({"size": "categorical"}, "expected one of number, integer"),
        ({"size": ["S", "M"]}, "column 'size' holds 'L'"),
        (("size",), "expected name=kind"),
        ({"size": "date"}, "column 'size' holds values that are no dates"),
        ({"size": "number"}, "column 'size' holds text"),
    ):
        with pytest.raises((RecordError, DataError), match=sentence):
            read(path, kinds=kinds)
    np.save(tmp_path / "x.npy", np.eye(3))
    with pytest.raises(DataError, match="is not a table"):
        read(tmp_path / "x.npy", kinds={"a": "category"})


def test_numbers_with_a_few_words_are_still_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("kind,a\n" + "x,1\ny,2\n" * 10 + "x,unknown\n")
    with pytest.raises(DataError, match=r"column 'a' holds text \(line 22 of .*'unknown'\): leave it out .--drop a"):
        read(path)
    found = read(path, kinds={"a": "category"})
    assert found.table is not None
    assert found.table.columns[1].categories == ("1", "2", "unknown")


def test_a_table_of_numbers_keeps_its_array(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,true\n2,false\n")
    found = read(tmp_path / "x.csv")
    assert found.table is None
    assert found.frame is None
    assert type(found.train) is np.ndarray
    assert any(note.startswith("read with true as 1") for note in found.notes)


def test_the_array_of_a_table_knows_it(tmp_path: Path) -> None:
    """Categories are numbers in it: an autoencoder that took them for numbers would be wrong without a word."""
    found = read(written(tmp_path))
    rows = np.arange(N) < 40
    train = found.train
    for part in (
        train.astype("float32"),
        train[:40, :],
        train[:40],
        train[rows],
        train[np.flatnonzero(rows)],
        train[rows, ...],
        train.take(range(40), axis=0),
    ):
        fitted = Autoencoder(2, epochs=1, missing="allow", random_state=0).fit(part)
        assert fitted.feature_names_in_.tolist() == ["age", "city", "member", "joined", "income", "zip"]
    joined = np.concatenate([train[:10], train[10:]])
    for again in (pickle.loads(pickle.dumps(train)), train.copy(), joined, np.copy(train)):
        assert Autoencoder(2, epochs=1, missing="allow").fit(again).feature_names_in_.shape == (6,)
    for other in (train[:, :2], train + 0, np.asarray(train), train.T, train.mean(0)):
        assert table_of(other) is None
    with pytest.raises(RecordError, match="are not those that X was read with"):
        Autoencoder(2, epochs=1, missing="allow", kinds={"age": "category"}).fit(train)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_from_a_file_to_the_answers(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Impute, reconstruct and sample give tables with the columns, types and categories of the file."""
    monkeypatch.chdir(tmp_path)
    path, other = written(tmp_path, suffix), ".parquet" if suffix == ".parquet" else ".csv"
    with drawing.every_figure():
        said = run("train", "--data", path, *SMALL, "--kind", "zip=category", "--out", "r")
    assert Path("r", "figures", "column_errors.png").exists()
    assert "2 categories (city: 3, zip: 4)" in said
    run("impute", "r", "--out", f"whole{other}")
    read_back = {".csv": pd.read_csv, ".parquet": pd.read_parquet}[suffix]
    strings = {"dtype": {"zip": str}, "keep_default_na": False} if suffix == ".csv" else {}
    given, whole = people(), read_back(f"whole{other}", **strings)
    assert list(whole) == list(given)
    assert not whole.isna().any().any()
    for name in whole:
        known = given[name].notna()
        assert [str(value) for value in whole[name][known]] == [str(value) for value in given[name][known]], name
    assert whole["age"].between(given["age"].min(), given["age"].max()).all()
    assert set(whole["city"]) <= {"Ulm", "Bonn", "none"}
    run("sample", "r", "-n", 7, "--method", "gmm", "--out", f"new{other}")
    made = read_back(f"new{other}", **strings)
    assert len(made) == 7
    assert made["age"].astype(int).between(18, 79).all()
    assert set(made["member"]) <= {True, False}
    run("reconstruct", "r", "--data", path, "--id", "name", "--out", f"again{other}")
    again = read_back(f"again{other}", **strings)
    assert list(again) == ["name", "age", "city", "member", "joined", "income", "zip"]
    assert list(again["name"]) == list(given["name"])


def test_the_command_line_and_python_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("train", "--data", written(tmp_path), *SMALL, "--out", "r")
    ae = isthmus.load("r")
    rows = people().iloc[:9].drop(columns=["name"])
    rows.to_csv("few.csv", index=False)
    run("reconstruct", "r", "--data", "few.csv", "--out", "few.csv.npy")
    expected = ae.table_.encode(ae.reconstruct(rows)).values
    written_values = ae.table_.encode(ae.table_.decode(np.load("few.csv.npy").astype(float))).values
    np.testing.assert_allclose(written_values, expected, rtol=1e-5)


def test_other_data_are_read_with_the_kinds_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("train", "--data", written(tmp_path), *SMALL, "--out", "r")
    other = people().iloc[::-1, ::-1].drop(columns=["name"])
    other.loc[10, "city"] = "Rome"
    other["more"] = "x"
    other.to_csv("other.csv", index=False, na_rep="NA")
    said = run("reconstruct", "r", "--data", "other.csv", "--out", "o.csv")
    assert (
        "other.csv has categories that the training data did not have: city ('Rome': 1), which are taken as missing"
        in said
    )
    assert "left out, as the run was not trained on them: 1 column of other.csv (more)" in said
    assert pd.read_csv("o.csv").columns.tolist() == ["age", "city", "member", "joined", "income", "zip"]
    said = run("impute", "r", "--data", "other.csv", "--out", "w.csv")
    assert "Rome" in set(pd.read_csv("w.csv")["city"])  # what the file says stays
    strict = Reused(ReadOptions(), table=isthmus.load("r").table_, missing=False)
    with pytest.raises(DataError, match="categories that the training data did not have: city"):
        read("other.csv", reused=strict)
    with pytest.raises(
        DataError, match=r"trained on columns of other kinds \(7 columns: .*leave out --kind .kinds=. of age"
    ):
        read("other.csv", kinds={"age": "category"}, reused=strict)
    written(tmp_path, ".parquet", people().assign(zip=lambda table: table["zip"].astype(int)))
    said = run("reconstruct", "r", "--data", "people.parquet", "--out", "p.npy")
    run("reconstruct", "r", "--data", "people.csv", "--out", "c.npy")
    np.testing.assert_array_equal(np.load("p.npy"), np.load("c.npy"))


def test_a_run_resumes_and_is_evaluated_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New rows with a new category do not change the numbers of the others."""
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path)
    run("train", "--data", path, *SMALL, "--out", "r")
    before = run("reconstruct", "r", "--out", "a.npy")
    grown = pd.concat([people(), people().iloc[:3].assign(city="Aachen", age=33)])
    written(tmp_path, rows=grown)
    after = run("reconstruct", "r", "--out", "b.npy")
    assert "Aachen" not in before
    assert "city ('Aachen': 3)" in after
    np.testing.assert_array_equal(np.load("a.npy"), np.load("b.npy"))
    run("evaluate", "r")
    run("detect", "r", "--data", path, "--out", "d.csv")
    assert len(pd.read_csv("d.csv")) == len(grown)


def test_detection_names_new_categories_and_later_dates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A category that training did not have is missing to the model, and time passes: no score shows either."""
    monkeypatch.chdir(tmp_path)
    run("train", "--data", written(tmp_path), *SMALL, "--kind", "zip=category", "--id", "name", "--out", "r")
    rows = people()
    rows.loc[[7, 9], "city"] = ["Rome", "Ulm"]
    rows.loc[[9, 11], "zip"] = ["04711", None]
    rows["joined"] = rows["joined"].str.replace("202", "203", n=1)
    rows.to_parquet("new.parquet")
    said = " ".join(run("detect", "r", "--id", "name", "--out", "d.csv", "--data", "new.parquet").split())
    assert "joined (59 of 60, training: 2020-01-01 to 2024-11-05)" in said
    assert "(--drop joined)" in said
    found = pd.read_csv("d.csv", keep_default_na=False)
    assert {row: text for row, text in enumerate(found["unknown"]) if text} == {7: "city=Rome", 9: "zip=04711"}
    assert found["name"][7] == "p7"
    ae, same = isthmus.load("r"), Reused(ReadOptions(), table=isthmus.load("r").table_, missing=True)
    rows = people()
    rows.loc[7, "joined"] = "2204-01-31"  # a typing mistake is an anomaly, not another time
    known = read(written(tmp_path, ".parquet", rows), kinds={"zip": "category"}, reused=same)
    assert (dates_note(ae, known), unknown_marks(known)) == ("", {})


def test_a_parquet_file_that_repeats_a_long_text_takes_no_memory(tmp_path: Path) -> None:
    """A few kilobytes can declare gigabytes of text, in a batch, in many, or as a dictionary."""
    long = pa.array(["x" * (1 << 20), "y"])
    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), long)
    table, path = pa.table({"a": [1.0] * 5000, "t": rows}), tmp_path / "x.parquet"
    pq.write_table(table, path, store_schema=False)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"column 't' of .*x\.parquet has texts of 5,242,880,000 bytes in 5,000 rows"):
        read(path)
    some = pa.DictionaryArray.from_arrays(pa.array([0] * 90_000, pa.int32()), pa.array(["x" * 25_000, "y"]))
    pq.write_table(pa.table({"a": [1.0] * 90_000, "t": some}), path, store_schema=False)
    with pytest.raises(MemoryLimitError, match=r"the texts of .*x\.parquet"):
        read(path)
    pq.write_table(table, path)  # with its type, a dictionary, which is not decoded
    tracemalloc.start()
    found = read(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()
    assert found.table is not None
    assert len(found.table.columns[1].categories[0]) == 1 << 20


def test_one_long_text_among_short_ones_is_read(tmp_path: Path) -> None:
    texts = [f"t{number % 3}" for number in range(9_999)]
    pq.write_table(pa.table({"a": np.arange(10_000.0), "t": ["x" * 50_000, *texts]}), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet").train.shape == (10_000, 2)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_pairs_of_tables_are_encoded_alike(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = people().dropna().reset_index(drop=True)
    written(tmp_path, suffix, rows).rename(f"clean{suffix}")
    written(tmp_path, suffix, rows.assign(city=rows["city"].where(rows.index % 5 > 0, "Ulm")))
    said = run(
        "train",
        "--data",
        f"people{suffix}",
        "--target",
        f"clean{suffix}",
        "--id",
        "name",
        "--kind",
        "zip=category",
        *SMALL,
        "--out",
        "r",
    )
    assert "rows are paired with those of" in said
    assert isthmus.load("r").table_.columns[1].categories == ("Bonn", "Ulm", "none")


def test_an_autoencoder_of_a_frame_takes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that are categories are texts in a file, and true and false are words."""
    monkeypatch.chdir(tmp_path)
    rows = (
        people()
        .dropna()
        .drop(columns=["name", "joined"])
        .reset_index(drop=True)
        .assign(zip=lambda t: t["zip"].astype(int))
    )
    ae = Autoencoder(2, epochs=1, missing="allow", random_state=0, kinds={"zip": "category"})
    with pytest.warns(IsthmusWarning, match="2 categories"):
        ae.fit(rows)
    ae.save("model.safetensors")
    rows.to_csv("x.csv", index=False)
    run("reconstruct", "model.safetensors", "--data", "x.csv", "--out", "x.npy")
    np.testing.assert_array_equal(
        np.load("x.npy"), ae.reconstruct(isthmus.data.load(rows, reused=Reused(ReadOptions(), table=ae.table_)).train)
    )
    rows.astype({"zip": str}).assign(zip="many").to_csv("y.csv", index=False)
    result = CliRunner().invoke(app, ["reconstruct", "model.safetensors", "--data", "y.csv", "--out", "y.npy"])
    assert result.exit_code == 1
    assert "column 'zip' holds 'many', and its categories are numbers: correct it" in str(result.exception)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_imputed_cells_that_do_not_fit_widen_their_column(library: str) -> None:
    """Whole numbers with the mean 1.5, and booleans that are numbers to the model: nearly always false."""
    n = 60
    rows = {
        "age": [*([1, 2] * (n // 2 - 1)), 1, None],
        "flag": [*([False] * (n - 2)), True, None],
        "k": ["a", "b", "c"] * (n // 3),
    }
    frame = {"pandas": lambda r: pd.DataFrame(r).convert_dtypes(), "polars": pl.DataFrame, "pyarrow": pa.table}[
        library
    ](rows)
    encoding, values = TableEncoding.fit_encode(frame, {"age": "number", "flag": "number", "k": "category"})
    whole = encoding.impute(frame, values, np.where(np.isnan(values), [1.5, 0.01, 0], values))
    age, flag = (
        list(whole[name].to_pylist() if library == "pyarrow" else whole[name].to_list()) for name in ("age", "flag")
    )
    assert age[:-1] == rows["age"][:-1]
    assert age[-1] == 1.5
    assert flag == [*rows["flag"][:-1], False]


def test_decimals_and_repeated_names_of_parquet(tmp_path: Path) -> None:
    prices = pa.array([f"{each}.25" for each in range(20)]).cast(pa.decimal128(10, 2))
    pq.write_table(pa.table({"price": prices, "k": ["a", "b"] * 10}), tmp_path / "x.parquet")
    first = read(tmp_path / "x.parquet")
    again = read(tmp_path / "x.parquet", reused=Reused(ReadOptions(), first.columns, table=first.table))
    stated = read(tmp_path / "x.parquet", kinds={"price": "number"})
    np.testing.assert_array_equal(first.train, again.train)
    np.testing.assert_array_equal(first.train, stated.train)
    twice = pa.table([pa.array([1.0, 2.0]), pa.array([3.0, 4.0]), pa.array(["x", "y"])], names=["a", "a", "c"])
    pq.write_table(twice, tmp_path / "y.parquet")
    with pytest.raises(DataError, match=r"column .a. occurs twice in .*y\.parquet: rename one"):
        read(tmp_path / "y.parquet")


def test_a_table_without_names_is_read_again_by_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{n % 5}.5,{'ab'[n % 2]},{n % 3}\n" for n in range(60))
    Path("u.csv").write_text("0.0,a,0\n" + rows)
    first = read("u.csv", header=False)
    reused = Reused(ReadOptions(), first.columns, table=first.table)
    np.testing.assert_array_equal(read("u.csv", reused=reused).train, first.train)
    run("train", "--data", "u.csv", *SMALL, "--header", "no", "--out", "r")
    run("impute", "r", "--out", "w.csv")
    assert len(pd.read_csv("w.csv", header=None)) == 61
    named = read(written(tmp_path))
    with pytest.raises(DataError, match=r"u.csv has no column names, by which the columns of the run are found \(age"):
        read("u.csv", reused=Reused(ReadOptions(), named.columns, table=named.table))


def test_names_of_digits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("y.csv").write_text("2019,2020\n" + "1,u\n2,v\n3,u\n" * 20)
    run("train", "--data", "y.csv", *SMALL, "--header", "yes", "--out", "r")
    run("reconstruct", "r", "--out", "w.csv")
    assert Path("w.csv").read_text().startswith("2019,2020\n")


def test_ordered_categories_may_have_commas_and_equal_signs(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('inc,s,a\n<=50K,c,1\n>50K,"a,b",2\n>50K,c,3\n')
    found = read(path, kinds={"inc": ["<=50K", ">50K"], "s": ["c", "a,b"]})
    assert found.train[:, :2].tolist() == [[0, 0], [1, 1], [1, 0]]
    np.testing.assert_array_equal(read(path, kinds=("inc=<=50K,>50K", 's=["c", "a,b"]')).train, found.train)


def test_an_empty_column_of_dates_has_no_error(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b,d\n1,x,\n2,y,\n")
    assert np.isnan(read(tmp_path / "x.csv", kinds={"d": "date"}).train[:, 2]).all()


def test_kinds_of_a_run_fit_typed_data(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("stars,b\n" + "1,x\n2,y\n3,x\n" * 5)
    first = read(tmp_path / "x.csv", kinds=("stars=1,2,3",))
    pq.write_table(pa.table({"stars": [1, 2, 3] * 5, "b": ["x", "y", "x"] * 5}), tmp_path / "x.parquet")
    reused = Reused(ReadOptions(kinds=("stars=1,2,3",)), first.columns, table=first.table)
    np.testing.assert_array_equal(read(tmp_path / "x.parquet", reused=reused).train, first.train)


def test_completed_tables_keep_weights_and_groups_and_say_what_is_guarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = people().assign(w=1.5, patient=[f"q{n % 9}" for n in range(N)], city=["+a", "b"] * (N // 2))
    path = written(tmp_path, rows=rows.drop(columns=["name"]))
    run("train", "--data", path, *SMALL, "--weights", "w", "--by", "patient", "--out", "r")
    said = run("impute", "r", "--out", "w.csv")
    whole = pd.read_csv("w.csv")
    assert whole["patient"].tolist() == rows["patient"].tolist()
    assert (whole["w"] == 1.5).all()
    assert "formulas have ' in front: city; a .parquet file keeps them" in said


def test_runs_of_tables_are_compared_and_evaluated_on_grown_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path)
    for name in ("r", "s"):
        run("train", "--data", path, *SMALL, f"random_state={len(name) + ord(name[0])}", "--out", name)
    written(tmp_path, rows=pd.concat([people(), people().iloc[:3].assign(city="Aachen", age=33)]))
    assert "city ('Aachen': 3)" in run("compare", "r", "s", "--out", "c")
    result = CliRunner().invoke(app, ["robustness", "r"])
    assert result.exit_code == 1
    assert "robustness takes numbers" in str(result.exception)


def test_true_and_false_among_numbers_are_said(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("t,c\n" + "true,x\nfalse,y\n2,x\n" * 5)
    assert any(note.startswith("read with true as 1") for note in read(tmp_path / "x.csv").notes)


@pytest.mark.parametrize("missing", ["error", "allow"])
def test_fractions_where_whole_numbers_were_guessed_are_numbers(missing: Any) -> None:
    rows = pd.DataFrame({"n": np.arange(40.0), "whole": np.arange(40), "k": ["a", "b"] * 20})
    ae = Autoencoder(1, epochs=1, random_state=0, missing=missing)
    with pytest.warns(IsthmusWarning, match="2 integers"):
        ae.fit(rows)
    new = rows.assign(n=[0.5, 1.5, *range(2, 40)])
    with pytest.warns(
        IsthmusWarning, match=r"X has fractions .*\(n: 2\), which are taken as they are; .*kinds={'n': 'number'}"
    ):
        codes = ae.encode(new)
    assert not np.array_equal(codes[:2], ae.encode(rows)[:2])
    np.testing.assert_array_equal(codes[2:], ae.encode(rows)[2:])
    assert ae.table_.encode(new).values[1, 0] == 1.5
    with pytest.raises(DataError, match="column 'whole' holds other numbers than whole ones"):
        ae.encode(rows.assign(whole=rows.whole + 0.5))  # its type said that they are
    with pytest.raises(DataError, match="column 'n' holds other numbers than whole ones"):
        ae.set_params(kinds={"n": "integer", "k": "category"}).fit(rows).encode(new)


def test_fractions_in_a_file_where_another_had_whole_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = people().drop(columns="name").assign(age=np.arange(18, 18 + N))
    rows.to_csv("x.csv", index=False, na_rep="NA")
    first = read("x.csv")
    ae = Autoencoder(2, epochs=1, missing="allow", random_state=0).fit(first.train)
    ae.save("m")
    rows.assign(age=[18.5, np.nan, *range(20, 18 + N)]).to_csv("y.csv", index=False, na_rep="NA")
    told = run("impute", "m", "--data", "y.csv", "--out", "z.csv")
    assert "note: y.csv has fractions where the training data had whole numbers (age: 1), which are taken" in told
    assert "(--kind age=number, kinds={'age': 'number'})" in told
    filled = pd.read_csv("z.csv")["age"]
    assert filled[0] == 18.5
    assert filled[1] == round(filled[1])
    assert filled[2:].tolist() == list(range(20, 18 + N))
    stated = read("x.csv", kinds={"age": "integer"})
    with pytest.raises(DataError, match="column 'age' holds other numbers than whole ones"):
        read("y.csv", reused=Reused(ReadOptions(), stated.columns, table=stated.table))
