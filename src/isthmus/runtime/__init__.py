"""Exported autoencoders without PyTorch: this package needs NumPy and onnxruntime only.

manifest  the description of an exported folder
columns   the columns of a table as inputs of a model, and back
model     encode, decode, reconstruct, impute, score and detect

>>> import isthmus.runtime
>>> model = isthmus.runtime.load("exported")
>>> codes = model.encode(X)
"""

from isthmus.runtime.model import Detection, ExportedModel, load

__all__ = ["Detection", "ExportedModel", "load"]
