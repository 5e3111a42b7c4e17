"""From locked requirements to a pushed image: Seatrial beside Buildah and Docker with pip and with uv.

Same hashed lock, same wheels on disk, same base, same registry on this machine, so no network is measured. Every
contestant's image has to import the whole stack. Four cases: nothing made before (packages and base at hand), one
small pin changed, the source changed, nothing changed.

Run: .venv/bin/python bench/image_contest.py [--find-links FOLDER] [--only NAME]… [--rounds N] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from contest import chart
from contest.contestants import CONTESTANTS, Contestant
from contest.docker import engine
from contest.kitchen import (
    PYTHON,
    Kitchen,
    fill_wheelhouse,
    older,
    resolve,
    without_index,
    write_project,
)
from contest.measure import measured, received

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "debian:bookworm"
PIN = "tqdm"
BUDGETS = {"buildah-pip": 25.0, "tuned": 6.0, "pin": 3.0, "source": 1.0, "memory": 300.0}
_FIRST = (
    "import time; t = time.perf_counter(); import torch, transformers, datasets, pandas, pyarrow; "
    "transformers.AutoModel; print(round(time.perf_counter() - t, 2))"
)


def main() -> int:
    given = _arguments()
    if given.folder:
        Path(given.folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="contest", dir=given.folder) as name:
        folder = Path(name)
        os.environ["SEATRIAL_CACHE"] = str(given.cache or folder / "cache")
        os.environ["SEATRIAL_HOME"] = str(folder / "home")
        (folder / "tmp").mkdir()
        chosen = [one for one in CONTESTANTS if not given.only or one.name in given.only]
        rows: list[dict[str, Any]] = []
        process, host = _registry(folder)
        try:
            with engine(folder / "docker") as docker:
                kitchen = _kitchen(folder, host, given, docker)
                for turn in range(given.rounds):
                    for one in chosen:
                        rows += _run(one, kitchen, process.pid, turn)
                        _write(rows, given.out)
        finally:
            process.kill()
            process.wait()
    return _verdict(rows)


def _write(rows: list[dict[str, Any]], out: Path | None) -> None:
    if out is not None and rows:
        found = {"pin": PIN, "processors": os.cpu_count(), "results": rows}
        out.write_text(json.dumps(found, indent=1) + "\n")
        chart.draw(rows, out.with_suffix(".svg"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--find-links", type=Path, help="a folder with further wheels, such as torch for the CPU"
    )
    parser.add_argument("--torch", default="torch", help="which torch, such as torch==2.13.0+cpu")
    parser.add_argument("--cache", type=Path, help="a cache that may have base and wheels already; layers go")
    parser.add_argument("--only", action="append", help="name of a contestant; may be given again")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the numbers here, and the chart beside it")
    parser.add_argument("--folder", type=Path, help="where the work is done (about 15 GB)")
    return parser.parse_args()


def _registry(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    from seatrial.images import registry_server
    from seatrial.processes import find
    from seatrial.readiness import free_port
    from support.waiting import until

    port, place = free_port(), folder / "registry"
    place.mkdir()
    (place / "registry.yml").write_text(registry_server.config(place / "storage", port))
    argv = registry_server.argv(place / "registry.yml", program=find("docker-registry"))
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            argv, env={**os.environ, **registry_server.environment()}, stdout=log, stderr=log
        )
    until(lambda: registry_server.ready(registry_server.url(port)), "registry ready")
    return process, f"127.0.0.1:{port}"


def _kitchen(folder: Path, host: str, given: argparse.Namespace, docker: str) -> Kitchen:
    from seatrial.images.assemble.store import using
    from seatrial.images.bases import prepare
    from seatrial.images.registry import push
    from seatrial.images.uv_program import find_uv

    print("preparing: lock, wheels, base", flush=True)
    uv, find_links = find_uv(), given.find_links
    asked = (Path(__file__).parent / "contest" / "requirements.in").read_text()
    asked = asked.replace("\ntorch\n", f"\n{given.torch}\n")
    lock = without_index(resolve(asked, find_links, folder, uv))
    changed = older(lock, PIN, find_links, folder, uv)
    with using() as use:
        push(prepare(BASE, use, packages=("python3-pip",)).layout, f"{host}/base:1")
    wheels = fill_wheelhouse(folder, lock, find_links, BASE)
    fill_wheelhouse(folder, changed, find_links, BASE)
    return Kitchen(
        folder=folder,
        cache=Path(os.environ["SEATRIAL_CACHE"]),
        wheels=wheels,
        lock=lock,
        changed=changed,
        pin=PIN,
        registry=host,
        base=f"{host}/base:1",
        uv=uv,
        docker=docker,
    )


def _run(one: Contestant, kitchen: Kitchen, registry: int, turn: int) -> Iterator[dict[str, Any]]:
    """The four cases of one contestant, each in the state that the one before left."""
    if reason := one.missing(kitchen):
        print(f"{one.title}: left out, {reason}", flush=True)
        return
    repository = f"{kitchen.registry}/{one.name}/round{turn}"
    project = kitchen.folder / "projects" / one.name
    cases = (
        ("warm-up", kitchen.lock, "print(0)\n"),
        ("cold", kitchen.lock, "print(1)\n"),
        ("pin", kitchen.changed, "print(1)\n"),
        ("source", kitchen.changed, "print(2)\n"),
        ("nothing", kitchen.changed, "print(2)\n"),
    )
    before = ""
    for number, (case, lock, source) in enumerate(cases):
        if case in ("warm-up", "cold"):
            one.forget(kitchen)
        if case == "warm-up" and (turn or not one.warm):
            continue  # packages are at hand since the first round, or never
        write_project(project, lock, source)
        # Nobody gets a layer for free that another case has pushed: the first two have repositories of their own.
        place = f"{repository}-warm" if case == "warm-up" else repository
        row = _case(one, kitchen, project, f"{place}:{number}", registry)
        if case == "warm-up":
            continue
        digest = _digest(f"{place}:{number}")
        if digest == before and case != "nothing":
            raise RuntimeError(f"{one.title}, {case}: nothing was changed")
        before = digest
        if case == "cold":
            row["first_import"], row["again"] = _first_imports(kitchen, f"{place}:{number}")
        row = {"contestant": one.name, "title": one.title, "case": case, **row}
        print(_line(row), flush=True)
        yield row


def _case(one: Contestant, kitchen: Kitchen, project: Path, reference: str, registry: int) -> dict[str, Any]:
    env = {**os.environ, **one.environment(kitchen)}
    os.sync()  # nobody waits for the disk on account of what was before
    before = received(registry)
    costs = [measured(argv, env=env, cwd=project)[0] for argv in one.commands(kitchen, project, reference)]
    return {
        "seconds": round(sum(cost.seconds for cost in costs), 3),
        "cpu": None if one.engine else round(sum(cost.cpu for cost in costs), 2),
        "peak_mb": None if one.engine else max(cost.peak_mb for cost in costs),
        "pushed_mb": round((received(registry) - before) / 1e6, 1),
    }


def _digest(reference: str) -> str:
    argv = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{reference}"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def _first_imports(kitchen: Kitchen, reference: str) -> tuple[float, float]:
    """Seconds until the whole stack is imported in a fresh container of the pushed image, and again in another."""
    # Not everyone's layers are gzip, which is what is run here; the content is the same.
    layout = kitchen.folder / "pulled"
    shutil.rmtree(layout, ignore_errors=True)
    copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-compress-format", "gzip"]
    copy += ["--dest-compress-level", "1", f"docker://{reference}", f"oci:{layout}:x"]
    subprocess.run(copy, check=True)
    argv = [
        PYTHON,
        "-m",
        "seatrial",
        "image",
        "run",
        str(layout),
        "--network",
        "none",
        "--entrypoint",
        "python3",
    ]
    argv += ["--", "-c", _FIRST]
    runs = [measured(argv, env=os.environ, cwd=kitchen.folder)[1] for _ in range(3)]
    times = [float(out.split()[-1]) for out in runs]
    return times[0], min(times[1:])


def _line(row: dict[str, Any]) -> str:
    more = f"  first import {row['first_import']:.1f} s" if "first_import" in row else ""
    cost = "in its engine" if row["cpu"] is None else f"cpu {row['cpu']:.2f} s  peak {row['peak_mb']:.1f} MB"
    return (
        f"{row['title']:<30} {row['case']:<8} {row['seconds']:8.2f} s  {cost:<28} "
        f"pushed {row['pushed_mb']:7.1f} MB{more}"
    )


def _verdict(rows: list[dict[str, Any]]) -> int:
    """Compare with the budgets; 1 when one is missed."""

    def best(name: str, case: str) -> float:
        found = [row["seconds"] for row in rows if row["contestant"] == name and row["case"] == case]
        return min(found, default=0.0)

    missed = []
    ours = best("seatrial", "cold")
    for names, least in (
        (["buildah-pip"], BUDGETS["buildah-pip"]),
        (["buildah-uv"], BUDGETS["tuned"]),
    ):
        others = [best(name, "cold") for name in names if best(name, "cold")]
        if ours and others:
            ratio = min(others) / ours
            print(f"{' / '.join(names)}: {ratio:.1f} times as long (budget {least:.0f})")
            missed += [names[0]] if ratio < least else []
    for name in ("seatrial", "seatrial-bytecode"):
        for case in ("pin", "source"):
            if best(name, case) > BUDGETS[case]:
                missed.append(f"{name}, {case}")
        peaks = [row["peak_mb"] for row in rows if row["contestant"] == name]
        if max(peaks, default=0) > BUDGETS["memory"]:
            missed.append(f"{name}, memory")
    print("missed: " + "; ".join(missed) if missed else "every budget was met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
