"""New examples in other units than those that were fitted are noticed, by the bulk of them and in one sentence; honest ones never."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import thorough_where
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from test_cli import run

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, compare, evaluate, finetune
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.compression import compress, rate_distortion
from isthmus.data.locations import Positions
from isthmus.errors import IsthmusWarning, NotPossibleError
from isthmus.estimators.unit_check import check_units
from isthmus.evaluation.robustness_curve import robustness
from isthmus.scaling import Extent

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(60, 4)) * [1, 10, 100, 0] + [0, 20, -300, 5]
BYTES = (RNG.random((40, 8, 8)) ** 3 * 255).astype(np.uint8)
BYTES.reshape(-1)[:2] = 0, 255


def trained(X: Any, **choices: Any) -> Autoencoder:
    return Autoencoder(Identity(2), architecture=MLP((4,)), epochs=1, random_state=0, **choices).fit(X)


def heard(call: Callable[[], Any]) -> list[str]:
    """The sentences about units."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    messages = [str(w.message) for w in caught if issubclass(w.category, IsthmusWarning)]
    return [message for message in messages if "training range" in message]


@pytest.fixture(scope="module")
def table() -> Autoencoder:
    return trained(TABLE)


@pytest.fixture(scope="module")
def images() -> Autoencoder:
    return trained(BYTES)


def test_images_in_bytes_and_in_the_unit_interval_are_distinguished(images: Autoencoder) -> None:
    (said,) = heard(lambda: images.encode((BYTES / 255).astype(np.float32)))
    assert "were bytes divided by 255" in said
    shares = trained((BYTES / 255).astype(np.float32), kind="images")
    (said,) = heard(lambda: shares.encode(BYTES))
    assert said.endswith("they seem to be bytes, and the training data was in [0, 1]: divide by 255")


def test_a_column_in_another_unit_is_named(table: Autoencoder) -> None:
    X = TABLE.copy()
    X[:, 1] += 273.15
    (said,) = heard(lambda: table.reconstruct(X))
    assert said.startswith("column 1 lies far outside the training range: 2")
    assert said.endswith("is it in another unit, or are the columns in another order?")
    (said,) = heard(lambda: table.reconstruct(TABLE[:, [2, 1, 0, 3]]))
    assert "are the columns in another order" in said


POSITIVE = np.exp(RNG.normal(size=(80, 3)) * [0.2, 0.7, 0.2] + [4.2, 0, 3]) * [
    1,
    1,
    -1,
]  # kg, of a wide range, of the other sign


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("missing", [False, True])
def test_a_column_that_became_far_smaller_is_named(column: int, missing: bool) -> None:
    """As kilograms that came as tons; the other columns are as they were."""
    ae, X = trained(POSITIVE, missing="allow" if missing else "error"), POSITIVE.copy()
    X[:, column] /= 1000
    X[::2, column] = np.nan if missing else X[::2, column]
    (said,) = heard(lambda: ae.encode(X))
    assert said.startswith(f"column {column} lies far outside the training range: ")
    least, largest = np.nanmin(X[:, column]), np.nanmax(X[:, column])
    assert f" {least:g} to {largest:g} in all rows, {POSITIVE[:, column].min():g} to " in said


