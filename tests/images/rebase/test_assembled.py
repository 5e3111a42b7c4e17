"""Images that Seatrial assembled: rebasing gives the same digest as assembling anew on the new base."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.images import layout as oci
from seatrial.images.assemble.image import assemble_project
from seatrial.images.assemble.spec import ImageSpec
from support import bases, debian, rebasing, wheels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from seatrial.images.rebase.run import Report

LIB = bases.PURELIB
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
STANDARD = f"/usr/local/lib/python{MINOR}"
INNER_IN_BASE = {
    f"{LIB}/inner-0.9.dist-info/METADATA": b"Name: inner\nVersion: 0.9\n",
    f"{LIB}/inner-0.9.dist-info/RECORD": b"inner/__init__.py,,\ninner/old.py,,\ninner-0.9.dist-info/RECORD,,\n",
    f"{LIB}/inner/__init__.py": b"",
    f"{LIB}/inner/old.py": b"",
}
NEXT_INNER_IN_BASE = {
    f"{LIB}/inner-0.9.1.dist-info/METADATA": b"Name: inner\nVersion: 0.9.1\n",
    f"{LIB}/inner-0.9.1.dist-info/RECORD": b"inner/__init__.py,,\ninner/new.py,,\ninner-0.9.1.dist-info/RECORD,,\n",
    f"{LIB}/inner/__init__.py": b"",
    f"{LIB}/inner/new.py": b"",
}


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is known of bases may be shared: it is named by their digest."""
    return tmp_path_factory.mktemp("probed")


@pytest.fixture
def project(wheelhouse: Path, tmp_path: Path, probed: Path) -> Path:
    wheels.wheel(wheelhouse, "inner", "1.0")
    wheels.wheel(
        wheelhouse, "outer", "1.0", {"outer.py": b"import inner\ndef main():\n    print(inner.value)\n"},
        requires=("inner",), entry_points="[console_scripts]\nouter = outer:main\n",
    )  # fmt: skip
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "bases").symlink_to(probed)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text("outer\n")
    (folder / "serve.py").write_text("print('serving')\n")
    return folder


_KEPT: dict[str, Path] = {}


