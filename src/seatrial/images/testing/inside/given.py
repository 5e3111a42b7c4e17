"""Inputs of a model, as its owner described them, and what a step answers when it cannot be done."""

from __future__ import annotations

import importlib
import json
from typing import Any


class Skipped(Exception):  # noqa: N818 - it is no error
    """The step does not apply; `skip` says why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.skip = why


class BrokenModelError(Exception):
    """What a library would let pass, or say in words that do not help."""


def arrays(inputs: list[dict[str, Any]]) -> tuple[list[Any], dict[str, Any]]:
    """Numpy arrays (or text): by position, and by name."""
    numpy = importlib.import_module("numpy")
    source = numpy.random.default_rng(0)
    plain, named = [], {}
    for one in inputs:
        value = _array(numpy, source, one)
        if one.get("name"):
            named[one["name"]] = value
        else:
            plain.append(value)
    return plain, named


def _array(numpy: Any, source: Any, one: dict[str, Any]) -> Any:
    dtype = one["dtype"]
    if one.get("file"):
        with open(one["file"], encoding="utf-8") as stream:  # noqa: PTH123 - Python 3.8 has it too, but this is shorter
            value = json.load(stream)
        text = dtype == "text" or _has_text(value)
        return value if isinstance(value, dict) else numpy.array(value, dtype=object if text else dtype)
    shape = one["shape"]
    if dtype == "text":
        return numpy.full(shape, "text", dtype=object)
    if dtype.startswith(("float", "bfloat")):
        return source.random(shape, dtype="float64").astype("float32" if dtype == "bfloat16" else dtype)
    return source.integers(0, one["below"], size=shape).astype(dtype)


def _has_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and any(_has_text(one) for one in value[:100]))


def tensors(inputs: list[dict[str, Any]]) -> tuple[list[Any], dict[str, Any]]:
    """Torch tensors: by position, and by name."""
    torch = importlib.import_module("torch")
    plain, named = arrays(inputs)
    kinds = [one["dtype"] for one in inputs if not one.get("name")]
    named_kinds = {one["name"]: one["dtype"] for one in inputs if one.get("name")}

    def tensor(value: Any, dtype: str) -> Any:
        # Through lists where numpy and torch were not built for each other.
        try:
            made = torch.from_numpy(value)
        except RuntimeError:
            made = torch.tensor(value.tolist())
        return made.to(getattr(torch, dtype))

    return (
        [tensor(value, kind) for value, kind in zip(plain, kinds)],  # noqa: B905 - Python 3.9 knows no strict
        {name: tensor(value, named_kinds[name]) for name, value in named.items()},
    )


def shape_of(value: Any, depth: int = 0) -> str:
    """What came out, in a few words."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return "x".join(map(str, shape)) or "a single number"
    if isinstance(value, dict) and value and depth < 3:  # noqa: PLR2004
        return ", ".join(f"{name} {shape_of(one, depth + 1)}" for name, one in list(value.items())[:4])
    if isinstance(value, (list, tuple)) and value and depth < 3:  # noqa: PLR2004
        return ", ".join(shape_of(one, depth + 1) for one in list(value)[:4])
    return type(value).__name__


def not_numbers(value: Any) -> bool:
    """Whether a torch result holds NaN."""
    if hasattr(value, "is_floating_point"):
        return bool(value.is_floating_point() and value.isnan().any())
    if isinstance(value, dict):
        return any(not_numbers(one) for one in value.values())
    return isinstance(value, (list, tuple)) and any(not_numbers(one) for one in value)
