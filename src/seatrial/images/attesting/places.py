"""Where attestations of an image are kept: in the folder it lies in, or in its repository."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images import layout as oci
from seatrial.images.assemble.store import scratch
from seatrial.images.attesting import artifacts, cosign, envelope, referrers, verifying
from seatrial.images.reference import parse
from seatrial.images.registry_session import PULL, PUSH, authenticate, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seatrial.images.attesting.artifacts import Artifact, Attached
    from seatrial.images.attesting.keys import PrivateKey, PublicKey
    from seatrial.images.attesting.verifying import Verdict
    from seatrial.images.layout import Descriptor
    from seatrial.images.registry_session import Session


_STATEMENTS = (envelope.MEDIA_TYPE, envelope.STATEMENT)


class Kept(NamedTuple):
    """An artifact and its documents, if it is a statement."""

    attached: Attached
    contents: tuple[bytes, ...]


class Place(NamedTuple):
    """A folder, or a session with a repository. `scratch` is an empty folder for blobs on their way."""

    layout: Path | None
    session: Session | None
    scratch: Path

    @property
    def name(self) -> str:
        """Registry and repository; empty for a folder."""
        return self.session.reference.name if self.session else ""


@contextmanager
def in_folder(layout: Path) -> Iterator[Place]:
    """The layout itself."""
    yield Place(layout, None, layout)


@contextmanager
def in_registry(reference: str, *, insecure: bool = False, writing: bool = False) -> Iterator[Place]:
    """The repository of a reference.

    Raises:
        UsageError: the reference is none.
        TransportError: the registry cannot be reached, or does not let us in.
    """
    with scratch() as folder, open_session(parse(reference), insecure=insecure) as session:
        authenticate(session, PUSH if writing else PULL)
        yield Place(None, session, folder)


def listed(place: Place, digest: str) -> list[Attached]:
    """What refers to the image with that digest.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: the list is damaged.
    """
    if place.session is not None:
        return referrers.listed(place.session, digest)
    assert place.layout is not None  # noqa: S101 - it is one or the other
    return artifacts.in_layout(place.layout, digest)


def kept(place: Place, digest: str) -> list[Kept]:
    """What refers to the image; statements, signed or not, with their documents.

    Of others only the name is known: people attach anything to images, also what is larger than they are.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: something of it is damaged.
    """
    return [
        Kept(one, _contents(place, one.digest) if one.kind in _STATEMENTS else ())
        for one in listed(place, digest)
    ]


def _contents(place: Place, digest: str) -> tuple[bytes, ...]:
    if place.session is not None:
        _, documents = referrers.documents(place.session, place.scratch, digest)
    else:
        assert place.layout is not None  # noqa: S101 - it is one or the other
        documents = artifacts.documents_in(place.layout, digest)
    return tuple(content for _, content in documents)


def attach(
    place: Place,
    subject: Descriptor,
    found: Sequence[Artifact],
    *,
    key: PrivateKey | None,
    also: Sequence[str] = (),
) -> list[Attached]:
    """Keep artifacts of the image; in a registry and with a key also what cosign looks for.

    `also` are digests that get a signature as well, such as that of the index which names the image.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: the list is changed by others all the time, or the key cannot sign.
    """
    if place.session is None:
        assert place.layout is not None  # noqa: S101 - it is one or the other
        return artifacts.attach_to_layout(place.layout, subject, found)
    made = referrers.attach(place.session, place.scratch, subject, found)
    if key is not None:
        sealed = [
            (one.annotations[artifacts.PREDICATE_TYPE], one.content)
            for one in found
            if one.kind == envelope.MEDIA_TYPE
        ]
        cosign.add_attestations(place.session, place.scratch, subject.digest, sealed)
        for digest in dict.fromkeys((subject.digest, *also)):
            cosign.sign(place.session, place.scratch, digest, key)
    return made


def verify(place: Place, digest: str, key: PublicKey) -> list[Verdict]:
    """What is attested of the image, and whether the key signed it.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: something of it is damaged.
        MissingToolError: openssl is missing.
    """
    verdicts = []
    for one in kept(place, digest):
        if one.attached.kind == envelope.MEDIA_TYPE:
            verdicts += [
                verifying.judge_envelope(content, one.attached.digest, digest, key)
                for content in one.contents
            ]
        else:
            verdicts.append(
                verifying.Verdict(about=one.attached.kind, state="unsigned", digest=one.attached.digest)
            )
    if place.session is not None:
        found = cosign.signatures(place.session, place.scratch, digest, key)
        verdicts += verifying.judge_signatures(found, digest, place.name)
    return verdicts


def carry_along(layout: Path, reference: str, *, insecure: bool = False) -> int:
    """Bring what a folder keeps of its images to the repository they were pushed to; the number of artifacts.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: something of it is damaged.
    """
    kept = {one.digest: artifacts.again(layout, one.digest) for one in oci.list_images(layout)}
    if not any(kept.values()):
        return 0
    with in_registry(reference, insecure=insecure, writing=True) as place:
        assert place.session is not None  # noqa: S101 - it is a registry
        for digest, found in kept.items():
            if found:
                referrers.attach_written(place.session, layout, digest, found)
    return sum(map(len, kept.values()))
