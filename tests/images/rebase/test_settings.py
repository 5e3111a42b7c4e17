"""What an image says stays; what it inherited follows the new base; and the differences are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seatrial.images import layout as oci
from support import rebasing
from support.debian import Item, folder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("wheelhouse")

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # old base, what the image changes, new base, what the result must have
    "inherited variables follow": (
        {"Env": ["A=1", "B=1", "GONE=1"]}, {}, {"Env": ["A=2", "B=1", "C=1"]}, {"Env": ["A=2", "B=1", "C=1"]},
    ),
    "own variables stay": (
        {"Env": ["A=1"]}, {"Env": ["A=own", "X=1"]}, {"Env": ["A=2"]}, {"Env": ["A=own", "X=1"]},
    ),
    "an own path goes in front of the new one": (
        {"Env": ["PATH=/usr/bin:/bin"]}, {"Env": ["PATH=/venv/bin:/usr/bin:/bin:/last"]},
        {"Env": ["PATH=/cuda/bin:/usr/bin:/bin"]}, {"Env": ["PATH=/venv/bin:/cuda/bin:/usr/bin:/bin:/last"]},
    ),
    "an own entry point takes no arguments of the base": (
        {}, {"Entrypoint": ["/app/own"]}, {"Cmd": ["bash"]}, {"Entrypoint": ["/app/own"], "Cmd": None},
    ),
    "inherited programs follow": (
        {"Entrypoint": ["/old"], "Cmd": ["a"]}, {}, {"Entrypoint": ["/new"], "Cmd": ["b"]},
        {"Entrypoint": ["/new"], "Cmd": ["b"]},
    ),
    "ports of both": (
        {"ExposedPorts": {"1/tcp": {}, "2/tcp": {}}}, {"ExposedPorts": {"1/tcp": {}, "2/tcp": {}, "80/tcp": {}}},
        {"ExposedPorts": {"1/tcp": {}, "3/tcp": {}}}, {"ExposedPorts": {"1/tcp": {}, "3/tcp": {}, "80/tcp": {}}},
    ),
    "labels of both": (
        {"Labels": {"of": "old", "v": "1"}}, {"Labels": {"of": "old", "v": "own", "x": "1"}},
        {"Labels": {"of": "new", "v": "2"}}, {"Labels": {"of": "new", "v": "own", "x": "1"}},
    ),
    "what the base dropped goes": ({"StopSignal": "SIGINT"}, {}, {}, {"StopSignal": None}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_settings_are_merged(name: str, tmp_path: Path) -> None:
    before, changed, after, expected = CASES[name]
    old = rebasing.base(tmp_path / "old", [Item("etc/version", "1")], before)
    new = rebasing.base(tmp_path / "new", [Item("etc/version", "2")], after)
    image = rebasing.built(tmp_path / "image", old, [Item("app/own", "1", mode=0o755)], settings=changed)
    report = rebasing.moved(image, new, tmp_path / "out", old=str(old))
    assert report.verdict == "may", rebasing.failures(report)
    config = oci.read_image(tmp_path / "out").config["config"]
    assert {key: config.get(key) for key in expected} == expected


def test_without_the_old_settings_nothing_that_the_image_says_changes(tmp_path: Path) -> None:
    old = rebasing.base(tmp_path / "old", [Item("etc/version", "1")], {"Env": ["A=1", "B=1"]})
    new = rebasing.base(
        tmp_path / "new", [Item("etc/version", "2")], {"Env": ["A=2", "C=1"], "User": "nobody", "Cmd": ["sh"]}
    )
    image = rebasing.built(
        tmp_path / "image", old, [Item("own", "1")], settings={"Entrypoint": ["/own"]}, told=""
    )
    report = rebasing.moved(image, new, tmp_path / "out", old="1")
    config = oci.read_image(tmp_path / "out").config["config"]
    assert sorted(config["Env"]) == ["A=1", "B=1", "C=1"]
    assert config["Entrypoint"] == ["/own"]
    assert "User" not in config
    assert "Cmd" not in config
    assert "Env A stays as the image has it; the new base has 2" in report.images[0].changes


def test_differences_are_told_but_no_value_of_the_image(tmp_path: Path) -> None:
    old = rebasing.base(
        tmp_path / "old", [Item("etc/version", "1")], {"Env": ["CUDA_VERSION=12.1", "TOKEN=a"]}
    )
    new = rebasing.base(
        tmp_path / "new", [Item("etc/version", "2")], {"Env": ["CUDA_VERSION=12.2", "TOKEN=b"]}
    )
    image = rebasing.built(
        tmp_path / "image", old, [Item("own", "1")], settings={"Env": ["CUDA_VERSION=12.1", "TOKEN=hunter2"]}
    )
    changes = rebasing.moved(image, new, old=str(old)).images[0].changes
    assert changes[0] == "Env CUDA_VERSION follows the new base: 12.1 → 12.2"
    assert "TOKEN stays as the image sets it" in changes[1]
    assert "hunter2" not in " ".join(changes)


def test_history_is_that_of_the_new_base_and_of_the_own_layers(tmp_path: Path) -> None:
    base_history = [{"created_by": "ADD rootfs"}, {"created_by": "CMD bash", "empty_layer": True}]
    own = [{"created_by": "ENV X=1", "empty_layer": True}, {"created_by": "COPY app"}]
    old = rebasing.base(tmp_path / "old", [Item("etc/version", "1")], history=base_history)
    new = rebasing.base(
        tmp_path / "new",
        [Item("etc/version", "2")],
        history=[{"created_by": "ADD newer"}],
        created="2026-03-01T00:00:00Z",
    )
    image = rebasing.built(
        tmp_path / "image", old, [Item("own", "1")], history=[*base_history, *own], created="2026-02-01T00:00:00Z",
        author="me", container="leftover",
    )  # fmt: skip
    rebasing.moved(image, new, tmp_path / "out", old=str(old))
    config = oci.read_image(tmp_path / "out").config
    assert config["history"] == [{"created_by": "ADD newer"}, *own]
    assert config["created"] == "2026-03-01T00:00:00Z"
    assert config["author"] == "me"
    assert "container" not in config
    by_number = rebasing.moved(image, new, tmp_path / "counted", old="1")
    assert by_number.verdict == "may"
    counted = oci.read_image(tmp_path / "counted").config["history"]
    assert [e for e in counted if not e.get("empty_layer")] == [{"created_by": "ADD newer"}, own[1]]


def test_the_date_is_that_of_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    old = rebasing.base(tmp_path / "old", [Item("etc/version", "1")])
    new = rebasing.base(tmp_path / "new", [Item("etc/version", "2")])
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")], created="2026-02-01T00:00:00Z")
    rebasing.moved(image, new, tmp_path / "out", old=str(old))
    assert oci.read_image(tmp_path / "out").config["created"] == "2023-11-14T22:13:20Z"


BIN = [
    folder("usr/bin"),
    Item("usr/bin/python3.11", "elf", mode=0o755),
    Item("usr/bin/env", "elf", mode=0o755),
]
ACCOUNTS = "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n"
LOST: dict[str, tuple[list[Item], list[Item], list[Item], dict[str, Any], str]] = {
    # old base, new base, own layer, settings, the check that fails
    "an interpreter of a script": (
        BIN, BIN[:1], [Item("app/run", "#!/usr/bin/python3.11\n", mode=0o755)], {}, "scripts",
    ),
    "an interpreter found by env": (
        BIN, [*BIN[:1], BIN[2]], [Item("app/run", "#!/usr/bin/env -S python3.11 -I\n", mode=0o755)], {}, "scripts",
    ),
    "the interpreter of an environment": (
        BIN, BIN[:1], [Item("venv/bin/python", kind=b"2", link="/usr/bin/python3.11")], {}, "links",
    ),
    "the program that a container starts": (BIN, BIN[:1], [Item("own", "")], {"Cmd": ["python3.11"]}, "entrypoint"),
    "the name of an owner": (
        [Item("etc/passwd", ACCOUNTS)], [Item("etc/passwd", ACCOUNTS.replace("web", "db"))],
        [Item("srv/own", "1", uid=33)], {}, "accounts",
    ),
    "a number that was nobody's": (
        [Item("etc/passwd", "root:x:0:0:::\n")], [Item("etc/passwd", ACCOUNTS)], [Item("srv/own", "1", uid=33)], {},
        "accounts",
    ),
    "the user that it runs as": (
        [Item("etc/passwd", ACCOUNTS)], [Item("etc/passwd", "root:x:0:0:::\n")], [Item("own", "1")], {"User": "web"},
        "accounts",
    ),
    "the Python that packages are for": (
        [*BIN, folder("usr/lib/python3.11")], [*BIN[:1], Item("usr/bin/python3.12", "elf", mode=0o755)],
        [Item("usr/local/lib/python3.11/dist-packages/x.py", "")], {}, "python",
    ),
    "two versions in one place": (
        [Item("usr/lib/python3/dist-packages/x-1.0.dist-info/METADATA", "Name: x\nVersion: 1.0\n")],
        [Item("usr/lib/python3/dist-packages/x-1.1.dist-info/METADATA", "Name: x\nVersion: 1.1\n")],
        [
            Item("usr/lib/python3/dist-packages/.wh.x-1.0.dist-info", ""),
            Item("usr/lib/python3/dist-packages/x-2.0.dist-info/METADATA", "Name: x\nVersion: 2.0\n"),
        ], {}, "distributions",
    ),
    "a version that an own package excludes": (
        [Item("usr/lib/python3/dist-packages/x-1.0.dist-info/METADATA", "Name: x\nVersion: 1.0\n")],
        [Item("usr/lib/python3/dist-packages/x-2.0.dist-info/METADATA", "Name: x\nVersion: 2.0\n")],
        [Item("opt/site/own-1.dist-info/METADATA", "Name: own\nVersion: 1\nRequires-Dist: X<2; python_version > '3'\n")],
        {}, "distributions",
    ),
    "a module that frozen bytecode stands for": (
        [Item("usr/lib/python3.11/os.py", "bug")], [Item("usr/lib/python3.11/os.py", "fix")],
        [Item("usr/lib/python3.11/__pycache__/os.cpython-311.pyc", b"\xa7\r\r\n\x01\0\0\0" + bytes(8))], {}, "bytecode",
    ),
    "a module whose bytecode looks current": (
        [Item("usr/lib/python3.11/os.py", "bug", mtime=7)], [Item("usr/lib/python3.11/os.py", "fix", mtime=7)],
        [Item("usr/lib/python3.11/__pycache__/os.cpython-311.pyc", b"\xa7\r\r\n\0\0\0\0\x07\0\0\0\x03\0\0\0")], {}, "bytecode",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOST)
def test_what_the_image_relies_on_must_be_in_the_new_base(name: str, tmp_path: Path) -> None:
    before, after, own, settings, check = LOST[name]
    old = rebasing.base(tmp_path / "old", before)
    new = rebasing.base(tmp_path / "new", [*after, Item("etc/version", "2")])
    same = rebasing.base(tmp_path / "same", [*before, Item("etc/version", "2")])
    image = rebasing.built(tmp_path / "image", old, own, settings=settings)
    report = rebasing.moved(image, new, old=str(old))
    assert rebasing.failures(report) == {check}
    assert rebasing.answers(report)[check].fix
    assert rebasing.moved(image, same, old=str(old)).verdict == "may"


def test_bytecode_that_python_looks_at_again_is_harmless(tmp_path: Path) -> None:
    old = rebasing.base(tmp_path / "old", [Item("usr/lib/python3.11/os.py", "bug", mtime=7)])
    new = rebasing.base(tmp_path / "new", [Item("usr/lib/python3.11/os.py", "fixed", mtime=8)])
    pyc = b"\xa7\r\r\n\0\0\0\0\x07\0\0\0\x03\0\0\0"
    image = rebasing.built(
        tmp_path / "image", old, [Item("usr/lib/python3.11/__pycache__/os.cpython-311.pyc", pyc)]
    )
    assert rebasing.moved(image, new, old=str(old)).verdict == "may"
