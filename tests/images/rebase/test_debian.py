"""On a real Debian: an image assembled on it is moved onto a patched one, and works there."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from seatrial.images import layout as oci
from seatrial.images import runtime
from seatrial.images.assemble.image import assemble_project
from seatrial.images.assemble.spec import ImageSpec
from seatrial.images.rebase import base as bases
from seatrial.images.rebase import scan, tree
from seatrial.images.rebase.run import Request, rebase
from seatrial.images.runtimes.tar import TarStream
from seatrial.images.unpack import opened
from support import debian, rebasing, wheels
from support.debian import Item

if TYPE_CHECKING:
    from pathlib import Path

STATUS = "var/lib/dpkg/status"


@pytest.fixture
def real(wheelhouse: Path, tmp_path: Path) -> Path:
    """A Debian base as `debian:bookworm` in the test's own cache, and a project."""
    layout = debian.base()
    place = tmp_path / "cache" / "bases" / layout.name
    place.parent.mkdir(parents=True)
    shutil.copytree(layout, place, copy_function=os.link)
    wheels.wheel(wheelhouse, "inner", "1.0")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "requirements.txt").write_text("inner\n")
    (tmp_path / "project" / "serve.py").write_text(
        "import inner, getpass\nprint(inner.value, getpass.getuser())\n"
    )
    return place


def patched(layout: Path, on: Path) -> Path:
    """What a security update does: another package version, another library, one more account."""
    image = oci.read_image(on)
    with opened(oci.blob_path(on, image.manifest.layers[0].digest)) as stream:
        texts = scan.read_layer(TarStream(stream)).texts
    status = texts["/var/lib/dpkg/status"].decode().replace("Package: libssl3\n", "Package: libssl3\nX: 1\n")
    before = next(
        p["version"] for p in bases.stanzas(texts["/var/lib/dpkg/status"]) if p["package"] == "libc-bin"
    )
    head, _, rest = status.partition("Package: libc-bin\n")
    status = f"{head}Package: libc-bin\n{rest.replace(f'Version: {before}', f'Version: {before}.1', 1)}"
    accounts = texts["/etc/passwd"].decode() + "_patch:x:990:990::/nonexistent:/usr/sbin/nologin\n"
    items = [Item(STATUS, status), Item("etc/passwd", accounts), Item("etc/patched", "yes\n")]
    debian.image(layout, [items], image.config["config"], base=on)
    return layout


def test_an_assembled_image_is_moved_onto_a_patched_debian(real: Path, tmp_path: Path) -> None:
    debian.needs_bwrap()
    spec = ImageSpec(
        root=tmp_path / "project", base="debian:bookworm", requirements=("requirements.txt",),
        entrypoint=("python3", "/app/serve.py"),
    )  # fmt: skip
    assemble_project(spec, out=tmp_path / "image")
    new = patched(tmp_path / "new", real)
    anew = ImageSpec(**{**{f: getattr(spec, f) for f in spec.__struct_fields__}, "base": str(new)})
    wanted = assemble_project(anew, out=tmp_path / "anew").digest
    shutil.rmtree(real)  # made anew since, as `--refresh-base` does
    report = rebase(Request(image=str(tmp_path / "image"), onto=str(new), out=tmp_path / "out"))
    assert report.verdict == "may", rebasing.failures(report)
    assert report.digest == wanted
    moved = report.images[0]
    assert moved.base is not None
    assert moved.base.how == "the image's label, and the base's manifest"  # computed again from the layer
    assert [line.split()[0] for line in moved.packages] == ["libc-bin"]
    root = runtime.prepare(tmp_path / "out", report.digest)
    done = runtime.run(root, [], runtime.Launch(network="none"), timeout=60)
    assert done.stdout == "1 app\n", done.stderr
    shown = runtime.run(
        root, ["/etc/patched"], runtime.Launch(entrypoint=("cat",), network="none"), timeout=60
    )
    assert shown.stdout == "yes\n"


def test_an_image_with_packages_of_its_own_is_refused_when_the_list_of_packages_changed(
    real: Path, tmp_path: Path
) -> None:
    new = patched(tmp_path / "new", real)
    image = rebasing.built(
        tmp_path / "image", real, [Item(STATUS, "Package: curl\n"), Item("usr/bin/curl", "x")]
    )
    report = rebasing.moved(image, new)
    assert rebasing.failures(report) == {"hidden"}
    assert "the list of installed Debian packages" in " ".join(rebasing.answers(report)["hidden"].details)


def test_what_a_base_was_given_beyond_the_usual_is_found(real: Path) -> None:
    image = oci.read_image(real)
    with opened(oci.blob_path(real, image.manifest.layers[0].digest)) as stream:
        texts = tree.merge([scan.read_layer(TarStream(stream))]).texts
    assert bases.extra_packages(texts) == []
    more = texts["/var/lib/dpkg/status"] + b"\n".join(
        f"\nPackage: {name}\nStatus: install ok installed\nDepends: libc6 (>= 2.36), {other}\nVersion: 1\n".encode()
        for name, other in (("curl", "libcurl4 | other"), ("libcurl4", "libc6"))
    )
    automatic = texts["/var/lib/apt/extended_states"] + b"\nPackage: libcurl4\nAuto-Installed: 1\n"
    found = {"/var/lib/dpkg/status": more, "/var/lib/apt/extended_states": automatic}
    assert bases.extra_packages(found) == ["curl"]
