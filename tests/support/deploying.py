"""Deployments of small services for tests: real load balancers, real runs of the engine, short times."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from seatrial.clock import SystemClock
from seatrial.engine.journal import Journal
from seatrial.services import records, revisions, starting, target
from seatrial.services.model import folder
from support.registries import need
from support.standing import PROGRAM, every_process, settings
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from seatrial.services.records import Ask, Event, ServiceDeployment


class Deploying:
    """A state folder in which services are deployed."""

    def __init__(self, home: Path, project: Path) -> None:
        self.home, self.project = home, project
        self.journal = Journal(home)

    def piece(
        self,
        version: str,
        name: str = "svc",
        *,
        env: Mapping[str, str] | None = None,
        replicas: int = 1,
        **deploy: Any,
    ) -> starting.Piece:
        """A version of a service whose answers are its name; nothing is compared unless `analysis` is given."""
        service = settings(
            command=[sys.executable, str(PROGRAM), version],
            env=dict(env or {}),
            replicas=replicas,
            deploy={"strategy": "all-at-once", "analysis": None, "keep_old": 0, **deploy},
        )
        revision = revisions.from_command(self.home, name, self.project, service)
        return starting.Piece(name, service, revision, revision.cwd)

    def start(self, *pieces: starting.Piece, **wanted: Any) -> ServiceDeployment:
        """Write a deployment down."""
        return starting.start(self.journal, starting.Wanted(pieces, **wanted))[0]

    def finish(self, one: ServiceDeployment) -> ServiceDeployment:
        """Carry a deployment out."""
        starting.carry_out(self.journal, one.id)
        return records.load(self.home, one.id)

    def deploy(self, version: str, name: str = "svc", **values: Any) -> ServiceDeployment:
        """Deploy a version to its end."""
        return self.finish(self.start(self.piece(version, name, **values)))

    @contextmanager
    def going(self, one: ServiceDeployment) -> Iterator[None]:
        """Carry a deployment out beside the block, and wait for its end afterwards; stops it when the block fails."""

        def work() -> None:
            journal = Journal(self.home)
            starting.carry_out(journal, one.id)
            journal.close()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        except BaseException:
            with suppress(Exception):
                starting.stop(Journal(self.home), one.id)
            raise
        finally:
            thread.join()

    def ask(self, one: ServiceDeployment, what: Ask) -> None:
        """Ask by hand."""
        records.ask(self.home, one.id, what, now=SystemClock().now())

    def load(self, one: ServiceDeployment) -> ServiceDeployment:
        """The deployment as it is now."""
        return records.load(self.home, one.id)

    def told(self, one: ServiceDeployment, kind: str = "") -> list[Event]:
        """What happened, of one kind or all."""
        return [event for event in records.events(self.home, one.id) if kind in ("", event.kind)]

    def await_share(self, one: ServiceDeployment, share: float) -> None:
        """Wait until the new version is asked to have so many percent, and has them."""

        def has() -> bool:
            shift = records.shift_of(self.home, one.id)
            if shift is None or shift.share != share:
                return False
            return all(self.shares(part.service).get(part.after, 0) == share for part in one.parts)

        until(has, f"{share} % of the traffic")

    def shares(self, name: str = "svc") -> dict[str, float]:
        """Percent of the traffic by revision, as it is in force in the load balancer."""
        wanted, _ = target.look(self.home, name)
        weights = {
            slot.name: slot.weight for slot in target.status(self.home, name).slots.values() if slot.up
        }
        total = sum(weights.values())
        found: dict[str, float] = {}
        for wish in wanted.instances:
            found[wish.revision] = found.get(wish.revision, 0) + 100 * weights.get(wish.slot, 0) / total
        return {revision: share for revision, share in found.items() if share}

    def port(self, name: str = "svc") -> int:
        """Where the service is asked."""
        return target.look(self.home, name)[0].listening.port

    def outputs(self, one: ServiceDeployment) -> dict[str, Any]:
        """What the run says came of it."""
        found: dict[str, Any] = self.journal.outputs(self.load(one).run)["close"]
        return found


@contextmanager
def deploying(home: Path, *names: str) -> Iterator[Deploying]:
    """Deploy services (by default svc) for the length of a block; afterwards nothing of them may be left."""
    need("haproxy")
    project = home / "project"
    project.mkdir()
    (project / "model.txt").write_text("weights")
    state = home / "state"
    state.mkdir()
    try:
        yield Deploying(state, project)
    finally:
        places = [folder(state, name) for name in names or ("svc",)]
        for place in places:
            with suppress(Exception):
                target.down(state, place.name)
        left = [pid for place in places for pid in every_process(place)]
    assert not left, f"left: {left}"
