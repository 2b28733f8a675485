# ruff: noqa: ARG001  (all rules have the same signature, although some need no autoencoder)
"""Recommendations: rules that turn the results of an evaluation into sentences. Each rule has a named threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.data.sentinels import sentence
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.text import printable

if TYPE_CHECKING:
    from isthmus.evaluation.results import Evaluation

__all__ = ["Advice", "advice_for"]

MIN_UNUSED_FRACTION = 0.25  # of a Gaussian bottleneck's units
MIN_DEAD_FRACTION = 0.1  # of the units
COLLAPSE_FRACTION = 0.1  # perplexity below this fraction of the entries that could be used is a collapse
LOW_RANK_FRACTION = 0.5  # effective rank / size, up to which a smaller code is considered
SIMILAR_ERROR_RATIO = 1.05  # error of projected codes / error, up to which a smaller code is recommended
WORSE_THAN_PCA_RATIO = 1.05  # error / PCA's error, above which PCA is better
MIN_LOSS_RISE = 0.1  # of the validation loss, as a fraction of its decrease since the first epoch
MIN_RELATIVE_LOSS_RISE = 0.01  # and as a fraction of its minimum
GENERALIZATION_RATIO = 1.5  # error / error on training examples, above which the model overfits
HIDDEN_GAP = 0.1  # column error - unexplained variance of all features, from which columns are hidden
MIN_EXAMPLES = 20  # for rules that compare with training examples
_MAX_NAMED = 5  # columns in a sentence


_ALL_ALIKE = "All examples are identical, so there is nothing to learn: check the data and how they are read."


@dataclass(frozen=True)
class Advice:
    """A recommendation.

    Attributes:
        rule: name of the rule, such as "overfitting".
        text: the problem and what to do about it, in a sentence.
    """

    rule: str
    text: str


Rule = Callable[[Autoencoder, "Evaluation"], str]  # "" if the problem does not exist


def advice_for(ae: Autoencoder, result: Evaluation) -> tuple[Advice, ...]:
    """The recommendations for an autoencoder, the most severe first."""
    if result.all_alike:  # all other problems follow from it
        return (Advice("all alike", _ALL_ALIKE),)
    texts = ((name, rule(ae, result)) for name, rule in RULES.items())
    return tuple(Advice(name, text) for name, text in texts if text)


def _unused_units(ae: Autoencoder, result: Evaluation) -> str:
    """At least a quarter of a Gaussian bottleneck's units have a posterior mean that hardly varies: posterior collapse."""
    active, size = result.codes.active_units, result.codes.size
    if active is None or size - active < MIN_UNUSED_FRACTION * size:
        return ""
    subject = "The decoder ignores the code: all" if active == 0 else f"{size - active:,} of {size:,}"
    remedy = ae.bottleneck_.remedy("unused units")
    return f"{subject} units are unused: {remedy}{'; or ' * bool(remedy)}set bottleneck.size={max(1, active)}."


def _dead_units(ae: Autoencoder, result: Evaluation) -> str:
    """At least a tenth of the units are constant over the examples."""
    dead, size = result.codes.dead, result.codes.size
    remedy = ae.bottleneck_.remedy("dead units")
    if dead < MIN_DEAD_FRACTION * size or not remedy:
        return ""
    return f"{dead:,} of {size:,} units are dead, that is, constant over all examples: {remedy}."


def _codebook_collapse(ae: Autoencoder, result: Evaluation) -> str:
    """The perplexity is below a tenth of the codebook's size, or of the number of codes where these are fewer."""
    codes = result.codes
    if codes.codebook_size is None or codes.perplexity is None:
        return ""
    if codes.perplexity >= COLLAPSE_FRACTION * min(codes.codebook_size, result.n_examples * codes.positions):
        return ""
    used = codes.codebook_size - (codes.unused_entries or 0)
    return (
        f"The codebook has collapsed: {used:,} of {codes.codebook_size:,} entries are used, with a perplexity of "
        f"{codes.perplexity:.3g}: {ae.bottleneck_.remedy('codebook collapse')}."
    )


