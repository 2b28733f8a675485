"""Kernels in C, which make training faster. They are optional: without them PyTorch does the same work.

Read in this order:

    build              compiles the kernels, when isthmus is installed
    library            loads the kernels and calls them with tensors
"""

from isthmus.native.library import Kernels, load, name

__all__ = ["Kernels", "load", "name"]
