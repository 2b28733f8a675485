"""The sections of a report with the results of an evaluation."""

from __future__ import annotations

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import DataTransfer, Evaluation
from isthmus.experiments.report.html import FigureFiles, gallery, section, table
from isthmus.text import html_safe

__all__ = ["advice", "data_transfer", "evaluation_sections", "paragraph", "summary"]


def summary(ae: Autoencoder, evaluation: Evaluation) -> str:
    """The main result in one sentence."""
    shape, code = (" x ".join(map(str, sides)) for sides in (ae.shape_, ae.code_shape_))
    what = (
        f"an example of shape {shape}" if len(ae.shape_) > 1 else f"an example of {shape} feature{'s' * (shape != '1')}"
    )
    to = f"a code of shape {code}" if len(ae.code_shape_) > 1 else f"{code} dimension{'s' * (code != '1')}"
    text = f"The autoencoder compresses {what} to {to}"
    ours, theirs = evaluation.errors.error, (None if evaluation.pca is None else evaluation.pca.error)
    error = "mean squared error" if evaluation.errors.mse_scaled is None else "mean squared error of scaled features"
    error = evaluation.errors.measure if evaluation.mixed else error
    if evaluation.restoration is not None:
        return f"{text}. {_restoration(evaluation, error)}"
    if theirs is None:
        return text + "."
    if not theirs or not ours:
        return f"{text}. The {error} is {ours:.4g}; that of PCA with a code of the same size is {theirs:.4g}."
    ratio = f"{ours / theirs:.0%} of" if ours < 2 * theirs else f"{ours / theirs:.1f} times"
    return f"{text}. The {error} is {ratio} that of PCA with a code of the same size."


def _restoration(evaluation: Evaluation, error: str) -> str:
    """The errors of a restoration and its baselines, in one sentence."""
    known = evaluation.restoration
    assert known is not None
    ridge = "" if known.ridge is None else f", that of ridge regression is {known.ridge.error:.4g}"
    ours, theirs = evaluation.errors.error, known.input.error
    return f"The {error} against the target is {ours:.4g}; that of the input itself is {theirs:.4g}{ridge}."


def advice(evaluation: Evaluation) -> str:
    """The advice as the first section; empty without advice."""
    if not evaluation.advice:
        return ""
    lines = "\n".join(f"<li>{html_safe(each.text)}</li>" for each in evaluation.advice)
    return f'<section class="advice">\n<h2>Advice</h2>\n<ul>\n{lines}\n</ul>\n</section>'


def evaluation_sections(evaluation: Evaluation, data: str = "") -> list[str]:
    """The sections of metrics: errors, the code, and labels."""
    kind = "held-out examples" if evaluation.pca_fitted_on == "training examples" else "examples"
    on = f"<p>Computed on {evaluation.n_examples:,} {kind} of {html_safe(data)}.</p>\n" if data else ""
    return [
        section("Reconstruction", on + table("figures", evaluation.rows())),
        section("Columns", _columns(evaluation)),
        section("Code", table("figures", evaluation.codes.rows())),
        section("Labels", _labels(evaluation)),
    ]


def _columns(evaluation: Evaluation) -> str:
    """The figures of each column of a table; empty without them."""
    if evaluation.by_column is None:
        return ""
    header, rows = evaluation.by_column.table()
    text = html_safe(evaluation.by_column.how())
    return f"<p>{text}</p>\n{table('comparison', rows, header)}"


def _labels(evaluation: Evaluation) -> str:
    if evaluation.labels is None:
        reason = evaluation.labels_missing
        return f"<p>No metrics of labels: {html_safe(reason)}.</p>" if reason else ""
    text = f"{evaluation.labels.how()} Labels were not used in training. The best possible value is 1."
    header = ("", "codes", "PCA codes", "examples")
    scores = table("comparison", evaluation.labels.rows(), header, units=False)
    return f"<p>{html_safe(text)}</p>\n{scores}"


def data_transfer(result: DataTransfer, figure_files: tuple[FigureFiles, FigureFiles]) -> tuple[str, str]:
    """Heading and content of the section on other data: the metrics and the figures of both data sets."""
    header = ("", result.own_name, result.other_name, "unit")
    sides = "\n".join(f"<div>{gallery(side, scaled=True)}</div>" for side in figure_files)
    content = f'<p>{html_safe(result.sentence())}</p>\n<div class="pair">\n{sides}\n</div>\n'
    return "On other data", content + table("comparison", result.rows(), header)


def paragraph(heading: str, text: str) -> tuple[str, str]:
    """Heading and content of a section of one paragraph."""
    return heading, f"<p>{html_safe(text)}</p>"