@pytest.fixture(scope="module", autouse=True)
def _shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Bases are made once for each of their descriptions."""
    _KEPT[""] = tmp_path_factory.mktemp("shelf")
    yield
    _KEPT.clear()


def base(place: Path, **described: Any) -> Path:
    """A base with a Python that runs."""
    key = repr(sorted(described.items()))
    if key not in _KEPT:
        _KEPT[key] = bases.base(_KEPT[""] / str(len(_KEPT)), **described)
    shutil.copytree(_KEPT[key], place, copy_function=os.link)
    return place


def assembled(project: Path, base: Path, out: Path, **changes: Any) -> str:
    given: dict[str, Any] = {"requirements": ("requirements.txt",), "bytecode": False, "base": str(base)}
    return assemble_project(ImageSpec(root=project, **(given | changes)), out=out).digest


def both_ways(
    project: Path, tmp_path: Path, old: Mapping[str, Any], new: Mapping[str, Any], **spec: Any
) -> tuple[Report, str]:
    """The answer of rebasing, and the digest of assembling anew."""
    base(tmp_path / "old", **old)
    base(tmp_path / "new", **new)
    assembled(project, tmp_path / "old", tmp_path / "image", **spec)
    anew = assembled(project, tmp_path / "new", tmp_path / "anew", **spec)
    return rebasing.moved(tmp_path / "image", tmp_path / "new", tmp_path / "out"), anew


NEW_ACCOUNTS = {
    "/etc/passwd": bases.PASSWD.encode() + b"db:x:40:40:::\n",
    "/etc/group": b"root:x:0:\nweb:x:33:\ndb:x:40:\n",
}
PATCHED = {"extra": {"/usr/lib/x": b"2"}}
SAME: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a patched file": ({}, PATCHED, {}),
    "accounts in more layers": ({}, {"layers": [NEW_ACCOUNTS, {"/usr/lib/y": b"3"}]}, {}),
    "a user of the base": ({}, {"layers": [NEW_ACCOUNTS, {"/usr/lib/y": b"3"}]}, {"user": "web"}),
    "a user by number": ({}, {"layers": [NEW_ACCOUNTS, {"/usr/lib/y": b"3"}]}, {"user": "4711:33"}),
    "a replaced package": ({"extra": INNER_IN_BASE}, {"extra": NEXT_INNER_IN_BASE}, {}),
    "a package that is new in the base": ({}, {"extra": NEXT_INNER_IN_BASE}, {}),
    "a package that is gone from the base": ({"extra": INNER_IN_BASE}, PATCHED, {}),
    "folders of the new base": (
        {}, {"extra": {"/home/x": b"", "/srv/a/x": b""}}, {"workdir": "/srv/a/b", "source": (), "owner": "user"},
    ),
    "settings": (
        {"env": ["LANG=C", "CUDA_VERSION=12.1"], "config": {"Cmd": ["python3"], "Labels": {"of": "old"}, "StopSignal": "SIGINT"}},
        {"env": ["CUDA_VERSION=12.2", "NEW=1"], "config": {"Cmd": ["bash"], "Labels": {"of": "new", "more": "1"}, "ExposedPorts": {"1/tcp": {}}}},
        {"env": {"MODE": "x"}, "ports": (8080,), "labels": {"a": "b"}, "entrypoint": ("python3", "serve.py")},
    ),
    "the base's own program": (
        {"config": {"Entrypoint": ["python3"], "Cmd": ["-V"]}}, {"config": {"Entrypoint": ["python3", "-I"], "Cmd": ["-V"]}},
        {"command": ("serve.py",)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_rebasing_is_assembling_anew(name: str, project: Path, tmp_path: Path) -> None:
    old, new, spec = SAME[name]
    # The old base stays on this machine, so what came from it is known.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        assembled(project, base(tmp_path / "old", **old), tmp_path / "image", **spec)
        anew = assembled(project, base(tmp_path / "new", **new), tmp_path / "anew", **spec)
        report = rebasing.moved(
            tmp_path / "image", tmp_path / "new", tmp_path / "out", old=str(tmp_path / "old")
        )
    assert report.verdict == "may", [c for c in report.checks if c.status == "fail"]
    assert report.digest == anew
    assert oci.read_image(tmp_path / "out").digest == anew
    names = {path.name for path in (tmp_path / "anew" / "blobs" / "sha256").iterdir()}
    assert {path.name for path in (tmp_path / "out" / "blobs" / "sha256").iterdir()} == names


@pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bwrap is not installed: bytecode cannot be compiled"
)
def test_bytecode_is_moved_too(project: Path, tmp_path: Path) -> None:
    report, anew = both_ways(project, tmp_path, {}, PATCHED, bytecode=True)
    assert report.digest == anew
    assert any(layer.what.startswith("bytecode of") and layer.reused for layer in report.images[0].layers)


def test_the_history_is_enough_when_the_old_base_is_gone(project: Path, tmp_path: Path) -> None:
    base(tmp_path / "old")
    base(tmp_path / "new", layers=[NEW_ACCOUNTS])
    assembled(project, tmp_path / "old", tmp_path / "image")
    anew = assembled(project, tmp_path / "new", tmp_path / "anew")
    shutil.rmtree(tmp_path / "old")
    report = rebasing.moved(tmp_path / "image", tmp_path / "new", tmp_path / "out")
    assert report.digest == anew
    side = report.images[0].base
    assert side is not None
    assert (side.layers, side.how) == (1, "the image's label and history")
    before = [layer.digest for layer in oci.read_image(tmp_path / "image").manifest.layers]
    after = [layer.digest for layer in oci.read_image(tmp_path / "out").manifest.layers]
    assert after[3:] == before[2:]  # above one and two base layers, and the accounts'
    assert report.images[0].layers[2].what == "user app, folders"


def test_an_image_on_an_assembled_base_moves_its_own_layers_alone(project: Path, tmp_path: Path) -> None:
    base(tmp_path / "system")
    base(tmp_path / "patched", extra={"/usr/lib/x": b"2"})
    (project / "requirements.txt").write_text("inner\n")
    assembled(project, tmp_path / "system", tmp_path / "old", source=())
    assembled(project, tmp_path / "patched", tmp_path / "new", source=())
    (project / "requirements.txt").write_text("outer\n")
    assembled(project, tmp_path / "old", tmp_path / "image")
    anew = assembled(project, tmp_path / "new", tmp_path / "anew")
    assert rebasing.moved(tmp_path / "image", tmp_path / "new", tmp_path / "out").digest == anew


def test_layers_built_on_top_go_along(project: Path, tmp_path: Path) -> None:
    base(tmp_path / "old")
    base(tmp_path / "new", layers=[NEW_ACCOUNTS])
    assembled(project, tmp_path / "old", tmp_path / "image")
    below = oci.read_image(tmp_path / "image")
    history = [*below.config["history"], {"created_by": "COPY model /opt/model", "comment": "buildkit"}]
    debian.image(
        tmp_path / "more", [[debian.Item("opt/model", "weights")]], below.config["config"],
        base=tmp_path / "image", history=history, created="2026-01-01T00:00:00Z",
    )  # fmt: skip
    report = rebasing.moved(tmp_path / "more", tmp_path / "new", tmp_path / "out")
    image = oci.read_image(tmp_path / "out")
    assert report.verdict == "may", rebasing.failures(report)
    assert rebasing.answers(report)["ground"].status == "pass"
    assert (
        len(image.manifest.layers) == len(image.config["rootfs"]["diff_ids"]) == len(image.config["history"])
    )
    assert image.config["history"][-1]["created_by"] == "COPY model /opt/model"
    assert image.config["config"]["Labels"][rebasing.DIGEST] == oci.read_image(tmp_path / "new").digest


def test_the_user_of_an_image_built_on_top_is_its_own(project: Path, tmp_path: Path) -> None:
    """`FROM assembled` and `USER 0`: the account's layer is made anew all the same, also one with a chosen number."""
    base(tmp_path / "old")
    base(tmp_path / "new", layers=[NEW_ACCOUNTS])
    assembled(project, tmp_path / "old", tmp_path / "image", user="4711:33")
    below = oci.read_image(tmp_path / "image")
    settings = {**below.config["config"], "User": "0"}
    entry = {"created_by": "USER 0", "empty_layer": True}
    history = [*below.config["history"], entry]
    debian.image(tmp_path / "more", [], settings, base=tmp_path / "image", history=history)
    report = rebasing.moved(tmp_path / "more", tmp_path / "new", tmp_path / "out")
    assert report.verdict == "may", rebasing.failures(report)
    assert rebasing.answers(report)["ground"].status == "pass"
    config = oci.read_image(tmp_path / "out").config
    assert config["config"]["User"] == "0"
    assert config["history"][-1] == entry


