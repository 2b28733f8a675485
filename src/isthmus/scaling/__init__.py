"""Raw units <-> model units: a map for each value of an example, fitted on the training data and saved with the model.

model units = (raw - shift) / scale, or a monotone curve of each feature

A density in raw units is the density in model units times the derivative of the map: `Model.nll` adds log(scale), or minus the logarithm
of the curve's slope, for each value. A constant feature has no spread: its scale is 1, which adds nothing, or the size of the rounding
error if the constant is very large. A scaling may also turn a feature with categories into a block of 0 and 1. Read in this order:

    curves        monotone curves, one for each feature
    curve_choice  which curve suits a feature
    base          the contract
    affine        one affine map for each value: NoScaling, UInt8, MinMax, Standard
    skewed        curves for skewed numbers: Logarithm, Quantile, PerColumn
    columns       tables with categories: Columns
    choice        the scaling that suits some data
"""

from isthmus.scaling.affine import MinMax, NoScaling, Standard, UInt8
from isthmus.scaling.base import Affine as Affine  # the contract, which no model file names
from isthmus.scaling.base import Extent as Extent
from isthmus.scaling.base import Scaling as Scaling
from isthmus.scaling.base import axes_of as axes_of
from isthmus.scaling.base import extent as extent
from isthmus.scaling.base import fit_affine as fit_affine
from isthmus.scaling.choice import Range as Range
from isthmus.scaling.choice import choose as choose
from isthmus.scaling.choice import range_of as range_of
from isthmus.scaling.choice import shared_by as shared_by
from isthmus.scaling.choice import wide_enough as wide_enough
from isthmus.scaling.choice import within as within
from isthmus.scaling.columns import Columns
from isthmus.scaling.curves import Curves as Curves
from isthmus.scaling.curves import some_rows as some_rows
from isthmus.scaling.skewed import Logarithm, PerColumn, Quantile

__all__ = ["Columns", "Logarithm", "MinMax", "NoScaling", "PerColumn", "Quantile", "Standard", "UInt8"]
