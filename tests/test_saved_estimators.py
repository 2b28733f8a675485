"""Saved detectors and classifiers: results are bit-identical, labels keep their types, and invalid files are refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from hostile_files import Header, Tensors, edited, parts, put
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from test_cli import run

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, load
from isthmus.architectures import MLP, Modules
from isthmus.bottlenecks import Identity
from isthmus.corruptions import GaussianNoise
from isthmus.data.label_classes import from_lines, to_lines
from isthmus.errors import ModelFileError, NotPossibleError
from isthmus.optimizers import AdamW, OneCycle

X = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("file", Autoencoder), ("run", Autoencoder), ("detector", OutlierDetector), ("classifier", AutoencoderClassifier)],
)
def test_one_load_reads_every_kind(name: str, kind: type, ae: Autoencoder, files: Path, tmp_path: Path) -> None:
    ae.save(tmp_path / "file")
    (tmp_path / "run").mkdir()
    ae.save(tmp_path / "run/model.safetensors")
    path = tmp_path / name if name in {"file", "run"} else files / name
    for argument in (path, str(path)):
        loaded = load(argument)
        assert type(loaded) is kind
        assert loaded.transform(X[:3]).shape == (3, 2) if kind is Autoencoder else loaded.predict(X[:3]).shape == (3,)


def small(**choices: Any) -> Autoencoder:
    return Autoencoder(Identity(2), **{"architecture": MLP((8,)), "epochs": 1, "random_state": 0} | choices)


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    return small().fit(X)


@pytest.fixture(scope="module")
def files(ae: Autoencoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("around")
    OutlierDetector.from_fitted(ae, X, anomaly_score="combined", calibration_fraction=0.5, random_state=0).save(
        folder / "detector"
    )
    OutlierDetector.from_fitted(ae, X, contamination=0.1, anomaly_score="error", random_state=0).save(folder / "error")
    OutlierDetector.from_fitted(ae, X, anomaly_score="neighbors", calibration_fraction=0.5, random_state=0).save(
        folder / "neighbors"
    )
    AutoencoderClassifier(ae, epochs=1, random_state=0).fit(X, np.arange(90) % 3).save(folder / "classifier")
    return folder


@pytest.mark.promise(8)
@pytest.mark.parametrize("measure", ["ensemble", "neighbors", "combined", "code", "error", "standardized", "nats"])
def test_a_loaded_detector_is_bit_identical(measure: Any, ae: Autoencoder, tmp_path: Path) -> None:
    choices = {"contamination": 0.1} if measure == "error" else {"false_alarm_rate": 0.1}
    detector = OutlierDetector.from_fitted(
        ae, X, anomaly_score=measure, random_state=0, calibration_fraction=0.5, **choices
    )
    detector.save(tmp_path / "x")
    again, new = load(tmp_path / "x"), X[::-1] * 3
    assert isinstance(again, OutlierDetector)
    for method in ("score_samples", "decision_function", "predict", "p_values", "contributions"):
        np.testing.assert_array_equal(getattr(again, method)(new), getattr(detector, method)(new))
    assert (again.attributions(new), again.guarantee()) == (detector.attributions(new), detector.guarantee())
    assert again.get_params(deep=False).keys() == detector.get_params(deep=False).keys()
    assert again.autoencoder.estimator is again.autoencoder_
    again.save(tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == (tmp_path / "x").read_bytes()


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ("auto", lambda held, _: held == "auto"),
        (small(corruption=GaussianNoise(0.2)), lambda held, _: held.corruption == GaussianNoise(0.2)),
    ],
    ids=["auto", "to be trained"],
)
def test_the_autoencoder_parameter_is_restored(given: Any, then: Callable[..., bool], tmp_path: Path) -> None:
    detector = OutlierDetector(given, random_state=3, calibration_fraction=0.5).fit(X[:, :2])
    detector.save(tmp_path / "x")
    again = load(tmp_path / "x")
    assert then(again.autoencoder, again)
    assert again.random_state == 3
    np.testing.assert_array_equal(again.score_samples(X[:, :2]), detector.score_samples(X[:, :2]))


def test_a_threshold_of_another_rate_is_not_written(ae: Autoencoder, tmp_path: Path) -> None:
    detector = OutlierDetector.from_fitted(ae, X, calibration_fraction=0.5, random_state=0).set_params(
        false_alarm_rate=0.3
    )
    with pytest.raises(NotPossibleError, match=r"false-alarm rate of 0\.3; fit again"):
        detector.save(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_too_few_calibration_examples_are_restored(ae: Autoencoder, tmp_path: Path) -> None:
    with pytest.warns(match="too few"):
        OutlierDetector.from_fitted(ae, X[:10], random_state=0).save(tmp_path / "x")
    again = load(tmp_path / "x")
    assert again.offset_ == -np.inf
    assert (again.predict(X * 1.2) == 1).all()


def objects(*values: Any) -> np.ndarray:
    held = np.empty(len(values), object)
    held[:] = values
    return held


LABELS = {
    "text": np.array(["02134", "1e2", "None"]),
    "text of strangers": np.array(["a\nb", '"', "\ud800\x1b[2J"]),
    "whole numbers": np.array([-1, 0, 2**62]),
    "small ones": np.array([-1, 3, 7], np.int8),
    "large ones": np.array([0, 1, 2**64 - 1], np.uint64),
    "fractionless": np.array([1.0, 2.0, 4.0]),
    "short floats": np.array([1.0, 2.0, 3.0], np.float32),
    "bytes": np.array([b"a", b"\xff", b"cc"]),
    "days": np.array(["2020-01-01", "1969-12-31", "2001-02-03"], "datetime64[D]"),
    "moments": np.array(["2020-01-01", "1969-12-31", "2001-02-03"], "datetime64[ns]"),
    "of several kinds": objects(1, "1", "b"),
    "beyond 64 bits": objects(2**70, 5, -(2**80)),
    "of NumPy, mixed": objects(np.int16(4), "x", np.float32(0.1)),
    "decimals": objects(Decimal("1.50"), Decimal("-2"), Decimal("1e30")),
    "dates of Python": objects(date(2020, 1, 1), date(1969, 12, 31), date(1, 2, 3)),
    "moments of Python": objects(
        *map(datetime.fromisoformat, ("2020-01-01T02:03:04.000005", "1969-12-31", "0001-02-03"))
    ),
    "bytes of Python": objects(b"a\x00", b"\xff", b""),
    "bytes, mixed": objects(np.bytes_(b"a"), b"b", "c"),
    "of NumPy, mixed with text": objects(np.str_("y"), "x", np.bool_(True)),
}


@pytest.mark.promise(26)
@pytest.mark.parametrize("kind", LABELS)
def test_labels_keep_their_type(kind: str, ae: Autoencoder, tmp_path: Path) -> None:
    classifier = AutoencoderClassifier(ae, epochs=0.1, frozen=True, random_state=0).fit(
        X, LABELS[kind][np.arange(90) % 3]
    )
    classifier.save(tmp_path / "x")
    again = load(tmp_path / "x")
    told, then = again.predict(X), classifier.predict(X)
    assert [(type(a), a) for a in told] == [(type(b), b) for b in then]
    assert again.classes_.dtype.kind == classifier.classes_.dtype.kind
    assert again.classes_.dtype.itemsize <= classifier.classes_.dtype.itemsize
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))


def test_boolean_labels_are_restored(ae: Autoencoder, tmp_path: Path) -> None:
    AutoencoderClassifier(ae, epochs=0.1, random_state=0).fit(X, X[:, 0] > 0).save(tmp_path / "x")
    assert load(tmp_path / "x").predict(X).dtype == bool


@pytest.mark.parametrize(
    "value",
    [1 + 2j, object, (1, 2), np.longdouble("0.1"), float("inf"), datetime(2020, 1, 1, tzinfo=UTC), Decimal("nan")],
    ids=repr,
)
def test_labels_that_cannot_be_saved_are_refused_before_writing(value: Any) -> None:
    with pytest.raises(NotPossibleError, match="cannot be written to a model file: use numbers, text"):
        to_lines(objects(value, 1))


@pytest.mark.parametrize(
    "lines",
    [
        '"object"\n["os.system", "x"]',
        '"int8"\n300',
        '"int8"\ntrue',
        '"str"\n5',
        '"bool"\n1',
        '"datetime64[ns]"\n"x"',
        '"datetime64[99999s]"\n1',
        '"float64"\nNaN',
        '"object"\n[["a"], "b"]',
        '"object"\n5',
        "{}\n1",
        "",
        '"S5"\n"a"',
        '"V8"\n1',
        '"bytes"\n"ā"',
        '"object"\n["bytes", "ā"]',
        '"object"\n["Decimal", "x"]',
        '"object"\n["Decimal", "01"]',
        '"object"\n["date", "20200101"]',
        '"object"\n["datetime", 5]',
    ],
)
def test_invalid_label_lines_are_refused(lines: str) -> None:
    with pytest.raises((LookupError, TypeError, ValueError, ArithmeticError)):
        from_lines(lines)


def test_a_loaded_classifier_equals_the_saved_one(ae: Autoencoder, tmp_path: Path) -> None:
    y = np.array(["a", "bb"])[(X[:, 0] > 0).astype(int)]
    classifier = AutoencoderClassifier(ae, corruption=GaussianNoise(0.1), epochs=2, random_state=1).fit(X, y)
    classifier.save(tmp_path / "x")
    again = load(tmp_path / "x")
    for method in ("decision_function", "predict_log_proba", "predict_proba", "predict"):
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(classifier, method)(X))
    assert (again.history_, again.corruption, again.random_state) == (classifier.history_, GaussianNoise(0.1), 1)
    assert again.autoencoder is again.autoencoder_
    assert again.fit(X, y).score(X, y) >= 0.5
    AutoencoderClassifier(FrozenEstimator(ae), epochs=1, random_state=1).fit(X, y).save(tmp_path / "y")
    assert isinstance(load(tmp_path / "y").autoencoder, FrozenEstimator)


def test_custom_modules_are_passed_to_load(tmp_path: Path) -> None:
    own = Modules(torch.nn.Linear(5, 2), torch.nn.Linear(2, 5))
    detector = OutlierDetector(small(architecture=own), calibration_fraction=0.5, random_state=0).fit(X)
    detector.save(tmp_path / "x")
    with pytest.raises(ModelFileError, match="give them: load"):
        load(tmp_path / "x")
    again = load(tmp_path / "x", architecture=own)
    np.testing.assert_array_equal(again.score_samples(X), detector.score_samples(X))


Edit = Callable[[Header, Tensors], None]


def says(part: str, **changes: Any) -> Edit:
    return lambda header, _: header[part].update(changes)


def parameter(part: str, **changes: Any) -> Edit:
    return lambda header, _: header[part]["parameters"].update(changes)


def number(name: str, value: float, place: int = 0) -> Edit:
    def edit(_: Header, tensors: Tensors) -> None:
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[place] = value

    return edit


def like(name: str, tensor: torch.Tensor | None) -> Edit:
    def edit(_: Header, tensors: Tensors) -> None:
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor

    return edit


def distances_of_others(_: Header, tensors: Tensors) -> None:
    """A floor, and its center, of distances that the references do not have."""
    near = tensors["detector.near"].clone()
    near[0, 0], near[1, 0] = 1e6, np.log(1e6)
    tensors["detector.near"] = near


def classes(text: str) -> Edit:
    return like("classifier.classes", torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy()))


nan, inf, doubles = float("nan"), float("inf"), torch.float64
WRONG: dict[str, tuple[str, Edit, str]] = {  # the file, what is changed in it, and the name that the error has to say
    **{
        f"{name} {value}": ("detector", number(f"detector.{name}", value), f"detector.{name}")
        for name in (
            "weights",
            "error",
            "code.mean",
            "code.axes",
            "code.shares",
            "code.means",
            "code.roots",
            "feature_errors",
        )
        for value in (nan, inf)
    },
    **{
        f"{name} -1": ("detector", number(f"detector.{name}", -1.0), name)
        for name in ("weights", "error", "feature_errors", "usual")
    },
    **{
        f"references of {tuple(tensor.shape)}": ("neighbors", like("detector.references", tensor), "references")
        for tensor in (
            torch.zeros(0, 5),
            torch.zeros(9, 6),
            torch.zeros(9),
            torch.zeros(10_001, 5),
            torch.zeros(9, 5).double(),
        )
    },
    "no references": ("neighbors", like("detector.references", None), "references"),
    "a reference nan": ("neighbors", number("detector.references", nan), "references"),
    "deviations": ("neighbors", number("detector.deviations", 0.0), "deviations"),
    "other deviations": ("neighbors", like("detector.deviations", torch.ones(6, dtype=doubles)), "deviations"),
    "no floor": ("neighbors", number("detector.near", 0.0), "near"),
    "no spread": ("neighbors", number("detector.near", -1.0, 8), "near"),
    **{
        f"near {place} {value:g}": ("neighbors", number("detector.near", value, place), problem)
        for place, value, problem in (
            (0, 1e300, "near has a center"),
            (1, 1e-300, "near has a center"),
            (3, 50.0, "near has a center"),
            (5, -1e9, "near has a center"),
            (6, 1e-9, "near has a spread"),
            (8, 1e9, "near has a spread"),
            (3, nan, "near is not finite"),
            (6, inf, "near is not finite"),
        )
    },
    "distances of others": ("neighbors", distances_of_others, "near has a floor"),
    "references of another score": ("error", like("detector.references", torch.zeros(9, 5)), "references"),
    "shares": ("detector", number("detector.code.shares", 0.9), "code.shares"),
    "roots": ("detector", number("detector.code.roots", -1.0), "code.roots"),
    "roots below": ("detector", number("detector.code.roots", 1.0, 2), "code.roots"),
    "calibration": ("detector", number("detector.calibration", 1e9), "calibration"),
    "calibration nan": ("detector", number("detector.calibration", nan), "calibration"),
    "no calibration": (
        "detector",
        like("detector.calibration", torch.zeros(0, dtype=doubles)),
        "no calibration scores",
    ),
    "calibration of two axes": (
        "detector",
        like("detector.calibration", torch.zeros(5, 2, dtype=doubles)),
        "no calibration scores",
    ),
    "calibration of floats": ("detector", like("detector.calibration", torch.zeros(5)), "calibration"),
    **{f"offset {value}": ("detector", number("detector.offset", value), "offset") for value in (nan, inf, 0.0, -inf)},
    "errors of other shapes": (
        "detector",
        like("detector.feature_errors", torch.zeros(6, dtype=doubles)),
        "feature_errors",
    ),
    "nothing of errors": ("detector", like("detector.feature_errors", None), "feature_errors"),
    "another measure": ("detector", says("detector", anomaly_score="error"), "anomaly_score"),
    "no measure": ("detector", says("detector", anomaly_score="best"), "detector.anomaly_score"),
    "a bomb of axes": ("detector", says("detector", axes=10**9), "detector.axes"),
    "a bomb of parts": ("detector", says("detector", parts=2**70), "detector.parts"),
    "no axes": ("detector", says("detector", axes=0), "axes"),
    "more": ("detector", says("detector", surprise=1), "detector.surprise is unknown"),
    "an autoencoder that is none": ("detector", says("detector", autoencoder="os.system"), "detector.autoencoder"),
    "an autoencoder of none": ("detector", says("detector", autoencoder={"nope": 1}), "nope"),
    "a rate": ("detector", parameter("detector", false_alarm_rate=2), "false_alarm_rate"),
    "another rate": ("detector", parameter("detector", false_alarm_rate=0.5), "offset"),
    "both rates": (
        "detector",
        parameter("detector", false_alarm_rate=0.5, contamination=0.1),
        "both set the threshold",
    ),
    "unknown parameters": ("detector", parameter("detector", nope=1), "nope"),
    "twice": ("detector", parameter("detector", autoencoder="auto"), "twice"),
    "a checkpoint": ("detector", lambda header, _: header.update(classifier={"classes": 2}), "checkpoint|classifier"),
    "none": ("detector", lambda header, _: header.update(detector=5), "detector"),
    "an older format": ("detector", lambda header, _: header.update(format=3), "format 3 has no"),
    "a threshold of nothing": ("error", number("detector.offset", -inf), "detector.offset"),
    "no part": ("detector", lambda header, _: header.pop("detector"), "detector"),
    **{
        f"softmax {name} {value}": ("classifier", number(f"classifier.{name}", value), f"classifier.{name}")
        for name in ("linear.weight", "linear.bias", "shift", "scale")
        for value in (nan, inf)
    },
    "scale 0": ("classifier", number("classifier.scale", 0.0), "classifier.scale"),
    "more classes": ("classifier", says("classifier", classes=2**30), "classifier.linear"),
    "a class": ("classifier", says("classifier", classes=1), "classifier.classes"),
    "classes of 10^30": ("classifier", says("classifier", classes=10**30), "classifier.classes"),
    "two classes": ("classifier", classes('"int64"\n0\n1'), "3 different classes"),
    "classes of another order": ("classifier", classes('"int64"\n1\n0\n2'), "sorted"),
    "a date that is none": ("classifier", classes(f'"datetime64[D]"\n0\n1\n{-(2**63)}'), "sorted"),
    "a class twice": ("classifier", classes('"int64"\n0\n1\n1'), "3 different classes"),
    "classes of objects": ("classifier", classes('"object"\n["os.system", 1]'), "unknown type"),
    "classes that are no JSON": ("classifier", classes("x"), "inconsistent"),
    "deep classes": ("classifier", classes('"object"\n' + "[" * 100_000), "inconsistent"),
    "no classes": ("classifier", like("classifier.classes", None), "classifier.classes"),
    "its history": ("classifier", number("classifier.history", 1e11), "the history has"),
    "its last epoch": ("classifier", says("classifier", epoch=0), "the history has an epoch after"),
    "no history": ("classifier", like("classifier.history", None), "history"),
    "its statistics": ("classifier", says("classifier", statistics=["x" * 10_000]), "classifier.statistics"),
    "an optimizer": ("classifier", parameter("classifier", optimizer={"type": "GaussianNoise"}), "optimizer"),
    "a corruption": ("classifier", parameter("classifier", corruption={"type": "os.system"}), "os.system"),
}


@pytest.mark.promise(2)
@pytest.mark.parametrize("case", WRONG)
def test_impossible_fitted_values_are_refused_by_name(case: str, files: Path, tmp_path: Path) -> None:
    file, edit, name = WRONG[case]
    path = edited(files / file, tmp_path / "x", edit)
    with pytest.raises(ModelFileError, match=name) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


@pytest.mark.promise(1)
@pytest.mark.parametrize("file", ["detector", "classifier"])
def test_a_damaged_file_is_refused(file: str, files: Path, tmp_path: Path) -> None:
    content, chance = (files / file).read_bytes(), np.random.default_rng(0)
    for place in chance.integers(0, len(content), 60).tolist():
        (tmp_path / "cut").write_bytes(content[:place])
        (tmp_path / "bit").write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        for name in ("cut", "bit"):
            with pytest.raises(ModelFileError):
                load(tmp_path / name)


def test_a_file_of_two_estimators_is_refused(files: Path, tmp_path: Path) -> None:
    header, tensors = parts(files / "detector")
    header["classifier"] = parts(files / "classifier")[0]["classifier"]
    tensors |= {n: t for n, t in parts(files / "classifier")[1].items() if n.startswith("classifier.")}
    with pytest.raises(ModelFileError, match="more than one of checkpoint, detector and classifier"):
        load(put(tmp_path / "x", header, tensors))


def test_loading_an_autoencoder_refuses_other_estimators(files: Path) -> None:
    from isthmus.estimators.loading import load_autoencoder

    with pytest.raises(NotPossibleError, match=r"contains a detector \(for `isthmus detect`\)"):
        load_autoencoder(files / "detector")
    with pytest.raises(NotPossibleError, match=r"contains a classifier \(for `isthmus finetune`\)"):
        load_autoencoder(files / "classifier")


def test_the_command_line_sets_every_parameter_of_both(tmp_path: Path) -> None:
    """By words, as `isthmus train` does: those of records too, in the file that is written, and not besides an option."""
    labeled_run(tmp_path)
    words = ["anomaly_score=nats", "calibration_fraction=0.4", "false_alarm_rate=0.25", "random_state=3"]
    done = run("detect", "r", *words, "-d", "new.csv", "--save", "d", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    detector = load(tmp_path / "d")
    assert (detector.anomaly_score, detector.calibration_fraction) == ("nats", 0.4)
    assert (detector.false_alarm_rate, detector.random_state) == (0.25, 3)
    words = ["epochs=2", "optimizer.lr=0.02", "corruption=GaussianNoise", "corruption.std=0.2", "batch_size=9"]
    done = run("finetune", "r", *words, "pretrain=false", "--save", "c", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    classifier = load(tmp_path / "c")
    assert classifier.optimizer == AdamW(0.02, schedule=OneCycle())
    assert classifier.corruption == GaussianNoise(0.2)
    assert (classifier.epochs, classifier.batch_size, classifier.pretrain, classifier.random_state) == (2, 9, False, 0)
    assert "written: c, the classifier (from scratch)" in done.stdout
    done = run("finetune", "r", "epochs=1", "frozen=true", "pretrain=false", "--json", cwd=tmp_path)
    assert "frozen codes of random weights" in json.loads(done.stdout)["accuracies"], done.stderr
    for refused, said in REFUSED_WORDS.items():
        done = run(*refused, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert said in done.stderr


REFUSED_WORDS = {
    ("detect", "r", "-d", "new.csv", "contamination=0.1", "--contamination", "0.2"): (
        "--contamination and contamination=... set the same parameter: give one of them"
    ),
    ("detect", "r", "-d", "new.csv", "false_alarm_rate=0.1", "--false-alarm-rate", "0.2"): "--false-alarm-rate and",
    ("detect", "r", "-d", "new.csv", "anomaly_scor=nats"): "no field 'anomaly_scor'; did you mean anomaly_score?",
    ("detect", "r", "-d", "new.csv", "anomaly_score=nat"): "'anomaly_score'",
    ("detect", "r", "-d", "new.csv", "autoencoder=auto"): "no field 'autoencoder'",
    (
        "detect",
        "r",
        "-d",
        "new.csv",
        "nats",
    ): "'nats' is not of the form field=value: expected for example anomaly_score=nats",
    ("detect", "d", "-d", "new.csv", "anomaly_score=nats"): "omit anomaly_score=nats, or give the run",
    ("finetune", "r", "frozen=true", "--frozen"): "--frozen and frozen=... set the same parameter: give one of them",
    ("finetune", "r", "random_state=1", "--random-state", "0"): "--random-state and random_state=...",
    ("finetune", "r", "lr=1"): "no field 'lr'; did you mean optimizer.lr?",
    ("finetune", "r", "bottleneck.size=1"): "no field 'bottleneck'",
    ("finetune", "r", "epochs=1", "epochs=2"): "epochs is given twice",
    ("finetune", "c", "--predict", "new.csv", "epochs=1"): "is a classifier that is already trained",
    ("finetune", "c", "--predict", "new.csv", "--random-state", "0"): "is a classifier that is already trained",
}


def labeled_run(folder: Path) -> None:
    """A run r, its labeled data x.csv, and new.csv without labels."""
    y = np.array(["up", "down"])[(X[:, 0] > 0).astype(int)]
    lines = [",".join([*map(str, row), label]) for row, label in zip(X.tolist(), y, strict=True)]
    (folder / "x.csv").write_text("\n".join(["a,b,c,d,e,y", *lines]))
    (folder / "new.csv").write_text("\n".join(["a,b,c,d,e", *(line.rpartition(",")[0] for line in lines[:7])]))
    words = ("-d", "x.csv", "--labels", "y", "--out", "r", "epochs=1", "bottleneck.size=2", "architecture.hidden=8")
    assert run("train", *words, cwd=folder).returncode == 0


@pytest.mark.thorough
def test_the_command_line_writes_and_takes_both(tmp_path: Path) -> None:
    labeled_run(tmp_path)
    first = run("detect", "r", "-d", "new.csv", "--save", "d", "--contamination", "0.2", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    written = (
        r"written: d, the detector with its threshold and \d+ normal examples; use: isthmus detect d --data \.\.\."
    )
    assert re.search(written, first.stdout)
    table = pandas.read_csv(tmp_path / "anomalies.csv")
    assert "trained_on" in table, "a run knows what it was trained on, and the file of a detector does not"
    assert isinstance(load(tmp_path / "d"), OutlierDetector)
    second = run("detect", "d", "-d", "new.csv", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    pandas.testing.assert_frame_equal(
        pandas.read_csv(tmp_path / "anomalies.csv"), table.drop(columns="trained_on"), check_exact=True
    )
    refused = run("detect", "d", "-d", "new.csv", "--contamination", "0.1", cwd=tmp_path)
    assert (refused.returncode, "a fixed threshold: omit --contamination" in refused.stderr) == (2, True)
    assert run("encode", "d", "-d", "new.csv", cwd=tmp_path).stderr.count("contains a detector") == 1
    taught = run("finetune", "r", "--predict", "new.csv", "--save", "c", cwd=tmp_path)
    assert "written: c, the classifier (fine-tuned); use: isthmus finetune c --predict ..." in taught.stdout
    labels = (tmp_path / "predictions.csv").read_bytes()
    told = run("finetune", "c", "--predict", "new.csv", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "predictions.csv").read_bytes() == labels
    assert run("finetune", "c", cwd=tmp_path).returncode == 2


def test_an_invalid_save_path_is_refused_before_the_computation(files: Path, tmp_path: Path) -> None:
    done = run("detect", "nothing", "-d", "x.csv", "--save", "no/d", cwd=tmp_path)
    assert (done.returncode, "the folder does not exist" in done.stderr) == (1, True)
    (tmp_path / "r").mkdir()
    for words, what in (
        (("detect", "r", "-d", "x.csv", "--save", "r/model.safetensors"), "would overwrite the model of the run"),
        (("finetune", "r", "--save", "t.csv", "--out", "t.csv"), "would overwrite the table of --out"),
    ):
        done = run(*words, cwd=tmp_path)
        assert (done.returncode, what in done.stderr) == (2, True), done.stderr


def test_parameters_set_after_fit_are_not_saved(ae: Autoencoder, tmp_path: Path) -> None:
    detector = OutlierDetector.from_fitted(ae, X, anomaly_score="error", random_state=0, calibration_fraction=0.5)
    for later in ({"anomaly_score": "nats"}, {"contamination": 0.1, "false_alarm_rate": 0.1}):
        with pytest.raises(NotPossibleError, match=r"the detector cannot be saved: .* fit again"):
            deepcopy(detector).set_params(**later).save(tmp_path / "x")
    detector.feature_errors_[0] = np.nan
    with pytest.raises(NotPossibleError, match="feature_errors is not finite"):
        detector.save(tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with pytest.raises(NotFittedError):
        OutlierDetector().save(tmp_path / "x")
    with pytest.raises(NotFittedError):
        AutoencoderClassifier().save(tmp_path / "x")


def test_column_names_are_restored(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=list("abcde"))
    OutlierDetector(small(), calibration_fraction=0.5, random_state=0).fit(table).save(tmp_path / "x")
    assert load(tmp_path / "x").attributions(table[:3], 1)[0][0].feature in set("abcde")
    AutoencoderClassifier(small(), epochs=1, random_state=0).fit(table, np.arange(90) % 2).save(tmp_path / "y")
    assert load(tmp_path / "y").feature_names_in_.tolist() == list("abcde")
