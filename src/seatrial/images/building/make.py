"""From a source to a wheel in the store: requirements, the backend's hooks, the checks of the result, the memory of it."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import atomic_writer, remove_tree, write_atomic
from seatrial.images.assemble.store import publish, scratch
from seatrial.images.building import diagnosis, furnish, sandbox, sources
from seatrial.images.building.environment import variables
from seatrial.images.building.model import RECIPE, BuildError, Made, Source, System, Workshop
from seatrial.images.building.requirements import resolved
from seatrial.images.building.result import accept
from seatrial.images.building.system import can_compile, system, wants_compiler
from seatrial.images.inputs.model import Built
from seatrial.locks import locked

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.building.furnish import Recipe
    from seatrial.images.inputs.model import Unbuilt
    from seatrial.images.lock import LockedWheel


def make(shop: Workshop, unbuilt: Unbuilt) -> Built:
    """The wheel of `unbuilt`, from the cache or built now.

    Raises:
        SeatrialError: see `builder`.
    """
    shop = shop._replace(notes=[])
    if digest := sources.known_digest(unbuilt):
        found = _remembered(shop, _key(shop, digest), unbuilt)
        if found is not None:
            return msgspec.structs.replace(found, revision=unbuilt.revision if unbuilt.kind == "git" else "")
    with scratch() as folder:
        source = sources.obtain(shop, unbuilt, folder)
        key = _key(shop, source.digest)
        found = _remembered(shop, key, unbuilt)
        if found is None:
            shop.say(f"building {source.label}")
            found = _build(shop, source, key, folder)
            shop.say(f"built {found.wheel.filename}")
        return msgspec.structs.replace(found, revision=source.revision)


class _Work(NamedTuple):
    """One attempt: where it happens, with what, and what to call it."""

    shop: Workshop
    source: Source
    bench: sandbox.Bench
    system: System
    recipe: Recipe
    env: dict[str, str]


def _build(shop: Workshop, source: Source, key: str, folder: Path) -> Built:
    """Build in the image's own base where nothing looks like compiling, else, or when that fails, with a compiler."""
    first = folder / "first"
    project, told = sources.lay_out(shop, source, first)
    recipe = furnish.read_recipe(project, source.where)
    compiles = bool(shop.spec.build_packages) or wants_compiler(project, recipe.requires)
    chosen = system(shop, compiles=compiles)
    try:
        return _attempt(shop, source, key, folder, chosen, recipe, told)
    except NeedsCompilerError:
        if chosen.compiles or not can_compile(shop):
            raise
    if not first.exists():  # what the first attempt left in its source must not be found by the second
        sources.lay_out(shop, source, first)
    shop.say(f"building {source.label} again, with a compiler")
    return _attempt(shop, source, key, folder, system(shop, compiles=True), recipe, told)


class NeedsCompilerError(BuildError):
    """A build that failed for want of a compiler."""


def _attempt(
    shop: Workshop,
    source: Source,
    key: str,
    folder: Path,
    chosen: System,
    recipe: Recipe,
    told: dict[str, str],
) -> Built:
    if chosen.note:
        shop.note(f"{source.label}: {chosen.note}")
    entry = _entry(shop, key)
    place, log = folder / "work", folder / "log"
    place.mkdir(mode=0o755)
    log.write_bytes(b"")
    try:
        (folder / "first").rename(place / "src")
        work = _Work(shop, source, sandbox.bench(place, log), chosen, recipe, variables(chosen, told))
        furnish.empty(work.bench.env, chosen)
        required = _furnished(work)
        with locked(entry / ".lock"):
            found = None if shop.refresh else _read(shop, entry)
            if found is None:
                found = _finish(work, required, entry)
                _keep_log(log, entry)
            return found
    except BaseException:
        _keep_log(log, entry)
        raise
    finally:
        remove_tree(place)


def _keep_log(log: Path, entry: Path) -> None:
    """Where messages say that it is. Without room for it the build is as good as with it."""
    with (
        suppress(OSError, SeatrialError),
        log.open("rb") as stream,
        atomic_writer(entry / "build.log") as out,
    ):
        shutil.copyfileobj(stream, out)


def _furnished(work: _Work) -> tuple[LockedWheel, ...]:
    """Place what the project says that it is built with, then what its backend asks for besides."""
    first = _install(work, work.recipe.requires, ())
    asked = _call(work, "requires")
    more = tuple(str(one) for one in asked) if isinstance(asked, list) else ()
    return _install(work, (*work.recipe.requires, *more), first) if more else first


def _install(
    work: _Work, requires: tuple[str, ...], there: tuple[LockedWheel, ...]
) -> tuple[LockedWheel, ...]:
    if not requires:
        return ()
    try:
        needed = resolved(work.shop, requires, work.system, work.source)
    except SeatrialError as error:
        why = error.what + (f": {error.why}" if error.why else "")
        raise _failed(
            work, f"finding what it is built with ({', '.join(requires)})", why, error.fix
        ) from error
    have, names = {wheel.sha256 for wheel in there}, {wheel.name for wheel in there}
    new = [wheel for wheel in needed.lock.wheels if wheel.sha256 not in have]
    if any(wheel.name in names for wheel in new):
        remove_tree(work.bench.env)  # another version of what is there: begin anew
        furnish.empty(work.bench.env, work.system)
        new = list(needed.lock.wheels)
    furnish.install(work.shop, needed, new, work.bench.env, work.system)
    work.shop.point("building/furnished")
    return needed.lock.wheels


