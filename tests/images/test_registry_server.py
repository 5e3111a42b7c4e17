"""The registry on this machine listens where it was told, and nowhere else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from seatrial.images.registry_server import argv, config, environment, ready, url
from seatrial.readiness import free_port
from support.backends import backend
from support.registries import need, running


def test_it_serves_on_loopback_only(tmp_path: Path) -> None:
    with running(tmp_path / "a folder: with #signs") as host:
        port = int(host.rpartition(":")[2])
        assert ready(url(port))
        sockets = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        listening = re.findall(rf"([0-9A-F]+):{port:04X} [0-9A-F]+:0000 0A", sockets)
        assert listening == ["0100007F"]


def test_another_server_is_no_registry() -> None:
    assert not ready(url(free_port()))
    with backend("something else") as other:
        assert not ready(url(other.port))


def test_every_start_has_its_own_secret_and_no_command_line_has_it(tmp_path: Path) -> None:
    first, second = environment(), environment()
    assert first["REGISTRY_HTTP_SECRET"] != second["REGISTRY_HTTP_SECRET"]
    assert len(first["REGISTRY_HTTP_SECRET"]) == 64
    assert argv(tmp_path / "c.yml") == ["docker-registry", "serve", str(tmp_path / "c.yml")]
    assert "secret" not in config(tmp_path, 5000)


def test_a_taken_port_ends_the_registry_with_a_reason(tmp_path: Path) -> None:
    with running(tmp_path / "first") as host:
        (tmp_path / "c.yml").write_text(config(tmp_path / "second", int(host.rpartition(":")[2])))
        done = subprocess.run(
            argv(tmp_path / "c.yml", program=need("docker-registry")),
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert done.returncode != 0
        assert b"address already in use" in done.stdout + done.stderr
