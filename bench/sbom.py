"""Whether bills of materials name what the images' own package managers name: ten images, `pip list` and `dpkg-query`.

Each image is built by Buildah from a Dockerfile below, on a Debian base that mmdebstrap makes, with wheels from a
folder and without a network. Every interpreter in it is asked for its packages, dpkg for its own; both lists must equal those of
the bill of materials. Run as root: .venv/bin/python bench/sbom.py WHEELS [NAME…]
WHEELS holds wheels of six (1.16.0 and 1.17.0), requests and what it needs, numpy, setuptools and torch.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images import bases, runtime
from seatrial.images.assemble.store import using
from seatrial.images.attesting import attest, inventory
from seatrial.images.layout import read_image
from seatrial.images.testing.python import normalize

if TYPE_CHECKING:
    from seatrial.images.attesting.model import Inventory
    from seatrial.images.rootfs import Root

_PACKAGES = ("python3-pip", "python3-requests", "python3-yaml", "python3-venv")
_PIP = "python3 -m pip install --quiet --root-user-action ignore --break-system-packages --no-index --find-links /wheels"
_SETUP = "from setuptools import setup; setup(name='demo-app', version='1.5', py_modules=['demo_app'])"
_SOURCE = f'RUN mkdir /src && cd /src && echo "{_SETUP}" > setup.py && touch demo_app.py'
_CONDA = json.dumps({"name": "numpy", "version": "2.1.3", "build": "py311_0", "files": []})
_DPKG = "${Package} ${Version} ${db:Status-Status}\\n"
_ASK = "import json, sys; print(json.dumps([p for p in sys.path if p]))"

IMAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "Debian as it is": ("RUN true", ("/usr/bin/python3",)),
    "wheels over Debian's packages": (f"RUN {_PIP} requests==2.32.3 numpy", ("/usr/bin/python3",)),
    "upgraded and removed above": (
        (f"RUN {_PIP} six==1.16.0 numpy\nRUN {_PIP} six==1.17.0\n"
        "RUN python3 -m pip uninstall --quiet --break-system-packages -y numpy\n"
        "RUN dpkg --remove python3-yaml && dpkg --purge python3-requests"),
        ("/usr/bin/python3",),
    ),
    "a virtual environment": (
        f"RUN python3 -m venv /opt/venv && {_PIP} --python /opt/venv/bin/python requests==2.32.3",
        ("/usr/bin/python3", "/opt/venv/bin/python"),
    ),
    "an editable install": (
        f"{_SOURCE}\nRUN {_PIP} setuptools wheel && {_PIP} --no-build-isolation -e /src", ("/usr/bin/python3",),
    ),
    "eggs": (
        (f"{_SOURCE}\nRUN {_PIP} setuptools==75.8.0 && cp -r /src /src2 && sed -i s/demo-app/other-app/ /src2/setup.py && "
        "cd /src && python3 setup.py -q develop && cd /src2 && python3 setup.py -q install"),
        ("/usr/bin/python3",),
    ),
    "a user's own packages": (
        f"RUN useradd -m web\nUSER web\nRUN {_PIP.replace('--root-user-action ignore', '--user')} six==1.16.0",
        ("/usr/bin/python3",),
    ),
    "several Pythons": (
        ("COPY python /usr/local\n"
        f"RUN {_PIP} --python /usr/local/bin/python3.11 six==1.16.0 && {_PIP} --target /opt/lib numpy"),
        ("/usr/bin/python3", "/usr/local/bin/python3.11"),
    ),
    "laid out as conda does": (
        (f"RUN python3 -m venv /opt/conda && {_PIP} --python /opt/conda/bin/python numpy && "
        f"mkdir /opt/conda/conda-meta && echo '{_CONDA}' > /opt/conda/conda-meta/numpy-2.1.3-py311_0.json"),
        ("/usr/bin/python3", "/opt/conda/bin/python"),
    ),
    "torch": (f"RUN {_PIP} --no-deps torch numpy", ("/usr/bin/python3",)),
}  # fmt: skip


class Row(NamedTuple):
    image: str
    debian: tuple[int, int]
    python: tuple[int, int]
    loose: int
    seconds: float
    wrong: list[str]


def built(dockerfile: str, base: Path, wheels: Path, work: Path) -> Path:
    """An image as a layout."""
    (work / "Dockerfile").write_text(f"FROM oci:{base}\n{dockerfile}\n")
    if "COPY python" in dockerfile:
        _copy_python(work / "python")
    tool = [
        "buildah",
        "--root",
        str(work / "store"),
        "--runroot",
        str(work / "run"),
        "--storage-driver",
        "vfs",
    ]
    flags = [
        "--isolation",
        "chroot",
        "--network",
        "host",
        "--layers",
        "--volume",
        f"{wheels}:/wheels:ro",
        "--tag",
        "made",
    ]
    subprocess.run([*tool, "build", *flags, str(work)], check=True, stdout=subprocess.DEVNULL)
    out = work / "image"
    subprocess.run([*tool, "push", "--quiet", "--disable-compression", "made", f"oci:{out}"], check=True)
    return out


def _copy_python(place: Path) -> None:
    """This machine's interpreter with its standard library."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (place / "bin").mkdir(parents=True)
    (place / "lib").mkdir()
    shutil.copy2(Path(sys.executable).resolve(), place / "bin" / name)
    left_out = shutil.ignore_patterns("site-packages", "test", "__pycache__", "idlelib", "config-*")
    shutil.copytree(Path(os.__file__).parent, place / "lib" / name, ignore=left_out)
    (place / "lib" / name / "site-packages").mkdir()


