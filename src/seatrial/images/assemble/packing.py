"""The one place that compresses what goes into a layer, so that its bytes are the same wherever it is made.

Most of a layer is not compressed here at all but taken over from wheels. ISA-L chooses its code by processor: levels
0 to 2 give the same bytes on every x86-64 processor with SSE 4.2 (measured from Nehalem to AVX-512), level 3 does
not. On ARM the compressed bytes, and so the digest of the blob, are others; the diff_id is the same.
"""

from __future__ import annotations

LEVEL = 1


def pack(data: bytes) -> bytes:
    """A whole raw deflate stream of `data`."""
    from isal import isal_zlib

    packed: bytes = isal_zlib.compress(data, LEVEL, -15)
    return packed
