"""Making what is attested of an image: bills of materials, provenance, and signed forms of both."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.attesting import cyclonedx, envelope, inventory, provenance, spdx
from seatrial.images.attesting.artifacts import PREDICATE_TYPE, Artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from seatrial.images.attesting.keys import PrivateKey
    from seatrial.images.layout import Image

Form = Literal["cyclonedx", "spdx", "provenance"]
FORMS: tuple[Form, ...] = ("cyclonedx", "spdx", "provenance")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is said of an image. `content` stands by itself, `predicate` is the same within a statement."""

    form: Form
    file: str
    media_type: str
    predicate_type: str
    content: bytes
    predicate: msgspec.Raw


class Sealed(NamedTuple):
    """An envelope that is there already: the statement in it, and the envelope."""

    payload: bytes
    content: bytes


def documents(
    layout: Path,
    image: Image,
    forms: Sequence[Form] = FORMS,
    *,
    full: bool = False,
    say: Callable[[str], None] = lambda _what: None,
) -> list[Document]:
    """What is said of the image, in the order of `forms`; of its provenance only if this machine made it.

    Raises:
        SeatrialError: a layer is damaged, hostile, or compressed in a way that is not known.
    """
    found = []
    if {"cyclonedx", "spdx"}.intersection(forms):
        taken, _, _ = inventory.take(layout, image, say=say)
    for form in dict.fromkeys(forms):
        if form == "cyclonedx":
            content = cyclonedx.document(taken, full=full)
            found.append(_document(form, "sbom.cdx.json", cyclonedx.MEDIA_TYPE, cyclonedx.PREDICATE, content))
        elif form == "spdx":
            content = spdx.document(taken, full=full)
            found.append(_document(form, "sbom.spdx.json", spdx.MEDIA_TYPE, spdx.PREDICATE, content))
        elif (said := provenance.predicate(image)) is not None:
            predicate = msgspec.json.encode(said)
            content = envelope.statement(
                image.digest, image.digest, provenance.PREDICATE, msgspec.Raw(predicate)
            )
            found.append(
                Document(
                    form=form,
                    file="provenance.json",
                    media_type=envelope.STATEMENT,
                    predicate_type=provenance.PREDICATE,
                    content=content,
                    predicate=msgspec.Raw(predicate),
                )
            )
    return found


def artifacts(
    said: Iterable[Document], image: Image, *, name: str, key: PrivateKey | None, there: Sequence[Sealed] = ()
) -> list[Artifact]:
    """Documents as artifacts to attach; with a key also each as a signed statement about the image called `name`.

    A statement that is in one of the envelopes `there` is not signed again: a signature may differ each time.

    Raises:
        SeatrialError: the key cannot sign.
        MissingToolError: openssl is missing.
    """
    found = []
    known = {one.payload: one.content for one in there}
    for one in said:
        if one.form != "provenance" or key is None:
            found.append(
                Artifact(kind=one.media_type, media_type=one.media_type, content=one.content, title=one.file,
                         annotations={PREDICATE_TYPE: one.predicate_type} if one.form == "provenance" else {})
            )  # fmt: skip
        if key is not None:
            payload = envelope.statement(
                image.digest, name or image.digest, one.predicate_type, one.predicate
            )
            sealed = known.get(payload) or envelope.seal(payload, key)
            found.append(
                Artifact(kind=envelope.MEDIA_TYPE, media_type=envelope.MEDIA_TYPE, content=sealed,
                         title=f"{one.form}.intoto.json", annotations={PREDICATE_TYPE: one.predicate_type})
            )  # fmt: skip
    return found


def sealed_by(contents: Iterable[bytes], key: PrivateKey) -> list[Sealed]:
    """The envelopes among documents that the key has signed.

    Raises:
        MissingToolError: openssl is missing.
    """
    found = []
    for content in contents:
        try:
            one = envelope.read(content)
            if any(each.keyid == key.public.identity for each in one.signatures) and envelope.signed_by(
                one, key.public
            ):
                found.append(Sealed(base64.b64decode(one.payload), content))
        except SeatrialError:
            continue  # of another tool, or damaged: ours is written beside it
    return found


def _document(form: Form, file: str, media_type: str, predicate_type: str, content: bytes) -> Document:
    return Document(
        form=form,
        file=file,
        media_type=media_type,
        predicate_type=predicate_type,
        content=content,
        predicate=msgspec.Raw(content.strip()),
    )
