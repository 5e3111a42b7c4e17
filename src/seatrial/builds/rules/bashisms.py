"""What bash knows and `sh` may not: the shell of CodeBuild's Ubuntu images is dash, that of Amazon Linux is bash."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.builds.refusals import SPEC
from seatrial.findings import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Command, Look
    from seatrial.findings import Finding

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/bashism",
        severity="warning",
        title="Only bash knows this",
        explanation=(
            "Without `env: shell: bash` commands run in `/bin/sh`, which is dash in Ubuntu images and bash in Amazon "
            "Linux. What only bash knows fails in the one, or means something else, and works in the other."
        ),
        source=f"{SPEC}#build-spec.env.shell",
        example='version: 0.2\nphases:\n  build:\n    commands:\n      - if [[ "$A" == b ]]; then make; fi\n',
    ),
)

_START = r"(?:^|[;&|({]|\bthen|\bdo|\belse|\bif|\bwhile|\belif|!)[ \t]*"
_KINDS: tuple[tuple[str, str], ...] = (
    ("`[[`", rf"{_START}(\[\[)\s"),
    ("`source`; sh has `.`", rf"{_START}(source)\s+\S"),
    ("`pushd` and `popd`", rf"{_START}(pushd|popd)\b"),
    ("an array", r"(?:^|[;&|({ \t])([A-Za-z_]\w*\+?=\()"),
    ("an array", r"(\$\{[A-Za-z_]\w*\[[^\]}]*\])"),
    ("`<(…)`", r"(?<![<\w$])(<\()"),
    ("`<<<`", r"(<<<)"),
    ("a `${…^^}` or `${…,,}`", r"(\$\{[A-Za-z_]\w*(?:\^\^?|,,?)[^}]*\})"),
    ("a substring or replacement in `${…}`", r"(\$\{[A-Za-z_]\w*(?::\d|//?[^}/]))"),
    ("`==` in `[`", r"(?:^|[\s;&|(])\[[ \t]+[^\]\n]*?\s(==)\s[^\]\n]*\s\]"),
    ("`function`", rf"{_START}(function)\s+\w+"),
    ("`set -o pipefail`", rf"{_START}set\s+-\w*\s?-?o?\s*(pipefail)\b"),
    ("`&>`", r"(?<![&>\d])(&>)\s*[\w/$\"']"),
    ("`(( … ))`", rf"{_START}(\(\()[^(]"),
)
_WORTH = re.compile(
    r"\[\[|\bsource\b|pushd|popd|=\(|\$\{\w+(?:\[|\^|,|:\d|/)|<\(|<<<|==|\bfunction\b|pipefail|&>|\(\("
)
_OWN_SHELL = re.compile(r"^\s*(?:#!|(?:/bin/|/usr/bin/env )?bash\b)")


def check(look: Look) -> Iterator[Finding]:
    """The first bashism of each command, where the shell is not said to be bash."""
    if look.shell != "sh" or not look.is_posix:
        return
    for command in look.commands:
        if not _WORTH.search(command.text) or _OWN_SHELL.match(command.text):
            continue
        found = _first(command)
        if found is not None:
            name, start, end = found
            at = command.offset(start)
            yield look.within(
                "bashism", "warning", (at, at + end - start), f"only bash knows {name}; the shell is sh, which may be dash",
                cause="`env: shell: bash` makes it the shell of all commands", source=RULES[0].source,
            )  # fmt: skip


def _first(command: Command) -> tuple[str, int, int] | None:
    text = command.text
    if "<<" in text and "<<<" not in text:
        text = text[: text.index("<<")]  # a here-document may hold any language
    best: tuple[str, int, int] | None = None
    for name, pattern in _KINDS:
        found = re.search(pattern, text, re.MULTILINE)  # compiled when first needed, which is seldom
        if found is None or _in_single_quotes(text, found.start(1)):
            continue
        if best is None or found.start(1) < best[1]:
            best = (name, *found.span(1))
    return best


def _in_single_quotes(text: str, index: int) -> bool:
    """Whether a character is within single quotes, or after a `#`."""
    quote = ""
    escaped = False
    for at, one in enumerate(text[:index]):
        if escaped:
            escaped = False
        elif one == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if one == quote else quote
        elif one in "'\"":
            quote = one
        elif one == "#" and (at == 0 or text[at - 1].isspace()):
            end = text.find("\n", at)
            if end < 0 or end > index:
                return True
    return quote == "'"
