"""Programs, each really started: being on PATH says little."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.doctor.result import Answer, ok
from seatrial.doctor.system import give_ids, has_ids, namespace_advice
from seatrial.errors import SeatrialError
from seatrial.processes import find, run

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSION = re.compile(r"\d+(\.\d+)+[\w.+~-]*")
_PATIENCE = 20.0


def version(program: str, *options: str) -> str:
    """The version that a program says, or its first line.

    Raises:
        MissingToolError: it is not installed.
    """
    done = run([find(program), *(options or ("--version",))], timeout=_PATIENCE)
    text = done.stdout.strip() or done.stderr.strip()
    match = _VERSION.search(text)
    return match.group() if match else text.partition("\n")[0][:60]


def only_version(program: str) -> Answer:
    """For programs whose start would need more than a question."""
    return ok(version(program))


def uv() -> Answer:
    """The resolver comes with Seatrial's own packages, so the one beside our interpreter counts."""
    from uv import find_uv_bin

    try:
        program = find_uv_bin()
    except FileNotFoundError:
        return Answer(status="missing")
    return ok(version(program))


def bwrap() -> Answer:
    """Start a program in namespaces, on mounted layers, the way images are run."""
    from seatrial.images.runtimes.probe import support
    from seatrial.images.runtimes.trial import trial

    said = version("bwrap")
    answer = support(fresh=True)
    if answer.namespaces and answer.overlay:
        found = trial("bwrap")
        if found.why:
            return Answer(status="broken", version=said, detail=found.why, get=namespace_advice())
        if found.cannot:
            return Answer(
                status="limited", version=said,
                detail=f"runs images on an overlay, but cannot {'; cannot '.join(found.cannot)}",
                get="systemd-run --user --scope, or root, gives a control group",
            )  # fmt: skip
        return ok(said, "ran an image in namespaces, on an overlay, with limits")
    if answer.namespaces:
        return Answer(
            status="limited",
            version=said,
            detail=f"layers are copied, not mounted: {answer.why}",
            get="Linux 5.11 or newer, with the cache on ext4, xfs or btrfs",
        )
    return Answer(status="broken", version=said, detail=answer.why, get=namespace_advice())


def emulator() -> Answer:
    """The one for the other of the two processors that images are made for; it must need no library."""
    from seatrial.images.system.processors import architecture, emulator
    from seatrial.images.target import WHEEL_ARCHITECTURES

    found = [emulator(f"linux/{name}") for name in WHEEL_ARCHITECTURES if name != architecture()]
    return ok(version(found[0])) if found and found[0] else Answer(status="missing")


def mmdebstrap() -> Answer:
    """Ask it for a namespace with more than one user, which it needs unless it is root."""
    import os

    said = version("mmdebstrap")
    keyrings = Path("/usr/share/keyrings")
    if not any((keyrings / f"{name}-archive-keyring.gpg").exists() for name in ("debian", "ubuntu")):
        from seatrial.doctor.system import install

        return Answer(
            status="broken",
            version=said,
            detail="there are no keys to check Debian's packages with",
            get=install("debian-archive-keyring"),
        )
    if os.geteuid() == 0:
        return ok(said)
    done = run([find("mmdebstrap"), "--unshare-helper", "true"], timeout=_PATIENCE)
    if done.code == 0:
        return ok(said, "started in a user namespace")
    why = (done.stderr.strip().splitlines() or [f"exit code {done.code}"])[-1]
    return Answer(
        status="broken", version=said, detail=why, get=namespace_advice() if has_ids() else give_ids()
    )


def registry() -> Answer:
    """Start a registry on a free port of 127.0.0.1, with its images in a folder that goes away."""
    from seatrial.images import registry_server
    from seatrial.readiness import free_port

    said = version("docker-registry")
    with tempfile.TemporaryDirectory(prefix="seatrial-doctor-") as folder:
        port, file = free_port(), Path(folder, "config.yml")
        file.write_text(registry_server.config(Path(folder, "images"), port))
        argv = registry_server.argv(file, program=find("docker-registry"))
        why = _serves(argv, registry_server.url(port), registry_server.environment())
    return ok(said, "served on 127.0.0.1") if not why else Answer(status="broken", version=said, detail=why)


def haproxy() -> Answer:
    """Start it with a configuration of ours; without a server behind it, it answers 503."""
    from seatrial.deployments import haproxy as proxy
    from seatrial.readiness import free_port

    said = version("haproxy", "-v")
    with tempfile.TemporaryDirectory(prefix="seatrial-doctor-") as folder:
        port = free_port()
        Path(folder, proxy.CONFIG).write_text(proxy.config(port, ["one"]))
        argv = proxy.argv(Path(folder), program=find("haproxy"))
        why = _serves(argv, f"http://127.0.0.1:{port}/", {}, expect=503)
    return ok(said, "served on 127.0.0.1") if not why else Answer(status="broken", version=said, detail=why)


def envoy() -> Answer:
    """Start it with a configuration of ours; without an instance behind it, it answers 503."""
    from seatrial.deployments import envoy as proxy
    from seatrial.deployments.proxy import Options
    from seatrial.readiness import free_port

    program = proxy.find()
    said = version(program)
    with tempfile.TemporaryDirectory(prefix="seatrial-doctor-") as folder:
        port = free_port()
        proxy.prepare(Path(folder), port, ["one"], Options())
        argv = proxy.argv(Path(folder), program=program)
        why = _serves(argv, f"http://127.0.0.1:{port}/", {}, expect=503)
    return ok(said, "served on 127.0.0.1") if not why else Answer(status="broken", version=said, detail=why)


def _serves(argv: Sequence[str], url: str, extra: dict[str, str], *, expect: int = 200) -> str:
    """Start a server, wait for its answer, end it. Returns why it did not work, or ''."""
    import os

    from seatrial.clock import SystemClock
    from seatrial.readiness import wait_http

    clock = SystemClock()
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **extra}
        ) as process,
    ):

        def last_words() -> str | None:
            if process.poll() is None:
                return None
            output.seek(0)
            return output.read()[-500:].decode(errors="replace") or f"exit code {process.returncode}"

        try:
            wait_http(url, deadline=clock.now() + _PATIENCE, clock=clock, expect=expect, alive=last_words)
        except SeatrialError as error:
            return error.why or error.what
        finally:
            process.kill()
    return ""
