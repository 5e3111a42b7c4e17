"""One repository that an image is brought to. Order: credentials, blobs, manifests by digest, verification, tags."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.cloud import ecr
from seatrial.errors import SeatrialError
from seatrial.images import registry_manifests as manifests
from seatrial.images.registry_session import PUSH, authenticate, open_session
from seatrial.images.registry_sources import known, remember
from seatrial.images.registry_upload import CHUNK, Outcome, Sending, mount_or_send, present
from seatrial.images.registry_workers import ASKING, WORKERS, Cancelled, StoppableClock, each, eventually
from seatrial.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.clock import Clock
    from seatrial.images.layout import Descriptor
    from seatrial.images.pushing.content import Content
    from seatrial.images.reference import Reference
    from seatrial.images.registry_session import Session
    from seatrial.transport import Retry

POINTS = (
    "registry.push.authenticated",
    "registry.push.chunk",
    "registry.push.blob",
    "registry.push.blobs",
    "registry.push.manifest",
    "registry.push.verified",
    "registry.push.tag",
)
"""The named crash points of a push."""

_BROKEN = 500
_FRESH = 60.0  # seconds for which an answer about a blob is believed


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did. Sizes are in bytes: `pushed_bytes` went over the network, repeated ones included;
    `reused_bytes` were there already or mounted from a neighbour. `tags` now point to `digest`. `created`: the
    repository was made.
    """

    reference: str
    digest: str
    tags: tuple[str, ...]
    pushed_bytes: int
    reused_bytes: int
    blobs: tuple[Outcome, ...]
    seconds: float
    created: bool = False


class Settings(NamedTuple):
    """How images are pushed.

    `mount_from` are repositories of the same registry that may have blobs, besides those known from earlier. Tags in
    `fixed` are made but never moved. `create` is how a repository is made that the registry does not have (only
    Amazon's need that). `timeout` is the longest silence in seconds, `workers` how many blobs are sent at a time, to
    all registries together, `chunk` the size in bytes above which a blob goes in pieces.
    """

    insecure: bool = False
    mount_from: tuple[str, ...] = ()
    fixed: frozenset[str] = frozenset()
    create: ecr.NewRepository | None = None
    point: Callable[[str], None] = lambda _: None
    clock: Clock | None = None
    retry: Retry | None = None
    timeout: float = 60.0
    workers: int = WORKERS
    chunk: int = CHUNK


class Destination:
    """One repository being filled. Threads share it; its first failure ends its own transfers and nobody else's."""

    def __init__(self, reference: Reference, tags: tuple[str, ...], settings: Settings) -> None:
        self.reference = reference
        self.tags = tags
        self.expected = ""  # the digest of what is pushed, when it is known from the start
        self.before: dict[str, str | None] = {}  # where tags pointed when the push began
        self.bare = (
            False  # whether it was named without a tag, so that it is `latest` unless others are given
        )
        self.created = False
        self.settings = settings
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.error: BaseException | None = None
        self.settled: dict[str, tuple[Outcome, float]] = {}  # by digest, with the moment when it was known
        self.opened = ExitStack()
        self.session: Session
        self.started = 0.0
        self.neighbours: dict[str, list[str]] = {}

    def fail(self, error: BaseException) -> None:
        """Remember the first failure, and stop."""
        with self.lock:
            if self.error is None or isinstance(self.error, Cancelled):
                self.error = error
        self.stop.set()


def connect(destination: Destination) -> None:
    """Open the connection and say who we are, so that a wrong password costs no upload.

    Raises:
        TransportError: the registry cannot be reached, or does not let us in.
        SeatrialError: a tag that may not move points to another image.
    """
    settings = destination.settings
    session = destination.opened.enter_context(
        open_session(
            destination.reference,
            insecure=settings.insecure,
            clock=settings.clock,
            retry=settings.retry,
            timeout=settings.timeout,
        )
    )
    destination.session, destination.started = session, session.link.clock.now()
    session.link = session.link._replace(clock=StoppableClock(session.link.clock, destination.stop))
    if settings.create is not None:
        session.make_repository = _maker(destination, settings.create)
    authenticate(session, PUSH)
    if destination.expected:
        for tag in settings.fixed.intersection(destination.tags):
            ask_tag(destination, tag)
            _check_fixed(destination, tag, destination.expected)
    destination.neighbours = known(destination.reference.registry)
    settings.point("registry.push.authenticated")


def ask_tag(destination: Destination, tag: str) -> None:
    """Learn where a tag points, while blobs are on their way."""
    destination.before[tag] = manifests.tag_digest(destination.session, tag, actions=PUSH)


def ask(destination: Destination, blob: Descriptor) -> Outcome | None:
    """Whether the repository has `blob`; None when it must be mounted or sent."""
    _check_running(destination)
    try:
        there = present(destination.session, blob)
    except TransportError as error:
        # A registry whose disk was full may have half a note about a blob, and fails over it until it is sent again.
        if error.status != _BROKEN:
            raise
        there = False
    if not there:
        return None
    return _settle(destination, Outcome(digest=blob.digest, size=blob.size, how="present", sent=0))


