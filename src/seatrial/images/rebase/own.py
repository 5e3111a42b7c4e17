"""Images that Seatrial assembled: their first own layer is made from the base, so a new base needs a new one.

It holds whole copies of the base's account files and removes distributions that the wheels replace. What it was
made from is found out and proven: made again for the old base, it must come out the same to the bit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble import accounts, layers, replacing
from seatrial.images.lock import LockedWheel
from seatrial.images.rebase.base import ASSEMBLED, history

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from seatrial.images.assemble.accounts import Account
    from seatrial.images.assemble.layers import LayerPlan
    from seatrial.images.assemble.store import StoredLayer, Use
    from seatrial.images.probe import Probed
    from seatrial.images.rebase.packages import Distribution
    from seatrial.images.rebase.scan import Layer


class Ground(NamedTuple):
    """How the first own layer is made: the user as it was asked for, and what the layer does on one base."""

    user: str
    account: Account
    plan: LayerPlan
    kept: frozenset[str]
    notes: tuple[str, ...]


class Own(NamedTuple):
    """What is known of an image that Seatrial assembled. `ground` is the number of its first own layer.

    `user` and `wheels` are what that layer was made from; `bytecode` are the numbers of layers with nothing else.
    """

    ground: int
    user: str
    account: Account
    wheels: tuple[LockedWheel, ...]
    bytecode: frozenset[int]


def wheels(distributions: Iterable[Distribution]) -> tuple[LockedWheel, ...]:
    """Installed distributions as far as replacing those of a base needs to know them."""
    found = {(d.name, d.version) for d in distributions}
    return tuple(
        LockedWheel(name=name, version=version, filename=f"{name}.whl", sha256="0" * 64)
        for name, version in sorted(found)
    )


def recognise(
    image: oci.Image, ground: int, layer: Layer, old: Probed, installed: tuple[LockedWheel, ...], use: Use
) -> Own | None:
    """Find out what the first own layer was made from; None when it does not come out the same.

    Raises:
        SeatrialError: the cache cannot be written.
    """
    texts, wanted = history(image), oci.diff_ids(image)[ground]
    settings = image.config.get("config") or {}
    name = re.sub(r", folders.*$", "", texts[ground].removeprefix(f"{ASSEMBLED}user "))
    found = []
    for user in dict.fromkeys((name, *_numbers(str(settings.get("User") or ""), layer))):
        try:
            made = make(old, user, str(settings.get("WorkingDir") or "/"), installed)
        except SeatrialError:
            continue
        if write(made.plan, use).diff_id == wanted:
            found.append(made)
    # Of several that make the same layer, the one that the image runs as.
    found.sort(key=lambda made: numbers(made.account) != settings.get("User"))
    if not found:
        return None
    marks = f"{ASSEMBLED}bytecode of "
    bytecode = frozenset(n for n, text in enumerate(texts) if n > ground and text.startswith(marks))
    return Own(ground, found[0].user, found[0].account, installed, bytecode)


def _numbers(user: str, layer: Layer) -> Iterator[str]:
    """Users by number, as somebody may have asked for them: of the settings, and of the account that was added."""
    last = (
        layer.texts.get("/etc/passwd", b"")
        .decode("utf-8", "replace")
        .rstrip("\n")
        .rpartition("\n")[2]
        .split(":")
    )
    for text in (user, ":".join(last[2:4])):
        uid, colon, gid = text.partition(":")
        if uid.isdigit():
            yield uid
            if colon and gid.isdigit():
                yield text


def make(base: Probed, user: str, workdir: str, installed: tuple[LockedWheel, ...]) -> Ground:
    """The first own layer for a base, as the assembler makes it.

    Raises:
        SeatrialError: the base has a distribution that cannot be removed, or the user cannot be.
    """
    decided = replacing.replaced(base.tree, base.interpreter.scheme, installed)
    account = accounts.account(base.tree, user)
    folder = accounts.working_folder(base.tree, workdir)
    ground = accounts.ground(base.tree, account, folder, base.interpreter.missing, decided.removed)
    return Ground(user, account, layers.plan_ground(ground), decided.kept, decided.notes)


def numbers(account: Account) -> str:
    """As the configuration names a user."""
    return f"{account.uid}:{account.gid}"


def write(plan: LayerPlan, use: Use) -> StoredLayer:
    """The layer, from the cache or written now."""
    return layers.build([plan], use, threads=1, point=lambda _name: None)[0]
