"""Models behind the Open Inference Protocol: one contract for runs, which PyTorch computes, and for exported folders, which need none.

Read in this order:

    served_model   the contract of a model that is served: entries, inputs, outputs, held-out examples
    exported       an exported folder as a served model, by onnxruntime
    live           a run or a model file as a served model, by PyTorch
    opening        a path as a served model
    settings       the limits of a server
    request_error  what is wrong with a request
    batching       requests that are computed together
    entry_points   the names by which clients call models
    exact          conversions of numbers that tell which values they change
    tensors        tensors of the protocol as arrays, and back
    json_text      strangers' JSON as Python's values
    protocol       requests of the protocol as inputs of a model, and its outputs as answers
    tensor_schemas  JSON schemas of tensors
    openapi        the OpenAPI document of a server
    bodies         bodies of requests and answers: bounded, compressed, within a time
    app            the application that answers HTTP requests
    model_paths    names and changes of models in folders
    examples       held-out examples of a run
    repository     models from paths that are watched
    observing      what there is to tell of each request
    metrics        metrics in the form of Prometheus
    access_log     lines of JSON for requests and events
    refusing       short answers without the application
    tokens         who may ask
    connections    limits of connections
    running        a server that drains when it is stopped
    service        a server put together
"""

from isthmus.serving.opening import open_model
from isthmus.serving.served_model import ENTRIES, Checked, Entry, HeldOut, ServedModel

__all__ = ["ENTRIES", "Checked", "Entry", "HeldOut", "ServedModel", "open_model"]