def test_a_first_layer_that_does_not_come_out_the_same_is_not_made_anew(
    project: Path, tmp_path: Path
) -> None:
    """As of another version of Seatrial: the image is then checked as any other, and its accounts hide the base's."""
    base(tmp_path / "old")
    base(tmp_path / "new", layers=[NEW_ACCOUNTS])
    assembled(project, tmp_path / "old", tmp_path / "image")
    image = oci.read_image(tmp_path / "image")
    first = debian.tar([debian.Item("etc/passwd", bases.PASSWD + "app:x:10001:10001::/:/bin/sh\n")])
    identities = [image.config["rootfs"]["diff_ids"][0], debian.digest_of(first)]
    changed = {**image.config, "history": image.config["history"][:2]}
    changed["rootfs"] = {"type": "layers", "diff_ids": identities}
    config = oci.add_blob(tmp_path / "image", oci.encode(changed), oci.CONFIG)
    layer = oci.add_blob(tmp_path / "image", first, oci.LAYER_GZIP.removesuffix("+gzip"))
    manifest = oci.Manifest(config=config, layers=(image.manifest.layers[0], layer))
    top = oci.add_blob(tmp_path / "image", oci.encode(manifest), oci.MANIFEST)
    oci.set_index(tmp_path / "image", oci.Index(manifests=(top,)))
    report = rebasing.moved(tmp_path / "image", tmp_path / "new")
    assert rebasing.answers(report)["ground"].status == "skip"
    assert "/etc/passwd" in rebasing.answers(report)["hidden"].message


def test_another_python_is_refused(project: Path, tmp_path: Path) -> None:
    base(tmp_path / "old")
    base(tmp_path / "new", links={"/usr/bin/python3": f"/usr/local/bin/python{MINOR}"}, env=["PATH=/usr/bin"])
    assembled(project, tmp_path / "old", tmp_path / "image")
    report = rebasing.moved(tmp_path / "image", tmp_path / "new")
    check = rebasing.answers(report)["python"]
    assert check.status == "fail"
    assert "shebang" in " ".join(check.details)


NEEDED = {
    f"{LIB}/helper-1.0.dist-info/METADATA": b"Name: helper\nVersion: 1.0\n",
    f"{LIB}/helper-1.0.dist-info/RECORD": b"helper.py,,\nhelper-1.0.dist-info/RECORD,,\n",
    f"{LIB}/helper.py": b"",
}


