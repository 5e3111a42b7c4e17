"""`seatrial image rebase` as a person calls it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from seatrial.images import layout as oci
from support import rebasing
from support.commands import seatrial
from support.debian import Item

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """old, new and bad bases, and an image on the old one."""
    place = tmp_path / "work"
    place.mkdir()
    old = rebasing.base(place / "old", [Item("etc/version", "1"), Item("usr/lib/a", "1")])
    rebasing.base(place / "new", [Item("etc/version", "2"), Item("usr/lib/a", "1")])
    rebasing.base(place / "bad", [Item("etc/version", "2"), Item("usr/lib/a", "2")])
    rebasing.built(place / "image", old, [Item("usr/lib/a", "own")])
    return place


def test_the_digest_is_all_there_is_on_stdout(folder: Path) -> None:
    done = seatrial(
        folder, "image", "rebase", "./image", "--from", "./old", "--onto", "./new", "--oci", "out"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == oci.read_image(folder / "out").digest
    assert "ok   hidden: " in done.stderr
    assert "next: seatrial image test out" in done.stderr


def test_check_says_whether_it_may_and_writes_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    may = seatrial(folder, "image", "rebase", "./image", "--from", "./old", "--onto", "./new", "--check")
    assert (may.returncode, may.stdout) == (0, "may\n")
    no = seatrial(folder, "image", "rebase", "./image", "--from", "./old", "--onto", "./bad", "--check")
    assert (no.returncode, no.stdout) == (1, "may not\n")
    assert "FAIL hidden: " in no.stderr
    assert "/usr/lib/a: both the image and the new base changed it (layer 2)" in no.stderr
    assert sorted(folder.iterdir()) == before


def test_json_has_every_check(folder: Path) -> None:
    done = seatrial(folder, "image", "rebase", "image", "--from", "old", "--onto", "./bad", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert done.stderr == ""
    assert answer["verdict"] == "may not"
    assert {"id", "status", "message", "fix"} <= set(answer["checks"][0])
    assert [c["id"] for c in answer["checks"] if c["status"] == "fail"] == ["hidden"]
    assert answer["images"][0]["base"]["digest"] == oci.read_image(folder / "old").digest
    assert answer["digest"] == ""
    assert answer["next"] == ""


def test_without_a_place_the_result_stays_with_seatrial(folder: Path) -> None:
    done = seatrial(folder, "image", "rebase", "./image", "--from", "./old", "--onto", "./new", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert answer["place"].startswith(str(folder.parent / "home" / "images"))
    assert answer["next"] == f"seatrial image test {answer['place']}"
    shown = seatrial(folder, "image", "inspect", answer["place"], "--json")
    assert json.loads(shown.stdout)["digest"] == answer["digest"]
    assert [layer["reused"] for layer in answer["images"][0]["layers"]] == [False, True]


def test_nothing_to_do_is_no_failure(folder: Path) -> None:
    done = seatrial(folder, "image", "rebase", "./image", "--from", "./old", "--onto", "./old")
    assert (done.returncode, done.stdout) == (0, "nothing to do\n")
    assert "has not changed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["./image", "--push"], 2, "--push and --tag belong together"),
        (["./image", "--tag", "127.0.0.1:1/a:1"], 2, "--push and --tag belong together"),
        (["./image", "--check", "--oci", "out"], 2, "--check writes nothing"),
        (["./image", "--onto", "./new", "--from", "7"], 2, "the image has 2 layers"),
        (
            ["./image", "--onto", "./new", "--from", "./old", "--tag", "127.0.0.1:1/UPPER:1", "--push"],
            2,
            "lowercase",
        ),
        (["./absent", "--onto", "./new"], 1, "not an OCI image layout"),
        (["./image", "--onto", "./absent", "--from", "./old"], 1, "not an OCI image layout"),
        (["./image", "--platform", "linux/arm64", "--onto", "./new"], 1, "there is no image for linux/arm64"),
        (["./image", "--onto", "./new", "--from", "./old", "--oci", "."], 1, "not an empty folder"),
    ],
)
def test_what_cannot_be_meant_is_told(folder: Path, arguments: list[str], code: int, told: str) -> None:
    done = seatrial(folder, "image", "rebase", *arguments)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
