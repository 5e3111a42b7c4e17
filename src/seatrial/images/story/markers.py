"""Environment markers, as far as a Linux image decides them whatever its Python is."""

from __future__ import annotations

import functools

from seatrial.images.facts.published import linux

_PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


@functools.lru_cache(maxsize=4096)
def may_hold(
    marker: str, *, extras: tuple[str, ...] = (), project: str = "", groups: tuple[str, ...] = ()
) -> bool:
    """Whether a marker can hold on 64-bit Linux with some CPython; a marker that cannot be read may."""
    from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName

    if not marker:
        return True
    try:
        parsed = Marker(marker)
    except InvalidMarker:
        return True
    # https://docs.astral.sh/uv/concepts/projects/config/#conflicting-dependencies: extras and groups in a lock are named
    # with their length and the project's, so that no real extra can be meant.
    names = ["", *extras]
    names += [f"extra-{len(project)}-{project}-{one}" for one in extras]
    names += [f"group-{len(project)}-{project}-{one}" for one in groups]
    try:
        return any(
            parsed.evaluate(linux(python, name))
            for python in (_PYTHONS if "python" in marker else _PYTHONS[-1:])
            for name in (names if "extra" in marker else names[:1])
        )
    except (UndefinedComparison, UndefinedEnvironmentName):
        return True
