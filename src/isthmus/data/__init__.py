"""Examples in: built-in data sets by name, the user's own files and folders, and the check of whatever `fit` is given.

Read in this order:

    labels.py     labels of any type, and what has none
    kinds.py      what axes mean: tables, images, windows
    dataset.py    Dataset: examples, labels, split, source and license
    refusals.py   sentences on what is no number, and where it stands
    containers.py the array within frames, tensors and lists
    examples.py   as_examples: arrays, tensors and data frames as one checked array
    channels.py   channels that come first are noticed
    frames.py     like: arrays back into data frames
    observed.py   ranges and sums where numbers are missing
    sentinels.py  one value again and again, far away: -999
    builtin.py    mnist (embedded), fashion_mnist, digits; a new data set is one function more
    download.py   files of public data sets: looked for on this machine, else fetched and checked
    parts.py      which part of a data set is meant
    reading.py    load and read: from a name or a path to the reader
    files.py      opening: regular files only, and no more bytes than promised
    idx.py        IDX, plain and gzipped
    arrays.py     .npy, memory-mapped, and .npz
    selecting.py  a data frame, some of its columns chosen
    workbooks.py  the parts of an Excel file, counted before they are parsed
    excel.py      a sheet of an Excel file as a table of text
    tables.py     .csv and .parquet
    holdings.py   what the columns of a table hold that cannot be learned
    images/       an image, or a folder of images
"""

from isthmus.data.builtin import *  # noqa: F403  (a data set's name is kept in one place, builtin.__all__)
from isthmus.data.builtin import __all__ as _builtin
from isthmus.data.dataset import Dataset
from isthmus.data.examples import Examples, as_examples
from isthmus.data.kinds import ImageArray
from isthmus.data.reading import load, names, read

__all__ = ["Dataset", "Examples", "ImageArray", "as_examples", "load", "names", "read", *_builtin]
