"""The verb that writes the log-likelihood of each example."""

from __future__ import annotations

from typing import Annotated

import typer

from isthmus.cli.bulk import takes_files
from isthmus.cli.console import array_path, as_flags, counted, print_line
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.options import Out, Run, all_examples
from isthmus.cli.transform import write_with_ids

__all__ = ["score"]


@takes_data
@takes_files("samples", "random_state")
def score(
    run: Run,
    data_options: DataOptions,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Estimate log p(x) by importance sampling, with N codes of each example. It requires a variational autoencoder.",
        ),
    ] = None,
    random_state: Annotated[int, typer.Option(min=0, help="The random state of --samples.")] = 0,
    out: Out = None,
) -> None:
    """Write the score of each example of --data, or of the run's held-out examples: minus its loss in nats, or log p(x); .csv or .npy."""
    from isthmus.experiments import run_data

    path = array_path(out, "scores.csv", (".csv", ".npy"))
    run_data.refuse_target(run, "a score", "use isthmus evaluate")
    ae, dataset = all_examples(run, data_options)
    X, y = dataset.train, dataset.train_labels
    if samples is None:
        name, scores = "score", ae.score_samples(X, y)
    else:
        with as_flags(("samples", "random_state")):
            name, scores = "log_likelihood", ae.log_likelihood(X, y, samples=samples, random_state=random_state)
    write_with_ids(path, scores, dataset, [name])
    error = f", standard error {scores.std(ddof=1) / len(scores) ** 0.5:.4g}" if len(scores) > 1 else ""
    print_line(f"mean {name}: {scores.mean():.5g} nats per example of {counted(len(scores), 'example')}{error}")
