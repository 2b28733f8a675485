"""Building blocks of components.

Read in this order:

    activations        activation functions by name
    variables          learned tensors and running state of a component
    invariant          products and convolutions whose bits do not depend on the position in the batch
    invariant_layers   PyTorch's layers built from these
    dense_stack        dense layers one after the other, which native kernels train
    layers             further layers
    conv_stack         convolutional layers one after the other, likewise
    plain              PyTorch's own layers in place of these
    places             places of values in sorted columns, as exported graphs can hold it
    log_gamma          the logarithm of the gamma function, likewise
    principal          principal components
    least_squares      least squares with weights, and with values that do not count
    blocks             rows of numbers and blocks of categories
    device             devices and precisions
    module_rng         random numbers of user modules from a stream of ours
    processes          processes that train one model together: own rows of a batch, and the whole batch
"""
