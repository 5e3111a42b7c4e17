"""A fleet of hosts on this machine, and bundles whose scripts do what a test tells them by files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.deployments.hosts import asking, model
from seatrial.engine import identity
from support.waiting import until

if TYPE_CHECKING:
    from seatrial.deployments.hosts.model import Place

GROUP = "web/test"
_HOOK = """#!/bin/sh
# The folder of the host's agent: it is the same in here and outside.
root=$(cd "$(dirname "$0")/../../../.." && pwd)
echo "$LIFECYCLE_EVENT $DEPLOYMENT_ID {version}" >> "$root/trace"
if [ -e "$root/hold" ]; then
  touch "$root/held"
  while [ -e "$root/hold" ]; do sleep 0.05; done
fi
if [ -e "$root/fail-{version}" ] || [ -e "$root/fail" ]; then echo "told to fail" >&2; exit 3; fi
"""


class Fleet:
    """Hosts `a`, `b`, `c` … of the group web/test, in a state folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")},
            "SEATRIAL_HOME": str(self.home),
            "SEATRIAL_CACHE": str(folder / "cache"),
            "HOME": str(folder),
        }

    def create(self, count: int, *options: str, isolation: str = "processes") -> None:
        names = "abcdefghij"[:count]
        members = [word for name in names for word in ("--host", f"{name}={self.root(name)}")]
        done = self.run("groups", "create", GROUP, *members, "--isolation", isolation, *options)
        assert done.returncode == 0, done.stderr

    def bundle(self, version: str, hook: str = "AfterInstall", script: str = "") -> Path:
        folder = self.folder / f"bundle-{version}"
        (folder / "scripts").mkdir(parents=True)
        hooks = f"hooks:\n  {hook}:\n    - location: scripts/hook.sh\n      timeout: 300\n"
        (folder / "appspec.yml").write_text(f"version: 0.0\nos: linux\n{hooks}")
        (folder / "scripts/hook.sh").write_text(script or _HOOK.format(version=version))
        (folder / "scripts/hook.sh").chmod(0o755)
        return folder

    def root(self, name: str) -> Path:
        return self.folder / "hosts" / name

    def tell(self, name: str, word: str) -> None:
        """Have the scripts on a host `fail` or `hold`."""
        self.root(name).mkdir(parents=True, exist_ok=True)
        (self.root(name) / word).touch()

    def trace(self, name: str) -> list[str]:
        """What the scripts on a host were run for: event, deployment and version."""
        file = self.root(name) / "trace"
        return file.read_text().splitlines() if file.exists() else []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`seatrial deploy …`, to its end."""
        return subprocess.run(
            self.argv(*arguments),
            env=self.env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`seatrial deploy …`, in a session of its own."""
        return subprocess.Popen(
            self.argv(*arguments),
            env=self.env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @staticmethod
    def argv(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "seatrial", "deploy", *arguments]

    def deploy(self, bundle: Path, *options: str, code: int = 0) -> dict[str, Any]:
        """Deploy and return the deployment as `--json` tells it."""
        return self._deployed("run", str(bundle), "--group", GROUP, "--json", *options, code=code)

    def deploy_revision(self, identifier: str, *options: str, code: int = 0) -> dict[str, Any]:
        """Deploy an older revision again."""
        return self._deployed(
            "run", "--revision", identifier, "--group", GROUP, "--json", *options, code=code
        )

    def _deployed(self, *arguments: str, code: int) -> dict[str, Any]:
        done = self.run(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["deployment"]
        return found

    def kill_controllers(self) -> None:
        """SIGKILL for every process of this fleet's commands; the hosts, whose state is their own, go on."""
        mark = f"SEATRIAL_HOME={self.home}".encode()
        living = True
        while living:
            living = False
            for entry in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        os.kill(int(entry.name), signal.SIGKILL)
                        living = True

    def show(self, identifier: str = "latest") -> dict[str, Any]:
        done = self.run("show", identifier, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def place(self, name: str) -> Place:
        found = model.known(self.home, name)
        assert found is not None
        return found

    def wait_held(self, name: str) -> None:
        """Until a script on the host holds."""
        until((self.root(name) / "held").exists, f"a script on {name} holds", seconds=150)

    def let_go(self, name: str) -> None:
        (self.root(name) / "hold").unlink()

    def vanish(self, name: str) -> None:
        """Kill the host, as if its machine lost power."""
        who = identity.read(self.place(name).folder / "process.json")
        assert who is not None
        os.kill(who.pid, signal.SIGKILL)
        until(lambda: not asking.is_up(self.place(name)), f"host {name} is gone")

    def end(self) -> None:
        for folder in (self.home / "hosts").glob("*"):
            asking.down(model.read(folder))


def statuses(deployment: dict[str, Any]) -> dict[str, str]:
    """How each host is doing."""
    return {host["name"]: host["status"] for host in sorted(deployment["hosts"], key=lambda one: one["name"])}
