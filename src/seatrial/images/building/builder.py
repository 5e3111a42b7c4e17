"""The builder of one image: what it is given becomes wheels for that image's Python.

It costs nothing until the first thing is built: then the building system is prepared once, for all of them.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seatrial.images.assemble.spec import ImageSpec
    from seatrial.images.assemble.store import Use
    from seatrial.images.bases import Base
    from seatrial.images.building.model import Limits, System
    from seatrial.images.inputs.model import Build, Built, Unbuilt
    from seatrial.images.probe import Probed


def builder(
    spec: ImageSpec,
    base: Base,
    probed: Probed,
    use: Use,
    *,
    insecure: bool = False,
    refresh: bool = False,
    limits: Limits | None = None,
    env: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _text: None,
    point: Callable[[str], None] = lambda _name: None,
) -> Build:
    """Return what builds wheels for the image that `spec`, its `base` and the `probed` interpreter describe.

    `env` (default: this process's) is what uv and git are started with; nothing of it reaches a build. `say` is told
    what is being built, one line at a time. `refresh` builds again what was built before. `limits` are for each step.

    The result raises:
        SeatrialError: the source cannot be had or is refused, or its build failed; the whole log is in a named file.
        MissingToolError: git, bubblewrap or the right to make namespaces is missing.
    """
    environment = dict(os.environ if env is None else env)
    systems: dict[str, System] = {}
    preparing = Lock()

    def build(unbuilt: Unbuilt) -> Built:
        from seatrial.images.building.make import make
        from seatrial.images.building.model import Limits, Workshop

        given = limits or Limits(seconds=spec.build_timeout)
        return make(
            Workshop(
                spec, base, probed, use, insecure, refresh, environment, say, point, given, systems, preparing
            ),
            unbuilt,
        )

    if not spec.build:

        def refuse(unbuilt: Unbuilt) -> Built:
            raise SeatrialError(
                f"{unbuilt.name or unbuilt.url} has no wheel and would have to be built", where=unbuilt.where or None,
                why="`build.allow` is false for this image",
                fix="allow builds, or choose a version that has a wheel",
            )  # fmt: skip

        return refuse
    return build
