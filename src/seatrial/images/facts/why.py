"""Answers a question about a release from the facts: was it published, for what, and does it go with the rest?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.images.facts.cuda import (
    build_for,
    driver_minimum,
    driver_runs,
    gpu_support,
    newest_cuda_for,
)
from seatrial.images.facts.flash_attn import (
    flash_attn_source,
    flash_attn_url,
    flash_attn_versions,
    flash_attn_wheels,
)
from seatrial.images.facts.pairing import built_with, clashes, ended, libraries, pairs_of
from seatrial.images.facts.published import Release, needs, pythons, release, releases
from seatrial.images.facts.torch import (
    COMPANIONS,
    builds_complete,
    companions,
    cxx11_abi,
    label,
    torch_build,
    torch_builds,
    torch_of,
    torch_of_source,
    torch_releases_with,
)
from seatrial.images.facts.versions import fits, key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.facts.gpus import Gpu

Verdict = Literal["yes", "no", "unknown", "fact"]
_ORDER = ("no", "unknown", "yes", "fact")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A release, and what it should go with; what is empty is not asked.

    `cuda` is `12.6`, `python` `3.12`, `driver` `535` or longer, `others` are releases as (package, version).
    """

    package: str
    version: str
    cuda: str = ""
    python: str = ""
    gpu: Gpu | None = None
    driver: str = ""
    others: tuple[tuple[str, str], ...] = ()


class Reason(msgspec.Struct, frozen=True):
    """One part of an answer: what it is about, what holds, and where it is written. `fact` decides nothing."""

    verdict: Verdict
    about: str
    text: str
    source: str = ""


class Answer(msgspec.Struct, frozen=True):
    """`no` when one reason is no; else `unknown` when one is; else `yes`."""

    question: Question
    answer: Literal["yes", "no", "unknown"]
    reasons: tuple[Reason, ...]


def answer(question: Question) -> Answer:
    """Answer from the tables alone."""
    one = release(question.package, question.version)
    found = _unpublished(question) if one is None else _reasons(question, one)
    reasons = tuple(sorted(found, key=lambda reason: _ORDER.index(reason.verdict)))
    verdicts = {reason.verdict for reason in reasons}
    total: Literal["yes", "no", "unknown"] = (
        "no" if "no" in verdicts else "unknown" if "unknown" in verdicts else "yes"
    )
    return Answer(question, total, reasons)


def _reasons(question: Question, one: Release) -> Iterator[Reason]:
    yield _published(question, one)
    over = ended(question.package, question.version)
    if over is not None:
        yield Reason("no" if over.severity == "error" else "fact", "end", over.how, over.source)
    yield from _python(question, one)
    if question.package == "torch":
        yield from _torch_cuda(question)
    elif question.package == "flash-attn":
        yield from _flash_attn(question)
    else:
        yield from _other_cuda(question)
    yield from _hardware(question)
    yield from _belonging(question, one)
    for name, version in question.others:
        yield from _together(question, one, name, version)


def _page(package: str, version: str) -> str:
    return f"https://pypi.org/project/{package}/{version}/"


def _unpublished(question: Question) -> Iterator[Reason]:
    from seatrial.images.facts.published import table

    known = table(question.package)
    newest = releases(question.package)[0].version
    if known is None or _newer(question.version, newest) or _unlisted(question.version):
        text = f"{question.package} {question.version} is not in the tables; the newest there is {newest}"
        yield Reason("unknown", "release", f"{text} (run `seatrial image facts refresh --write`)")
        return
    near = ", ".join(_near(question.package, question.version))
    text = f"{question.package} {question.version} was never published; near it are {near}"
    yield Reason("no", "release", text, known.source)


def _newer(version: str, newest: str) -> bool:
    return fits(version, f">{newest}")


def _unlisted(version: str) -> bool:
    """Pre-releases and local builds are not in the tables."""
    from packaging.version import Version

    one = Version(version)
    return one.is_prerelease or one.is_devrelease


def _near(package: str, version: str) -> list[str]:
    known = [one.version for one in releases(package)]
    below = [one for one in known if fits(one, f"<{version}")][:2]
    above = [one for one in known if fits(one, f">{version}")][-2:]
    return [*above, *below]


def _published(question: Question, one: Release) -> Reason:
    text = (
        f"{question.package} {one.version} was published on {one.uploaded}" if one.uploaded else "published"
    )
    if one.only_sdist:
        text += ", as source only: installing it compiles it"
    if one.yanked is not None:
        text += f", and withdrawn (yanked){': ' + one.yanked if one.yanked else ''}"
    return Reason("fact", "release", text, _page(question.package, one.version))