def _code_larger_than_needed(ae: Autoencoder, result: Evaluation) -> str:
    """The effective rank is at most half the size, and projected codes give a similar error. Sparse codes are not checked."""
    codes = result.codes
    if ae.bottleneck_.sparse or _unused_units(ae, result) or codes.dead == codes.size:  # a code that says nothing
        return ""
    if codes.n_components is None or codes.effective_rank is None:
        return ""
    if (
        codes.mse_projected is None
        or codes.mse_unprojected is None
        or codes.effective_rank > LOW_RANK_FRACTION * codes.size
    ):
        return ""
    if codes.mse_projected > SIMILAR_ERROR_RATIO * codes.mse_unprojected:
        return ""
    return (
        f"The code is larger than needed: {codes.n_components:,} of {codes.size:,} dimensions give nearly the same error "
        f"(effective rank {codes.effective_rank:.3g}): reduce bottleneck.size."
    )


def _overfits(ae: Autoencoder, result: Evaluation) -> bool:
    """Whether another rule says that the autoencoder overfits, so that longer training makes it worse."""
    return bool(_overfitting(ae, result) or _worse_than_in_training(ae, result))


def _remedies(ae: Autoencoder, result: Evaluation, *others: str) -> str:
    """Longer training, unless the autoencoder overfits, and other remedies, as a part of a sentence."""
    *first, last = [*([] if _overfits(ae, result) else ["train longer (epochs)"]), *others]
    return f"{', '.join(first)}, or {last}" if first else last


def _worse_than_pca(ae: Autoencoder, result: Evaluation) -> str:
    """PCA of equal width has a lower error. Sparse codes and codebooks have less capacity by design and are not compared."""
    if (
        result.pca is None
        or not result.errors.error > WORSE_THAN_PCA_RATIO * result.pca.error  # NaN where no column has an error
        or ae.bottleneck_.sparse
        or ae.bottleneck_.discrete
    ):
        return ""
    possible = len(ae.code_shape_) == 1 and not ae.architecture_.start_examples(ae.shape_)
    begins = ["let training begin with PCA (architecture=LinearSkip)"] if possible else []
    remedy = _remedies(ae, result, "use a larger architecture", *begins)
    if _overfits(ae, result):
        remedy = "the autoencoder overfits its training examples"
    elif bottleneck_remedy := ae.bottleneck_.remedy("worse than PCA"):
        remedy = bottleneck_remedy
    elif ae.corruption_.corrupts:
        remedy = f"training with {ae.corruption_!r} increases the error on clean examples; otherwise {remedy}"
    difference = "" if result.pca.error == 0 else f" by {1 - result.pca.error / result.errors.error:.0%}"
    return f"PCA of equal width is better: its {result.errors.measure} is smaller{difference}: {remedy}."


def _worse_than_the_input(ae: Autoencoder, result: Evaluation) -> str:
    """With a target, the input itself has a lower error."""
    if result.restoration is None or result.errors.error <= result.restoration.input.error or ae.likelihood_.nominal:
        return ""
    return (
        f"The restoration does harm: the input itself is closer to the target, with {_article(result)} of "
        f"{result.restoration.input.error:.4g} instead of {result.errors.error:.4g}: "
        f"{_remedies(ae, result, 'use a larger bottleneck.size', 'check that inputs and targets belong together')}."
    )


def _worse_than_ridge(ae: Autoencoder, result: Evaluation) -> str:
    """With a target, ridge regression from inputs to targets has a lower error."""
    ridge = None if result.restoration is None else result.restoration.ridge
    if ridge is None or result.errors.error <= WORSE_THAN_PCA_RATIO * ridge.error:
        return ""
    return (
        f"Ridge regression is better: a linear map restores better, with a squared error of {ridge.error:.4g} instead of "
        f"{result.errors.error:.4g}: {_remedies(ae, result, 'use a larger bottleneck.size or architecture')}."
    )


def _overfitting(ae: Autoencoder, result: Evaluation) -> str:
    """The validation loss has risen well above its minimum, and the weights are those of the last epoch."""
    losses = [report.val_loss for report in ae.history_ if report.val_loss is not None]
    if len(losses) < 2 or ae.early_stopping:
        return ""
    minimum, rise = min(losses), losses[-1] - min(losses)
    if rise <= MIN_LOSS_RISE * (losses[0] - minimum) or rise <= MIN_RELATIVE_LOSS_RISE * abs(minimum):
        return ""
    epoch = next(report.epoch for report in ae.history_ if report.val_loss == minimum)
    return (
        f"The autoencoder overfits: the validation loss has risen from {minimum:.4g} after epoch {epoch} to "
        f"{losses[-1]:.4g} nats per example: use early_stopping=true, fewer epochs, or more examples."
    )


