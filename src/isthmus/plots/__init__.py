"""Figures of what an autoencoder learned. Each name in ``__all__`` is a function that returns a Matplotlib figure.

Most of them apply an autoencoder: kind(ae, X, y=None, ...). X are examples in the user's units, best ones held out from training,
and y their labels. The others draw a result that was measured before: kind(result, ...); ``result.plot()`` calls one of them.
Read in this order:

    lettering          all text in figures, as it is
    figure             figures without a window, and their PNG files
    result_check       what functions that draw a result are given
    grids              many examples in one figure
    image_rows         what goes in over what comes out
    activations        codes as images
    embeddings         codes as points
    interactive        codes as points that show their examples, as HTML
    generation         new codes, decoded
    latent_traversal   ways through the codes, decoded
    detection          what does not belong, and where
    weights            the first layer's filters
    training           losses
    comparison         several autoencoders: their reconstructions, their errors against what they cost
    compression        bits against what comes back
    noise_robustness   errors and examples as the corruption grows

Matplotlib loads when the first picture is asked for.
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
    from isthmus.plots.training import losses
    from isthmus.plots.weights import filters

__all__ = [
    "anomalies",
    "anomaly_scores",
    "codes",
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
    "sheet",
    "traversal",
    "tsne",
    "umap",
]

_HOMES = {
    "detection": ("anomalies", "anomaly_scores"),
    "activations": ("codes", "feature_maps"),
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
    for module, kinds in _HOMES.items():
        if name in kinds:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"no picture '{name}' in {__name__} ({', '.join(__all__)})")
