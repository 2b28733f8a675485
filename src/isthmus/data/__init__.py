"""Data sets: built-in ones by name, and the user's files, folders and arrays, with validation of the examples.

Modules in reading order:

    options         the options for reading examples
    label_values    values of labels: missing ones, ones of equal meaning, text for messages
    labels          labels of any type, and missing labels
    label_columns   labels and IDs from the columns of files
    sample_weights  weights of examples
    groups          groups of examples that a split keeps together
    label_classes   conversion of classes to text and back
    kinds           the kind of data: table, images, series, windows
    locations       the location of a value: line and column of a file, row and column of an array
    dataset         Dataset: examples, labels, split, source and license
    non_numeric     errors about values that are not numeric
    lazy_rows       rows that become an ordinary array block by block
    block_cache     the blocks of rows that were read last
    block_selections  which rows of blocks are selected, and how they are converted
    blocks          BlockRows: rows in blocks that are read when they are needed
    array_likes     arrays of other libraries that stay in their files, such as those of h5py and Zarr
    sparse_rows     sparse matrices, which become dense block by block
    context_array   examples that carry the context of each row
    memmap          rows of a memory map, of a sparse matrix, or of images in their files
    containers      extraction of arrays from frames, tensors and lists
    object_arrays   arrays of Python objects as numbers
    validation      as_examples: validated examples from arrays, tensors and data frames
    channels        images with channels first
    output_frames   conversion of arrays back to the type of their examples
    missing         minima, maxima, sums and counts without missing values
    statistics      statistics that fit needs, in one pass over the examples
    sentinels       detection of values such as -999
    idx             IDX files, plain and gzipped
    download        files of public data sets: found on this machine, or downloaded and checked
    builtin         mnist (embedded), fashion_mnist, digits; a function for each data set
    parts           selection of parts of a data set
    tables/         text, Excel and Parquet files, and data frames
    series/         Windows: long series cut into windows
    annotated       AnnData objects and .h5ad files
    sparse_files    sparse matrices from .npz and Matrix Market files
    arrays          .npy files, memory-mapped, and .npz files
    images/         an image, or a folder of images
    sound/          recordings in WAV files, cut into windows
    folder_columns  columns in the names of folders
    result_files    Parquet files that a bulk command wrote
    file_sets       the files of a data set that is stored in many
    row_roles       columns of weights and of groups
    file_formats    the format of a file, and the options that apply to it
    pairs           targets of examples, matched by file name, by id or by row
    array_datasets  files of one array, or of images, as data sets
    npy_shards      .npy files that are parts of one array
    readers         load and read: the reader for a name or a path
    growing_series  a series in a text file that another program appends to
"""

from isthmus.data.array_likes import ArrayLikeRows
from isthmus.data.blocks import BlockRows
from isthmus.data.builtin import *  # noqa: F403  (builtin.__all__ is the only list of names)
from isthmus.data.builtin import __all__ as _builtin
from isthmus.data.dataset import Dataset
from isthmus.data.images import ImageFiles
from isthmus.data.kinds import ImageArray
from isthmus.data.readers import load, names, read
from isthmus.data.series.windows import Windows
from isthmus.data.sparse_rows import SparseRows
from isthmus.data.validation import Examples, as_examples

__all__ = [
    "ArrayLikeRows",
    "BlockRows",
    "Dataset",
    "Examples",
    "ImageArray",
    "ImageFiles",
    "SparseRows",
    "Windows",
    "as_examples",
    "load",
    "names",
    "read",
    *_builtin,
]
