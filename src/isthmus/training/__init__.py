"""The training loop: a generator that yields reports.

Read in this order:

    rng               random number streams, one per purpose and step
    config            the settings of a training run
    order             the order of the examples of an epoch, in pieces
    batches           sources of examples
    epochs            the order of batches
    window_source     windows of a series as such a source
    file_source       images in their files as such a source, decoded in the background
    block_source      rows in blocks as such a source, read in windows of several blocks
    shared_reading    images that several processes decode together
    encoder_input     augmented examples and the corrupted input of the encoder
    start             weights that training takes from examples before its first step
    state             the state of a training run, and its reports
    joining           the processes of one training: joining them, and what they must have in common
    cuda_graph        a training step as a CUDA graph
    step              one training step
    early_stopping    validation loss, patience and best weights
    divergence        return to the start of the epoch with a smaller learning rate
    contention        a warning when other programs use the processor
    loop              the training loop
    layerwise         greedy layer-wise pretraining
    progress          the progress bar
"""
