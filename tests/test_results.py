"""Every result gives plain values, a data frame, a table in a notebook and a few lines of text; a data set prints as few."""

from __future__ import annotations

import html
import json
import math
import sys
from collections.abc import Callable, Iterator
from email.message import Message
from functools import cache
from inspect import isfunction, signature, unwrap
from pathlib import Path
from runpy import run_path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA

import isthmus
from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, compare, evaluate, plots, robustness, sweep
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.compression import Compressed, Point, RateDistortion
from isthmus.corruptions import GaussianNoise
from isthmus.data import Windows
from isthmus.data.dataset import Dataset
from isthmus.errors import NotPossibleError, RecordError
from isthmus.estimators import notebook_table
from isthmus.estimators.attribution import Attribution
from isthmus.evaluation import (
    Alarm,
    ImageDetection,
    ImageMetrics,
    SeriesDetection,
    SeriesMetrics,
    StreamedSteps,
    column_figures,
    detect,
    detect_series,
    pca_reconstructions,
)
from isthmus.evaluation.older_figures import OLDER, current
from isthmus.evaluation.results import PATHS, value_of
from isthmus.evaluation.transfer import DataTransfer
from isthmus.experiments.classification import FinetuneResult
from isthmus.experiments.measured_figures import MEASUREMENTS, figure_function
from isthmus.experiments.tutorials import Tutorial
from isthmus.results import Result, flat, html_table, plain, text_table
from isthmus.scaleout.bulk_result import BulkResult, Failure

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 2)) @ RANDOM.normal(size=(2, 6)) + 0.1 * RANDOM.normal(size=(120, 6))
HOSTILE = "<script>alert(1)</script>\x1b[31m"


@cache
def results() -> dict[str, Result]:
    """One of each."""
    ae = Autoencoder(Identity(2), architecture=MLP(()), corruption=GaussianNoise(0.3), epochs=2, random_state=0).fit(
        X[:80]
    )
    other = Autoencoder(Identity(1), architecture=MLP(()), epochs=2, random_state=0).fit(X[:80])
    figures = evaluate(ae, X[80:], train=X[:80])
    frame = pd.DataFrame(X, columns=[HOSTILE, *"bcdef"])
    named = Autoencoder(2, architecture=MLP(()), epochs=1, random_state=0).fit(frame[:80])
    detector = OutlierDetector.from_fitted(ae, X[:80], calibration_fraction=0.5)
    return {
        "evaluation": figures,
        "transfer": DataTransfer(HOSTILE, "other", figures, evaluate(ae, X[80:] + 1, train=X[:80])),
        "comparison": compare({HOSTILE: ae, "other": other}, X[80:], X[:80]),
        "sweep": sweep(other, X[:80], {"bottleneck__size": [1, 2], "random_state": [0, 1]}),
        "robustness": robustness(ae, X[80:], train=X[:80], levels=[0.1, 0.3], draws=1),
        "pca": pca_reconstructions(ae, X[80:], train=X[:80]),
        "compression": RateDistortion(
            (Point("PCA", 0.5, 40, 2.5, 0.1, 9.0), Point("autoencoder", 1.0, 40, 2.0, 0.2, math.inf)), 40
        ),
        "detection": detect(detector, X[80:], {HOSTILE: np.arange(40)}),
        "series": _series(),
        "columns": column_figures(named, frame[80:], train=frame[:80]),
    } | _of_other_data(ae)


def _of_other_data(ae: Autoencoder) -> dict[str, Result]:
    """Results of images, streams, labels and files, with hostile names."""
    labels = AutoencoderClassifier(ae, epochs=1).fit(X, np.where(X[:, 0] > 0, HOSTILE, "other"))
    alarm = Alarm(0, 2, 1, -5.0, (0, 2), HOSTILE, (Attribution(HOSTILE, 1.0),))
    rows = np.arange(3)
    return {
        "finetuned": FinetuneResult(labels, {HOSTILE: 0.5, "other": 0.25}, 10, 5),
        "images": ImageDetection((HOSTILE, "b"), np.array([-1.0, -2]), np.array([0.5, 1]), -math.inf, HOSTILE),
        "image_metrics": ImageMetrics(2, 1, 3, 0.9, 0.8, None),
        "series_metrics": SeriesMetrics(300, 11, 1, 0, 0.9, 0.8, 8, 0.7, 0.6, 0.5, 0.4, None, 0.3, 0.2, None),
        "stream": StreamedSteps(rows, None, np.array([HOSTILE] * 3), rows / 2, rows, (alarm,), (1,), (HOSTILE,)),
        "bulk": BulkResult(HOSTILE, 3, 2, 1, 0, 10, 0, 0.5, (Failure(HOSTILE, HOSTILE),)),
        "compressed": Compressed(10, 4, 100, 40, 1000, 1.0, 1.0, 1.0, None, 0.0, 1.0, math.inf),
    }


