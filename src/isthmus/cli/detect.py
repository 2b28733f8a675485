"""The verb that detects anomalous examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.bulk import BulkTask, takes_files
from isthmus.cli.calibration import NormalExamples, calibrated, normal_examples
from isthmus.cli.console import counted, print_json, print_line, print_notes, print_table
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.detect_images import ImageTask, detect_in_images
from isthmus.cli.detect_series import detect_in_series
from isthmus.cli.detection_task import DetectionTask, judged_note, print_written, trained_marks
from isthmus.cli.options import DetectorFields, Json, Out, Run, Save, check_save_path, with_fields

if TYPE_CHECKING:
    from isthmus.estimators.outlier_detector import OutlierDetector
    from isthmus.evaluation.detection_result import DetectionResult

__all__ = ["detect"]


@contextmanager
def _detector_of(task: BulkTask, arguments: dict[str, Any]) -> Iterator[Path | None]:
    """The file of a detector that is calibrated for a run, while many files are read; None for a detector, which needs none."""
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.outlier_detector import OutlierDetector
    from isthmus.experiments import run_data, run_folder
    from isthmus.io.atomic import temporary_file

    run, save = task.run, arguments.pop("save")
    options = _threshold_options(arguments.pop("false_alarm_rate"), arguments.pop("contamination"))
    settings, normal = arguments.pop("settings"), arguments.pop("normal")
    opened = None if run_folder.is_export(run) else run_folder.open_estimator(run)
    if not isinstance(opened, Autoencoder):
        _check_no_options(run, settings, options | {"normal": normal, "save": save})
        if isinstance(opened, OutlierDetector):
            _print_threshold(opened, task.bulk.as_json)
        yield None
        return
    check_save_path(save, run, task.out)
    run_data.refuse_target(run, "anomaly detection", "train a run without --target")
    new = with_fields(
        OutlierDetector(calibration_fraction=0.5, random_state=0), settings, "anomaly_score=nats", options
    )
    examples = normal_examples(run, opened, task.data_options, normal)
    print_notes([each for each in examples.notes if each], task.bulk.as_json)
    task.out.mkdir(parents=True, exist_ok=True)
    detector = calibrated(run, opened, examples, new, task.bulk.as_json)
    _print_threshold(detector, task.bulk.as_json)
    if save is not None:
        detector.save(save)
        yield save
        return
    with temporary_file(task.out, detector.save) as path:  # where all workers see it
        yield path


@takes_data
@takes_files("settings", "false_alarm_rate", "contamination", "normal", "save", detector=_detector_of)
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
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Of a run on patches: a folder with the masks of the anomalous pixels of --data, such as ground_truth. It adds metrics."
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Of a series in a text file that grows: print each alarm when it is final, until Ctrl-C."
        ),
    ] = False,
    idle: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="With --follow: end when the file has not grown for this time."),
    ] = None,
    save: Save = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Detect anomalous examples of --data; write scores, p-values and feature attributions as .csv.

    In a series: write the score of each time step, and alarms with begin, end and the channels to blame. With --labels, a column with 1
    for anomalous time steps, also VUS-PR and other metrics.

    With a run on patches of images: write the score of each whole image, and a heat map on it; with --masks, also image AUROC, pixel AUROC
    and PRO. Give --patches to detect anomalous patches instead.

    RUN may also be a detector file written by --save. Its threshold does not change.
    """
    from isthmus.estimators.image_detector import ImageOutlierDetector
    from isthmus.estimators.outlier_detector import OutlierDetector
    from isthmus.experiments import detection, run_data, run_folder

    path = detection.csv_path(out, "anomalies.csv")
    _check_paths(path, save, {"--data": data_options.data, "--normal": normal, "RUN": str(run)}, follow)
    check_save_path(save, run, path)
    run_data.refuse_target(run, "anomaly detection", "train a run without --target")
    opened = run_folder.open_estimator(run)
    loaded = opened if isinstance(opened, OutlierDetector) else None
    of_images = opened if isinstance(opened, ImageOutlierDetector) else None
    options = _threshold_options(false_alarm_rate, contamination)
    if loaded is not None or of_images is not None:
        others = {} if loaded is not None else {"patches": data_options.options.patches}
        _check_no_options(run, settings, options | {"normal": normal, "save": save} | others)
    new = with_fields(
        OutlierDetector(calibration_fraction=0.5, random_state=0), settings, "anomaly_score=nats", options
    )
    is_series = getattr(opened if loaded is None else loaded.autoencoder_, "kind_", "") == "series"
    _check_follow(run, is_series, follow, idle)
    if of_images is not None or _are_images(
        run, data_options, loaded, masks, [*(settings or []), *_given(contamination=contamination)]
    ):
        detect_in_images(ImageTask(run, data_options, normal, masks, false_alarm_rate, of_images, path, save, as_json))
        return
    task = DetectionTask(run, data_options, normal, loaded, new, path, save, as_json)
    if is_series:
        detect_in_series(task, follow, idle)
    else:
        _detect_in_examples(task)


def _are_images(
    run: Path, data_options: DataOptions, loaded: OutlierDetector | None, masks: Path | None, others: list[str]
) -> bool:
    """Whether anomalies are detected in whole images; `RecordError` if an option cannot be used."""
    from isthmus.errors import RecordError
    from isthmus.experiments.whole_images import detects_whole_images

    images = loaded is None and detects_whole_images(run, data_options.options)
    if masks is not None and not images:
        raise RecordError(
            f"--masks is for whole images, and {run} is no run on patches of images in their own size, or --patches is given: leave it out"
        )
    if images and others:
        raise RecordError(
            f"{run} was trained on patches, and detection in whole images has no {others[0]}: leave it out, or give --patches to detect "
            "anomalous patches"
        )
    return images


