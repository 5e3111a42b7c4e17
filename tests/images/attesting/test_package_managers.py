"""The bill of materials of a real Debian with packages above it, beside what dpkg and Python in that image say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from seatrial.images import runtime
from seatrial.images.attesting import inventory
from seatrial.images.layout import read_image
from support import debian
from support.image_content import editable, wheel

if TYPE_CHECKING:
    from pathlib import Path

_DPKG = "${Package} ${Version} ${db:Status-Status}\\n"
_PYTHON = """
import importlib.metadata, json
print(json.dumps({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}))
"""


def test_dpkg_and_python_list_what_the_bill_of_materials_lists(tmp_path: Path) -> None:
    debian.needs_bwrap()
    site = debian.PACKAGES
    below = [
        *wheel("kept", "1.0", {"kept.py": ""}, site=site),
        *wheel("gone", "1.0", {"gone.py": ""}, site=site),
    ]
    above = [
        debian.Item(f"{site}/.wh.gone-1.0.dist-info"), debian.Item(f"{site}/.wh.kept-1.0.dist-info"),
        *wheel("kept", "2.0", {"kept.py": "2"}, site=site), *editable("local", "/src", site=site),
        debian.Item(f"{site}/Old_Egg-3.0-py3.11.egg-info", "Name: Old.Egg\nVersion: 3.0\n"),
    ]  # fmt: skip
    debian.image(tmp_path / "image", [below, above], base=debian.base())
    found, _, _ = inventory.take(tmp_path / "image", read_image(tmp_path / "image"))
    root = runtime.prepare(tmp_path / "image")

    def asked(program: str, *arguments: str) -> str:
        launch = runtime.Launch(entrypoint=(program,), network="none")
        done = runtime.run(root, arguments, launch, timeout=60)
        assert done.code == 0, done.stderr
        return done.stdout

    listed = [line.rpartition(" ") for line in asked("dpkg-query", "-W", "-f", _DPKG).splitlines()]
    assert len(listed) > 50
    assert {f"{one.name} {one.version}" for one in found.packages if one.kind == "deb"} == {
        name for name, _, state in listed if state == "installed"
    }
    theirs = json.loads(asked("/usr/bin/python3", "-c", _PYTHON))
    assert {one.name: one.version for one in found.packages if one.kind == "pypi"} == theirs
    assert theirs == {"kept": "2.0", "local": "1.0", "Old.Egg": "3.0"}
    # Whatever Debian's packages brought is as they brought it.
    assert [one.name for one in found.packages if one.changed] == []
