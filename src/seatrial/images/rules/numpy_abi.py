"""image/numpy-abi: wheels compiled against NumPy 1 beside NumPy 2, which no resolver sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.findings import Finding, Rule, Severity
from seatrial.images import facts
from seatrial.images.fix import cap_numpy, raise_to
from seatrial.images.versions import pinned, reaches, stays_below
from seatrial.sources.text import finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging.specifiers import SpecifierSet

    from seatrial.findings import Fix, Place
    from seatrial.images.facts import Compiled
    from seatrial.images.requirements import Asked, RequirementSet

RULE = Rule(
    id="image/numpy-abi",
    severity="error",
    title="A wheel compiled against NumPy 1 meets NumPy 2",
    explanation=(
        "NumPy 2 changed its binary interface. A package compiled against NumPy 1 cannot use it, but its metadata "
        "often does not say so: a resolver puts both together and the failure comes when the image runs. "
        "An error when both versions are asked for, a warning when numpy is left open so that a resolver will choose 2. "
        "The fix keeps numpy below 2; raising the package to its first version for NumPy 2 works as well."
    ),
    source="https://numpy.org/doc/stable/dev/depending_on_numpy.html#numpy-2-0-specific-advice",
    example="onnxruntime==1.17.3\nnumpy==2.0.2\n",
)

# CPython versions that a project which names none is likely to run on, and that NumPy 2 has wheels for.
_LIKELY_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_OLDEST_WITH_NUMPY_2 = (3, 9)


def check(asked: RequirementSet, *, python: str | None = None) -> list[Finding]:
    """Findings about requirements that were not resolved. `python` is the target's, None when not known."""
    if not asked.asked:
        return []
    found = [_check_package(asked, package, python) for package in facts.numpy_abi().packages]
    return [one for one in found if one is not None]


def check_resolved(
    resolved: Mapping[str, str], requirements: Sequence[RequirementSet], *, python: str | None = None
) -> list[Finding]:
    """Findings about what a resolver chose: name → version. All are errors: nothing is left open."""
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    chosen: dict[str, str] = {canonicalize_name(name): version for name, version in resolved.items()}
    if "numpy" not in chosen or Version(chosen["numpy"]) < Version("2"):
        return []
    found = []
    for package in facts.numpy_abi().packages:
        version = chosen.get(package.name)
        # Between `below` and `fixed` the metadata forbids NumPy 2, which an override can have lifted.
        if version is None or Version(version) >= Version(package.fixed):
            continue
        message = _message(package, version, f"numpy {chosen['numpy']}")
        found.append(_finding(package, "error", requirements, message, python))
    return [one for one in found if one is not None]


def _check_package(asked: RequirementSet, package: Compiled, python: str | None) -> Finding | None:
    requests = asked.named(package.name)
    if all(one.constraint for one in requests):
        return None
    pythons = (python,) if python else _LIKELY_PYTHONS
    verdicts = {one: _verdict(asked, package, one, known=python is not None) for one in pythons}
    failing = [one for one, verdict in verdicts.items() if verdict is not None]
    if not failing:
        return None
    certain = all(verdict == "error" for verdict in verdicts.values())
    severity: Severity = "error" if certain else "warning"
    version = next((v for one in requests if (v := pinned(one.specifiers))), "") or str(
        requests[0].specifiers
    )
    beside = _numpy_words(asked, certain=certain)
    where = "" if len(failing) == len(pythons) else f" on Python {_listed(failing)}"
    message = _message(package, version, beside) + where
    return _finding(package, severity, [asked], message, python or failing[0])


def _verdict(asked: RequirementSet, package: Compiled, python: str, *, known: bool) -> Severity | None:
    """What happens to one package on one Python."""
    active = [one for one in asked.asked if not one.direct and one.holds_for(python)]
    wanted, numpy = _combined(active, package.name), _combined(active, "numpy")
    installed = any(one.name == package.name and not one.constraint for one in active)
    if not installed or _too_old(python) or not stays_below(wanted, package.below) or stays_below(numpy, "2"):
        return None
    if reaches(numpy, "2"):
        return "error"
    return "warning" if _likely(active, package, wanted, known=known) else None


