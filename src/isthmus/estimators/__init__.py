"""The estimators: `Autoencoder`, and `OutlierDetector` and `AutoencoderClassifier`, which wrap one.

Read in this order:

    support_check           the values that a likelihood accepts: their scaling, and checks
    fitted_units            the map between raw and model units, fitted to examples
    defaults                the components and settings that "auto" stands for
    training_defaults       precision, batch size, epochs and threads that "auto" stands for
    data_warnings           warnings about examples that may mean something else
    format_upgrades         converts headers of older formats
    model_notes             training history and column names as tensors
    named_records           records and parameters as JSON values
    model_file              the model file
    units_file              the map between raw and model units, in its model file
    context_file            the context of a conditional autoencoder in its model file
    table_file              how the columns of a table become features, in its model file
    training_data           the examples of a training run, and their hashes
    checkpoint              the state of an interrupted training
    memory_estimate         memory and work of a model, from the sizes of its layers
    overflow                checks for values that are too large to compute with
    shape_check             checks that examples have the shape and columns of the training data
    unit_check              a warning about examples in other units than the training data
    given                   what the methods that train are given, and selections of labels
    column_weights          weights of columns by name, as weights of the likelihood
    context                 the meaning of y for a conditional autoencoder
    importance              log-likelihoods by importance sampling
    inference               batches of rows through the model, bit-identical in any grouping
    tiles                   the reconstruction of an image or a series of any size, part by part
    latent_density          a density for sampling codes without a prior
    fitted_state            the fitted attributes, in one object
    plain_module            a fitted autoencoder as an ordinary module of PyTorch
    score_terms             weights of errors, and logarithms on a common scale
    neighbors               the distance to the nearest normal examples, alone and with error and tails
    ensemble_score          the distance with the error and that of PCA, for series
    squared_errors          squared errors of features
    outlier_scores          densities of codes and errors, and the anomaly scores
    conformal               ranks of thresholds and p-values from calibration scores
    export/                 ONNX files of autoencoders and detectors
    preparation             checked examples, resolved components and a model, before training
    saving                  writes a fitted autoencoder to a model file
    notebook_table          a fitted estimator as a table in a notebook
    base                    the methods of a fitted autoencoder
    autoencoder             Autoencoder: fit, encode, decode, reconstruct, sample, score, save
    table_columns           the columns of a table: names and kinds, and their values as users see them
    argument_check          checks the argument of functions that require an autoencoder, and gives examples their context
    wrapper                 reads and writes estimators that wrap an autoencoder
    attribution             the features that cause the anomaly score of an example
    outlier_detector_file   a detector in a model file
    outlier_detector        OutlierDetector
    image_detector_file     a detector of anomalous images in a model file
    image_detector          ImageOutlierDetector: anomalies in images of any size
    classifier_head         a linear classifier on codes, alone and with the encoder
    classifier_file         a classifier in a model file
    classifier              AutoencoderClassifier, finetune
    loading                 loads an autoencoder, a detector or a classifier
    overrides               sets parameters from field=value
"""

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.classifier import AutoencoderClassifier, finetune
from isthmus.estimators.loading import load
from isthmus.estimators.outlier_detector import OutlierDetector

__all__ = ["Autoencoder", "AutoencoderClassifier", "OutlierDetector", "finetune", "load"]
