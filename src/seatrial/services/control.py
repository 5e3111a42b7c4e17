"""Fresh instances of the old version with as much traffic as the new one has: what the new version is compared with.

A version that has just been started, or that is asked seldom, answers more slowly than one that is busy, whatever its
code. Compared with those that have most of the traffic a new version that is the same would look slower.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.engine import identity
from seatrial.errors import SeatrialError
from seatrial.processes import proportional
from seatrial.services import target
from seatrial.services.model import ALL, control_of

if TYPE_CHECKING:
    from seatrial.deployments.shifting.strategy import Strategy
    from seatrial.services.model import Actual, Revision, Wanted
    from seatrial.services.records import Part

_ROOM = 2.0
"""So many times what it will need must be free."""
_DEVICES = ("nvidia0", "nvidiactl", "kfd")


def there(wanted: Wanted, part: Part) -> bool:
    """Whether the old version of a part has a control."""
    return control_of(part.before) in wanted.revisions


def shares(wanted: Wanted, part: Part, share: float) -> dict[str, float]:
    """Percent of the traffic by revision when the new version has `share`; from half on the old one is the control."""
    if there(wanted, part) and _is_small(share):
        return {part.after: share, control_of(part.before): share, part.before: ALL - 2 * share}
    return {part.after: share, part.before: ALL - share}


def compared_with(wanted: Wanted, part: Part, share: float) -> str:
    """The revision that the new version is compared with while it has `share` percent."""
    return control_of(part.before) if there(wanted, part) and _is_small(share) else part.before


def serves(part: Part, strategy: Strategy) -> bool:
    """Whether a part is to be compared with a control in any step of a strategy."""
    judged = part.compared and part.deploy.analysis is not None and part.deploy.control != "never"
    return judged and any(_is_small(step.share) for step in strategy.steps)


def _is_small(share: float) -> bool:
    """Whether as much again is left for a control, and some for the others."""
    return 0 < 2 * share < ALL


def why_not(part: Part, actual: Actual) -> str:
    """Why a part gets no control where one would serve, '' when it does."""
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
    """Start the control of a part where it can have one, and say what was done."""
    _, actual = target.look(home, part.service)
    why = why_not(part, actual)
    if why:
        return f"compared with all of {part.before}: {why}"
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


def _memory(pid: int) -> int:
    """Bytes that a process and those below it use, shared ones by their part."""
    return sum(proportional(one) for one in (pid, *identity.descendants(pid)))


def _free() -> int:
    """Bytes of memory that can be had. Source: proc(5), meminfo."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