def send(destination: Destination, blob: Descriptor, path: Path, lenders: Sequence[str]) -> Outcome:
    """Mount or send a blob that the repository does not have; `lenders` are its neighbours that certainly have it."""
    _check_running(destination)
    sending = Sending(
        destination.session, destination.stop, destination.settings.chunk, destination.settings.point
    )
    names = [*lenders, *destination.settings.mount_from, *destination.neighbours.get(blob.digest, ())]
    others = tuple(dict.fromkeys(name for name in names if name != destination.reference.repository))
    return _settle(destination, mount_or_send(sending, blob, path, others))


def seal(destination: Destination, content: Content, tags: tuple[str, ...]) -> Pushed:
    """Put the manifests, verify that everything is there, and point the tags to it, in their order.

    Raises:
        TransportError: the registry refuses, for example because a tag must not move.
        SeatrialError: what arrived is not what was sent.
    """
    session, point = destination.session, destination.settings.point
    point("registry.push.blobs")
    asked = [tag for tag in tags if tag not in destination.before]
    each(lambda tag: ask_tag(destination, tag), asked, destination.stop)
    for tag in tags:
        _check_fixed(destination, tag, content.root.digest)
    moved = [tag for tag in tags if destination.before[tag] != content.root.digest]
    _verify(destination, content, stored=len(moved) < len(tags))
    point("registry.push.verified")
    remember(destination.reference.registry, destination.reference.repository, content.digests)
    for tag in moved:
        was = destination.before[tag]
        manifests.put_tag(session, tag, content.bytes(content.root), content.root.media_type, before=was)
        point("registry.push.tag")
    each(lambda tag: manifests.check_tag(session, tag, content.root.digest), tags, destination.stop)
    outcomes = [destination.settled[digest][0] for digest in content.digests]
    return Pushed(
        reference=f"{destination.reference.name}@{content.root.digest}",
        digest=content.root.digest,
        tags=tags,
        created=destination.created,
        pushed_bytes=sum(outcome.sent for outcome, _ in destination.settled.values()),
        reused_bytes=sum(outcome.size for outcome in outcomes if outcome.how != "sent"),
        blobs=tuple(outcomes),
        seconds=round(session.link.clock.now() - destination.started, 3),
    )


def _verify(destination: Destination, content: Content, *, stored: bool) -> None:
    """Read every manifest back, stored without a tag unless it is, and ask for what was sent; what was asked for a
    moment ago is believed.
    """
    session, now = destination.session, destination.session.link.clock.now()

    def check_blob(blob: Descriptor) -> None:
        if not eventually(session.link, lambda: present(session, blob)):
            raise SeatrialError(
                f"blob {blob.digest} is not in the registry although it was pushed",
                where=session.reference.name,
                why="the registry lost it, or is cleaning up at this moment",
                fix="push again; no tag was moved",
            )

    def put(image: Descriptor) -> None:
        if stored:
            manifests.get_manifest(session, image.digest, actions=PUSH)
        else:
            manifests.put_manifest(session, content.bytes(image), image.media_type)
        destination.settings.point("registry.push.manifest")

    doubtful = [blob for blob in content.blobs if _doubtful(*destination.settled[blob.digest], now)]
    work = [partial(check_blob, blob) for blob in doubtful]
    for level in content.levels:  # what an index names is there before the index
        work += [partial(put, image) for image in level]
        each(lambda step: step(), work, destination.stop, ASKING)
        work = []


def _doubtful(outcome: Outcome, known_since: float, now: float) -> bool:
    return outcome.how != "present" or now - known_since > _FRESH


def _settle(destination: Destination, outcome: Outcome) -> Outcome:
    destination.settled[outcome.digest] = outcome, destination.session.link.clock.now()
    destination.settings.point("registry.push.blob")
    return outcome


def _check_running(destination: Destination) -> None:
    if destination.stop.is_set():
        raise Cancelled


def _check_fixed(destination: Destination, tag: str, digest: str) -> None:
    before = destination.before[tag]
    if tag not in destination.settings.fixed or before in (None, digest):
        return
    raise SeatrialError(
        f"{tag} is another image already",
        where=f"{destination.reference.name}:{tag}",
        why=f"it is {before}, this one is {digest}; a version is not given twice",
        fix="mark the released commit in git, so that the next version differs, or give another --bump; "
        "--replace moves the tag all the same",
    )


def _maker(destination: Destination, wanted: ecr.NewRepository) -> Callable[[Session], None]:
    """Makes Amazon's repositories, once however many blobs wait for it; others appear by being pushed to."""
    lock = threading.Lock()
    amazon = ecr.parse_host(destination.reference.registry)

    def make(_session: Session) -> None:
        with lock:
            if amazon is not None and not destination.created:
                ecr.create(amazon, destination.reference.repository, wanted)
                destination.created = True

    return make
