"""Models that a project declares: their files are whole, they load, and they compute, in the image itself.

quick looks at files, standard also loads, full also computes. Each model gets a process of the image's own Python,
without a network, with limits of time and memory. The programs that run there are in `inside/`.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.rootfs import locate
from seatrial.images.testing import model_files
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped
from seatrial.images.testing.model_advice import advice, death

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.config.model import Model
    from seatrial.images.testing.python import Python

_INSIDE = "/run/seatrial/seatrial_inside"
# The image's own modules are found as its program finds them, from the working directory; ours hide none of them.
_START = "import sys; sys.path.insert(0, '/run/seatrial'); from seatrial_inside.probe import main; sys.path.pop(0); main()"
_MODELS = "/run/seatrial/models"
# Any one of these makes a model of the kind work.
_NEEDS = {
    "huggingface": (("transformers",), ("torch",)),
    "torch": (("torch",),),
    "torchscript": (("torch",),),
    "safetensors": (("safetensors",),),
    "onnx": (
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "ort-nightly"),
    ),
    "sklearn": (("scikit-learn", "xgboost", "lightgbm", "catboost"),),
}
_MODULES = {"scikit-learn": "sklearn"}
_OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
}  # fmt: skip
_STEPS = {"load": "loading", "forward": "computing"}
_GRACE = 60.0
_MOST_OUTPUT = 1 << 20


class Place(NamedTuple):
    """A model's files: where a program in the image finds them, by name where they lie here, and what to bind."""

    inside: str
    files: Mapping[str, Path]
    binds: tuple[runtime.Bind, ...] = ()


def check(subject: Subject) -> Iterator[Check]:
    """One answer for each model's files, loading (`:load`) and computing (`:forward`)."""
    if not subject.spec.models:
        yield skipped("models", "no model is declared: see images.NAME.test.models in seatrial.yaml")
    for name, model in subject.spec.models.items():
        yield from _one(subject, f"models:{name}", name, model)


def _one(subject: Subject, identifier: str, name: str, model: Model) -> Iterator[Check]:
    here = f"images.NAME.test.models.{name}"
    if subject.python is None:
        yield failed(identifier, f"{name} cannot be loaded: {subject.no_python()}", subject.python_advice())
        return
    if (model.kind == "torch") != (model.object is not None) or (model.kind != "torch" and not model.path):
        wanted = "object: MODULE:NAME" if model.kind == "torch" else "path: FILE"
        other = "" if model.kind == "torch" or model.object is None else ", and no object"
        yield failed(
            identifier,
            f"a model of kind {model.kind} needs `{wanted}`{other}",
            f"add it to {here} in seatrial.yaml",
        )
        return
    absent = _absent(subject, subject.python, model.kind)
    if absent:
        yield failed(
            identifier,
            f"{name} needs {absent}, which is not in the image",
            f"add {absent} to the requirements and lock again",
        )
        return
    place = _place(subject, name, model) if model.path else Place("", {})
    if isinstance(place, str):
        yield failed(
            identifier, place, f"correct {here}.path in seatrial.yaml, or add the files to the image"
        )
        return
    wrong = list(model_files.problems(model.kind, place.files))
    wrong += _version(subject.python, model, place)
    if wrong:
        message = f"{wrong[0][0]}" if len(wrong) == 1 else f"{wrong[0][0]} (and {len(wrong) - 1} more)"
        yield failed(identifier, f"{name}: {message}", wrong[0][1], [text for text, _ in wrong[1:]])
        return
    count = len(place.files)
    files = "1 file is there" if count == 1 else f"{count} files are there"
    yield passed(identifier, files if count else f"{model.object} is declared")
    if subject.at_least("standard"):
        yield from _run(subject, subject.python, identifier, model, place)


def _absent(subject: Subject, python: Python, kind: str) -> str:
    """A library that the kind needs and the image lacks; also those without metadata count."""
    installed = {one.name for one in python.distributions}
    for group in _NEEDS[kind]:
        if installed.isdisjoint(group):
            ends = tuple(f"/{_MODULES.get(name, name.replace('-', '_'))}/__init__.py" for name in group)
            if not any(path.endswith(ends) for path in subject.tree):
                return group[0]
    return ""


def _place(subject: Subject, name: str, model: Model) -> Place | str:
    """Where the model lies: in the image, else in the project; or a sentence that it does not."""
    path = model.path or ""
    wanted = path if path.startswith("/") else f"{subject.root.settings.get('WorkingDir') or '/'}/{path}"
    inside, found = locate(subject.root, wanted)
    if found is not None:
        files = {Path(inside).name: found} if found.is_file() else _in_image(subject, inside)
        return Place(inside, files) if files else f"{inside} in the image is empty"
    if path.startswith("/"):
        return f"{path} is not in the image"
    source = Path(subject.spec.folder, path)
    if not source.exists():
        return f"{path} is neither in the image ({inside}) nor in the project"
    target = f"{_MODELS}/{name}/{source.name or 'model'}"
    if source.is_file():
        return Place(target, {source.name: source}, (runtime.Bind(str(source.resolve()), target),))
    files = {str(one.relative_to(source)): one for one in sorted(source.rglob("*")) if one.is_file()}
    if not files:
        return f"{source} is empty"
    if any(one.is_symlink() for one in source.rglob("*")):
        # Links into a cache beside it lead nowhere in the image: what they lead to is shown in their place.
        binds = tuple(runtime.Bind(str(one.resolve()), f"{target}/{key}") for key, one in files.items())
    else:
        binds = (runtime.Bind(str(source.resolve()), target),)
    return Place(target, files, binds)


