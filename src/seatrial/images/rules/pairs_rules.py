"""What the rules about pairs of packages are called, and what they say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.findings import Rule

if TYPE_CHECKING:
    from seatrial.findings import Severity

_OPEN = (
    "An error when every combination of versions that can be installed fails; a warning when versions are open and the "
    "ones that an installer takes today fail. The fix changes the package to one that fits, or the other one."
)
_ONE = (
    "Its metadata names the one torch that it was compiled for. Asked for together with another one in the same install, "
    "pip and uv end with an error; installed without its dependencies, or with torch exchanged afterwards, its compiled "
    "parts do not load."
)


def _rule(
    name: str, title: str, explanation: str, source: str, example: str, severity: Severity = "error"
) -> Rule:
    return Rule(
        id=f"image/{name}",
        severity=severity,
        title=title,
        explanation=explanation,
        source=source,
        example=example,
    )


RULES = (
    _rule(
        "transformers-torch",
        "transformers needs a newer torch",
        "transformers turns torch off, or fails, when torch is older than it supports. Its metadata does not say so: "
        f"torch is only an extra there. So a newest transformers comes to stand beside an old torch. {_OPEN}",
        "https://github.com/huggingface/transformers/blob/main/src/transformers/utils/import_utils.py",
        "torch==2.0.1\ntransformers\n",
    ),
    _rule(
        "vllm-torch",
        "vllm and torch do not fit",
        f"vllm is compiled for exactly one torch. {_ONE} The fix changes vllm, or torch, to the version that fits.",
        "https://docs.vllm.ai/en/latest/getting_started/installation/gpu.html",
        "vllm==0.7.3\ntorch==2.4.0\n",
    ),
    _rule(
        "xformers-torch",
        "xformers and torch do not fit",
        f"xformers is compiled for exactly one torch. {_ONE} {_OPEN}",
        "https://github.com/facebookresearch/xformers#installing-xformers",
        "torch==2.3.0\nxformers==0.0.24\n",
    ),
    _rule(
        "deepspeed-torch",
        "deepspeed does not work with this torch",
        f"Old releases of deepspeed import private names of torch that later releases took away. {_OPEN}",
        "https://github.com/microsoft/DeepSpeed/issues/5603",
        "torch==2.4.0\ndeepspeed==0.14.3\n",
    ),
    _rule(
        "bitsandbytes-triton",
        "bitsandbytes does not work with this triton",
        "Old releases of bitsandbytes import triton.ops, which triton 3.2 took away; torch 2.6 and later bring such a "
        f"triton. {_OPEN}",
        "https://github.com/bitsandbytes-foundation/bitsandbytes/issues/1492",
        "torch==2.6.0\nbitsandbytes==0.44.1\n",
    ),
    _rule(
        "torchao-torch",
        "torchao does not work with this torch",
        f"torchao says nothing about torch in its metadata, and its parts work with few releases of torch. {_OPEN}",
        "https://github.com/pytorch/ao/issues/2919",
        "torch==2.9.1\ntorchao\n",
    ),
    _rule(
        "triton-torch",
        "triton is not the one that torch needs",
        "Each torch for CUDA names the one triton that it works with. Another one in the same install cannot be resolved; "
        "installed afterwards, torch.compile and flex attention fail. The fix is to leave triton to torch.",
        "https://github.com/pytorch/pytorch/blob/main/RELEASE.md#triton-dependency-for-the-release",
        "torch==2.5.1\ntriton==3.0.0\n",
    ),
)  # fmt: skip

BY_ID = {one.id.partition("/")[2]: one for one in RULES}
