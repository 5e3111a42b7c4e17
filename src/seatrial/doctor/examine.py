"""The table of checks, and running them side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from seatrial.doctor import machine, programs, runtimes
from seatrial.doctor.result import Answer, Status
from seatrial.doctor.system import install
from seatrial.errors import MissingToolError, SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Check(msgspec.Struct, frozen=True):
    """Something of this machine that Seatrial uses. `needed`: `seatrial ship` cannot do without.

    `packages` are the Debian packages that bring it; `get` says how to get what no package brings.
    """

    id: str
    purpose: str
    try_it: Callable[[], Answer]
    needed: bool = False
    packages: tuple[str, ...] = ()
    get: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A check with its answer. `get` is empty when there is nothing to get."""

    id: str
    status: Status
    needed: bool
    purpose: str
    version: str
    detail: str
    get: str


class Report(msgspec.Struct, frozen=True):
    """`ready`: everything that `seatrial ship` needs works."""

    ready: bool
    checks: tuple[Result, ...]


CHECKS: tuple[Check, ...] = (
    Check("python", "runs Seatrial", machine.python, needed=True, get="install Python 3.11 or newer"),
    Check("kernel", "keeps the processes of a step together", machine.kernel, needed=True, get="use Linux"),
    Check(
        "uv",
        "resolves requirements",
        programs.uv,
        needed=True,
        get="reinstall Seatrial: uv is one of its packages",
    ),
    Check(
        "user namespaces",
        "give images a root of their own without root",
        machine.user_namespaces,
        needed=True,
    ),
    Check(
        "bwrap", "runs images for tests and services", programs.bwrap, needed=True, packages=("bubblewrap",)
    ),
    Check("runc", "runs images (--runtime runc)", partial(runtimes.backend, "runc"), packages=("runc",)),
    Check(
        "docker",
        "runs images (--runtime docker) and takes them",
        partial(runtimes.backend, "docker"),
        packages=("docker.io",),
    ),
    Check(
        "podman",
        "runs images (--runtime podman) and takes them",
        partial(runtimes.backend, "podman"),
        packages=("podman",),
    ),
    Check(
        "docker-registry",
        "the registry on this machine",
        programs.registry,
        needed=True,
        packages=("docker-registry",),
    ),
    Check("haproxy", "spreads requests over replicas", programs.haproxy, needed=True, packages=("haproxy",)),
    Check(
        "envoy",
        "copies requests for shadow traffic (driver: envoy)",
        programs.envoy,
        get="pip install 'seatrial[envoy]'",
    ),
    Check(
        "mmdebstrap",
        "makes Debian and Ubuntu base images",
        programs.mmdebstrap,
        needed=True,
        packages=("mmdebstrap", "debian-archive-keyring"),
    ),
    Check(
        "qemu-user", "makes images for another processor", programs.emulator, packages=("qemu-user-static",)
    ),
    Check("user ids", "give the users of an image their ids", machine.user_ids, packages=("uidmap",)),
    Check("state", "journal and logs of runs", machine.state, needed=True),
    Check("cache", "layers, wheels and resolutions", machine.cache, needed=True),
    Check("libyaml", "reads YAML fast", machine.yaml),
    Check(
        "skopeo",
        "reads pushed images in our tests",
        partial(programs.only_version, "skopeo"),
        packages=("skopeo",),
    ),
    Check(
        "buildah",
        "runs pushed images in our tests",
        partial(programs.only_version, "buildah"),
        packages=("buildah",),
    ),
)


def examine(checks: Sequence[Check] = CHECKS) -> Report:
    """Try everything at once and say how it went, in the order of the table."""
    with ThreadPoolExecutor(max_workers=len(checks) or 1) as pool:
        results = tuple(pool.map(_result, checks))
    return Report(all(one.status in ("ok", "limited") for one in results if one.needed), results)


def _result(check: Check) -> Result:
    answer = _tried(check)
    get = ""
    if answer.status != "ok":
        get = answer.get or (install(*check.packages) if check.packages else check.get)
    return Result(
        id=check.id,
        status=answer.status,
        needed=check.needed,
        purpose=check.purpose,
        version=answer.version,
        detail=answer.detail,
        get=get,
    )


def _tried(check: Check) -> Answer:
    """The answer, whatever happens: one broken program must not hide what the others say."""
    try:
        return check.try_it()
    except MissingToolError:
        return Answer(status="missing")
    except SeatrialError as error:
        return Answer(status="broken", detail=error.why or error.what, get=error.fix or "")
    except OSError as error:
        return Answer(status="broken", detail=f"{error.filename or check.id}: {error.strerror or error}")
