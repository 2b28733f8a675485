"""Kernels in C, which make training faster. They are optional: without them PyTorch does the same work.

Read in this order:

    build              compiles the kernels, when isthmus is installed
    agreement          whether kernels compute what PyTorch does
    library            loads the kernels and calls them with tensors
    net                dense layers in training, in memory that every step uses again
"""

from isthmus.native.library import Kernels, load, name
from isthmus.native.net import Net

__all__ = ["Kernels", "Net", "load", "name"]
