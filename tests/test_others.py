"""Inside other people's programs: workers, searches, pipelines, copies, many models one after the other."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import thorough_where
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian, Identity

X, Y = load_iris(return_X_y=True)
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def _workers_end() -> Iterator[None]:
    """Joblib keeps its workers, and the threads that feed them: other tests are to find this process as it was."""
    yield
    get_reusable_executor().shutdown(wait=True)


def small(**choices: Any) -> Autoencoder:
    return Autoencoder(
        **{"bottleneck": Identity(2), "architecture": MLP((8,)), "epochs": 3, "random_state": 0} | choices
    )


def codes(ae: Autoencoder) -> np.ndarray:
    """What a worker does."""
    return ae.fit(X).transform(X)


def loaded(path: Path) -> np.ndarray:
    return load(path).transform(X)


@pytest.mark.parametrize("method", thorough_where(["fork", "spawn", "forkserver"], lambda way: way != "fork"))
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_fit_and_load_the_same_models(method: str, tmp_path: Path) -> None:
    here = codes(small())
    small().fit(X).save(tmp_path / "x")
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as workers:
        for there in workers.map(codes, [small(), small()]):
            np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)
        for there in workers.map(loaded, [tmp_path / "x"] * 2):
            np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_joblib_and_threads() -> None:
    here = codes(small())
    for there in Parallel(n_jobs=2)(delayed(codes)(small()) for _ in range(3)):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)
    fitted = small().fit(X)
    with ThreadPoolExecutor(4) as threads:
        for there in threads.map(lambda _: fitted.transform(X), range(8)):
            np.testing.assert_array_equal(there, fitted.transform(X))
        for there in threads.map(lambda _: codes(small()), range(4)):
            np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_searches_in_two_jobs() -> None:
    search = GridSearchCV(small(), {"bottleneck__size": [1, 2]}, n_jobs=2, cv=3).fit(X)
    alone = GridSearchCV(small(), {"bottleneck__size": [1, 2]}, cv=3).fit(X)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=1e-3)
    pipeline = make_pipeline(StandardScaler(), small(epochs=20), LogisticRegression())
    assert cross_val_score(pipeline, X, Y, n_jobs=2, cv=3).mean() > 0.6


def test_copies_are_independent() -> None:
    ae = small().fit(X)
    copy, again = pickle.loads(pickle.dumps(ae)), clone(ae)
    assert not hasattr(again, "model_")
    copy.partial_fit(X)
    assert not np.array_equal(copy.transform(X), ae.transform(X))
    np.testing.assert_array_equal(again.fit(X).transform(X), ae.transform(X))


@pytest.mark.thorough
def test_a_model_is_used_while_another_trains() -> None:
    ae, failed = small().fit(X), list[BaseException]()
    expected, stop = ae.transform(X), threading.Event()

    def use() -> None:
        try:
            while not stop.is_set():
                np.testing.assert_array_equal(ae.transform(X), expected)
        except BaseException as error:
            failed.append(error)

    user = threading.Thread(target=use)
    user.start()
    small(bottleneck=Gaussian(2), epochs=20).fit(X)
    stop.set()
    user.join()
    assert not failed


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own figures are read")
@pytest.mark.thorough
def test_repeated_training_leaks_no_memory() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "soak.py", "--cycles", "300"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
