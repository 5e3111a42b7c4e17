"""image/build-isolation and image/build-toolkit: packages that need torch, or nvcc, while they are built."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.facts import builds
from seatrial.images.facts.versions import minor
from seatrial.images.rules import torch_fixes
from seatrial.images.rules.flash_attn import prebuilt
from seatrial.images.rules.toolkit import forced, toolkit
from seatrial.images.rules.verdict import verdict
from seatrial.images.story.model import Copy, Span, SystemInstall
from seatrial.images.timeline.versions import higher, possible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from seatrial.findings import Edit, Fix, Severity
    from seatrial.images.facts.builds import SourceBuild
    from seatrial.images.rules.verdict import Verdict
    from seatrial.images.story.model import Install, Request
    from seatrial.images.timeline.model import Moment, Timeline

ISOLATION = Rule(
    id="image/build-isolation",
    severity="error",
    title="A package needs torch while it is built, and does not see it",
    explanation=(
        "Some packages are built from source and import torch while they are built. pip, uv and others build in an "
        "environment of its own, where torch is not; and what one command installs is there only when it ends, so the order "
        "of words in it is no order. Torch has to be installed by an earlier command, and the package with "
        "--no-build-isolation. An error where it is certain: with uv, with packages that every pip builds apart, or where "
        "torch is in no earlier command. A warning where it depends on pip (before 25.3 it did not isolate packages without "
        "a pyproject.toml when setuptools and wheel were there), and where the package asks for any torch, so that it is "
        "compiled for the newest instead of the one in the image. A note for dependency files without a Dockerfile."
    ),
    source="https://pip.pypa.io/en/stable/reference/build-system/#disabling-build-isolation",
    example="RUN pip install torch==2.6.0 flash-attn==2.7.4.post1\n",
)

TOOLKIT = Rule(
    id="image/build-toolkit",
    severity="error",
    title="A package is compiled for CUDA, and there is no compiler",
    explanation=(
        "There is no prebuilt wheel of the package for this combination, so it is compiled, and the image has no nvcc: "
        "`-base`, `-runtime` and plain Python images bring none. An error where the base is known and the version is stated; "
        "a warning where the version is open. The fix is a `-devel` base, a version that has a wheel for the torch of the "
        "image, or the address of such a wheel. Nothing is said where a toolkit may be installed."
    ),
    source="https://github.com/Dao-AILab/flash-attention#installation-and-features",
    example="FROM python:3.10-slim\nRUN pip install torch==2.0.1\nRUN pip install flash-attn==2.8.3 --no-build-isolation\n",
)

RULES = (ISOLATION, TOOLKIT)


class _Build(msgspec.Struct, frozen=True):
    """A package that one command builds from source, if nothing prebuilt is used."""

    request: Request
    row: SourceBuild
    versions: tuple[str, ...]

    @property
    def shown(self) -> str:
        return f"{self.row.package} {self.versions[0]}" if len(self.versions) == 1 else self.row.package


def check(timeline: Timeline) -> list[Verdict]:
    """Every command that builds such a package."""
    found: list[Verdict] = []
    for moment in timeline.moments:
        for one in _builds(timeline, moment):
            found += [*_isolation(timeline, moment, one), *_toolkit(timeline, moment, one)]
    return found


def _builds(timeline: Timeline, moment: Moment) -> Iterator[_Build]:
    """What is built. With links to elsewhere, or another index, there may be wheels that are not known here."""
    install = moment.install
    if install.tool == "conda" or install.find_links or _elsewhere(install):
        return
    for request in install.requests:
        package = moment.after.get(request.name)
        if request.url.partition("#")[0].endswith(".whl") or request.locked:
            continue
        if package is not None and package.install is not install:
            continue  # it is there already
        versions = package.versions if package is not None and not request.url else ()
        if not versions and not request.url:
            versions = possible(request.name, request.specifier, timeline.python.version)
        row = builds.source_build(request.name, versions[0] if versions else "", request.url)
        if row is not None and not (row.wheels and not request.url):
            yield _Build(request, row, versions)


def _elsewhere(install: Install) -> bool:
    """Whether another index than the public ones is asked."""
    own = re.compile(r"^https?://(?:pypi\.org|pypi\.python\.org|download\.pytorch\.org)(?:/|$)")
    return any(one and not own.match(one) for one in (install.index, *install.extra_indexes))


def _isolated(install: Install, request: Request) -> bool:
    """Whether the tool builds apart from what is installed."""
    if "no-build-isolation" in install.flags or f"no-build-isolation-package={request.name}" in install.flags:
        return False
    told = re.compile(r"no-build-isolation|extra-build-dependencies|extra-build-variables")
    return not any(told.search(one.text) for one in install.files)


def _torch_before(timeline: Timeline, moment: Moment) -> bool | None:
    """Whether torch is there when the command starts. None: not known."""
    if "torch" in moment.before:
        return True if moment.before["torch"].certain else None
    base = timeline.base
    if base is None:
        return None
    if "torch" in base.present:
        return True
    # `conda install pytorch` into another environment, or a copy from another stage, may bring it.
    earlier = timeline.moments[: timeline.moments.index(moment) + 1]
    foreign = any(each.install.unread for each in earlier)
    copied = any("site-packages" in word or "venv" in word for word in _copied(timeline))
    return False if base.bare and not foreign and not copied else None


def _copied(timeline: Timeline) -> Iterator[str]:
    for step in timeline.steps:
        if isinstance(step, Copy) and step.origin:
            yield from (*step.sources, step.destination)


def _isolation(timeline: Timeline, moment: Moment, one: _Build) -> Iterator[Verdict]:
    install = moment.install
    before = _torch_before(timeline, moment)
    if not _isolated(install, one.request):
        if before is False and one.row.torch == "imported":
            yield _verdict(
                timeline,
                moment,
                one,
                "error",
                f"{one.shown} imports torch while it is built, and torch is not there yet",
            )
        return
    if one.row.torch == "declared":
        yield from _for_another_torch(timeline, moment, one)
        return
    if before is True and _legacy(timeline, moment, one):
        return
    together = bool(install.named("torch")) and before is not True
    severity = _severity(timeline, moment, one, before)
    why = "comes in the same command" if together else "is not in the environment that it is built in"
    yield _verdict(
        timeline, moment, one, severity, f"{one.shown} imports torch while it is built, and torch {why}"
    )


def _legacy(timeline: Timeline, moment: Moment, one: _Build) -> bool:
    """Whether the image's own pip is so old that it does not isolate this build, and nothing brought a newer one."""
    base, legacy = timeline.base, builds.source_builds().legacy
    apart = _has_pyproject(one) or moment.install.tool != "pip"
    if apart or base is None or timeline.environment:
        return False
    torch = base.packages.get("torch", "")
    python = timeline.python.version or (facts.pythons("torch", torch) or ("",))[-1]
    if higher(legacy.python, python) if python else base.os in legacy.without:
        return True
    if "pip" in moment.before:
        return False
    if torch:
        later = [one.uploaded for one in facts.releases("torch") if not higher(torch, one.version)]
        return bool(later) and "" < later[-1] < legacy.until
    system = any(
        package.name == "python3-pip"
        for step in timeline.steps
        if isinstance(step, SystemInstall)
        for package in step.packages
    )
    return base.os in legacy.distributions and base.interpreter in (None, "", "system") and system


