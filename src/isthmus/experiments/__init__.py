"""Runs: their folders, data splits, evaluation, comparison, sweeps and report pages.

Read in this order:

    membership           the record of training and held-out examples of a run
    held_out_rows        draws of held-out examples: by content, by class or by group
    split_by_content     which examples of data in blocks are held out: a hash decides
    splits               which examples are held out
    run_labels           labels of a data set as y of components that use it
    split_recovery       the split of a run, recovered in data that have changed
    trained_examples     which examples a run was trained on, and of which that is unknown
    validation_set       the examples of the validation loss
    measured_figures     figures that draw the result of a measurement
    run_record           run.json: data source, recipe and command of a run
    run_folder           the folder of a run: reserved, written, opened
    run_data             the examples of a run, checked and split
    run_figures          which figures suit a run, and drawing them
    tensorboard          event files
    report/              the page of a run
    run_report           the evaluation of a trained run, and its page
    card/                the model card of a run
    comparison_metrics   the metrics in comparison tables, and where they are comparable
    comparison_rows      rows of a comparison: models that differ in their random state alone are one
    comparison_result    the result of a comparison: table, JSON, figures
    comparison           evaluates several autoencoders on the same examples
    model_selection      choice of a value: elbow, one-standard-error rule, lowest error
    resumable            a training with checkpoints, continued by the same call after an interruption
    trial                one training of a sweep
    shared_examples      arrays in files that all processes of a sweep map into memory
    trial_workers        worker processes that train trials side by side
    ray_trials           the same with Ray
    side_by_side         the trials of a sweep, one after the other or side by side
    sweep_examples       the examples of a sweep, with their labels
    sweep_result         the result of a sweep: table, choice, figure
    sweep_folder         the files of a sweep
    parameter_sweep      a training for each value of a field
    image_units          the units of the images of a run
    whole_images         whole images of a run that was trained on patches
    detection            the result of anomaly detection, as a table and a figure
    new_values           categories and dates of a table that the training data did not have
    followed_series      the same of a series in a file that grows
    classification       classifiers fine-tuned from a run
    printed_bottleneck   a bottleneck of one tutorial that is not part of isthmus
    tutorials            the systems of five tutorials, with their published figures
    tutorial_metrics     the metrics that tutorials print
    reproduction         the tutorials trained and measured, with several random states
    reproduction_table   mean and standard deviation over the runs, compared with the published figures
"""
