"""Measures robustness to noise and completion of occluded images; writes docs/robustness.md.

python benchmarks/robustness.py [--states 3] [--n 1000] [--digits 60000] [--epochs 10] [--out docs/robustness.md]

Trains the systems of the tutorials dense-or-conv and occluded with several random states, measures them on corrupted test digits, compares
them with identity, filters and ridge regression, and draws figures. The sentences of the page follow from the figures. With fewer digits
or epochs, the page says that the run is reduced.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

import numpy as np

from isthmus import Autoencoder, data, plots
from isthmus.evaluation.robustness_curve import robustness
from isthmus.evaluation.robustness_result import AUTOENCODER, IDENTITY, DenoisingScore, Robustness
from isthmus.experiments import tutorials
from isthmus.experiments.reproduction import machine
from isthmus.plots.figure import save_png

ROOT = Path(__file__).resolve().parent.parent
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
SHOWN = (0.3, 0.5, 1.0)  # levels in the figure of denoised digits
COMPLETING = ("training mean", "ridge regression")
BYTE = 255**2  # errors on the page are of pixels in [0, 1]


@dataclass(frozen=True)
class Trained:
    """A system of a tutorial, trained with several random states, and its errors on corrupted digits for each."""

    name: str
    parameters: int
    seconds: list[float]
    sweeps: list[Robustness]
    hidden: list[float]  # error on the occluded pixels

    def errors(self, level: float, method: str = AUTOENCODER) -> list[float]:
        """The error with each random state, pixels in [0, 1]; a baseline has one."""
        return [figure.mse / BYTE for figure in self._measured(level, method)]

    def similarities(self, level: float, method: str = AUTOENCODER) -> list[float]:
        """The structural similarity, in the same way."""
        return [figure.ssim for figure in self._measured(level, method) if figure.ssim is not None]

    def _measured(self, level: float, method: str) -> list[DenoisingScore]:
        found = [f for sweep in self.sweeps for f in sweep.figures if (f.level, f.method) == (level, method)]
        return found if method == AUTOENCODER else found[:1]


def main() -> None:
    """Reads the command line, trains, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--n", type=int, default=1000, help="test digits that are measured")
    parser.add_argument("--digits", type=int, default=60_000, help="training digits")
    parser.add_argument("--epochs", type=float, default=None, help="instead of the tutorial's ten")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "robustness.md")
    given = parser.parse_args()
    began, digits = time.perf_counter(), data.mnist()
    dense, conv = tutorials.find("dense-or-conv").systems
    noisy = [trained(dense, digits, given, LEVELS, None), trained(conv, digits, given, LEVELS, [])]
    occluded = [trained(s, digits, given, None, COMPLETING) for s in tutorials.find("occluded").systems]
    figures = given.out.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    drawn(noisy, occluded, figures)
    minutes = (time.perf_counter() - began) / 60
    given.out.write_text(page(noisy, occluded, given, minutes), encoding="utf-8")
    print(f"written: {given.out}, and its figures, in {minutes:.0f} minutes")


def trained(
    system: tutorials.System,
    digits: data.Dataset,
    given: argparse.Namespace,
    levels: Sequence[float] | None,
    wanted: Sequence[str] | None,
) -> Trained:
    """Trains a system with each random state; baselines do not depend on it and are measured with the first."""
    assert digits.test is not None
    train, seconds, sweeps, hidden = digits.train[: given.digits], [], [], []
    ae = Autoencoder()
    for state in range(given.states):
        ae = system.build().set_params(random_state=state)
        ae.set_params(epochs=given.epochs or ae.epochs).fit(train)
        swept = [ae.corruption_.visible] if levels is None else list(levels)
        names = wanted if state == 0 else []
        sweeps.append(robustness(ae, digits.test, train=train, levels=swept, baselines=names, n=given.n))
        hidden.append(hidden_error(ae, digits.test))
        seconds.append(ae.seconds_)
        restored = [f"{f.level:.3g}: {f.mse / BYTE:.4f}" for f in sweeps[-1].figures if f.method == AUTOENCODER]
        print(f"{system.name}, random state {state}: {ae.seconds_:.0f} s, error at {', '.join(restored)}", flush=True)
    return Trained(system.name, ae.n_parameters_, seconds, sweeps, hidden)


def hidden_error(ae: Autoencoder, X: np.ndarray) -> float:
    """Mean squared error of the occluded pixels, in [0, 1], over all test digits; the top rows are visible."""
    corrupted = ae.corrupt(X)
    rows = round(X.shape[1] * getattr(ae.corruption_, "visible", 0.0))
    return float(np.square((ae.reconstruct(corrupted)[:, rows:] - X[:, rows:].astype(np.float64)) / 255).mean())


