"""Measures classification with few labels, and linear classifiers on frozen codes; writes docs/labels.md and its figure.

python benchmarks/labels.py [--parts labels,svm,digits] [--draws 3] [--examples 60000] [--out FOLDER]

`labels`: test accuracy on MNIST by the number of labels. `svm`: scikit-learn's LinearSVC on frozen codes of all 60,000 digits.
`digits`: the same on scikit-learn's 8x8 digits, on many random splits. Autoencoders are trained on training examples without labels;
the C of a linear classifier is chosen by cross-validation on the labeled training examples. The configurations for MNIST were trained on
10,000 of the 60,000 training digits and chosen by the accuracy of a linear classifier on 5,000 others. The configuration for the 8x8 digits
was chosen on the training parts of five splits, which contain test examples of other splits.
Parts that are not named keep their results. --examples uses only the first training digits, for a quick check of the script.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from isthmus import Autoencoder, AutoencoderClassifier, data, finetune, recipes
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import TopK
from isthmus.corruptions import Masking
from isthmus.experiments.reproduction import machine
from isthmus.optimizers import AdamW, OneCycle
from isthmus.plots.figure import chart, save_png

Array = NDArray[Any]
ROOT = Path(__file__).parent.parent
COUNTS = (10, 30, 100, 300, 1000, 3000, 10000, 60000)
METHODS = ("fine-tuned", "frozen codes", "from scratch", "PCA of equal width", "raw pixels")
SPLITS = 20


def drawn(y: Array, count: int, seed: int) -> Array:
    """Indices of a stratified random draw of labeled examples, at least one per label."""
    rng, labels = np.random.default_rng((seed, count)), np.unique(y)
    if count >= len(y):
        return np.arange(len(y))
    positions = [rng.permutation(np.flatnonzero(y == label)) for label in labels]
    shares = [max(1, round(count * len(p) / len(y))) for p in positions]
    return np.concatenate([p[:share] for p, share in zip(positions, shares, strict=True)])


def logistic(X: Array, y: Array) -> Any:
    """Logistic regression; C is chosen by cross-validation if every label has two examples and there are at most 3,000 labels."""
    folds = min(3, int(np.unique(y, return_counts=True)[1].min()))
    if folds < 2 or len(y) > 3000:
        return LogisticRegression(max_iter=300).fit(X, y)
    return LogisticRegressionCV(Cs=4, cv=folds, max_iter=300, **_quiet()).fit(X, y)


def _quiet() -> dict[str, Any]:
    """The argument that newer versions of scikit-learn require."""
    import inspect

    return (
        {"use_legacy_attributes": False}
        if "use_legacy_attributes" in inspect.signature(LogisticRegressionCV).parameters
        else {}
    )


def by_labels(digits: data.Dataset, n: int, draws: int) -> dict[str, Any]:
    """Test accuracy of each method by number of labels, for each draw."""
    X, y, test, truth = digits.train[:n], digits.train_labels[:n], digits.test, digits.test_labels
    began = time.perf_counter()
    ae = recipes.deep(32).set_params(random_state=0, corruption=Masking(0.3)).fit(X)
    flat, flat_test = X.reshape(len(X), -1) / 255.0, test.reshape(len(test), -1) / 255.0
    pca = PCA(32, random_state=0).fit(flat)
    scaler = StandardScaler().fit(pca.transform(flat))

    def right(count: int, seed: int) -> Iterator[tuple[str, float]]:
        some = drawn(y, count, seed)
        choices = {"random_state": seed, "epochs": "auto" if count < n else 10}
        yield "frozen codes", finetune(ae, X[some], y[some], frozen=True, **choices).score(test, truth)
        yield "fine-tuned", finetune(ae, X[some], y[some], **choices).score(test, truth)
        scratch = AutoencoderClassifier(clone(ae), pretrain=False, **choices).fit(X[some], y[some])
        yield "from scratch", scratch.score(test, truth)
        reduced, reduced_test = (scaler.transform(pca.transform(rows)) for rows in (flat[some], flat_test))
        yield "PCA of equal width", logistic(reduced, y[some]).score(reduced_test, truth)
        yield "raw pixels", logistic(flat[some], y[some]).score(flat_test, truth)

    found: dict[str, Any] = {}
    counts = [count for count in COUNTS if count < n] + [n]
    for count in counts:
        cells: dict[str, list[float]] = {method: [] for method in METHODS}
        for seed in range(draws if count < n else 1):
            for method, score in right(count, seed):
                cells[method].append(score)
        found[str(count)] = cells
        print(count, {method: round(100 * float(np.mean(cell)), 2) for method, cell in cells.items()}, flush=True)
    return {"accuracy": found, "seconds": time.perf_counter() - began}


def dense() -> Autoencoder:
    """A 2,000-dimensional code, a fifth of it active, trained on digits with half of the pixels masked."""
    optimizer = AdamW(3e-3, schedule=OneCycle())
    return Autoencoder(TopK(2000, k=400), architecture=MLP(()), corruption=Masking(0.5), optimizer=optimizer, epochs=20)


def convolutional() -> Autoencoder:
    """A feature map with 7x7 kernels, 8 of 128 features active per position, trained on digits with half of the pixels masked."""
    architecture = Conv((), kernel=7, code="map", up="transpose")
    optimizer = AdamW(3e-3, schedule=OneCycle())
    return Autoencoder(
        TopK(128, k=8), architecture=architecture, corruption=Masking(0.5), optimizer=optimizer, epochs=5
    )


def pooled(Z: Array, cells: int) -> Array:
    """Codes as rows: the positive part, and of maps (n, h, w, k) the means over a grid of cells: (n, cells * cells * k)."""
    Z = np.maximum(Z, 0)
    if Z.ndim == 2:
        return Z
    at = [np.linspace(0, side, min(cells, side) + 1).astype(int) for side in Z.shape[1:3]]
    means = [
        Z[:, a:b, c:d].mean((1, 2))
        for a, b in zip(at[0], at[0][1:], strict=False)
        for c, d in zip(at[1], at[1][1:], strict=False)
    ]
    return np.concatenate(means, 1)


def described(ae: Autoencoder, X: Array, cells: int) -> Array:
    """The pooled codes of examples, 1,000 at a time: feature maps are large."""
    return np.concatenate([pooled(ae.encode(X[at : at + 1000]), cells) for at in range(0, len(X), 1000)])


def told(ae: Autoencoder, X: Array, y: Array, Z: Array, truth: Array, cells: int, folds: int) -> tuple[float, float]:
    """Test accuracy of a linear SVM on frozen codes, and the C that cross-validation chose."""
    rows, others = described(ae, X, cells), described(ae, Z, cells)
    scale = np.sqrt(np.square(rows).sum(1).mean())  # a row's mean square is 1 then, whatever the code
    shape: Callable[[Array], Any] = sparse.csr_matrix if (rows != 0).mean() < 0.3 else np.asarray
    left, right = shape(rows / scale), shape(others / scale)
    few = drawn(y, min(5_000, len(y)), 0)  # the C is chosen among these
    search = GridSearchCV(
        LinearSVC(random_state=0, max_iter=200), {"C": [1.0, 3.0, 10.0, 30.0, 100.0]}, cv=folds, refit=False
    )
    search.fit(left[few], y[few])
    C = search.best_params_["C"]
    machine = LinearSVC(C=C, random_state=0, max_iter=1000).fit(left, y)
    return machine.score(right, truth), C


def by_machine(digits: data.Dataset, n: int, states: int) -> dict[str, Any]:
    """Test accuracy on MNIST of a linear SVM on frozen codes, for each random state."""
    found: dict[str, Any] = {}
    for name, build in (("dense", dense), ("convolutional", convolutional)):
        cells: dict[str, Any] = {"accuracy": [], "C": [], "seconds": [], "what": repr(build())}
        for random_state in range(states):
            began = time.perf_counter()
            ae = build().set_params(random_state=random_state).fit(digits.train[:n])
            labels = digits.train_labels[:n]
            score, C = told(ae, digits.train[:n], labels, digits.test, digits.test_labels, 7, 3)
            for key, value in (("accuracy", score), ("C", C), ("seconds", time.perf_counter() - began)):
                cells[key].append(value)
            print(name, random_state, score, C, flush=True)
        found[name] = cells
    return found


def by_split() -> dict[str, Any]:
    """The same on scikit-learn's digits, on stratified random splits with 35 % test data."""
    whole = data.digits()
    X = np.concatenate([whole.train, whole.test])
    y = np.concatenate([whole.train_labels, whole.test_labels])
    scores, seconds = [], []
    for seed, (train, test) in enumerate(StratifiedShuffleSplit(SPLITS, test_size=0.35, random_state=0).split(X, y)):
        ae = Autoencoder(
            TopK(256, k=32),
            architecture=Conv((), kernel=5, code="map", up="transpose"),
            corruption=Masking(0.5),
            optimizer=AdamW(1e-2, schedule=OneCycle()),
            epochs=15,
            batch_size=64,
            random_state=seed,
        )
        began = time.perf_counter()
        score, _ = told(ae.fit(X[train]), X[train], y[train], X[test], y[test], 4, 3)
        scores.append(score)
        seconds.append(time.perf_counter() - began)
    print(f"digits: {100 * np.mean(scores):.2f} +- {100 * np.std(scores):.2f}, {np.median(seconds):.1f} s", flush=True)
    return {"scores": scores, "seconds": float(np.median(seconds))}


