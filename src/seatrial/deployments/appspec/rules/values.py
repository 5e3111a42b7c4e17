"""Values that the agent takes, and that mean something else than it seems: modes, timeouts, agent 1.8 and 2.0."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.deployments.appspec.model import DEFAULT_TIMEOUT, SERVER_HOOKS
from seatrial.deployments.appspec.refusals import SPEC, STRUCTURE
from seatrial.deployments.appspec.ruby import RubyError, integer, is_text, value_of
from seatrial.deployments.appspec.rules.look import holds
from seatrial.findings import Rule
from seatrial.sources.text import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.deployments.appspec.rules.look import Look
    from seatrial.findings import Finding
    from seatrial.sources.tree import Node

_HEAD = "version: 0.0\nos: linux\n"
RULES: tuple[Rule, ...] = (
    Rule(
        id="appspec/mode-octal",
        severity="warning",
        title="A mode that YAML reads as another number",
        explanation=(
            "YAML 1.1 reads `0644` without quotes as an octal number, and the agent 1.8 makes the mode 420 of it. The "
            "agent 2.0 takes 0644. Quotes mean the same everywhere."
        ),
        source=STRUCTURE.format("permissions"),
        example=f"{_HEAD}permissions:\n  - object: /srv/app\n    mode: 0644\n",
    ),
    Rule(
        id="appspec/timeout-not-whole",
        severity="warning",
        title="A timeout that is not a whole number",
        explanation=(
            "The agent 1.8 takes the digits that a text begins with (`5m` is 5 seconds, not minutes) and cuts fractions off; "
            "the agent 2.0 refuses what is not a whole number. `1:30` is 5400 in Ruby's YAML."
        ),
        source=STRUCTURE.format("hooks"),
        example=f"{_HEAD}hooks:\n  BeforeInstall:\n    - location: a.sh\n      timeout: 5m\n",
    ),
    Rule(
        id="appspec/timeout-sum",
        severity="warning",
        title="The scripts of an event may take more than an hour together",
        explanation=(
            "CodeDeploy ends an event after 3600 seconds, whatever its scripts are allowed. A script without `timeout` is "
            "allowed 3600."
        ),
        source=STRUCTURE.format("hooks"),
        example=f"{_HEAD}hooks:\n  BeforeInstall:\n    - location: a.sh\n      timeout: 3000\n    - location: b.sh\n      timeout: 3000\n",
    ),
    Rule(
        id="appspec/nothing-to-do",
        severity="note",
        title="Nothing is copied, and no script is run",
        explanation="The file has neither `files` nor `hooks` with scripts. A deployment of it succeeds and changes nothing.",
        source=SPEC,
        example=_HEAD,
    ),
    Rule(
        id="appspec/several-documents",
        severity="warning",
        title="Only the first YAML document is read",
        explanation="The agent reads what stands before the second `---` and ignores the rest.",
        source=SPEC,
        example=f"{_HEAD}---\nhooks: {{}}\n",
    ),
    Rule(
        id="appspec/for-windows",
        severity="note",
        title="Only hosts with Windows take this file",
        explanation=(
            "`os: windows` is taken by the agent on Windows alone; one on Linux refuses it. It was checked as the agent on "
            "Windows would read it; `--platform server` checks it for Linux."
        ),
        source=SPEC,
        example="version: 0.0\nos: windows\nfiles:\n  - source: /\n    destination: C:\\app\n",
    ),
)

_WHOLE = re.compile(r"[+-]?\d+")
_WRITTEN = re.compile(r"0+[0-7]+")


def check(look: Look) -> Iterator[Finding]:
    """What is taken otherwise than meant."""
    for one in look.permissions:
        yield from _mode(look, one)
    for _, script in look.scripts:
        yield from _timeout(look, script)
    for event, listed in look.hooks:
        if event.text in SERVER_HOOKS:
            yield from _sum(look, event, listed)
    if not look.reading.refusals:
        yield from _whole(look)


def _mode(look: Look, permission: Node) -> Iterator[Finding]:
    node = value_of(permission, "mode")
    if (
        node is None
        or node.kind != "scalar"
        or not isinstance(node.value, int)
        or isinstance(node.value, bool)
    ):
        return
    digits = str(node.value)
    is_refused = len(digits) > 4 or any(one in "89" for one in digits)  # noqa: PLR2004 - said by `permission-mode`
    if _WRITTEN.fullmatch(node.text) and digits != node.text.lstrip("0") and not is_refused:
        yield look.at(
            "mode-octal", "warning", node,
            f"the agent 1.8 sets the mode {digits.rjust(3, '0')}, not {node.text}",
            cause=f"YAML 1.1 reads {node.text} as an octal number; the agent 2.0 takes {node.text}",
            source=RULES[0].source, fix=look.replace(node, f'"{node.text}"', "quote the mode", safe=False),
        )  # fmt: skip


def _timeout(look: Look, script: Node) -> Iterator[Finding]:
    node = value_of(script, "timeout")
    if node is None or not holds(node) or node.kind != "scalar":
        return
    if isinstance(node.value, int) and _WHOLE.fullmatch(node.text) and not _WRITTEN.fullmatch(node.text):
        return
    try:
        seconds = integer(node)
    except RubyError:
        return
    if seconds <= 0:
        return  # refused
    shown = f"{node.text!r} is a text" if is_text(node) else f"{node.text} is no plain whole number"
    exact = _WHOLE.fullmatch(node.text.strip()) is not None and not _WRITTEN.fullmatch(node.text)
    yield look.at(
        "timeout-not-whole", "warning", node, f"the agent 1.8 takes {seconds} seconds; the agent 2.0 refuses this timeout",
        cause=shown, source=RULES[1].source,
        fix=look.replace(node, str(seconds), f"say {seconds}", safe=exact),
    )  # fmt: skip


def _sum(look: Look, event: Node, listed: Node) -> Iterator[Finding]:
    scripts = [one for key, one in look.scripts if key is event]
    total = 0
    for one in scripts:
        said = value_of(one, "timeout")
        try:
            total += integer(said) if said is not None and holds(said) else DEFAULT_TIMEOUT
        except RubyError:
            return
    if total <= DEFAULT_TIMEOUT:
        return
    without = sum(1 for one in scripts if not holds(value_of(one, "timeout")))
    cause = (
        f"{without} of {len(listed.items)} have no timeout, which is {DEFAULT_TIMEOUT} seconds"
        if without
        else ""
    )
    yield look.at(
        "timeout-sum", "warning", event,
        f"the scripts of {event.text} may take {total} seconds together; CodeDeploy ends the event after {DEFAULT_TIMEOUT}",
        cause=cause, source=RULES[2].source,
    )  # fmt: skip


def _whole(look: Look) -> Iterator[Finding]:
    if not look.mappings and not look.scripts:
        yield look.at(
            "nothing-to-do",
            "note",
            look.root,
            "nothing is copied and no script is run",
            source=RULES[3].source,
        )
    if look.reading.documents > 1:
        place = look.source.place(look.root.start, look.root.start)
        yield finding(
            "appspec/several-documents", "warning", place, "the agent reads only the first YAML document",
            source=RULES[4].source,
        )  # fmt: skip
    system = value_of(look.root, "os")
    if look.reading.host == "windows" and system is not None:
        yield look.at(
            "for-windows", "note", system, "an agent on Linux refuses this file", source=RULES[5].source
        )