def halves(X: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A table split at random, along each column, and by class: rows that are fitted, and others."""
    order = RNG.permutation(len(X))
    yield X[order[::2]], X[order[1::2]]
    for column in X.T:
        order = np.argsort(column, kind="stable")
        for part in (5, len(X) // 2, len(X) - 5):
            yield X[order[:part]], X[order[part:]]
            yield X[order[part:]], X[order[:part]]
    for label in np.unique(y):
        yield X[y != label], X[y == label]


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits, "heavy tails", "counts"])
def test_random_halves_of_data_do_not_warn(load: Any) -> None:
    if load == "heavy tails":
        X, y = np.exp(RNG.normal(size=(300, 6)) * np.linspace(0.2, 3, 6)), np.arange(300) % 2
    elif load == "counts":
        X, y = RNG.poisson(np.linspace(0.05, 3, 6), size=(300, 6)) + 1.0, np.arange(300) % 2
    else:
        X, y = load(return_X_y=True)
    for fitted, others in halves(X, y):
        extent = Extent(fitted.min(0), fitted.max(0))
        said = heard(lambda: check_units(others, extent, Positions(), heard))  # noqa: B023  # called at once
        assert not [each for each in said if "in all rows" in each or "less than a hundredth" in each]


VERBS: dict[str, list[str]] = {
    "detect": ["--normal", "t.csv"],
    "plot": ["reconstructions", "traversal", "--out", "drawn"],
    "robustness": ["kinds=GaussianNoise", "levels=0.3", "draws=1"],
    "sample": ["--method", "gmm"],
    "compare": ["other.safetensors"],
    "evaluate": [],
    "encode": [],
    "reconstruct": [],
    "compress": [],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_warns_once(verb: str, tmp_path: Path) -> None:
    def write(name: str, values: np.ndarray) -> None:
        np.savetxt(tmp_path / name, values, delimiter=",", header="kg,m,K", comments="")

    write("t.csv", POSITIVE)
    ae = Autoencoder(Identity(2), architecture=MLP((4,)), epochs=1, random_state=0)
    ae.fit(pd.DataFrame(POSITIVE, columns=["kg", "m", "K"])).save(tmp_path / "m.safetensors")
    ae.save(tmp_path / "other.safetensors")
    for factor in (1000, 1 / 1000):
        write("u.csv", POSITIVE * [factor, 1, 1])
        done = run(verb, "m.safetensors", *VERBS[verb], "--data", "u.csv", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        notes = [line for line in (done.stdout + done.stderr).splitlines() if "outside the training range" in line]
        assert len(notes) == 1, notes
        assert notes[0].startswith("note: column 'kg' lies far outside the training range: ")
    done = run(verb, "m.safetensors", *VERBS[verb], "--data", "t.csv", cwd=tmp_path)
    printed = done.stdout + done.stderr
    assert not any(f"{what} the training range" in printed for what in ("outside", "hundredth of")), printed


@pytest.mark.parametrize(
    "verbs", thorough_where(["impute", "evaluate finetune impute detect"], lambda verbs: " " in verbs)
)
def test_a_command_names_columns_once_with_missing_values_and_labels(verbs: str, tmp_path: Path) -> None:
    labels, values = np.arange(len(POSITIVE)) % 2, POSITIVE.copy()
    values[3, 1] = np.nan

    def write(name: str, factor: float) -> None:
        frame = pd.DataFrame(values * [factor, 1, 1], columns=["kg", "m", "K"]).assign(kind=labels)
        frame.to_csv(tmp_path / name, index=False)

    write("t.csv", 1)
    write("u.csv", 1000)
    words = ["--labels", "kind", "--out", "run", "epochs=1", "missing=allow"]
    assert run("train", "--data", "t.csv", *words, cwd=tmp_path).returncode == 0
    for verb in verbs.split():
        done = run(verb, "run", "--data", "u.csv", cwd=tmp_path)
        notes = [line for line in (done.stdout + done.stderr).splitlines() if "outside the training range" in line]
        assert len(notes) == 1, (verb, notes)
        assert notes[0].startswith("note: column 'kg' lies far outside the training range: ")


def test_a_channel_in_another_unit_is_named() -> None:
    X = RNG.normal(size=(30, 6, 2))
    ae = trained(X)
    (said,) = heard(lambda: ae.encode(X * [1, 1000]))
    assert said.startswith("channel 1 lies far outside")


WRONG = TABLE * 1000
Y = np.arange(len(TABLE)) % 3
WAYS: dict[str, Callable[[Autoencoder, Path], Any]] = {
    "transform": lambda ae, _: ae.transform(WRONG),
    "score": lambda ae, _: ae.score(WRONG),
    "reconstruction_error": lambda ae, _: ae.reconstruction_error(WRONG),
    "corrupt": lambda ae, _: ae.corrupt(WRONG),
    "sample": lambda ae, _: ae.sample(3, 0, method="gmm", X=WRONG),
    "evaluate": lambda ae, _: evaluate(ae, WRONG, Y),
    "compare": lambda ae, _: compare({"one": ae, "two": trained(TABLE)}, WRONG),
    "robustness": lambda ae, _: robustness(ae, WRONG),
    "compress": lambda ae, folder: compress(ae, WRONG, folder / "x.isthmus", step=1.0),
    "rate_distortion": lambda ae, _: rate_distortion(ae, WRONG),
    "finetune": lambda ae, _: finetune(ae, WRONG, Y, epochs=1, random_state=0),
    "validation": lambda *_: trained(TABLE).set_params(warm_start=True).fit(TABLE, validation_data=WRONG),
    "frozen detector": lambda ae, _: OutlierDetector.from_fitted(ae, WRONG, false_alarm_rate=0.2, random_state=0),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_pass_examples_warns_once(way: str, table: Autoencoder, tmp_path: Path) -> None:
    assert len(heard(lambda: WAYS[way](table, tmp_path))) == 1


def test_detectors_and_classifiers_warn_once(table: Autoencoder) -> None:
    detector = OutlierDetector(table, false_alarm_rate=0.2, random_state=0).fit(TABLE)
    classifier = AutoencoderClassifier(table, epochs=1, random_state=0).fit(TABLE, Y)
    calls = [
        getattr(detector, name) for name in ("score_samples", "predict", "p_values", "contributions", "attributions")
    ]
    calls += [getattr(classifier, name) for name in ("predict", "predict_proba")]
    for call in calls:
        assert len(heard(lambda call=call: call(WRONG))) == 1, call.__name__


def few_anomalies() -> Any:
    X = TABLE.copy()
    X[:20] *= 1e4
    return X


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(TABLE, id="the same"),
        pytest.param(few_anomalies(), id="a third anomalous"),
        pytest.param(TABLE[:1] * 1000, id="a single row"),
        pytest.param(np.repeat(TABLE[:1], 9, 0), id="all alike"),
        pytest.param(TABLE * [1, 1, 1, 7], id="a constant column that is another now"),
        pytest.param(TABLE * 1.5, id="somewhat larger"),
        pytest.param(TABLE * 0, id="all zero"),
    ],
)
def test_ordinary_examples_do_not_warn(X: Any, table: Autoencoder) -> None:
    assert heard(lambda: table.encode(X)) == []


def test_dark_images_codes_and_old_files_do_not_warn(images: Autoencoder) -> None:
    assert heard(lambda: images.encode(BYTES // 40)) == []
    assert heard(lambda: images.encode(BYTES * 0)) == []
    assert heard(lambda: images.decode(np.full((9, 2), 1e6))) == []
    assert heard(lambda: check_units(WRONG, None, Positions(), images)) == []


def test_missing_values_do_not_affect_the_unit_check() -> None:
    X = TABLE[:, :3].copy()
    ae = trained(X, missing="allow")
    X[:, 1] = np.nan
    assert heard(lambda: ae.encode(X)) == []


def test_columns_without_spread_are_not_checked() -> None:
    flat = Extent(np.ones(2), np.ones(2))
    assert heard(lambda: check_units(np.full((9, 2), 7.0), flat, Positions(), heard)) == []


def silent_at_first() -> np.ndarray:
    X = RNG.normal(size=(200, 3)).astype(np.float32)
    X[:40, 2] = 1e-3 * X[:40, 2]
    return X


@pytest.mark.parametrize("still", [False, True])
def test_partial_fit_warns_where_later_data_are_far_outside_its_first_part(still: bool) -> None:
    X = silent_at_first()
    if still:
        X[:40, 2] = 0
    stream = Autoencoder(Identity(2), architecture=MLP((4,)), random_state=0)
    assert heard(lambda: stream.partial_fit(X[:40])) == []
    (said,) = heard(lambda: stream.partial_fit(X[40:]))
    assert said.startswith("column 2 lies far outside the training range")


def test_a_sample_decides_the_scaling_of_a_stream() -> None:
    X = silent_at_first()
    stream = Autoencoder(Identity(2), architecture=MLP((4,)), random_state=0)
    assert heard(lambda: stream.partial_fit(X[:40], scaling_sample=X[::3])) == []
    assert heard(lambda: stream.partial_fit(X[40:])) == []
    scale = stream.model_.scale.numpy()
    assert scale[2] == pytest.approx(X[::3, 2].std(), rel=1e-5)
    assert (
        stream.model_.state_dict().keys()
        == Autoencoder(Identity(2), architecture=MLP((4,))).initialize(X).model_.state_dict().keys()
    )
    with pytest.raises(NotPossibleError, match="this is a later call: leave it out"):
        stream.partial_fit(X, scaling_sample=X)


def test_a_sample_that_is_the_first_part_changes_nothing() -> None:
    X = RNG.normal(size=(50, 3)).astype(np.float32)
    new = Autoencoder(Identity(2), architecture=MLP((4,)), random_state=0)
    one, two = (clone(new) for _ in range(2))
    assert np.array_equal(one.partial_fit(X).encode(X), two.partial_fit(X, scaling_sample=X).encode(X))


@pytest.mark.parametrize("away", [60.0, -1e4], ids=["above", "below"])
def test_a_column_that_never_varied_and_is_far_away_now_is_named(away: float, table: Autoencoder) -> None:
    X = TABLE.copy()
    X[:, 3] += away * RNG.random(len(X)).round(3) + np.sign(away) * 60
    (said,) = heard(lambda: table.encode(X))
    assert said.startswith("column 3 lies far outside the training range")
    assert "always 5 in the training data" in said
    offset = np.array([0, 0, 0, 1e7])
    large = trained(TABLE + offset)
    assert heard(lambda: large.encode(TABLE + offset * (1 + 6e-6))) == []  # float32 has steps of 1 there


def test_negative_values_are_not_bytes_and_a_constant_first_part_requests_a_sample() -> None:
    silent = TABLE * [1, 1, 1, 0]
    ae = Autoencoder(Identity(2), architecture=MLP((4,)), epochs=1, random_state=0).partial_fit(silent)
    (said,) = heard(lambda: ae.partial_fit(silent + RNG.normal(size=(60, 1)) * [0, 0, 0, 1]))
    assert "divide by 255" not in said
    assert said.endswith("pass a sample of the whole stream as scaling_sample in the first partial_fit")
    shares = trained(RNG.random((60, 3)))
    (said,) = heard(lambda: shares.encode(RNG.normal(size=(60, 3)) * 50))
    assert "divide by 255" not in said


def test_one_image_determines_its_unit_unless_it_is_corrupted_or_dark(images: Autoencoder) -> None:
    shares = trained((BYTES / 255).astype(np.float32), kind="images")
    (said,) = heard(lambda: shares.encode(BYTES[:1]))
    assert said.endswith("divide by 255")
    (said,) = heard(lambda: images.encode((BYTES[:1] / 255).astype(np.float32)))
    assert "were bytes divided by 255" in said
    corrupted = (BYTES[:1] / 255).astype(np.float32)
    corrupted[0, 0, 0] = 99
    assert heard(lambda: shares.encode(corrupted)) == []
    assert heard(lambda: images.encode(BYTES[:1] // 200)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own figures of memory are read")
def test_the_check_reads_only_the_rows_it_looks_at(tmp_path: Path) -> None:
    """A page of a mapped file that is touched brings its neighbors into memory, so that 256 rows would bring all of this file."""

    def mapped() -> int:
        return int(re.findall(r"RssFile:\s*(\d+)", Path("/proc/self/status").read_text())[0]) << 10

    X = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (600_000, 100))
    X[:] = np.random.default_rng(0).integers(0, 255, (1, 100), np.uint8)
    del X
    X = np.load(tmp_path / "x.npy", mmap_mode="r")
    extent, before = Extent(np.zeros(100), np.full(100, 255.0)), mapped()
    check_units(X, extent, Positions(), X)
    assert mapped() - before < 8 << 20
