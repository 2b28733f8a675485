"""Corruptions of the encoder's input. The target of the reconstruction stays clean.

A corruption acts in model units (see `scaling`; images are in [0, 1]). It keeps the shape and draws from the given generator.
With ``fixed=True`` each example is corrupted in the same way in every epoch, as if a corrupted copy of the data were stored.
``GaussianNoise(0.1) >> Masking(0.2)`` applies one after the other. Read in this order:

    base          the contract, no corruption, and chains
    noise         values that change independently: GaussianNoise, Masking, SaltAndPepper
    occlusion     a hidden region: Occlusion
    marking       the loss counts the changed values only: Patches, BlindSpots
"""

from isthmus.corruptions.base import Clean, CorruptionChain
from isthmus.corruptions.base import Corrupted as Corrupted  # the contract: no model file names it
from isthmus.corruptions.base import Corruption as Corruption
from isthmus.corruptions.base import Level as Level
from isthmus.corruptions.marking import BlindSpots, Patches
from isthmus.corruptions.noise import GaussianNoise, Masking, SaltAndPepper
from isthmus.corruptions.occlusion import Occlusion

__all__ = [
    "BlindSpots",
    "Clean",
    "CorruptionChain",
    "GaussianNoise",
    "Masking",
    "Occlusion",
    "Patches",
    "SaltAndPepper",
]
