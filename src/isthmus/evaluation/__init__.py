"""What an autoencoder learned, in figures: measured on held-out examples, each with its unit, and PCA of equal width beside it.

Read in this order:

    subspace      PCA of equal width, and which examples are drawn where not all are taken
    columns       the error in which every column counts equally
    comparing     examples and reconstructions: errors, nats, likeness of pictures
    codes         the health of the codes: what is used, and how much of it
    labels        what the codes know of labels that training never saw
    figures       Evaluation, and evaluate: everything about some examples
    advice        what to do about it, in words, by stated rules
    specificity   other data side by side with its own
"""

from isthmus.evaluation.advice import Advice
from isthmus.evaluation.codes import Codes
from isthmus.evaluation.comparing import likeness, no_likeness, span_of
from isthmus.evaluation.figures import Evaluation, checked, evaluate, shown
from isthmus.evaluation.labels import Labels
from isthmus.evaluation.specificity import Specificity
from isthmus.evaluation.subspace import PCA_ROWS, principal

__all__ = [
    "PCA_ROWS",
    "Advice",
    "Codes",
    "Evaluation",
    "Labels",
    "Specificity",
    "checked",
    "evaluate",
    "likeness",
    "no_likeness",
    "principal",
    "shown",
    "span_of",
]
