"""What is found in the layers of an image: packages of every kind, whose files are whose, and what is nobody's."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from seatrial.images.attesting import inventory
from seatrial.images.layout import read_image
from support.debian import Item, folder, hardlink, image, symlink
from support.image_content import wheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.attesting.model import Inventory, Package

SITE = "usr/local/lib/python3.11/site-packages"
RELEASE = Item("etc/os-release", 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n')


def taken(tmp_path: Path, *layers: Sequence[Item]) -> Inventory:
    image(tmp_path / "image", layers)
    return inventory.take(tmp_path / "image", read_image(tmp_path / "image"))[0]


def names(found: Inventory) -> list[str]:
    return [f"{one.kind} {one.name} {one.version}" for one in found.packages]


def only(found: Inventory) -> Package:
    [one] = found.packages
    return one


def loose(found: Inventory) -> list[str]:
    return [one.path for one in found.loose]


def recorded(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def dpkg(
    name: str, version: str, files: Sequence[str] = (), state: str = "install ok installed", more: str = ""
) -> str:
    return f"Package: {name}\nStatus: {state}\nArchitecture: amd64\nVersion: {version}\n{more}\n"


def test_files_of_a_package_are_its_own_and_the_others_are_loose(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        [*wheel("demo", "1.0", {"demo/__init__.py": "x = 1\n"}, site=SITE), Item("srv/model.bin", b"abc")],
    )
    one = only(found)
    assert (one.ref, one.layer, one.missing, one.changed) == ("pkg:pypi/demo@1.0", 0, 0, ())
    assert one.files == 3
    assert one.size > len("x = 1\n")
    [model] = found.loose
    assert (model.path, model.size) == ("/srv/model.bin", 3)
    assert model.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert model.sha1 == hashlib.sha1(b"abc").hexdigest()


def test_names_are_as_written_and_compared_as_pypi_does(tmp_path: Path) -> None:
    found = taken(tmp_path, wheel("Flask_Demo.X", "2.0+cu128", {}, site=SITE))
    assert only(found).name == "Flask_Demo.X"
    assert only(found).purl == "pkg:pypi/flask-demo-x@2.0%2Bcu128"


def test_a_file_that_is_not_what_was_installed_is_named(tmp_path: Path) -> None:
    info = f"{SITE}/demo-1.0.dist-info"
    record = f"demo.py,sha256={recorded(b'good')},4\nkept.py,sha256={recorded(b'kept')},4\ngone.py,,\n"
    found = taken(
        tmp_path,
        [
            Item(f"{info}/METADATA", "Name: demo\nVersion: 1.0\n"), Item(f"{info}/RECORD", record),
            Item(f"{SITE}/demo.py", "evil"), Item(f"{SITE}/kept.py", "kept"),
        ],
    )  # fmt: skip
    assert only(found).changed == (f"/{SITE}/demo.py",)
    assert only(found).missing == 1


def test_scripts_and_data_outside_of_the_packages_folder_are_owned(tmp_path: Path) -> None:
    items = [
        *wheel("demo", "1.0", {}, site=SITE, lost=("../../../bin/demo", "/etc/demo.conf")),
        Item("usr/local/bin/demo", "#!"),
        Item("usr/local/bin/other", "#!"),
        Item("etc/demo.conf", ""),
    ]
    assert loose(taken(tmp_path, items)) == ["/usr/local/bin/other"]


def test_bytecode_belongs_to_whom_its_source_belongs(tmp_path: Path) -> None:
    items = wheel("demo", "1.0", {"demo.py": ""}, site=SITE)
    compiled = [
        Item(f"{SITE}/__pycache__/demo.cpython-311.opt-1.pyc"),
        Item(f"{SITE}/__pycache__/alien.cpython-311.pyc"),
    ]
    assert loose(taken(tmp_path, items, compiled)) == [f"/{SITE}/__pycache__/alien.cpython-311.pyc"]


def test_what_an_upper_layer_removes_is_gone(tmp_path: Path) -> None:
    lower = [
        *wheel("kept", "1.0", {"kept.py": ""}, site=SITE),
        *wheel("gone", "1.0", {"gone.py": ""}, site=SITE),
    ]
    upper = [Item(f"{SITE}/.wh.gone-1.0.dist-info"), Item(f"{SITE}/.wh.gone.py")]
    found = taken(tmp_path, lower, upper)
    assert names(found) == ["pypi kept 1.0"]
    assert found.loose == ()


def test_what_an_upper_layer_upgrades_is_there_once_in_its_new_version(tmp_path: Path) -> None:
    lower = wheel("demo", "1.0", {"demo.py": "old"}, site=SITE)
    upper = [Item(f"{SITE}/.wh.demo-1.0.dist-info"), *wheel("demo", "2.0", {"demo.py": "newer"}, site=SITE)]
    found = taken(tmp_path, lower, upper)
    assert names(found) == ["pypi demo 2.0"]
    assert only(found).layer == 1


def test_a_folder_that_is_made_anew_hides_what_was_in_it(tmp_path: Path) -> None:
    lower = wheel("old", "1.0", {"old.py": ""}, site=SITE)
    upper = [folder(SITE), Item(f"{SITE}/.wh..wh..opq"), *wheel("new", "1.0", {"new.py": ""}, site=SITE)]
    assert names(taken(tmp_path, lower, upper)) == ["pypi new 1.0"]


def test_a_file_over_a_folder_hides_it_and_its_texts(tmp_path: Path) -> None:
    lower = wheel("old", "1.0", {}, site="opt/env")
    assert names(taken(tmp_path, lower, [Item("opt/env", "now a file")])) == []


def test_metadata_that_a_later_layer_replaces_by_a_link_is_not_read_any_more(tmp_path: Path) -> None:
    lower = wheel("old", "1.0", {}, site=SITE)
    assert names(taken(tmp_path, lower, [symlink(f"{SITE}/old-1.0.dist-info/METADATA", "/dev/null")])) == []


def test_a_layer_may_write_through_a_folder_that_is_a_link(tmp_path: Path) -> None:
    lower = [folder(SITE), symlink("packages", SITE)]
    found = taken(tmp_path, lower, wheel("demo", "1.0", {"demo.py": ""}, site="packages"))
    assert only(found).places == (f"/{SITE}/demo-1.0.dist-info",)
    assert found.loose == ()


def test_a_hard_link_has_the_content_of_what_it_names(tmp_path: Path) -> None:
    found = taken(tmp_path, [Item("data/a", b"abc"), hardlink("data/b", "data/a")])
    assert {one.sha256 for one in found.loose} == {hashlib.sha256(b"abc").hexdigest()}
    assert loose(found) == ["/data/a", "/data/b"]


def test_names_that_are_no_text_are_shown_and_kept_apart(tmp_path: Path) -> None:
    found = taken(tmp_path, [Item("data/\udcff"), Item("data/\udcfe"), Item("data/ü\n")])
    assert loose(found) == ["/data/\\xfe", "/data/\\xff", "/data/ü\n"]


def egg(member: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, "Name: demo\nVersion: 1.0\n")
    return stream.getvalue()


EGGS = {
    "an egg that is one file": [Item(f"{SITE}/demo-1.0-py3.11.egg", egg("EGG-INFO/PKG-INFO"))],
    "a folder beside the source": [Item("src/demo.egg-info/PKG-INFO", "Name: demo\nVersion: 1.0\n")],
    "a single file": [Item(f"{SITE}/demo-1.0-py3.11.egg-info", "Name: demo\nVersion: 1.0\n")],
    "an egg that is a folder": [Item(f"{SITE}/demo-1.0-py3.11.egg/EGG-INFO/PKG-INFO", "Name: demo\nVersion: 1.0\n")],
    "a list of installed files": [
        Item(f"{SITE}/demo-1.0.egg-info/PKG-INFO", "Name: demo\nVersion: 1.0\n"),
        Item(f"{SITE}/demo-1.0.egg-info/installed-files.txt", "../demo.py\nPKG-INFO\n"),
        Item(f"{SITE}/demo.py", ""),
    ],
}  # fmt: skip


@pytest.mark.parametrize("items", EGGS.values(), ids=EGGS)
def test_old_forms_of_metadata_are_read(tmp_path: Path, items: list[Item]) -> None:
    found = taken(tmp_path, items)
    assert names(found) == ["pypi demo 1.0"]
    assert found.loose == ()


def test_editable_installs_are_told_apart(tmp_path: Path) -> None:
    origin = json.dumps({"url": "file:///src", "dir_info": {"editable": True}})
    new = wheel("new", "1.0", {}, site=SITE, more={"direct_url.json": origin})
    old = [
        Item("src/old.egg-info/PKG-INFO", "Name: old\nVersion: 1.0\n"),
        Item(f"{SITE}/old.egg-link", "/src\n."),
    ]
    usual = wheel("usual", "1.0", {}, site=SITE)
    found = taken(tmp_path, [*new, *old, *usual])
    assert {one.name: one.editable for one in found.packages} == {"new": True, "old": True, "usual": False}


def test_what_a_package_carries_with_it_is_told_apart(tmp_path: Path) -> None:
    inner = "tools/_vendor/inner-3.0.dist-info"
    outer = wheel(
        "tools", "1.0", {f"{inner}/METADATA": "Name: inner\nVersion: 3.0\n", f"{inner}/RECORD": ""}, site=SITE
    )
    found = {one.name: one.within for one in taken(tmp_path, outer).packages}
    assert found == {"inner": "pkg:pypi/tools@1.0", "tools": ""}


def test_the_same_version_in_two_environments_is_one_package_with_two_places(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        [
            *wheel("demo", "1.0", {}, site="a"),
            *wheel("demo", "1.0", {}, site="b"),
            *wheel("demo", "2.0", {}, site="c"),
        ],
    )
    assert [(one.version, one.places) for one in found.packages] == [
        ("1.0", ("/a/demo-1.0.dist-info", "/b/demo-1.0.dist-info")),
        ("2.0", ("/c/demo-2.0.dist-info",)),
    ]


def test_metadata_without_a_name_is_noted(tmp_path: Path) -> None:
    found = taken(tmp_path, [Item(f"{SITE}/x-1.dist-info/METADATA", "Version: 1\n")])
    assert found.packages == ()
    assert f"/{SITE}/x-1.dist-info/METADATA" in found.notes[0]


@pytest.mark.parametrize("content", [b"", b"PK", egg("PKG-INFO")])
def test_an_egg_that_cannot_be_read_is_noted(tmp_path: Path, content: bytes) -> None:
    found = taken(tmp_path, [Item(f"{SITE}/demo.egg", content)])
    assert found.packages == ()
    assert f"/{SITE}/demo.egg" in found.notes[0]


def test_lists_that_no_installer_wrote_are_noted(tmp_path: Path) -> None:
    info = f"{SITE}/demo-1.0.dist-info"
    record = f"demo.py,,\n{'x' * 200_000},,\n"
    found = taken(
        tmp_path,
        [
            Item(f"{info}/METADATA", "Name: demo\nVersion: 1.0\n"),
            Item(f"{info}/RECORD", record),
            Item(f"{SITE}/demo.py"),
        ],
    )
    assert names(found) == ["pypi demo 1.0"]
    assert "RECORD" in found.notes[0]
    assert found.loose == ()


LICENCES = {
    "License-Expression: apache-2.0 or mit": ("Apache-2.0 OR MIT",),
    "License: MIT": ("MIT",),
    "License: BSD\nClassifier: License :: OSI Approved :: BSD License": ("BSD License",),
    "Classifier: License :: OSI Approved :: MIT License\nClassifier: License :: OSI Approved :: Apache Software License": ("MIT", "Apache-2.0"),
    "License: A very long story": ("A very long story",),
    "License: UNKNOWN": (),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), LICENCES.items(), ids=LICENCES)
def test_licences_are_as_declared(tmp_path: Path, fields: str, expected: tuple[str, ...]) -> None:
    items = [
        Item(f"{SITE}/demo-1.dist-info/METADATA", f"Name: demo\nVersion: 1\n{fields}\n\nLicense: not this\n")
    ]
    assert only(taken(tmp_path, items)).licences == expected


def test_requirements_link_what_is_there(tmp_path: Path) -> None:
    app = wheel("app", "1.0", {}, ("Lib_A>=1", "absent", "lib-b; extra == 'more'"), site=SITE)
    found = taken(
        tmp_path, [*app, *wheel("lib-a", "1.0", {}, site=SITE), *wheel("lib-b", "1.0", {}, site=SITE)]
    )
    assert {one.name: one.requires for one in found.packages}["app"] == ("pkg:pypi/lib-a@1.0",)


def test_debian_packages_with_their_files_licences_and_dependencies(tmp_path: Path) -> None:
    status = (
        dpkg(
            "curl",
            "7.88.1-10",
            more="Source: curl-src (7.88)\nDepends: libz1 (>= 1) | other, absent, mail-agent\n",
        )
        + dpkg("libz1", "1:1.2", more="Multi-Arch: same\n")
        + dpkg("postfix", "3", more="Provides: mail-agent\n")
        + dpkg("removed", "1", state="deinstall ok config-files")
        + dpkg("held", "2", state="hold ok installed")
    )
    good = hashlib.md5(b"#!good").hexdigest()
    found = taken(
        tmp_path,
        [
            RELEASE, folder("usr/bin"), symlink("bin", "usr/bin"), Item("usr/bin/curl", "#!good"), Item("usr/bin/alien", "?"),
            Item("var/lib/dpkg/status", status), Item("var/lib/dpkg/info/curl.list", "/.\n/bin\n/bin/curl\n/usr/share/doc/curl/copyright\n"),
            Item("var/lib/dpkg/info/curl.md5sums", f"{good}  bin/curl\n"),
            Item("var/lib/dpkg/info/libz1:amd64.list", "/usr/lib/libz.so.1\n"), Item("usr/lib/libz.so.1", b"ELF"),
            Item("usr/share/doc/curl/copyright", "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+\n"),
        ],
    )  # fmt: skip
    assert names(found) == ["deb curl 7.88.1-10", "deb held 2", "deb libz1 1:1.2", "deb postfix 3"]
    curl = found.packages[0]
    assert curl.purl == "pkg:deb/debian/curl@7.88.1-10?arch=amd64&distro=debian-12&upstream=curl-src%407.88"
    assert curl.requires == ("pkg:deb/debian/libz1@1:1.2?arch=amd64", "pkg:deb/debian/postfix@3?arch=amd64")
    assert (curl.licences, curl.changed) == (("GPL-2.0-or-later",), ())
    assert loose(found) == ["/etc/os-release", "/usr/bin/alien", "/var/lib/dpkg/status"]


def test_a_changed_file_of_a_debian_package_is_named(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        [
            Item("usr/bin/curl", "#!evil"), Item("var/lib/dpkg/status", dpkg("curl", "1")),
            Item("var/lib/dpkg/info/curl.list", "/usr/bin/curl\n"),
            Item("var/lib/dpkg/info/curl.md5sums", f"{hashlib.md5(b'#!good').hexdigest()}  usr/bin/curl\n"),
        ],
    )  # fmt: skip
    assert only(found).changed == ("/usr/bin/curl",)


def test_a_diverted_file_belongs_to_whom_it_was_taken_from(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        [
            Item("bin/sh", "new"), Item("bin/sh.distrib", "the first one's"),
            Item("var/lib/dpkg/status", dpkg("first", "1") + dpkg("second", "1")),
            Item("var/lib/dpkg/diversions", "/bin/sh\n/bin/sh.distrib\nsecond\n"),
            Item("var/lib/dpkg/info/first.list", "/bin/sh\n"), Item("var/lib/dpkg/info/second.list", "/bin/sh\n"),
        ],
    )  # fmt: skip
    sizes = {one.name: one.size - len("/bin/sh\n") for one in found.packages}
    assert sizes == {"first": len("the first one's"), "second": len("new")}


def test_python_packages_of_debian_are_named_by_both(tmp_path: Path) -> None:
    info = "usr/lib/python3/dist-packages/PyYAML-6.0.egg-info"
    found = taken(
        tmp_path,
        [
            Item(f"{info}/PKG-INFO", "Name: PyYAML\nVersion: 6.0\n"), Item("var/lib/dpkg/status", dpkg("python3-yaml", "6.0-3")),
            Item("var/lib/dpkg/info/python3-yaml.list", f"/{info}\n/{info}/PKG-INFO\n"),
        ],
    )  # fmt: skip
    assert names(found) == ["deb python3-yaml 6.0-3", "pypi PyYAML 6.0"]
    assert found.packages[1].within == "pkg:deb/debian/python3-yaml@6.0-3?arch=amd64"


def test_distroless_images_are_read(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        [
            Item("var/lib/dpkg/status.d/libc6", "Package: libc6\nVersion: 2.36\nArchitecture: amd64\n"),
            Item("var/lib/dpkg/status.d/libc6.md5sums", f"{'0' * 32}  usr/lib/libc.so.6\n"), Item("usr/lib/libc.so.6", b"ELF"),
        ],
    )  # fmt: skip
    assert names(found) == ["deb libc6 2.36"]
    assert loose(found) == []


def test_conda_packages_without_the_address_of_their_channel(tmp_path: Path) -> None:
    told = {
        "name": "numpy", "version": "1.26.4", "build": "py311_0", "subdir": "linux-64", "license": "BSD-3-Clause", "depends": ["python >=3.11", "zlib"],
        "channel": "https://token@mirror.example/t/secret/conda-forge/linux-64", "files": ["lib/numpy.py", "lib/gone.py"],
        "paths_data": {"paths": [{"_path": "lib/numpy.py", "sha256_in_prefix": hashlib.sha256(b"good").hexdigest()}]},
    }  # fmt: skip
    other = {"name": "zlib", "version": "1.3", "build": "h0", "files": []}
    found = taken(
        tmp_path,
        [
            Item("opt/conda/conda-meta/numpy-1.26.4-py311_0.json", json.dumps(told)), Item("opt/conda/lib/numpy.py", "evil"),
            Item("opt/conda/conda-meta/zlib-1.3-h0.json", json.dumps(other)), Item("opt/conda/conda-meta/broken.json", "{"),
        ],
    )  # fmt: skip
    numpy = found.packages[0]
    assert numpy.purl == "pkg:conda/numpy@1.26.4?build=py311_0&channel=conda-forge&subdir=linux-64"
    assert (numpy.missing, numpy.changed) == (1, ("/opt/conda/lib/numpy.py",))
    assert numpy.requires == ("pkg:conda/zlib@1.3?build=h0",)
    assert "broken.json" in found.notes[0]


def test_node_packages_own_their_folder_but_not_those_within(tmp_path: Path) -> None:
    top = "usr/lib/node_modules/@scope/tool"
    found = taken(
        tmp_path,
        [
            Item(f"{top}/package.json", json.dumps({"name": "@scope/tool", "version": "2.0.0", "license": "MIT", "dependencies": {"left": "1"}})),
            Item(f"{top}/index.js", "x"), Item(f"{top}/node_modules/left/package.json", json.dumps({"name": "left", "version": "1.0.0"})),
            Item(f"{top}/lib/package.json", '{"type": "module"}'),
        ],
    )  # fmt: skip
    assert [one.purl for one in found.packages] == ["pkg:npm/%40scope/tool@2.0.0", "pkg:npm/left@1.0.0"]
    assert found.packages[0].requires == ("pkg:npm/left@1.0.0",)
    assert found.packages[0].files == 3
    assert found.loose == ()


def test_alpine_packages(tmp_path: Path) -> None:
    database = (
        "P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\nF:lib\nR:ld.so\n\nP:app\nV:1\nA:x86_64\nD:musl so:libc !other\n"
    )
    found = taken(
        tmp_path,
        [
            Item("etc/os-release", "ID=alpine\nVERSION_ID=3.19\n"),
            Item("lib/apk/db/installed", database),
            Item("lib/ld.so", b""),
        ],
    )
    assert [one.purl for one in found.packages] == [
        "pkg:apk/alpine/app@1?arch=x86_64&distro=alpine-3.19", "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19",
    ]  # fmt: skip
    assert found.packages[0].requires == ("pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19",)
    assert "/lib/ld.so" not in loose(found)


def test_a_database_that_is_not_read_is_said(tmp_path: Path) -> None:
    assert "rpm" in taken(tmp_path, [Item("var/lib/rpm/rpmdb.sqlite", b"")]).notes[0]


def test_an_image_that_was_read_is_remembered_by_its_layers_and_found_the_same(tmp_path: Path) -> None:
    layers = [wheel("demo", "1.0", {"demo.py": ""}, site=SITE), [Item("srv/x", "x"), symlink("srv/y", "x")]]
    image(tmp_path / "image", layers)
    opened = read_image(tmp_path / "image")
    first = inventory.take(tmp_path / "image", opened)
    for layer in opened.manifest.layers:
        (tmp_path / "image" / "blobs" / "sha256" / layer.digest[7:]).unlink()
    assert inventory.take(tmp_path / "image", opened) == first
