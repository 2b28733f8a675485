"""What an autoencoder learned, in figures: measured on held-out examples, each with its unit, and PCA of equal width beside it.

Read in this order:

    metrics               figures of one number each
    pca                   PCA of equal width, and which examples are drawn where not all are taken
    column_errors         the error in which every column counts equally
    reconstruction        examples and reconstructions: errors, nats, likeness of images
    latents               which units of the codes are used, and how often
    probes                what the codes know of labels that training never saw
    measure               Evaluation, and evaluate: everything about some examples
    advice                what to do about it, in words, by stated rules
    transfer              other data side by side with its own
    latent_traversal      traversals, interpolations, neighbors: ways through the codes
    corruption_levels     kinds of corruption and their levels
    denoising_baselines   doing nothing, the mean, filters, the best linear map
    robustness_curve      how well it restores as the corruption grows, beside these
    pca_reconstructions   examples by PCA of equal width and by the autoencoder
    detection_result      which examples are anomalous, how sure that is, and why
"""

from isthmus.evaluation.advice import Advice
from isthmus.evaluation.detection_result import DetectionResult, Extremes, detect
from isthmus.evaluation.latents import Codes
from isthmus.evaluation.measure import Evaluation, checked, evaluate, shown
from isthmus.evaluation.pca import PCA_ROWS, principal
from isthmus.evaluation.pca_reconstructions import PCAReconstructions, pca_reconstructions
from isthmus.evaluation.probes import Labels
from isthmus.evaluation.reconstruction import likeness, no_likeness, span_of
from isthmus.evaluation.robustness_curve import Restored, Robustness, robustness
from isthmus.evaluation.transfer import DataTransfer

__all__ = [
    "PCA_ROWS",
    "Advice",
    "Codes",
    "DataTransfer",
    "DetectionResult",
    "Evaluation",
    "Extremes",
    "Labels",
    "PCAReconstructions",
    "Restored",
    "Robustness",
    "checked",
    "detect",
    "evaluate",
    "likeness",
    "no_likeness",
    "pca_reconstructions",
    "principal",
    "robustness",
    "shown",
    "span_of",
]
