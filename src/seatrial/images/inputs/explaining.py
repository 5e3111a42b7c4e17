"""What uv printed, as what is wrong, why, and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.images.uv_program import clean, failure

if TYPE_CHECKING:
    from seatrial.images.target import Target
    from seatrial.processes import Completed

_OFFLINE = re.compile(r"network was disabled|not found in the cache|needs to be downloaded")


def explain_failure(done: Completed, where: str, target: Target, *, offline: bool = False) -> SeatrialError:
    """Turn what uv printed into what, why and what next."""
    text = clean(done.stderr or done.stdout)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("warning:")]
    causes = " ".join(
        re.sub(r"^(cause|├─▶|╰─▶|Caused by):?\s*", "", line.strip())
        for line in lines[1:]
        if not line.startswith("hint:")
    ).strip()
    first = (
        re.sub(r"^(error:|\u00d7)\s*", "", lines[0].strip()) if lines else "uv ended without an explanation"
    )
    if _OFFLINE.search(text) and (offline or "network was disabled" in text):
        missing = sorted(set(re.findall(r"Because ([A-Za-z0-9._-]+) was not found in the cache", text)))
        return SeatrialError(
            f"{', '.join(missing) or 'a package'} is not on this machine", where=where, why=causes or first,
            fix="put its wheel into a folder that `--find-links` names, or run once without `--offline`",
        )  # fmt: skip
    kind = failure(done)
    if kind == "no-wheel":
        return SeatrialError(
            f"not every requirement has a wheel for {target}", where=where, why=causes or first,
            fix="choose versions that have wheels or source archives for this target",
        )  # fmt: skip
    if kind == "unsatisfiable":
        return SeatrialError(
            f"the requirements cannot be satisfied together for {target}", where=where, why=causes or first,
            fix="loosen one of the requirements named above",
        )  # fmt: skip
    if kind == "unreachable":
        return SeatrialError(
            "the package index cannot be asked", where=where, why=f"{first}. {causes}".strip(),
            fix="check the network, the index address (UV_INDEX_URL) and its credentials, then run the same command",
        )  # fmt: skip
    return SeatrialError(first, where=where, why=causes or None, fix="correct the requirements file")
