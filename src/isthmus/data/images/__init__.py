"""Readers of images, from one file or a folder. All headers are checked before any image is decoded.

Read in this order:

    formats       supported and unsupported file name extensions and formats
    folders       the images, other files and links in a folder
    layout        the meaning of folder names: parts of a split, masks, classes
    tiff_tags     the tags of the pages of a TIFF file
    cut           detection of truncated files with several pages
    orientation   the EXIF orientation
    resizing      one size for images of any size: stretched, with a border, or cut off
    header_fields  what the header of an image says, and the kinds of pixels
    limits        limits of the size of a file and an image, and damage that names the file
    samples       TIFF pages with any number of channels, or with floating-point numbers
    headers       the headers of the pages of a file
    twins         images of the same name: a photograph and its mask
    patches       patches of images, as examples
    notes         notes on skipped, misnamed and truncated files and on pages
    pixels        one image as an array; conversions are counted
    single        one image of any size, and writing one
    whole         whole images of a folder, and the masks of their anomalies
    decoding      the files of a data set, and decoding their pages
    common_shape  one shape and one kind of pixels for all images
    decoder       examples by their numbers, with a bounded number of decoded images in memory
    image_files   ImageFiles: images that stay in their files and are decoded when they are read
    streaming     whether images are decoded once or stay in their files
    reading       from a path to a data set, with notes on all guesses, conversions and ignored files
"""

from isthmus.data.images.formats import ENDINGS, OTHER_KINDS
from isthmus.data.images.image_files import ImageFiles
from isthmus.data.images.reading import read_images

__all__ = ["ENDINGS", "OTHER_KINDS", "ImageFiles", "read_images"]