@pytest.mark.parametrize(
    ("change", "answer"), [({}, "pass"), ({"1.0": "1.0.1"}, "fail"), ({"helper": "other"}, "fail")]
)
def test_a_package_of_the_base_that_the_lock_kept_must_stay(
    project: Path, wheelhouse: Path, tmp_path: Path, change: dict[str, str], answer: str
) -> None:
    wheels.wheel(wheelhouse, "helper", "1.0")
    wheels.wheel(wheelhouse, "outer", "1.1", requires=("inner", "helper"))
    later = dict(NEEDED)
    for before, after in change.items():
        later = {
            p.replace(before, after): c.replace(before.encode(), after.encode()) for p, c in later.items()
        }
    base(tmp_path / "old", extra=NEEDED)
    base(tmp_path / "new", extra={**later, "/usr/lib/x": b"2"})
    assembled(project, tmp_path / "old", tmp_path / "image")
    report = rebasing.moved(tmp_path / "image", tmp_path / "new", tmp_path / "out")
    check = rebasing.answers(report)["distributions"]
    assert check.status == answer
    if answer == "fail":
        assert "helper 1.0" in check.message
        assert "outer" in check.message
        assert not (tmp_path / "out").exists()
    else:
        assert report.digest == assembled(project, tmp_path / "new", tmp_path / "anew")


@pytest.mark.parametrize(
    ("requirements", "spec", "answer"),
    [
        ("outer\nHelper>=0.5\n", {}, "fail"),
        ("outer\nhelper-tools-of-mine\n", {}, "pass"),
        ("outer\n", {"source": ()}, "fail"),
    ],
)
def test_a_package_that_the_project_itself_asks_for_must_stay(
    project: Path, wheelhouse: Path, tmp_path: Path, requirements: str, spec: dict[str, Any], answer: str
) -> None:
    """No package of the image requires it, so only the project's own files show that the lock kept it."""
    wheels.wheel(wheelhouse, "helper", "1.0")
    wheels.wheel(wheelhouse, "helper-tools-of-mine", "1.0")
    (project / "requirements.txt").write_text(requirements)
    later = {p.replace("1.0", "1.0.1"): c.replace(b"1.0", b"1.0.1") for p, c in NEEDED.items()}
    base(tmp_path / "old", extra=NEEDED)
    base(tmp_path / "new", extra={**later, "/usr/lib/x": b"2"})
    assembled(project, tmp_path / "old", tmp_path / "image", **spec)
    report = rebasing.moved(tmp_path / "image", tmp_path / "new")
    check = rebasing.answers(report)["distributions"]
    assert check.status == answer
    assert "helper 1.0 → 1.0.1" in " ".join([check.message, *check.details])


def test_a_package_of_the_base_without_a_list_of_files_is_refused(project: Path, tmp_path: Path) -> None:
    base(tmp_path / "old")
    base(tmp_path / "new", extra={f"{LIB}/inner-0.9.egg-info": b"Name: inner\nVersion: 0.9\n"})
    assembled(project, tmp_path / "old", tmp_path / "image")
    report = rebasing.moved(tmp_path / "image", tmp_path / "new")
    assert rebasing.failures(report) == {"ground"}


def test_an_account_whose_number_is_taken_is_refused(project: Path, tmp_path: Path) -> None:
    taken = {
        "/etc/passwd": bases.PASSWD.encode() + b"db:x:10001:10001:::\n",
        "/etc/group": b"root:x:0:\ndb:x:10001:\n",
    }
    base(tmp_path / "old")
    base(tmp_path / "new", layers=[taken])
    assembled(project, tmp_path / "old", tmp_path / "image", owner="user")
    report = rebasing.moved(tmp_path / "image", tmp_path / "new")
    assert rebasing.failures(report) == {"accounts"}
    assert "10001" in rebasing.answers(report)["accounts"].message


def test_an_account_whose_number_is_taken_gets_another_when_it_owns_nothing(
    project: Path, tmp_path: Path
) -> None:
    taken = {
        "/etc/passwd": bases.PASSWD.encode() + b"db:x:10001:10001:::\n",
        "/etc/group": b"root:x:0:\ndb:x:10001:\n",
    }
    report, anew = both_ways(project, tmp_path, {}, {"layers": [taken]})
    assert report.digest == anew
    assert oci.read_image(tmp_path / "out").config["config"]["User"] == "10002:10002"