def compared(name: str, layout: Path, pythons: tuple[str, ...]) -> Row:
    """Take stock of an image, and ask its package managers."""
    opened = read_image(layout)
    begin = time.perf_counter()
    attest.documents(layout, opened)
    seconds = time.perf_counter() - begin
    found = inventory.take(layout, opened)[0]
    root = runtime.prepare(layout)
    wrong: list[str] = []
    listed = {
        line.rpartition(" ")[0]
        for line in _asked(root, ["dpkg-query", "-W", "-f", _DPKG]).splitlines()
        if line.endswith(" installed")
    }
    ours = {f"{one.name} {one.version}" for one in found.packages if one.kind == "deb"}
    wrong += [f"dpkg: {one}" for one in sorted(listed ^ ours)]
    counts = [0, 0]
    for program in pythons:
        theirs = {normalize(one["name"]): one["version"] for one in json.loads(_pip(root, program))}
        path = json.loads(_asked(root, [program, "-c", _ASK]))
        mine = visible(found, path)
        counts = [counts[0] + len(theirs), counts[1] + len(mine)]
        wrong += [f"{program}: {one}" for one in sorted(set(theirs.items()) ^ set(mine.items()))]
    return Row(name, (len(listed), len(ours)), (counts[0], counts[1]), len(found.loose), seconds, wrong)


def visible(found: Inventory, path: list[str]) -> dict[str, str]:
    """Of each name the first on an interpreter's search path."""
    chosen: dict[str, tuple[int, str]] = {}
    for one in (one for one in found.packages if one.kind == "pypi"):
        for place in one.places:
            folder = (
                place.removesuffix("/EGG-INFO") if place.endswith("/EGG-INFO") else str(Path(place).parent)
            )
            if folder in path and path.index(folder) < chosen.get(normalize(one.name), (len(path), ""))[0]:
                chosen[normalize(one.name)] = (path.index(folder), one.version)
    return {name: version for name, (_, version) in chosen.items()}


def _asked(root: Root, command: list[str]) -> str:
    launch = runtime.Launch(entrypoint=(command[0],), network="none")
    done = runtime.run(root, command[1:], launch, timeout=300)
    if done.code != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.code}: {done.stderr[-500:]}")
    return done.stdout


def _pip(root: Root, program: str) -> str:
    other = [] if program == "/usr/bin/python3" else ["--python", program]
    return _asked(
        root,
        ["/usr/bin/python3", "-m", "pip", *other, "list", "--format", "json", "--disable-pip-version-check"],
    ).splitlines()[0]


def main() -> int:
    wheels, wanted = Path(sys.argv[1]).resolve(), sys.argv[2:] or list(IMAGES)
    with using() as use:
        base = bases.prepare("debian:bookworm", use, packages=_PACKAGES).layout
        bad = 0
        print(
            "| image | dpkg-query | SBOM | pip list | SBOM | files of no package | seconds |\n|---|---|---|---|---|---|---|"
        )
        for name in wanted:
            dockerfile, pythons = IMAGES[name]
            with tempfile.TemporaryDirectory(prefix="sbom-") as folder:
                row = compared(name, built(dockerfile, base, wheels, Path(folder)), pythons)
            print(
                f"| {row.image} | {row.debian[0]} | {row.debian[1]} | {row.python[0]} | {row.python[1]} | {row.loose} "
                f"| {row.seconds:.1f} |", flush=True,
            )  # fmt: skip
            for line in row.wrong:
                print(f"  differs: {line}", flush=True)
            bad += bool(row.wrong)
    print(f"\n{len(wanted) - bad} of {len(wanted)} equal")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
