"""What to do about a model that does not load or compute, from the words of its libraries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seatrial.config.model import Model

_KILLED = 137
_SIGNALS = {
    132: "illegal instruction",
    134: "abort",
    135: "bus error",
    137: "killed",
    139: "segmentation fault",
}
_ROWS: tuple[tuple[str, str], ...] = (
    (r"No module named '([^']+)'", "add the distribution that has the module {0} to the requirements and lock again"),
    (r"requires the (\w+) library", "add {0} to the requirements and lock again"),
    (r"Can't get attribute '([^']+)' on", "the file was pickled from a script: define {0} in a module of the image, import it there and pickle again"),
    (r"does not recognize this architecture|has no class", "raise transformers in the requirements to the version that the configuration was written by, or later, and lock again"),
    (r"own_code: true", "set `own_code: true` for the model in seatrial.yaml; the code runs in the sandbox only"),
    (r"size mismatch for|have another shape|Missing key|Unexpected key|weights lack", "the weights belong to another configuration: give the one that they were saved with"),
    (r"mat1 and mat2|shapes? cannot be multiplied|size of tensor|Expected .* dim|expected input\[|must match the size|normalized_shape|not a multiple of|divisible by", "make the sizes of the layers fit each other, or `inputs` in seatrial.yaml fit the model"),
    (r"index out of range|the tokenizer gives the id", "the vocabulary is smaller than the ids: use the tokenizer of this model, or resize its embeddings"),
    (r"Unsupported model IR version|[Oo]pset|is not a registered function", "export the model with an older opset, or raise onnxruntime in the requirements"),
    (r"Got invalid dimensions|Invalid rank|Unexpected input data type|Required inputs", "give `inputs` or `dimensions` as the model takes them"),
    (r"features?, but|Number of features|n_features", "give `features` as the model was fitted with"),
    (r"can't allocate memory|MemoryError|not enough memory|Unable to allocate", "give it more `memory` in seatrial.yaml, or a smaller model"),
    (r"offline mode|LocalEntryNotFound|couldn't connect|Name or service not known|Network is unreachable|Temporary failure in name", "it wants to load something from a network at start: put those files into the image and name their folder"),
    (r"cannot open shared object file", "install the system package that has the library: see the libraries check"),
    (r"NVIDIA driver|CUDA|No GPU", "load with map_location='cpu' or choose the device by torch.cuda.is_available(): there is no GPU here"),
    (r"weights_only|Weights only load", "save a state_dict: torch.save(model.state_dict(), FILE)"),
    (r"Permission denied", "let the image's user read the file"),
    (r"holds NaN", "the weights are damaged, or computed in a type that is too small: save them again"),
    (r"has no attribute '([^']+)'", "there is no {0}: correct the name in seatrial.yaml, or pin versions that fit each other"),
    (r"unexpected keyword argument '([^']+)'|missing \d+ required", "make `args` and `inputs` in seatrial.yaml fit the signature"),
)  # fmt: skip


def advice(message: str, step: str, place: str, model: Model) -> str:
    """One sentence: the edit where it is known, else where to look."""
    for pattern, fix in _ROWS:
        found = re.search(pattern, message)
        if found:
            return fix.format(*(one or "its argument" for one in found.groups()))
    if place:
        return f"look at {place} in the image"
    doing = "loading it" if step == "load" else "its forward pass"
    return f"correct the {model.kind} model: the traceback of {doing} is in the details"


def death(doing: str, code: int, said: str, model: Model) -> tuple[str, str]:
    """Message and fix for a process that ended in a step without an answer."""
    if code == -1 or "Timeout (" in said:
        return f"{doing} did not finish in {model.timeout:g} s", "give it more `timeout`, or a smaller model"
    last = said.splitlines()[-1][:300] if said else ""
    if code == _KILLED or "MemoryError" in said or "bad_alloc" in said:
        return f"{doing} took too much memory and was ended: {last}".rstrip(
            ": "
        ), "give it more `memory`, or a smaller model"
    how = _SIGNALS.get(code, f"exit code {code}")
    first = next((line for line in said.splitlines() if line.startswith("Fatal Python error")), last)
    return (
        f"the process ended while {doing} ({how}) {first}".strip(),
        "a compiled library crashed: pin versions of its packages that were built together, and for this processor",
    )
