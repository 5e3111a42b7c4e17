"""A host to deploy to: its root, its bundles, the agent's command, and what its scripts left running."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.commands import seatrial
from support.scenarios import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping


class Host:
    """`root` is the agent's, `dest` where bundles install to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.dest = folder, folder / "root", folder / "dest"
        self.cwd = folder / "cwd"
        for made in (self.dest, self.cwd):
            made.mkdir(parents=True)

    def bundle(self, name: str, appspec: str, files: Mapping[str, str] | None = None) -> Path:
        """A folder with an appspec (without its first two lines) and files; scripts end in `.sh`."""
        place = self.folder / name
        place.mkdir()
        text = appspec.replace("<DEST>", str(self.dest))
        (place / "appspec.yml").write_text(f"version: 0.0\nos: linux\n{text}")
        for path, content in (files or {}).items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(content)
            (place / path).chmod(0o755 if path.endswith(".sh") else 0o644)
        return place

    def arguments(self, bundle: Path | str, *options: str) -> list[str]:
        return ["deploy", "agent", "--bundle", str(bundle), "--root", str(self.root), "--json", *options]

    def deploy(self, bundle: Path | str, *options: str, **env: str) -> dict[str, Any]:
        """What the agent says, with its exit code as `exit` and the rest of what it said as `stderr`."""
        done = seatrial(self.cwd, *self.arguments(bundle, *options), **env)
        said: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
        return said | {"exit": done.returncode, "stderr": done.stderr}

    def archives(self, group: str = GROUP) -> list[Path]:
        folder = self.root / group
        return sorted(folder.iterdir()) if folder.exists() else []

    def running(self) -> list[int]:
        """Processes that scripts of deployments to this host have started."""
        mark = f"PWD={self.cwd}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    variables = (entry / "environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                if mark in variables and any(name.startswith(b"LIFECYCLE_EVENT=") for name in variables):
                    found.append(int(entry.name))
        return found

    def end(self) -> None:
        for pid in self.running():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
