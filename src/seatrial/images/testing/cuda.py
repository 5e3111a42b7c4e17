"""Whether the image's programs see a GPU here, and when not, the first reason why.

Without a GPU on this machine that is no failure of the image: it is skipped, unless one is required.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial.images import runtime
from seatrial.images.facts import cuda as facts
from seatrial.images.rootfs import locate
from seatrial.images.runtimes import gpus
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.testing.python import Distribution

# Each is a distribution of its own for CUDA, or brings CUDA along.
_CUDA_PACKAGES = re.compile(
    r"(cupy-cuda|jax-cuda|onnxruntime-gpu|paddlepaddle-gpu|tensorflow-gpu|tensorrt|vllm|flash-attn|nvidia-cuda-runtime)"
)
_ASSIGNED = re.compile(
    r"^(cuda|hip|__version__)\s*(?::[^=]+)?=\s*(?:'([^']*)'|\"([^\"]*)\"|None)", re.MULTILINE
)
_TIMEOUT = 120.0
# Asks the driver first, then torch: the driver's own error says more than torch's.
_PROBE = """
import ctypes, json, sys
answer = {"count": 0, "error": "", "names": [], "torch": None, "torch_error": ""}
try:
    driver = ctypes.CDLL("libcuda.so.1")
    code = driver.cuInit(0)
    text = ctypes.c_char_p()
    if code:
        driver.cuGetErrorName(code, ctypes.byref(text))
        answer["error"] = "cuInit answers %d %s" % (code, (text.value or b"").decode())
    count = ctypes.c_int()
    if not code and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
        answer["count"] = count.value
    for number in range(answer["count"]):
        name, major, minor = ctypes.create_string_buffer(100), ctypes.c_int(), ctypes.c_int()
        driver.cuDeviceGetName(name, 100, number)
        driver.cuDeviceGetAttribute(ctypes.byref(major), 75, number)
        driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, number)
        answer["names"].append([name.value.decode(errors="replace"), "%d.%d" % (major.value, minor.value)])
except OSError as error:
    answer["error"] = str(error)
if "torch" in sys.argv:
    try:
        import torch
        torch.cuda.init()
        answer["torch"] = torch.cuda.device_count()
        if answer["torch"]:
            torch.ones(8, device="cuda").sum().item()
    except BaseException as error:
        answer["torch_error"] = "%s: %s" % (type(error).__name__, (str(error).strip().splitlines() or [""])[0])
