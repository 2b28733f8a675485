"""What an autoencoder learned, in figures: measured on held-out examples, each with its unit, and PCA of equal width beside it.

Read in this order:

    metrics               figures of one number each
    pca                   PCA of equal width, and which examples are drawn where not all are taken
    column_errors         the error in which every column counts equally
    reconstruction        examples and reconstructions: errors, nats, structural similarity of images
    latents               which units of the codes are used, and how often
    probes                what the codes know of labels that training never saw
    advice                what to do about it, in words, by stated rules
    results               Evaluation: all figures of some examples, grouped by subject
    older_figures         the same in files of older versions
    measure               evaluate measures them
    transfer              other data side by side with its own
    latent_traversal      traversals, interpolations, neighbors: ways through the codes
    corruption_levels     kinds of corruption and their levels
    denoising_baselines   the identity, the training mean, ridge regression, filters
    robustness_result     the scores of all methods, as a table
    robustness_curve      denoising at growing levels of corruption, compared with the baselines
    pca_reconstructions   examples by PCA of equal width and by the autoencoder
    detection_result      which examples are anomalous, how sure that is, and why
"""

from isthmus.evaluation.advice import Advice
from isthmus.evaluation.detection_result import DetectionResult, Extremes, detect
from isthmus.evaluation.latents import Codes
from isthmus.evaluation.measure import checked, evaluate
from isthmus.evaluation.pca import PCA_ROWS, principal
from isthmus.evaluation.pca_reconstructions import PCAReconstructions, pca_reconstructions
from isthmus.evaluation.probes import Labels
from isthmus.evaluation.reconstruction import data_range_of, image_ssim, why_no_ssim
from isthmus.evaluation.results import Columns, Cost, Denoising, Errors, Evaluation, Nats, shown
from isthmus.evaluation.robustness_curve import robustness
from isthmus.evaluation.robustness_result import DenoisingScore, Robustness
from isthmus.evaluation.transfer import DataTransfer

__all__ = [
    "PCA_ROWS",
    "Advice",
    "Codes",
    "Columns",
    "Cost",
    "DataTransfer",
    "Denoising",
    "DenoisingScore",
    "DetectionResult",
    "Errors",
    "Evaluation",
    "Extremes",
    "Labels",
    "Nats",
    "PCAReconstructions",
    "Robustness",
    "checked",
    "data_range_of",
    "detect",
    "evaluate",
    "image_ssim",
    "pca_reconstructions",
    "principal",
    "robustness",
    "shown",
    "why_no_ssim",
]
