"""Attestations in registries: a real one without the referrers API, and a fake one with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from seatrial.errors import SeatrialError
from seatrial.images import registry
from seatrial.images.attesting import artifacts, places, referrers
from seatrial.images.attesting.artifacts import Artifact
from seatrial.images.layout import INDEX, read_image
from support.layouts import image
from support.referrers import fake_registry_with_referrers
from support.registries import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.images.layout import Descriptor

# Another machine shares neither state nor locks with this one.
_ELSEWHERE = """
import sys
from pathlib import Path
from seatrial.images.attesting import places
from seatrial.images.attesting.artifacts import Artifact
from seatrial.images.layout import read_image
layout, reference, *names = sys.argv[1:]
subject = read_image(Path(layout)).descriptor
with places.in_registry(reference, writing=True) as place:
    print("ready", flush=True)
    sys.stdin.readline()
    for name in names:
        content = Artifact(kind="application/x-test", media_type="text/plain", content=name.encode(), title=name)
        places.attach(place, subject, [content], key=None)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("registry")) as address:
        yield address


def artifact(name: str) -> Artifact:
    return Artifact(
        kind="application/x-test",
        media_type="text/plain",
        content=name.encode(),
        title=name,
        annotations={"name": name},
    )


def pushed(tmp_path: Path, reference: str) -> Descriptor:
    image(tmp_path / "image", sizes=(20,))
    registry.push(tmp_path / "image", reference)
    return read_image(tmp_path / "image").descriptor


def contents(reference: str, digest: str) -> list[bytes]:
    with places.in_registry(reference) as place:
        assert place.session is not None
        found = [
            referrers.documents(place.session, place.scratch, one.digest)
            for one in places.listed(place, digest)
        ]
    return [content for _, documents in found for _, content in documents]


def test_without_the_api_the_tag_lists_them_as_the_specification_says(host: str, tmp_path: Path) -> None:
    reference = f"{host}/team/tagged:1"
    subject = pushed(tmp_path, reference)
    with places.in_registry(reference, writing=True) as place:
        [made] = places.attach(place, subject, [artifact("one")], key=None)
    answer = httpx.get(
        f"http://{host}/v2/team/tagged/manifests/{subject.digest.replace(':', '-')}",
        headers={"Accept": INDEX},
    )
    assert answer.headers["Content-Type"] == INDEX
    [entry] = answer.json()["manifests"]
    assert entry["digest"] == made.digest
    assert entry["artifactType"] == "application/x-test"
    assert entry["annotations"] == {"name": "one"}
    manifest = httpx.get(
        f"http://{host}/v2/team/tagged/manifests/{made.digest}", headers={"Accept": entry["mediaType"]}
    ).json()
    assert manifest["subject"] == {
        "mediaType": subject.media_type,
        "digest": subject.digest,
        "size": subject.size,
    }
    assert contents(reference, subject.digest) == [b"one"]


def test_attaching_again_changes_nothing(host: str, tmp_path: Path) -> None:
    reference = f"{host}/team/again:1"
    subject = pushed(tmp_path, reference)
    tag = f"{host}/team/again:{referrers.tag_of(subject.digest)}"
    lists = []
    for _ in range(2):
        with places.in_registry(reference, writing=True) as place:
            places.attach(place, subject, [artifact("one"), artifact("two")], key=None)
        lists.append(registry.resolve(tag))
    assert lists[0] == lists[1]
    assert contents(reference, subject.digest) == [b"one", b"two"]


def test_what_others_wrote_into_the_list_stays_word_for_word(host: str, tmp_path: Path) -> None:
    reference = f"{host}/team/foreign:1"
    subject = pushed(tmp_path, reference)
    entry = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size, "artifactType": "x/foreign", "urls": ["https://example.com/x"]}  # fmt: skip
    url = f"http://{host}/v2/team/foreign/manifests/{referrers.tag_of(subject.digest)}"
    foreign = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [entry],
        "annotations": {"of": "another tool"},
    }
    assert httpx.put(url, content=json.dumps(foreign), headers={"Content-Type": INDEX}).status_code == 201
    with places.in_registry(reference, writing=True) as place:
        places.attach(place, subject, [artifact("ours")], key=None)
    told = httpx.get(url, headers={"Accept": INDEX}).json()
    assert told["manifests"][0] == entry
    assert told["annotations"] == {"of": "another tool"}
    assert len(told["manifests"]) == 2


