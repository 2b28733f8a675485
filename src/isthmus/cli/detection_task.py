"""What detection in examples, series and images has in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isthmus.cli.calibration import NormalExamples, calibrated, normal_examples
from isthmus.cli.console import counted, print_line, print_notes
from isthmus.cli.data_options import DataOptions
from isthmus.text import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isthmus.data import Dataset
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.outlier_detector import OutlierDetector
    from isthmus.experiments.run_record import DataSource

__all__ = ["DetectionTask", "judged_note", "print_written", "trained_marks", "trained_note"]


class DetectionTask(NamedTuple):
    """What the command line asks for examples or a series."""

    run: Path
    data_options: DataOptions
    normal: str | None
    loaded: OutlierDetector | None
    new: OutlierDetector
    path: Path
    save: Path | None
    as_json: bool

    def source(self) -> DataSource:
        """Where the examples are read from."""
        source = self.data_options.source
        assert source is not None
        return source

    def autoencoder(self) -> Autoencoder:
        """The autoencoder of the run or of the detector."""
        from isthmus.experiments import run_folder

        return run_folder.open_run(self.run) if self.loaded is None else self.loaded.autoencoder_

    def detector(self, ae: Autoencoder, notes: Sequence[str], windows: Any = None) -> OutlierDetector:
        """The loaded detector, or one that is calibrated now, and saved. Prints notes, also about the windows (n, length, channels)."""
        options = self.data_options._replace(options=self.data_options.options.replace(labels=None))
        normal = NormalExamples() if self.loaded is not None else normal_examples(self.run, ae, options, self.normal)
        judged = "" if windows is None else judged_note(windows, normal, "windows")
        print_notes([each for each in (*notes, *normal.notes, judged) if each], self.as_json)
        detector = self.loaded or calibrated(self.run, ae, normal, self.new, self.as_json)
        if self.save is not None:
            detector.save(self.save)
        return detector


def trained_marks(run: Path, dataset: Dataset) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The column that says which examples a run was trained on, and notes about them; nothing if it was trained on none.

    Args:
        run: the run.
        dataset: the examples.
    """
    import numpy as np

    from isthmus.experiments import run_data
    from isthmus.experiments.trained_examples import known_examples

    known = known_examples(run_data.membership_of(run), dataset)
    if known is None or known.new.all():
        return {}, ()
    n, trained, unknown = len(known.new), int(known.trained.sum()), int(known.unknown.sum())
    lower = "their scores are more normal than those of new examples; the column trained_on says which"
    notes = [f"{trained:,} of {n:,} examples are training examples: {lower}"] if trained else []
    if unknown:
        notes.append(
            f"{unknown:,} of {n:,} examples may be training examples, as {run} has no list of them: if so, {lower}"
        )
    return {"trained_on": np.select([known.trained, known.new], ["yes", "no"], "unknown")}, tuple(notes)


def trained_note(count: int, steps: int) -> str:
    """A note about time steps that a run was trained on; "" if there are none.

    Args:
        count: how many they are.
        steps: the number of time steps.
    """
    if not count:
        return ""
    return (
        f"{count:,} of {steps:,} time steps are in windows that the run was trained on: their scores are more normal than those of new "
        "data; the column trained_on says which"
    )


def judged_note(values: Any, normal: NormalExamples, what: str = "examples") -> str:
    """A note on examples that set the threshold by which they are judged; "" if there are none.

    Args:
        values: the examples (n, *shape) that are judged.
        normal: the normal examples.
        what: what the examples are.
    """
    import numpy as np

    from isthmus.experiments.membership import example_keys

    if normal.examples is None:
        return ""
    both = int(np.isin(example_keys(values), example_keys(normal.examples)).sum())
    if not both:
        return ""
    return (
        f"{both:,} of {len(values):,} {what} are also among the normal {what} that set the threshold, and the guarantee is for others: "
        "give others with --normal"
    )


def print_written(written: list[Path], save: Path | None, n_references: int) -> None:
    """Prints the written files, and how many normal examples a saved detector contains."""
    for path in written:
        print_line(f"written: {path}")
    if save is not None:
        examples = f" and {counted(n_references, 'normal example')}" if n_references else ""
        print_line(
            f"written: {save}, the detector with its threshold{examples}; use: {command('isthmus', 'detect', save)} --data ..."
        )
