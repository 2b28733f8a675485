"""Kernels in C, which make training faster. They are optional: without them PyTorch does the same work.

Read in this order:

    build              compiles the kernels, when isthmus is installed
    library            calls the kernels with tensors
    convolutions       calls those of convolutional nets
    net                dense layers in training, in memory that every step uses again
    agreement          whether kernels compute what PyTorch does
    loading            loads those of this processor
"""

from isthmus.native.library import Kernels
from isthmus.native.loading import load, name
from isthmus.native.net import Net

__all__ = ["Kernels", "Net", "load", "name"]
