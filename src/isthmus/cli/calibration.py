"""The normal examples that calibrate a detector, and the detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isthmus.cli.console import print_line, warnings_as_notes
from isthmus.cli.data_options import DataOptions

if TYPE_CHECKING:
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.outlier_detector import OutlierDetector

__all__ = ["NormalExamples", "calibrated", "early_stopping_note", "normal_examples"]


class NormalExamples(NamedTuple):
    """Normal examples that a run was not trained on, notes about omitted ones, and its training examples, None if they are not there."""

    examples: Any = None
    notes: tuple[str, ...] = ()
    training: Any = None


def calibrated(
    run: Path, ae: Autoencoder, normal: NormalExamples, new: OutlierDetector, quiet: bool
) -> OutlierDetector:
    """A detector with the parameters of `new`, calibrated on normal examples."""
    from isthmus.errors import DataError
    from isthmus.estimators.outlier_detector import MIN_EXAMPLES, OutlierDetector

    if normal.examples is not None and len(normal.examples) < MIN_EXAMPLES:
        raise DataError(
            f"calibration requires at least {MIN_EXAMPLES} normal examples that {run} was not trained on, but there "
            f"{'is' if len(normal.examples) == 1 else 'are'} {len(normal.examples)}: give more with --normal"
        )
    parameters = new.get_params(deep=False)
    del parameters["autoencoder"]
    with warnings_as_notes((lambda _: None) if quiet else print_line):  # the JSON object contains the guarantee
        return OutlierDetector.from_fitted(ae, normal.examples, references=normal.training, **parameters)


def normal_examples(run: Path, ae: Autoencoder, data_options: DataOptions, normal: str | None) -> NormalExamples:
    """Normal examples that the run was not trained on, from --normal or its held-out part, and those that it was trained on."""
    from isthmus.data.parts import of_trained_classes
    from isthmus.experiments import run_data, run_labels
    from isthmus.experiments.split_recovery import exclude_trained

    reference = run_data.load_examples(
        run, None if normal is None else data_options.with_path(normal), allow_extreme=True
    )[1]
    reference = run_labels.with_contexts(ae, reference)
    if normal is not None:
        fresh, note = exclude_trained(run_data.membership_of(run), reference)
        training, problem = _training_examples(run, ae)
        return NormalExamples(fresh, (note, early_stopping_note(run, ae, fresh), problem), training)
    part = run_data.split_of(run, reference, ae.missing)
    examples, others = of_trained_classes(part.test, part.test_labels, part.train_labels)
    notes = (*part.notes, early_stopping_note(run, ae, examples))
    if not others:
        return NormalExamples(examples, notes, part.train)
    note = (
        f"{len(examples):,} held-out examples are used as normal, since the training data have their class; "
        f"{len(part.test) - len(examples):,} of other classes are not used ({others})"
    )
    return NormalExamples(examples, (*notes, note), part.train)


def _training_examples(run: Path, ae: Autoencoder) -> tuple[Any, str]:
    """The examples that the run was trained on, for distances in tables and series, else None; and a note if the run's data are gone."""
    from isthmus.errors import DataError
    from isthmus.experiments import run_data

    if ae.kind_ not in {"table", "series"} or ae._uses_y:
        return None, ""
    try:
        own = run_data.load_examples(run, None, ae, allow_extreme=True)[1]
        return run_data.split_of(run, own, ae.missing).train, ""
    except (DataError, OSError) as error:
        return (
            None,
            f"scores by distance use the normal examples alone, since those that {run} was trained on are gone: {error}",
        )


def early_stopping_note(run: Path, ae: Autoencoder, normal: Any) -> str:
    """A note about normal examples that early stopping used; "" if there are none, or the run's data are gone."""
    from isthmus.errors import DataError
    from isthmus.experiments import run_data
    from isthmus.experiments.validation_set import count_early_stopping

    if not ae.early_stopping:
        return ""
    try:
        own = run_data.load_examples(run, None, ae, allow_extreme=True)[1]
        n_used = count_early_stopping(own, run_data.split_of(run, own, ae.missing), normal)
    except (DataError, OSError):
        return ""
    if not n_used:
        return ""
    return (
        f"early stopping used {n_used:,} of {len(normal):,} normal examples for validation: their scores may be more normal "
        "than those of new examples, so the guarantee is weaker; give other examples with --normal"
    )