def _given(**options: Any) -> list[str]:
    """The flags of the options that are given."""
    return [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]


def _detect_in_examples(task: DetectionTask) -> None:
    """Writes the scores of the examples, and of images a figure."""
    from isthmus.data.images.patches import evaluation_note
    from isthmus.data.parts import test_part
    from isthmus.evaluation import detection_result
    from isthmus.experiments import detection, run_data, run_labels
    from isthmus.experiments.new_values import dates_note, unknown_marks

    run, loaded = task.run, task.loaded
    known_ae = None if loaded is None else loaded.autoencoder_
    ae, dataset = run_data.load_examples(run, task.source(), known_ae, parts="test", allow_extreme=True)
    dataset, part_note = test_part(dataset)
    dataset = run_labels.with_contexts(ae, dataset)
    examples = NormalExamples() if loaded is not None else normal_examples(run, ae, task.data_options, task.normal)
    patches = evaluation_note(dataset.ids, dataset.train.shape[1], dataset.train_labels is not None, detects=True)
    marks, trained = trained_marks(run, dataset)
    judged = judged_note(dataset.train, examples)
    dates, marks = dates_note(ae, dataset), marks | unknown_marks(dataset)
    notes = (*dataset.notes, part_note, *examples.notes, *trained, judged, patches, dates)
    print_notes([each for each in notes if each], task.as_json)
    detector = loaded or calibrated(run, ae, examples, task.new, task.as_json)
    found = detection_result.detect(detector, dataset.train, dataset.keys() | marks)
    detection.write(task.path, found)
    figure = detection.draw(task.path, found)
    if task.save is not None:
        detector.save(task.save)
    written = [task.path] if figure is None else [task.path, figure]
    _print_detections(found, detector, written, task.save, task.as_json)


def _check_paths(path: Path, save: Path | None, inputs: dict[str, str | None], follow: bool) -> None:
    """`RecordError` if --data is missing, or a file that is written would overwrite one that is read, or, with --follow, older results."""
    from isthmus.errors import RecordError
    from isthmus.experiments.detection import written_paths

    if inputs["--data"] is None:
        raise RecordError("--data is missing: give the examples in which to detect anomalies")
    tables = written_paths(path)
    for target, name in [*((each, f"--out {path}") for each in tables), *([(save, f"--save {save}")] if save else [])]:
        for option, given in inputs.items():
            if given is not None and target.resolve() == Path(given).resolve():
                raise RecordError(f"{name} would overwrite {option} {given}: give another name")
        if target == save and target.resolve() in [each.resolve() for each in tables]:
            raise RecordError(f"{name} would overwrite a file of --out {path}: give another name")
    if follow and (there := next((each for each in tables[:2] if each.exists()), None)):
        raise RecordError(
            f"{there} exists, and --follow would replace it: give another name to --out, or move the file"
        )


def _threshold_options(false_alarm_rate: float | None, contamination: float | None) -> dict[str, Any]:
    """The options that set the threshold; `RecordError` for both."""
    from isthmus.errors import RecordError

    if false_alarm_rate is not None and contamination is not None:
        raise RecordError("--false-alarm-rate and --contamination both set the threshold: give one of them")
    return {"false_alarm_rate": false_alarm_rate, "contamination": contamination}


def _check_follow(run: Path, is_series: bool, follow: bool, idle: float | None) -> None:
    """`RecordError` if --follow or --idle cannot be used."""
    from isthmus.errors import RecordError

    if idle is not None and not follow:
        raise RecordError("--idle is for --follow: give --follow too")
    if follow and not is_series:
        raise RecordError(f"--follow is for runs on series, and {run} is none: leave it out")


def _check_no_options(run: Path, settings: list[str] | None, options: dict[str, Any]) -> None:
    """`RecordError` if options or ``field=value`` words are given that a saved detector cannot use."""
    from isthmus.errors import RecordError

    names = _given(**options)
    if unused := next(iter([*names, *(settings or [])]), None):
        raise RecordError(f"{run} is a detector with a fixed threshold: omit {unused}, or give the run instead")


def _print_threshold(detector: OutlierDetector, as_json: bool) -> None:
    """Prints what the threshold of many files means."""
    if not as_json:
        print_line(f"threshold: {detector.guarantee()}")


def _print_detections(
    found: DetectionResult, detector: OutlierDetector, written: list[Path], save: Path | None, as_json: bool
) -> None:
    """Prints the number of anomalies, the guarantee, the most anomalous examples and the written files."""
    if as_json:
        print_json(found.to_dict())
        return
    if found.decided:
        n = counted(found.anomalous, "example")
        print_line(f"{n} of {len(found.scores):,} anomalous: score below {detector.offset_:.6g}")
        print_line(f"guarantee: {detector.guarantee()}")
    else:
        print_line(f"undecided: {detector.guarantee()}; give more normal examples with --normal")
    print_table(*found.table())
    if found.explained < len(found.scores):
        print_line(
            f"features are given for {counted(found.explained, 'example')}: the anomalous and the most anomalous ones"
        )
    print_written(written, save, detector.n_references_)