def test_nothing_is_lost_when_machines_attach_at_the_same_time(host: str, tmp_path: Path) -> None:
    reference = f"{host}/team/crowd:1"
    subject = pushed(tmp_path, reference)
    machines = []
    for number in range(5):
        home = {
            "SEATRIAL_HOME": str(tmp_path / f"home {number}"),
            "SEATRIAL_CACHE": str(tmp_path / f"cache {number}"),
        }
        line = [
            sys.executable,
            "-c",
            _ELSEWHERE,
            str(tmp_path / "image"),
            reference,
            f"{number}",
        ]
        machines.append(
            subprocess.Popen(
                line, env={**os.environ, **home}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
    for machine in machines:
        assert machine.stdout is not None
        assert machine.stdout.readline() == "ready\n"
    for machine in machines:
        assert machine.stdin is not None
        machine.stdin.write("go\n")
        machine.stdin.flush()
    for machine in machines:
        machine.communicate(timeout=120)
        assert machine.returncode == 0
    expected = [f"{number}".encode() for number in range(5)]
    assert sorted(contents(reference, subject.digest)) == expected


def test_a_fake_registry_with_the_api_lists_them_itself_on_several_pages(tmp_path: Path) -> None:
    with fake_registry_with_referrers() as (address, manifests):
        reference = f"{address}/team/app:1"
        subject = pushed(tmp_path, reference)
        with places.in_registry(reference, writing=True) as place:
            assert places.listed(place, subject.digest) == []
            places.attach(place, subject, [artifact(name) for name in "abcde"], key=None)
            found = places.listed(place, subject.digest)
        assert [one.annotations["name"] for one in found] == list("abcde")
        assert contents(reference, subject.digest) == [b"a", b"b", b"c", b"d", b"e"]
        assert sorted(name for name in manifests if not name.startswith("sha256:")) == ["1"]


def test_a_damaged_list_is_said_and_not_replaced(host: str, tmp_path: Path) -> None:
    reference = f"{host}/team/damaged:1"
    subject = pushed(tmp_path, reference)
    url = f"http://{host}/v2/team/damaged/manifests/{referrers.tag_of(subject.digest)}"
    top = httpx.get(f"http://{host}/v2/team/damaged/manifests/1", headers={"Accept": subject.media_type})
    assert (
        httpx.put(url, content=top.content, headers={"Content-Type": subject.media_type}).status_code == 201
    )
    with (
        places.in_registry(reference, writing=True) as place,
        pytest.raises(SeatrialError, match="list of referrers"),
    ):
        places.attach(place, subject, [artifact("one")], key=None)
    assert httpx.get(url, headers={"Accept": subject.media_type}).content == top.content


def test_a_folder_keeps_them_beside_its_index_and_pushes_them_along(host: str, tmp_path: Path) -> None:
    image(tmp_path / "image", sizes=(20,))
    index = (tmp_path / "image" / "index.json").read_bytes()
    subject = read_image(tmp_path / "image").descriptor
    for _ in range(2):
        artifacts.attach_to_layout(tmp_path / "image", subject, [artifact("one"), artifact("two")])
    assert (tmp_path / "image" / "index.json").read_bytes() == index
    assert len(artifacts.in_layout(tmp_path / "image", subject.digest)) == 2
    reference = f"{host}/team/along:1"
    registry.push(tmp_path / "image", reference)
    assert places.carry_along(tmp_path / "image", reference) == 2
    assert contents(reference, subject.digest) == [b"one", b"two"]


def test_attestations_of_an_image_that_was_replaced_are_not_those_of_the_new_one(tmp_path: Path) -> None:
    image(tmp_path / "image", sizes=(20,))
    artifacts.attach_to_layout(
        tmp_path / "image", read_image(tmp_path / "image").descriptor, [artifact("old")]
    )
    image(tmp_path / "image", sizes=(30,))
    assert artifacts.in_layout(tmp_path / "image", read_image(tmp_path / "image").digest) == []


def test_a_process_that_was_killed_between_sending_and_listing_is_made_good(
    host: str, tmp_path: Path
) -> None:
    reference = f"{host}/team/killed:1"
    subject = pushed(tmp_path, reference)
    with places.in_registry(reference, writing=True) as place:
        assert place.session is not None
        written = artifacts.write(place.scratch, subject, artifact("one"))
        referrers.send_blobs(place.session, place.scratch, written.blobs)
        url = f"http://{host}/v2/team/killed/manifests/{written.descriptor.digest}"
        assert (
            httpx.put(url, content=written.content, headers={"Content-Type": subject.media_type}).status_code
            == 201
        )
        assert places.listed(place, subject.digest) == []
    with places.in_registry(reference, writing=True) as place:
        places.attach(place, subject, [artifact("one")], key=None)
    assert contents(reference, subject.digest) == [b"one"]
