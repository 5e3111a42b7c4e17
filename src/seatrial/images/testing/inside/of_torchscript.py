"""A TorchScript file."""

from __future__ import annotations

import importlib
from typing import Any

from .given import BrokenModelError, Skipped, not_numbers, shape_of, tensors
from .of_torch import parameters


def load(order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    torch = importlib.import_module("torch")
    model = torch.jit.load(order["path"], map_location="cpu")
    return model, f"{model.original_name} with {parameters(model)}", []


def forward(model: Any, order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    torch = importlib.import_module("torch")
    if not order["inputs"]:
        raise Skipped("a TorchScript file does not say which shapes it takes: give `inputs`")
    plain, named = tensors(order["inputs"])
    model.eval()
    with torch.no_grad():
        result = model(*plain, **named)
    if not_numbers(result):
        raise BrokenModelError("the result holds NaN")
    return None, f"computed {shape_of(result)}", []