def drawn(noisy: list[Trained], occluded: list[Trained], folder: Path) -> None:
    """Three figures: error by noise level, denoised digits, completed digits."""
    save_png(plots.robustness(joined(noisy, LEVELS)), folder / "robustness.png")
    kept = joined(noisy, SHOWN, without=("training mean", "median filter"))
    save_png(plots.restorations(kept, kind="GaussianNoise"), folder / "dense-or-conv.png")
    whole = occluded[0].sweeps[0]
    figures = tuple(figure for system in occluded for figure in system.sweeps[0].figures)
    save_png(plots.restorations(replace(whole, figures=figures), kind="Occlusion"), folder / "occluded.png")


def joined(systems: list[Trained], levels: Sequence[float], without: Sequence[str] = ()) -> Robustness:
    """The systems as methods of one sweep, with the first random state; the baselines are those of the first system."""
    figures: list[DenoisingScore] = []
    for level in levels:
        here = systems[0].sweeps[0].at("GaussianNoise", level)
        figures.append(here[IDENTITY])
        for system in systems:
            found = system.sweeps[0].at("GaussianNoise", level)[AUTOENCODER]
            figures.append(replace(found, method=f"{system.name} autoencoder"))
        figures += [figure for name, figure in here.items() if name not in {IDENTITY, AUTOENCODER, *without}]
    return replace(systems[0].sweeps[0], figures=tuple(figures))


