"""Markers for the image, never for this machine. Source: PEP 508 and the specification of dependency specifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.target import Target


def full_version(target: Target, python: str) -> str:
    """`3.11.2`; where nobody says the last number, the first release, so that backports are rather installed than missed."""
    return python if python.count(".") > 1 else f"{target.python}.0"


def marker_environment(target: Target, python: str = "") -> dict[str, str]:
    """What markers compare with on CPython `python` (`3.11.2`) of the target."""
    full = full_version(target, python)
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": target.architecture,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full,
        "python_version": target.python,
        "sys_platform": "linux",
    }


def holds(
    marker: str,
    environment: dict[str, str],
    *,
    extras: Iterable[str] = (),
    groups: Iterable[str] = (),
    where: str = "",
) -> bool:
    """Whether a marker holds; `extra == …` for any of the extras, and lock files' `extras` and `dependency_groups`.

    Raises:
        SeatrialError: it is no marker.
    """
    if not marker:
        return True
    from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
    from packaging.utils import canonicalize_name

    wanted = frozenset(map(canonicalize_name, extras))
    chosen = frozenset(map(canonicalize_name, groups))
    try:
        parsed = Marker(marker)
        if "extras" in marker or "dependency_groups" in marker:
            sets = {**environment, "extras": wanted, "dependency_groups": chosen}
            return parsed.evaluate(sets, context="lock_file")  # type: ignore[arg-type]
        return any(parsed.evaluate({**environment, "extra": one}) for one in ("", *sorted(wanted)))
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName) as error:
        raise SeatrialError(
            f"{marker!r} is no environment marker", where=where or None, why=str(error)
        ) from error


def allows(specifier: str, target: Target, python: str) -> bool:
    """Whether a `requires-python` lets the target's Python in; an unknown last number is taken as any."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    versions = [python] if python.count(".") > 1 else [f"{target.python}.0", f"{target.python}.99"]
    try:
        return any(SpecifierSet(specifier).contains(one, prereleases=True) for one in versions)
    except InvalidSpecifier:
        return True