def _python(question: Question, one: Release) -> Iterator[Reason]:
    known = pythons(question.package, one.version) or ()
    page = _page(question.package, one.version)
    if not question.python:
        if known:
            yield Reason("fact", "python", f"wheels for Python {', '.join(known)}", page)
        return
    if question.python in known:
        yield Reason("yes", "python", f"there is a wheel for Python {question.python}", page)
    elif one.python and not fits(question.python + ".99", one.python):
        yield Reason("no", "python", f"it wants Python {one.python}, not {question.python}", page)
    elif question.package == "flash-attn" and flash_attn_wheels(one.version):
        return  # its wheels are elsewhere
    elif one.sdist:
        yield Reason(
            "unknown", "python", f"no wheel for Python {question.python}: it would be compiled", page
        )
    else:
        have = f"only for {', '.join(known)}" if known else "there is none for Linux on x86-64 at all"
        yield Reason("no", "python", f"there is no wheel for Python {question.python}: {have}", page)


def _torch_cuda(question: Question) -> Iterator[Reason]:
    builds = torch_builds(question.version)
    if builds is None:
        yield Reason("unknown" if question.cuda else "fact", "cuda", "its CUDA builds are not known")
        return
    source = builds[0].sources[0]
    tags = ", ".join(one.tag + (" (the default)" if one.default else "") for one in builds)
    if not question.cuda:
        yield Reason(
            "fact",
            "cuda",
            f"published for {tags}; others than the default from {_index(builds[0].index)}",
            source,
        )
        return
    wanted = torch_build(question.version, question.cuda)
    if wanted is not None:
        how = "it is the default build" if wanted.default else f"install it with --index-url {wanted.index}"
        yield Reason("yes", "cuda", f"there is a build for CUDA {wanted.cuda}: {how}", source)
    elif builds_complete(question.version):
        with_it = torch_releases_with(question.cuda)
        hint = f"; torch {_few(with_it)} have one" if with_it else ""
        yield Reason(
            "no", "cuda", f"there is no build for CUDA {question.cuda}: published for {tags}{hint}", source
        )
    else:
        yield Reason(
            "unknown", "cuda", f"a build for CUDA {question.cuda} is not known; known are {tags}", source
        )


def _index(index: str) -> str:
    return index.rsplit("/", 1)[0] + "/TAG"


def _few(versions: tuple[str, ...], count: int = 4) -> str:
    return ", ".join(versions[:count]) + (" …" if len(versions) > count else "")


def _other_cuda(question: Question) -> Iterator[Reason]:
    known, built = (
        libraries(question.package, question.version),
        built_with(question.package, question.version),
    )
    cuda = known.cuda if known else built.cuda if built else ""
    source = known.source if known else built.source if built else ""
    if known:
        yield Reason("fact", "libraries", f"built for CUDA {known.cuda} and cuDNN {known.cudnn}", source)
    elif built:
        yield Reason("fact", "libraries", f"compiled with torch {built.torch} and CUDA {built.cuda}", source)
    if not question.cuda:
        return
    if not cuda:
        yield Reason("unknown", "cuda", "the CUDA version it was built for is not known")
    elif cuda.split(".")[0] == question.cuda.split(".")[0]:
        yield Reason("yes", "cuda", f"CUDA {cuda} and {question.cuda} are of the same major version", source)
    else:
        yield Reason("no", "cuda", f"it was built for CUDA {cuda}, which is not {question.cuda}", source)


def _flash_attn(question: Question) -> Iterator[Reason]:
    wheels = flash_attn_wheels(question.version)
    torch = dict(question.others).get("torch", "")
    if wheels is None:
        yield Reason("unknown", "wheels", "its prebuilt wheels are not known: it may have to be compiled")
        return
    minors = ", ".join(wheels.torch_minors)
    text = f"prebuilt wheels for torch {minors}, CUDA {', '.join(wheels.cuda)}, Python {', '.join(wheels.pythons)}"
    yield Reason("fact", "wheels", text, flash_attn_source())
    if not torch:
        return
    build = torch_build(torch, question.cuda)
    cuda = build.cuda if build else question.cuda
    if not cuda:
        yield Reason("unknown", "wheels", f"the CUDA version of torch {torch} is not known: ask with --cuda")
        return
    if wheels.cuda_for(torch, cuda, question.python) is None:
        other = flash_attn_versions(torch, cuda, question.python)
        hint = f"; flash-attn {_few(other)} have one" if other else ""
        yield Reason(
            "no", "wheels", f"no prebuilt wheel for torch {torch} with CUDA {cuda}{hint}", flash_attn_source()
        )
        return
    yield Reason("yes", "wheels", _flash_address(question, torch, cuda), flash_attn_source())


def _flash_address(question: Question, torch: str, cuda: str) -> str:
    abi = cxx11_abi(torch, cuda)
    url = None
    if question.python and abi is not None:
        url = flash_attn_url(question.version, torch, cuda, question.python, abi=abi)
    return f"there is a prebuilt wheel for torch {torch} with CUDA {cuda}" + (f": {url}" if url else "")


def _hardware(question: Question) -> Iterator[Reason]:
    cuda = _cuda_of(question)
    if question.driver:
        yield _driver(question, cuda)
    elif cuda and (needed := driver_minimum(cuda)):
        yield Reason("fact", "driver", f"CUDA {cuda} needs driver {needed.driver} or later", needed.source)
    if question.gpu is not None:
        yield _gpu(question, question.gpu, cuda)