def cell(values: list[float], digits: int = 1) -> str:
    """Mean, minimum and maximum of accuracies, in percent."""
    mean = f"{100 * np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({100 * min(values):.{digits}f} - {100 * max(values):.{digits}f})"


def page(found: dict[str, Any]) -> str:
    """The page, with the parts that have been measured."""
    lines = ["# Classification with few labels", ""]
    lines += [
        "This page measures classification accuracy when only some training examples have labels. Read it if labels are expensive for you.",
        "All figures are test accuracies in percent.",
        "",
        f"Written by `python benchmarks/labels.py`; {machine()}.",
        "",
    ]
    if "labels" in found:
        part = found["labels"]
        lines += [
            "## Accuracy by the number of labels",
            "",
            "The autoencoder is `recipes.deep(32)` with 30 % of the pixels masked in training.",
            "It was trained on all MNIST training digits without labels. The first three columns use the same network:",
            "fine-tuned with the labels, as frozen codes with a linear classifier, and trained from scratch on the labels alone.",
            "Figures are means over random stratified draws of the labeled digits, with minimum and maximum in parentheses.",
            part["note"],
            "",
            "![Test accuracy by the number of labels](figures/labels.png)",
            "",
            "| labels | " + " | ".join(METHODS) + " |",
            "|---|" + "---|" * len(METHODS),
            *[f"| {int(n):,} | " + " | ".join(cell(c[m]) for m in METHODS) + " |" for n, c in part["accuracy"].items()],
            "",
        ]
    if "svm" in found:
        lines += [
            "## Linear classifier on frozen codes",
            "",
            "A linear support vector machine (SVM) classifies MNIST from frozen codes, trained on all 60,000 labels.",
            f"Its C was chosen by cross-validation on training examples. {found['svm']['note']}",
            "Makhzani & Frey (2015) report 98.80 with a winner-take-all autoencoder of 2,000 dense units.",
            "",
            "| codes | test accuracy | C | seconds |",
            "|---|---|---|---|",
            *[
                f"| {name} | {cell(row['accuracy'], 2)} | {', '.join(f'{C:g}' for C in row['C'])} | {np.mean(row['seconds']):,.0f} |"
                for name, row in found["svm"].items()
                if isinstance(row, dict)
            ],
            "",
        ]
    if "digits" in found:
        part = found["digits"]
        scores = part["scores"]
        lines += [
            f"The same on scikit-learn's 8x8 digits, on {len(scores)} stratified random splits with 35 % test data: "
            f"mean {100 * np.mean(scores):.2f}, "
            f"standard deviation {100 * np.std(scores):.2f}, minimum {100 * min(scores):.2f}, maximum {100 * max(scores):.2f}; "
            f"median time {part['seconds']:.1f} s per split. {part['note']} A tutorial reports 99.0 on one split.",
            "",
        ]
    return "\n".join(lines)