def _has_pyproject(one: _Build) -> bool:
    """Whether every pip isolates it. Of a certain commit that is not known: it may be from before that file."""
    pinned = re.search(r"\.git@|/archive/|[^/]@[\w.-]+(?:#|$)", one.request.url)
    return one.row.pyproject and not pinned


def _severity(timeline: Timeline, moment: Moment, one: _Build, before: bool | None) -> Severity:
    install = moment.install
    if timeline.root.base is None:
        # Whoever installs these files may do it without isolation; those who do not see it fail with any torch.
        return "warning"
    if not install.certain or one.request.style == "poetry" or timeline.base is None:
        return "warning"  # a base that is not known can have set it up otherwise
    if install.tool == "uv" and install.options is not None:
        return "error"
    return "error" if before is False or (_has_pyproject(one) and install.tool == "pip") else "warning"


def _for_another_torch(timeline: Timeline, moment: Moment, one: _Build) -> Iterator[Verdict]:
    """It is compiled against the newest torch; that matters where the image has another one."""
    torch = moment.after.get("torch")
    newest = possible("torch", "", timeline.python.version)
    if torch is None or not torch.exact or not newest or minor(torch.exact) == minor(newest[0]):
        return
    message = (
        f"{one.shown} is built against torch {newest[0]}, the newest, and the image has torch {torch.exact}"
    )
    yield _verdict(timeline, moment, one, "warning" if timeline.root.base is not None else "note", message)


def _verdict(timeline: Timeline, moment: Moment, one: _Build, severity: Severity, message: str) -> Verdict:
    declared = one.row.torch == "declared"
    return verdict(
        ISOLATION,
        severity if moment.install.certain or severity != "error" else "warning",
        one.request.at,
        message,
        about=(one.row.package, "torch"),
        cause=(
            "importing it fails with `undefined symbol`: its build asks for any torch"
            if declared
            else "the build ends with `ModuleNotFoundError: No module named 'torch'`"
        ),
        source=one.row.source,
        fixes=_isolation_fixes(timeline, moment, one),
    )


