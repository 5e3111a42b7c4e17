"""Whether bills of materials name what the images' own package managers name: ten images, `pip list` and `dpkg-query`.

Each image is made by the steps below, every step a layer, on a Debian base that mmdebstrap makes, with wheels from a
folder and without a network. Every interpreter in it is asked for its packages, dpkg for its own; both lists must equal those of
the bill of materials. Run as root: .venv/bin/python bench/sbom.py WHEELS [NAME…]
WHEELS holds wheels of six (1.16.0 and 1.17.0), requests and what it needs, numpy, setuptools and torch.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images import bases, runtime
from seatrial.images import layout as oci
from seatrial.images.assemble.store import using
from seatrial.images.attesting import attest, inventory
from seatrial.images.layout import read_image
from seatrial.images.testing.python import normalize

if TYPE_CHECKING:
    from seatrial.images.attesting.model import Inventory
    from seatrial.images.rootfs import Root

_PACKAGES = ("python3-pip", "python3-requests", "python3-yaml", "python3-venv")
_QUIET = "--quiet --no-index --find-links /wheels"
_PIP = f"python3 -m pip install {_QUIET} --root-user-action ignore --break-system-packages"
_PIP_TO = "python3 -m pip --python"
_SETUP = "from setuptools import setup; setup(name='demo-app', version='1.5', py_modules=['demo_app'])"
_SOURCE = f'mkdir /src && cd /src && echo "{_SETUP}" > setup.py && touch demo_app.py'
_CONDA = json.dumps({"name": "numpy", "version": "2.1.3", "build": "py311_0", "files": []})
_DPKG = "${Package} ${Version} ${db:Status-Status}\\n"
_ASK = "import json, sys; print(json.dumps([p for p in sys.path if p]))"

COPY_PYTHON = "a Python in /usr/local"
USER = "su web -c "
IMAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Debian as it is": ((), ("/usr/bin/python3",)),
    "wheels over Debian's packages": ((f"{_PIP} requests==2.32.3 numpy",), ("/usr/bin/python3",)),
    "upgraded and removed above": (
        (
            f"{_PIP} six==1.16.0 numpy", f"{_PIP} six==1.17.0", "python3 -m pip uninstall --break-system-packages -y numpy",
            "dpkg --remove python3-requests && dpkg --purge python3-yaml",
        ),
        ("/usr/bin/python3",),
    ),
    "a virtual environment": (
        ("python3 -m venv /opt/venv", f"{_PIP_TO} /opt/venv/bin/python install {_QUIET} requests==2.32.3"),
        ("/usr/bin/python3", "/opt/venv/bin/python"),
    ),
    "an editable install": (
        (_SOURCE, f"{_PIP} setuptools wheel && {_PIP} --no-build-isolation -e /src"), ("/usr/bin/python3",),
    ),
    "eggs": (
        (
            _SOURCE, f"{_PIP} setuptools==75.8.0 && cp -r /src /src2 && sed -i s/demo-app/other-app/ /src2/setup.py",
            "cd /src && python3 setup.py -q develop", "cd /src2 && python3 setup.py -q install",
        ),
        ("/usr/bin/python3",),
    ),
    "a user's own packages": (
        ("useradd -m web", f"{USER} 'python3 -m pip install {_QUIET} --user --break-system-packages numpy'"),
        ("/usr/bin/python3",),
    ),
    "several Pythons": (
        (COPY_PYTHON, f"ldconfig && {_PIP_TO} /usr/local/bin/python3.11 install {_QUIET} six==1.16.0", f"{_PIP} numpy"),
        ("/usr/bin/python3", "/usr/local/bin/python3.11"),
    ),
    "laid out as conda does": (
        (
            "python3 -m venv /opt/conda", f"{_PIP_TO} /opt/conda/bin/python install {_QUIET} numpy",
            f"mkdir /opt/conda/conda-meta && echo '{_CONDA}' > /opt/conda/conda-meta/numpy-2.1.3-py311_0.json",
        ),
        ("/usr/bin/python3", "/opt/conda/bin/python"),
    ),
    "torch": ((f"{_PIP} --no-deps torch numpy",), ("/usr/bin/python3",)),
}  # fmt: skip


class Row(NamedTuple):
    image: str
    debian: tuple[int, int]
    python: tuple[int, int]
    loose: int
    seconds: float
    wrong: list[str]


def built(steps: tuple[str, ...], user: str, base: Path, wheels: Path, work: Path) -> Path:
    """An image as a layout: each step is run by a shell in an overlay on all before, and becomes a layer."""
    root = runtime.prepare(base)
    lower = [str(root.folder(name)) for name in reversed(root.layers)]
    layers: list[bytes] = []
    for number, step in enumerate(steps):
        place = work / str(number)
        for name in ("upper", "work", "merged"):
            (place / name).mkdir(parents=True)
        _overlay(place, lower)
        try:
            _step(place / "merged", step, wheels)
        finally:
            for name in ("wheels", "dev", "proc", ""):
                subprocess.run(
                    ["umount", str(place / "merged" / name)], check=False, stderr=subprocess.DEVNULL
                )
        layers.append(_packed(place / "upper"))
        lower.insert(0, str(place / "upper"))
    return _written(base, layers, user, work / "image")


def _overlay(place: Path, lower: list[str]) -> None:
    options = f"lowerdir={':'.join(lower)},upperdir={place / 'upper'},workdir={place / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(place / "merged")], check=True)


def _step(root: Path, step: str, wheels: Path) -> None:
    if step == COPY_PYTHON:
        _copy_python(root / "usr" / "local")
        return
    for name in ("wheels", "dev", "proc"):
        (root / name).mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", str(wheels), str(root / "wheels")], check=True)
    subprocess.run(["mount", "--bind", "/dev", str(root / "dev")], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
    plain = {
        "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
    }
    done = subprocess.run(
        ["chroot", str(root), "sh", "-ec", step], env=plain, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{step} ended with {done.returncode}: {done.stderr[-800:]}")


def _packed(upper: Path) -> bytes:
    """What a step changed, as a tar stream with whiteouts."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(upper.rglob("*")):
            name = path.relative_to(upper)
            if name.parts[0] in ("dev", "proc", "wheels", "tmp", "run"):
                continue
            if stat.S_ISCHR(path.lstat().st_mode):
                archive.addfile(tarfile.TarInfo(str(name.parent / f".wh.{name.name}")))
                continue
            archive.add(path, str(name), recursive=False)
            if path.is_dir() and not path.is_symlink() and "trusted.overlay.opaque" in os.listxattr(path):
                archive.addfile(tarfile.TarInfo(str(name / ".wh..wh..opq")))
    return stream.getvalue()


