"""What a new version is compared with: fresh instances of the old one that have as much traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seatrial.services import control, target
from seatrial.services.model import control_of
from support.deploying import deploying
from support.load import load
from support.standing import instances
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from support.deploying import Deploying

EAGER: dict[str, Any] = {
    "analysis": {"min_requests": 20, "min_batches": 8, "latency_least": 10.0},
    "control": "always",
    "patience": 3600,
}


@pytest.mark.parametrize("end", ["promote", "roll back"])
def test_the_control_has_as_much_traffic_and_goes_with_the_deployment(tmp_path: Path, end: str) -> None:
    with deploying(tmp_path) as here:
        first = here.deploy("one")
        second = here.start(here.piece("two", strategy="canary:20%:1h", **EAGER))
        before, after = second.parts[0].before, second.parts[0].after
        with here.going(second):
            here.await_share(second, 20)
            assert here.shares() == {before: 60, control_of(before): 20, after: 20}
            assert any("1 fresh instance of" in event.text for event in here.told(second, "note"))
            with load(here.port(), clients=2) as clients:
                until(lambda: _verdict(here, second) is not None, "a verdict")
                seen = clients.take(200)
                assert abs(100 * seen["two"] / seen.total() - 20) <= 1.5
            here.ask(second, "promote" if end == "promote" else "roll back")
        old, new = _verdict(here, second)["requests"]
        assert abs(old - new) <= 0.1 * new  # the control's, not those of all that is old
        wanted, _ = target.look(here.home, "svc")
        assert control_of(before) not in wanted.revisions
        left = {after} if end == "promote" else {before}
        assert {one.revision for one in instances(here.home)} == left
        assert first.parts[0].after == before
        assert set(here.shares()) == left


def test_without_one_the_new_version_is_compared_with_all_of_the_old(tmp_path: Path) -> None:
    with deploying(tmp_path) as here:
        here.deploy("one")
        second = here.start(here.piece("two", strategy="canary:20%:1h", **{**EAGER, "control": "never"}))
        with here.going(second):
            here.await_share(second, 20)
            assert here.shares() == {second.parts[0].before: 80, second.parts[0].after: 20}
            here.ask(second, "promote")


def test_shares_are_all_of_the_traffic(tmp_path: Path) -> None:
    with deploying(tmp_path) as here:
        here.deploy("one")
        part = here.start(here.piece("two", strategy="canary:20%:1h", **EAGER)).parts[0]
        before, _ = target.look(here.home, "svc")
        control.install(here.home, part, before.revisions[part.before])
        wanted, _ = target.look(here.home, "svc")
        for share in (0.5, 1, 10, 33.3, 49.9, 50, 75, 100):
            found = control.shares(wanted, part, share)
            assert control.shares(before, part, share) == {part.before: 100 - share, part.after: share}
            assert sum(found.values()) == pytest.approx(100)
            assert min(found.values()) >= 0
            assert found[part.after] == share
            assert found.get(control_of(part.before), 0) == (share if share < 50 else 0)


def _verdict(here: Deploying, one: Any) -> Any:
    verdicts = here.told(one, "verdict")
    return verdicts[-1].data["judgement"] if verdicts else None
