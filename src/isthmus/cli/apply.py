"""Verbs that put a run to use: arrays in, arrays and verdicts out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.console import (
    array_path,
    counted,
    say,
    say_json,
    say_notes,
    sentences,
    table,
    write_array,
    write_blocks,
    write_table,
)
from isthmus.cli.options import (
    ClassifierFields,
    DetectorFields,
    Given,
    Json,
    Out,
    Run,
    all_examples,
    takes_data,
    with_fields,
)
from isthmus.text import command

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.classifier import AutoencoderClassifier
    from isthmus.experiments.classification import FinetuneResult
    from isthmus.experiments.run_record import DataSource

__all__ = ["compress", "decode", "decompress", "detect", "encode", "finetune", "impute", "reconstruct", "sample"]

Save = Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write it as a model file, to be used again.")]


@takes_data
def encode(run: Run, given: Given, out: Out = None) -> None:
    """The codes of examples, as .npy, or with their ids as .csv: all of --data, or the run's held-out ones."""
    path = array_path(out, "codes.npy", (".npy", ".csv"))
    ae, dataset = all_examples(run, given)
    codes = ae.encode(dataset.train)
    names = [f"code_{number}" for number in range(codes[0].size)]
    _write(path, codes, dataset, names)


@takes_data
def reconstruct(run: Run, given: Given, out: Out = None) -> None:
    """Examples through the autoencoder and back, in the units of the data, as .npy or .csv; a denoising one restores them."""
    path = array_path(out, "reconstructions.npy", (".npy", ".csv"))
    ae, dataset = all_examples(run, given)
    made = ae.reconstruct(dataset.train)
    _write(path, made, dataset, list(dataset.columns or [f"column {number}" for number in range(made[0].size)]))


def _write(path: Path, values: Any, dataset: Dataset, names: list[str]) -> None:
    """An array as .npy; or as a table of rows behind what names them."""
    if path.suffix == ".npy":
        write_array(path, values)
        if dataset.id_name is not None:
            say("note: a .npy file has no place for the ids; --out with a name that ends in .csv has them")
        return
    named = [] if dataset.ids is None else [dataset.id_name or "file"]
    write_table(path, [*named, *names], values.reshape(len(values), -1), ids=dataset.ids)


@takes_data
def impute(run: Run, given: Given, out: Out = None) -> None:
    """Missing numbers completed, of --data or of all the run's own: tables as .csv with their names, the labels last; or .npy."""
    from isthmus.data.missing import count_missing
    from isthmus.data.validation import Examples
    from isthmus.errors import RecordError
    from isthmus.experiments import run_data, run_record

    if out is not None:
        array_path(out, "", (".csv", ".npy"))
    origin = given.origin or run_record.source_of(run)
    ae, dataset = run_data.load_examples(run, origin, parts="train")
    say_notes([*dataset.notes, *run_data.data_changes(run, dataset, ae.missing, given.origin)])
    table = dataset.train.ndim == 2
    path = array_path(out, "whole.csv" if table else "whole.npy", (".csv", ".npy"))
    if path.suffix == ".csv" and not table:
        raise RecordError(f"--out {path}: a .csv file holds tables, and these examples are {ae.shape_}; write .npy")
    whole = ae.impute(Examples(dataset.train, dataset.columns, dataset.kind, dataset.positions()))
    if path.suffix == ".npy":
        write_array(path, whole)
    else:
        more = [[name] if name else [] for name in (dataset.id_name, dataset.label_name)]
        names = None if dataset.columns is None else [*more[0], *dataset.columns, *more[1]]
        write_table(path, names, whole, dataset.train_labels, dataset.ids)
    say(f"{counted(count_missing(dataset.train), 'missing number')} of {whole.size:,} completed")


def decode(run: Run, codes: Annotated[Path, typer.Argument(help="Codes as .npy, (n, k).")], out: Out = None) -> None:
    """Examples from codes, as .npy."""
    from isthmus.data import read
    from isthmus.data.validation import Examples
    from isthmus.experiments import run_folder

    path = array_path(out, "decoded.npy")
    ae, given = run_folder.open_run(run), read(codes)
    write_array(path, ae.decode(Examples(given.train, positions=given.positions())))


