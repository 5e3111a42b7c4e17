"""Tags that stay, for a repository of which a moving one is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.catalog import tables
from seatrial.images.catalog.identify import identify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.catalog.model import Contents

_MOST = 4


def pinned_tags(contents: Contents, pins: Iterable[tuple[str, str]] = ()) -> tuple[str, ...]:
    """Tags of the same repository that do not move, the newest first; none where none is known.

    `pins` are the packages, name and version, that are installed on top: a Python is named that they have wheels for.
    """
    by_family = {
        "public.ecr.aws/hpc-cloud/nccl-tests": _nccl_tests,
        "pytorch/pytorch": _pytorch,
        "vllm/vllm-openai": _vllm,
    }
    if contents.family == "python":
        return _python(contents, tuple(pins))
    found = by_family.get(contents.family)
    return found() if found is not None else ()


def _nccl_tests() -> tuple[str, ...]:
    return (str(tables.load("ngc")["nccl_tests"]["pinned"]),)


def _python(contents: Contents, pins: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    from seatrial.images import facts

    flavour = contents.tag.removeprefix("latest").removeprefix("3").strip("-")
    fitting = [
        minor
        for minor in reversed([str(one) for one in tables.load("python")["newest"]])
        if all(
            facts.installs(release, minor)
            for name, version in pins
            if (release := facts.release(name, version)) is not None
        )
    ]
    return tuple(f"{minor}-{flavour}" if flavour else minor for minor in fitting[:_MOST])


def _pytorch() -> tuple[str, ...]:
    from seatrial.images import facts

    newest = facts.newest("torch")
    if newest is None:
        return ()
    cuda = facts.default_cuda(newest.version)
    tags = [f"{newest.version}-cuda{cuda}-cudnn9-{kind}" for kind in ("runtime", "devel")]
    return tuple(tag for tag in tags if cuda and identify(f"pytorch/pytorch:{tag}") is not None)


def _vllm() -> tuple[str, ...]:
    from seatrial.images import facts

    newest = facts.newest("vllm")
    return (f"v{newest.version}",) if newest is not None else ()
