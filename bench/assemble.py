"""How long assembling takes, and how much memory: cold layers, nothing changed, source changed.

Usage: python bench/assemble.py REQUIREMENT… [--base debian:bookworm]. Wheels and base are fetched beforehand
and not counted. Prints one JSON line per case.
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

ONE_RUN = """
import json, resource, sys, time
from pathlib import Path
from seatrial.images.assemble.image import ImageSpec, assemble_project
started = time.monotonic()
spec = ImageSpec(root=Path(sys.argv[1]), base=sys.argv[3], requirements=("requirements.txt",), bytecode=sys.argv[4] == "1")
done = assemble_project(spec, out=Path(sys.argv[2]))
usage, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "seconds": round(time.monotonic() - started, 3), "cpu": round(usage.ru_utime + usage.ru_stime, 3),
    "cpu_of_children": round(children.ru_utime + children.ru_stime, 3), "peak_mb": round(usage.ru_maxrss / 1024, 1),
    "image_mb": round(done.size / 1e6, 1), "new_mb": round(sum(l.size for l in done.layers if not l.reused) / 1e6, 1),
    "digest": done.digest,
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", nargs="+")
    parser.add_argument("--base", default="debian:bookworm")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = folder / "project"
        project.mkdir()
        (project / "requirements.txt").write_text("\n".join(given.requirements) + "\n")
        os.environ.setdefault("SEATRIAL_CACHE", str(folder / "cache"))
        one("warm-up", project, folder / "out", given.base, bytecode=False)
        for bytecode in (False, True):
            shutil.rmtree(Path(os.environ["SEATRIAL_CACHE"]) / "layers", ignore_errors=True)
            suffix = "with bytecode" if bytecode else "without bytecode"
            one(f"cold layers, {suffix}", project, folder / "out", given.base, bytecode=bytecode)
            one(f"nothing changed, {suffix}", project, folder / "out", given.base, bytecode=bytecode)
            (project / "app.py").write_text(f"print({bytecode})\n")
            one(f"source changed, {suffix}", project, folder / "out", given.base, bytecode=bytecode)


def one(case: str, project: Path, out: Path, base: str, *, bytecode: bool) -> None:
    argv = [sys.executable, "-c", ONE_RUN, str(project), str(out), base, str(int(bytecode))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    print(json.dumps({"case": case, **json.loads(done.stdout)}), flush=True)


if __name__ == "__main__":
    main()
