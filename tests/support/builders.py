"""A builder of wheels that reads what a source says and runs nothing of it: for tests of everything around building."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.images.assemble.fetch import wheel_path
from seatrial.images.inputs.model import Built
from seatrial.images.lock import LockedWheel
from support import wheels

if TYPE_CHECKING:
    from seatrial.images.inputs.model import Unbuilt
    from seatrial.images.resolve import Resolution

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Builder:
    """Builds a pure wheel from PKG-INFO or pyproject.toml; `asked` is what it was given, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[Unbuilt] = []
        self.repositories: dict[str, str] = {}

    def __call__(self, unbuilt: Unbuilt) -> Built:
        self.asked.append(unbuilt)
        name, version, requires = self._says(unbuilt)
        path = wheels.wheel(
            self.folder / str(len(self.asked)),
            name,
            version,
            {f"{name}.py": self._content(unbuilt)},
            requires=requires,
        )
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        wheel_path(sha256).parent.mkdir(parents=True, exist_ok=True)
        wheel_path(sha256).write_bytes(data)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
        wheel = LockedWheel(name=name, version=version, filename=path.name, sha256=sha256, size=len(data))
        return Built(wheel=wheel, metadata=metadata, revision=COMMIT if unbuilt.kind == "git" else "")

    @property
    def names(self) -> list[str]:
        """What was built, without who asked."""
        return [f"{one.kind} {Path(one.url).name}" for one in self.asked]

    def _says(self, unbuilt: Unbuilt) -> tuple[str, str, tuple[str, ...]]:
        if unbuilt.kind == "git":
            return self.repositories[unbuilt.url], "3.0", ()
        if unbuilt.kind == "sdist":
            with tarfile.open(unbuilt.url) as archive:
                info = next(m for m in archive.getmembers() if m.name.endswith("/PKG-INFO"))
                stream = archive.extractfile(info)
                assert stream is not None
                text = stream.read().decode()
            found = dict(re.findall(r"^(Name|Version): (.*)$", text, re.MULTILINE))
            return (
                found["Name"],
                found["Version"],
                tuple(re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE)),
            )
        data = tomllib.loads((Path(unbuilt.url) / unbuilt.subfolder / "pyproject.toml").read_text())
        project = data.get("project") or data["tool"]["poetry"]
        listed = project.get("dependencies", ())
        return project["name"], project.get("version", "0"), tuple(listed) if isinstance(listed, list) else ()

    def _content(self, unbuilt: Unbuilt) -> bytes:
        if unbuilt.kind != "folder":
            return unbuilt.url.rpartition("/")[2].encode()
        return b"".join(path.read_bytes() for path in sorted(Path(unbuilt.url).rglob("*.py")))


def sdist(folder: Path, name: str, version: str = "1.0", requires: tuple[str, ...] = ()) -> Path:
    """Write `NAME-VERSION.tar.gz`, whose setup.py must never run here."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tar.gz"
    info = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    info += "".join(f"Requires-Dist: {one}\n" for one in requires)
    with tarfile.open(path, "w:gz") as archive:
        for file, text in {"PKG-INFO": info, "setup.py": "raise SystemExit('this was run')\n"}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{file}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def project(folder: Path, text: str, **files: str) -> Path:
    """A folder with that pyproject.toml and further files (`name_py`)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    for name, content in files.items():
        (folder / name.replace("_py", ".py")).write_text(content)
    return folder


def versions(found: Resolution) -> dict[str, str]:
    """Name → version of what was locked."""
    return {wheel.name: wheel.version for wheel in found.lock.wheels}
