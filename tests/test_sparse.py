"""Sparse matrices give the same results as dense arrays, bit for bit, and never become dense as a whole."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.io
from cases import thorough_where
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from test_cli import run

import isthmus
from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, evaluate
from isthmus.architectures import MLP, Conditional
from isthmus.bottlenecks import Gaussian
from isthmus.corruptions import Masking
from isthmus.data import SparseRows, as_examples, read
from isthmus.data.statistics import DataStatistics, Fingerprint
from isthmus.errors import DataError, MemoryLimitError
from isthmus.experiments.membership import example_keys, rounded_keys
from isthmus.likelihoods import Poisson

Array = np.ndarray[Any, Any]


def counts(n: int = 120, d: int = 9) -> Array:
    rng = np.random.default_rng(0)
    values = rng.poisson(rng.gamma(0.5, 1.0, d), (n, d)) * rng.integers(1, 4, (n, 1))
    values[7], values[:, 0] = 0, values[:, 0] + 1  # an empty row, a column that is never zero
    return values.astype(np.float64)


DENSE = counts()
Y = (DENSE.sum(1) > np.median(DENSE.sum(1))).astype(int)
HOLES = np.where(np.random.default_rng(1).random(DENSE.shape) < 0.05, np.nan, DENSE)


def quick(**choices: Any) -> Autoencoder:
    return Autoencoder(**{"bottleneck": 3, "architecture": MLP((6,)), "epochs": 2, "random_state": 0} | choices)


FITTED = quick().fit(DENSE)
CONDITIONAL = quick(architecture=Conditional(MLP((6,)))).fit(DENSE, Y)
WITH_HOLES = quick(missing="allow").fit(HOLES)
VARIATIONAL = quick(bottleneck=Gaussian(2)).fit(DENSE)


def weights(ae: Autoencoder) -> list[Array]:
    return [each.numpy() for each in ae.model_.state_dict().values()]


def detected(X: Any) -> list[Any]:
    detector = OutlierDetector(quick(), random_state=0).fit(X)
    causes = [str(detector.attributions(X[:3]))]
    return [detector.score_samples(X), detector.predict(X), detector.contributions(X), detector.offset_, causes]


def measured(X: Any) -> list[Any]:
    result = evaluate(FITTED, X[:60], Y[:60], train=X[60:], train_labels=Y[60:])
    table = [row for row in result.rows() if "per second" not in str(row)]
    return [str(table), result.errors.mse, result.pca.mse if result.pca else None]


USES: dict[str, Callable[[Any], Any]] = {
    "fit": lambda X: weights(quick().fit(X)),
    "fit a distribution of counts": lambda X: weights(quick(likelihood=Poisson(), corruption=Masking(0.2)).fit(X)),
    "early stopping": lambda X: weights(quick(early_stopping=True).fit(X)),
    "validation data": lambda X: [quick().fit(X, validation_data=X[:40]).history_[-1].val_loss],
    "a target": lambda X: weights(quick().fit(X, target=X[::-1])),
    "partial_fit": lambda X: weights(quick().partial_fit(X[:70]).partial_fit(X[70:])),
    "encode": FITTED.encode,
    "transform": FITTED.transform,
    "reconstruct": FITTED.reconstruct,
    "decode": lambda X: FITTED.decode(X[:, :3]),
    "corrupt": lambda X: FITTED.corrupt(X, corruption=Masking(0.5)),
    "score_samples": FITTED.score_samples,
    "reconstruction_error": FITTED.reconstruction_error,
    "reconstruction_error per feature": lambda X: FITTED.reconstruction_error(X, per_feature=True),
    "log_likelihood": lambda X: VARIATIONAL.log_likelihood(X[:9], samples=5),
    "samples of a mixture": lambda X: VARIATIONAL.sample(4, 0, method="gmm", X=X),
    "conditional": lambda X: weights(quick(architecture=Conditional(MLP((6,)))).fit(X, Y)),
    "conditional errors": lambda X: CONDITIONAL.reconstruction_error(X, y=Y),
    "conditional detector": lambda X: OutlierDetector(CONDITIONAL, random_state=0).fit(X, Y).score_samples(X, Y),
    "detector": detected,
    "combined score": lambda X: (
        OutlierDetector(quick(), anomaly_score="combined", random_state=0).fit(X).score_samples(X)
    ),
    "classifier": lambda X: AutoencoderClassifier(quick(), epochs=1, random_state=0).fit(X, Y).predict_proba(X),
    "unlabeled": lambda X: (
        AutoencoderClassifier(quick(), epochs=1, random_state=0)
        .fit(X[:50], [None, *Y[1:50]], unlabeled=X[50:])
        .predict_proba(X)
    ),
    "evaluate": measured,
    "evaluate against a target": lambda X: [evaluate(FITTED, X, target=X[::-1]).errors.mse],
    "robustness": lambda X: isthmus.robustness(FITTED, X, kinds="GaussianNoise", draws=1, n=40).to_frame().to_numpy(),
    "keys": lambda X: [example_keys(as_examples(X).values), rounded_keys(as_examples(X / 3).values)],
    "statistics": lambda X: [*DataStatistics(as_examples(X).values).sums((0,)), Fingerprint.of(as_examples(X).values)],
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.filterwarnings("ignore:.*no label")
def test_a_sparse_matrix_gives_the_results_of_the_dense_array(use: Callable[[Any], Any]) -> None:
    for dense, other in zip(use(DENSE), use(sparse.csr_array(DENSE)), strict=True):
        np.testing.assert_array_equal(dense, other)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("family", ["array", "matrix"])
@pytest.mark.filterwarnings("ignore:Constructing a DIA")
def test_every_format_is_accepted(kind: str, family: str) -> None:
    X = getattr(sparse, f"{kind}_{family}")(DENSE)
    np.testing.assert_array_equal(FITTED.transform(X), FITTED.transform(DENSE))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.int64, np.float32])
def test_every_type_of_numbers_gives_the_results_of_the_dense_array(dtype: Any) -> None:
    X = DENSE.astype(dtype)
    np.testing.assert_array_equal(
        quick().fit(X).encode(X), quick().fit(sparse.csr_array(X)).encode(sparse.csr_array(X))
    )


def test_entries_of_one_place_add_up_and_the_matrix_is_not_changed() -> None:
    twice = sparse.csr_array((np.array([1.0, 2.0, 5.0]), np.array([2, 2, 0]), np.array([0, 2, 3])), shape=(2, 9))
    dense = np.array([[0, 0, 3.0, *[0] * 6], [5.0, *[0] * 8]])
    np.testing.assert_array_equal(FITTED.transform(twice), FITTED.transform(dense))
    assert twice.nnz == 3
    assert DataStatistics(as_examples(twice).values).sums((0,))[0].tolist() == dense.sum(0).tolist()


def test_missing_values_of_a_sparse_matrix_are_imputed() -> None:
    np.testing.assert_array_equal(WITH_HOLES.impute(sparse.csr_array(HOLES)), WITH_HOLES.impute(HOLES))
    for dense, other in zip(
        weights(WITH_HOLES), weights(quick(missing="allow").fit(sparse.csr_array(HOLES))), strict=True
    ):
        np.testing.assert_array_equal(dense, other)


def test_errors_name_the_row_and_the_column() -> None:
    X = sparse.lil_array((300, 40))
    X[250, 31] = np.inf
    with pytest.raises(DataError, match="infinity: row 250, column 31"):
        quick().fit(X)
    X[250, 31] = 1.5
    with pytest.raises(
        DataError, match=r"row 250, column 31 is 1\.5, but the Poisson likelihood requires whole numbers"
    ):
        quick(likelihood=Poisson()).fit(X)
    X[250, 31] = -1
    with pytest.raises(DataError, match="row 250, column 31 is -1"):
        quick(likelihood=Poisson()).fit(X)


def test_words_of_documents_go_through_a_pipeline() -> None:
    texts = ["red green", "green blue blue", "red red blue", "blue"] * 10
    pipe = make_pipeline(CountVectorizer(), quick(likelihood=Poisson())).fit(texts)
    assert pipe.transform(texts).shape == (40, 3)


def test_rows_are_selected_like_those_of_an_array() -> None:
    rows, mask = SparseRows(sparse.csr_array(DENSE)), DENSE[:, 2] > 1
    for key in (slice(3, 50, 2), slice(None, None, -1), np.array([5, 0, 5]), mask, (slice(None), [2, 0])):
        np.testing.assert_array_equal(np.asarray(rows[key]), DENSE[key])
        assert isinstance(rows[key], SparseRows)
    np.testing.assert_array_equal(rows[-1], DENSE[-1])
    with pytest.raises(IndexError):
        rows[len(DENSE)]
    assert (rows.size, rows.nbytes, len(rows)) == (DENSE.size, DENSE.nbytes, len(DENSE))
    assert np.asarray(rows, np.float32).dtype == np.float32


def test_a_dense_result_that_does_not_fit_is_an_error_before_it_is_made() -> None:
    X = sparse.csr_array((1, 10**9), dtype=np.float64)
    rows = as_examples(sparse.vstack([X] * 10_000, format="csr").astype(np.float32)[:, :100]).values
    assert np.asarray(rows).shape == (10_000, 100)
    huge = SparseRows(sparse.csr_array((10**7, 10**6)))
    with pytest.raises(
        MemoryLimitError, match="a dense array of 10,000,000 rows with 1,000,000 columns would take about 80 TB"
    ):
        np.asarray(huge)


# Files


def saved(path: Path, values: Array = DENSE, **others: Any) -> Path:
    X = sparse.csr_array(values)
    np.savez(path, data=X.data, indices=X.indices, indptr=X.indptr, shape=X.shape, format=b"csr", **others)
    return path


@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize("compressed", [True, False])
def test_npz_files_of_scipy_are_read(kind: str, compressed: bool, tmp_path: Path) -> None:
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_array(DENSE).asformat(kind), compressed=compressed)
    dataset = read(tmp_path / "x.npz")
    assert isinstance(dataset.train, SparseRows)
    np.testing.assert_array_equal(np.asarray(dataset.train), DENSE)
    assert f"9 float64, sparse ({(DENSE != 0).mean():.2g} of the values stored)" in dataset.summary()
    assert dataset.notes == ()


def test_labels_beside_a_sparse_matrix_are_read_and_other_arrays_named(tmp_path: Path) -> None:
    dataset = read(saved(tmp_path / "x.npz", y=Y, batch=Y))
    np.testing.assert_array_equal(dataset.train_labels, Y)
    assert "not used: 1 of the arrays" in dataset.notes[0]
    assert "batch" in dataset.notes[0]
    np.testing.assert_array_equal(read(tmp_path / "x.npz", labels="batch").train_labels, Y)
    with pytest.raises(DataError, match="no array 'kind' for the labels"):
        read(tmp_path / "x.npz", labels="kind")
    with pytest.raises(DataError, match="labels of shape"):
        read(saved(tmp_path / "short.npz", y=Y[:5]))


@pytest.mark.parametrize("field", ["real", "integer", "pattern"])
def test_matrix_market_files_are_read(field: str, tmp_path: Path) -> None:
    values = (DENSE != 0).astype(float) if field == "pattern" else DENSE
    scipy.io.mmwrite(
        tmp_path / "x.mtx",
        sparse.coo_array(values.astype(int) if field == "integer" else values),
        field=field,
        comment="a\nb",
    )
    dataset = read(tmp_path / "x.mtx")
    np.testing.assert_array_equal(np.asarray(dataset.train), values)
    assert "are the examples: 120 with 9 features; if its columns are, transpose it first" in dataset.notes[0]


def test_dense_and_symmetric_matrix_market_files_are_read(tmp_path: Path) -> None:
    scipy.io.mmwrite(tmp_path / "x.mtx", DENSE)
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "x.mtx").train), DENSE)
    square = DENSE[:9] + DENSE[:9].T
    scipy.io.mmwrite(tmp_path / "s.mtx", sparse.coo_array(square), symmetry="symmetric")
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "s.mtx").train), square)


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "an index beyond the columns": ({"indices": np.array([0, 9], np.int32)}, "damaged sparse matrix"),
    "a negative index": ({"indices": np.array([0, -1], np.int32)}, "damaged sparse matrix"),
    "pointers beyond the values": ({"indptr": np.array([0, 1, 7], np.int32)}, "damaged sparse matrix"),
    "pointers that fall": ({"indptr": np.array([0, 3, 2], np.int32)}, "damaged sparse matrix"),
    "another number of rows": ({"shape": np.array([5, 9])}, "damaged sparse matrix"),
    "three axes": ({"shape": np.array([2, 9, 1])}, "damaged sparse matrix"),
    "no column": ({"shape": np.array([2, 0])}, r"of shape \(2, 0\)"),
    "text": ({"data": np.array(["a", "b"])}, "of <U1 values: save numbers"),
    "another format": ({"format": np.array(b"bsr")}, "of the format 'bsr': save it with"),
    "no format": ({"format": np.array(3)}, "of the format ''"),
}


@pytest.mark.promise(5)
@pytest.mark.parametrize(("change", "sentence"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_npz_files_are_refused(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    whole = {"data": np.ones(2), "indices": np.array([0, 3], np.int32), "indptr": np.array([0, 1, 2], np.int32)}
    parts = {**whole, "shape": np.array([2, 9]), "format": np.array(b"csr")}
    np.savez(tmp_path / "x.npz", **parts)
    assert np.asarray(read(tmp_path / "x.npz").train).sum() == 2
    np.savez(tmp_path / "x.npz", **(parts | change))
    with pytest.raises(DataError, match=sentence):
        read(tmp_path / "x.npz")


def test_a_matrix_without_values_is_read(tmp_path: Path) -> None:
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_array((3, 4)))
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "x.npz").train), np.zeros((3, 4)))


def test_a_small_file_that_declares_endless_rows_is_refused(tmp_path: Path) -> None:
    indptr = np.array([0, 1, 2], np.int64)
    np.savez(
        tmp_path / "x.npz",
        data=np.ones(2),
        indices=np.zeros(2, np.int64),
        indptr=indptr,
        shape=(10**11, 2),
        format=b"csc",
    )
    assert zipfile.ZipFile(tmp_path / "x.npz").testzip() is None
    with pytest.raises(MemoryLimitError, match="which declares 100,000,000,000 rows and 2 columns"):
        read(tmp_path / "x.npz")


HEADER = "%%MatrixMarket matrix coordinate real general\n"
HOSTILE = {
    "another file": ("a,b\n1,2\n", "no header of a Matrix Market file"),
    "complex": (
        "%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 1\n",
        "no header of a Matrix Market file",
    ),
    "no size": (HEADER + "%\n", "does not state its rows, columns and values"),
    "half a size": (HEADER + "2 2\n", "does not state its rows, columns and values"),
    "more values than bytes": (HEADER + "9 9 1000000000000\n1 1 1\n", "declares 1,000,000,000,000 values, and has"),
    "a row beyond": (HEADER + "2 2 1\n3 1 1\n", "damaged Matrix Market file"),
    "a column of 0": (HEADER + "2 2 1\n1 0 1\n", "damaged Matrix Market file"),
    "too few values": (HEADER + "2 2 3\n1 1 1\n1 2 3\n", "damaged Matrix Market file"),
    "text": (HEADER + "2 2 1\n1 1 x\n", "damaged Matrix Market file"),
    "no rows": (HEADER + "0 2 0\n", r"of shape \(0, 2\)"),
    "endless rows": (HEADER + "100000000000 2 1\n1 1 1\n", "which declares 100,000,000,000 rows"),
}


@pytest.mark.promise(5)
@pytest.mark.parametrize(("content", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_damaged_matrix_market_files_are_refused(content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.mtx").write_text(content)
    with pytest.raises((DataError, MemoryLimitError), match=sentence):
        read(tmp_path / "x.mtx")


# The command line


def trained(folder: Path, source: str, every_figure: bool) -> Path:
    """A run on the file."""
    words = ("likelihood=Poisson", "bottleneck=Gaussian", "bottleneck.size=2", "architecture.hidden=6", "epochs=1")
    done = run("train", "--data", source, "--out", source[0], *words, cwd=folder, every_figure=every_figure)
    assert done.returncode == 0, done.stderr
    return folder / source[0]


@pytest.mark.parametrize("every_figure", thorough_where([False, True], bool))
def test_the_command_line_gives_the_results_of_the_dense_file(every_figure: bool, tmp_path: Path) -> None:
    values = counts(60, 6)
    np.save(tmp_path / "dense.npy", values)
    saved(tmp_path / "sparse.npz", values)
    runs = [trained(tmp_path, source, every_figure) for source in ("dense.npy", "sparse.npz")]
    for dense, other in zip(*(weights(isthmus.load(folder)) for folder in runs), strict=True):
        np.testing.assert_array_equal(dense, other)
    for verb in ("reconstruct", "encode", "detect") if every_figure else ("reconstruct",):
        for folder, source in zip(runs, ("dense.npy", "sparse.npz"), strict=True):
            done = run(verb, folder.name, "--data", source, "--out", f"{verb}-{folder.name}.csv", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        first, second = ((tmp_path / f"{verb}-{folder.name}.csv").read_text() for folder in runs)
        assert first == second


@pytest.mark.thorough
def test_verbs_take_sparse_files(tmp_path: Path) -> None:
    saved(tmp_path / "sparse.npz", y=Y)
    trained(tmp_path, "sparse.npz", False)
    for words in (("evaluate", "s"), ("robustness", "s"), ("finetune", "s"), ("compress", "s")):
        done = run(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = run("sweep", "--data", "sparse.npz", "--out", "w", "bottleneck.size=2,3", "epochs=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


# Memory


def beyond_the_data(n: int, d: int) -> float:
    """The megabytes of memory that training on a sparse matrix (n, d) takes, measured in a process of its own."""
    script = f"""
        import resource
        import numpy as np
        from scipy import sparse
        from isthmus import Autoencoder
        from isthmus.architectures import MLP
        from isthmus.likelihoods import Poisson

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

        rng, count = np.random.default_rng(0), {n * d} // 1000
        places = np.sort(rng.integers(0, {n}, count)), rng.integers(0, {d}, count)
        X = sparse.csr_array((np.ones(count, np.float32), places), shape=({n}, {d}))
        ae = Autoencoder(4, architecture=MLP((8,)), likelihood=Poisson(), batch_size=32, epochs=64 / {n}, random_state=0)
        ae.fit(X[:64, :10])
        before = peak()
        ae.fit(X)
        assert ae.transform(X[:200]).shape == (200, 4)
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory in kilobytes is that of Linux")
def test_training_on_a_sparse_matrix_takes_the_memory_of_a_batch() -> None:
    dense = 40_000 * 10_000 * 4 / 1e6
    assert dense == 1600
    assert beyond_the_data(40_000, 10_000) < 300


