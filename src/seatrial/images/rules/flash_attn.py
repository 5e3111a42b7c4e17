"""image/flash-attn-wheel: the prebuilt wheels of flash-attn, and the one torch, CUDA, Python and C++ ABI that each is for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.facts import builds
from seatrial.images.facts.versions import minor
from seatrial.images.rules.fitting import changed
from seatrial.images.rules.toolkit import forced, toolkit
from seatrial.images.rules.verdict import place, requests, verdict
from seatrial.images.story.model import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from seatrial.findings import Edit, Fix
    from seatrial.images.facts import FlashWheels
    from seatrial.images.rules.verdict import Verdict
    from seatrial.images.story.model import Request
    from seatrial.images.timeline.model import Package, Timeline

RULE = Rule(
    id="image/flash-attn-wheel",
    severity="error",
    title="A wheel of flash-attn does not fit the torch beside it",
    explanation=(
        "The wheels of flash-attn are made for one minor version of torch, one major version of CUDA, one Python and one "
        "C++ ABI; another one does not load. Without an address, its setup.py downloads the wheel for the torch that is "
        "there; where there is none it compiles, which takes hours, and some of those wheels were made with a torch "
        "before its release and fail with the released one. An error where a wheel is named that cannot load or be "
        "installed with any torch that can come; a warning where setup.py finds no wheel, or one that is known to fail, and "
        "another version of flash-attn has one. A note where none has. Nothing is said where the build is asked for "
        "(FLASH_ATTENTION_FORCE_BUILD, MAX_JOBS)."
    ),
    source="https://github.com/Dao-AILab/flash-attention/releases",
    example="torch==2.3.0\nflash-attn==2.5.7\n",
)
RULES = (RULE,)

_FILE = re.compile(
    r"flash_attn-(?P<version>[\w.]+?)(?:\+|%2B)cu(?P<cuda>\d+)torch(?P<torch>\d+\.\d+)"
    r"cxx11abi(?P<abi>TRUE|FALSE)-cp(?P<python>\d+)-cp\d+-",
    re.IGNORECASE,
)


class Wheel(msgspec.Struct, frozen=True):
    """What the file name of a wheel says: `cuda` a major version, `torch` a minor one, `python` as `3.10`."""

    version: str
    cuda: str
    torch: str
    abi: bool
    python: str


def wheel(url: str) -> Wheel | None:
    """Read the name of a prebuilt wheel of flash-attn."""
    found = _FILE.search(url)
    if found is None:
        return None
    python = f"{found['python'][0]}.{found['python'][1:]}"
    return Wheel(found["version"], found["cuda"][:2], found["torch"], found["abi"].upper() == "TRUE", python)


def check(timeline: Timeline) -> list[Verdict]:
    """What each environment says about the flash-attn in it."""
    found: list[Verdict] = []
    for scene in timeline.scenes():
        one, torch = scene.get("flash-attn"), scene.get("torch")
        if one is None or one.request is None:
            continue
        named = wheel(one.request.url) if one.request.url else None
        if named is not None:
            found += _of_file(timeline, scene, one, named, torch)
        elif not one.request.url and torch is not None and one.versions and torch.versions:
            found += _of_version(timeline, scene, one, torch)
    return found


def _of_file(
    timeline: Timeline, scene: Mapping[str, Package], one: Package, named: Wheel, torch: Package | None
) -> Iterator[Verdict]:
    python = timeline.python.version
    if python and python != named.python and one.request is not None:
        yield verdict(
            RULE,
            "error" if one.certain else "warning",
            one.request.at,
            f"this wheel of flash-attn is for Python {named.python}, and the image has {python}",
            about=("flash-attn",),
            cause="pip ends with `is not a supported wheel on this platform`",
            source=facts.flash_attn_source(),
            fixes=[_renamed(one.request, named, named.abi, named.torch, python, "")],
        )
        return
    if torch is None or not torch.versions or "ngc" in torch.variant:
        return
    likely = _why_not(named, torch.likely, torch.variant)
    if not likely:
        return
    variants = {torch.likely: torch.variant}
    sure = one.certain and torch.certain
    sure = sure and all(_why_not(named, each, variants.get(each, "")) for each in torch.versions)
    yield verdict(
        RULE,
        "error" if sure else "warning",
        place(timeline, one),
        f"this wheel of flash-attn {named.version} {likely}",
        about=("flash-attn", "torch"),
        cause="importing it fails with `flash_attn_2_cuda… undefined symbol`",
        source=facts.flash_attn_source(),
        fixes=_file_fixes(timeline, scene, one, named, torch),
    )


def _why_not(named: Wheel, torch: str, variant: str) -> str:
    """What keeps a wheel from loading with a torch; empty where nothing known does."""
    if minor(torch) != named.torch:
        return f"was made for torch {named.torch}, and there will be torch {torch.partition('+')[0]}"
    cuda = variant.removeprefix("cu") if variant.startswith("cu") else ""
    if cuda and cuda[:2] != named.cuda:
        return f"was made for CUDA {named.cuda}, and there is torch {torch.partition('+')[0]} for CUDA {cuda[:2]}"
    abi = facts.cxx11_abi(torch, variant if cuda else "")
    if abi is not None and abi != named.abi:
        words = {True: "the new C++ ABI (cxx11abiTRUE)", False: "the old C++ ABI (cxx11abiFALSE)"}
        return f"was made with {words[named.abi]}, and torch {torch.partition('+')[0]} has {words[abi]}"
    return ""


def _file_fixes(
    timeline: Timeline, scene: Mapping[str, Package], one: Package, named: Wheel, torch: Package
) -> Iterable[Fix | None]:
    """The wheel for the torch that is there; else the wheel's own torch, with the ABI that it has."""
    request = one.request
    if request is None:
        return
    if torch.exact:
        cuda = torch.variant.removeprefix("cu")[:2] if torch.variant.startswith("cu") else named.cuda
        abi = facts.cxx11_abi(torch.exact, torch.variant if torch.variant.startswith("cu") else "")
        good = facts.flash_attn_wheels(named.version)
        if abi is not None and good is not None and good.cuda_for(torch.exact, cuda, named.python):
            yield _renamed(request, named, abi, minor(torch.exact), named.python, cuda)
        for version in facts.flash_attn_versions(torch.exact, cuda, named.python)[:1]:
            url = facts.flash_attn_url(version, torch.exact, cuda, named.python, abi=bool(abi))
            yield _readdressed(request, url, f"Use the wheel of flash-attn {version} for torch {torch.exact}")
    own = _released(named)
    if own and minor(torch.exact) != named.torch:
        abi = facts.cxx11_abi(own)
        fix = changed(timeline, scene, {"torch": own})
        if fix is not None and abi is not None and abi != named.abi:
            same = _renamed(request, named, abi, named.torch, named.python, "")
            if same is not None:
                title = f"Use the wheel for the C++ ABI of torch {own}, and ask for that torch"
                yield edit.fix(title, [*same.edits, *_torch_edits(timeline, own)])
        yield fix


