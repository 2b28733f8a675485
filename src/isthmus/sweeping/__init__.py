"""A training for each value of a field; which to take is chosen by examples held out of the training ones.

Read in this order:

    selecting    the elbow, the one-standard-error rule, the best
    trials       one training of a sweep, in a folder or in memory
    found        what a sweep found: table, choice, picture
    trainings    all of them, one after the other, and what is kept of them
"""

from isthmus.sweeping.found import SIZE, Sweep
from isthmus.sweeping.trainings import MOST, sweep

__all__ = ["MOST", "SIZE", "Sweep", "sweep"]
