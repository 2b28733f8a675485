"""Evaluation of autoencoders on held-out examples, compared with PCA of equal width. Every figure has its unit.

Read in this order:

    examples              the check of examples, and of missing values in them
    metrics               errors, PSNR, SSIM and cross-entropy of arrays
    pca                   PCA of equal width, and random subsets of examples
    table_pca             the same of tables with categories
    denoising_baselines   the training mean, ridge regression, filters
    restoration           errors against a target: the input itself and ridge regression as baselines
    column_errors         the error in which every column counts equally
    column_result         the figures of each column of a table, in the terms of the column
    column_sums           sums of errors over the rows of a table, by column
    by_column             column_figures measures them
    reconstruction        errors of reconstructions: squared errors, nats, structural similarity of images
    latents               latent diagnostics: which units of the codes are used, and how often
    probes                how well labels can be predicted from the codes
    advice                recommendations, by rules with named thresholds
    figure_groups         the groups of figures: errors, nats, denoising, restoration, columns, cost
    results               Evaluation: all figures of some examples, grouped by subject
    table_figures         the evaluation of a table whose columns have names
    older_figures         figures in files of earlier versions
    measure               evaluate measures them
    transfer              figures on other data compared with those on its own
    latent_traversal      latent traversals, interpolations, nearest neighbors
    corruption_levels     kinds of corruption and their levels
    robustness_result     the scores of all methods, as a table
    robustness_curve      denoising at growing levels of corruption, compared with the baselines
    pca_reconstructions   reconstructions by PCA of equal width and by the autoencoder
    detection_result      anomaly scores, p-values, decisions and attributions
    heat_map_metrics      metrics of heat maps, given masks of the anomalous pixels
    image_detection       detect_images: a score for each image, and metrics
    series_alarms         alarms, intervals of time steps with the channels to blame
    series_detection      scores of time steps, and alarms as intervals
    series_track          the latest rows of a stretch of a stream, and what becomes final
    series_arrivals       the rows that a stream takes
    streamed_steps        what became final in a stream
    series_stream         SeriesStream: the same for rows that arrive in parts
    interval_metrics      metrics of scores of time steps, given labels
    affiliation           how near alarms are to anomalous intervals
    series_metrics        SeriesMetrics: all of them for a detection
"""

from isthmus.estimators.image_detector import ImageOutlierDetector
from isthmus.evaluation.advice import Advice
from isthmus.evaluation.affiliation import affiliation_precision_recall
from isthmus.evaluation.by_column import column_figures
from isthmus.evaluation.column_result import ColumnFigure, ColumnFigures, MethodErrors
from isthmus.evaluation.detection_result import DetectionResult, Extremes, detect
from isthmus.evaluation.examples import check_examples
from isthmus.evaluation.figure_groups import Columns, Cost, Denoising, Errors, Nats, Restoration
from isthmus.evaluation.heat_map_metrics import per_region_overlap, pixel_auroc
from isthmus.evaluation.image_detection import ImageDetection, ImageMetrics, detect_images
from isthmus.evaluation.interval_metrics import range_precision_recall, volume_under_surface
from isthmus.evaluation.latents import Codes
from isthmus.evaluation.measure import evaluate
from isthmus.evaluation.pca import PCA_ROWS, principal
from isthmus.evaluation.pca_reconstructions import PCAReconstructions, pca_reconstructions
from isthmus.evaluation.probes import Labels
from isthmus.evaluation.reconstruction import data_range_of, image_ssim, why_no_ssim
from isthmus.evaluation.results import Evaluation, format_figure
from isthmus.evaluation.robustness_curve import robustness
from isthmus.evaluation.robustness_result import DenoisingScore, Robustness
from isthmus.evaluation.series_alarms import Alarm
from isthmus.evaluation.series_detection import SeriesDetection, detect_series
from isthmus.evaluation.series_metrics import SeriesMetrics, series_metrics
from isthmus.evaluation.series_stream import SeriesStream
from isthmus.evaluation.streamed_steps import OpenAlarm, StreamedSteps
from isthmus.evaluation.transfer import DataTransfer

__all__ = [
    "PCA_ROWS",
    "Advice",
    "Alarm",
    "Codes",
    "ColumnFigure",
    "ColumnFigures",
    "Columns",
    "Cost",
    "DataTransfer",
    "Denoising",
    "DenoisingScore",
    "DetectionResult",
    "Errors",
    "Evaluation",
    "Extremes",
    "ImageDetection",
    "ImageMetrics",
    "ImageOutlierDetector",
    "Labels",
    "MethodErrors",
    "Nats",
    "OpenAlarm",
    "PCAReconstructions",
    "Restoration",
    "Robustness",
    "SeriesDetection",
    "SeriesMetrics",
    "SeriesStream",
    "StreamedSteps",
    "affiliation_precision_recall",
    "check_examples",
    "column_figures",
    "data_range_of",
    "detect",
    "detect_images",
    "detect_series",
    "evaluate",
    "format_figure",
    "image_ssim",
    "pca_reconstructions",
    "per_region_overlap",
    "pixel_auroc",
    "principal",
    "range_precision_recall",
    "robustness",
    "series_metrics",
    "volume_under_surface",
    "why_no_ssim",
]
