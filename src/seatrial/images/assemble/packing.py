"""The one place that compresses what goes into a layer, so that its bytes are the same wherever it is made.

Most of a layer is not compressed here at all but taken over from wheels. Source: ISA-L's dispatch by processor;
its levels 0 to 2 give the same bytes on every x86-64 processor with SSE 4.2, level 3 does not.
"""

from __future__ import annotations

LEVEL = 1


def pack(data: bytes) -> bytes:
    """A whole raw deflate stream of `data`."""
    from isal import isal_zlib

    packed: bytes = isal_zlib.compress(data, LEVEL, -15)
    return packed
