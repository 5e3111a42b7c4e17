"""NVIDIA GPUs of this machine: what programs need of them, and how they are shown to a program in an image.

What belongs to the driver comes from the machine, never from the image: device files and the driver's own libraries
(docs.nvidia.com, "NVIDIA Container Toolkit"; the list of libraries is that of libnvidia-container for the
capabilities compute and utility).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import MissingToolError
from seatrial.processes import find, run

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "/run/seatrial/nvidia"
_DRIVER = re.compile(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s")
_LIBRARIES = re.compile(
    r"lib(?:cuda|cudadebugger|nvidia-ml|nvidia-cfg|nvidia-gpucomp|nvidia-nvvm\d*|nvidia-opencl|nvidia-ptxjitcompiler|"
    r"nvidia-fatbinaryloader|nvidia-compiler|nvidia-allocator|nvidia-pkcs11|nvidia-pkcs11-openssl\d*)\.so\.\d+"
)
_CONTROL = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
_GPU = re.compile(r"nvidia\d+")


class Machine(NamedTuple):
    """What this machine has: device files, the kernel driver's version, and its libraries by name."""

    devices: tuple[str, ...] = ()
    driver: str = ""
    libraries: Mapping[str, str] = {}

    @property
    def gpus(self) -> tuple[str, ...]:
        """The device files of single GPUs."""
        return tuple(one for one in self.devices if _GPU.fullmatch(one.rpartition("/")[2]))


def machine() -> Machine:
    """Look at this machine. Nothing is started but `ldconfig -p`, and that only where there is a driver."""
    devices = Path("/dev")
    names = sorted(one.name for one in devices.glob("nvidia*"))
    found = [str(devices / name) for name in names if name in _CONTROL or _GPU.fullmatch(name)]
    found += sorted(str(one) for one in devices.glob("nvidia-caps/*"))
    try:
        said = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        said = ""
    return Machine(tuple(found), driver_in(said), libraries_in(_cache()) if said or found else {})


def driver_in(text: str) -> str:
    """The version that the kernel driver writes in /proc/driver/nvidia/version; empty when there is none."""
    found = _DRIVER.search(text)
    return found[1] if found else ""


def libraries_in(text: str) -> dict[str, str]:
    """The driver's libraries for 64 bit among those that `ldconfig -p` lists, by name."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, place = line.strip().partition(" => ")
        name, _, kind = name.partition(" ")
        if place and ("x86-64" in kind or "AArch64" in kind) and _LIBRARIES.fullmatch(name):
            found.setdefault(name, place.strip())
    return found


def options(here: Machine) -> list[str]:
    """Options of bwrap that show the devices, and the libraries in `FOLDER`."""
    words: list[str] = []
    for place in here.devices:
        words += ["--dev-bind-try", place, place]
    for name, place in here.libraries.items():
        words += ["--ro-bind", str(Path(place).resolve()), f"{FOLDER}/{name}"]
    return words


def variables(values: Mapping[str, str]) -> dict[str, str]:
    """Where the loader finds them, after what the image says itself."""
    before = values.get("LD_LIBRARY_PATH", "")
    return {"LD_LIBRARY_PATH": f"{before}:{FOLDER}" if before else FOLDER}


def _cache() -> str:
    try:
        return run([find("ldconfig"), "-p"], timeout=30).stdout
    except MissingToolError:
        return ""
