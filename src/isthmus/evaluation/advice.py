# ruff: noqa: ARG001  (every rule takes an autoencoder and its figures, so that one loop asks all)
"""What to do about it, in words: a sentence for each rule that speaks. Each rule has a threshold with a name, and reads figures alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.data.sentinels import sentence
from isthmus.estimators.autoencoder import Autoencoder

if TYPE_CHECKING:
    from isthmus.evaluation.results import Evaluation

__all__ = ["Advice", "advised"]

UNUSED = 0.25  # share of a Gaussian's units that are not active, from which on it is said
DEAD = 0.1  # share of units that never differ, from which on it is said
COLLAPSED = 0.1  # perplexity as a share of the entries that could be chosen, below which a codebook has collapsed
SMALL = 0.5  # effective rank as a share of the size, up to which fewer numbers are tried
NEARLY = 1.05  # times the error, up to which fewer numbers do nearly as well
WORSE = 1.05  # times PCA's error, from which on PCA is better
RISEN = 0.1  # of what the validation loss fell after the first epoch, the share by which it has risen again
NOTED = 0.01  # and the share of its least by which it has risen at least
GAP = 1.5  # times the error on training examples, from which on that on others is much worse
HIDDEN = 0.1  # by how much more of a column's variance is left, on average, than of all numbers', from which on columns are hidden
_NAMED = 5  # columns in a sentence
FEW = 20  # examples, below which nothing is said by comparing others with those of training


_ALL_ALIKE = (
    "All examples are the same, to the last bit, and there is nothing to learn: check the data, and how they are read."
)


@dataclass(frozen=True)
class Advice:
    """A sentence, and the name of the rule that says it."""

    rule: str
    text: str


Rule = Callable[[Autoencoder, "Evaluation"], str]


def advised(ae: Autoencoder, found: Evaluation) -> tuple[Advice, ...]:
    """What the rules say about an autoencoder, most grave first."""
    if found.all_alike:  # whatever else is seen follows from it
        return (Advice("all alike", _ALL_ALIKE),)
    said = ((name, rule(ae, found)) for name, rule in RULES.items())
    return tuple(Advice(name, text) for name, text in said if text)


def _unused(ae: Autoencoder, found: Evaluation) -> str:
    """A quarter or more of a Gaussian's units have a posterior mean that hardly differs: they cost nothing, and say nothing."""
    active, size = found.codes.active_units, found.codes.size
    if active is None or size - active < UNUSED * size:
        return ""
    what = "The decoder ignores the code: all" if active == 0 else f"{size - active:,} of {size:,}"
    remedy = ae.bottleneck_.remedy("unused units")
    return f"{what} units are unused: {remedy}{'; or ' * bool(remedy)}take {max(1, active)} numbers."


def _dead(ae: Autoencoder, found: Evaluation) -> str:
    """A tenth or more of the units never differ over the examples."""
    dead, size = found.codes.dead, found.codes.size
    remedy = ae.bottleneck_.remedy("dead units")
    if dead < DEAD * size or not remedy:
        return ""
    return f"{dead:,} of {size:,} units are dead, the same for every example: {remedy}."


def _collapsed(ae: Autoencoder, found: Evaluation) -> str:
    """A codebook is used as if it had less than a tenth of its entries, and there were places enough to choose them all."""
    codes = found.codes
    if codes.codebook_size is None or codes.perplexity is None:
        return ""
    if codes.perplexity >= COLLAPSED * min(codes.codebook_size, found.n_examples * codes.positions):
        return ""
    used = codes.codebook_size - (codes.unused_entries or 0)
    return (
        f"The codebook has collapsed: {used:,} of {codes.codebook_size:,} entries are chosen, and they count as "
        f"{codes.perplexity:.3g} used equally often: {ae.bottleneck_.remedy('codebook collapse')}."
    )


def _larger(ae: Autoencoder, found: Evaluation) -> str:
    """The effective rank is at most half the size, and codes of so many directions do as well; sparse ones are wide on purpose."""
    codes = found.codes
    if ae.bottleneck_.sparse or _unused(ae, found) or codes.enough is None or codes.effective_rank is None:
        return ""
    if codes.mse_projected is None or codes.mse_unprojected is None or codes.effective_rank > SMALL * codes.size:
        return ""
    if codes.mse_projected > NEARLY * codes.mse_unprojected:
        return ""
    numbers = "1 number" if codes.enough == 1 else f"{codes.enough:,} numbers"
    return (
        f"The code is larger than needed: {numbers} of {codes.size:,} would do nearly as well "
        f"(the effective rank is {codes.effective_rank:.3g}): take a smaller bottleneck.size."
    )


