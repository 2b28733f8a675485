"""The mirrored pairs: an encoder and the decoder that runs the same way back.

base      the contract; initialization with an own generator; activation layers
mlp       dense layers: MLP
conv      convolutions over lines, pictures and volumes of any size: Conv
modules   the user's own two modules: Modules
"""

from isthmus.architectures.base import Architecture, Pair
from isthmus.architectures.conv import Conv
from isthmus.architectures.mlp import MLP
from isthmus.architectures.modules import Modules

__all__ = ["MLP", "Conv", "Modules"]

_CONTRACT = (Architecture, Pair)
