"""What it costs to run a program in an image: over bwrap alone, by number of layers, and unpacking.

Budget: the launcher adds at most 50 ms to bwrap. Starts are compared pair by pair, so a busy machine slows both.
Run: .venv/bin/python bench/runtime.py   (needs bwrap and, for the base, mmdebstrap)
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from seatrial.images import runtime
from seatrial.images.runtime import Launch
from support.debian import Item, base, image

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = 25


def measured(what: Callable[[], object]) -> float:
    begin = time.perf_counter()
    what()
    return time.perf_counter() - begin


def bare() -> None:
    """The least that bwrap can be asked for with the same namespaces."""
    subprocess.run(
        [
            "bwrap",
            "--ro-bind",
            "/",
            "/",
            "--unshare-pid",
            "--unshare-ipc",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "true",
        ],
        check=True,
    )


def starts(root: runtime.Root, launch: Launch) -> tuple[float, float]:
    """Median milliseconds of bwrap alone, and of what the launcher adds to it."""
    pairs = [(measured(bare), measured(lambda: runtime.run(root, ["true"], launch))) for _ in range(PAIRS)]
    alone = statistics.median(b for b, _ in pairs)
    added = statistics.median(ours - b for b, ours in pairs)
    return alone * 1000, added * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        below = base()
        os.environ["SEATRIAL_CACHE"] = f"{folder}/cache"
        few = Path(folder) / "few"
        image(few, [[Item("x")]], base=below)
        cold = measured(lambda: runtime.prepare(few))
        root = runtime.prepare(few)
        files = [
            p
            for layer in root.layers
            for p in root.folder(layer).rglob("*")
            if p.is_file() and not p.is_symlink()
        ]
        size = sum(p.stat().st_size for p in files) / 1e6
        print(
            f"unpack {len(files)} files, {size:.0f} MB: {cold:.2f} s; again: {measured(lambda: runtime.prepare(few)) * 1000:.1f} ms"
        )
        print(
            f"first start, with the machine's check: {measured(lambda: runtime.run(root, ['true'])) * 1000:.0f} ms"
        )
        many = Path(folder) / "many"
        image(many, [[Item(f"x{n}")] for n in range(60)], base=below)
        for name, one in (("2 layers", root), ("61 layers", runtime.prepare(many))):
            for launch in (Launch(), Launch(user="33"), Launch(network="none")):
                alone, added = starts(one, launch)
                print(
                    f"{name}, user {launch.user or 'root'}, network {launch.network}: bwrap {alone:.0f} ms, launcher +{added:.0f} ms"
                )


if __name__ == "__main__":
    main()
