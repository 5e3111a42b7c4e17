"""Repairs around pip: versions that exist, build dependencies, and a Python that the system keeps for itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.builders.repairs import editing
from seatrial.images.builders.repairs.case import Fix
from seatrial.images.builders.repairs.project import Change
from seatrial.sources.edits import edited

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.builders.repairs.case import Case
    from seatrial.images.builders.repairs.tables import Way

_PIP_INSTALL = re.compile(
    r"(?<![\w./-])((?:python[\d.]*\s+-m\s+)?(?:\S*/)?pip[\d.]*)((?:\s+-\S+)*\s+install\b)"
)
_VERSIONS = re.compile(r"Could not find a version that satisfies the requirement (?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?(?P<asked>[^\s(]*).*?\(from versions: (?P<versions>[^)]*)\)")  # fmt: skip
_FILES = re.compile(r"(?:^|/)[^/]*(?:requirements|constraints)[^/]*\.(?:txt|in)$|(?:^|/)pyproject\.toml$")
# Modules whose package has another name. Source: the packages' own metadata.
_PACKAGES = {"Cython": "cython", "sklearn": "scikit-learn", "yaml": "pyyaml", "cv2": "opencv-python-headless", "PIL": "pillow", "bs4": "beautifulsoup4", "dotenv": "python-dotenv", "pkg_resources": "setuptools<81"}  # fmt: skip
_BUILDING = re.compile(r"Getting requirements to build|Preparing metadata|setup\.py egg_info|Building wheel|get_requires_for_build|build backend", re.IGNORECASE)  # fmt: skip


def break_system_packages(case: Case, _way: Way) -> Iterator[Fix | None]:
    """In an image the system's Python is the application's. Source: PEP 668, "Guide users towards virtual environments"."""

    def edit(text: str) -> str:
        return _PIP_INSTALL.sub(
            lambda m: m[0] if "--break-system-packages" in text else f"{m[0]} --break-system-packages", text
        )

    yield editing.within(case, "Let pip install beside the system's own packages", edit)


def newer_pip(case: Case, _way: Way) -> Iterator[Fix | None]:
    """An old pip knows neither new wheel tags nor new metadata."""
    yield from _before_pip(case, "Upgrade pip, which is too old for the package", "--upgrade pip")


def older_setuptools(case: Case, _way: Way) -> Iterator[Fix | None]:
    """Old source releases use what setuptools dropped: `pkg_resources` in 81, more before.

    A constraint also reaches the isolated environment that pip builds in. Source: pip, "Constraints Files".
    """
    if case.failed is None or "PIP_CONSTRAINT" in case.dockerfile.source.text:
        return
    place = "/tmp/build-constraints.txt"  # noqa: S108 - a file in the image's step

    def edit(text: str) -> str:
        head = f"echo 'setuptools<70' > {place} && "
        done, count = _PIP_INSTALL.subn(rf"PIP_CONSTRAINT={place} \1\2", text)
        first = re.search(r"PIP_CONSTRAINT=", done)
        return done[: first.start()] + head + done[first.start() :] if count and first else text

    yield editing.within(case, "Build with an older setuptools, which still has what the package uses", edit)
    yield from _before_pip(case, "Install setuptools, which Python no longer brings", "'setuptools<81' wheel")


def build_dependency(case: Case, _way: Way) -> Iterator[Fix | None]:
    """What a build imports and does not declare is installed first, and the build sees it."""
    module = case.captured("module").partition(".")[0]
    if not module or not re.fullmatch(r"[A-Za-z_]\w*", module):
        return
    package = _PACKAGES.get(module, module)
    building = _BUILDING.search(case.log) is not None
    if not building and module not in _PACKAGES and not _known_module(module):
        return
    quoted = f"'{package}'" if "<" in package else package
    if not building:
        yield from _before_pip(case, f"Install {package}, which is imported", quoted)
        return
    at = case.failed
    if at is None:
        return
    source = case.dockerfile.source
    text = source.text[at.start : at.end]
    found = _PIP_INSTALL.search(text)
    if found is None:
        return
    mark = at.start + found.start()
    end = at.start + found.end()
    flag = "" if "--no-build-isolation" in text else " --no-build-isolation"
    wheel = "" if package.startswith("setuptools") else " setuptools wheel"
    spans = [(mark, mark, f"{found[0]} {quoted}{wheel} && "), (end, end, flag)]
    yield editing.changed(
        case, f"Install {package} before the build that needs it, and let the build see it", spans
    )


def _known_module(module: str) -> bool:
    return module in (
        "torch",
        "numpy",
        "packaging",
        "wheel",
        "psutil",
        "pybind11",
        "setuptools",
        "requests",
        "tqdm",
    )


def nearest_version(case: Case, _way: Way) -> Iterator[Fix | None]:
    """A version that the index has for this Python and platform, instead of one that it has not."""
    for found in _VERSIONS.finditer(case.log):
        wanted = nearest(found["asked"], [one.strip() for one in found["versions"].split(",")])
        if wanted:
            title = f"Ask for {found['name']} {wanted}, the nearest version that this Python and platform can have"
            yield _pinned(case, title, found["name"], wanted)
            return


def nearest(asked: str, versions: list[str]) -> str:
    """The version next to the asked one: same major and minor, then same major, then above, then the newest; "" for none.

    `asked` is a specifier, `versions` what the index has. Prereleases are taken only when there is nothing else.
    """
    from packaging.version import InvalidVersion, Version

    known = []
    for text in versions:
        try:
            known.append(Version(text))
        except InvalidVersion:
            continue
    known = sorted([one for one in known if not one.is_prerelease] or known)
    number = re.search(r"\d[\w.!+-]*", asked)
    if not known or number is None:
        return ""
    try:
        wish = Version(number[0].rstrip(".*"))
    except InvalidVersion:
        return str(known[-1])
    for same in (2, 1):
        near = [one for one in known if one.release[:same] == wish.release[:same]]
        if near:
            above = [one for one in near if one >= wish]
            return str((above or near[-1:])[0])
    above = [one for one in known if one > wish]
    return str(above[0] if above else known[-1])


def _pinned(case: Case, title: str, name: str, version: str) -> Fix | None:
    """Write the version where the package is asked for: requirement files first, then the Dockerfile."""
    spelled = re.sub(r"[-_.]+", "[-_.]+", re.escape(name).replace(r"\-", "-").replace(r"\.", "."))
    asked = re.compile(
        rf"(?<![\w./=-])(?P<name>{spelled}(?:\[[^\]]*\])?)\s*(?P<spec>(?:===?|~=|>=|>|<=|<|!=)[^;#\s\"'\\]*)",
        re.IGNORECASE,
    )
    paths = [path for path in case.project.files() if _FILES.search(path)]
    for path in [*paths, case.project.dockerfile]:
        source = case.dockerfile.source if path == case.project.dockerfile else case.project.source(path)
        found = asked.search(source.text) if source else None
        if source and found:
            after = edited(source, [(found.start("spec"), found.end("spec"), f"=={version}")])
            return Fix(title=title, changes=(Change(path=path, content=after.encoded()),))
    return None


def named_instead_of_wheel(case: Case, _way: Way) -> Iterator[Fix | None]:
    """A wheel of another platform or Python is asked for by its file: its name and version find the right one."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    wheel = case.captured("wheel").rpartition("/")[2]
    try:
        name, version, _, _ = parse_wheel_filename(wheel)
    except InvalidWheelFilename:
        return
    pattern = re.compile(rf"(?:{name}\s*@\s*)?[^\s\"']*{re.escape(wheel)}(?:#\S+)?", re.IGNORECASE)
    paths = [path for path in case.project.files() if _FILES.search(path)]
    for path in [*paths, case.project.dockerfile]:
        source = case.project.source(path)
        if source and pattern.search(source.text):
            text = pattern.sub(f"{name}=={version}", source.text)
            change = Change(path=path, content=edited(source, [(0, len(source.text), text)]).encoded())
            yield Fix(
                title=f"Ask for {name} {version} by name: that wheel is for another platform",
                changes=(change,),
            )
            return


def _before_pip(case: Case, title: str, words: str) -> Iterator[Fix | None]:
    """The same pip installs something else first, in the same step."""
    done = []

    def edit(text: str) -> str:
        found = _PIP_INSTALL.search(text)
        if found is None or f"install {words}" in text:
            return text
        done.append(found)
        flags = " --break-system-packages" if "--break-system-packages" in text else ""
        return f"{text[: found.start()]}{found[0]}{flags} {words} && {text[found.start() :]}"

    yield editing.within(case, title, edit)
    if not done and case.failed is not None:
        yield editing.before(case, title, [f"RUN python3 -m pip install {words}"], root=True)
