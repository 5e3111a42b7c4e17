"""Uploads that run in the background, to several registries at once, while layers are still being made.

Of each registry the first repository gets a blob, the others mount it from there. All registries share the workers;
one that fails does not stop the others.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

from seatrial.errors import SeatrialError, from_os
from seatrial.images import layout as layouts
from seatrial.images.pushing import destination as destinations
from seatrial.images.pushing.content import Content, read_content
from seatrial.images.pushing.destination import Destination, Pushed, Settings
from seatrial.images.reference import Reference, check_tag, parse
from seatrial.images.registry_workers import ASKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.images.layout import Descriptor


class Result(NamedTuple):
    """What became of one repository: either `pushed` or `error` is there."""

    reference: str
    pushed: Pushed | None
    error: SeatrialError | None


class _Blob(NamedTuple):
    descriptor: Descriptor
    path: Path


class _Flow:
    """The blobs on their way to one destination; those that came before it was connected wait."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.connected = False
        self.waiting: list[tuple[_Blob, tuple[str, ...]]] = []
        self.left = 1  # the connection itself
        self.after: _Flow | None = None  # the next repository of the same registry


class Uploads:
    """Brings blobs to every reference as they are offered. Use it as a context manager, so that its threads end.

    `expected` is the digest of the image when it is known already: then a version tag that may not move is looked at
    before anything is sent.

    Raises:
        UsageError: a reference or tag is not one.
    """

    def __init__(
        self,
        references: Sequence[str],
        *,
        tags: Sequence[str] = (),
        settings: Settings | None = None,
        expected: str = "",
    ) -> None:
        self.settings = settings or Settings()
        self._references = [parse(reference) for reference in references]
        self._tags = tuple(check_tag(tag) for tag in tags)
        self._flows = [
            _Flow(Destination(where, names, self.settings))
            for where, names in tags_of_each(self._references, self._tags).items()
        ]
        for flow in self._flows:
            flow.destination.expected = expected
            flow.destination.bare = any(
                flow.destination.reference == Reference(one.registry, one.repository)
                for one in self._references
                if not one.tag and not one.digest
            )
        self._heads = _chained(self._flows)
        self._offered: set[str] = set()
        self._queue: list[tuple[int, int, _Flow, _Blob, tuple[str, ...]]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._asking = ThreadPoolExecutor(ASKING, thread_name_prefix="registry-ask")
        self._sending = ThreadPoolExecutor(self.settings.workers, thread_name_prefix="registry-send")

    def __enter__(self) -> Self:
        for flow in self._flows:
            self._asking.submit(self._connect, flow)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        for pool in (self._asking, self._sending):
            pool.shutdown(wait=True, cancel_futures=True)
        for flow in self._flows:
            flow.destination.opened.close()

    def ready(self) -> None:
        """Wait until it is known whether every registry lets us in.

        Raises:
            SeatrialError: none of them does; what the first one says.
        """
        with self._changed:
            self._changed.wait_for(lambda: all(flow.connected for flow in self._flows))
        self._raise_if_hopeless()

    def offer(self, descriptor: Descriptor, path: Path) -> None:
        """Begin to bring a blob, whose content is the file `path`, which stays as it is until `finish`.

        Offering it again does nothing. Returns at once.

        Raises:
            SeatrialError: no registry takes anything any more; what the first one says.
        """
        self._raise_if_hopeless()
        if descriptor.digest in self._offered:
            return
        self._offered.add(descriptor.digest)
        with self._changed:
            for flow in self._flows:
                flow.left += 1
        for flow in self._heads:
            self._start(flow, _Blob(descriptor, path), ())

    def finish(self, layout: Path, *, tags: Sequence[str] = (), platform: str | None = None) -> list[Result]:
        """Bring what of the layout's image was not offered, then its manifests; verify all of it and set the tags.

        `tags` are more tags, for every repository. One result for each repository, in the order of the references.

        Raises:
            UsageError: a tag is not one.
            SeatrialError: the layout is damaged, or is not what a reference with a digest names.
        """
        content = read_content(layout, platform)
        extra = tuple(check_tag(tag) for tag in tags)
        for reference in self._references:
            check_pinned(reference, content.root)
        for blob in content.blobs:
            self._offer_rest(blob, layouts.blob_path(layout, blob.digest))
        if len(self._flows) == 1:
            return [self._end(self._flows[0], content, extra)]
        with ThreadPoolExecutor(len(self._flows), thread_name_prefix="registry-end") as pool:
            try:
                return list(pool.map(lambda flow: self._end(flow, content, extra), self._flows))
            except BaseException:  # Ctrl-C ends the transfers first, for which the pool's threads wait
                self._stop()
                raise

    def _stop(self) -> None:
        for flow in self._flows:
            flow.destination.stop.set()

    def _offer_rest(self, blob: Descriptor, path: Path) -> None:
        if any(flow.destination.error is None for flow in self._flows):
            self.offer(blob, path)

    def _raise_if_hopeless(self) -> None:
        if all(flow.destination.error for flow in self._flows):
            error = self._flows[0].destination.error
            assert error is not None  # noqa: S101 - just asked
            raise error

    def _connect(self, flow: _Flow) -> None:
        def connect() -> None:
            destinations.connect(flow.destination)
            for tag in flow.destination.tags:
                if tag not in flow.destination.before:
                    with self._changed:
                        flow.left += 1
                    ask = partial(destinations.ask_tag, flow.destination, tag)
                    self._asking.submit(self._step, flow, ask)

        self._step(flow, connect)
        with self._changed:
            flow.connected = True
            waiting, flow.waiting = flow.waiting, []
            self._changed.notify_all()
        for blob, lenders in waiting:
            self._start(flow, blob, lenders)

    def _start(self, flow: _Flow, blob: _Blob, lenders: tuple[str, ...]) -> None:
        with self._changed:
            if not flow.connected:
                flow.waiting.append((blob, lenders))
                return
        self._asking.submit(self._ask, flow, blob, lenders)

    def _ask(self, flow: _Flow, blob: _Blob, lenders: tuple[str, ...]) -> None:
        try:
            outcome = destinations.ask(flow.destination, blob.descriptor)
        except BaseException as error:  # noqa: BLE001 - told by finish()
            flow.destination.fail(error)
        else:
            if outcome is None:
                with self._changed:
                    entry = (-blob.descriptor.size, next(self._count), flow, blob, lenders)
                    heapq.heappush(self._queue, entry)
                self._sending.submit(self._send)
                return
        self._settled(flow, blob, lenders)

    def _send(self) -> None:
        """Send the largest blob that waits."""
        with self._changed:
            _, _, flow, blob, lenders = heapq.heappop(self._queue)
        try:
            destinations.send(flow.destination, blob.descriptor, blob.path, lenders)
        except BaseException as error:  # noqa: BLE001 - told by finish()
            flow.destination.fail(error)
        self._settled(flow, blob, lenders)

    def _settled(self, flow: _Flow, blob: _Blob, lenders: tuple[str, ...]) -> None:
        """The next repository of the same registry has its turn, and a neighbour to mount from."""
        destination = flow.destination
        if blob.descriptor.digest in destination.settled:
            lenders = (*lenders, destination.reference.repository)
        if flow.after is not None:
            self._start(flow.after, blob, lenders)
        with self._changed:
            flow.left -= 1
            self._changed.notify_all()

    def _step(self, flow: _Flow, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - told by finish()
            flow.destination.fail(error)
        with self._changed:
            flow.left -= 1
            self._changed.notify_all()

    def _end(self, flow: _Flow, content: Content, extra: tuple[str, ...]) -> Result:
        with self._changed:
            self._changed.wait_for(lambda: flow.left == 0)
        destination = flow.destination
        reference = destination.reference.name
        try:
            if destination.error is not None:
                raise destination.error
            tags = tuple(dict.fromkeys((*destination.tags, *extra)))
            if destination.bare and not self._tags and not extra:
                tags = (*tags, "latest")
            return Result(reference, destinations.seal(destination, content, tags), None)
        except SeatrialError as error:
            return Result(reference, None, error)
        except OSError as error:
            known = from_os(error)
            if known is None:
                raise
            return Result(reference, None, known)


def push_all(
    layout: Path,
    references: Sequence[str],
    *,
    tags: Sequence[str] = (),
    platform: str | None = None,
    settings: Settings | None = None,
) -> list[Result]:
    """Push the image in `layout` to every reference; see `Uploads`.

    Raises:
        UsageError: a reference or tag is not one.
        SeatrialError: the layout is damaged, or is not what a reference with a digest names.
    """
    for reference in references:
        parse(reference)
    content = read_content(layout, platform)
    for reference in references:
        check_pinned(parse(reference), content.root)
    with Uploads(references, tags=tags, settings=settings, expected=content.root.digest) as uploads:
        return uploads.finish(layout, platform=platform)


def tags_of_each(references: Sequence[Reference], extra: tuple[str, ...]) -> dict[Reference, tuple[str, ...]]:
    """Each repository once, with all tags that are meant for it."""
    found: dict[Reference, tuple[str, ...]] = {}
    for reference in references:
        where = Reference(reference.registry, reference.repository)
        own = (reference.tag,) if reference.tag else ()
        found[where] = tuple(dict.fromkeys((*found.get(where, ()), *own, *extra)))
    return found


def _chained(flows: Sequence[_Flow]) -> list[_Flow]:
    """The first flow of each registry; the others come after it."""
    last: dict[str, _Flow] = {}
    heads = []
    for flow in flows:
        registry = flow.destination.reference.registry
        if registry in last:
            last[registry].after = flow
        else:
            heads.append(flow)
        last[registry] = flow
    return heads


def check_pinned(target: Reference, root: Descriptor) -> None:
    if target.digest and target.digest != root.digest:
        raise SeatrialError(
            "the image in the layout is not the one that the reference names",
            where=str(target),
            why=f"the layout has {root.digest}",
            fix="leave out the digest, or assemble that image",
        )
