"""The figures of a run: which kinds suit an autoencoder, their options and titles, and drawing them into files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from isthmus.assignments import arguments
from isthmus.errors import NotPossibleError, RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.table_columns import table_columns
from isthmus.experiments.measured_figures import figure_function
from isthmus.experiments.splits import Split
from isthmus.records import nearest

__all__ = ["compares_with_inputs", "default_figures", "draw", "figure_options", "figures_of_pairs", "title_of"]

TITLES = {
    "column_errors": "errors by column",
    "pca": "reconstructions by PCA",
    "tsne": "t-SNE map of the codes",
    "umap": "UMAP map of the codes",
    "latent": "codes in two dimensions",
    "neighbors": "nearest neighbors",
    "traversal": "latent traversal",
    "interpolation": "latent interpolation",
    "rate_distortion": "rate and distortion",
}


def default_figures(ae: Autoencoder) -> list[str]:
    """The kinds of figures that suit an autoencoder."""
    kinds = ["losses"]
    corruption = ae.corruption_
    if not corruption.corrupts or corruption.makes_missing:
        kinds += ["reconstructions"]
    else:
        kinds += ["completion"] if corruption.hides_region else ["denoising", "noise_levels"]
    kinds += ["column_errors"] if table_columns(ae) is not None else []
    kinds += ["pca", "latent", "neighbors", "codes", "filters"]
    if ae.model_.has_prior:
        kinds += ["samples", "manifold"] if ae.code_shape_ == (2,) else ["samples"]
    if not ae.bottleneck_.discrete:
        kinds += ["traversal", "interpolation"]
    return kinds + (["feature_maps"] if len(ae.code_shape_) > 1 else [])


_COMPARE_WITH_INPUTS = {
    *("pca", "column_errors", "denoising", "completion", "noise_levels", "restorations", "robustness"),
    *("rate_distortion", "anomalies", "anomaly_scores", "series_alarms"),
}  # kinds that take an example for what its reconstruction should be


_OF_OBSERVED = {"column_errors"}  # kinds in which imputed values must not count


def compares_with_inputs(kind: str) -> bool:
    """Whether a kind of figure compares reconstructions with their inputs, which says nothing about pairs of inputs and targets."""
    return kind in _COMPARE_WITH_INPUTS


def figures_of_pairs(kinds: Iterable[str]) -> list[str]:
    """The kinds of figures that suit an autoencoder that was trained with a target."""
    others = [kind for kind in kinds if not compares_with_inputs(kind) and kind not in {"losses", "reconstructions"}]
    return ["losses", "reconstructions", *others]


def figure_options(kinds: Sequence[str], assignments: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The `name=value` assignments that each kind of figure accepts; `RecordError` for one that no kind accepts."""
    from isthmus import plots

    for kind in kinds:
        if kind not in plots.__all__:
            raise RecordError(f"no figure '{kind}'{nearest(kind, plots.__all__)}")
    return arguments({kind: figure_function(kind) for kind in kinds}, assignments)


def title_of(kind: str) -> str:
    """The title of a kind of figure on a page."""
    return TITLES.get(kind, kind.replace("_", " "))


def draw(
    folder: Path,
    ae: Autoencoder,
    kinds: Iterable[str],
    part: Split,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    strict: bool = False,
    observed: Split | None = None,
) -> list[tuple[str, Path, str]]:
    """Draws figures into a folder and returns title, file and description of each.

    Args:
        folder: where the files are written, KIND.png each.
        ae: the autoencoder.
        kinds: names of functions in `isthmus.plots`.
        part: training and held-out examples; the held-out ones are drawn.
        options: for a kind, arguments of its function in `isthmus.plots` and of its measurement.
        observed: the same examples with their missing values, for errors by column, which leave these out; None for `part`.
        strict: whether a kind that the autoencoder does not support raises `NotPossibleError`; else it is left out.
    """
    from isthmus.plots.figure import save_png

    drawn = []
    for kind in kinds:
        function = figure_function(kind)
        shown = observed if observed is not None and kind in _OF_OBSERVED else part
        known = {"train": shown.train, "train_labels": shown.train_labels, "target": shown.test_target}
        reference = {name: value for name, value in known.items() if name in signature(function).parameters}
        keywords = reference | dict((options or {}).get(kind, {}))
        try:
            figure = function(ae, shown.test, shown.test_labels, **keywords)
        except NotPossibleError:
            if strict:
                raise
            continue
        folder.mkdir(parents=True, exist_ok=True)
        save_png(figure, folder / f"{kind}.png")
        drawn.append((title_of(kind), folder / f"{kind}.png", str(figure.get_label())))
    return drawn
