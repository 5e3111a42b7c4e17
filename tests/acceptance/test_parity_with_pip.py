"""An assembled image holds what pip would have installed into the same base: files, versions, modules.

Bytecode, RECORD, INSTALLER, REQUESTED and direct_url.json are left out. See tests/images/parity/README.md.
"""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import re
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.images.target import Target
from support import debian, parity, published, slim, wheels

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent.parent / "images" / "parity"
RELEASES = published.read(DATA / "packages.json")
SDISTS = published.read_sdists(DATA / "sdists.json")
JUSTIFIED = json.loads((DATA / "justified.json").read_text("utf-8"))
MADE = json.loads((DATA / "made.json").read_text("utf-8"))
SMALL, SMALLEST = 400_000, 100_000  # bytes of the wheel
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("parity")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a cache of its own; no index but what the tests themselves ask."""
    debian.needs_bwrap()
    if sysconfig.get_platform() != "linux-x86_64":
        pytest.skip("the list has wheels for Linux on x86-64 alone")
    folder = tmp_path_factory.mktemp("parity")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEATRIAL_CACHE", str(folder / "cache"))
        patch.setenv("SEATRIAL_HOME", str(folder / "home"))
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        yield folder


@pytest.fixture(scope="module")
def pip(place: Path) -> Path:
    """The pip that is compared with, from the list; without an index the one that this Python brings."""
    try:
        release = [one for one in RELEASES if one.name == "pip"]
        wheel = published.wheels(release, place / "pip-wheel", Target(python=MINOR))[0]
    except pytest.skip.Exception:
        import ensurepip

        found = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
        if not found:
            pytest.skip("no index can be reached, and this Python brings no pip")
        wheel = found[-1]
    with zipfile.ZipFile(wheel) as archive:
        # Without its metadata, else it takes itself for a package of the base.
        archive.extractall(place / "pip", [name for name in archive.namelist() if name.startswith("pip/")])
    compileall.compile_dir(
        place / "pip", quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    return place / "pip"


@pytest.fixture(scope="module")
def slim_base(place: Path) -> Path:
    if reason := slim.unfit():
        pytest.skip(reason)
    return slim.base(place / "slim")


@pytest.fixture(scope="module")
def debian_base() -> Path:
    return debian.base()


@pytest.fixture(scope="module")
def made(place: Path) -> list[Path]:
    return [_make(place / "made", case) for case in MADE]


def _make(folder: Path, case: dict[str, Any]) -> Path:
    return wheels.wheel(
        folder, case["name"], case.get("version", "1.0"), {path: text.encode() for path, text in case["files"].items()},
        tag=case.get("tag", "py3-none-any"), entry_points=case.get("entry_points", ""),
        executable=tuple(case.get("executable", ())),
    )  # fmt: skip


def compare(layout: Path, pip: Path, chosen: list[Path], out: Path) -> tuple[str, ...]:
    """Fail unless pip and Seatrial make the same of the base; returns what Seatrial noted."""
    ours, notes = parity.by_seatrial(layout, chosen, out)
    theirs = parity.by_pip(layout, pip, chosen)
    assert set(theirs.files) - set(parity.files_in(layout)), "pip installed nothing: nothing was compared"
    unexplained = [
        line
        for line in parity.differences(theirs, ours)
        if not any(re.search(one["match"], line) for one in JUSTIFIED)
    ]
    assert unexplained == []
    return notes


def chosen_releases(limit: int) -> list[published.Published]:
    everything = os.environ.get("SEATRIAL_PARITY") == "all"
    return [one for one in RELEASES if everything or one.size <= limit]


def test_the_list_is_long_and_varied() -> None:
    assert len(RELEASES) >= 50
    assert all(one.why and one.wheels for one in RELEASES)
    assert all(one["match"] and one["why"] for one in JUSTIFIED)
    assert sum(one.size <= SMALL for one in RELEASES) >= 30


def test_published_packages_on_a_base_like_python_slim(place: Path, slim_base: Path, pip: Path) -> None:
    releases = published.wheels(chosen_releases(SMALL), place / "slim-wheels", Target(python=MINOR))
    compare(slim_base, pip, releases, place / "slim-out")


def test_published_packages_on_debian(place: Path, debian_base: Path, pip: Path) -> None:
    releases = published.wheels(chosen_releases(SMALLEST), place / "debian-wheels", Target(python="3.11"))
    compare(debian_base, pip, releases, place / "debian-out")


@pytest.mark.parametrize("kind", ["slim", "debian"])
def test_releases_without_a_wheel(
    place: Path, pip: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Both build them from the same archives with the same setuptools, and have no index."""
    base = request.getfixturevalue(f"{kind}_base")
    python = MINOR if kind == "slim" else "3.11"
    everything = os.environ.get("SEATRIAL_PARITY") == "all"
    house = place / f"{kind}-sdists"
    archives = published.sdists(SDISTS if everything else SDISTS[:2], pip, house)
    tools = [one for one in RELEASES if one.name in ("setuptools", "wheel", "packaging")]
    published.wheels(tools, house, Target(python=python))
    monkeypatch.setenv("UV_CACHE_DIR", str(place / "nothing-known"))  # of newer tools
    out = place / f"{kind}-sdists-out"
    ours, _ = parity.by_seatrial(base, archives, out, find_links=(str(house),), offline=True)
    theirs = parity.by_pip(base, pip, archives, "--find-links", f"/mnt{house}")
    assert set(theirs.files) - set(parity.files_in(base)), "pip installed nothing: nothing was compared"
    assert parity.differences(theirs, ours) == []