def _series() -> SeriesDetection:
    """Alarms of a series with a hostile name of machine and channel."""
    frame = pd.DataFrame({"time": np.arange(300), "by": HOSTILE, HOSTILE: RANDOM.normal(size=300)})
    train = Windows(frame, 8, time="time", by="by")
    detector = OutlierDetector(Autoencoder(2, architecture=MLP(()), epochs=2, random_state=0), random_state=0).fit(
        train
    )
    frame.loc[100:110, HOSTILE] += 9
    return detect_series(detector, Windows(frame, 8, time="time", by="by"))


DRAWN = ["comparison", "sweep", "robustness", "detection", "series", "pca", "compression", "columns"]
OTHERS = ["finetuned", "images", "image_metrics", "series_metrics", "stream", "bulk", "compressed"]
EACH = pytest.mark.parametrize("name", ["evaluation", "transfer", *DRAWN, *OTHERS])


def named_classes(annotation: Any) -> Iterator[type]:
    """The classes in an annotation."""
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from named_classes(part)


def test_what_public_functions_measure_is_a_result_and_each_is_tested() -> None:
    """A named tuple holds arrays and is plain already; data sets, models and what trains them are no measurements."""
    modules = [value for name in isthmus.__all__ if isinstance(value := getattr(isthmus, name), ModuleType)]
    functions = [
        value for module in [isthmus, *modules] for name in module.__all__ if isfunction(value := getattr(module, name))
    ]
    measured = set[type]()
    for function in map(unwrap, functions):
        if function.__module__.startswith(("isthmus.evaluation", "isthmus.experiments.", "isthmus.compression")):
            hints = get_type_hints(function, vars(sys.modules[function.__module__]) | {"PCA": PCA})
            measured |= {each for each in named_classes(hints.get("return")) if each.__module__.startswith("isthmus.")}
    measured = {each for each in measured if not issubclass(each, tuple | BaseEstimator | Tutorial)}
    assert len(measured) > 8
    assert [each.__name__ for each in measured if not issubclass(each, Result)] == []
    assert (
        {type(each) for each in results().values()}
        == {each for each in Result.__subclasses__() if each.__module__.startswith("isthmus.")}
        >= measured
    )


@EACH
def test_to_dict_equals_its_json(name: str) -> None:
    values = results()[name].to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values


@EACH
def test_a_notebook_shows_every_cell_of_the_table_and_runs_none(name: str) -> None:
    header, lines = results()[name].table()
    shown = results()[name]._repr_html_()
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert shown.count("<th>") == len(header)
    assert shown.count("<td>") == len(header) * len(lines)
    for cell in [*header, *(cell for line in lines for cell in line)]:
        assert html.escape(cell.replace("\x1b", "\\x1b")) in shown


@EACH
def test_results_print_as_a_few_lines(name: str) -> None:
    said = repr(results()[name])
    assert said.splitlines()[0] == type(results()[name]).__name__
    assert 3 <= len(said.splitlines()) <= 11
    assert len(said) < 4000
    assert "\x1b" not in said


def test_the_frames_hold_a_row_for_each_thing_with_its_figures() -> None:
    all_of_them = results()
    one: Any = all_of_them["evaluation"]
    row = one.to_frame()
    assert row.shape[0] == 1
    assert row["codes.size"][0] == 2
    assert row["mse"][0] == one.errors.mse
    models: Any = all_of_them["comparison"]
    assert models.to_frame()["mse"].tolist() == [each.errors.mse for each in models.evaluations]
    assert models.to_frame()["name"].tolist() == [HOSTILE, "other"]
    sides: Any = all_of_them["transfer"]
    assert sides.to_frame()["mse"].tolist() == [sides.own.errors.mse, sides.other.errors.mse]
    swept: Any = all_of_them["sweep"]
    frame = swept.to_frame()
    assert frame.groupby("bottleneck.size")["mse"].mean().tolist() == swept.figures("mse").mean(1).tolist()
    assert frame["random_state"].tolist() == [0, 1, 0, 1]
    curve: Any = all_of_them["robustness"]
    frame = curve.to_frame().set_index(["kind", "level", "method"])
    assert all(frame.loc[(each.kind, each.level, each.method), "mse"] == each.mse for each in curve.figures)
    found: Any = all_of_them["detection"]
    frame = found.to_frame()
    assert np.array_equal(frame["score"], found.scores)
    assert frame[HOSTILE].tolist() == list(range(40))
    assert ((frame["verdict"] == "anomalous") == found.alarms).all()


