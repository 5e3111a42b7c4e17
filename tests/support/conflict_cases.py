"""Reports of dependency conflicts, turned into the files of a project that has the conflict.

`convert` knows no report: it reads the keys of a setup (`base`, `python`, `cuda`, `packages`, `dockerfile`, `env`, …)
and writes the Dockerfile and the requirement files that a user with that setup would have. What a setup does not say
stays open: a base without a tag gets `ARG TAG`, no base at all `ARG BASE`. What cannot stand in a file is `Inexpressible`.

The reports are not part of this repository; SEATRIAL_CASES names the folder that has them.

    python -m support.conflict_cases C001          print the files of a report
    python -m support.conflict_cases --write DIR   write the files of all reports
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from support.conflict_words import Inexpressible, Wanted, index_url, read_wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REPORTS = "dependency_conflicts.jsonl"
FROZEN = Path(__file__).parents[1] / "images" / "conflicts" / "frozen.json"

# Served by the PyTorch index once per variant, under the same version number.
_TORCH_FAMILY = {"torch", "torchvision", "torchaudio", "torchtext", "torchcodec"}
# Python of an Ubuntu release. Source: https://packages.ubuntu.com/python3.
_UBUNTU_PYTHON = {"18.04": "3.6", "20.04": "3.8", "22.04": "3.10", "24.04": "3.12"}
_REFERENCE = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9._-]+)*(:[\w.-]+)?")
_INSTRUCTION = re.compile(r"(FROM|RUN|COPY|ADD|ENV|ARG|WORKDIR|USER|CMD|ENTRYPOINT|SHELL) ")
_RELEASES = "https://github.com/Dao-AILab/flash-attention/releases/download"


class Tree(msgspec.Struct, frozen=True):
    """The files of a project by relative path, and what it is to run on: `gpu`, `driver`, `driver_cuda`, `python`."""

    files: dict[str, str]
    target: dict[str, str] = {}


class Base(msgspec.Struct, frozen=True):
    """Lines up to and with FROM, and what follows it at once."""

    lines: tuple[str, ...]
    reference: str = ""
    after: tuple[str, ...] = ()


def convert(setup: Mapping[str, Any]) -> Tree | Inexpressible:
    """The files that a user with this setup has."""
    if "host" in setup:
        return Inexpressible("a library of the host is not in any file")
    wanted = [read_wanted(name, text) for name, text in setup.get("packages", {}).items()]
    for one in wanted:
        if isinstance(one, Inexpressible):
            return one
    packages = [one for one in wanted if isinstance(one, Wanted)]
    base = _base(setup)
    variables = _variables(setup.get("env", ""))
    for part in (base, variables):
        if isinstance(part, Inexpressible):
            return part
    assert isinstance(base, Base)
    assert isinstance(variables, list)
    own = setup.get("dockerfile", "")
    if not (packages or own or variables or base.reference):
        return Inexpressible("neither a base nor a package is named")
    steps, files = _installs(setup, [one for one in packages if not _mentions(own, one.name)], own=bool(own))
    if any("{python}" in text for text in files.values()) or any("{python}" in step for step in steps):
        return Inexpressible("a prebuilt wheel is named without the Python that it is for")
    if base.lines[0] != "ARG BASE" or len(steps) > 1 or own or variables or _dockerfile(setup)[1]:
        lines = _lines(setup, base, variables, steps, files)
        files = {_dockerfile(setup)[0]: "\n".join(lines) + "\n", **files}
    target = {key: str(setup[key]) for key in ("gpu", "driver", "driver_cuda", "python") if key in setup}
    return Tree(files, target)


def digest(tree: Tree) -> str:
    """sha256 over the sorted paths, the texts and the target."""
    data = json.dumps([sorted(tree.files.items()), sorted(tree.target.items())], ensure_ascii=True)
    return hashlib.sha256(data.encode()).hexdigest()


def confirmed(status: str) -> bool:
    """Whether a report's fix was confirmed where it was reported.

    Yes where it was merged or committed, where a maintainer or the reporter said so, or where it was verified against
    releases. No where the fix, or a detail of it, was inferred, derived, only proposed or linked, or taken back; an open
    pull request, a closed or stale issue and a label confirm nothing.
    """
    if re.search(r"inferred|derived|proposed|suggest|link|stale|open|revers", status):
        return False
    return bool(re.search(r"merged|fixing commit|maintainer|confirmed|verified", status))


def reports(folder: Path) -> dict[str, dict[str, Any]]:
    """The reports in a folder by their id."""
    lines = (folder / REPORTS).read_text(encoding="utf-8").splitlines()
    return {one["id"]: one for one in map(json.loads, lines)}


def frozen() -> dict[str, dict[str, Any]]:
    """What was decided about each report before there was a rule; see `tests/images/conflicts/README.md`."""
    decided: dict[str, dict[str, Any]] = json.loads(FROZEN.read_text(encoding="utf-8"))
    return decided


def write(tree: Tree, folder: Path) -> None:
    """Write the files; the target goes to `target.json` beside them."""
    for path, text in tree.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _lines(
    setup: Mapping[str, Any], base: Base, variables: list[str], steps: list[str], files: Mapping[str, str]
) -> list[str]:
    own = _own_lines(setup.get("dockerfile", ""))
    text = "\n".join([*own, *steps])
    uses_pip = bool(re.search(r"\bpip3?\b", text))
    head = [*base.lines, *base.after]
    if own and own[0].startswith("FROM "):
        head = ["ARG TAG", *own[:1]] if "${TAG}" in own[0] else own[:1]
        own = own[1:]
    stage = _dockerfile(setup)[1]
    if stage:
        head = [f"{line} AS {stage}" if line.startswith("FROM ") else line for line in head]
    python = _system_python(base.reference, str(setup.get("python", ""))) if uses_pip else []
    body = [*variables, *own, *(step for step in steps if not _repeats(step, own))]
    return [*head, *python, *_with_copies(body, files)]


def _repeats(step: str, own: list[str]) -> bool:
    """Whether the given Dockerfile already reads the file that a step of ours would read."""
    file = re.search(r"-r (\S+)", step)
    return bool(file) and any(f"-r {file.group(1)}" in line for line in own if file)


def _with_copies(body: list[str], files: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for line in body:
        used = re.search(r"-r (\S+)", line)
        if used and used.group(1) in files and not any(used.group(1) in one for one in lines):
            lines.append(f"COPY {used.group(1)} .")
        lines.append(line)
    return lines


def _own_lines(text: str) -> list[str]:
    """The lines of a given Dockerfile: `...` stands for left-out text, `.../x` for the PyTorch index of x."""
    text = re.sub(r"\.\.\./(cu\d{3}|cpu)", lambda found: index_url(found.group(1)), text)
    text = text.replace("<tag>", "${TAG}")
    lines = [line.strip() for line in re.split(r"\n|\s\.\.\.(?=\s|$)|^\.\.\.$", text, flags=re.MULTILINE)]
    kept = [line for line in lines if line and line != "..."]
    return [line if _INSTRUCTION.match(line) else f"RUN {line}" for line in kept]


def _base(setup: Mapping[str, Any]) -> Base | Inexpressible:
    text = str(setup.get("base", setup.get("image", "")))
    given = re.search(r"^\s*FROM (\S+)", str(setup.get("dockerfile", "")), re.MULTILINE)
    if given:
        return Base((f"FROM {given.group(1)}",), given.group(1))
    cuda = re.fullmatch(r"CUDA (\d+\.\d+)( image)?", re.sub(r"\s*\(.*\)", "", text))
    if cuda or (not text and "cuda" in setup):
        return _cuda(cuda.group(1) if cuda else str(setup["cuda"]), str(setup.get("python", "")))
    conda = any(str(value).startswith("conda ") for value in setup.get("packages", {}).values())
    if not text and "python" in setup and not conda:
        reference = f"python:{setup['python']}-slim"
        return Base((f"FROM {reference}",), reference)
    if not text:
        return Base(("ARG BASE", "FROM ${BASE}"))
    return _named_base(text)


def _named_base(text: str) -> Base | Inexpressible:
    text, _, rest = (part.strip() for part in text.partition(" + "))
    text = re.sub(r"\s*\([^)]*\)", "", text).removesuffix("+").strip()
    if "->" in text:
        return Inexpressible("the base is a change from one to another")
    if not _REFERENCE.fullmatch(text):
        return Inexpressible("the base is described in words, no image is named")
    after = (f"{rest} / /" if re.fullmatch(r"COPY --from=\S+", rest) else rest,) if rest else ()
    if ":" in text:
        return Base((f"FROM {text}",), text, after)
    return Base(("ARG TAG", f"FROM {text}:${{TAG}}"), text, after)


def _cuda(version: str, python: str) -> Base:
    """The first release of a CUDA toolkit, on the Ubuntu that has the Python, else on 22.04."""
    ubuntu = next((one for one, own in _UBUNTU_PYTHON.items() if own == python), "22.04")
    reference = f"nvidia/cuda:{version}.0-devel-ubuntu{ubuntu}"
    return Base((f"FROM {reference}",), reference)


def _system_python(reference: str, python: str) -> list[str]:
    """CUDA's own images have no Python: the distribution's, or another one from deadsnakes in an environment."""
    if not reference.startswith("nvidia/cuda"):
        return []
    found = re.search(r"ubuntu(\d\d\.\d\d)", reference)
    ubuntu = found.group(1) if found else ""
    own = _UBUNTU_PYTHON.get(ubuntu, "")
    if python in ("", own) and ubuntu < "24.04":
        return ["RUN apt-get update && apt-get install -y python3 python3-pip && rm -rf /var/lib/apt/lists/*"]
    name = "python3" if python in ("", own) else f"python{python}"
    source = (
        ""
        if python in ("", own)
        else (
            "apt-get install -y software-properties-common && add-apt-repository -y ppa:deadsnakes/ppa && "
            "apt-get update && "
        )
    )
    return [
        "ENV DEBIAN_FRONTEND=noninteractive",
        f"RUN apt-get update && {source}apt-get install -y {name} {name}-venv && {name} -m venv /opt/venv",
        "ENV PATH=/opt/venv/bin:$PATH",
    ]


def _variables(text: str) -> list[str] | Inexpressible:
    if not text:
        return []
    found = re.fullmatch(r"([A-Z_]+)\s*(\+?=)\s*(\S+)", text)
    if found is None:
        return Inexpressible("what is said of the environment is not a variable")
    name, operator, value = found.groups()
    value = re.sub(r":\.\.\.$", f":${{{name}}}", value)
    return [f"ENV {name}=${{{name}}}:{value}" if operator == "+=" else f"ENV {name}={value}"]


def _installs(
    setup: Mapping[str, Any], packages: list[Wanted], *, own: bool
) -> tuple[list[str], dict[str, str]]:
    """The commands that install, and the requirement files that they read.

    A package of a named PyTorch index is installed with that index by a command of its own, before the rest. A local
    version label alone needs no command of its own: the index goes into the requirement file, unless that would give
    the label to a library of PyTorch that was asked for without one.
    """
    pip = "uv pip install --system" if setup.get("tool") == "uv" else "pip install"
    ordered = [one for one in packages if one.before]
    if ordered:
        rest = [one for one in packages if one not in ordered]
        return [f"RUN {pip} {_word(one.request)}" for one in (*ordered, *rest)], {}
    mixed = _mixed(packages)
    apart = [one for one in packages if not one.file and (one.variant or (mixed and one.label))]
    conda = [one for one in packages if one.conda]
    late = [one for one in packages if one.own_step]
    listed = [one for one in packages if one not in (*apart, *conda, *late)]
    steps = [_conda(conda, setup)] if conda else []
    variants = dict.fromkeys(one.variant or one.label for one in apart)
    for variant in variants:
        words = " ".join(_word(one.request) for one in apart if (one.variant or one.label) == variant)
        steps.append(f"RUN {pip} {words} --index-url {index_url(variant)}")
    if conda and not own:
        return [*steps, *(f"RUN {pip} {_word(one.request)}" for one in listed)], {}
    files = _files(setup, listed)
    flags = _image_index(setup)
    steps += [f"RUN {pip} -r {file}{flags}" for file in files]
    return [*steps, *(f"RUN {pip} {_word(one.request)}" for one in late)], files


def _mixed(packages: Iterable[Wanted]) -> bool:
    family = [one for one in packages if one.name in _TORCH_FAMILY]
    return any(one.label for one in family) and not all(one.label for one in family)


def _conda(packages: list[Wanted], setup: Mapping[str, Any]) -> str:
    python = f"python={setup['python']} " if "python" in setup else ""
    names = " ".join("pytorch" if one.name == "torch" else one.name for one in packages)
    extra = " ".join(word for one in packages for word in one.conda if word != names)
    return f"RUN conda install -y {python}{names} {extra} -c pytorch -c nvidia"


def _files(setup: Mapping[str, Any], listed: list[Wanted]) -> dict[str, str]:
    files: dict[str, list[str]] = {}
    for one in listed:
        lines = files.setdefault(one.file or str(setup.get("file", "requirements.txt")), [])
        if one.wheel:
            lines.append(_wheel(one, str(setup.get("python", "{python}"))))
            continue
        line_index = f" --index-url {one.line_index}" if one.line_index else ""
        lines += [one.request + line_index, *one.companions]
    variants = [str(setup["index"])] if "index" in setup else []
    if not _image_index(setup):
        variants += [one.label for one in listed if one.label]
    indexes = [f"--extra-index-url {index_url(one)}" for one in dict.fromkeys(variants)]
    return {path: "\n".join([*indexes, *lines]) + "\n" for path, lines in files.items()}


def _wheel(one: Wanted, python: str) -> str:
    """A prebuilt file of the project's releases. Source of the form: flash-attention's `setup.py`."""
    tag = "cp" + python.replace(".", "")
    release = one.wheel.partition("+")[0]
    file = f"{one.name.replace('-', '_')}-{one.wheel}-{tag}-{tag}-linux_x86_64.whl"
    return f"{one.name} @ {_RELEASES}/v{release}/{file}"


def _dockerfile(setup: Mapping[str, Any]) -> tuple[str, str]:
    """The name of the Dockerfile and of its stage, where a setup says which one is built."""
    found = re.fullmatch(r"(Dockerfile\S*)(?: (\S+))?", str(setup.get("target", "")))
    return (found.group(1), found.group(2) or "") if found else ("Dockerfile", "")


def _image_index(setup: Mapping[str, Any]) -> str:
    """The index of an image whose Dockerfile is named for a variant, as `Dockerfile.cpu`."""
    variant = _dockerfile(setup)[0].partition(".")[2]
    return f" --extra-index-url {index_url(variant)}" if variant == "cpu" else ""


def _mentions(dockerfile: str, name: str) -> bool:
    return bool(re.search(rf"(?<![\w/.-]){re.escape(name)}(?![\w-])", dockerfile))


def _word(request: str) -> str:
    return f"'{request}'" if re.search(r"[<>*;\[ ]", request) else request


def main(arguments: list[str]) -> int:
    known = reports(Path(os.environ["SEATRIAL_CASES"]))
    if arguments[:1] == ["--write"]:
        for name, report in known.items():
            tree = convert(report["setup"])
            if isinstance(tree, Tree):
                folder = Path(arguments[1]) / name
                write(tree, folder)
                (folder / "target.json").write_text(json.dumps(tree.target, indent=1) + "\n")
        return 0
    for name in arguments or known:
        tree = convert(known[name]["setup"])
        print(f"=== {name}")
        if isinstance(tree, Inexpressible):
            print(f"inexpressible: {tree.why}")
            continue
        for path, text in tree.files.items():
            print(f"--- {path}\n{text}", end="")
        print(f"--- target {json.dumps(tree.target)}\n--- digest {digest(tree)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
