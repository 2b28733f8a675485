"""Images in: one file, or a folder of them, looked through by headers, judged, and only then decoded.

Read in this order:

    formats       which endings and formats are read, and which images are of another kind
    folders       what lies in a folder: images, other files, links
    layout        what the names of folders mean: parts of a split, masks, classes
    cut           whether a file ends before its last page
    headers       what a file says before it is decoded, and whether that is in proportion
    twins         images of one name: a photograph and its mask
    pixels        one image as an array; what was rewritten is counted
    reading       from a path to a data set, with a sentence for all that was guessed or left out
"""

from isthmus.data.images.formats import ENDINGS, OTHER_KINDS
from isthmus.data.images.reading import read_images

__all__ = ["ENDINGS", "OTHER_KINDS", "read_images"]
