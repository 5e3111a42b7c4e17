"""What was declared of an image, as it was written and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.config.checks import Checks
from seatrial.images.testing.declared.structure import Structure1, Structure2  # noqa: TC001 - likewise

if TYPE_CHECKING:
    from collections.abc import Sequence


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one file of tests, or the checks in seatrial.yaml.

    `name` is what messages call the file; `folder` is what its own file names are relative to; `places` says where
    each setting stands (`FILE:LINE` by its dotted key).
    """

    name: str
    folder: str
    content: Checks | Structure1 | Structure2
    places: dict[str, str] = {}

    def at(self, key: str) -> str:
        """Where a setting stands, else the first one inside it, else the file."""
        if key in self.places:
            return self.places[key]
        inside = (place for name, place in self.places.items() if name.startswith((f"{key}.", f"{key}[")))
        return next(inside, self.name)


def of_this_machine(given: Sequence[Declared]) -> bool:
    """Whether answers depend on more than the image and what is declared: variables, folders, files, the network."""
    return any(_depends(one.content) for one in given)


def _depends(content: Checks | Structure1 | Structure2) -> bool:
    if isinstance(content, Checks):
        files = any(one.body_file or one.json_file for one in content.http.requests)
        return files or any(one.network for one in content.commands)
    # These programs have the network.
    return bool(content.command_tests)