def _finish(work: _Work, required: tuple[LockedWheel, ...], entry: Path) -> Built:
    """Build the wheel, check it, put it into the store, and remember it."""
    name = _call(work, "wheel")
    work.shop.point("building/built")
    normal = work.bench.folder / "wheel"
    wheel, metadata = accept(work.bench.out, name, normal, work.shop, work.source, work.system)
    target = work.shop.use.hold("wheels", wheel.sha256)
    if not target.exists():
        publish(normal, target)
    made = Made(
        wheel=wheel, metadata=metadata, source=work.source.digest, system=work.system.base.digest,
        python=work.system.interpreter.version, requirements=required,
        notes=tuple(dict.fromkeys(work.shop.notes)),
    )  # fmt: skip
    work.shop.point("building/wheel-stored")
    write_atomic(entry / "made.json", msgspec.json.encode(made))
    work.shop.point("building/remembered")
    return Built(wheel=wheel, metadata=metadata, notes=made.notes)


def _call(work: _Work, hook: str) -> object:
    """Call a hook in the sandbox.

    Raises:
        BuildError: it failed; the message has its last words and what may help.
    """
    phase = {"requires": "get_requires_for_build_wheel", "wheel": "build_wheel"}[hook]
    start = work.bench.log.stat().st_size
    try:
        answer = sandbox.call(
            work.system, work.bench, hook, (work.recipe.backend, work.recipe.path), work.source.subfolder, work.env,
            work.shop.limits,
        )  # fmt: skip
    except sandbox.StoppedError as error:
        raise _failed(work, phase, error.why or error.what, error.fix) from error
    if isinstance(answer, sandbox.Answer):
        if answer.left:
            listed = ", ".join(answer.left)
            work.shop.note(
                f"the build of {work.source.label} left programs running, which were ended: {listed}"
            )
        return answer.returned
    text = diagnosis.tail(work.bench.log, start)
    told = diagnosis.Told(
        work.shop.spec.build_base or work.shop.spec.base,
        work.system.interpreter.target.python,
        work.source.label,
    )
    cause = (
        diagnosis.Cause(answer.unfit, "correct `[build-system]`, or choose another version")
        if answer.unfit
        else diagnosis.diagnose(text, told)
    )
    lines = diagnosis.last_lines(text)
    why = (cause.why if cause else f"exit code {answer.code}") + (
        f"; its last words:\n{lines}" if lines else ""
    )
    kind = NeedsCompilerError if cause and cause.compiler and not work.system.compiles else BuildError
    raise _failed(work, phase, why, cause.fix if cause else None, kind)


def _failed(
    work: _Work, phase: str, why: str, fix: str | None, kind: type[BuildError] = BuildError
) -> BuildError:
    log = _entry(work.shop, _key(work.shop, work.source.digest)) / "build.log"
    return kind(
        f"{work.source.label} cannot be built: {phase} failed", where=work.source.where, why=why,
        fix=f"{fix or 'read what it printed, and choose another version or fix its source'} (whole log: {log})",
    )  # fmt: skip


def _key(shop: Workshop, digest: str) -> str:
    """Everything that decides which wheel a source becomes; what it is built with is remembered beside the wheel."""
    from seatrial.images.assemble.image import source_date_epoch

    spec, target = shop.spec, shop.probed.interpreter
    named = [
        spec.build_base,
        spec.build_packages,
        spec.packages if spec.build_packages or not spec.build_base else (),
    ]
    built_in = system(shop, compiles=True).base.digest if spec.build_base else ""
    parts = [
        RECIPE,
        digest,
        shop.base.digest,
        target.version,
        target.target,
        named,
        built_in,
        source_date_epoch(),
    ]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _entry(shop: Workshop, key: str) -> Path:
    entry = shop.use.hold("built", key)
    entry.mkdir(mode=0o700, exist_ok=True)
    return entry


def _remembered(shop: Workshop, key: str, unbuilt: Unbuilt) -> Built | None:
    if shop.refresh:
        return None
    entry = shop.use.hold("built", key)
    found = _read(shop, entry)
    if found is not None and unbuilt.name and found.wheel.name != unbuilt.name:
        return None
    return found


def _read(shop: Workshop, entry: Path) -> Built | None:
    try:
        made = msgspec.json.decode((entry / "made.json").read_bytes(), type=Made)
    except (OSError, msgspec.MsgspecError):
        return None
    path = shop.use.hold("wheels", made.wheel.sha256)
    if not path.exists() or path.stat().st_size != made.wheel.size:
        return None
    os.utime(entry)
    return Built(wheel=made.wheel, metadata=made.metadata, notes=made.notes)
