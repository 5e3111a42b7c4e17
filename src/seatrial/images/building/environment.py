"""The variables that a build sees: the same on every machine, and nothing of this one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from seatrial.images.building.sandbox import INSIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.images.building.model import System

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def variables(system: System, told: Mapping[str, str]) -> dict[str, str]:
    """`told` is what version tools are to know. The image's own variables come below these."""
    from seatrial.images.assemble.image import source_date_epoch
    from seatrial.images.runtimes.launch import Launch, environment

    own = environment(system.root, Launch(network="none"), f"{INSIDE}/home", {})
    count = str(os.cpu_count() or 1)  # how many work at a time must not change what they make
    return {
        "PATH": f"{INSIDE}/env/bin:{own.get('PATH') or _DEFAULT_PATH}",
        "VIRTUAL_ENV": f"{INSIDE}/env",
        "HOME": f"{INSIDE}/home",
        "USER": "build", "LOGNAME": "build", "SHELL": "/bin/sh",
        "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC", "TMPDIR": "/tmp",  # noqa: S108 - inside
        "SOURCE_DATE_EPOCH": str(source_date_epoch()),
        "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": "", "PYTHONHOME": "", "LD_PRELOAD": "",
        "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "CARGO_NET_OFFLINE": "true", "GOFLAGS": "-mod=vendor",
        "CI": "1", "NO_COLOR": "1", "TERM": "dumb",
        "MAX_JOBS": count, "CMAKE_BUILD_PARALLEL_LEVEL": count, "NPY_NUM_BUILD_JOBS": count, "MAKEFLAGS": f"-j{count}",
        **told,
    }  # fmt: skip
