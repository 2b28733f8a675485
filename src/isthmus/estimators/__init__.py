"""The estimators: an autoencoder, and what is built around a fitted one.

Read in this order:

    defaults                what "auto" means: choices made from the data
    format_upgrades         headers of older formats as those of the newest
    model_notes             history and names of columns as tensors
    model_file              the model file
    checkpoint              what training resumes from, as a part of a model file
    memory_estimate         how much memory and work a model takes, from the sizes of its layers
    overflow                checks for values that are too large to compute with
    shape_check             whether examples have the shape and the columns that were fitted
    unit_check              whether examples are in the units that were fitted
    inference               rows through the model, the same bits in any grouping
    latent_density          a density for codes that have no prior
    fitted_state            the fitted attributes, replaced as a whole
    preparation             what a training begins with: examples, checked and measured, and a model
    saving                  a fitted autoencoder as a model file
    notebook_table          a fitted estimator as a table in a notebook
    base                    what a fitted autoencoder does
    autoencoder             Autoencoder: fit, encode, decode, reconstruct, sample, score, save
    argument_check          what is given where an autoencoder is wanted
    wrapper                 estimators around an autoencoder, in its file
    outlier_scores          how likely codes and errors are
    attribution             which features raise the score of an example
    outlier_detector_file   a detector as a part of a model file
    outlier_detector        OutlierDetector
    classifier_head         a linear softmax on codes, alone and joined to the encoder
    classifier_file         a classifier as a part of a model file
    classifier              AutoencoderClassifier, finetune
    loading                 from a model file to an autoencoder, a detector or a classifier
    overrides               field=value onto an estimator
"""

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.classifier import AutoencoderClassifier, finetune
from isthmus.estimators.loading import load
from isthmus.estimators.outlier_detector import OutlierDetector

__all__ = ["Autoencoder", "AutoencoderClassifier", "OutlierDetector", "finetune", "load"]
