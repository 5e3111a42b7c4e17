"""`seatrial image bases`: which base image fits a project, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.errors import ANSWER_IS_NO, DONE, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seatrial.images.catalog.model import Contents
    from seatrial.images.catalog.project import Needs
    from seatrial.images.catalog.rank import Ranked
    from seatrial.images.catalog.refresh import Difference

_KEYS = ("gpu", "driver", "cuda", "python", "platform", "glibc")
_SHOWN = 20


@click.command(
    epilog="Example: seatrial image bases . --target gpu=H100,driver=535\n\n"
    "Exit codes: 0 done; 1 no base fits, or a registry does not answer; 2 usage."
)
@click.argument(
    "folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--target", multiple=True, metavar="KEY=VALUE,…", help=f"What it runs on: {', '.join(_KEYS)}.")
@click.option(
    "--for",
    "serving",
    type=click.Choice(["vllm", "sglang", "triton", "djl"]),
    help="Images with this inference server inside.",
)
@click.option("--multi-node", is_flag=True, help="It trains on several machines.")
@click.option("--limit", default=6, show_default=True, type=click.IntRange(1), help="How many to show.")
@click.option("--list", "show_list", is_flag=True, help="Show what kinds of images the catalog knows.")
@click.option(
    "--refresh", is_flag=True, help="Ask registries which tags there are, and show what has changed."
)
@click.option(
    "--repository", "only", multiple=True, metavar="NAME", help="With --refresh: this repository alone."
)
@click.option(
    "--registry", default="", metavar="HOST", help="With --refresh: ask this mirror instead of each own."
)
@click.option(
    "--sizes", is_flag=True, help="With --refresh: ask for sizes too (several requests for each tag)."
)
@click.option("--insecure", is_flag=True, help="With --refresh: speak plain HTTP.")
@click.option("--write", is_flag=True, help="With --refresh: keep what was found, for this user.")
@json_option
@directory_option
def bases(
    *,
    folder: Path,
    target: tuple[str, ...],
    serving: str | None,
    multi_node: bool,
    limit: int,
    show_list: bool,
    refresh: bool,
    only: tuple[str, ...],
    registry: str,
    sizes: bool,
    insecure: bool,
    write: bool,
    as_json: bool,
) -> None:
    """Rank base images for the project in DIR, with what speaks for and against each.

    Reads the Dockerfile and dependency files; runs nothing and asks no registry.
    """
    if not refresh and (only or registry or sizes or insecure or write):
        raise UsageError("--repository, --registry, --sizes, --insecure and --write belong to --refresh")
    if refresh:
        _refresh(only, registry=registry, sizes=sizes, insecure=insecure, write=write, as_json=as_json)
    elif show_list:
        _show_list(as_json=as_json)
    else:
        _rank(folder, target, serving or "", multi_node=multi_node, limit=limit, as_json=as_json)


def _rank(
    folder: Path, target: Sequence[str], serving: str, *, multi_node: bool, limit: int, as_json: bool
) -> None:
    from datetime import UTC, datetime

    from seatrial.images.catalog.project import needs
    from seatrial.images.catalog.rank import candidates
    from seatrial.images.story.reading import read_all
    from seatrial.images.timeline.target import target as read_target

    today = datetime.now(UTC).date().isoformat()
    wishes = read_target(_options(target))
    stories = read_all(folder)
    found = needs(stories, wishes, today=today, serving=serving, multi_node=multi_node)  # type: ignore[arg-type]
    ranked = candidates(found.wanted, limit)
    if as_json:
        print_json(_as_data(found, ranked))
    else:
        _print_needs(found)
        _print_ranked(ranked)
    sys.exit(DONE if ranked else ANSWER_IS_NO)


def _options(target: Sequence[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in ",".join(target).split(",") if target else []:
        key, equals, value = part.strip().partition("=")
        if key not in _KEYS or not equals or not value:
            raise click.BadParameter(f"{part.strip()!r} is not KEY=VALUE with a key of {', '.join(_KEYS)}")
        options[key] = value
    return options


def _as_data(found: Needs, ranked: Iterable[Ranked]) -> dict[str, Any]:
    from seatrial.images.catalog import identify

    return {
        "wanted": found.wanted,
        "because": found.because,
        "bases": [{"reference": base, "contents": _plain(identify(base))} for base in found.bases],
        "candidates": [
            {
                "reference": one.reference,
                "reasons": one.reasons,
                "cautions": one.cautions,
                "behind": one.behind,
                "torch": one.torch,
                "cuda": one.cuda,
                "size_bytes": one.size_bytes,
                "contents": _plain(one.contents),
            }
            for one in ranked
        ],
    }


def _plain(contents: Contents | None) -> dict[str, Any] | None:
    """A mapping with sorted lists, so that the same image always prints the same."""
    import msgspec

    if contents is None:
        return None
    fields = msgspec.structs.asdict(contents)
    return fields | {name: sorted(fields[name]) for name in ("present", "unverified")}


def _print_needs(found: Needs) -> None:
    from seatrial.images.catalog import identify

    for base in found.bases:
        note(f"now         {base}: {_summary(identify(base))}")
    for reason in found.because:
        note(f"needs       {reason}")
    if not found.because:
        note("needs       nothing in particular: no dependency file says what")


def _summary(contents: Contents | None) -> str:
    if contents is None:
        return "not known to the catalog"
    if contents.removed is not None:
        return f"removed: {contents.removed.reason}"
    parts = [f"{name} {version}" for name, version in sorted(contents.packages.items())]
    parts += [f"Python {contents.python}"] if contents.python else []
    parts += [f"CUDA {contents.cuda}"] if contents.cuda else []
    parts += ["nvcc"] if contents.cuda_toolkit else []
    parts += [contents.os] if contents.os else []
    parts += ["a tag that moves"] if contents.moving == "rolling" else []
    return ", ".join(parts) or "known, but not what is inside"


def _print_ranked(ranked: Sequence[Ranked]) -> None:
    out = sys.stdout
    for number, one in enumerate(ranked, 1):
        out.write(f"{number}. {one.reference}  {_size(one.size_bytes)}\n")
        for text in one.reasons:
            out.write(f"     + {text}\n")
        for text in one.cautions:
            out.write(f"     - {text}\n")
        if one.behind and one.behind not in one.cautions:
            out.write(f"     not first: {one.behind}\n")
    if not ranked:
        note("no base in the catalog fits all of this; leave out a part of --target, or loosen a pin")


def _size(size: int | None) -> str:
    if size is None:
        return "size not known"
    return f"≈{size / 1e9:.1f} GB compressed" if size >= 10**9 else f"≈{size / 1e6:.1f} MB compressed"


def _show_list(*, as_json: bool) -> None:
    from seatrial.images.catalog import tables

    families: dict[str, str] = tables.load("repositories")["families"]
    if as_json:
        print_json(
            {
                "repositories": [
                    name.replace("aws/*", "public.ecr.aws/deep-learning-containers/*") for name in families
                ]
            }
        )
        return
    for name in families:
        click.echo(
            name.replace("aws/*", "public.ecr.aws/deep-learning-containers/* (and AWS's own accounts)")
        )


def _refresh(
    only: Sequence[str], *, registry: str, sizes: bool, insecure: bool, write: bool, as_json: bool
) -> None:
    from datetime import UTC, datetime

    from seatrial.errors import SeatrialError
    from seatrial.images.catalog import refresh

    names = only or refresh.repositories()
    for name in names:
        refresh.place(name, registry)  # all of them, before any registry is asked
    today = datetime.now(UTC).date().isoformat()
    done: list[Difference] = []
    failed: list[tuple[str, SeatrialError]] = []
    for name in names:
        try:
            done.append(refresh.ask(name, today, registry=registry, insecure=insecure, sizes=sizes))
        except SeatrialError as error:
            failed.append((name, error))
            note(f"{name}: {error}")
    kept = refresh.keep(done) if write and done else None
    if as_json:
        shown = [{"repository": one.repository, "registry": one.registry, "tags": len(one.listing.tags),
                  "gone": one.gone, "new": one.new, "unread": one.unread} for one in done]  # fmt: skip
        failures = [{"repository": name, "error": str(error)} for name, error in failed]
        print_json({"differences": shown, "failed": failures, "written": kept})
    else:
        for one in done:
            _print_difference(one)
    if kept is not None:
        note(f"kept in {kept}")
    elif done:
        note("nothing was written; --write keeps it")
    sys.exit(ANSWER_IS_NO if failed else DONE)


def _print_difference(one: Difference) -> None:
    click.echo(
        f"{one.repository}: {len(one.listing.tags)} tags at {one.registry}, {len(one.gone)} gone, {len(one.new)} new"
    )
    for sign, tags in (("-", one.gone), ("+", one.new)):
        for tag in tags[:_SHOWN]:
            click.echo(f"  {sign} {tag}")
        if len(tags) > _SHOWN:
            click.echo(f"  {sign} … and {len(tags) - _SHOWN} more (--json has all)")
