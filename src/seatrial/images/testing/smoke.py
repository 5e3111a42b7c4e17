"""A short test of an image that was just made: it starts, and what its project asked for can be imported.

It is smaller than level quick on purpose, since it runs after every assembly. Imported are the packages that no other
package needs; these import the rest. An import is answered from memory as long as the package, everything that it
needs, the base and the environment are the same, so a changed line of the project's own code imports nothing again.
The project's folder is not on the path meanwhile, hence cannot change what is remembered.
"""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.clock import SystemClock, iso
from seatrial.errors import MissingToolError
from seatrial.images.testing import remembering
from seatrial.images.testing.model import Check, Subject, TestSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.images.assemble.spec import AssembledImage
    from seatrial.images.rootfs import Root
    from seatrial.images.testing.python import Distribution, Python

_KIND = "smoke"
# What an import says that only works beside a GPU, which the machine that assembles need not have.
_GPU = re.compile(r"libcuda\.so|libnvidia|NVIDIA|CUDA|no GPU|GPU device|HIP|ROCm", re.IGNORECASE)


class Smoke(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `checks` are what failed; `warnings` fail nothing; `left_out` says what was not tested, and why.

    `ran` is when it ran (UTC) if it is known from before, else empty.
    """

    status: Literal["pass", "fail", "skip"]
    seconds: float = 0.0
    ran: str = ""
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def smoke(layout: Path, images: Iterable[AssembledImage]) -> Smoke:
    """Test each image of the layout that is for this machine's processor.

    Raises:
        SeatrialError: an image is damaged, or the disk is full.
    """
    from seatrial.images.system.processors import is_foreign

    begin, found, left_out = time.monotonic(), [], []
    for image in images:
        if is_foreign(image.platform):
            left_out.append(f"{image.platform} does not run here")
            continue
        try:
            found.append(_remembered(image.digest) or _tested(layout, image.digest))
        except MissingToolError as error:
            left_out.append(f"{image.platform} cannot be run here: {error.what}")
    status: Literal["pass", "fail", "skip"] = "pass" if found else "skip"
    return Smoke(
        status="fail" if any(one.status == "fail" for one in found) else status,
        seconds=round(time.monotonic() - begin, 3),
        ran=found[0].ran if found and all(one.ran for one in found) else "",
        checks=tuple(check for one in found for check in one.checks),
        warnings=tuple(dict.fromkeys(text for one in found for text in one.warnings)),
        left_out=tuple(left_out),
    )


def _remembered(digest: str) -> Smoke | None:
    return remembering.recall_as(_KIND, _key(digest), Smoke)


def _key(*parts: object) -> str:
    return hashlib.sha256(repr((remembering.code(), remembering.machine(), parts)).encode()).hexdigest()


def _tested(layout: Path, digest: str) -> Smoke:
    from seatrial.images import runtime
    from seatrial.images.rootfs import merged
    from seatrial.images.testing import entrypoint, interpreter

    begin = time.monotonic()
    root = runtime.prepare(layout, digest)
    python, trouble = interpreter.ask(root)
    subject = Subject(root, merged(root), python, TestSpec(), "quick", {}, trouble, layout, None)
    checks = [trouble] if trouble is not None else []
    checks += [one for one in entrypoint.check(subject) if one.status == "fail"]
    warnings: tuple[str, ...] = ()
    if python is not None:
        failures = _imports(subject, python)
        warnings = tuple(one.message for one in failures if _GPU.search(one.message))
        checks += [one for one in failures if not _GPU.search(one.message)]
    status: Literal["pass", "fail"] = "fail" if any(one.status == "fail" for one in checks) else "pass"
    ran = iso(SystemClock().now())
    done = Smoke(
        status=status, seconds=round(time.monotonic() - begin, 3), checks=tuple(checks), warnings=warnings
    )
    if status == "pass":
        remembering.remember_as(_KIND, _key(digest), msgspec.structs.replace(done, ran=ran))
    return done


def _imports(subject: Subject, python: Python) -> list[Check]:
    """Failed imports of what nobody else needs. What imported before with all that it needs is not imported again."""
    from seatrial.images.testing import imports

    installed = {one.name: one for one in python.distributions if not one.system}
    needs = {name: _needs(one, installed) for name, one in installed.items()}
    needed = {other for name, others in needs.items() for other in others if other != name}
    asked = [name for name in installed if name not in needed] or list(installed)
    surroundings = _surroundings(subject.root, python)
    keys = {name: _key(surroundings, _closure(name, installed, needs)) for name in asked}
    unknown = [name for name in asked if remembering.recall_as(_KIND, keys[name], Smoke) is None]
    if not unknown:
        return []
    lock = {name: installed[name].version for name in unknown}
    # Elsewhere than in the project's folder, whose files would come before the packages'.
    config = {**subject.root.config, "config": {**subject.root.settings, "WorkingDir": "/"}}
    answers = list(
        imports.check(subject._replace(lock=lock, root=msgspec.structs.replace(subject.root, config=config)))
    )
    failures = [one for one in answers if one.status == "fail"]
    broken = {one.id.partition(":")[2] for one in failures}
    for name in unknown:
        if not broken & set(installed[name].modules):
            remembering.remember_as(_KIND, keys[name], Smoke(status="pass"))
    return failures


def _needs(one: Distribution, installed: Mapping[str, Distribution]) -> set[str]:
    from seatrial.images.testing.python import normalize

    names = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) for text in one.requires)
    return {name for match in names if match and (name := normalize(match[0])) in installed}


def _closure(
    name: str, installed: Mapping[str, Distribution], needs: Mapping[str, set[str]]
) -> list[tuple[str, str]]:
    """A package and all that it needs, each with the hash of its list of files, which has their hashes."""
    found, left = {name}, [name]
    while left:
        new = needs[left.pop()] - found
        found |= new
        left += new
    return sorted((one, _record(installed[one])) for one in found)


def _record(one: Distribution) -> str:
    try:
        return hashlib.sha256((Path(one.folder) / "RECORD").read_bytes()).hexdigest()
    except OSError:
        return f"{one.version} {one.folder}"


def _surroundings(root: Root, python: Python) -> tuple[object, ...]:
    """What else decides whether a package imports: the base, or all layers where it is not known, and the settings."""
    from seatrial.images.outputs.records import base_of

    settings = [(name, root.settings.get(name)) for name in ("Env", "User")]
    below = base_of(root.digest) or root.layers
    return (below, python.program, python.path, sorted(python.markers.items()), repr(settings))
