"""Which examples are anomalous, how sure that is, and which of their numbers are to blame.

Read in this order:

    densities    how likely codes and errors are
    causes       which numbers are to blame
    storing      a detector as a part of a model file
    detector     an estimator around an autoencoder, whose threshold keeps its false-alarm rate
"""

from isthmus.anomalies.causes import Cause
from isthmus.anomalies.detector import OutlierDetector

__all__ = ["Cause", "OutlierDetector"]
