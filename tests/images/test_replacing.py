"""What becomes of a base's own distributions when an image wants others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.assemble.image import ImageSpec, assemble_project
from seatrial.images.assemble.replacing import replaced
from seatrial.images.assemble.store import using
from seatrial.images.base_tree import Tree
from seatrial.images.bases import prepare
from seatrial.images.lock import LockedWheel
from seatrial.images.probe import probe
from support import bases, wheels
from support.layer_digests import LIBRARY, SCHEME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LIB = bases.PURELIB


def tree_of(files: Mapping[str, bytes]) -> Tree:
    """A tree with these files, and the listings among them."""
    lists = {p: text for p, text in files.items() if p.endswith(("RECORD", "installed-files.txt")) and text}
    folders = {p.rsplit("/", n)[0] for p in files for n in range(1, p.count("/"))}
    eggs = {p for p in {*folders, *files} if p.endswith(".egg-info")}
    return Tree(folders=folders, links={}, programs=set(), texts=lists, eggs=eggs, files=set(files))


def wanted(name: str, version: str) -> LockedWheel:
    return LockedWheel(
        name=name, version=version, filename=f"{name}-{version}-py3-none-any.whl", sha256="0" * 64
    )


RECORD = (
    "old/__init__.py,,\nold/deep/a.py,,\nwith/others/x.py,,\n../../../bin/old,,\n../../../share/old/data,,\n"
    "../../../../../etc/passwd,,\nold-1.0.dist-info/METADATA,,\nold-1.0.dist-info/RECORD,,\n"
)
OLD = {
    f"{LIBRARY}/old/__init__.py": b"",
    f"{LIBRARY}/old/__pycache__/__init__.cpython-311.pyc": b"",
    f"{LIBRARY}/old/deep/a.py": b"",
    f"{LIBRARY}/with/others/x.py": b"",
    f"{LIBRARY}/with/others/__pycache__/x.cpython-311.pyc": b"",
    f"{LIBRARY}/with/others/__pycache__/y.cpython-311.pyc": b"",
    f"{LIBRARY}/with/others/y.py": b"",
    f"{LIBRARY}/old-1.0.dist-info/METADATA": b"",
    f"{LIBRARY}/old-1.0.dist-info/RECORD": RECORD.encode(),
    f"{LIBRARY}/old-1.0.dist-info/extra": b"",
    "/usr/local/bin/old": b"",
    "/usr/local/bin/python3": b"",
    "/usr/local/share/old/data": b"",
    "/etc/passwd": b"",
}


def test_files_bytecode_and_empty_folders_go_and_nothing_else() -> None:
    done = replaced(tree_of(OLD), SCHEME, [wanted("old", "2.0")])
    assert set(done.removed) == {
        f"{LIBRARY}/old",
        f"{LIBRARY}/old-1.0.dist-info",
        f"{LIBRARY}/with/others/x.py",
        f"{LIBRARY}/with/others/__pycache__/x.cpython-311.pyc",
        "/usr/local/bin/old",
        "/usr/local/share/old",
    }
    assert done.notes == ("old 1.0 of the base is replaced by 2.0",)


def test_the_same_version_stays_however_it_is_written() -> None:
    done = replaced(tree_of(OLD), SCHEME, [wanted("old", "1.0.0")])
    assert done.kept == {"old"}
    assert done.removed == ()


def test_two_versions_side_by_side_both_go() -> None:
    """A tool that copied files left them; one of the two cannot stay without files of the other."""
    second = {
        f"{LIBRARY}/old-2.0.dist-info/METADATA": b"",
        f"{LIBRARY}/old-2.0.dist-info/RECORD": b"old/__init__.py,,\n",
    }
    done = replaced(tree_of({**OLD, **second}), SCHEME, [wanted("old", "2.0")])
    assert done.kept == set()
    assert {f"{LIBRARY}/old-1.0.dist-info", f"{LIBRARY}/old-2.0.dist-info"} <= set(done.removed)


def test_an_old_distribution_that_lists_its_files_goes() -> None:
    egg = f"{LIBRARY}/egg_one-1.0-py3.11.egg-info"
    files = {
        f"{egg}/PKG-INFO": b"",
        f"{egg}/installed-files.txt": b"../egg_one.py\n../../../../bin/egg\nPKG-INFO\n",
        f"{LIBRARY}/egg_one.py": b"",
        "/usr/local/bin/egg": b"",
    }
    done = replaced(tree_of(files), SCHEME, [wanted("egg-one", "2.0")])
    assert set(done.removed) == {egg, f"{LIBRARY}/egg_one.py", "/usr/local/bin/egg"}
    assert replaced(tree_of(files), SCHEME, [wanted("egg-one", "1.0")]).kept == {"egg-one"}


@pytest.mark.parametrize(
    "files",
    [
        {f"{LIBRARY}/plain-1.0.egg-info": b""},
        {f"{LIBRARY}/plain-1.0.dist-info/METADATA": b""},
        {f"{LIBRARY}/plain-1.0.dist-info/METADATA": b"", f"{LIBRARY}/plain-1.0.dist-info/RECORD": b""},
    ],
    ids=["egg", "no RECORD", "empty RECORD"],
)
def test_what_does_not_say_which_files_it_has_is_not_half_replaced(files: dict[str, bytes]) -> None:
    with pytest.raises(
        SeatrialError, match=r"the base has plain 1\.0, and nothing says which files"
    ) as caught:
        replaced(tree_of(files), SCHEME, [wanted("plain", "2.0")])
    assert "plain==1.0" in str(caught.value.fix)
    assert replaced(tree_of(files), SCHEME, [wanted("plain", "1.0")]).kept == {"plain"}


def test_packages_of_the_distribution_stay_beside_what_is_installed(wheelhouse: Path, tmp_path: Path) -> None:
    """Debian's own go to a folder that wheels do not go to, later on the path: pip leaves them too."""
    system = "/usr/lib/python3/dist-packages"
    layout = bases.base(
        tmp_path / "base",
        extra={
            f"{system}/demo.py": b"",
            f"{system}/demo-1.0.dist-info/METADATA": b"Name: demo\nVersion: 1.0\n",
        },
    )
    wheels.wheel(wheelhouse, files={"demo.py": b"value = 2\n"})
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "requirements.txt").write_text("demo\n")
    spec = ImageSpec(
        root=tmp_path / "project",
        base=str(layout),
        requirements=("requirements.txt",),
        source=(),
        bytecode=False,
    )
    done = assemble_project(spec, out=tmp_path / "out")
    assert done.notes == ()
    with using() as use:
        tree = probe(prepare(str(tmp_path / "out"), use), use).tree
    assert f"{LIB}/demo.py" in tree.files
