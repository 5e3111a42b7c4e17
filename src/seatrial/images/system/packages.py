"""Debian packages as one layer on top of any base that has apt.

apt-get and the maintainer scripts run in the base's root, under an overlay whose content becomes the layer. They
are root in a namespace only, see nothing of this machine but what reaching its mirrors takes, and have no network
while they install. The same package versions give the same layer.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from seatrial.images import layout as oci
from seatrial.images.assemble.store import publish, scratch
from seatrial.images.system.names import check_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.images.assemble.store import Use
    from seatrial.images.bases import Base

_RECIPE = 2
"""Part of every key: raise it when the layer changes for the same packages."""


def with_packages(
    base: Base,
    packages: Sequence[str],
    use: Use,
    *,
    refresh: bool = False,
    point: Callable[[str], None] = lambda _name: None,
) -> Base:
    """The base with one more layer that holds `packages`, made now if there is none or `refresh` asks for today's.

    Raises:
        UsageError: something is not the name of a package.
        SeatrialError: the base has no apt, the packages cannot be had, or one of their scripts fails.
        MissingToolError: this machine lacks bwrap, user namespaces or a range of ids.
    """
    wanted = tuple(sorted(set(packages)))
    check_names(wanted)
    key = hashlib.sha256(msgspec.json.encode([_RECIPE, base.digest, wanted])).hexdigest()
    entry = use.hold("bases", f"packages-{key}")
    made_now = False
    if refresh or not (entry / "index.json").exists():
        from seatrial.images.system.installing import make_layer

        with scratch() as folder:
            make_layer(base, wanted, describe(wanted), folder, point)
            if entry.exists():
                entry.rename(folder / "former")
            made_now = publish(folder / "layout", entry)
        point("packages/stored")
    return msgspec.structs.replace(
        base,
        layout=entry,
        digest=oci.read_image(entry).digest,
        origin=base.origin or base.digest,
        added=(*base.added, describe(wanted)),
        made_now=made_now,
    )


def describe(packages: Sequence[str]) -> str:
    """What the layer is called in histories and lists."""
    return f"debian packages: {', '.join(packages)}"
