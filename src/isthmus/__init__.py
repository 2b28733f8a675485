"""isthmus: autoencoders of every kind, on your own data, in one line or one command.

An autoencoder is what it is by four choices that do not know each other:

    x --corruption--> x~ --encoder--> h --bottleneck--> z --decoder--> y --likelihood--> nats per example
    |                                       '---------------> penalty, nats per example      + ----> loss
    '----------------- the clean x is the target --------------------'

Reading order, which is the way of the data; nobody imports upward:

    text            text of strangers made safe to print and to write
    errors          what can go wrong because of what a user gave, in one sentence each
    terminal        the one door to standard output and standard error
    limits          memory: what the machine has left, what is in proportion, and a person's word
    records         what a record is: a frozen, validated choice; describe, read, override
    data/           examples in: embedded MNIST, Fashion-MNIST, digits, files and folders of one's own
    scaling         raw units <-> model units
    devices         where to compute, in which precision
    memory          what a choice must remember: learned tensors, running state
    products        products and convolutions: the same bits wherever in a batch an example stands
    corruptions     clean -> spoilt
    bottlenecks/    what the code may be, and what it costs
    architectures/  the mirrored pairs of encoder and decoder
    likelihoods     how far a reconstruction is from an example
    optimizers      optimizer and schedule
    redirection     what own modules draw comes from a stream of ours
    model           the nn.Module that joins the four
    footprint       how much memory a model takes, known from the sizes of its layers
    company         whether other programs take the processor from a training
    randomness      a stream of random numbers for each purpose and step
    sources         where training takes examples from
    steps           one step of training; on a GPU recorded and replayed
    training        the engine, a generator of reports
    units           whether examples are in the units that were fitted
    bearing         what is too large to compute with
    inference       rows through the model, the same bits in any grouping
    progress        what a person sees meanwhile
    writing         a file in one piece, or the old one
    tables_out      tables as CSV: text guarded, numbers as they are
    container       safetensors files, read with suspicion
    storage         the model file
    choosing        what "auto" means: choices made from the data
    checkpoints     what training goes on from, as a part of a model file
    attributes      the fitted attributes, replaced as a whole
    mixtures        a density for codes that have no prior
    fitted          what a fitted autoencoder does
    wanted          what is given where an autoencoder is wanted
    pretraining     layer by layer, from the example inwards
    estimator       the scikit-learn face
    around          estimators around an autoencoder, in its file
    finetuning/     labels learned from codes
    anomalies/      which examples are anomalous, and why
    loading         from a model file to an autoencoder, a detector, a classifier
    overrides       field=value onto an estimator
    recipes         named autoencoders, tuned, one expression each
    tutorials       the systems of five tutorials, exactly, with their published figures
    metrics         figures of one number each
    evaluation/     what it learned, in figures: errors, codes, labels, advice
    walks           ways through the codes: traversals, interpolations, neighbors
    compression/    examples as small files, and rate against distortion
    robustness/     how well it restores as the spoiling grows, beside what needs no net
    plots/          what it learned, in pictures
    report/         the page of a run
    tensorboard     event files
    splits          which examples are held out, and found again in data that changed
    validation      which examples a training is watched by
    runs            the folder of a run
    comparing/      which of several to take: their figures side by side
    sweeping/       a training for each value of a field, chosen by examples held out
    verdicts        what a detector says of examples, as a table and a picture
    predictions     labels learned from a run, how well, and those of other examples
    reproduction    the tutorials trained and measured
    signals         being asked to stop
    console         what the command line says
    review          a trained run looked at: tables, JSON, its page
    runner          a run from its beginning to its end
    cli/            verbs
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus import (
        architectures,
        bottlenecks,
        compression,
        corruptions,
        data,
        likelihoods,
        optimizers,
        plots,
        recipes,
        scaling,
        tutorials,
        walks,
    )
    from isthmus.anomalies import OutlierDetector
    from isthmus.comparing import compare
    from isthmus.estimator import Autoencoder
    from isthmus.evaluation import evaluate
    from isthmus.finetuning import Classifier, finetune
    from isthmus.loading import load
    from isthmus.sweeping import sweep

__version__ = "0.3.0"

__all__ = [
    "Autoencoder",
    "Classifier",
    "OutlierDetector",
    "__version__",
    "architectures",
    "bottlenecks",
    "compare",
    "compression",
    "corruptions",
    "data",
    "evaluate",
    "finetune",
    "likelihoods",
    "load",
    "optimizers",
    "plots",
    "recipes",
    "scaling",
    "sweep",
    "tutorials",
    "walks",
]


_HOMES = {
    "Autoencoder": "estimator",
    "Classifier": "finetuning",
    "OutlierDetector": "anomalies",
    "compare": "comparing",
    "evaluate": "evaluation",
    "finetune": "finetuning",
    "load": "loading",
    "sweep": "sweeping",
}  # names that are no modules, and where they live


def __getattr__(name: str) -> Any:
    """Loads a part when it is first used: importing isthmus alone stays cheap."""
    if name not in __all__:
        raise AttributeError(f"module 'isthmus' has no attribute '{name}'")
    if name in _HOMES:
        return getattr(import_module(f"isthmus.{_HOMES[name]}"), name)
    return import_module(f"isthmus.{name}")


def __dir__() -> list[str]:
    return __all__