def test_wheels_with_everything_odd_in_them(
    place: Path, slim_base: Path, pip: Path, made: list[Path]
) -> None:
    compare(slim_base, pip, made, place / "made-out")


def test_wheels_with_everything_odd_in_them_on_debian(
    place: Path, debian_base: Path, pip: Path, made: list[Path]
) -> None:
    compare(debian_base, pip, made, place / "made-debian-out")


OLD = {
    "changed/__init__.py": b"value = 1\n",
    "changed/gone/module.py": b"",
    "changed/gone/data/file.txt": b"1",
    "changed/kept.py": b"same = True\n",
    "with_others/changed.py": b"",
    "single.py": b"",
    "changed-1.0.data/data/share/changed/old": b"",
    "changed-1.0.data/scripts/old-tool": b"#!python\n",
    "changed-1.0.data/headers/old.h": b"",
}
NEW = {"changed/__init__.py": b"value = 2\n", "changed/kept.py": b"same = True\n", "changed/added.py": b""}


def test_a_base_that_has_other_versions(place: Path, slim_base: Path, pip: Path) -> None:
    """What pip uninstalls goes, folders that become empty too; what is there in the same version stays."""
    house = place / "versions"
    scripts = "[console_scripts]\nold-command = changed:main\n"
    old = [
        wheels.wheel(house, "changed", "1.0", OLD, entry_points=scripts),
        wheels.wheel(house, "same", "1.0", {"same.py": b"first = True\n"}),
        wheels.wheel(house, "bystander", "1.0", {"with_others/bystander.py": b""}),
    ]
    base = parity.installed(slim_base, pip, old, place / "with-versions")
    new = [
        wheels.wheel(house, "changed", "2.0", NEW),
        wheels.wheel(house / "again", "same", "1.0", {"same.py": b"first = False\n"}),
    ]
    notes = compare(base, pip, new, place / "versions-out")
    assert "changed 1.0 of the base is replaced by 2.0" in notes
    assert "same 1.0 is in the base already and stays" in notes


def test_no_bytecode_of_a_replaced_version_is_left(place: Path, slim_base: Path, pip: Path) -> None:
    """With fixed times Python would take it for that of the new module."""
    house = place / "stale"
    old = wheels.wheel(
        house,
        "stale",
        "1.0",
        {"stale/__init__.py": b"from stale.part import value\n", "stale/part.py": b"value = 1\n"},
    )
    new = wheels.wheel(
        house,
        "stale",
        "2.0",
        {"stale/__init__.py": b"from stale.part import value\n", "stale/part.py": b"value = 2\n"},
    )
    first = place / "stale-first"
    parity.by_seatrial(slim_base, [old], first, bytecode=True)
    second = place / "stale-second"
    parity.by_seatrial(first, [new], second)
    with parity.root_of(second) as root:
        done = parity.inside(root, ["python3", "-c", "import stale; print(stale.value)"])
    assert done.stdout.strip() == "2"


@pytest.mark.parametrize(
    "prefix", ["/opt/" + "long-" * 26 + "prefix", "/opt/with some space"], ids=["long", "space"]
)
def test_an_interpreter_that_the_kernel_cannot_name_in_a_script(
    place: Path, slim_base: Path, pip: Path, prefix: str
) -> None:
    """A first line is at most 127 bytes and has no spaces; pip goes through sh then."""
    case = next(case for case in MADE if case["name"] == "every-place")
    wheel = _make(place / f"far-wheel{len(prefix)}", case)
    base = slim.moved(slim_base, place / f"far{len(prefix)}", prefix)
    out = place / f"far-out{len(prefix)}"
    python = f"{prefix}/bin/python3"
    ours, _ = parity.by_seatrial(base, [wheel], out, python=python)
    theirs = parity.by_pip(base, pip, [wheel], python=python)
    pattern = re.compile(r"/bin/(entry|extra-one|both|win|Upper\.Case_1)$")
    programs = {path for path in theirs.files if pattern.search(path)}
    assert len(programs) == 5
    assert {path: ours.files[path] for path in programs} == {path: theirs.files[path] for path in programs}
    with parity.root_of(out) as root:
        # Other than pip we write the first line of scripts in the same way, so that they can be run too.
        for program, said in (("entry", "main"), ("tool.py", "tool")):
            done = parity.inside(root, [f"{prefix}/bin/{program}"])
            assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