def test_a_whole_matrix_is_never_made_dense_by_training(monkeypatch: pytest.MonkeyPatch) -> None:
    largest: list[int] = []
    original = SparseRows.__array__

    def recorded(self: SparseRows, dtype: Any = None, copy: bool | None = None) -> Array:
        largest.append(len(self))
        return original(self, dtype, copy)

    monkeypatch.setattr(SparseRows, "__array__", recorded)
    X = sparse.csr_array((np.ones(3000), (np.arange(3000), np.arange(3000) % 2600)), shape=(3000, 2600))
    ae = quick(bottleneck=2, architecture=MLP((4,)), batch_size=64, epochs=0.1, likelihood=Poisson()).fit(X)
    ae.transform(X), ae.score_samples(X), ae.reconstruction_error(X)
    assert 0 < max(largest) <= 2**22 // 2600 + 1


# AnnData


class Cells:
    """An object with the attributes of an AnnData that are used; slices select rows."""

    def __init__(self, X: Any, obs: pd.DataFrame, genes: list[str], layers: dict[str, Any] | None = None) -> None:
        self.X, self.obs, self.layers = X, obs, layers or {}
        self.var_names, self.obs_names = pd.Index(genes), obs.index

    def __len__(self) -> int:
        return len(self.obs)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.obs), len(self.var_names))

    def __getitem__(self, rows: Any) -> Cells:
        return Cells(self.X[rows], self.obs.iloc[rows], list(self.var_names))