print(json.dumps(answer))
"""


class Built(NamedTuple):
    """What of the image is for GPUs: `name` and version, and the CUDA it was built for, empty for none (`why`)."""

    name: str
    cuda: str
    why: str = ""


def check(subject: Subject) -> Iterator[Check]:
    """A GPU is seen (pass), or why not: skipped, and failed when one is required."""
    built = built_for(subject)
    hidden = _hidden({**_variables(subject), **subject.spec.env})
    here = gpus.machine()
    reason = why_not(built, hidden, here)
    if reason is None and built is not None and subject.python is None:
        reason = (subject.no_python(), subject.python_advice())
    if reason is not None:
        yield _answer(subject, *reason)
        return
    answer = _ask(subject, torch=built is not None and built.name.startswith("torch "))
    seen = ", ".join(f"{name} (compute capability {capability})" for name, capability in answer["names"])
    if answer["count"] == 0:
        why = answer["error"] or "the driver counts none"
        yield _answer(
            subject,
            f"no GPU is seen in the image: {why}",
            "look at the message; nvidia-smi says whether the machine sees one",
        )
    elif answer["torch_error"] or answer["torch"] == 0:
        why = answer["torch_error"] or "it counts none"
        yield failed(
            "cuda",
            f"the driver sees {seen}, torch does not: {why}",
            "take a torch whose CUDA build has code for this GPU: see the architectures check",
        )
    else:
        yield passed("cuda", f"{built.name if built else 'the image'} sees {seen}, driver {here.driver}")


def built_for(subject: Subject) -> Built | None:
    """The first thing in the image that is for GPUs, torch before all; None when there is nothing of the kind."""
    distributions = {one.name: one for one in subject.python.distributions} if subject.python else {}
    torch = distributions.get("torch")
    if torch is not None:
        return _torch(subject, torch)
    runtime_library = next(
        (one for name, one in distributions.items() if name.startswith("nvidia-cuda-runtime")), None
    )
    cuda = ".".join(runtime_library.version.split(".")[:2]) if runtime_library else ""
    cuda = cuda or _variables(subject).get("CUDA_VERSION", "")
    for name, one in distributions.items():
        if _CUDA_PACKAGES.match(name):
            return Built(f"{name} {one.version}", cuda or _of_label(name))
    return Built("the image's CUDA", cuda) if cuda else None


def why_not(built: Built | None, hidden: str, here: gpus.Machine) -> tuple[str, str] | None:
    """The first reason why no GPU can be seen, and what to do; None when one may be."""
    if built is None:
        return "nothing in the image is for GPUs", "install a CUDA build of what the image computes with"
    if built.why:
        return built.why, "install a CUDA build: see the index of the framework, such as cu126 of torch"
    if hidden:
        return (
            f"the image hides GPUs: {hidden}",
            f"take {hidden.partition('=')[0]} out of the image's variables",
        )
    return _machine(here) or _driver(built, here)


def _machine(here: gpus.Machine) -> tuple[str, str] | None:
    if not here.gpus:
        if here.driver:
            return (
                f"this machine has the driver {here.driver}, but no GPU's device file (/dev/nvidia0)",
                "run `nvidia-modprobe -u -c=0` or nvidia-smi as root once: they make the device files",
            )
        return "there is no NVIDIA GPU on this machine (no /dev/nvidia0)", "run this on a machine with a GPU"
    if "libcuda.so.1" not in here.libraries:
        return (
            f"this machine has {len(here.gpus)} GPU, but its driver's libraries are not to be found (libcuda.so.1)",
            "install the driver's libraries for programs, such as libcuda1 or nvidia-utils, and run ldconfig",
        )
    return None


def _driver(built: Built, here: gpus.Machine) -> tuple[str, str] | None:
    needed = facts.driver_minimum(built.cuda) if built.cuda else None
    if needed is not None and facts.driver_runs(here.driver, built.cuda) is False:
        newest = facts.newest_cuda_for(here.driver)
        told = f"; the newest that it runs is CUDA {newest}" if newest else ""
        return (
            f"{built.name} needs CUDA {built.cuda}, whose lowest driver is {needed.driver}; this machine has {here.driver}{told}",
            f"update the driver ({needed.source}), or take a build for CUDA {newest}"
            if newest
            else "update the driver",
        )
    return None


def _answer(subject: Subject, message: str, fix: str) -> Check:
    if subject.spec.gpu_required:
        return failed("cuda", f"a GPU is required: {message}", fix)
    return skipped("cuda", message)


def _torch(subject: Subject, found: Distribution) -> Built:
    """What torch/version.py says, without importing it."""
    _, file = locate(subject.root, f"{found.site}/torch/version.py")
    said = {}
    if file is not None and file.is_file():
        for name, one, other in _ASSIGNED.findall(file.read_text(encoding="utf-8", errors="replace")):
            said[name] = one or other
    name = f"torch {said.get('__version__') or found.version}"
    if said.get("hip"):
        return Built(name, "", f"{name} is built for AMD GPUs (ROCm {said['hip']})")
    if said.get("cuda"):
        return Built(name, said["cuda"])
    if "cuda" in said:
        return Built(name, "", f"{name} is a CPU build")
    return Built(name, _of_label(found.version))


def _of_label(text: str) -> str:
    """`2.6.0+cu124` and `cupy-cuda12x` → `12.4`, `12.0`; empty when the text names no CUDA version."""
    label = re.search(r"\+cu(\d{2,3})$", text)
    if label:
        return f"{label[1][:-1]}.{label[1][-1]}"
    major = re.search(r"cuda(\d{2})x?$", text)
    return f"{major[1]}.0" if major else ""


def _variables(subject: Subject) -> dict[str, str]:
    return dict(str(item).partition("=")[::2] for item in subject.root.settings.get("Env") or [])


def _hidden(variables: dict[str, str]) -> str:
    """The variable that takes all GPUs away: CUDA's own, or the container toolkit's."""
    value = variables.get("CUDA_VISIBLE_DEVICES")
    if value is not None and (not value.strip() or value.strip() in {"-1", "NoDevFiles", "none"}):
        return f"CUDA_VISIBLE_DEVICES={value!r}"
    if variables.get("NVIDIA_VISIBLE_DEVICES", "all").strip() in {"", "none", "void"}:
        return f"NVIDIA_VISIBLE_DEVICES={variables['NVIDIA_VISIBLE_DEVICES']!r}"
    return ""


def _ask(subject: Subject, *, torch: bool) -> dict[str, Any]:
    assert subject.python is not None  # noqa: S101 - judged before
    launch = runtime.Launch(
        entrypoint=(subject.python.program,),
        network="none",
        env={**subject.spec.env, "PYTHONDONTWRITEBYTECODE": "1"},
        gpus=True,
    )
    done = runtime.run(subject.root, ["-c", _PROBE, *(["torch"] if torch else [])], launch, timeout=_TIMEOUT)
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return {
        "count": 0,
        "error": f"the question ended with {done.code}: {last}",
        "names": [],
        "torch": None,
        "torch_error": "",
    }
