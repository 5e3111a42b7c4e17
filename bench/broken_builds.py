"""How many of the broken Dockerfile projects build after automatic repair, by builder; see tests/images/builders/broken.

    python bench/broken_builds.py buildah [NAME…]

Needs an index for pip and a mirror for apt, both as this machine reaches them. The first run makes a base with pip.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

_BROKEN = Path(__file__).parent.parent / "tests" / "images" / "builders" / "broken"
_PACKAGES = ("python3-pip", "python3-venv")


def main() -> int:
    """Print a table; 1 when a project did not do what is expected of it."""
    builder, *only = sys.argv[1:] or ["buildah"]
    cases: dict[str, dict[str, Any]] = yaml.safe_load((_BROKEN / "cases.yaml").read_text())
    chosen = {name: case for name, case in cases.items() if not only or name in only}
    bases = _bases()
    wrong = built = repairable = 0
    print(f"{'project':22} {'result':8} {'s':>6}  causes and fixes")
    for name, case in chosen.items():
        started = time.monotonic()
        said = _build(name, builder, bases)
        causes = [one["cause"] for one in said["attempts"]]
        right = (
            said["digest"] is not None and causes == case["causes"]
            if case["builds"]
            else said["digest"] is None and (said["cause"] or {}).get("id") == case["cause"]
        )
        wrong += not right
        built += said["digest"] is not None
        repairable += case["builds"]
        result = "built" if said["digest"] else "stopped"
        what = "; ".join(f"{one['cause']}: {one['fix']}" for one in said["attempts"])
        stop = f" | {(said['cause'] or {}).get('id')}" if said["digest"] is None else ""
        print(
            f"{name:22} {result:8} {time.monotonic() - started:6.1f}  {what}{stop}{'' if right else '   <-- not as expected'}",
            flush=True,
        )
    print(
        f"{built} of {len(chosen)} built with {builder} ({repairable} can be repaired), {wrong} not as expected"
    )
    return 1 if wrong else 0


def _bases() -> list[str]:
    """Bases of this machine: one with pip, as python:3.11-slim has it, and a plain one."""
    from seatrial import paths
    from seatrial.images import bases
    from seatrial.images.assemble.store import using

    with using() as use:
        plain = bases.prepare("debian:bookworm", use).layout
        made = paths.cache() / "builders" / "with-pip"
        if not (made / "index.json").exists():
            _with_pip(plain, made)
    return [f"--base=python:3.11-slim={made}", f"--base=debian:bookworm={plain}"]


def _with_pip(plain: Path, made: Path) -> None:
    folder = made.with_suffix(".context")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(
        "FROM debian:bookworm\n"
        "RUN echo 'deb http://deb.debian.org/debian-security bookworm-security main' >> /etc/apt/sources.list\n"
        f"RUN apt-get update && apt-get install -y --no-install-recommends {' '.join(_PACKAGES)} "
        "&& rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED\n"
    )
    argv = [
        _program(),
        "image",
        "build",
        str(folder),
        f"--base=debian:bookworm={plain}",
        f"--oci={made}",
        "--builder=buildah",
    ]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def _build(name: str, builder: str, bases: list[str]) -> dict[str, Any]:
    argv = [_program(), "image", "build", str(_BROKEN / name), *bases, f"--builder={builder}", "--json"]
    argv += ["--network=host"] if builder in ("docker", "buildkit") else []
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"{name}: {done.stderr}")
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _program() -> str:
    return str(Path(sys.executable).parent / "seatrial")


if __name__ == "__main__":
    raise SystemExit(main())
