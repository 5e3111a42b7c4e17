"""A safetensors file: every tensor can be read."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from .given import Skipped
from .of_torch import written


def load(order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    framework = "pt" if importlib.util.find_spec("torch") else "np"
    tensors = count = 0
    with importlib.import_module("safetensors").safe_open(order["path"], framework=framework) as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            tensor = file.get_tensor(name)
            tensors += 1
            count += tensor.numel() if framework == "pt" else tensor.size
    return None, f"{tensors} tensors with {written(count)}", []


def forward(_: Any, __: dict[str, Any]) -> tuple[Any, str, list[str]]:
    raise Skipped("weights alone compute nothing: use kind torch with `object`, or huggingface")