def _behind(ae: Autoencoder, found: Evaluation) -> str:
    """PCA of equal width leaves a smaller error; sparse codes and codebooks hold less than as many free numbers, and are not compared."""
    if (
        found.pca is None
        or found.errors.error <= WORSE * found.pca.error
        or ae.bottleneck_.sparse
        or ae.bottleneck_.discrete
    ):
        return ""
    remedy = "train longer (epochs), or take a larger architecture"
    if _by_heart(ae, found):
        remedy = "it knows training examples by heart instead"
    elif ours := ae.bottleneck_.remedy("worse than PCA"):
        remedy = ours
    elif ae.corruption_.corrupts:
        remedy = (
            f"it was trained to remove {ae.corruption_!r}, which costs accuracy on clean examples; otherwise {remedy}"
        )
    times = "" if found.pca.error == 0 else f" by {1 - found.pca.error / found.errors.error:.0%}"
    return f"PCA of equal width is better: its squared error is smaller{times}: {remedy}."


def _overfitted(ae: Autoencoder, found: Evaluation) -> str:
    """The validation loss has risen well above its least, and the weights are those of the end."""
    losses = [report.val_loss for report in ae.history_ if report.val_loss is not None]
    if len(losses) < 2 or ae.early_stopping:
        return ""
    least, rise = min(losses), losses[-1] - min(losses)
    if rise <= RISEN * (losses[0] - least) or rise <= NOTED * abs(least):
        return ""
    epoch = next(report.epoch for report in ae.history_ if report.val_loss == least)
    return (
        f"It overfits: the validation loss has risen from {least:.4g} after epoch {epoch} to {losses[-1]:.4g} nats: "
        "take early_stopping=true, fewer epochs, or more examples."
    )


def _by_heart(ae: Autoencoder, found: Evaluation) -> str:
    """The error on held-out examples is much larger than on those of training."""
    learned = None if found.training is None else found.training.error
    if learned is None or found.n_examples < FEW or found.errors.error <= GAP * learned or learned == 0:
        return ""
    times = f"{found.errors.error / learned:.2g} times as large on these examples as on those of training"
    remedy = (
        "more examples help, a smaller bottleneck.size, fewer epochs, or a corruption such as corruption=GaussianNoise"
    )
    return f"It knows training examples by heart: the squared error is {times}: {remedy}."


def _hidden(ae: Autoencoder, found: Evaluation) -> str:
    """Columns are lost that the error over all numbers does not show: it is that of the largest numbers."""
    if found.errors.column_error is None or found.columns.unexplained_variance is None or not found.columns.lost:
        return ""
    if found.errors.column_error - found.columns.unexplained_variance < HIDDEN or found.n_examples < FEW:
        return ""
    named = [f"{name!r}" if ae.kind_ == "table" else name for name, _ in found.columns.lost[:_NAMED]]
    more = found.columns.n_lost - len(named)
    listed = ", ".join(named) + (f" and {more:,} more" if more > 0 else "")
    each = "column" if ae.kind_ == "table" else "channel"
    own = ae.scaling_.by_feature
    remedy = (
        "take a larger bottleneck.size, or train longer (epochs)"
        if own
        else "take scaling=Standard, which scales each by itself"
    )
    if (
        own
        and found.pca is not None
        and found.pca.column_error is not None
        and found.pca.column_error > found.errors.column_error - HIDDEN
    ):
        remedy = "nothing in the others says what they are, perhaps; a larger bottleneck.size keeps more"
    return (
        f"The error over all numbers hides {each}s: of the variance of all numbers {found.columns.unexplained_variance:.2g} is left, "
        f"of that of a {each} {found.errors.column_error:.2g} on average. Lost by half or more: {listed}: {remedy}."
    )


def _sentinels(ae: Autoencoder, found: Evaluation) -> str:
    """A column has one value again and again, far from all others."""
    said = sentence(found.sentinels)
    return f"{said[0].upper()}{said[1:]}." if said else ""


RULES: dict[str, Rule] = {
    "far value": _sentinels,
    "unused units": _unused,
    "dead units": _dead,
    "codebook collapse": _collapsed,
    "worse than PCA": _behind,
    "hidden columns": _hidden,
    "overfitting": _overfitted,
    "worse than in training": _by_heart,
    "code larger than needed": _larger,
}