def _torch_edits(timeline: Timeline, version: str) -> list[Edit | None]:
    return [edit.pin(one, version) for one in requests(timeline, "torch")]


def _released(named: Wheel) -> str:
    """The torch that a wheel was made with, if it was a released one."""
    row = _row(named.version)
    made = next((each for each in row.built_with if minor(each) == named.torch), "") if row else ""
    return "" if ".dev" in made else made


def _renamed(request: Request, named: Wheel, abi: bool, torch: str, python: str, cuda: str) -> Fix | None:
    """The same address with other labels."""
    url = request.url
    tag = f"cp{python.replace('.', '')}"
    new = re.sub(r"torch\d+\.\d+cxx11abi(?:TRUE|FALSE)", f"torch{torch}cxx11abi{str(abi).upper()}", url)
    new = re.sub(r"-cp\d+-cp\d+-", f"-{tag}-{tag}-", new)
    if cuda and cuda != named.cuda:
        exact = facts.flash_attn_url(named.version, torch, cuda, python, abi=abi)
        if exact is None:
            return None
        new = exact
    return _readdressed(request, new, f"Use the wheel for torch {torch}, cxx11abi{str(abi).upper()}, {tag}")


def _readdressed(request: Request, url: str | None, title: str) -> Fix | None:
    at = request.at.text.find(request.url)
    if url is None or at < 0 or url == request.url:
        return None
    start = request.at.start + at
    return edit.fix(title, [edit.replace(Span(request.at.source, start, start + len(request.url)), url)])


def _row(version: str) -> FlashWheels | None:
    """The wheels of a release; a later post-release has those of the release."""
    return facts.flash_attn_wheels(version) or facts.flash_attn_wheels(version.partition(".post")[0])


