"""Pictures of what an autoencoder learned: each name in ``__all__`` is a function kind(ae, X, y=None, ...) -> Figure.

X are examples in the user's units, best ones held out from training, and y their labels. Read in this order:

    lettering     all text in figures, as it is
    drawing       figures without a window, and their PNG files
    grids         many examples in one picture
    rows          what goes in over what comes out
    bottleneck    codes as pictures
    maps          codes as points
    hover         codes as points that show their examples, as HTML
    generated     new codes, decoded
    walks         ways through the codes, decoded
    anomalous     what does not belong, and where
    weights       the first layer's filters
    curves        losses
    compared      several autoencoders: their reconstructions, their errors against what they cost
    rate          bits against what comes back
    restoring     errors and examples as the spoiling grows

Matplotlib loads when the first picture is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.plots.anomalous import anomalies, anomaly_scores
    from isthmus.plots.bottleneck import codes, feature_maps
    from isthmus.plots.curves import losses
    from isthmus.plots.generated import manifold, samples
    from isthmus.plots.maps import latent, tsne, umap
    from isthmus.plots.rate import rate_distortion
    from isthmus.plots.restoring import restorations, robustness
    from isthmus.plots.rows import completion, denoising, noise_levels, noisy, pca, reconstructions, sheet
    from isthmus.plots.walks import interpolation, neighbors, traversal
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
    "anomalous": ("anomalies", "anomaly_scores"),
    "bottleneck": ("codes", "feature_maps"),
    "curves": ("losses",),
    "generated": ("manifold", "samples"),
    "maps": ("latent", "tsne", "umap"),
    "rate": ("rate_distortion",),
    "restoring": ("restorations", "robustness"),
    "rows": ("completion", "denoising", "noise_levels", "noisy", "pca", "reconstructions", "sheet"),
    "walks": ("interpolation", "neighbors", "traversal"),
    "weights": ("filters",),
}


def __getattr__(name: str) -> Any:
    for module, kinds in _HOMES.items():
        if name in kinds:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"no picture '{name}' in {__name__} ({', '.join(__all__)})")