def _worse_than_in_training(ae: Autoencoder, result: Evaluation) -> str:
    """The error on held-out examples is much larger than on training examples."""
    training_error = None if result.training is None else result.training.error
    if training_error is None or result.n_examples < MIN_EXAMPLES or training_error == 0:
        return ""
    if result.errors.error <= GENERALIZATION_RATIO * training_error:
        return ""
    remedies = ["more examples", "a smaller bottleneck.size", "fewer epochs"]
    remedies += [] if ae.corruption_.corrupts else ["a corruption such as corruption=GaussianNoise"]
    return (
        f"The autoencoder overfits: the {result.errors.measure} is {result.errors.error / training_error:.2g} times as large on these "
        f"examples as on training examples: use {', '.join(remedies[:-1])}, or {remedies[-1]}."
    )


def _hidden_columns(ae: Autoencoder, result: Evaluation) -> str:
    """Columns are badly reconstructed, but the error over all features does not show it: columns of large values dominate it."""
    if result.errors.column_error is None or result.columns.unexplained_variance is None or not result.columns.lost:
        return ""
    gap = result.errors.column_error - result.columns.unexplained_variance
    if gap < HIDDEN_GAP or result.n_examples < MIN_EXAMPLES:
        return ""
    named = [f"{name!r}" if ae.kind_ == "table" else name for name, _ in result.columns.lost[:_MAX_NAMED]]
    more = result.columns.n_lost - len(named)
    listed = ", ".join(named) + (f" and {more:,} more" if more > 0 else "")
    each = "column" if ae.kind_ == "table" else "channel"
    by_feature = ae.scaling_.by_feature or ae.likelihood_.support.integers  # counts and classes cannot be scaled
    remedy = (
        _remedies(ae, result, "use a larger bottleneck.size")
        if by_feature
        else f"use scaling=Standard, which scales each {each} separately"
    )
    if (
        by_feature
        and result.pca is not None
        and result.pca.column_error is not None
        and result.pca.column_error > result.errors.column_error - HIDDEN_GAP
    ):
        remedy = f"these {each}s may be independent of the others; a larger bottleneck.size improves them"
    return (
        f"The error over all features hides {each}s: its unexplained variance is {result.columns.unexplained_variance:.2g}, "
        f"that of a {each} {result.errors.column_error:.2g} on average. Unexplained variance of 0.5 or more: {listed}: {remedy}."
    )


def _columns_without_gain(ae: Autoencoder, result: Evaluation) -> str:
    """Columns of a table with other columns than numbers are not reconstructed better than a constant."""
    if result.by_column is None or not result.mixed or result.n_examples < MIN_EXAMPLES:
        return ""
    without = result.by_column.without_gain()
    named = [f"{printable(each.name, 60)!r} (than {each.baseline})" for each in without[:_MAX_NAMED]]
    more = len(without) - len(named)
    if not named:
        return ""
    verb = "is" if len(without) == 1 else "are"
    listed = ", ".join(named) + (f" and {more:,} more" if more else "")
    return (
        f"{len(without):,} of {len(result.by_column.columns):,} columns {verb} not reconstructed better than by a constant: {listed}: "
        f"{_remedies(ae, result, 'use a larger bottleneck.size', 'leave out what does not depend on other columns')}."
    )


def _article(result: Evaluation) -> str:
    """The name of the error with its article."""
    return f"{'an' if result.mixed else 'a'} {result.errors.measure}"


def _sentinel_values(ae: Autoencoder, result: Evaluation) -> str:
    """A value far from all others is frequent in a column."""
    text = sentence(result.sentinels)
    return f"{text[0].upper()}{text[1:]}." if text else ""


RULES: dict[str, Rule] = {
    "far value": _sentinel_values,
    "unused units": _unused_units,
    "dead units": _dead_units,
    "codebook collapse": _codebook_collapse,
    "worse than the input": _worse_than_the_input,
    "worse than ridge regression": _worse_than_ridge,
    "worse than PCA": _worse_than_pca,
    "hidden columns": _hidden_columns,
    "columns without gain": _columns_without_gain,
    "overfitting": _overfitting,
    "worse than in training": _worse_than_in_training,
    "code larger than needed": _code_larger_than_needed,
}
