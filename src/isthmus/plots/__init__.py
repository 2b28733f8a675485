"""Figures of an autoencoder. Each name in ``__all__`` is a function that returns a Matplotlib figure.

Most functions apply an autoencoder: kind(ae, X, y=None, ...). X are examples in the units of the data, preferably held out from
training; y are their labels. The other functions draw a result that was computed before: kind(result, ...). ``result.plot()`` calls one
of them. Reading order:

    lettering          text in figures, shown literally
    figure             figures without a window, and their PNG files
    figure_file        such a file, read again
    result_check       the check of the argument of functions that draw a result
    grids              grids of examples
    table_rows         rows of a table by named columns
    table_columns      the columns of a table: errors, and distributions of new rows
    image_rows         rows of examples and their reconstructions
    activations        codes as bars, images and feature maps
    embeddings         scatter plots of codes
    interactive        scatter plots of codes that show their examples, as HTML
    generation         new examples decoded from drawn codes
    latent_traversal   latent traversals, interpolation, nearest neighbors
    detection          anomalous examples and anomaly scores
    heat_overlay       a heat map on its image
    series             scores, alarms and channels of a series over time
    weights            the filters of the first layer
    training           loss curves
    comparison         several autoencoders: reconstructions, errors against a cost or a setting
    compression        rate against distortion
    noise_robustness   errors and examples against the level of corruption

Matplotlib is imported with the first figure.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.plots.activations import codes, feature_maps
    from isthmus.plots.compression import rate_distortion
    from isthmus.plots.detection import anomalies, anomaly_scores
    from isthmus.plots.embeddings import latent, tsne, umap
    from isthmus.plots.generation import manifold, samples
    from isthmus.plots.image_rows import completion, denoising, noise_levels, noisy, pca, reconstructions, sheet
    from isthmus.plots.latent_traversal import interpolation, neighbors, traversal
    from isthmus.plots.noise_robustness import restorations, robustness
    from isthmus.plots.series import series_alarms
    from isthmus.plots.table_columns import column_errors
    from isthmus.plots.training import losses
    from isthmus.plots.weights import filters

__all__ = [
    "anomalies",
    "anomaly_scores",
    "codes",
    "column_errors",
    "completion",
    "denoising",
    "feature_maps",
    "filters",
    "interpolation",
    "latent",
    "losses",
    "manifold",
    "neighbors",
    "noise_levels",
    "noisy",
    "pca",
    "rate_distortion",
    "reconstructions",
    "restorations",
    "robustness",
    "samples",
    "series_alarms",
    "sheet",
    "traversal",
    "tsne",
    "umap",
]

_MODULES = {
    "detection": ("anomalies", "anomaly_scores"),
    "activations": ("codes", "feature_maps"),
    "series": ("series_alarms",),
    "table_columns": ("column_errors",),
    "training": ("losses",),
    "generation": ("manifold", "samples"),
    "embeddings": ("latent", "tsne", "umap"),
    "compression": ("rate_distortion",),
    "noise_robustness": ("restorations", "robustness"),
    "image_rows": ("completion", "denoising", "noise_levels", "noisy", "pca", "reconstructions", "sheet"),
    "latent_traversal": ("interpolation", "neighbors", "traversal"),
    "weights": ("filters",),
}


def __getattr__(name: str) -> Any:
    for module, kinds in _MODULES.items():
        if name in kinds:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"no figure '{name}' in {__name__} ({', '.join(__all__)})")
