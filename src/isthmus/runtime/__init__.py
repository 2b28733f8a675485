"""Exported autoencoders without PyTorch: this package needs NumPy and onnxruntime only.

Read in this order:

    manifest  the description of an exported folder
    columns   the columns of a table as inputs of a model, and back
    inputs    the inputs of a part, checked
    model     load, encode, decode, reconstruct, impute, score and detect
"""

from isthmus.runtime.model import Detection, ExportedModel, load

__all__ = ["Detection", "ExportedModel", "load"]