def spread(values: list[float]) -> str:
    """The mean, with minimum and maximum if there are several."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{mean(values):.4f} ({min(values):.4f} - {max(values):.4f})"


def page(noisy: list[Trained], occluded: list[Trained], given: argparse.Namespace, minutes: float) -> str:
    """The page."""
    sweep, states = noisy[0].sweeps[0], "random state 0" if given.states == 1 else f"{given.states} random states"
    reduced = [f"{given.digits:,} training digits"] if given.digits < 60_000 else []
    reduced += [f"epochs={given.epochs:g}"] if given.epochs else []
    return "\n".join(
        [
            "# Robustness to noise and occlusion",
            "",
            "This page compares autoencoders that denoise or complete images with filters and linear regression.",
            "Read it to choose between a dense and a convolutional autoencoder, or a simpler method.",
            "",
            f"- Errors are mean squared errors (MSE) of pixels in [0, 1] on {sweep.n_examples:,} MNIST test digits,",
            f"  each corrupted {sweep.draws} times.",
            f"- Figures of autoencoders are the mean over {states}, with minimum and maximum in parentheses.",
            f"- Baselines are refitted at every noise level on {sweep.n_fitted:,} training digits with the same corruption;",
            "  the autoencoders are not.",
            f"  Settings of baselines are chosen on {sweep.n_chosen:,} other training digits.",
            "- Baselines: *identity* leaves the image unchanged; *training mean* is the mean training image;",
            "  *ridge regression* is the best linear map from corrupted to clean images; the others are filters.",
            "- Outputs of baselines are clipped to [0, 1]; outputs of autoencoders are not. BM3D, a stronger filter, was not measured:",
            "  scikit-image does not contain it.",
            "",
            f"Written by `python benchmarks/robustness.py` on {datetime.now(UTC):%Y-%m-%d} in {minutes:.0f} minutes; "
            f"{machine()}.",
            *([f"**A reduced run: {', '.join(reduced)}.**"] if reduced else []),
            *[f"Left out: {name} ({reason})." for name, reason in sweep.left_out.items()],
            "",
            "## Denoising: dense and convolutional autoencoders",
            "",
            "Both models of the tutorial `dense-or-conv` have the same training noise (standard deviation 0.5), epochs, steps and loss.",
            "To train them, run `isthmus reproduce dense-or-conv`.",
            "",
            *noise_table(noisy),
            "",
            "Structural similarity (SSIM; 1 means identical images) of the same outputs:",
            "",
            *noise_table(noisy, Trained.similarities),
            "",
            dense_or_conv(*noisy),
            "",
            "![Mean squared error by noise level](figures/robustness.png)",
            "",
            "![Denoised digits](figures/dense-or-conv.png)",
            "",
            "## Completion of occluded images",
            "",
            "In the tutorial `occluded`, the top third or quarter of a digit is visible and the rest is black.",
            "To train these models, run `isthmus reproduce occluded`.",
            "*hidden part* is the error of the autoencoder on the occluded pixels, over all test digits.",
            "",
            *occluded_table(occluded),
            "",
            *[completed(system) for system in occluded],
            "",
            "![Completed digits](figures/occluded.png)",
            "",
        ]
    )


def noise_table(noisy: list[Trained], figures: Callable[..., list[float]] = Trained.errors) -> list[str]:
    """Parameters and training times, then a line per noise level."""
    names = [name for name in noisy[0].sweeps[0].methods if name not in {IDENTITY, AUTOENCODER}]
    lines = [["noise", IDENTITY, *(f"{s.name} autoencoder" for s in noisy), *names]]
    lines.append(["---"] * len(lines[0]))
    if figures is Trained.errors:
        lines += _sizes(noisy, len(names))
    for level in LEVELS:
        own = [spread(figures(system, level)) for system in noisy]
        rest = [f"{figures(noisy[0], level, name)[0]:.4f}" for name in (IDENTITY, *names)]
        trained_at = " (as trained)" if noisy[0].sweeps[0].at("GaussianNoise", level)[IDENTITY].trained else ""
        lines.append([f"{level:g}{trained_at}", rest[0], *own, *rest[1:]])
    return ["| " + " | ".join(line) + " |" for line in lines]


def _sizes(noisy: list[Trained], others: int) -> list[list[str]]:
    return [
        ["parameters", "-", *(f"{s.parameters:,}" for s in noisy), *["-"] * others],
        ["training time, s", "-", *(f"{mean(s.seconds):.0f}" for s in noisy), *["-"] * others],
    ]


def occluded_table(occluded: list[Trained]) -> list[str]:
    """A line per share."""
    lines = [
        "| visible | identity | training mean | ridge regression | autoencoder | hidden part | parameters | seconds |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for system in occluded:
        level = system.sweeps[0].figures[0].level
        beside = " | ".join(f"{system.errors(level, name)[0]:.4f}" for name in (IDENTITY, *COMPLETING))
        lines.append(
            f"| {system.name.removesuffix(' given')} | {beside} | {spread(system.errors(level))} | {spread(system.hidden)} "
            f"| {system.parameters:,} | {mean(system.seconds):.0f} |"
        )
    return lines


def dense_or_conv(dense: Trained, conv: Trained) -> str:
    """The comparison of both systems, in sentences that follow from the figures."""
    own = next(figure.level for figure in dense.sweeps[0].figures if figure.trained)
    better, other = sorted((dense, conv), key=lambda system: mean(system.errors(own)))
    clear = max(better.errors(own)) < min(other.errors(own))
    less = 1 - mean(better.errors(own)) / mean(other.errors(own))
    certain = "with every random state" if clear and len(better.errors(own)) > 1 else "on average" if not clear else ""
    said = [
        f"At the training noise level, the {better.name} autoencoder is better {certain}".rstrip()
        + f": its error is {less:.0%} lower, with {share(better.parameters, other.parameters)} parameters and "
        f"{share(mean(better.seconds), mean(other.seconds))} training time."
    ]
    turned = [f"{level:g}" for level in LEVELS if mean(other.errors(level)) < mean(better.errors(level))]
    said.append(
        f"At noise levels {', '.join(turned)} the {other.name} autoencoder is better."
        if turned
        else "This holds at every measured noise level."
    )
    for system in (better, other):
        said.append(beside_baselines(system, dense, own))
    return "\n".join(said)


def beside_baselines(system: Trained, reference: Trained, own: float) -> str:
    """Where a system is better than the best baseline."""
    names = [name for name in reference.sweeps[0].methods if name != AUTOENCODER]
    ahead, behind = [], []
    for level in LEVELS:
        best = min(names, key=lambda name: reference.errors(level, name)[0])
        won = mean(system.errors(level)) < reference.errors(level, best)[0]
        (ahead if won else behind).append(f"{level:g}" if won else f"{level:g} ({best})")
    best = min(names, key=lambda name: reference.errors(own, name)[0])
    ratio = reference.errors(own, best)[0] / mean(system.errors(own))
    who = f"the {system.name} autoencoder"
    what = f"At {own:g}, the best baseline, {best}, has {ratio:.2f} times the error of {who}."
    what += f" T{who[1:]} is better than all baselines"
    if not behind:
        return f"{what} at every level."
    return f"{what} at {', '.join(ahead) or 'no level'} and worse at {', '.join(behind)}."


def share(one: float, other: float) -> str:
    """The ratio of two quantities in words."""
    return f"{one / other:.1f} times the" if one >= other else f"1/{other / one:.1f} of the"


def completed(system: Trained) -> str:
    """The errors of completion compared with those of the baselines, as a sentence."""
    level = system.sweeps[0].figures[0].level
    error, name = mean(system.errors(level)), system.name.removesuffix(" given")
    parts = []
    for method in (IDENTITY, *COMPLETING):
        other = system.errors(level, method)[0]
        change = f"{abs(1 - error / other):.0%} {'lower' if error < other else 'higher'}"
        parts.append(f"{change} than {'the error of ' if method == IDENTITY else ''}{method}")
    return f"With {name} visible, the error of the autoencoder is {parts[0]}, {parts[1]} and {parts[2]}."


if __name__ == "__main__":
    main()
