"""What components are made of.

Read in this order:

    activations        activation functions by name
    variables          learned tensors and running state of a component
    invariant          products and convolutions: the same bits wherever in a batch an example stands
    invariant_layers   PyTorch's layers, made of these
    layers             layers that PyTorch lacks
    device             where to compute, in which precision
    module_rng         what own modules draw comes from a stream of ours
"""
