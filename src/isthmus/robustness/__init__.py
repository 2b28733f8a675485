"""How well an autoencoder restores as the spoiling grows, beside what needs no net.

Read in this order:

    spoiling     kinds of corruption and their levels
    baselines    doing nothing, the mean, filters, the best linear map
    levels       the errors of all of them at each level
"""

from isthmus.robustness.levels import AUTOENCODER, NOTHING, Restored, Robustness, robustness

__all__ = ["AUTOENCODER", "NOTHING", "Restored", "Robustness", "robustness"]