def _in_image(subject: Subject, folder: str) -> dict[str, Path]:
    start = folder.strip("/") + "/"
    names = [
        path for path, (_, entry) in subject.tree.items() if path.startswith(start) and entry.kind != "d"
    ]
    places = {name.removeprefix(start): locate(subject.root, f"/{name}")[1] for name in names}
    return {name: place for name, place in places.items() if place is not None and place.is_file()}


def _version(python: Python, model: Model, place: Place) -> list[model_files.Problem]:
    """A scikit-learn model was fitted with the release that the image has: others may load it and answer wrongly."""
    if model.kind != "sklearn":
        return []
    installed = next((one.version for one in python.distributions if one.name == "scikit-learn"), "")
    fitted = model_files.fitted_with(next(iter(place.files.values())))
    if not installed or not fitted or fitted.split(".")[:2] == installed.split(".")[:2]:
        return []
    text = f"it was fitted with scikit-learn {fitted}, and the image has {installed}"
    return [
        (text, f"pin scikit-learn=={fitted} in the requirements, or fit the model again with {installed}")
    ]


def _run(subject: Subject, python: Python, identifier: str, model: Model, place: Place) -> Iterator[Check]:
    binds = [*place.binds, runtime.Bind(str(Path(__file__).with_name("inside")), _INSIDE)]
    inputs = []
    for number, one in enumerate(model.inputs):
        described: dict[str, Any] = {
            "name": one.name,
            "dtype": one.dtype,
            "shape": one.shape,
            "below": one.below,
        }
        if one.file is not None:
            source = Path(subject.spec.folder, one.file)
            if not source.is_file():
                yield failed(
                    identifier,
                    f"{one.file} is not in the project",
                    "correct `file` of the input in seatrial.yaml",
                )
                return
            described["file"] = f"{_MODELS}/inputs/{number}.json"
            binds.append(runtime.Bind(str(source.resolve()), described["file"]))
        inputs.append(described)
    order = {
        "kind": model.kind, "path": place.inside, "object": model.object or "", "args": model.args, "inputs": inputs,
        "features": model.features, "dimensions": model.dimensions, "random": model.random, "own_code": model.own_code,
        "weights": model_files.has_weights(place.files), "forward": subject.at_least("full"), "timeout": model.timeout,
    }  # fmt: skip
    launch = runtime.Launch(
        entrypoint=(python.program,),
        network="none",
        env={**subject.spec.env, **_OFFLINE},
        binds=tuple(binds),
        memory=_memory(model.memory),
        # The program's threads and helpers are reaped, and its end is not waited for by anyone.
        init=True,
    )
    answers, code, said = _ask(subject, launch, order)
    yield from _answers(identifier, model, answers, code, said)


def _ask(
    subject: Subject, launch: runtime.Launch, order: dict[str, Any]
) -> tuple[list[dict[str, Any]], int, str]:
    """What the program answered, its exit code and what else it said."""
    import subprocess

    steps = 2 if order["forward"] else 1
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        asked.write(json.dumps(order).encode())
        asked.seek(0)
        command = ["-u", "-c", _START]
        with runtime.start(subject.root, command, launch, stdin=asked, stdout=out, stderr=err) as process:
            try:
                code = process.wait(steps * order["timeout"] + _GRACE)
            except subprocess.TimeoutExpired:
                code = -1
        out.seek(0)
        err.seek(0)
        lines = out.read(_MOST_OUTPUT).decode(errors="replace").splitlines()
        said = err.read(_MOST_OUTPUT).decode(errors="replace").strip()
    answers = []
    for line in lines:
        try:
            answers.append(json.loads(line))
        except ValueError:
            continue  # a line cut off by the end of the process
    return answers, code, said


def _answers(
    identifier: str, model: Model, answers: list[dict[str, Any]], code: int, said: str
) -> Iterator[Check]:
    begun = ""
    for answer in answers:
        begun = answer.get("start", begun)
        seconds = answer.get("seconds", 0.0)
        if "done" in answer:
            begun = ""
            found = passed(f"{identifier}:{answer['done']}", answer["message"], answer["details"])
        elif "skip" in answer:
            begun = ""
            found = skipped(f"{identifier}:{answer['skip']}", answer["message"])
        elif "fail" in answer:
            begun = ""
            message = answer["message"] + (f" ({answer['place']})" if answer["own"] else "")
            fix = advice(answer["message"], answer["fail"], answer["place"] if answer["own"] else "", model)
            found = failed(f"{identifier}:{answer['fail']}", message, fix, answer["details"])
        else:
            continue
        yield _timed(found, seconds)
    if begun or not answers:
        step = begun or "load"
        message, fix = death(_STEPS[step], code, said, model)
        yield failed(f"{identifier}:{step}", message, fix, said.splitlines()[-12:])


def _timed(found: Check, seconds: float) -> Check:
    import msgspec

    return msgspec.structs.replace(found, seconds=seconds)


def _memory(text: str | None) -> int:
    """Bytes; by default three quarters of the machine's, so that a model cannot take the machine with it."""
    if text is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    from seatrial.images.cache import parse_size

    try:
        return parse_size(text)
    except SeatrialError as error:
        raise SeatrialError(f"memory: {text!r} is not a size", fix="write it as 512m or 4g") from error
