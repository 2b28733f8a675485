# ruff: noqa: ARG001  (every figure takes ae, X and y, so that one command draws any of them)
"""The figure of training: loss curves."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from isthmus.errors import NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.plots.figure import chart

__all__ = ["losses"]


@takes_autoencoder
def losses(ae: Autoencoder, X: Any = None, y: Any = None) -> Figure:
    """Training and validation loss against the epoch, in nats per example; with a penalty also the two parts of the loss.

    In a warm-up of a penalty the validation loss already has its full weight, see `Report`.

    Args:
        ae: a fitted autoencoder.
        X: not used.
        y: not used.

    Raises:
        NotPossibleError: the autoencoder has no history of training.
    """
    if not ae.history_:
        raise NotPossibleError("no history of training: fit the autoencoder first")
    history = ae.history_
    epochs = [report.epoch for report in history]
    ends = f"from {history[0].loss:.4g} to {history[-1].loss:.4g}"
    figure, axes = chart(f"The training loss against the epoch, {ends} nats per example.", 7.0, 4.2)
    marker = "o" if len(history) < 12 else ""
    axes.plot(epochs, [report.loss for report in history], color="C0", label="training", marker=marker, markersize=4)
    if any(report.penalty for report in history):
        axes.plot(
            epochs,
            [report.nll for report in history],
            color="C0",
            linestyle="--",
            linewidth=1,
            label="reconstruction (nll)",
        )
        axes.plot(
            epochs, [report.penalty for report in history], color="C2", linestyle="--", linewidth=1, label="penalty"
        )
    measured = [(report.epoch, report.val_loss) for report in history if report.val_loss is not None]
    if measured:
        epoch, least = min(measured, key=lambda pair: pair[1])
        axes.plot(*zip(*measured, strict=True), color="C1", label="validation", marker=marker, markersize=4)
        axes.plot(epoch, least, "o", color="C1", label=f"lowest: {least:.4g}, epoch {epoch}")
    axes.set(xlabel="epoch", ylabel="nats per example")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color="0.9")
    axes.legend(frameon=False, fontsize=9)
    return figure