def test_a_working_folder_that_the_new_base_fills_is_refused(project: Path, tmp_path: Path) -> None:
    base(tmp_path / "old")
    base(tmp_path / "new", extra={"/app/config.yaml": b"x"})
    assembled(project, tmp_path / "old", tmp_path / "image")
    report = rebasing.moved(tmp_path / "image", tmp_path / "new")
    assert rebasing.failures(report) == {"workdir"}
    assert "/app/config.yaml" in rebasing.answers(report)["workdir"].message


def test_stale_bytecode_is_refused_and_can_be_left_out(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bwrap is not installed: bytecode cannot be compiled")
    own = f"{STANDARD}/__pycache__/os.cpython-{MINOR.replace('.', '')}.pyc"
    base(tmp_path / "old")
    # Another build of the same Python; its own modules say what it takes where it cannot be asked.
    base(tmp_path / "new", extra={own: b"\x01\x02\r\n" + bytes(12)})
    assembled(project, tmp_path / "old", tmp_path / "image", bytecode=True)
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    refused = rebasing.moved(tmp_path / "image", tmp_path / "new")
    assert rebasing.failures(refused) == {"bytecode"}
    assert "--drop-bytecode" in rebasing.answers(refused)["bytecode"].fix
    report = rebasing.moved(tmp_path / "image", tmp_path / "new", tmp_path / "out", drop_bytecode=True)
    assert report.verdict == "may", rebasing.failures(report)
    assert report.digest == assembled(project, tmp_path / "new", tmp_path / "anew", bytecode=False)


def test_the_layer_limit_counts_both(project: Path, tmp_path: Path) -> None:
    base(tmp_path / "old")
    base(tmp_path / "new", layers=[{f"/usr/lib/{n}": b""} for n in range(98)])
    assembled(project, tmp_path / "old", tmp_path / "image")
    assert rebasing.failures(rebasing.moved(tmp_path / "image", tmp_path / "new")) == {"layers"}


def test_both_platforms_or_none(project: Path, tmp_path: Path) -> None:
    """An index of two images, one of which cannot be moved, is left alone."""
    for side, arm in (("old", {}), ("new", {"/app/x": b""})):
        base(tmp_path / f"{side}-amd64", layers=[{"/usr/lib/x": side.encode()}])
        base(tmp_path / f"{side}-arm64", layers=[{"/usr/lib/x": side.encode(), **arm}], architecture="arm64")
        together(tmp_path / side, tmp_path / f"{side}-amd64", tmp_path / f"{side}-arm64")
    platforms = ("linux/amd64", "linux/arm64")
    assembled(project, tmp_path / "old", tmp_path / "image", platforms=platforms)
    report = rebasing.moved(tmp_path / "image", tmp_path / "new", tmp_path / "out")
    assert [one.verdict for one in report.images] == ["may", "may not"]
    assert report.verdict == "may not"
    assert "linux/arm64:workdir" in rebasing.failures(report)
    assert not (tmp_path / "out").exists()


def test_an_index_is_the_same_as_assembled_anew(project: Path, tmp_path: Path) -> None:
    for side in ("old", "new"):
        for name in ("amd64", "arm64"):
            base(tmp_path / f"{side}-{name}", layers=[{"/usr/lib/x": side.encode()}], architecture=name)
        together(tmp_path / side, tmp_path / f"{side}-amd64", tmp_path / f"{side}-arm64")
    platforms = ("linux/amd64", "linux/arm64")
    assembled(project, tmp_path / "old", tmp_path / "image", platforms=platforms)
    anew = assembled(project, tmp_path / "new", tmp_path / "anew", platforms=platforms)
    report = rebasing.moved(tmp_path / "image", tmp_path / "new", tmp_path / "out")
    assert report.digest == anew
    assert [one.platform for one in report.images] == list(platforms)
    alone = rebasing.moved(tmp_path / "image", tmp_path / "new", tmp_path / "alone", platform="linux/arm64")
    assert alone.digest == report.images[1].digest == oci.read_image(tmp_path / "alone").digest


def together(layout: Path, *images: Path) -> None:
    """One layout with the images of several."""
    oci.create(layout)
    entries: list[oci.Descriptor] = []
    for place in images:
        for blob in (place / "blobs" / "sha256").iterdir():
            oci.link_blob(layout, f"sha256:{blob.name}", blob)
        entries += oci.read_index(place).manifests
    oci.set_index(layout, oci.Index(manifests=tuple(entries)))
