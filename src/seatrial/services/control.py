"""Fresh instances of the old version with as much traffic as the new one has: what the new version is compared with.

A version that has just been started, or that is asked seldom, answers more slowly than one that is busy, whatever its
code. Compared with those that have most of the traffic a new version that is the same would look slower.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.engine import identity
from seatrial.errors import SeatrialError
from seatrial.services import target
from seatrial.services.model import control_of

if TYPE_CHECKING:
    from seatrial.services.model import Actual, Revision, Wanted
    from seatrial.services.records import Part

_ALL = 100.0
_ROOM = 2.0
"""So many times what it will need must be free."""
_DEVICES = ("nvidia0", "nvidiactl", "kfd")


def there(wanted: Wanted, part: Part) -> bool:
    """Whether the old version of a part has a control."""
    return control_of(part.before) in wanted.revisions


def shares(wanted: Wanted, part: Part, share: float) -> dict[str, float]:
    """Percent of the traffic by revision when the new version has `share`; from half on the old one is the control."""
    if there(wanted, part) and 2 * share < _ALL:
        return {part.after: share, control_of(part.before): share, part.before: _ALL - 2 * share}
    return {part.after: share, part.before: _ALL - share}


def compared_with(wanted: Wanted, part: Part, share: float) -> str:
    """The revision that the new version is compared with while it has `share` percent."""
    return control_of(part.before) if there(wanted, part) and 0 < 2 * share < _ALL else part.before


def why_not(part: Part, actual: Actual) -> str:
    """Why a part gets no control, '' when it does."""
    if part.deploy.control == "never" or part.deploy.analysis is None or not part.compared:
        return "none is wanted"
    if part.deploy.control == "always":
        return ""
    if found := [name for name in _DEVICES if Path("/dev", name).exists()]:
        return f"it could take the memory of the GPU (/dev/{found[0]})"
    pids = [one.process.pid for one in actual.instances if one.revision == part.before and one.process]
    needed = sum(_memory(pid) for pid in pids) / max(1, len(pids)) * part.replicas
    if _ROOM * needed > _free():
        return f"there is not enough memory for {part.replicas} more instances of {needed / part.replicas / 1e6:.0f} MB"
    return ""


def install(home: Path, part: Part, revision: Revision) -> str:
    """Start the control of a part where it gets one, and say what was done."""
    _, actual = target.look(home, part.service)
    why = why_not(part, actual)
    if why:
        return "" if why == "none is wanted" else f"compared with all of {part.before}: {why}"
    one = msgspec.structs.replace(revision, id=control_of(revision.id))
    try:
        target.install(home, part.service, one, part.replicas)
        target.await_ready(home, part.service, one.id)
    except SeatrialError as error:
        end(home, part)
        return f"compared with all of {part.before}: {error.what}"
    many = "1 fresh instance" if part.replicas == 1 else f"{part.replicas} fresh instances"
    return (
        f"{many} of {part.before} started as well: below 50 % of the traffic the new version is compared with "
        f"{'it' if part.replicas == 1 else 'them'}, at the same share"
    )


def end(home: Path, part: Part) -> None:
    """Remove the control of a part, if there is one."""
    if there(target.look(home, part.service)[0], part):
        target.remove(home, part.service, control_of(part.before))


def _memory(pid: int) -> float:
    """Bytes that a process and those below it use, shared ones by their part."""
    return sum(_used(one) for one in (pid, *identity.descendants(pid)))


def _used(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return float(found[1]) * 1024 if found else 0.0


def _free() -> float:
    """Bytes of memory that can be had."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return (
        float(found[1]) * 1024 if found else float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    )