@takes_data
def sample(
    run: Run,
    given: Given,
    n: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 64,
    random_state: Annotated[int, typer.Option(min=0, help="Another number gives other samples.")] = 0,
    method: Annotated[
        str,
        typer.Option(help="prior; or gmm, a mixture fitted to the codes of --data, or of the run's training examples."),
    ] = "prior",
    out: Out = None,
) -> None:
    """New examples from the prior, or from a mixture fitted to codes, as .npy."""
    from isthmus.experiments import run_data, run_folder

    path = array_path(out, "samples.npy")
    origin = given.origin
    if method != "gmm" and origin is None:
        write_array(path, run_folder.open_run(run).sample(n, random_state, method=method))  # type: ignore[arg-type]  # it is checked
        return
    ae, dataset = run_data.load_examples(run, origin)
    say_notes(dataset.notes)
    X = dataset.train
    if origin is None:
        part = run_data.split_of(run, dataset, ae.missing)
        say_notes(part.notes)
        X = part.train
    write_array(path, ae.sample(n, random_state, method=method, X=X))  # type: ignore[arg-type]


@takes_data
def detect(
    run: Run,
    given: Given,
    settings: DetectorFields = None,
    false_alarm_rate: Annotated[
        float | None, typer.Option(help="How often a normal example may be called anomalous; 0.05 if nothing is said.")
    ] = None,
    contamination: Annotated[
        float | None, typer.Option(help="Instead: the share of the calibrating examples that is believed anomalous.")
    ] = None,
    normal: Annotated[
        str | None,
        typer.Option(help="Normal examples to calibrate on; without it, those that the run held out itself."),
    ] = None,
    save: Save = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Which examples of --data are anomalous, how sure that is, and which of their numbers are to blame: a table as .csv.

    RUN may also be the file of a detector, which --save wrote; its threshold is taken as it is.
    """
    from isthmus.data.parts import test_part
    from isthmus.errors import DataError, RecordError
    from isthmus.estimators.outlier_detector import LEAST, OutlierDetector
    from isthmus.evaluation.detection_result import detect as detected
    from isthmus.experiments import detection, run_data, run_folder
    from isthmus.experiments.membership import trained_on

    if given.origin is None:
        raise RecordError("--data is missing: name the examples to look at")
    path = detection.csv_path(out, "anomalies.csv")
    _check_save(save, run, path)
    opened = run_folder.open_estimator(run)
    ready = opened if isinstance(opened, OutlierDetector) else None
    choices = {
        "--false-alarm-rate": false_alarm_rate,
        "--contamination": contamination,
        "--normal": normal,
        "--save": save,
        **dict.fromkeys(settings or [], "a word"),
    }
    if ready is not None and (flag := next((flag for flag, value in choices.items() if value is not None), None)):
        raise RecordError(f"{run} is a detector, which has its threshold already: leave out {flag}, or give the run")
    chosen = with_fields(
        OutlierDetector(calibration_fraction=0.5, random_state=0),
        settings,
        "anomaly_score=nats",
        {"false_alarm_rate": false_alarm_rate, "contamination": contamination},
    ).get_params(deep=False)
    ae, dataset = run_data.load_examples(
        run, given.origin, None if ready is None else ready.autoencoder_, parts="test", allow_extreme=True
    )
    dataset, which = test_part(dataset)
    held, others = (None, []) if ready is not None else _normal(run, ae, given, normal)
    seen = int(trained_on(run_data.membership_of(run), dataset.train).sum())
    again = (
        f"{seen:,} of {len(dataset.train):,} examples were trained on: they score as more normal than new ones"
        if seen
        else ""
    )
    say_notes([*dataset.notes, *filter(None, (which, *others, again))], as_json)
    if held is not None and len(held) < LEAST:
        raise DataError(
            f"there {'is' if len(held) == 1 else 'are'} {counted(len(held), 'normal example')} that {run} was not trained on, "
            f"and a detector takes {LEAST}: name more with --normal"
        )
    with sentences((lambda _: None) if as_json else say):  # JSON has it as the guarantee
        del chosen["autoencoder"]
        detector = ready or OutlierDetector.from_fitted(ae, held, **chosen)
    found = detected(detector, dataset.train, dataset.keys())
    detection.write(path, found)
    picture = detection.draw(path, found)
    if save is not None:
        detector.save(save)
    if as_json:
        say_json(found.to_dict())
        return
    if found.decided:
        say(
            f"{counted(found.anomalous, 'example')} of {len(found.scores):,} anomalous: score below {detector.offset_:.6g}"
        )
        say(f"guarantee: {detector.guarantee()}")
    else:
        say(f"undecided: {detector.guarantee()}; name more normal examples with --normal")
    table(*found.table())
    for written in (path, picture):
        if written is not None:
            say(f"written: {written}")
    if save is not None:
        say(
            f"written: {save}, the detector with its threshold; {command('isthmus', 'detect', save)} --data ... takes it"
        )


def _normal(run: Path, ae: Autoencoder, given: Given, normal: str | None) -> tuple[Any, list[str]]:
    """Normal examples that the run did not train on, of --normal or held out by the run, and sentences about those left out."""
    from isthmus.data.parts import of_trained_classes
    from isthmus.experiments import run_data
    from isthmus.experiments.split_recovery import exclude_trained

    reference = run_data.load_examples(run, None if normal is None else given.at(normal), allow_extreme=True)[1]
    if normal is not None:
        fresh, note = exclude_trained(run_data.membership_of(run), reference)
        return fresh, [note, _of_stopping(run, ae, fresh)]
    part = run_data.split_of(run, reference, ae.missing)
    examples, others = of_trained_classes(part.test, part.test_labels, part.train_labels)
    notes = [*part.notes, _of_stopping(run, ae, examples)]
    if not others:
        return examples, notes
    note = (
        f"{len(examples):,} held-out examples count as normal, because their class was trained on; "
        f"{len(part.test) - len(examples):,} of other classes do not ({others})"
    )
    return examples, [*notes, note]


def _of_stopping(run: Path, ae: Autoencoder, normal: Any) -> str:
    """That normal examples chose when the training stopped; "" where they did not, or the run's data are gone."""
    from isthmus.errors import DataError
    from isthmus.experiments import run_data
    from isthmus.experiments.validation_set import count_early_stopping

    if not ae.early_stopping:
        return ""
    try:
        own = run_data.load_examples(run, None, ae, allow_extreme=True)[1]
        count = count_early_stopping(own, run_data.split_of(run, own, ae.missing), normal)
    except (DataError, OSError):
        return ""
    return (
        f"{count:,} of {len(normal):,} normal examples are among those by which early stopping chose the model: "
        "it may find them more normal than new ones, and the guarantee is weaker; name others with --normal"
        if count
        else ""
    )


@takes_data
def finetune(
    run: Run,
    given: Given,
    settings: ClassifierFields = None,
    predict: Annotated[
        str | None, typer.Option(help="Examples without labels, to tell them; without it the held-out ones are told.")
    ] = None,
    labeled: Annotated[
        int | None, typer.Option(min=2, help="Learn from so many labels alone, drawn at random.")
    ] = None,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Leave the encoder as it is: a softmax on its codes.")
    ] = False,
    random_state: Annotated[
        int | None, typer.Option(min=0, help="Another number draws other labels and batches; 0 by default.")
    ] = None,
    save: Save = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Learn labels from a run's encoder: how well, beside the same net from scratch; the label of each example as .csv.

    RUN may also be the file of a classifier, which --save wrote; it learns nothing more, and tells the labels of --predict.
    """
    from isthmus.errors import RecordError
    from isthmus.estimators.classifier import AutoencoderClassifier
    from isthmus.experiments import classification, detection, run_data, run_folder

    path = detection.csv_path(out, "predictions.csv")
    _check_save(save, run, path)
    origin, opened = given.origin, run_folder.open_estimator(run)
    if isinstance(opened, AutoencoderClassifier):
        if predict is None or labeled is not None or frozen or random_state is not None or settings or save is not None:
            raise RecordError(
                f"{run} is a classifier, which has learned its labels: give --predict and what to tell, or the run"
            )
        _told(run, opened, given.at(predict), path, as_json)
        return
    classifier = with_fields(
        AutoencoderClassifier(random_state=0),
        settings,
        "epochs=20 or optimizer.lr=0.003",
        {"frozen": frozen or None, "random_state": random_state},
    )
    ae, dataset = run_data.load_examples(run, origin)
    say_notes(dataset.notes, as_json)
    others = None if predict is None else run_data.load_examples(run, given.at(predict), parts="train")[1]
    part = run_data.split_of(run, dataset, ae.missing, origin)
    say_notes(part.notes, as_json)
    found = classification.finetune_run(ae, part, dataset, labeled=labeled, classifier=classifier)
    if others is None:
        classification.write(
            path, found.classifier, part.test, part.test_labels, run_data.held_out(dataset, part).keys()
        )
    else:
        classification.write(path, found.classifier, others.train, keys=others.keys())
    if save is not None:
        found.classifier.save(save)
    if as_json:
        say_json(found.to_dict())
        return
    _say_accuracies(found, path, save)


def _say_accuracies(found: FinetuneResult, path: Path, save: Path | None) -> None:
    """The accuracies and the files, for people."""
    table(*found.table())
    if found.note():
        say(f"note: {found.note()}")
    say(f"written: {path}")
    if save is not None:
        told = command("isthmus", "finetune", save)
        say(f"written: {save}, the classifier ({found.method}); {told} --predict ... takes it")


def _told(run: Path, classifier: AutoencoderClassifier, origin: DataSource, path: Path, as_json: bool) -> None:
    """The labels of examples by a classifier of a file."""
    from isthmus.data.labels import plain
    from isthmus.experiments import classification, run_data

    dataset = run_data.load_examples(run, origin, classifier.autoencoder_, parts="train")[1]
    say_notes(dataset.notes, as_json)
    classification.write(path, classifier, dataset.train, keys=dataset.keys())
    if as_json:
        say_json({"classes": plain(classifier.classes_), "examples": len(dataset.train)})
    else:
        say(f"written: {path}, the labels of {counted(len(dataset.train), 'example')}")


def _check_save(save: Path | None, run: Path, table: Path) -> None:
    """Whether a model file can be written there, known before the work that makes it."""
    from isthmus.errors import RecordError
    from isthmus.experiments.run_folder import MODEL
    from isthmus.io.atomic import check_writable

    if save is None:
        return
    check_writable(save)
    others = {"the run's own model": run / MODEL if run.is_dir() else run, "the table of --out": table}
    for what, other in others.items():
        if save.resolve() == other.resolve():
            raise RecordError(f"--save {save} would write over {what}: give it another name")


@takes_data
def compress(
    run: Run,
    given: Given,
    out: Out = None,
    step: Annotated[
        float | None, typer.Option(help="How far a reconstruction moves by one step of the code, in model units.")
    ] = None,
    bits: Annotated[float | None, typer.Option(help="Bits for each example, of the whole file.")] = None,
    error: Annotated[
        float | None, typer.Option(help="The share by which the mean squared error may grow; 0.05 if nothing is said.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Examples as a small file: their codes, rounded and entropy-coded; and what gzip, LZMA and PNG make of the same examples."""
    from isthmus import compression

    path = Path("compressed.isthmus") if out is None else out
    ae, dataset = all_examples(run, given, as_json)
    X = dataset.train
    found = compression.compress(ae, X, path, step=step, bits=bits, error=error)
    others = compression.lossless(X)
    if as_json:
        say_json(found.to_dict() | {"lossless_bytes": others})
        return
    table(["figure", "value", "unit"], [list(row) for row in found.rows(others)])
    say(f"written: {path}, {found.bytes:,} bytes; {command('isthmus', 'decompress', run, path)}")


def decompress(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What isthmus compress wrote.")],
    out: Out = None,
) -> None:
    """The examples of a compressed file, as .npy, or a table as .csv: in their order and type, as the decoder has them."""
    from isthmus import compression
    from isthmus.errors import RecordError
    from isthmus.experiments import run_folder

    path = array_path(out, "decompressed.npy", (".npy", ".csv"))
    ae = run_folder.open_run(run)
    shape, dtype, blocks = compression.decompressing(ae, file)
    if path.suffix == ".csv" and len(shape) != 2:
        raise RecordError(f"--out {path}: these examples are no table; let the name end with .npy")
    names = getattr(ae, "feature_names_in_", [f"column {number}" for number in range(shape[1])])
    write_blocks(path, shape, dtype, blocks, names)
