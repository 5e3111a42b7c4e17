"""An ONNX file, run by onnxruntime with inputs made from what the file says it takes."""

from __future__ import annotations

import importlib
from typing import Any

from .given import arrays, shape_of

_TYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(int64)": "int64",
    "tensor(int32)": "int32", "tensor(int8)": "int8", "tensor(uint8)": "uint8", "tensor(bool)": "bool",
    "tensor(string)": "text",
}  # fmt: skip


def load(order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(order["path"], providers=["CPUExecutionProvider"])
    taken = [f"{one.name} {one.type} {one.shape}" for one in session.get_inputs()]
    outputs = ", ".join(one.name for one in session.get_outputs())
    return session, f"takes {len(taken)} inputs, gives {outputs}", taken


def forward(session: Any, order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    plain, named = arrays(order["inputs"])
    feed = {}
    for one in session.get_inputs():
        if one.name in named:
            feed[one.name] = named.pop(one.name)
        elif plain:
            feed[one.name] = plain.pop(0)
        else:
            feed[one.name] = _made(one, order["dimensions"])
    result = session.run(None, {**feed, **named})
    return None, f"computed {shape_of(result)}", []


def _made(one: Any, dimensions: dict[str, int]) -> Any:
    shape = [
        size if isinstance(size, int) and size > 0 else dimensions.get(str(size), 1) for size in one.shape
    ]
    dtype = _TYPES.get(one.type)
    if dtype is None:
        from .given import Skipped

        raise Skipped(f"the input {one.name} is {one.type}: give it as a file")
    # 0 and 1 are valid as indices, masks and flags.
    return arrays([{"dtype": dtype, "shape": shape, "below": 2}])[0][0]