GENES = [f"gene {number}" for number in range(DENSE.shape[1])]
OBS = pd.DataFrame({"batch": np.where(Y, "b", "a"), "depth": DENSE.sum(1)}, index=[f"cell {i}" for i in range(len(Y))])


def test_the_matrix_of_an_anndata_is_learned_with_the_names_of_its_features() -> None:
    adata = Cells(sparse.csr_matrix(DENSE), OBS, GENES)
    ae = quick().fit(adata)
    assert list(ae.feature_names_in_) == GENES
    np.testing.assert_array_equal(ae.transform(adata), FITTED.transform(DENSE))
    np.testing.assert_array_equal(ae.transform(adata[5:9]), FITTED.transform(DENSE[5:9]))
    with pytest.raises(ValueError, match="feature names should match"):
        ae.transform(Cells(sparse.csr_matrix(DENSE), OBS, GENES[::-1]))
    with pytest.raises(DataError, match="two columns with the name 'gene 0'"):
        quick().fit(Cells(DENSE, OBS, ["gene 0"] * 9))


def test_an_anndata_is_read_with_ids_and_labels() -> None:
    adata = Cells(sparse.csr_matrix(DENSE), OBS, GENES, {"counts": DENSE})
    dataset = read(adata, labels="batch")
    np.testing.assert_array_equal(np.asarray(dataset.train), DENSE)
    assert dataset.columns == tuple(GENES)
    assert dataset.ids is not None
    assert list(dataset.ids[:2]) == ["cell 0", "cell 1"]
    np.testing.assert_array_equal(dataset.train_labels, OBS["batch"])
    assert dataset.notes == ("not used of the AnnData: obs (depth) and layers (counts); used: X, and batch as labels",)
    with pytest.raises(
        DataError, match=r"obs of the AnnData has no column 'kind' for the labels \(it has batch, depth\)"
    ):
        read(adata, labels="kind")
    with pytest.raises(DataError, match=r"drop=.*an AnnData takes labels="):
        read(adata, drop="depth")


def test_a_file_of_anndata_without_the_package_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    (tmp_path / "x.h5ad").write_bytes(b"\x89HDF")
    with pytest.raises(
        ModuleNotFoundError, match=r"x\.h5ad requires anndata, which is not installed: run pip install anndata"
    ):
        read(tmp_path / "x.h5ad")
