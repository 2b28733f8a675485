"""Examples as small files: codes in steps, entropy-coded; what that loses; and what others make of the same bits.

tables        how often each whole number occurs, in few bytes
coding        whole numbers <-> words of 32 bits, as few as their tables allow
files         the compressed file, read with suspicion
quantizers    codes <-> whole numbers: steps for each unit, or entries of a codebook
targets       how large the steps are: given, or found for a number of bits or for an error
compressed    examples -> file -> examples
rivals        what PNG, gzip, LZMA, JPEG and WebP make of the same examples
curve         rate against distortion

The coder comes from constriction: pip install 'isthmus[compress]'.
"""

from isthmus.compression.compressed import Compressed, compress, decompress, decompressing
from isthmus.compression.curve import Point, at_bits, at_psnr, rate_distortion
from isthmus.compression.rivals import lossless

__all__ = [
    "Compressed",
    "Point",
    "at_bits",
    "at_psnr",
    "compress",
    "decompress",
    "decompressing",
    "lossless",
    "rate_distortion",
]
