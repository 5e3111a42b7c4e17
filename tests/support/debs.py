"""Small Debian packages, and a repository of them that apt reads."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def needs_dpkg() -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is missing: packages cannot be made")


def deb(
    house: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, str] | None = None,
    modes: Mapping[str, int] | None = None,
    links: Mapping[str, str] | None = None,
    hard_links: Mapping[str, str] | None = None,
    scripts: Mapping[str, str] | None = None,
    depends: str = "",
) -> None:
    """Make a package. Paths are absolute; `scripts` are the bodies of maintainer scripts, for sh."""
    tree = house / f".{name}-{version}"
    for path, content in (files or {}).items():
        place = tree / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        place.chmod((modes or {}).get(path, 0o644))
    for path, target in (links or {}).items():
        place = tree / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    for path, original in (hard_links or {}).items():
        (tree / path.lstrip("/")).hardlink_to(tree / original.lstrip("/"))
    control = tree / "DEBIAN"
    control.mkdir(parents=True)
    fields = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "T <t@example.com>"}
    fields |= {"Depends": depends} if depends else {}
    fields["Description"] = "made for a test"
    (control / "control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    for script, body in (scripts or {}).items():
        (control / script).write_text(f"#!/bin/sh\nset -e\n{body}\n")
        (control / script).chmod(0o755)
    for folder in [tree, *(p for p in tree.rglob("*") if p.is_dir())]:
        folder.chmod(0o755)
    package = house / f"{name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(package)],
        check=True,
        capture_output=True,
    )
    shutil.rmtree(tree)


@contextmanager
def repository(house: Path) -> Iterator[str]:
    """Serve the packages of a folder; yields the line for sources.list."""
    entries = []
    for package in sorted(house.glob("*.deb")):
        fields = subprocess.run(
            ["dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True
        ).stdout
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        entries.append(
            f"{fields}Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
        )
    (house / "Packages").write_text("\n".join(entries))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(house))) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"deb [trusted=yes] http://127.0.0.1:{server.server_address[1]}/ ./\n"
        server.shutdown()
