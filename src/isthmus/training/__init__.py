"""The engine: a generator of reports over steps over batches.

Read in this order:

    rng               a stream of random numbers for each purpose and step
    config            how to train: everything that a round is told
    batches           where training takes examples from, and in which order
    corrupted_input   what the encoder sees
    state             where training stands, and what it reports of that
    cuda_graph        a step recorded once and replayed
    step              one step of training
    early_stopping    the weights of the least validation loss
    divergence        back to where the epoch began, and on with smaller steps
    contention        whether other programs take the processor from a training
    loop              the engine, a generator of reports
    layerwise         layer by layer, from the example inwards
    progress          what a person sees meanwhile
"""
