"""Statements about an image, and the envelope in which they are signed.

Sources: in-toto Attestation Framework, "Statement v1"; secure-systems-lab/dsse, "protocol.md" and "envelope.md".
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.attesting import keys

if TYPE_CHECKING:
    from seatrial.images.attesting.keys import PrivateKey, PublicKey

MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"
STATEMENT = "application/vnd.in-toto+json"
_TYPE = "https://in-toto.io/Statement/v1"


class Signature(msgspec.Struct, frozen=True):
    """One signature, in base64; `keyid` is a hint only."""

    sig: str
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """What is signed, in base64, of which type, and by whom."""

    payload: str
    payload_type: str
    signatures: tuple[Signature, ...]


def statement(digest: str, name: str, predicate_type: str, predicate: Any) -> bytes:
    """`predicate` said of the image with that digest; the same input gives the same bytes."""
    return msgspec.json.encode(
        {
            "_type": _TYPE,
            "subject": [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def seal(payload: bytes, key: PrivateKey, payload_type: str = STATEMENT) -> bytes:
    """Sign a statement and put it into an envelope.

    Raises:
        SeatrialError: the key cannot sign.
        MissingToolError: openssl is missing.
    """
    signature = keys.sign(key, encoded(payload_type, payload))
    return msgspec.json.encode(
        Envelope(
            payload=base64.b64encode(payload).decode(),
            payload_type=payload_type,
            signatures=(Signature(base64.b64encode(signature).decode(), key.public.identity),),
        )
    )


def read(content: bytes) -> Envelope:
    """Decode an envelope.

    Raises:
        SeatrialError: it is none.
    """
    try:
        return msgspec.json.decode(content, type=Envelope)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SeatrialError(f"this is no signed envelope: {error}") from error


def payload_of(envelope: Envelope) -> bytes:
    """What is in the envelope, whoever signed it.

    Raises:
        SeatrialError: it is not base64.
    """
    try:
        return base64.b64decode(envelope.payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SeatrialError("the envelope's payload is not base64") from error


def signed_by(envelope: Envelope, key: PublicKey) -> bool:
    """Whether one of the signatures is the key's.

    Raises:
        SeatrialError: the payload is not base64.
        MissingToolError: openssl is missing.
    """
    message = encoded(envelope.payload_type, payload_of(envelope))
    for one in envelope.signatures:
        try:
            signature = base64.b64decode(one.sig, validate=True)
        except (binascii.Error, ValueError):
            continue
        if keys.verify(key, message, signature):
            return True
    return False


def encoded(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
