"""Exported files: a trained autoencoder as ONNX files, which run without PyTorch and without this package.

Read in this order:

    ports         names and types of inputs and outputs
    table_ports   the columns of a table as features, and back, in the graph
    detector_module  the anomaly score of a detector, as a module of PyTorch
    parts         the functions that become files: encoder, decoder, reconstruct, impute, score, detect
    decompositions  operations in forms that do not overflow
    onnx_graph    a part as an ONNX model
    grouping      the rows that a graph needs at a time
    values        the values of inputs and outputs that examples mean
    verification  an exported file compared with the live model
    folder        the files of an export, written together or not at all
"""

from isthmus.estimators.export.folder import Exported, export

__all__ = ["Exported", "export"]