def _isolation_fixes(timeline: Timeline, moment: Moment, one: _Build) -> Iterable[Fix | None]:
    """The option, where torch is there already; a later command of its own."""
    install = moment.install
    if _isolated(install, one.request) and _torch_before(timeline, moment) is not False:
        yield edit.fix("Build without isolation", [edit.option(install, "--no-build-isolation")])
    if "torch" in moment.after:
        title = f"Install {one.row.package} in a later command of its own, without isolation"
        yield edit.fix(title, _later(timeline, install, one.request, install))
        if install.options is None and one.request.style == "lines":
            title = (
                f"Take {one.row.package} out of the file, for a `pip install --no-build-isolation` afterwards"
            )
            yield edit.fix(title, [edit.remove(one.request)])
        return
    torch = next((other.install for other in timeline.moments if _brings_torch(other, install)), None)
    if torch is not None:
        title = f"Install {one.row.package} after torch, without isolation"
        yield edit.fix(title, _later(timeline, install, one.request, torch))


def _brings_torch(moment: Moment, before: Install) -> bool:
    """Whether an install is a later command of the same file, and torch comes with it."""
    at = moment.install.at
    later = at.source.path == before.at.source.path and at.start > before.at.end
    return later and "torch" in moment.after and "torch" not in moment.before


def _later(timeline: Timeline, install: Install, request: Request, after: Install) -> list[Edit | None]:
    """Take a request out of its command and write a RUN with it after the instruction of another."""
    if install.options is None or request.style not in ("lines", "shell"):
        return [None]
    source = install.at.source
    verb = source.text[install.at.start : install.options.start]
    if "\n" in verb or not re.search(r"\binstall\s*$", verb):
        return [None]
    flags = "".join(f" --{one}" for one in ("system", "break-system-packages") if one in install.flags)
    word = request.at.text if request.style == "shell" else f'"{request.at.text}"'
    if request.style == "lines" and not re.search(r"[<>|&;()\s*?!]", request.at.text):
        word = request.at.text
    line = f"RUN {verb.strip()}{flags} --no-build-isolation {word}"
    gone = torch_fixes.removed(timeline, [request])
    return [*gone, edit.line_after(_end_of_instruction(after.at), line)]


def _end_of_instruction(at: Span) -> Span:
    """The last line of the instruction: lines that end with a backslash go on."""
    source = at.source
    line = source.position(max(at.start, at.end - 1))[0]
    while line < len(source.starts) and source.line(line).rstrip().endswith("\\"):
        line += 1
    start = source.starts[line - 1]
    return Span(source, start, start + len(source.line(line)))


def _toolkit(timeline: Timeline, moment: Moment, one: _Build) -> Iterator[Verdict]:
    """It must be compiled, and there is no nvcc."""
    install = moment.install
    if one.row.nvcc != "needed" or toolkit(timeline, install) is not False:
        return
    if "FLASH_ATTENTION_SKIP_CUDA_BUILD" in {**install.variables, **timeline.variables}:
        return
    torch = moment.after.get("torch")
    known = torch is not None and torch.exact and (torch.variant.startswith("cu") or not torch.variant)
    if one.request.url or not one.row.fetches or forced(timeline, install):
        without: bool | None = True
    elif not known or torch is None or one.row.package != "flash-attn":
        return
    else:
        python = timeline.python.version
        found = [prebuilt(version, torch, python) for version in one.versions[:1]]
        without = bool(found) and found[0] is False
    if not without:
        return
    base = timeline.base.reference if timeline.base is not None else ""
    for_torch = f" for torch {torch.exact}" if torch is not None and torch.exact else ""
    certain = install.certain and len(one.versions) == 1
    yield verdict(
        TOOLKIT,
        "error" if certain else "warning",
        one.request.at,
        f"{one.shown} has no wheel{for_torch}, so it is compiled, and {base} has no nvcc",
        about=(one.row.package,),
        cause="the build ends with `nvcc was not found` or `CUDA_HOME environment variable is not set`",
        source=one.row.source,
        fixes=_toolkit_fixes(timeline, moment, one),
    )


def _toolkit_fixes(timeline: Timeline, moment: Moment, one: _Build) -> Iterable[Fix | None]:
    """A version with a wheel; the wheel itself; a base with the toolkit."""
    torch, python = moment.after.get("torch"), timeline.python.version
    if one.row.package == "flash-attn" and not one.request.url and torch is not None and torch.exact:
        cuda = torch.variant or facts.default_cuda(torch.exact) or ""
        for version in facts.flash_attn_versions(torch.exact, cuda, python)[:1]:
            yield edit.fix(f"Pin flash-attn to {version}", [edit.pin(one.request, version)])
            abi = facts.cxx11_abi(torch.exact, cuda)
            url = facts.flash_attn_url(version, torch.exact, cuda, python, abi=bool(abi)) if python else None
            if url and abi is not None and one.request.style == "shell":
                yield edit.fix(
                    f"Install the wheel of flash-attn {version} for torch {torch.exact}",
                    [edit.replace(one.request.at, url)],
                )
    base = timeline.root.base
    if base is not None and base.reference:
        devel = re.sub(r"-(?:base|runtime)(?=-|$)", "-devel", base.reference)
        if devel != base.reference:
            yield edit.fix(f"Start from {devel}", edit.rebase(base, devel))
