"""How fast images go to and come from a registry on this machine, beside skopeo, in one run on the same bytes; and how
many questions and milliseconds a push costs when almost everything is there.

Every round has a fresh registry and cold caches. Every command is a process of its own, so start-up is paid.
Run: .venv/bin/python bench/registry.py [MEGABYTES]   (needs docker-registry; skopeo for the comparison)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.faults import proxy
from support.layouts import image
from support.registries import running

ROUNDS = 3
REPEATS = 10

# VmHWM, not ru_maxrss: the latter would report this process's memory when that is larger.
_PEAK = (
    "print(told, 'peak', int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024, 'MB')"
)
_PUSH = f"""
import sys; from pathlib import Path; from seatrial.images import registry
done = registry.push(Path(sys.argv[1]), sys.argv[2]); told = f"sent {{done.pushed_bytes / 1e6:.1f}} MB,"
{_PEAK}
"""
_PULL = f"""
import sys; from pathlib import Path; from seatrial.images import registry
registry.pull(sys.argv[2], Path(sys.argv[1])); told = ""
{_PEAK}
"""


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A few large layers and many small ones, as an ML image has.
        sizes = [megabytes * 500_000, megabytes * 300_000, megabytes * 150_000, *[megabytes * 2_500] * 20]
        image(folder / "image", sizes=sizes)
        _small_change(folder)
        for turn in range(ROUNDS):
            print(f"round {turn + 1}")
            work = folder / f"round{turn}"
            work.mkdir()
            os.environ["SEATRIAL_CACHE"] = str(work / "cache")
            with running(work / "registry") as host:
                _round(folder / "image", work, host, megabytes)
            shutil.rmtree(work)


def _round(source: Path, work: Path, host: str, megabytes: int) -> None:
    python = [sys.executable, "-c"]
    _row("push, nothing there", megabytes, [*python, _PUSH, str(source), f"{host}/push/app:1"])
    _row("push, all there", megabytes, [*python, _PUSH, str(source), f"{host}/push/app:2"])
    _row("push, mounted", megabytes, [*python, _PUSH, str(source), f"{host}/mount/app:1"])
    _row("pull", megabytes, [*python, _PULL, str(work / "pull"), f"{host}/push/app:1"])
    _row("nothing but start-up", megabytes, [*python, "from seatrial.images import registry; import httpx"])
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        print("skopeo is not installed: no comparison")
        return
    copy = [skopeo, "copy", "-q", "--dest-tls-verify=false", "--src-tls-verify=false"]
    # A registry that has the blobs would lend them: this one is new.
    with running(work / "other") as other:
        _row("skopeo push", megabytes, [*copy, f"oci:{source}", f"docker://{other}/skopeo/app:1"])
        _row("skopeo pull", megabytes, [*copy, f"docker://{other}/skopeo/app:1", f"oci:{work / 'skopeo'}:x"])


def _small_change(folder: Path) -> None:
    """20 blobs of which one is new: whole processes of the command line, the fastest and the median of some."""
    for name, last in (("old", 200_000), ("new", 210_000)):
        image(folder / name, seed=7, sizes=[300_000] * 18 + [last])
    command = [sys.executable, "-m", "seatrial", "image", "push"]
    os.environ["SEATRIAL_CACHE"] = str(folder / "cache")
    with running(folder / "registry") as host, proxy(host) as recorder:
        subprocess.run(
            [*command, str(folder / "old"), f"{recorder.host}/a/app:1"], check=True, capture_output=True
        )
        recorder.seen.clear()
        subprocess.run(
            [*command, str(folder / "new"), f"{recorder.host}/a/app:1"], check=True, capture_output=True
        )
        asked = Counter(seen.method for seen in recorder.seen)
        took, busy = [], []
        for turn in range(REPEATS):
            name = ("old", "new")[turn % 2]
            before, started = os.times(), time.perf_counter()
            subprocess.run(
                [*command, str(folder / name), f"{host}/b/app:{turn}"], check=True, capture_output=True
            )
            took.append(time.perf_counter() - started)
            after = os.times()
            busy.append(
                after.children_user - before.children_user + after.children_system - before.children_system
            )
    print(f"one blob of 20 is new: {sum(asked.values())} requests ({dict(asked)})")
    print(
        f"  the whole command: {min(took) * 1e3:.0f} ms at best, median {sorted(took)[REPEATS // 2] * 1e3:.0f} ms, "
        f"CPU {min(busy) * 1e3:.0f} ms"
    )


def _row(what: str, megabytes: int, command: list[str]) -> None:
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    print(f"  {what:<20} {seconds:6.2f} s {megabytes / seconds:6.0f} MB/s  {done.stdout.strip()}")


if __name__ == "__main__":
    main()
