"""`seatrial rules`: what Seatrial knows how to find."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import json_option, print_json
from seatrial.errors import DONE

if TYPE_CHECKING:
    from seatrial.findings import Rule


@click.command(epilog="Example: seatrial rules image/numpy-abi")
@click.argument("identifier", required=False, metavar="[RULE]")
@click.option("--markdown", is_flag=True, help="Print all rules as the page of the reference.")
@json_option
def rules(identifier: str | None, *, markdown: bool, as_json: bool) -> int:
    """List all rules, or explain one."""
    from seatrial.checking import registry

    if markdown:
        if identifier or as_json:
            raise click.UsageError("--markdown prints all rules and stands alone")
        from seatrial.checking.reference import page

        sys.stdout.write(page())
        return DONE
    if identifier is None:
        known = list(registry.rules().values())
        if as_json:
            print_json(known)
        else:
            width = max(len(one.id) for one in known)
            sys.stdout.write("".join(f"{one.id:<{width}}  {one.severity:<7}  {one.title}\n" for one in known))
        return DONE
    one = registry.rule(identifier)
    if as_json:
        print_json(one)
    else:
        sys.stdout.write(_explained(one))
    return DONE


def _explained(rule: Rule) -> str:
    paragraphs = [f"{rule.id} ({rule.severity}): {rule.title}", textwrap.fill(rule.explanation, 100)]
    if rule.example:
        paragraphs.append("Example:\n" + textwrap.indent(rule.example.rstrip("\n"), "    "))
    paragraphs.append(
        f"Hide it: `# seatrial: disable={rule.id}` on the line or the one above, or in seatrial.yaml under "
        "`check.disable`."
    )
    paragraphs.append(f"Source: {rule.source}")
    return "\n\n".join(paragraphs) + "\n"
