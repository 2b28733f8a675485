"""Lossy compression of examples: quantized, entropy-coded codes in a file, compared with other codecs.

Read in this order:

    frequency_tables        frequencies of integers, in few bytes
    entropy_coder           integers <-> 32-bit words
    file_format             the compressed file: writing, and reading with checks
    quantizers              codes <-> integers: a step for each channel, or codebook indices
    rate_control            the size of steps: given, or found for a number of bits or an error
    compression_result      sizes and errors of compressed examples
    codec                   examples -> file -> examples
    baseline_codecs         sizes of the same examples with PNG, gzip, LZMA, JPEG and WebP
    rate_distortion_curve   rate-distortion curves

The coder comes from constriction: pip install 'isthmus[compress]'.
"""

from isthmus.compression.baseline_codecs import lossless
from isthmus.compression.codec import compress, decompress, decompressing
from isthmus.compression.compression_result import Compressed
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
