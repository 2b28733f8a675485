"""Examples as small files: codes in steps, entropy-coded; what that loses; and what others make of the same bits.

Read in this order:

    frequency_tables        how often each whole number occurs, in few bytes
    entropy_coder           whole numbers <-> words of 32 bits, as few as their tables allow
    file_format             the compressed file, read with suspicion
    quantizers              codes <-> whole numbers: steps for each unit, or entries of a codebook
    rate_control            how large the steps are: given, or found for a number of bits or for an error
    codec                   examples -> file -> examples
    baseline_codecs         what PNG, gzip, LZMA, JPEG and WebP make of the same examples
    rate_distortion_curve   rate against distortion

The coder comes from constriction: pip install 'isthmus[compress]'.
"""

from isthmus.compression.baseline_codecs import lossless
from isthmus.compression.codec import Compressed, compress, decompress, decompressing
from isthmus.compression.rate_distortion_curve import Point, RateDistortion, at_bits, at_psnr, rate_distortion

__all__ = [
    "Compressed",
    "Point",
    "RateDistortion",
    "at_bits",
    "at_psnr",
    "compress",
    "decompress",
    "decompressing",
    "lossless",
    "rate_distortion",
]
