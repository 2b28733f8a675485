"""isthmus: autoencoders of every kind, on your own data, in one line or one command.

An autoencoder is defined by independent components:

         augmentation      corruption     encoder      bottleneck      decoder     likelihood
    raw -------------> x -------------> x~ --------> h ----------> z ---------> y ----------> nats per example --+--> loss
                       |                                 |                                                       |
                       '-- the clean x is the target     '--> penalty of the code, nats per example  + penalties -'

Modules in reading order, which follows the data. A module imports only from modules above it:

    _version        the version
    text            untrusted text made safe to print and to write
    errors          errors that a user can cause, one sentence each
    native/         optional kernels in C, which make training faster
    records         frozen, validated hyperparameters: describe, read, override
    record_overrides  other values of fields of records
    assignments     parsing of field=value text
    results         the interface of all results: plain values, data frame, table, figure
    io/             files, the terminal, tables, memory limits
    nn/             building blocks of components: activations, variables, layers, devices
    data/           data sets, readers of tables and images, validation, labels
    schedules       factors over the course of training
    scaling/        raw units <-> model units
    augmentations   changes of example and target, drawn anew at each step
    corruptions/    corruption of the encoder's input
    architectures/  mirrored pairs of encoder and decoder
    priors          densities over codes
    bottlenecks/    the form of the code and its penalty
    likelihoods/    the reconstruction loss
    penalties/      what else the loss requires in training
    optimizer_state  the parameters and buffers of an optimizer
    optimizers      optimizers
    trainable       the contract between a model and the training loop
    units           raw and model units as tensors of a model
    kernel_pass     losses and gradients of dense autoencoders by the kernels
    model           the nn.Module that joins them
    training/       the engine: batches, steps, the loop, layer-wise training, progress
    estimators/     Autoencoder, OutlierDetector, AutoencoderClassifier; defaults, inference, model files
    recipes         named autoencoders with tuned hyperparameters
    evaluation/     metrics, latent diagnostics, label probes, advice, traversals, robustness
    compression/    compressed files; rate and distortion
    runtime/        exported autoencoders without PyTorch
    plots/          figures
    widgets/        sliders in notebooks
    experiments/    runs, splits, comparison, sweeps, reports, tutorials and their reproduction
    serving/        models behind the Open Inference Protocol
    explorer/       the page on which models are explored
    scaleout/       bulk use of models by several processes, or by Ray
    cli/            the command line
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from isthmus._version import __version__

if TYPE_CHECKING:
    from isthmus import (
        architectures,
        augmentations,
        bottlenecks,
        compression,
        corruptions,
        data,
        errors,
        evaluation,
        likelihoods,
        optimizers,
        penalties,
        plots,
        priors,
        recipes,
        scaling,
        schedules,
        widgets,
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
    "augmentations",
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
    "penalties",
    "plots",
    "priors",
    "recipes",
    "robustness",
    "scaling",
    "schedules",
    "sweep",
    "tutorials",
    "widgets",
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
}  # functions and classes, and their modules
_MODULES = {
    "latent_traversal": "evaluation.latent_traversal",
    "metrics": "evaluation.metrics",
    "tutorials": "experiments.tutorials",
}  # modules that are available at the top level


def __getattr__(name: str) -> Any:
    """Imports a part at its first use, so that ``import isthmus`` stays fast."""
    if name not in __all__:
        raise AttributeError(f"module 'isthmus' has no attribute '{name}'")
    if name in _HOMES:
        return getattr(import_module(f"isthmus.{_HOMES[name]}"), name)
    return import_module(f"isthmus.{_MODULES.get(name, name)}")


def __dir__() -> list[str]:
    return __all__
