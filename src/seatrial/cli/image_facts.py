"""`seatrial image facts`: what the rules know, where from, and how to renew it."""

from __future__ import annotations

import sys
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import json_option, note, print_json
from seatrial.errors import SeatrialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.facts.derive import Tracked
    from seatrial.images.facts.published import Table
    from seatrial.images.facts.refresh import Plan
    from seatrial.images.facts.sanity import Change

_KEPT = {
    "torch-builds": ("torch.yaml", "CUDA builds of torch, its C++ ABI, what its companions were made for"),
    "cuda": ("cuda.yaml", "drivers and GPU architectures of CUDA versions and torch builds"),
    "gpus": ("gpus.yaml", "GPUs and AWS instance types by name"),
    "flash-attn-wheels": ("flash_attn.yaml", "prebuilt wheels of flash-attn"),
    "pairs": ("pairs.yaml", "packages that do not work together, ended packages, NVIDIA's apt key"),
    "libraries": ("libraries.yaml", "CUDA, cuDNN and torch that wheels were built for"),
    "numpy-abi": ("numpy_abi.yaml", "wheels compiled against NumPy 1"),
    "tracked": ("tracked.yaml", "which packages have a derived table, and what must hold in them"),
}
_SHOWN = 30


@click.group(epilog="Example: seatrial image facts show torch")
def facts() -> None:
    """List, show and refresh the facts behind the rules."""


@facts.command("list", epilog="Example: seatrial image facts list --json")
@json_option
def list_facts(as_json: bool) -> None:
    """List the hand-kept tables, and the packages with a derived table."""
    from seatrial.images.facts import table, tracked

    kept = [{"name": name, "holds": holds} for name, (_, holds) in _KEPT.items()]
    derived = []
    for name in sorted(tracked()):
        one = table(name)
        if one is not None and one.releases:
            row = {
                "name": name,
                "releases": len(one.releases),
                "newest": one.releases[0].version,
                "derived": one.derived,
            }
            derived.append(row)
    if as_json:
        print_json({"kept": kept, "derived": derived})
        return
    out = ["kept by hand"]
    out += [f"  {row['name']:<26} {row['holds']}" for row in kept]
    out.append("derived from package metadata")
    out += [
        f"  {row['name']:<26} {row['releases']:>4} releases, newest {row['newest']} (asked on {row['derived']})"
        for row in derived
    ]
    sys.stdout.write("\n".join(out) + "\n")


@facts.command(epilog="Example: seatrial image facts show vllm --json")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a table: a package's releases, or a hand-kept one with its sources."""
    from importlib import resources

    from seatrial.images.facts import load_yaml, table, tracked

    if name in _KEPT:
        file = _KEPT[name][0]
        if as_json:
            print_json(load_yaml(file, dict))
        else:
            sys.stdout.write(
                resources.files("seatrial.images.facts").joinpath(file).read_text(encoding="utf-8")
            )
        return
    found = table(name.lower().replace("_", "-"))
    if found is None:
        raise UsageError(
            f"there are no facts called {name}", fix=_similar(name, [*_KEPT, *sorted(tracked())])
        )
    if as_json:
        print_json(found)
        return
    _print_table(found)


def _similar(name: str, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else "see them with: seatrial image facts list"


def _print_table(found: Table) -> None:
    out = [f"{found.package}: {len(found.releases)} releases, asked on {found.derived}, {found.source}"]
    for one in found.releases[:_SHOWN]:
        said = (
            ", ".join(one.requires)
            if one.requires
            else ""
            if one.requires is not None
            else "metadata not read"
        )
        yanked = " yanked" if one.yanked is not None else ""
        wheels = " ".join(one.linux) or "source only"
        out.append(f"  {one.version:<14} {one.uploaded:<10} {wheels}{yanked}  {said}".rstrip())
    if len(found.releases) > _SHOWN:
        out.append(f"  … {len(found.releases) - _SHOWN} older ones: --json shows all")
    sys.stdout.write("\n".join(out) + "\n")


@facts.command(epilog="Example: seatrial image facts refresh --package torch --package torchvision --write")
@click.option(
    "--package", "packages", metavar="NAME", multiple=True, help="Only this package; may be repeated."
)
@click.option("--write", "keep", is_flag=True, help="Use the new tables from now on.")
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), help="Write them to this folder instead."
)
@click.option("--again", is_flag=True, help="Also read the metadata of releases that are known.")
@json_option
def refresh(packages: tuple[str, ...], keep: bool, into: Path | None, again: bool, as_json: bool) -> None:
    """Derive the tables anew from the package index, check them, and print what changed.

    The index is that of uv and pip (UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL). Exit code 1 when something cannot
    be right; then nothing is written.
    """
    from seatrial.images.facts import refresh as refreshing
    from seatrial.images.facts.load import refreshed_folder
    from seatrial.images.facts.published import table
    from seatrial.images.facts.sanity import changes, problems

    plan = refreshing.plan()
    new = _derive(_chosen(plan, packages), plan, again=again)
    old = {name: one for name in new if (one := table(name)) is not None}
    wrong = problems(old, new, plan.anchors)
    if wrong:
        raise SeatrialError(
            "the new tables cannot be right, and were not written",
            why="; ".join(wrong),
            fix="check which index answers (UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL); when it is right, correct the hand-kept facts",
        )
    found = [change for name, one in new.items() for change in changes(old.get(name), one)]
    written: tuple[Path, ...] = ()
    if keep or into is not None:
        written = refreshing.write(tuple(new.values()), into or refreshed_folder())
    if as_json:
        print_json({"changes": found, "written": written})
    else:
        _print_changes(found, written)


def _derive(wanted: Sequence[Tracked], plan: Plan, *, again: bool) -> dict[str, Table]:
    from datetime import datetime

    from seatrial.images.facts import refresh as refreshing
    from seatrial.images.facts.index import index_address
    from seatrial.transport import connect

    today = datetime.now(tz=UTC).date()
    with connect() as link:
        made = refreshing.derive_tables(
            link,
            index_address(),
            wanted,
            plan.known,
            today=today,
            again=again,
            told=lambda name, count: note(f"{name}: {count} releases"),
        )
    return {one.package: one for one in made}


def _chosen(plan: Plan, packages: tuple[str, ...]) -> tuple[Tracked, ...]:
    names = [one.name for one in plan.packages]
    for name in packages:
        if name not in names:
            raise UsageError(f"{name} is not tracked", fix=_similar(name, names))
    return tuple(one for one in plan.packages if not packages or one.name in packages)


def _print_changes(found: Sequence[Change], written: Sequence[Path]) -> None:
    out = []
    for one in found:
        if one.what in ("added", "removed"):
            out.append(
                f"{'+' if one.what == 'added' else '-'} {one.package} {one.version}  {one.new or one.old}"
            )
        else:
            out.append(f"~ {one.package} {one.version} {one.what}: {one.old} -> {one.new}")
    out.append(f"{len(found)} changes" if found else "nothing changed")
    sys.stdout.write("\n".join(out) + "\n")
    if written:
        note(f"wrote {len(written)} tables to {written[0].parent}")
    elif found:
        note("nothing was written: --write uses the new tables from now on")
