"""What can be said of a model's files without running anything: whether they are there, whole and readable."""

from __future__ import annotations

import json
import mmap
import re
import struct
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Problem = tuple[str, str]
_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors format itself
_WEIGHTS = re.compile(r"(pytorch_model|model|adapter_model).*\.(safetensors|bin)")
_INDEX = re.compile(r".*\.(safetensors|bin)\.index\.json")
# In a pickled estimator the name is followed by the version, with a few bytes of opcodes between them.
_FITTED = re.compile(rb"_sklearn_version.{0,12}?(\d+\.\d+(?:\.\w+)*)", re.DOTALL)


def problems(kind: str, files: Mapping[str, Path]) -> Iterator[Problem]:
    """What is wrong and how to mend it. `files` are those of a folder, or the one file, by relative name."""
    for name, place in sorted(files.items()):
        if "/" not in name and _is_pointer(place):
            yield (
                f"{name} is a pointer of Git LFS, not the file",
                f"run `git lfs pull` and build again: {name}",
            )
            return
    yield from _READERS[kind](files)


def has_weights(files: Mapping[str, Path]) -> bool:
    """Whether a Hugging Face folder has weights."""
    return any(_WEIGHTS.fullmatch(name) for name in files)


def fitted_with(file: Path) -> str:
    """The scikit-learn that a pickle was made with; empty when it does not say, or is compressed."""
    with file.open("rb") as stream:
        try:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = _FITTED.search(content)
                return found[1].decode() if found else ""
        except ValueError:  # an empty file
            return ""


def _is_pointer(place: Path) -> bool:
    with place.open("rb") as stream:
        return stream.read(len(_POINTER)) == _POINTER


def _huggingface(files: Mapping[str, Path]) -> Iterator[Problem]:
    if "config.json" not in files:
        yield "there is no config.json", "give the folder that `save_pretrained` wrote"
        return
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        if name in files:
            value, problem = _json(files[name])
            if problem:
                yield f"{name} {problem}", f"correct {name}, or save the model again"
            elif name == "config.json" and not (value.get("model_type") or value.get("architectures")):
                yield "config.json names neither model_type nor architectures", "save the configuration again"
    for name in (one for one in files if _INDEX.fullmatch(one)):
        value, problem = _json(files[name])
        parts = value.get("weight_map")
        if problem or not isinstance(parts, dict):
            yield f"{name} {problem or 'has no weight_map'}", "save the model again"
            continue
        absent = sorted({str(part) for part in parts.values()} - set(files))
        if absent:
            yield f"{name} names {absent[0]}, which is not there", "add all parts of the weights"
    for name in (one for one in files if one.endswith(".safetensors") and "/" not in one):
        yield from _safetensors({name: files[name]})


def _json(place: Path) -> tuple[dict[str, Any], str]:
    try:
        value = json.loads(place.read_bytes())
    except (ValueError, RecursionError) as error:
        return {}, f"is no JSON: {error}"
    return (value, "") if isinstance(value, dict) else ({}, "is no JSON object")


def _safetensors(files: Mapping[str, Path]) -> Iterator[Problem]:
    for name, place in files.items():
        size = place.stat().st_size
        again = f"copy {name} again"
        with place.open("rb") as stream:
            head = stream.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0  # noqa: PLR2004
            if not 2 <= length <= min(_LARGEST_HEADER, max(size - 8, 0)):  # noqa: PLR2004 - `{}`
                yield f"{name} is no safetensors file, or cut off", again
                continue
            try:
                header = json.loads(stream.read(length))
                ends = [one["data_offsets"][1] for key, one in header.items() if key != "__metadata__"]
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                yield f"the header of {name} cannot be read", again
                continue
        whole = 8 + length + max(ends, default=0)
        if size != whole:
            yield f"{name} has {size} bytes, its header says {whole}", again


def _zip(files: Mapping[str, Path]) -> Iterator[Problem]:
    for name, place in files.items():
        if not zipfile.is_zipfile(place):
            yield f"{name} is no TorchScript archive", "write it with torch.jit.save"
            continue
        with zipfile.ZipFile(place) as archive:
            inside = archive.namelist()
        if not any(one.endswith("/constants.pkl") for one in inside):
            fix = "write it with torch.jit.save; for a state_dict use kind torch with `object`"
            yield f"{name} holds weights or a pickled module, not TorchScript", fix


def _onnx(files: Mapping[str, Path]) -> Iterator[Problem]:
    for name, place in files.items():
        with place.open("rb") as stream:
            # Field 1 of the message, the version of the format, is always written first.
            if stream.read(1) != b"\x08":
                yield f"{name} is no ONNX file", "export the model again"


def _sklearn(files: Mapping[str, Path]) -> Iterator[Problem]:
    for name, place in files.items():
        if place.stat().st_size == 0:
            yield f"{name} is empty", "write it again"


_READERS: dict[str, Callable[[Mapping[str, Path]], Iterator[Problem]]] = {
    "huggingface": _huggingface,
    "torch": lambda files: _safetensors({n: f for n, f in files.items() if n.endswith(".safetensors")}),
    "torchscript": _zip,
    "safetensors": _safetensors,
    "onnx": _onnx,
    "sklearn": _sklearn,
}
