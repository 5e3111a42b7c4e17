"""What is written down of deployments of services, whoever is killed while writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.config.deploying import Deploy
from seatrial.deployments.deployments import Limited
from seatrial.errors import UsageError
from seatrial.services import records
from seatrial.services.records import Event, Part, ServiceDeployment

if TYPE_CHECKING:
    from pathlib import Path


def _made(
    home: Path, *services: str, after: str = "r-2", now: float = 1, **fields: object
) -> ServiceDeployment:
    parts = tuple(
        Part(service=name, before="r-1", after=after, deploy=Deploy(), cwd="/") for name in services
    )
    made = records.create(home, ServiceDeployment(id="", parts=parts, strategy="all-at-once", created=now))
    return records.change(home, made.id, **fields) if fields else made


def test_a_deployment_is_found_by_its_id_a_part_of_it_its_service_and_latest(tmp_path: Path) -> None:
    first = _made(tmp_path, "left", now=1, status="Succeeded")
    second = _made(tmp_path, "left", "right", now=2, status="Failed")
    third = _made(tmp_path, "other", now=3)
    for reference, expected in (
        (first.id, first),
        (second.id[2:9].lower(), second),
        ("left", second),
        ("right", second),
        ("latest", third),
    ):
        assert records.find(tmp_path, reference).id == expected.id
    assert records.active(tmp_path, "other") is not None
    assert records.active(tmp_path, "left") is None
    for wrong in ("", "nobody", "d-"):
        with pytest.raises(UsageError, match=r"deployment.*fit"):
            records.find(tmp_path, wrong)


def test_a_service_has_one_active_deployment_and_the_one_that_undoes_it(tmp_path: Path) -> None:
    one = _made(tmp_path, "left", "right")
    with pytest.raises(Limited, match=f"right already has an active deployment {one.id}"):
        _made(tmp_path, "right")
    undo = ServiceDeployment(id="", parts=one.parts, strategy="all-at-once", rollback_of=one.id)
    assert records.create(tmp_path, undo).id != one.id


def test_what_was_rolled_back_was_not_good(tmp_path: Path) -> None:
    good = _made(tmp_path, "svc", after="r-1", now=1, status="Succeeded")
    _made(tmp_path, "svc", after="r-2", now=2, status="Failed")
    _made(tmp_path, "svc", after="r-3", now=3, status="Succeeded", rolled_back_by="d-123456789")
    _made(tmp_path, "svc", after="r-4", now=4, status="Succeeded")
    found = records.last_good(tmp_path, "svc", other_than="r-4")
    assert found is not None
    assert found.id == good.id


def test_an_event_that_was_cut_off_takes_no_other_with_it(tmp_path: Path) -> None:
    one = _made(tmp_path, "svc")
    records.tell(tmp_path, one.id, Event(at=1, kind="note", text="first"))
    path = records.place(tmp_path, one.id) / "events.jsonl"
    with path.open("ab") as stream:
        stream.write(b'{"at":2,"kind":"no')
    found, offset = records.told_since(tmp_path, one.id, 0)
    assert [event.text for event in found] == ["first"]
    records.tell(tmp_path, one.id, Event(at=3, kind="note", text="third"))
    found, end = records.told_since(tmp_path, one.id, offset)
    assert [event.text for event in found] == ["third"]
    assert records.told_since(tmp_path, one.id, end) == ([], end)
    assert [event.text for event in records.events(tmp_path, one.id)] == ["first", "third"]


def test_requests_by_hand_are_heard_in_their_order(tmp_path: Path) -> None:
    one = _made(tmp_path, "svc")
    records.ask(tmp_path, one.id, "hold", now=10.5)
    records.ask(tmp_path, one.id, "promote", now=9.25)
    heard = records.asked(tmp_path, one.id)
    assert [what for _, what in heard] == ["promote", "hold"]
    for path, _ in heard:
        path.unlink()
    assert records.asked(tmp_path, one.id) == []