def _cuda_of(question: Question) -> str:
    """The CUDA version that decides about driver and GPU: the one asked for, else the one of the default wheel."""
    if question.cuda:
        return question.cuda
    build = torch_build(question.version) if question.package == "torch" else None
    if build is not None:
        return build.cuda
    known, built = (
        libraries(question.package, question.version),
        built_with(question.package, question.version),
    )
    return known.cuda if known else built.cuda if built else ""


def _driver(question: Question, cuda: str) -> Reason:
    needed = driver_minimum(cuda) if cuda else None
    runs = driver_runs(question.driver, cuda) if cuda else None
    if needed is None or runs is None:
        return Reason("unknown", "driver", "which driver it needs is not known")
    if runs:
        return Reason(
            "yes",
            "driver",
            f"driver {question.driver} runs CUDA {cuda}, which needs {needed.driver}",
            needed.source,
        )
    newest = newest_cuda_for(question.driver)
    hint = f"; CUDA {newest} is the newest for that driver" if newest else ""
    text = f"CUDA {cuda} needs driver {needed.driver} or later, not {question.driver}{hint}"
    return Reason("no", "driver", text, needed.source)


def _gpu(question: Question, gpu: Gpu, cuda: str) -> Reason:
    if question.package != "torch" or not cuda:
        return Reason("unknown", "gpu", f"whether it runs on {gpu.name} is not known")
    found = gpu_support(question.version, cuda, gpu.capability, arm=gpu.arm)
    text = f"{gpu.name} (compute capability {gpu.capability}): {found.reason}"
    if found.runs is None or not found.verified:
        return Reason("unknown", "gpu", text, found.source)
    if found.runs:
        return Reason("yes", "gpu", text, found.source)
    return Reason("no", "gpu", text + _gpu_hint(question, gpu), found.source)


def _gpu_hint(question: Question, gpu: Gpu) -> str:
    """Another build of that release that runs there, else the newest release that has one."""
    other = build_for(question.version, gpu.capability)
    if other:
        return f"; the build {label(other)} does"
    for one in releases("torch"):
        other = build_for(one.version, gpu.capability)
        if other:
            return f"; torch {one.version} does, in its build {label(other)}"
    return ""


def _belonging(question: Question, one: Release) -> Iterator[Reason]:
    """What goes with it, as far as it is not asked."""
    page = _page(question.package, one.version)
    asked = {name for name, _ in question.others}
    if question.package == "torch":
        for name, versions in companions(one.version).items():
            if versions and name not in asked:
                yield Reason("fact", "with", f"{name} {_few(versions)}", _page(name, versions[0]))
        return
    if question.package in COMPANIONS:
        wanted = torch_of(question.package, one.version)
        if wanted and "torch" not in asked:
            yield Reason("fact", "with", f"torch {wanted}", torch_of_source(question.package, one.version))
    elif one.requires:
        always = [line for line in one.requires if ";" not in line]
        if always:
            yield Reason("fact", "requires", ", ".join(always), page)
    for row in pairs_of(question.package, one.version):
        if row.other not in asked and row.verified and row.severity != "note":
            yield Reason("fact", "with", f"{row.other} {row.needs}, else {row.how}", row.source)


def _together(question: Question, one: Release, name: str, version: str) -> Iterator[Reason]:
    """Whether two releases go together: by what they were made for, by their metadata, and by what else is known."""
    both = f"{question.package} {one.version} with {name} {version}"
    other = release(name, version)
    rows = clashes(question.package, one.version, name, version)
    found = [
        Reason(_weight(row.severity, verified=row.verified), "with", f"{both}: {row.how}", row.source)
        for row in rows
    ]
    for left, right in ((one, other), (other, one)):
        if left is not None and right is not None:
            names = (question.package, name) if left is one else (name, question.package)
            said = {reason.source for reason in found if reason.verdict == "no"}
            wanted = _wanted(left, right, *names, question.python)
            found += [reason for reason in wanted if reason.source not in said]
    if other is None and not found:
        found.append(Reason("unknown", "with", f"{name} {version} is not in the tables"))
    if not any(reason.verdict != "fact" for reason in found):
        found.append(Reason("fact", "with", f"{both}: nothing is known against it"))
    yield from found


def _weight(severity: str, *, verified: bool) -> Verdict:
    if severity == "error" and verified:
        return "no"
    return "unknown" if severity == "warning" else "fact"


def _wanted(left: Release, right: Release, name: str, other: str, python: str) -> list[Reason]:
    if name in COMPANIONS and other == "torch":
        wanted, source = torch_of(name, left.version) or "", torch_of_source(name, left.version)
    else:
        said = needs(left, other, python=python or "3.11")
        wanted, source = "" if said is None else str(said), _page(name, left.version)
    if not wanted:
        return []
    text = f"{name} {left.version} is made for {other} {wanted}"
    if fits(key(right.version), wanted):
        return [Reason("yes", "with", text, source)]
    return [Reason("no", "with", f"{text}, not {right.version}", source)]
