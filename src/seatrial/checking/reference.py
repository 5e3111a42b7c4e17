"""The page of the documentation that lists the rules, made from the registry."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from seatrial.checking.registry import rules

if TYPE_CHECKING:
    from seatrial.findings import Rule

_HEAD = """# Rules

What `seatrial check` knows how to find. `seatrial rules` lists the same, `seatrial rules ID` explains one.
An *error* will fail, a *warning* is likely to fail or dangerous, a *note* is worth knowing; a rule can be
less severe than stated here where it is less sure.

This page is printed by `seatrial rules --markdown`.
"""


def page() -> str:
    """The whole page as Markdown."""
    areas = groupby(rules().values(), key=lambda rule: rule.id.split("/")[0])
    return "\n".join(
        [_HEAD, *(f"## {area}\n\n" + "\n".join(map(_section, members)) for area, members in areas)]
    )


def _section(rule: Rule) -> str:
    lines = [
        f"### `{rule.id}`",
        "",
        f"**{rule.title}.** *{rule.severity.capitalize()}.*",
        "",
        rule.explanation,
        "",
    ]
    if rule.example:
        lines += ["```text", rule.example.rstrip("\n"), "```", ""]
    # Seatrial's own pages are linked from docs/reference, where this page is.
    own = rule.source.startswith("docs/")
    local = rule.source.replace("docs/reference/", "").replace("docs/", "../")
    lines += [f"Source: [{local}]({local})" if own else f"Source: <{rule.source}>", ""]
    return "\n".join(lines)
