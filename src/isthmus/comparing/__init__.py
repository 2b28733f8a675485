"""Which of several to take: autoencoders measured on the same examples, their figures side by side.

Read in this order:

    columns       which figures stand in columns, and when one is better than another
    comparison    several autoencoders on the same examples: table, differences, verdict, pictures
"""

from isthmus.comparing.columns import COLUMNS, Column, text_of
from isthmus.comparing.comparison import Comparison, compare, write

__all__ = ["COLUMNS", "Column", "Comparison", "compare", "text_of", "write"]
