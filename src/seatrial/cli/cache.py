"""`seatrial cache`: how large it is, and making it smaller."""

from __future__ import annotations

import sys

import click

from seatrial.cli.common import directory_option, json_option, note, print_json


@click.group(epilog="Example: seatrial cache prune --max-size 10G")
def cache() -> None:
    """Show and prune what can be made again: wheels, layers, bases, resolutions, unpacked and pulled images."""


@cache.command(epilog="Example: seatrial cache show --json")
@json_option
@directory_option
def show(as_json: bool) -> None:
    """Say where the cache is and what it holds."""
    from seatrial import paths
    from seatrial.images.cache import entries

    found = entries()
    kinds = {
        kind: {
            "entries": sum(e.kind == kind for e in found),
            "bytes": sum(e.size for e in found if e.kind == kind),
        }
        for kind in dict.fromkeys(e.kind for e in sorted(found, key=lambda e: e.kind))
    }
    total = sum(e.size for e in found)
    if as_json:
        print_json({"path": str(paths.cache()), "bytes": total, "kinds": kinds, "entries": found})
        return
    note(str(paths.cache()))
    for kind, sums in kinds.items():
        sys.stdout.write(f"{kind:<12} {sums['entries']:6} {sums['bytes'] / 1e6:10.1f} MB\n")
    sys.stdout.write(f"{'total':<12} {len(found):6} {total / 1e6:10.1f} MB\n")


@cache.command(epilog="Example: seatrial cache prune --max-size 10G")
@click.option(
    "--max-size", required=True, metavar="SIZE", help="What may stay, such as 500M or 10G; 0 removes all."
)
@json_option
@directory_option
def prune(max_size: str, as_json: bool) -> None:
    """Remove what was not used for longest. What a running command needs stays."""
    from seatrial.images.cache import parse_size
    from seatrial.images.cache import prune as shrink

    done = shrink(parse_size(max_size))
    if as_json:
        print_json(done)
        return
    kept = f", {done.kept_in_use} in use" if done.kept_in_use else ""
    sys.stdout.write(
        f"removed {done.removed} entries, {done.removed_bytes / 1e6:.1f} MB; "
        f"{done.left} are left, {done.left_bytes / 1e6:.1f} MB{kept}\n"
    )
