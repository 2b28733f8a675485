"""Recommends items of a generated table of users and items; writes the table of figures into docs/counts.md.

python benchmarks/recommend.py [--states 0,1,2] [--users 1500] [--items 400] [--epochs 100]

The protocol of Liang et al. 2018 ("Variational autoencoders for collaborative filtering"): the models are fitted on 70 % of the users. Of
each other user 80 % of the items are shown, and the rest is to be found. Half of these users select settings, half are measured. Users
and items have eight hidden factors and items a popularity; a user takes items without repetition, with probabilities of a softmax.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from run import HERE
from scipy import sparse

from isthmus import recipes
from isthmus.architectures import MLP
from isthmus.evaluation.metrics import ndcg_at_k, recall_at_k
from isthmus.experiments.reproduction import machine

PAGE, BEGIN = HERE.parent / "docs" / "counts.md", "<!-- written by benchmarks/recommend.py -->\n\n"
FACTORS, SHOWN, TRAINING = 8, 0.8, 0.7
REGULARIZATIONS = (10.0, 30.0, 100.0, 300.0)  # of EASE, selected on the validation users


class Users(NamedTuple):
    """The items (n, items) that some users show, and those to find."""

    shown: sparse.csr_array
    hidden: sparse.csr_array


def interactions(users: int, items: int, random_state: int) -> np.ndarray:
    """Which items each user has taken, as 0 and 1."""
    rng = np.random.default_rng(random_state)
    tastes, kinds = rng.normal(size=(users, FACTORS)), rng.normal(size=(items, FACTORS))
    logits = rng.normal(size=items) + tastes @ kinds.T * 1.5 / np.sqrt(FACTORS)
    ranks = np.argsort(np.argsort(-(logits + rng.gumbel(size=logits.shape)), axis=1), axis=1)
    counts = 10 + rng.poisson(rng.gamma(2.0, 8.0, users))
    return (ranks < counts[:, None]).astype(np.float32)


def divided(taken: np.ndarray, random_state: int) -> Users:
    """The items of each user, divided at random."""
    rng = np.random.default_rng(random_state)
    order = np.where(taken > 0, rng.random(taken.shape), 2.0).argsort(1).argsort(1)
    shown = taken * (order < SHOWN * taken.sum(1, keepdims=True))
    return Users(sparse.csr_array(shown), sparse.csr_array(taken - shown))


def ease(training: sparse.csr_array, regularization: float) -> np.ndarray:
    """The weights of EASE, in closed form (Steck 2019, "Embarrassingly shallow autoencoders for sparse data")."""
    inverse = np.linalg.inv(
        (training.T @ training).toarray().astype(np.float64) + regularization * np.eye(training.shape[1])
    )
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def figures(scores: np.ndarray, users: Users) -> tuple[float, float]:
    """Mean recall@20 and NDCG@100."""
    recall = recall_at_k(scores, users.hidden, 20, seen=users.shown)
    return float(np.nanmean(recall)), float(np.nanmean(ndcg_at_k(scores, users.hidden, 100, seen=users.shown)))


def measured(users: int, items: int, epochs: int, random_state: int) -> dict[str, tuple[float, float, float]]:
    """Recall, NDCG and seconds of training of each method."""
    taken = interactions(users, items, random_state)
    first, middle = round(TRAINING * users), round((1 + TRAINING) / 2 * users)
    training = sparse.csr_array(taken[:first])
    validation, test = divided(taken[first:middle], random_state), divided(taken[middle:], random_state)
    popularity = np.broadcast_to(training.sum(0), test.shown.shape)
    results = {"popularity": (*figures(popularity, test), 0.0)}
    began = time.perf_counter()
    candidates = [ease(training, each) for each in REGULARIZATIONS]
    best = max(candidates, key=lambda weights: figures(validation.shown @ weights, validation)[1])
    results["EASE"] = (*figures(test.shown @ best, test), time.perf_counter() - began)
    ae = recipes.recommender(32).set_params(
        architecture=MLP((100,), "tanh"), epochs=epochs, batch_size=100, random_state=random_state
    )
    ae.fit(training)
    results["`recommender(32)`"] = (*figures(ae.reconstruct(test.shown), test), ae.seconds_)
    return results


def table(runs: list[dict[str, tuple[float, float, float]]], arguments: argparse.Namespace) -> str:
    """The table, and how it was made."""
    rows = ["| method | recall@20 | NDCG@100 | seconds of training |", "|---|---|---|---|"]
    for name in runs[0]:
        columns = list(zip(*(run[name] for run in runs), strict=True))
        spread = [
            f"{statistics.mean(each):.3f} ± {statistics.stdev(each):.3f}" if len(each) > 1 else f"{each[0]:.3f}"
            for each in columns[:2]
        ]
        rows.append(f"| {name} | {spread[0]} | {spread[1]} | {statistics.mean(columns[2]):,.1f} |")
    note = (
        f"Means and standard deviations over {len(runs)} generated tables of {arguments.users:,} users and {arguments.items:,} items "
        f"(random states {', '.join(map(str, arguments.states))}). Hidden layer of 100 tanh units, {arguments.epochs} epochs of batches of "
        "100. Seconds are wall time, and depend on what else the machine does."
    )
    written = f"Written {datetime.now(UTC).date()} by `python benchmarks/recommend.py`; machine: {machine()}."
    return "\n".join([*rows, "", note, "", written, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=lambda text: [int(each) for each in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--users", type=int, default=1500)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=100)
    arguments = parser.parse_args()
    runs = []
    for state in arguments.states:
        runs.append(measured(arguments.users, arguments.items, arguments.epochs, state))
        print(state, runs[-1], flush=True)
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.partition(BEGIN)[0] + BEGIN + table(runs, arguments), encoding="utf-8")
    print(f"written to {PAGE}")


if __name__ == "__main__":
    main()
