"""Environment markers, for 64-bit Linux and a Python that may not be known."""

from __future__ import annotations

from functools import cache

from seatrial.images.facts.published import linux


@cache
def holds(marker: str, python: str) -> bool:
    """Whether a requirement with `marker` counts on CPython `python`; without one, on any Python that is likely.

    A marker that cannot be read counts as true: pip would refuse it, and the readers say so.
    """
    from packaging.markers import InvalidMarker, Marker

    try:
        parsed = Marker(marker)
    except InvalidMarker:
        return True
    return any(parsed.evaluate(linux(one)) for one in ((python,) if python else _LIKELY))


# Where nothing says which Python it is, a marker counts if it holds for one that is still in use.
_LIKELY = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