@EACH
def test_without_pandas_the_error_names_the_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = results()[name]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(NotPossibleError, match="pip install pandas"):
        result.to_frame()


@pytest.mark.parametrize("name", DRAWN)
def test_plotting_a_result_computes_no_metrics(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result: Any = results()[name]
    for what in ("encode", "decode", "reconstruct", "score_samples", "corrupt"):
        monkeypatch.setattr(Autoencoder, what, None)
    assert result.plot().get_label()


def test_plots_draw_a_robustness_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: Any = results()["robustness"]
    monkeypatch.setattr(Autoencoder, "reconstruct", None)
    assert plots.robustness(measured).get_label() == measured.plot().get_label()
    kind = measured.figures[0].kind
    assert f"corrupted by {kind} at 2 levels" in str(plots.restorations(measured).get_label())


OF_RESULTS = [
    "anomalies",
    "anomaly_scores",
    "column_errors",
    "pca",
    "rate_distortion",
    "restorations",
    "robustness",
    "series_alarms",
]


@pytest.mark.parametrize("kind", OF_RESULTS)
def test_figures_of_results_require_a_result(kind: str) -> None:
    """The sentence names the call that measures; whatever else is given with an autoencoder."""
    ae: Any = results()["comparison"]
    for given in (ae.autoencoders[0], X):
        with pytest.raises(
            RecordError, match=rf"plots\.{kind} requires a .* but got a value of type .*: call plots\.{kind}\(isthmus\."
        ):
            getattr(plots, kind)(given, X, levels=0.3)


def test_every_measured_kind_has_a_measurement_and_no_argument_twice() -> None:
    """`isthmus plot` measures what these figures show: a figure that takes a result is listed with what measures it."""
    takes = {kind for kind in plots.__all__ if next(iter(signature(getattr(plots, kind)).parameters)) == "result"}
    assert takes == set(MEASUREMENTS) == set(OF_RESULTS)
    for kind in takes:
        assert list(signature(figure_function(kind)).parameters)[:2] == ["ae", "X"]


def test_results_without_a_figure_raise_a_clear_error() -> None:
    with pytest.raises(NotPossibleError, match="Evaluation has no figure; use table"):
        results()["evaluation"].plot()


def test_the_histogram_of_verdicts_counts_every_score() -> None:
    found: Any = results()["detection"]
    bars = sum(bar.get_height() for bar in found.plot().axes[0].patches)
    assert bars == len(found.scores)


def test_a_sweep_whose_trainings_all_diverged_still_prints() -> None:
    swept: Any = results()["sweep"]
    lost = type(swept.trials[0])
    trials = tuple(lost({"epochs": 1}, state, None, {}, diverged="not finite") for state in swept.states)
    said = repr(type(swept)({"epochs": (1,)}, swept.states, trials, swept.column, 10, 10))
    assert said.splitlines()[0] == "Sweep"
    assert "*" not in said


def test_of_long_tables_the_first_lines_are_shown_and_the_others_counted() -> None:
    lines = [[str(number)] for number in range(1234)]
    assert text_table(["n"], lines, "Many").splitlines()[-1] == "  and 1,226 more"
    shown = html_table(["n"], lines, "Many")
    assert "and 1,184 more" in shown
    assert "<td>49</td>" in shown
    assert "<td>50</td>" not in shown


def test_plain_and_flat_values() -> None:
    assert plain({"a": (1, float("inf")), "b": {"c": np.float32(0.5)}}) == {"a": [1, None], "b": {"c": 0.5}}
    assert flat({"a": 1, "b": {"c": {"d": 2}, "e": [3]}}) == {"a": 1, "b.c.d": 2}


def test_a_figure_has_a_short_name_and_a_path_and_tables_have_the_short_name() -> None:
    found: Any = results()["evaluation"]
    for name, path in PATHS.items():
        assert plain(found.value(name)) == plain(found.value(path)) == value_of(found.to_dict(), name), name
    assert found.value("mse") == found.errors.mse > 0
    assert found.value("pca_mse") == found.pca.mse
    assert found.value("nats") == found.nats.total
    columns = found.to_frame().columns
    assert set(PATHS) - {"lost_columns"} <= set(columns)
    assert not [name for name in columns if name.startswith(("errors.", "pca.", "nats.", "cost.", "training."))]


def test_metrics_written_by_older_versions_are_converted() -> None:
    """The file was written by 0.3.0, which had all figures side by side."""
    older = json.loads((Path(__file__).parent / "files" / "validation-flat.json").read_text())
    found = current(older)
    assert current(found) == found
    assert current({"errors": {}, "codes": {"enough": 3}}) == {"errors": {}, "codes": {"n_components": 3}}
    for name, value in older.items():
        if name not in {"codes", "labels"}:
            assert value_of(found, OLDER.get(name, name)) == value, name
    rows = np.diag([1.0, 2, 3, 400]) @ np.random.default_rng(0).normal(size=(4, 20))
    today = evaluate(Autoencoder(2, epochs=1).fit(rows.T), rows.T[:5], train=rows.T).to_dict()
    assert today["nats"].pop("weighted") is None  # older versions had no weights of columns
    for part, names in (("errors", ("snr", "input_snr", "ridge_snr")), ("pca", ("snr",))):  # nor sound
        assert {today[part].pop(name, None) for name in names} == {None}
    assert today["cost"].pop("n_fixed") == 0  # nor fixed maps
    today["training"] = {name: today["training"][name] for name in ("mse", "mse_scaled")}
    assert {part: set(value) for part, value in today.items() if isinstance(value, dict)} == {
        part: set(value) for part, value in found.items() if isinstance(value, dict)
    }
    assert set(found) == set(today)


def test_a_data_set_prints_as_a_line_for_each_part() -> None:
    data = Dataset(HOSTILE, np.zeros((1200, 28, 28), np.uint8), X, np.zeros(1200), kind="images")
    lines = repr(data).splitlines()
    assert len(lines) == 4
    assert "\x1b" not in lines[0]
    assert lines[2].split() == ["train", "1,200", "28x28", "uint8", "yes"]
    assert lines[3].split() == ["test", "120", "6", "float64", "no"]
    shown = data._repr_html_()
    assert "<td>1,200</td><td>28x28</td><td>uint8</td>" in shown
    assert "<script" not in shown


@pytest.mark.parametrize("estimator", [Autoencoder(2), OutlierDetector(), AutoencoderClassifier(2)], ids=repr)
def test_the_diagram_links_to_the_page_of_the_estimator(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package names its documentation; the page and the anchor are those that the site has."""
    named = f"isthmus.estimators.{type(estimator).__name__}"
    pages = run_path(str(Path(__file__).parents[1] / "docs/reference.py"))["reference"]()
    assert f"::: {named}\n" in pages["reference/isthmus.md"]
    for given, url in {
        "Documentation, https://docs.example/isthmus/": "https://docs.example/isthmus",
        "Source, https://code.example": "",
        "Documentation, javascript:alert(1)": "",
    }.items():
        message = Message()
        message["Project-URL"] = given
        monkeypatch.setattr(notebook_table, "metadata", lambda _, message=message: message)
        notebook_table.documentation_url.cache_clear()
        shown = estimator._repr_html_()
        assert (f'href="{url}/reference/isthmus/#{named}"' in shown) == bool(url)
        assert ("/reference/isthmus/" in shown) == bool(url)
    notebook_table.documentation_url.cache_clear()


@pytest.mark.parametrize("name", ["autoencoder", "detector", "classifier"])
def test_a_fitted_estimator_displays_its_results_and_an_unfitted_one_its_parameters(name: str) -> None:
    ae = Autoencoder(Identity(2), architecture=MLP(()), epochs=2, random_state=0)
    labels = np.where(X[:, 0] > 0, HOSTILE, "other")
    make: dict[str, Callable[[], tuple[Any, Any]]] = {
        "autoencoder": lambda: (ae, clone(ae).fit(X, validation_data=X[:9])),
        "detector": lambda: (OutlierDetector(ae), OutlierDetector.from_fitted(clone(ae).fit(X), X)),
        "classifier": lambda: (AutoencoderClassifier(ae), AutoencoderClassifier(clone(ae), epochs=1).fit(X, labels)),
    }
    unfitted, fitted = make[name]()
    assert "fitted</caption>" not in unfitted._repr_html_()  # scikit-learn's diagram, which holds the parameters
    shown = fitted._repr_html_()
    assert f"<caption>{type(fitted).__name__}, fitted</caption>" in shown
    for said in ("Identity(size=2)", "MLP", "(6,)", f"{getattr(fitted, 'autoencoder_', fitted).n_parameters_:,}"):
        assert f">{said}" in shown
    assert "<script" not in shown
    assert ("&lt;script" in shown) == (name == "classifier")  # the name of a class
    assert fitted._repr_mimebundle_() == {"text/plain": repr(fitted), "text/html": shown}
    if name == "autoencoder":
        assert f"{fitted.history_[-1].val_loss:.4g} nats per example" in shown
    with config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")
        assert "text/html" not in fitted._repr_mimebundle_()
