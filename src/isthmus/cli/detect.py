"""The verb that detects anomalous examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.console import counted, print_json, print_line, print_notes, print_table, warnings_as_notes
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.options import DetectorFields, Json, Out, Run, Save, check_save_path, with_fields
from isthmus.text import command

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.outlier_detector import OutlierDetector
    from isthmus.evaluation.detection_result import DetectionResult
    from isthmus.evaluation.series_detection import SeriesDetection

__all__ = ["detect"]


@takes_data
def detect(
    run: Run,
    data_options: DataOptions,
    settings: DetectorFields = None,
    false_alarm_rate: Annotated[
        float | None, typer.Option(help="Maximum probability that a normal example is flagged; default 0.05.")
    ] = None,
    contamination: Annotated[
        float | None,
        typer.Option(help="Instead of --false-alarm-rate: the fraction of calibration examples that is anomalous."),
    ] = None,
    normal: Annotated[
        str | None, typer.Option(help="Normal examples for calibration; default: the held-out examples of the run.")
    ] = None,
    save: Save = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Detect anomalous examples of --data; write scores, p-values and feature attributions as .csv.

    In a series: write the score of each time step, and alarms with begin, end and the channels to blame.

    RUN may also be a detector file written by --save. Its threshold does not change.
    """
    from isthmus.data.parts import test_part
    from isthmus.errors import RecordError
    from isthmus.estimators.outlier_detector import OutlierDetector
    from isthmus.evaluation import detection_result
    from isthmus.experiments import detection, run_data, run_folder, run_labels

    if data_options.source is None:
        raise RecordError("--data is missing: give the examples in which to detect anomalies")
    path = detection.csv_path(out, "anomalies.csv")
    check_save_path(save, run, path)
    run_data.refuse_target(run, "anomaly detection", "train a run without --target")
    opened = run_folder.open_estimator(run)
    loaded = opened if isinstance(opened, OutlierDetector) else None
    options = {"false_alarm_rate": false_alarm_rate, "contamination": contamination}
    if loaded is not None:
        _check_no_options(run, settings, options | {"normal": normal, "save": save})
    new = with_fields(
        OutlierDetector(calibration_fraction=0.5, random_state=0), settings, "anomaly_score=nats", options
    )
    known_ae = None if loaded is None else loaded.autoencoder_
    if getattr(opened if known_ae is None else known_ae, "kind_", "") == "series":
        _detect_in_series(run, data_options, normal, loaded, new, path, save, as_json)
        return
    ae, dataset = run_data.load_examples(run, data_options.source, known_ae, parts="test", allow_extreme=True)
    dataset, part_note = test_part(dataset)
    dataset = run_labels.with_contexts(ae, dataset)
    normal_examples, notes = (None, []) if loaded is not None else _normal_examples(run, ae, data_options, normal)
    print_notes([each for each in (*dataset.notes, part_note, *notes, _trained_note(run, dataset)) if each], as_json)
    detector = loaded or _calibrated(run, ae, normal_examples, new, as_json)
    found = detection_result.detect(detector, dataset.train, dataset.keys())
    detection.write(path, found)
    figure = detection.draw(path, found)
    if save is not None:
        detector.save(save)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_detections(found, detector, [path] if figure is None else [path, figure], save)


def _check_no_options(run: Path, settings: list[str] | None, options: dict[str, Any]) -> None:
    """`RecordError` if options or ``field=value`` words are given that a saved detector cannot use."""
    from isthmus.errors import RecordError

    names = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if unused := next(iter([*names, *(settings or [])]), None):
        raise RecordError(f"{run} is a detector with a fixed threshold: omit {unused}, or give the run instead")


def _calibrated(run: Path, ae: Autoencoder, normal: Any, new: OutlierDetector, quiet: bool) -> OutlierDetector:
    """A detector with the parameters of `new`, calibrated on normal examples."""
    from isthmus.errors import DataError
    from isthmus.estimators.outlier_detector import MIN_EXAMPLES, OutlierDetector

    if normal is not None and len(normal) < MIN_EXAMPLES:
        raise DataError(
            f"calibration requires at least {MIN_EXAMPLES} normal examples that {run} was not trained on, but there "
            f"{'is' if len(normal) == 1 else 'are'} {len(normal)}: give more with --normal"
        )
    parameters = new.get_params(deep=False)
    del parameters["autoencoder"]
    with warnings_as_notes((lambda _: None) if quiet else print_line):  # the JSON object contains the guarantee
        return OutlierDetector.from_fitted(ae, normal, **parameters)


