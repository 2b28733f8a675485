"""Trainings as experiments: the folder of a run, what is held out, several runs compared, their pages.

Read in this order:

    membership           what a run remembers of its examples
    splits               which examples are held out
    split_recovery       the same split again, in data that changed
    validation_set       which examples a training is watched by
    measured_figures     figures of an autoencoder and examples: measured, then drawn
    run_record           run.json: data source, recipe and command of a run
    run_folder           the folder of a run: reserved, written, opened
    run_data             the examples of a run, checked and split
    run_figures          which figures suit a run, and drawing them
    tensorboard          event files
    report/              the page of a run
    run_report           a trained run looked at: JSON, its page
    comparison_metrics   the metrics in comparison tables, and where they are comparable
    comparison_result    the result of a comparison: table, JSON, figures
    comparison           evaluates several autoencoders on the same examples
    model_selection      the elbow, the one-standard-error rule, the best
    trial                one training of a sweep
    sweep_result         what a sweep found: table, choice, figure
    parameter_sweep      a training for each value of a field
    detection            what a detector says of examples, written as a table and a figure
    classification       labels learned from a run, and those of other examples
    printed_bottleneck   a bottleneck of one tutorial that is not part of isthmus
    tutorials            the systems of five tutorials, with their published figures
    tutorial_metrics     the metrics that tutorials print
    reproduction         the tutorials trained and measured, with several random states
    reproduction_table   mean and standard deviation over the runs, compared with the published figures
"""
