"""Run the checks of a level, independent ones at the same time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.rootfs import merged
from seatrial.images.testing import (
    architectures,
    cuda,
    dependencies,
    entrypoint,
    imports,
    interpreter,
    libraries,
    models,
    permissions,
    remembering,
    sagemaker,
    secrets,
    serving,
    settings,
    sizes,
    vulnerabilities,
)
from seatrial.images.testing.advice import advise
from seatrial.images.testing.declared import declaration
from seatrial.images.testing.declared import run as declared
from seatrial.images.testing.model import LEVELS, Check, Level, Probe, Subject, TestSpec, Verdict, failed
from seatrial.images.testing.ordering import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from seatrial.images.testing.advice_project import Project

# What each is about: the first level that runs it, and the function. Those that wait for programs come first.
CHECKS: dict[str, tuple[Level, Probe]] = {
    "service": ("standard", serving.check),
    "sagemaker": ("standard", sagemaker.check),
    "declared": ("quick", declared.check),
    "models": ("quick", models.check),
    "imports": ("quick", imports.check),
    "entrypoint": ("quick", entrypoint.check),
    "python": ("quick", interpreter.check),
    "versions": ("quick", dependencies.check_versions),
    "dependencies": ("quick", dependencies.check_dependencies),
    "libraries": ("quick", libraries.check),
    "permissions": ("quick", permissions.check),
    "settings": ("quick", settings.check),
    "architectures": ("quick", architectures.check),
    "cuda": ("quick", cuda.check),
    "secrets": ("quick", secrets.check),
    "vulnerabilities": ("quick", vulnerabilities.check),
    "size": ("quick", sizes.check_size),
    "duplicates": ("full", sizes.check_duplicates),
}
# Never answered from memory: security, and what depends on this machine as it is now.
SECURITY = ("secrets", "vulnerabilities")
MOMENTARY = ("cuda",)
_WORKERS = 4


def run_tests(
    layout: Path,
    digest: str = "",
    *,
    level: Level = "standard",
    spec: TestSpec = TestSpec(),  # noqa: B008 - frozen
    lock: Mapping[str, str] | None = None,
    out: Path | None = None,
    only: tuple[str, ...] = (),
    project: Project | None = None,
    fresh: bool = True,
) -> Verdict:
    """Test an image and write `image-tests.{json,xml,html}` below `out`, when given.

    `lock` maps normalised distribution names to the versions that must be installed; None skips the comparison.
    `only` names checks (keys of `CHECKS`) for a caller that has the others done elsewhere. `project` is what the
    image was made from, for advice that names its files. Unless `fresh`, what passed before for the same image, suite
    and settings is answered from memory, except what is in `SECURITY`.

    Raises:
        SeatrialError: the image cannot be unpacked.
        MissingToolError: this machine cannot run programs in images.
    """
    from concurrent.futures import ThreadPoolExecutor

    begin = time.monotonic()
    root = runtime.prepare(layout, digest)
    python, trouble = interpreter.ask(root)
    subject = Subject(root, merged(root), python, spec, level, lock, trouble, layout, project)
    chosen = {
        name: (first, probe)
        for name, (first, probe) in CHECKS.items()
        if LEVELS.index(first) <= LEVELS.index(level) and (not only or name in only)
    }
    keys = _keys(chosen, subject)
    known = {} if fresh else {name: found for name, key in keys.items() if (found := remembering.recall(key))}
    asked = {name: probe for name, (_, probe) in chosen.items() if name not in known}
    with ThreadPoolExecutor(_WORKERS) as pool:
        answered = dict(
            zip(asked, pool.map(lambda item: _timed(item[0], item[1], subject), asked.items()), strict=True)
        )
    for name in asked.keys() & keys.keys():
        remembering.remember(keys[name], answered[name])
    answers = [known.get(name) or answered[name] for name in chosen]
    checks = tuple(check for group in answers for check in group)
    verdict = Verdict(
        verdict="fail" if any(check.status == "fail" for check in checks) else "pass",
        # What failed is read first, causes before what follows from them.
        checks=in_order(checks),
        digest=root.digest,
        level=level,
        seconds=round(time.monotonic() - begin, 3),
    )
    if out is not None:
        from seatrial.images.testing.report import write_reports

        write_reports(verdict, out)
    return verdict


def _keys(names: Iterable[str], subject: Subject) -> dict[str, str]:
    """Under which key each result that may be remembered is kept."""
    kept = [name for name in names if name not in (*SECURITY, *MOMENTARY)]
    if declaration.of_this_machine(subject.spec.declared):
        kept = [name for name in kept if name != "declared"]
    return remembering.keys(
        kept, subject.root.digest, level=subject.level, spec=subject.spec, lock=subject.lock
    )


def _timed(name: str, probe: Probe, subject: Subject) -> list[Check]:
    begin = time.monotonic()
    try:
        found = list(probe(subject))
    except SeatrialError as error:
        if error.exit_code != SeatrialError.exit_code:
            raise
        why = f"{error.what}: {error.why}" if error.why else error.what
        found = [failed(name, why, error.fix or "look at the message")]
    found = [advise(check, subject) for check in found]
    seconds = round(time.monotonic() - begin, 3)
    return [check if check.seconds else msgspec.structs.replace(check, seconds=seconds) for check in found]
