"""The verb that trains and applies a classifier on the encoder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.console import counted, print_json, print_line, print_notes, print_table
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.options import ClassifierFields, Json, Out, Run, Save, check_save_path, with_fields
from isthmus.text import command

if TYPE_CHECKING:
    from isthmus.estimators.classifier import AutoencoderClassifier
    from isthmus.experiments.classification import FinetuneResult
    from isthmus.experiments.run_record import DataSource

__all__ = ["finetune"]


@takes_data
def finetune(
    run: Run,
    data_options: DataOptions,
    settings: ClassifierFields = None,
    predict: Annotated[
        str | None, typer.Option(help="Examples whose labels are predicted; default: the held-out examples.")
    ] = None,
    labeled: Annotated[
        int | None, typer.Option(min=2, help="Train on this number of labeled examples, drawn at random.")
    ] = None,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Do not train the encoder: train a softmax layer on its codes.")
    ] = False,
    random_state: Annotated[
        int | None, typer.Option(min=0, help="The random state of drawn labels and batches; default 0.")
    ] = None,
    save: Save = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Train a classifier on the encoder of a run; compare it with training from scratch; write predicted labels as .csv.

    RUN may also be a classifier file written by --save. It is not trained further and predicts the labels of --predict.
    """
    from isthmus.errors import RecordError
    from isthmus.estimators.classifier import AutoencoderClassifier
    from isthmus.experiments import classification, detection, run_data, run_folder

    path = detection.csv_path(out, "predictions.csv")
    check_save_path(save, run, path)
    source, opened = data_options.source, run_folder.open_estimator(run)
    options = {"frozen": frozen or None, "random_state": random_state}
    if isinstance(opened, AutoencoderClassifier):
        if predict is None or any(value is not None for value in (labeled, save, *options.values())) or settings:
            raise RecordError(
                f"{run} is a classifier that is already trained: give --predict and no options of training, or give the run instead"
            )
        _predict(run, opened, data_options.with_path(predict), path, as_json)
        return
    classifier = with_fields(
        AutoencoderClassifier(random_state=0), settings, "epochs=20 or optimizer.lr=0.003", options
    )
    source = run_data.as_own(run, source)
    ae, dataset = run_data.load_examples(run, source)
    print_notes(dataset.notes, as_json)
    others = None if predict is None else run_data.load_examples(run, data_options.with_path(predict), parts="train")[1]
    part = run_data.split_of(run, dataset, ae.missing, source)
    print_notes(part.notes, as_json)
    found = classification.finetune_run(ae, part, dataset, labeled=labeled, classifier=classifier)
    if others is None:
        keys = run_data.held_out(dataset, part).keys()
        classification.write(path, found.classifier, part.test, part.test_labels, keys)
    else:
        classification.write(path, found.classifier, others.train, keys=others.keys())
    if save is not None:
        found.classifier.save(save)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_accuracies(found, path, save)


def _print_accuracies(found: FinetuneResult, path: Path, save: Path | None) -> None:
    """Prints the accuracies and the written files."""
    print_table(*found.table())
    if found.note():
        print_line(f"note: {found.note()}")
    print_line(f"written: {path}")
    if save is not None:
        use = command("isthmus", "finetune", save)
        print_line(f"written: {save}, the classifier ({found.method}); use: {use} --predict ...")


def _predict(run: Path, classifier: AutoencoderClassifier, source: DataSource, path: Path, as_json: bool) -> None:
    """Writes the labels that a loaded classifier predicts."""
    from isthmus.data.labels import json_labels
    from isthmus.experiments import classification, run_data

    dataset = run_data.load_examples(run, source, classifier.autoencoder_, parts="train")[1]
    print_notes(dataset.notes, as_json)
    classification.write(path, classifier, dataset.train, keys=dataset.keys())
    if as_json:
        print_json({"classes": json_labels(classifier.classes_), "examples": len(dataset.train)})
    else:
        print_line(f"written: {path}, the labels of {counted(len(dataset.train), 'example')}")
