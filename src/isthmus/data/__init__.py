"""Examples in: built-in data sets by name, the user's own files and folders, and the check of whatever `fit` is given.

Read in this order:

    options         how examples are read, where their file does not say it
    labels          labels of any type, and what has none
    label_columns   labels and ids as columns of files hold them
    label_classes   classes of labels as text and back
    kinds           what axes mean: tables, images, windows
    locations       where a number stands: line and column of a file, row and column of an array
    dataset         Dataset: examples, labels, split, source and license
    non_numeric     sentences on what is no number, and where it stands
    memmap          rows of a memory map
    containers      the array within frames, tensors and lists
    validation      as_examples: arrays, tensors and data frames as one checked array
    channels        channels that come first are noticed
    output_frames   arrays back into what their examples came in
    missing         ranges and sums where values are missing
    statistics      what fit asks of all examples, gathered in one pass
    sentinels       one value again and again, far away: -999
    idx             IDX, plain and gzipped
    download        files of public data sets: looked for on this machine, else fetched and checked
    builtin         mnist (embedded), fashion_mnist, digits; a new data set is one function more
    parts           which part of a data set is meant
    tables/         text, Excel and Parquet files, and data frames
    arrays          .npy, memory-mapped, and .npz
    images/         an image, or a folder of images
    readers         load and read: from a name or a path to the reader
"""

from isthmus.data.builtin import *  # noqa: F403  (a data set's name is kept in one place, builtin.__all__)
from isthmus.data.builtin import __all__ as _builtin
from isthmus.data.dataset import Dataset
from isthmus.data.kinds import ImageArray
from isthmus.data.readers import load, names, read
from isthmus.data.validation import Examples, as_examples

__all__ = ["Dataset", "Examples", "ImageArray", "as_examples", "load", "names", "read", *_builtin]
