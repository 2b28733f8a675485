"""What an evaluation found, as sections of a page."""

from __future__ import annotations

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import DataTransfer, Evaluation
from isthmus.experiments.report.html import Pictures, gallery, section, table
from isthmus.text import html_safe

__all__ = ["advice", "beside", "lead", "measured", "remark"]


def lead(ae: Autoencoder, evaluation: Evaluation) -> str:
    """The result in a sentence or two."""
    shape = " by ".join(str(side) for side in ae.shape_)
    code = " by ".join(str(side) for side in ae.code_shape_)
    text = f"Each example ({shape} number{'s' * (ae.shape_ != (1,))}) goes through a code of {code}"
    ours, theirs = evaluation.errors.error, (None if evaluation.pca is None else evaluation.pca.error)
    if theirs is None:
        return text + "."
    if not theirs or not ours:
        return f"{text}; PCA of equal width leaves a squared error of {theirs:.4g}, this {ours:.4g}."
    ratio = f"{ours / theirs:.0%} of" if ours < 2 * theirs else f"{ours / theirs:.1f} times"
    return f"{text} and comes back with {ratio} the squared error that PCA of equal width leaves."


def advice(evaluation: Evaluation) -> str:
    """What to do about it, before everything else; nothing where no rule speaks."""
    if not evaluation.advice:
        return ""
    lines = "\n".join(f"<li>{html_safe(said.text)}</li>" for said in evaluation.advice)
    return f'<section class="advice">\n<h2>Advice</h2>\n<ul>\n{lines}\n</ul>\n</section>'


def measured(evaluation: Evaluation, data: str = "") -> list[str]:
    """The sections of figures: errors, the code, and labels."""
    kind = "held-out examples" if evaluation.pca_fitted_on == "training examples" else "examples"
    on = f"<p>Measured on {evaluation.n_examples:,} {kind} of {html_safe(data)}.</p>\n" if data else ""
    return [
        section("How well", on + table("figures", evaluation.rows())),
        section("The code", table("figures", evaluation.codes.rows())),
        section("What it knows of labels", _labels(evaluation)),
    ]


def _labels(evaluation: Evaluation) -> str:
    if evaluation.labels is None:
        reason = evaluation.labels_missing
        return f"<p>Labels are left out: {html_safe(reason)}.</p>" if reason else ""
    said = f"{evaluation.labels.how()} Training never saw labels; 1 is the best."
    header = ("", "codes", "PCA codes", "examples")
    scores = table("beside", evaluation.labels.rows(), header, units=False)
    return f"<p>{html_safe(said)}</p>\n{scores}"


def beside(found: DataTransfer, pictures: tuple[Pictures, Pictures]) -> tuple[str, str]:
    """Heading and content of the section on other data: both sides' figures, and pictures next to each other."""
    header = ("", found.own_name, found.other_name, "unit")
    sides = "\n".join(f"<div>{gallery(side, whole=True)}</div>" for side in pictures)
    content = f'<p>{html_safe(found.sentence())}</p>\n<div class="pair">\n{sides}\n</div>\n'
    return "On other data", content + table("beside", found.rows(), header)


def remark(heading: str, text: str) -> tuple[str, str]:
    """A section of one sentence."""
    return heading, f"<p>{html_safe(text)}</p>"