def _written(base: Path, layers: list[bytes], user: str, out: Path) -> Path:
    oci.create(out)
    below = oci.read_image(base)
    for layer in below.manifest.layers:
        oci.link_blob(out, layer.digest, oci.blob_path(base, layer.digest))
    made = [oci.add_blob(out, one, oci.LAYER_GZIP.removesuffix("+gzip")) for one in layers]
    config = {
        **below.config,
        "config": {**(below.config.get("config") or {}), **({"User": user} if user else {})},
        "history": [],
        "rootfs": {"type": "layers", "diff_ids": [*oci.diff_ids(below), *(one.digest for one in made)]},
    }
    described = oci.add_blob(out, oci.encode(config), oci.CONFIG)
    manifest = oci.Manifest(config=described, layers=(*below.manifest.layers, *made))
    oci.set_index(out, oci.Index(manifests=(oci.add_blob(out, oci.encode(manifest), oci.MANIFEST),)))
    return out


def _copy_python(place: Path) -> None:
    """This machine's interpreter with its standard library."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (place / "lib").mkdir(parents=True, exist_ok=True)
    shutil.copy2(Path(sys.executable).resolve(), place / "bin" / name)
    for library in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython*.so.1.0"):
        shutil.copy2(library, place / "lib" / library.name)
    left_out = shutil.ignore_patterns("site-packages", "test", "__pycache__", "idlelib", "config-*")
    shutil.copytree(Path(os.__file__).parent, place / "lib" / name, ignore=left_out, dirs_exist_ok=True)
    (place / "lib" / name / "site-packages").mkdir(exist_ok=True)


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
                place
                if place.endswith(".egg")
                else (
                    place.removesuffix("/EGG-INFO")
                    if place.endswith("/EGG-INFO")
                    else str(Path(place).parent)
                )
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
    if not sys.argv[1:] or os.geteuid() != 0:
        print("give a folder with the wheels, as root: overlays are mounted")
        return 2
    wheels, wanted = Path(sys.argv[1]).resolve(), sys.argv[2:] or list(IMAGES)
    with using() as use:
        base = bases.prepare("debian:bookworm", use, packages=_PACKAGES).layout
        bad = 0
        print(
            "| image | dpkg-query | SBOM | pip list | SBOM | files of no package | seconds |\n|---|---|---|---|---|---|---|"
        )
        for name in wanted:
            steps, pythons = IMAGES[name]
            user = "web" if any(USER in step for step in steps) else ""
            with tempfile.TemporaryDirectory(prefix="sbom-") as folder:
                row = compared(name, built(steps, user, base, wheels, Path(folder)), pythons)
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
