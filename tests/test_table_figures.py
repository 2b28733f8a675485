"""Figures of tables: named columns, dots where the values are, categories as text, and no line from one column to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus import Autoencoder, evaluate, plots
from isthmus.architectures import MLP
from isthmus.corruptions import Masking
from isthmus.data.dataset import Dataset
from isthmus.errors import RecordError
from isthmus.evaluation import ColumnFigure, ColumnFigures, MethodErrors
from isthmus.experiments.run_figures import default_figures, draw
from isthmus.experiments.run_report import evaluate_own_data
from isthmus.experiments.splits import Split
from isthmus.optimizers import AdamW
from isthmus.plots.figure import png, save_png

N = 200
rng = np.random.default_rng(0)
KIND = rng.integers(0, 3, N)
FRAME = pd.DataFrame(
    {
        "height": 10.0 * KIND + rng.normal(size=N),
        "kind": pd.Categorical.from_codes(KIND, ["bird", "cow", "ant"]),
        "seen": pd.to_datetime("2024-01-01") + pd.to_timedelta(100 * KIND + rng.integers(0, 9, N), "D"),
    }
)
GAPS = FRAME.mask(rng.random(FRAME.shape) < 0.1)
GAPS.loc[0, "height"], GAPS.loc[0, "kind"] = np.nan, None


def quick(size: Any = 2, **choices: Any) -> Autoencoder:
    usual: dict[str, Any] = {"architecture": MLP((16,)), "epochs": 10, "optimizer": AdamW(1e-2), "device": "cpu"}
    return Autoencoder(size, **usual | choices, random_state=0)


@pytest.fixture(scope="module")
def fitted() -> Autoencoder:
    return quick(missing="allow", corruption=Masking(0.3, value="missing")).fit(GAPS)


def axes_of(figure: Figure, label: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_label() == label)


def names(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def dots(axes: Axes, place: int, **style: Any) -> list[float]:
    """Where the dots of a line are, of those with a style."""
    found = [line for line in axes.lines if line.get_marker() == "o" and line.get_ydata()[0] == place]  # type: ignore[index]
    return [
        float(line.get_xdata()[0]) for line in found if all(getattr(line, f"get_{k}")() == v for k, v in style.items())
    ]  # type: ignore[index]


def uncut(figure: Figure) -> None:
    figure.canvas.draw()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box is not None
        assert box.min.min() >= 0
        assert (box.max <= figure.bbox.max).all()


def test_reconstructions_are_dots_on_named_lines(fitted: Autoencoder) -> None:
    figure = plots.reconstructions(fitted, GAPS, n=7)
    made = fitted.reconstruct(GAPS.iloc[:7])
    shift, scale = fitted.model_.affine
    assert names(figure) == list(FRAME.columns)
    for row in range(7):
        axes = axes_of(figure, str(row))
        hollow, filled = dots(axes, 0, markerfacecolor="none"), dots(axes, 0, markersize=3.2)
        assert filled == pytest.approx([np.clip((made["height"].iloc[row] - shift[0]) / scale[0], -3.4, 3.4)], abs=1e-5)
        if row:
            given = GAPS["height"].iloc[row]
            assert np.isnan(hollow[0]) == np.isnan(given)
            assert np.isnan(given) or hollow[0] == pytest.approx((given - shift[0]) / scale[0], abs=1e-5)
        before, after = GAPS["kind"].iloc[row], made["kind"].iloc[row]
        expected = (
            f"? → {after}" if not isinstance(before, str) else before if before == after else f"{before} → {after}"
        )
        assert [text.get_text() for text in axes.texts] == [expected]
    joined = [line for axes in figure.axes for line in axes.lines if len(set(np.asarray(line.get_ydata()).round())) > 1]
    assert [line for line in joined if list(line.get_xdata()) != [0, 0]] == []
    uncut(figure)
    assert png(plots.reconstructions(fitted, GAPS, n=7)) == png(figure)


def test_a_restoration_shows_what_was_given(fitted: Autoencoder) -> None:
    figure = plots.denoising(fitted, FRAME, n=3)
    corrupted = fitted.corrupt(FRAME.iloc[:3])
    for row in range(3):
        text = axes_of(figure, str(row)).texts[0].get_text()
        assert text.startswith("?") == np.isnan(corrupted[row, 1])
    labels = [text.get_text() for text in axes_of(figure, "legend").get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["corrupted", "denoised", "clean"]
    target = plots.reconstructions(fitted, GAPS, n=2, target=FRAME)
    labels = [text.get_text() for text in axes_of(target, "legend").get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["input", "reconstruction", "target"]


def test_of_many_columns_the_figure_says_which_are_drawn() -> None:
    wide = pd.DataFrame(rng.normal(size=(60, 45)), columns=[f"c{number}" for number in range(45)])
    ae = quick(epochs=1).fit(wide)
    figure = plots.reconstructions(ae, wide, n=2)
    assert names(figure) == [f"c{number}" for number in range(40)]
    assert axes_of(figure, "legend").get_title(loc="left") == "the first 40 of 45 columns"
    uncut(figure)
    drawn = plots.samples(ae, wide)
    assert len(drawn.axes) == 41
    assert "the first 40 of 45 columns" in axes_of(drawn, "legend").get_title(loc="left")


def test_the_bars_are_the_errors_the_largest_first() -> None:
    errors = {"a": 0.5, "b": None, "c": 3.0, "d": 0.25}
    columns = tuple(
        ColumnFigure(
            name, "number", 9, MethodErrors(error, None, 1.0, 2.0), MethodErrors(0.75), note="" if error else "constant"
        )
        for name, error in errors.items()
    )
    figure = plots.column_errors(ColumnFigures(columns))
    bars = figure.axes[0].patches
    assert names(figure) == ["c", "a", "d", "b"]
    assert [bar.get_width() for bar in bars][1:] == [0.5, 0.25, 0]  # type: ignore[attr-defined]
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[0] == "3.00"
    assert texts[-1].startswith("constant")
    few = plots.column_errors(ColumnFigures(columns), n=2)
    assert names(few) == ["c", "a"]
    assert few.axes[0].get_title(loc="left") == "the 2 of 4 columns with the largest errors"
    uncut(few)
    with pytest.raises(RecordError, match="invalid n=0: expected at least 1 column"):
        plots.column_errors(ColumnFigures(columns), n=0)


def test_distributions_are_those_of_real_and_new_rows(fitted: Autoencoder) -> None:
    figure = plots.samples(fitted, FRAME, method="gmm")
    of_kind = next(axes for axes in figure.axes if axes.get_title() == "kind")
    real = [bar.get_height() for bar in of_kind.patches]  # type: ignore[attr-defined]
    assert real == pytest.approx(np.bincount(KIND) / N)
    new = fitted.sample(1000, 0, method="gmm", X=FRAME)["kind"].value_counts(normalize=True, sort=False)
    assert np.asarray(of_kind.lines[0].get_ydata()).tolist() == pytest.approx(new.to_numpy())
    assert [label.get_text() for label in of_kind.get_xticklabels()] == ["bird", "cow", "ant"]
    heights = next(axes for axes in figure.axes if axes.get_title() == "height")
    for stairs in heights.patches:
        assert stairs.get_data().values.sum() == pytest.approx(1)  # type: ignore[attr-defined]
    uncut(figure)
    assert plots.samples(fitted, FRAME, method="gmm", draw=True).axes


def test_a_run_of_a_table_draws_its_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=list("abc"))
    ae = quick(1, epochs=1).fit(frame)
    assert "column_errors" in default_figures(ae)
    assert "column_errors" not in default_figures(quick(1, epochs=1).fit(frame.to_numpy()))
    part = Split(frame.to_numpy()[:50], frame.to_numpy()[50:])
    ((title, path, alt),) = draw(tmp_path, ae, ["column_errors"], part)
    assert title == "errors by column"
    assert path.is_file()
    assert alt.startswith("The errors of 3 columns; the largest is that of ")


def test_the_errors_of_a_run_leave_out_what_was_imputed(tmp_path: Path) -> None:
    """The page and the figure of a run on a file have the figures of `evaluate` on the observed cells."""
    rows = rng.normal(size=(90, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(90, 4))
    rows[::3, 1] = np.nan
    ae = quick(missing="allow").fit(pd.DataFrame(rows, columns=list("abcd")))
    dataset = Dataset("t", rows, columns=tuple("abcd"), kind="table")
    part = Split(rows[:60], rows[60:])
    found = evaluate_own_data(ae, part, dataset)
    assert found.figures.by_column == evaluate(ae, rows[60:], train=rows[:60]).by_column
    assert found.figures.by_column["b"].n_observed == 20
    assert not np.isnan(found.part.test).any()
    (once,) = draw(tmp_path / "once", ae, ["column_errors"], found.part, observed=found.observed)
    save_png(plots.column_errors(found.figures.by_column), tmp_path / "again.png")
    assert once[1].read_bytes() == (tmp_path / "again.png").read_bytes()
