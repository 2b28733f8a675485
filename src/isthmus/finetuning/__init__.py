"""Labels learned from codes: few go a long way where many examples have none.

Read in this order:

    head          a linear softmax on codes, alone and joined to the encoder
    classifier    the scikit-learn face of both
"""

from isthmus.finetuning.classifier import Classifier, finetune
from isthmus.finetuning.head import Head, Net

__all__ = ["Classifier", "Head", "Net", "finetune"]
