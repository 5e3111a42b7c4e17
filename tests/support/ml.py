"""Images with machine learning libraries: stand-ins for those that are too large, and shared objects with code for GPUs."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from seatrial.images.testing.suite import run_tests
from support.debian import PACKAGES, Item, image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.testing.model import Check, Level, TestSpec

NUMPY = """
class Array:
    def __init__(self, shape, value=0.5): self.shape, self.value = tuple(shape), value
    def astype(self, dtype): return self
class _Source:
    def random(self, shape, dtype=None): return Array(shape)
    def integers(self, low, high, size): return Array(size, low)
class random:
    default_rng = staticmethod(lambda seed: _Source())
def full(shape, value, dtype=None): return Array(shape, value)
def array(value, dtype=None): return Array((len(value), len(value[0])), value)
"""
TORCH = """
import contextlib
float32, int64 = "float32", "int64"
class Tensor:
    def __init__(self, shape): self.shape = shape
    def to(self, dtype): return self
def from_numpy(array): return Tensor(array.shape)
no_grad = contextlib.nullcontext
class nn:
    class Module:
        def parameters(self): return []
        def eval(self): return self
        def __call__(self, *args, **named): return self.forward(*args, **named)
"""


def installed(name: str, version: str, files: dict[str, str | bytes]) -> list[Item]:
    """What installing a wheel leaves behind."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/METADATA", f"{info}/RECORD"])
    texts: dict[str, str | bytes] = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/RECORD": record,
    }
    return [Item(f"{PACKAGES}/{path}", text) for path, text in texts.items()]


def torch(version: str = "2.6.0", cuda: str | None = None, **files: bytes) -> list[Item]:
    """A stand-in for torch that says what it was built for."""
    return installed(
        "torch",
        version,
        {
            "torch/__init__.py": TORCH,
            "torch/version.py": f"__version__ = '{version}'\ncuda = {cuda!r}\nhip = None\n",
            **{f"torch/lib/{name}.so": content for name, content in files.items()},
        },
    )


def checks(
    base: Path,
    folder: Path,
    layer: Sequence[Item],
    spec: TestSpec,
    only: str,
    level: Level = "full",
    **settings: Any,
) -> list[Check]:
    """The answers of one check about an image with one layer on the base."""
    layout = folder / "image"
    digest = image(layout, [layer], {"Cmd": ["python3"], **settings}, base=base)
    return list(run_tests(layout, digest, level=level, spec=spec, only=(only,)).checks)


def gpu_object(*entries: tuple[int, int], section: bytes = b".nv_fatbin") -> bytes:
    """A 64-bit ELF file with one section of CUDA containers, each (kind, architecture) in one of its own."""
    body = b""
    for kind, number in entries:
        content = b"\x7fELF-or-PTX-in-some-packed-form".ljust(40, b".")
        entry = (
            struct.pack("<HHIQIIHHI", kind, 0x101, 64, len(content), 0, 0, 4, 8, number).ljust(64, b"\0")
            + content
        )
        body += struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entry)) + entry + bytes(8)
    names = b"\0" + section + b"\0.shstrtab\0"
    start = 64 + len(body) + len(names)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, start, 0, 64, 56, 0, 64, 3, 2)
    table = bytes(64)
    table += struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 64, len(body), 0, 0, 8, 0)
    table += struct.pack("<IIQQQQIIQQ", len(section) + 2, 3, 0, 0, 64 + len(body), len(names), 0, 0, 1, 0)
    return (header + body + names + table).ljust(8192, b"\0")