def _likely(active: Sequence[Asked], package: Compiled, wanted: SpecifierSet, *, known: bool) -> bool:
    """Whether a resolver will choose NumPy 2 although nothing asks for it."""
    if package.pinned_only or _metadata_caps(active):
        return False
    if not known and stays_below(wanted, _oldest_measured(package)):
        # So old that the project may well run on a Python that NumPy 2 does not support.
        return False
    brings = facts.numpy_abi().brings_numpy | {"numpy"}
    return package.name != "torch" or any(one.name in brings for one in active)


def _listed(versions: Sequence[str]) -> str:
    *others, last = versions
    return f"{', '.join(others)} and {last}" if others else last


def _combined(active: Sequence[Asked], name: str) -> SpecifierSet:
    from packaging.specifiers import SpecifierSet

    combined = SpecifierSet()
    for one in active:
        if one.name == name:
            combined &= one.specifiers
    return combined


def _too_old(python: str) -> bool:
    """Whether NumPy 2 has nothing for this Python, so that a resolver takes NumPy 1 anyway."""
    return tuple(int(part) for part in python.split(".")[:2]) < _OLDEST_WITH_NUMPY_2


def _oldest_measured(package: Compiled) -> str:
    from packaging.version import Version

    failed = package.failed
    if package.same_as:
        failed = next(one.failed for one in facts.numpy_abi().packages if one.name == package.same_as)
    return str(min(map(Version, failed)))


def _metadata_caps(active: Sequence[Asked]) -> bool:
    """Whether something asked for says numpy<2 itself."""
    for capped in facts.numpy_abi().capped:
        wanted = [one for one in active if one.name == capped.name]
        if wanted:
            versions = _combined(wanted, capped.name)
            if stays_below(versions, capped.end) and not stays_below(versions, capped.first):
                return True
    return False


def _numpy_words(asked: RequirementSet, *, certain: bool) -> str:
    requests = [one for one in asked.named("numpy") if str(one.specifiers)]
    if certain and requests:
        return f"numpy{requests[0].specifiers}"
    return "the NumPy 2 that a resolver will choose"


def _message(package: Compiled, version: str, beside: str) -> str:
    shown = f"{package.name}{version}" if version[:1] in "<>=~!" else f"{package.name} {version}"
    return f"{shown} was compiled against NumPy 1 and does not work with {beside}"


def _finding(
    package: Compiled, severity: Severity, sets: Sequence[RequirementSet], message: str, python: str | None
) -> Finding | None:
    if not sets:
        return None
    requests = [one for asked in sets for one in asked.named(package.name)]
    place = _place(sets, requests)
    cap = cap_numpy(sets, requests, python)
    higher = raise_to(requests, package.fixed)
    fixes: list[Fix] = [one for one in (cap, higher) if one is not None]
    cause = package.how
    if not fixes and any(one.locked for asked in sets for one in asked.asked):
        cause += (
            "; the file has hashes, so no line of it can be edited alone: keep numpy below 2 in the file that it was "
            "compiled from, and compile it again"
        )
    return finding(
        RULE.id,
        severity,
        place,
        message,
        cause=cause,
        source=package.source,
        fix=fixes[0] if fixes else None,
        alternatives=tuple(fixes[1:]),
    )


def _place(sets: Sequence[RequirementSet], requests: Sequence[Asked]) -> Place:
    """The line that asked for the package, else the line that asked for numpy, else the first line there is."""
    for one in (*requests, *(numpy for asked in sets for numpy in asked.named("numpy"))):
        return one.source.place(one.line.start, one.line.end)
    return sets[0].sources[0].place(0)
