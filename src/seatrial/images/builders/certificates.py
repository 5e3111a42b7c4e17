"""Which certificates of a bundle are this machine's own, and not those that every system ships."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PEM = re.compile(rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END")
# Where distributions keep the public ones, apart from those that an administrator added.
_PUBLIC = ("/usr/share/ca-certificates", "/usr/share/pki/ca-trust-source")
_WIDTH = 60


def private_marks(bundle: Path) -> list[bytes]:
    """A stretch of each certificate that is in the bundle and not public: by it a copy is found, in text or binary."""
    own = _certificates(bundle.read_bytes()) - _public()
    return [mark for body in sorted(own) for mark in _marks(body)]


def _marks(body: bytes) -> Iterable[bytes]:
    """As text without line breaks a stretch within one line is found; as DER the bytes themselves."""
    import base64
    import binascii

    # From the fourth line on: what comes first is alike in certificates of one issuer.
    yield body[64 * 3 : 64 * 3 + _WIDTH]
    try:
        yield base64.b64decode(body)[150 : 150 + _WIDTH]
    except binascii.Error:
        return


def _public() -> set[bytes]:
    found: set[bytes] = set()
    try:
        import certifi

        found |= _certificates(Path(certifi.where()).read_bytes())
    except (ImportError, OSError):
        pass
    for folder in _PUBLIC:
        for path in Path(folder).rglob("*"):
            if path.suffix in (".crt", ".pem") and path.is_file():
                found |= _certificates(path.read_bytes())
    return found


def _certificates(content: bytes) -> set[bytes]:
    return {b"".join(match[1].split()) for match in _PEM.finditer(content)}
