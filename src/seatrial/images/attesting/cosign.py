"""Signatures in cosign's form, beside the image under the tag `sha256-HEX.sig`; signed statements under `.att`.

Sources: sigstore/cosign, specs/SIGNATURE_SPEC.md and specs/ATTESTATION_SPEC.md; containers/image, "signature formats".
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.attesting import envelope, keys, referrers
from seatrial.images.registry_manifests import get_manifest, tag_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.attesting.keys import PrivateKey, PublicKey
    from seatrial.images.layout import Descriptor
    from seatrial.images.registry_session import Session

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
SIGNATURES, ATTESTATIONS = ".sig", ".att"
_TYPE = "cosign container image signature"


class Signed(NamedTuple):
    """A signature that lies beside an image: which digest and repository it is about, and whether the key made it."""

    digest: str
    reference: str
    valid: bool


def payload(reference: str, digest: str) -> bytes:
    """What is signed: that this repository has the manifest with this digest."""
    return msgspec.json.encode(
        {
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": digest},
                "type": _TYPE,
            },
            "optional": None,
        }
    )


def sign(session: Session, scratch: Path, digest: str, key: PrivateKey) -> bool:
    """Put the key's signature beside the image, unless it is there; whether it was not.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: the key cannot sign, or others change the tag all the time.
        MissingToolError: openssl is missing.
    """
    known = signatures(session, scratch, digest, key.public)
    if any(one.valid and one.digest == digest and one.reference == session.reference.name for one in known):
        return False
    content = payload(session.reference.name, digest)
    said = base64.b64encode(keys.sign(key, content)).decode()
    layer = oci.add_blob(_ready(scratch), content, PAYLOAD, annotations={SIGNATURE: said})
    _add(session, scratch, referrers.tag_of(digest, SIGNATURES), [layer])
    return True


def add_attestations(
    session: Session, scratch: Path, digest: str, envelopes: Sequence[tuple[str, bytes]]
) -> None:
    """Put envelopes, each with its predicate type, where `cosign verify-attestation` looks for them.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: others change the tag all the time.
    """
    layers = [
        oci.add_blob(
            _ready(scratch), content, envelope.MEDIA_TYPE, annotations={SIGNATURE: "", "predicateType": kind}
        )
        for kind, content in envelopes
    ]
    if layers:
        _add(session, scratch, referrers.tag_of(digest, ATTESTATIONS), layers)


def signatures(session: Session, scratch: Path, digest: str, key: PublicKey) -> list[Signed]:
    """Every signature beside the image, and whether the key made it. What cannot be read is not valid.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        MissingToolError: openssl is missing.
    """
    tag = referrers.tag_of(digest, SIGNATURES)
    named = tag_digest(session, tag)
    if named is None:
        return []
    found = []
    _, documents = referrers.documents(session, scratch, named)
    for layer, content in documents:
        if layer.media_type == PAYLOAD:
            found.append(_read(layer, content, key))
    return found


def count(session: Session, digest: str) -> int:
    """How many signatures lie beside the image, whoever made them.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: what lies there is damaged.
    """
    named = tag_digest(session, referrers.tag_of(digest, SIGNATURES))
    if named is None:
        return 0
    fetched = get_manifest(session, named)
    try:
        return len(msgspec.json.decode(fetched.content)["layers"])
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise SeatrialError("the signatures are damaged", where=session.reference.name) from error


def _read(layer: Descriptor, content: bytes, key: PublicKey) -> Signed:
    try:
        critical = msgspec.json.decode(content)["critical"]
        digest = str(critical["image"]["docker-manifest-digest"])
        reference = str(critical["identity"]["docker-reference"])
        signature = base64.b64decode(layer.annotations.get(SIGNATURE, ""), validate=True)
    except (msgspec.MsgspecError, KeyError, TypeError, binascii.Error, ValueError):
        return Signed("", "", valid=False)
    return Signed(digest, reference, critical.get("type") == _TYPE and keys.verify(key, content, signature))


def _add(session: Session, scratch: Path, tag: str, layers: Sequence[Descriptor]) -> None:
    """Add layers to the manifest that the tag names; the others' stay as they are."""
    referrers.send_blobs(session, scratch, layers)

    def merged(before: bytes | None) -> bytes:
        try:
            found: dict[str, Any] = {} if before is None else msgspec.json.decode(before)
            there = list(found.get("layers") or ())
            known = {(one["digest"], (one.get("annotations") or {}).get(SIGNATURE, "")) for one in there}
        except (msgspec.MsgspecError, AttributeError, KeyError, TypeError) as error:
            raise SeatrialError(f"the manifest of {tag} is damaged", where=session.reference.name) from error
        new = [one for one in layers if (one.digest, one.annotations.get(SIGNATURE, "")) not in known]
        if before is not None and not new:
            return before
        whole = [*there, *msgspec.to_builtins(new)]
        config = oci.add_blob(_ready(scratch), _config([one["digest"] for one in whole]), oci.CONFIG)
        referrers.send_blobs(session, scratch, [config])
        return oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": whole})

    referrers.merge_tag(session, tag, merged, oci.MANIFEST)


def _config(digests: Sequence[str]) -> bytes:
    """The configuration of an image that nobody runs; registries and tools that look for one find it."""
    return oci.encode(
        {
            "architecture": "",
            "config": {},
            "created": "0001-01-01T00:00:00Z",
            "history": [{"created": "0001-01-01T00:00:00Z"} for _ in digests],
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": list(digests)},
        }
    )


def _ready(scratch: Path) -> Path:
    (scratch / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    return scratch