def _print_detections(
    found: DetectionResult, detector: OutlierDetector, written: list[Path], save: Path | None
) -> None:
    """Prints the number of anomalies, the guarantee, the most anomalous examples and the written files."""
    if found.decided:
        n = counted(found.anomalous, "example")
        print_line(f"{n} of {len(found.scores):,} anomalous: score below {detector.offset_:.6g}")
        print_line(f"guarantee: {detector.guarantee()}")
    else:
        print_line(f"undecided: {detector.guarantee()}; give more normal examples with --normal")
    print_table(*found.table())
    _print_written(written, save, detector.n_references_)


def _detect_in_series(
    run: Path,
    data_options: DataOptions,
    normal: str | None,
    loaded: OutlierDetector | None,
    new: OutlierDetector,
    path: Path,
    save: Path | None,
    as_json: bool,
) -> None:
    """Writes the scores of the time steps of a series, and the alarms."""
    from isthmus.evaluation import detect_series
    from isthmus.experiments import detection, run_data

    assert data_options.source is not None
    ae, windows = run_data.load_windows(run, data_options.source, None if loaded is None else loaded.autoencoder_)
    normal_examples, notes = (None, []) if loaded is not None else _normal_examples(run, ae, data_options, normal)
    print_notes([each for each in (*windows.notes, *notes) if each], as_json)
    detector = loaded or _calibrated(run, ae, normal_examples, new, as_json)
    found = detect_series(detector, windows)
    written = detection.write_series(path, found)
    if save is not None:
        detector.save(save)
    _print_series(found, detector, written, save, as_json)


def _print_series(
    found: SeriesDetection, detector: OutlierDetector, written: list[Path], save: Path | None, as_json: bool
) -> None:
    """Prints the alarms in a series and the written files."""
    if as_json:
        print_json(found.to_dict())
        return
    if found.decided:
        steps = int((found.labels > 0).sum())
        n, threshold = counted(len(found.alarms), "alarm"), f"score below {detector.offset_:.6g}"
        print_line(f"{n}, {steps:,} of {len(found.scores):,} time steps: {threshold}")
        print_line(f"threshold: {detector.guarantee()}")
    else:
        print_line(f"undecided: {detector.guarantee()}; give more normal examples with --normal")
    if found.alarms:
        print_table(*found.table())
    _print_written(written, save, detector.n_references_)


def _print_written(written: list[Path], save: Path | None, n_references: int) -> None:
    """Prints the written files, and how many normal examples a saved detector contains."""
    for path in written:
        print_line(f"written: {path}")
    if save is not None:
        examples = f" and {counted(n_references, 'normal example')}" if n_references else ""
        print_line(
            f"written: {save}, the detector with its threshold{examples}; use: {command('isthmus', 'detect', save)} --data ..."
        )


def _trained_note(run: Path, dataset: Dataset) -> str:
    """A note about examples that the run was trained on; "" if there are none."""
    from isthmus.experiments import run_data
    from isthmus.experiments.membership import trained_on

    n_trained = int(trained_on(run_data.membership_of(run), dataset.train).sum())
    if not n_trained:
        return ""
    return (
        f"{n_trained:,} of {len(dataset.train):,} examples are training examples: "
        "their scores are more normal than those of new examples"
    )


def _normal_examples(
    run: Path, ae: Autoencoder, data_options: DataOptions, normal: str | None
) -> tuple[Any, list[str]]:
    """Normal examples that the run was not trained on, from --normal or its held-out part, with notes about omitted ones."""
    from isthmus.data.parts import of_trained_classes
    from isthmus.experiments import run_data, run_labels
    from isthmus.experiments.split_recovery import exclude_trained

    reference = run_data.load_examples(
        run, None if normal is None else data_options.with_path(normal), allow_extreme=True
    )[1]
    reference = run_labels.with_contexts(ae, reference)
    if normal is not None:
        fresh, note = exclude_trained(run_data.membership_of(run), reference)
        return fresh, [note, _early_stopping_note(run, ae, fresh)]
    part = run_data.split_of(run, reference, ae.missing)
    examples, others = of_trained_classes(part.test, part.test_labels, part.train_labels)
    notes = [*part.notes, _early_stopping_note(run, ae, examples)]
    if not others:
        return examples, notes
    note = (
        f"{len(examples):,} held-out examples are used as normal, since the training data have their class; "
        f"{len(part.test) - len(examples):,} of other classes are not used ({others})"
    )
    return examples, [*notes, note]


def _early_stopping_note(run: Path, ae: Autoencoder, normal: Any) -> str:
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
