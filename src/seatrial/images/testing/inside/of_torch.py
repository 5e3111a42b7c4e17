"""A torch module that a class or function makes, with weights when there are some."""

from __future__ import annotations

import importlib
import json
from typing import Any

from .given import BrokenModelError, Skipped, not_numbers, shape_of, tensors

_NESTED = ("state_dict", "model_state_dict", "model", "module")


def load(order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    torch = importlib.import_module("torch")
    module, _, name = order["object"].partition(":")
    maker: Any = importlib.import_module(module)
    for part in name.split("."):
        maker = getattr(maker, part)
    model = maker(**{key: _value(text) for key, text in order["args"].items()})
    if not isinstance(model, torch.nn.Module):
        raise BrokenModelError(f"{order['object']} gives a {type(model).__name__}, not a torch.nn.Module")
    details = []
    if order["path"]:
        state = _weights(torch, order["path"])
        model.load_state_dict(state)
        details.append(f"{len(state)} tensors of {order['path']} loaded")
    return model, f"{type(model).__name__} with {parameters(model)}", details


def forward(model: Any, order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    torch = importlib.import_module("torch")
    if not order["inputs"]:
        raise Skipped("a torch module does not say what it takes: give `inputs` with shapes")
    plain, named = tensors(order["inputs"])
    model.eval()
    with torch.no_grad():
        result = model(*plain, **named)
    if order["path"] and not_numbers(result):
        raise BrokenModelError("the result holds NaN")
    return None, f"computed {shape_of(result)}", []


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _weights(torch: Any, path: str) -> Any:
    if path.endswith(".safetensors"):
        return importlib.import_module("safetensors.torch").load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(state, dict):
        for name in _NESTED:
            if isinstance(state.get(name), dict):
                return state[name]
    return state


def parameters(model: Any) -> str:
    return written(sum(one.numel() for one in model.parameters()))


def written(count: int) -> str:
    """`1.2 M parameters`."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit} parameters"
    return f"{count} parameters"
