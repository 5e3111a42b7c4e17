"""A small project and its bases, ready to be assembled without a network."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from seatrial.images import layout as oci
from seatrial.images.assemble.spec import ImageSpec
from seatrial.images.target import this_platform
from support import bases, wheels

if TYPE_CHECKING:
    from pathlib import Path

PLATFORMS = ("linux/amd64", "linux/arm64")


def two_bases(layout: Path) -> Path:
    """One index of a base for amd64 and one for arm64, which differ in a file; both run this machine's Python."""
    tops: list[oci.Descriptor] = []
    for platform in PLATFORMS:
        name = platform.removeprefix("linux/")
        bases.base(layout, architecture=name, extra={"/etc/architecture": name.encode()})
        tops += oci.read_index(layout).manifests
    top = oci.add_blob(layout, oci.encode(oci.Index(manifests=tuple(tops))), oci.INDEX)
    oci.set_index(layout, oci.Index(manifests=(top,)))
    return layout


def one_base(layout: Path) -> Path:
    """A base for this machine."""
    return bases.base(layout, architecture=this_platform().removeprefix("linux/"))


def project(folder: Path, house: Path) -> Path:
    """A program that needs two packages; one brings a script, the other data."""
    wheels.wheel(house, "inner", "1.0", {"inner/__init__.py": b"value = 7\n", "inner/data.txt": b"data\n"})
    wheels.wheel(
        house, "outer", "1.0", {"outer.py": b"import inner\ndef main():\n    print('seven is', inner.value)\n"},
        requires=("inner",), entry_points="[console_scripts]\nouter = outer:main\n",
    )  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text("outer\n")
    (folder / "app.py").write_text("import outer\nouter.main()\n")
    return folder


def share_probes(cache: Path, probed: Path) -> None:
    """What is known of bases may be shared between tests: it is named by their digests."""
    cache.mkdir(exist_ok=True)
    (cache / "bases").symlink_to(probed)


def spec(folder: Path, base: Path, **changes: Any) -> ImageSpec:
    """The image of that project."""
    given: dict[str, Any] = {
        "base": str(base),
        "requirements": ("requirements.txt",),
        "entrypoint": ("python3", "app.py"),
        "bytecode": False,
        "platforms": (this_platform(),),
    }
    return ImageSpec(root=folder, **(given | changes))


def forget_layers(cache: Path) -> None:
    """Make every layer new again."""
    shutil.rmtree(cache / "layers", ignore_errors=True)
