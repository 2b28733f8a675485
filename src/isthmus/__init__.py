"""isthmus: autoencoders of every kind, on your own data, in one line or one command.

An autoencoder is what it is by four choices that do not know each other:

    x --corruption--> x~ --encoder--> h --bottleneck--> z --decoder--> y --likelihood--> nats per example
    |                                       '---------------> penalty, nats per example      + ----> loss
    '----------------- the clean x is the target --------------------'

Reading order, which is the way of the data; nobody imports upward:

    _version        the version
    text            text of strangers made safe to print and to write
    errors          what can go wrong because of what a user gave, in one sentence each
    records         what a record is: a frozen, validated choice; describe, read, override
    results         what every result can do: plain values, a data frame, a table
    io/             files, the terminal, tables out, memory that may be taken
    nn/             what components are made of: activations, variables, layers, devices
    data/           examples in: built-in data sets, readers of tables and images, validation, labels
    scaling         raw units <-> model units
    corruptions     clean -> corrupted
    bottlenecks/    what the code may be, and what it costs
    architectures/  the mirrored pairs of encoder and decoder
    likelihoods     how far a reconstruction is from an example
    optimizers      optimizer and schedule
    model           the nn.Module that joins them
    training/       the engine: batches, steps, the loop, layer-wise training, progress
    estimators/     Autoencoder, OutlierDetector, AutoencoderClassifier; defaults, inference, model files
    recipes         named autoencoders, tuned, one expression each
    evaluation/     what it learned, in figures: metrics, codes, probes, advice, traversals, robustness
    compression/    examples as small files, and rate against distortion
    plots/          what it learned, in figures
    experiments/    runs, splits, comparison, sweep, reports, tutorials and their reproduction
    cli/            verbs
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from isthmus._version import __version__

if TYPE_CHECKING:
    from isthmus import (
        architectures,
        bottlenecks,
        compression,
        corruptions,
        data,
        errors,
        evaluation,
        likelihoods,
        optimizers,
        plots,
        recipes,
        scaling,
    )
    from isthmus.estimators import Autoencoder, AutoencoderClassifier, OutlierDetector, finetune, load
    from isthmus.evaluation import evaluate, latent_traversal, metrics, robustness
    from isthmus.experiments import tutorials
    from isthmus.experiments.comparison import compare
    from isthmus.experiments.parameter_sweep import sweep

__all__ = [
    "Autoencoder",
    "AutoencoderClassifier",
    "OutlierDetector",
    "__version__",
    "architectures",
    "bottlenecks",
    "compare",
    "compression",
    "corruptions",
    "data",
    "errors",
    "evaluate",
    "evaluation",
    "finetune",
    "latent_traversal",
    "likelihoods",
    "load",
    "metrics",
    "optimizers",
    "plots",
    "recipes",
    "robustness",
    "scaling",
    "sweep",
    "tutorials",
]

_HOMES = {
    "Autoencoder": "estimators.autoencoder",
    "AutoencoderClassifier": "estimators.classifier",
    "OutlierDetector": "estimators.outlier_detector",
    "compare": "experiments.comparison",
    "evaluate": "evaluation.measure",
    "finetune": "estimators.classifier",
    "load": "estimators.loading",
    "robustness": "evaluation.robustness_curve",
    "sweep": "experiments.parameter_sweep",
}  # functions and classes, and the modules that hold them
_MODULES = {
    "latent_traversal": "evaluation.latent_traversal",
    "metrics": "evaluation.metrics",
    "tutorials": "experiments.tutorials",
}  # modules that stand in a package and are reached from here


def __getattr__(name: str) -> Any:
    """Loads a part when it is first used: importing isthmus alone stays cheap."""
    if name not in __all__:
        raise AttributeError(f"module 'isthmus' has no attribute '{name}'")
    if name in _HOMES:
        return getattr(import_module(f"isthmus.{_HOMES[name]}"), name)
    return import_module(f"isthmus.{_MODULES.get(name, name)}")


def __dir__() -> list[str]:
    return __all__