def _of_version(
    timeline: Timeline, scene: Mapping[str, Package], one: Package, torch: Package
) -> Iterator[Verdict]:
    """What setup.py will find for the torch that is there."""
    if (
        one.install is None
        or forced(timeline, one.install)
        or not torch.exact
        or torch.variant in ("ngc", "cpu")
    ):
        return
    row = _row(one.likely)
    if row is None or torch.variant.startswith("rocm"):
        return
    cuda = torch.variant if torch.variant.startswith("cu") else facts.default_cuda(torch.exact) or ""
    trouble, source = _trouble(row, torch.exact, cuda, timeline.python.version)
    if not trouble:
        return
    compiles = trouble.startswith("no wheel")
    if compiles and toolkit(timeline, one.install) is False:
        return  # said by image/build-toolkit
    good = _good(torch.exact, cuda, timeline.python.version)
    fixes = list(_version_fixes(timeline, scene, one, torch, row, good))
    yield verdict(
        RULE,
        "warning" if good or not compiles else "note",
        place(timeline, one, torch),
        f"flash-attn {one.likely} has {trouble}",
        about=("flash-attn", "torch"),
        cause=(
            "it is compiled, which takes hours and a CUDA toolkit, against a torch that it was never made for"
            if compiles
            else "its setup.py downloads that wheel, and importing it fails with `flash_attn_2_cuda… undefined symbol`"
        ),
        source=source,
        fixes=fixes,
    )


def _trouble(row: FlashWheels, torch: str, cuda: str, python: str) -> tuple[str, str]:
    """What is wrong with the wheel for a torch, and who says so; both empty where nothing is."""
    made = next((each for each in row.built_with if minor(each) == minor(torch)), "")
    beside = f"torch {torch.partition('+')[0]}"
    if not made or (cuda and row.cuda_for(torch, cuda, python) is None):
        label = f" with CUDA {cuda.removeprefix('cu')[:2]}" if cuda and made else ""
        where = f" on Python {python}" if python and made else ""
        return f"no wheel for {beside}{label}{where}", facts.flash_attn_source()
    broken = builds.broken_patch(made, torch)
    if broken is not None:
        return (
            f"a wheel for torch {minor(torch)} that was made with {made} and does not load with {beside}",
            broken.source,
        )
    return "", ""


def prebuilt(version: str, torch: Package, python: str) -> bool | None:
    """Whether setup.py finds a wheel for a torch that is known exactly. None: not known."""
    row = _row(version)
    cuda = torch.variant or facts.default_cuda(torch.exact) or ""
    if row is None or not cuda:
        return None
    return row.cuda_for(torch.exact, cuda, python) is not None


def _good(torch: str, cuda: str, python: str) -> list[str]:
    """The releases whose wheel works with a torch, newest first."""
    found = []
    for version in facts.flash_attn_versions(torch, cuda, python):
        row = facts.flash_attn_wheels(version)
        if row is not None and not _trouble(row, torch, cuda, python)[0]:
            found.append(version)
    released = [one for one in found if not _early(one, torch)]
    return released or found


def _early(version: str, torch: str) -> bool:
    """Whether the wheel for a torch was made before that torch was released: it may load or not."""
    row = facts.flash_attn_wheels(version)
    return row is not None and any(".dev" in one and minor(one) == minor(torch) for one in row.built_with)


def _version_fixes(
    timeline: Timeline,
    scene: Mapping[str, Package],
    one: Package,
    torch: Package,
    row: FlashWheels,
    good: list[str],
) -> Iterable[Fix | None]:
    """The closest release with a good wheel; then the torch that the wheels were made with."""
    request = one.request
    if good and request is not None:
        version = min(good, key=lambda each: _distance(good, each, one.likely))
        yield edit.fix(f"Pin flash-attn to {version}", [edit.pin(request, version)])
    released = [each for each in row.built_with if ".dev" not in each]
    same = [each for each in released if minor(each) == minor(torch.exact)]
    for wanted in (*same, *reversed(released))[:2]:
        yield changed(timeline, scene, {"torch": wanted})


def _distance(good: list[str], version: str, wanted: str) -> tuple[int, int]:
    """How many good releases lie between, and of equals the newer one first."""
    from packaging.version import Version

    between = [each for each in good if min(Version(version), Version(wanted)) < Version(each) < max(Version(version), Version(wanted))]  # fmt: skip
    return len(between), 0 if Version(version) > Version(wanted) else 1
