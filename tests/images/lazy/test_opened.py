"""What a program of an image opens while it starts: the list that a lazy pull fetches first."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from seatrial.images.lazy.first import read_first
from support import bases
from support.commands import seatrial
from support.debian import needs_bwrap

if TYPE_CHECKING:
    from pathlib import Path


LIB = f"/usr/local/lib/python{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with two modules, one of which is imported, and a file that is read."""
    needs_bwrap()
    folder = tmp_path_factory.mktemp("opened")
    bases.base(
        folder / "image",
        extra={
            f"{bases.PURELIB}/used.py": b"import struct\nopen('/data/read').read()\n",
            f"{bases.PURELIB}/unused.py": b"value = 1\n",
            f"{bases.PURELIB}/sitecustomize.py": b"print('own sitecustomize')\n",
            "/data/read": b"data",
            "/data/unread": b"data",
        },
        links={"/data/link": "read"},
    )
    (folder / "work").mkdir()
    return folder / "work"


def test_it_lists_what_was_opened_and_nothing_else(folder: Path) -> None:
    done = seatrial(
        folder, "image", "opened", "../image", "--out", "first.txt", "--", "python3", "-c",
        "import used; open('/data/link'); open('/tmp/own', 'w'); print('said')",
    )  # fmt: skip
    found = read_first(folder / "first.txt")

    assert done.returncode == 0, done.stderr
    assert {f"{bases.PURELIB}/used.py", "/data/read", "/usr/local/bin/" + LIB.rpartition("/")[2]} <= set(
        found
    )
    assert not {f"{bases.PURELIB}/unused.py", "/data/unread", "/data/link", "/tmp/own"} & set(found)
    assert any(name.rpartition("/")[2].startswith("libc.so") for name in found)
    assert any("lib-dynload/_struct" in name for name in found) or "_struct" in sys.builtin_module_names
    assert not any("seatrial" in name for name in found)
    assert done.stdout == ""
    assert "said" in done.stderr
    assert "own sitecustomize" in done.stderr


def test_a_program_that_does_not_end_is_ended(folder: Path) -> None:
    done = seatrial(
        folder, "image", "opened", "../image", "--seconds", "2", "--json", "--", "python3", "-c",
        "import used, time; time.sleep(600)",
    )  # fmt: skip
    said = json.loads(done.stdout)

    assert (done.returncode, said["exit_code"]) == (0, None)
    assert f"{bases.PURELIB}/used.py" in said["paths"]


def test_a_program_that_is_not_pythons_is_refused(folder: Path) -> None:
    done = seatrial(folder, "image", "opened", "../image", "--", "python3", "-I", "-c", "pass")

    assert done.returncode == 1
    assert "no Python of the image ran" in done.stderr
