"""The mirrored pairs: an encoder and the decoder that runs the same way back.

Read in this order:

    base       the contract; initialization with an own generator
    mlp        dense layers: MLP
    conv       convolutions over lines, pictures and volumes of any size: Conv
    tcn        causal, dilated convolutions over time: TCN
    recurrent  gated units over time: Recurrent
    attention  a small transformer over time: Attention
    modules    the user's own two modules: Modules
    wrapping   what architectures around another one have in common
    linear_skip  another architecture with a linear map beside it, which begins as PCA: LinearSkip
    conditional  another architecture that also receives labels or covariates: Conditional
"""

from isthmus.architectures.attention import Attention
from isthmus.architectures.base import Architecture as Architecture  # the contract, which no file names
from isthmus.architectures.base import Pair as Pair
from isthmus.architectures.base import ReceptiveField as ReceptiveField
from isthmus.architectures.base import initialize as initialize
from isthmus.architectures.conditional import Conditional
from isthmus.architectures.conv import Conv
from isthmus.architectures.linear_skip import LinearSkip
from isthmus.architectures.mlp import MLP
from isthmus.architectures.modules import Modules
from isthmus.architectures.recurrent import Recurrent
from isthmus.architectures.tcn import TCN

__all__ = ["MLP", "TCN", "Attention", "Conditional", "Conv", "LinearSkip", "Modules", "Recurrent"]
