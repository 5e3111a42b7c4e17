"""`seatrial image why`: a question about one release, answered from facts with their sources."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import json_option, print_json
from seatrial.errors import ANSWER_IS_NO, UsageError

if TYPE_CHECKING:
    from seatrial.images.facts.gpus import Gpu
    from seatrial.images.facts.why import Answer


@click.command(epilog="Example: seatrial image why 'torch==2.7.1' --cuda 11.8 --gpu H100 --driver 535")
@click.argument("requirement")
@click.option("--cuda", metavar="X.Y", default="", help="A CUDA version: 12.6, or cu126.")
@click.option("--python", metavar="X.Y", default="", help="A Python version: 3.12.")
@click.option(
    "--gpu", metavar="NAME", default="", help="A GPU or an AWS instance type: H100, g5.xlarge, sm_90."
)
@click.option("--driver", metavar="VERSION", default="", help="An NVIDIA driver: 535, 535.129.03.")
@click.option(
    "--with", "others", metavar="REQUIREMENT", multiple=True, help="Another release it should go with."
)
@json_option
def why(
    requirement: str, cuda: str, python: str, gpu: str, driver: str, others: tuple[str, ...], as_json: bool
) -> None:
    """Say whether a release was published for a CUDA, Python, GPU or driver, and goes with others.

    Exit code 1 when the answer is no.
    """
    from seatrial.images.facts.why import Question, answer

    name, version, local = _release(requirement, _python(python))
    pairs = []
    for one in others:
        other, other_version, _ = _release(one, _python(python), exact=False)
        pairs.append((other, other_version))
    question = Question(
        package=name,
        version=version,
        cuda=_cuda(cuda or local),
        python=_python(python),
        gpu=_gpu(gpu),
        driver=_driver(driver),
        others=tuple(pairs),
    )
    found = answer(question)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.answer == "no":
        sys.exit(ANSWER_IS_NO)


def _print(found: Answer) -> None:
    question = found.question
    asked = [f"{question.package}=={question.version}"]
    asked += [f"CUDA {question.cuda}"] if question.cuda else []
    asked += [f"Python {question.python}"] if question.python else []
    asked += [question.gpu.name] if question.gpu else []
    asked += [f"driver {question.driver}"] if question.driver else []
    asked += [f"{name}=={version}" for name, version in question.others]
    out = [f"{found.answer}: {', '.join(asked)}"]
    for reason in found.reasons:
        mark = "" if reason.verdict == "fact" else reason.verdict
        out.append(f"  {mark:<8}{reason.about:<10} {reason.text}")
        if reason.source:
            out.append(f"{'':<21}{reason.source}")
    sys.stdout.write("\n".join(out) + "\n")


def _release(text: str, python: str, *, exact: bool = True) -> tuple[str, str, str]:
    """Name, version and CUDA label of what is asked about; a range or a bare name stands for the newest that fits."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    from seatrial.images.facts import newest, tracked
    from seatrial.images.versions import pinned

    try:
        wanted = Requirement(text)
    except InvalidRequirement as error:
        raise UsageError(
            f"{text!r} is not a requirement: {str(error).splitlines()[0]}",
            fix="write it as in a requirement file: 'torch==2.7.1'",
        ) from error
    name = canonicalize_name(wanted.name)
    if name not in tracked() and exact:
        raise UsageError(f"there are no facts about {name}", fix=_similar(name, tracked()))
    pin = pinned(wanted.specifier)
    if pin is not None:
        version, _, local = pin.partition("+")
        return name, version, local if local.startswith("cu") else ""
    chosen = newest(name, str(wanted.specifier), python)
    if chosen is None:
        raise UsageError(
            f"no release of {name} in the tables fits {text!r}" + (f" on Python {python}" if python else ""),
            fix=f"see them with: seatrial image facts show {name}",
        )
    return name, chosen.version, ""


def _similar(name: str, known: frozenset[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{hint}`seatrial image facts list` names the packages"


def _cuda(text: str) -> str:
    from seatrial.images.facts import version_of

    if not text:
        return ""
    version = version_of(text)
    if not version.replace(".", "", 1).isdecimal() or "." not in version:
        raise UsageError(f"{text!r} is not a CUDA version", fix="write it as 12.6 or cu126")
    return version


def _python(text: str) -> str:
    if not text:
        return ""
    parts = text.removeprefix("py").removeprefix("cp").split(".")
    if len(parts) == 1 and parts[0].isdecimal() and len(parts[0]) > 1:
        parts = [parts[0][:1], parts[0][1:]]
    if len(parts) not in (2, 3) or not all(one.isdecimal() for one in parts):
        raise UsageError(f"{text!r} is not a Python version", fix="write it as 3.12")
    return f"{parts[0]}.{parts[1]}"


def _driver(text: str) -> str:
    if text and not all(one.isdecimal() for one in text.split(".")):
        raise UsageError(f"{text!r} is not a driver version", fix="write it as 535 or 535.129.03")
    return text


def _gpu(text: str) -> Gpu | None:
    import difflib

    from seatrial.images.facts import gpu, gpu_names, instance

    if not text:
        return None
    machine = instance(text)
    found = machine.gpu if machine else gpu(text)
    if found is None:
        near = difflib.get_close_matches(text.lower(), gpu_names(), n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"the GPU {text!r} is not known", fix=f"{hint}a compute capability such as 9.0 or sm_90 also does"
        )
    return found