def draw(found: dict[str, Any], path: Path) -> None:
    """Accuracy by the number of labels: a line per method, with minimum and maximum."""
    accuracy = found["labels"]["accuracy"]
    counts = [int(n) for n in accuracy]
    figure, axes = chart("Test accuracy on MNIST by the number of labels, one line per method", width=7.0, height=4.5)
    for number, method in enumerate(METHODS):
        cells = [100 * np.array(accuracy[str(n)][method]) for n in counts]
        axes.plot(counts, [c.mean() for c in cells], "o-", ms=4, color=f"C{number}", label=method)
        axes.fill_between(counts, [c.min() for c in cells], [c.max() for c in cells], color=f"C{number}", alpha=0.15)
    axes.set_xscale("log")
    axes.set_xlabel("labels")
    axes.set_ylabel("test accuracy, %")
    axes.legend(frameon=False)
    save_png(figure, path)


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default="labels,svm,digits")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--examples", type=int, default=60_000)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    for kind in (ConvergenceWarning, FutureWarning):  # the latter: of options that scikit-learn will read differently
        warnings.simplefilter("ignore", kind)
    digits, n, kept = (
        data.mnist(),
        given.examples,
        (ROOT / "benchmarks" / "measured" / "labels.json" if given.out == ROOT / "docs" else given.out / "labels.json"),
    )
    found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "labels": lambda: by_labels(digits, n, given.draws),
        "svm": lambda: by_machine(digits, n, given.draws),
        "digits": by_split,
    }
    (given.out / "figures").mkdir(parents=True, exist_ok=True)
    kept.parent.mkdir(exist_ok=True)
    for name in given.parts.split(","):
        began = time.perf_counter()
        found[name] = work[name]() | {"threads": torch.get_num_threads()}
        of = "" if name == "digits" or n == 60_000 else f" Only the first {n:,} training digits were used."
        found[name]["note"] = f"Measured on {datetime.now(UTC):%Y-%m-%d} in {time.perf_counter() - began:,.0f} s.{of}"
        kept.write_text(json.dumps(found, indent=1), encoding="utf-8")
        (given.out / "labels.md").write_text(page(found), encoding="utf-8")
        if name == "labels":
            draw(found, given.out / "figures" / "labels.png")
    print(f"written: {given.out / 'labels.md'}")


if __name__ == "__main__":
    main()
