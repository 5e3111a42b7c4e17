"""Time to the first `import torch`: an image that is pulled lazily beside the same image pulled whole.

The same project is assembled as it is, with --lazy, and with --lazy and a list of what the program opens. Each is
pushed to a registry on this machine and started by a containerd that has nothing yet, through a network of a given
speed. Needs root, containerd, ctr-remote, docker-registry and stargz-snapshotter's own program.

Run: .venv/bin/python bench/lazy.py [--snapshotter PROGRAM] [--find-links FOLDER] [--rounds N] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from lazily import chart
from lazily.engine import engine
from lazily.network import Network

from support.registries import running

SPEEDS = {"100 Mbit/s": 100e6, "1 Gbit/s": 1e9, "not limited": 0.0}
DELAY = 0.002  # seconds until a request is answered, as from a registry in the same region
KINDS = {"whole": (), "lazy": ("--lazy",), "listed": ("--lazy", "--first-files", "first.txt")}
_PROGRAM = "import torch\nprint('imported', torch.__version__, flush=True)\n"
_SETTINGS = "images:\n  app:\n    entrypoint: [python3, app.py]\n    source: {exclude: [first.txt]}\n"


def main() -> int:
    given = _arguments()
    needed = ["containerd", "ctr", "ctr-remote", "docker-registry", "runc", given.snapshotter]
    if missing := [name for name in needed if shutil.which(name) is None]:
        print(f"left out: {', '.join(missing)} not installed")
        return 0
    if os.geteuid() != 0:
        print("left out: containerd needs root")
        return 0
    with tempfile.TemporaryDirectory(prefix="lazy", dir=given.folder) as name:
        folder = Path(name)
        os.environ["SEATRIAL_CACHE"] = str(given.cache or folder / "cache")
        os.environ["SEATRIAL_HOME"] = str(folder / "home")
        Path(os.environ["SEATRIAL_CACHE"]).mkdir(parents=True, exist_ok=True)
        with running(folder / "registry") as registry:
            found: dict[str, Any] = {"processors": os.cpu_count(), "images": _images(folder, registry, given)}
            found["starts"] = _starts(folder, registry, given)
            found["needed"] = _needed(folder, registry, given)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
        chart.draw(found, given.out.with_suffix(".svg"))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--snapshotter", default="containerd-stargz-grpc", help="stargz-snapshotter's program"
    )
    parser.add_argument(
        "--find-links", type=Path, help="a folder with further wheels, such as torch for the CPU"
    )
    parser.add_argument("--torch", default="torch", help="which torch, such as torch==2.13.0+cpu")
    parser.add_argument("--cache", type=Path, help="a cache that may have base and wheels already; layers go")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the work is done (about 10 GB)")
    parser.add_argument("--out", type=Path, help="write the numbers here, and the chart beside it")
    return parser.parse_args()


def _images(folder: Path, registry: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Assemble and push each kind, with no layer made before but base and bytecode at hand."""
    project = folder / "project"
    project.mkdir()
    (project / "requirements.txt").write_text(f"{given.torch}\nnumpy\n")
    (project / "app.py").write_text(_PROGRAM)
    (project / "seatrial.yaml").write_text(_SETTINGS)
    links = ("--find-links", str(given.find_links)) if given.find_links else ()
    _seatrial(project, "assemble", ".", *links, "--no-smoke", "--oci", "../warm-up")
    _seatrial(project, "opened", "../warm-up", "--out", "first.txt")
    rows = []
    for kind, options in KINDS.items():
        shutil.rmtree(Path(os.environ["SEATRIAL_CACHE"]) / "layers")
        for lazy in (Path(os.environ["SEATRIAL_CACHE"]) / "bases").glob("lazy-*"):
            shutil.rmtree(lazy)
        begin, spent = time.monotonic(), _processor()
        done = _seatrial(
            project, "assemble", ".", *links, "--no-smoke", "--oci", f"../{kind}", "--push", "--tag",
            f"{registry}/{kind}:1", "--json", *options,
        )  # fmt: skip
        row = {
            "kind": kind,
            "seconds": round(time.monotonic() - begin, 1),
            "cpu": round(_processor() - spent, 1),
            "bytes": json.loads(done)["size"],
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def _processor() -> float:
    """Seconds of processor time of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _seatrial(project: Path, *arguments: str) -> str:
    argv = [sys.executable, "-m", "seatrial", "image", *arguments]
    return subprocess.run(argv, cwd=project, check=True, text=True, stdout=subprocess.PIPE).stdout


def _starts(folder: Path, registry: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Each kind at each speed, in turn, so that all of them meet the machine in the same states."""
    tries: dict[tuple[str, str], list[dict[str, float]]] = {}
    for turn in range(given.rounds):
        for speed, bits in SPEEDS.items():
            for kind in KINDS:
                row = _start(folder / "engine", registry, kind, bits, given.snapshotter)
                print(turn, speed, kind, row, flush=True)
                tries.setdefault((speed, kind), []).append(row)
    return [
        {"speed": speed, "kind": kind, "tries": rows}
        | {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}
        for (speed, kind), rows in tries.items()
    ]


def _needed(folder: Path, registry: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """What a lazy start fetches when nothing else is fetched meanwhile."""
    rows = []
    for kind in ("lazy", "listed"):
        row = _start(folder / "engine", registry, kind, 0, given.snapshotter, background=False)
        print("needed", kind, row, flush=True)
        rows.append({"kind": kind, **row})
    return rows


def _start(
    folder: Path, registry: str, kind: str, bits: float, snapshotter: str, *, background: bool = True
) -> dict[str, float]:
    network = Network(int(registry.rpartition(":")[2]), bits, DELAY)
    try:
        with engine(folder, snapshotter, background=background) as one:
            reference = f"127.0.0.1:{network.port}/{kind}:1"
            seconds = one.start(reference, lazy=kind != "whole", done="imported")
            return {
                "seconds": round(seconds, 2),
                "megabytes": round(network.received / 1e6, 1),
                "requests": network.requests,
            }
    finally:
        network.close()


if __name__ == "__main__":
    sys.exit(main())
