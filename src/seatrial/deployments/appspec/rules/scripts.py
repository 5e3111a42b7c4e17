"""The scripts and sources that a file names, where it lies in the revision that it belongs to."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

from seatrial.deployments.appspec.model import DEFAULT_NAMES, SERVER_HOOKS
from seatrial.deployments.appspec.refusals import STRUCTURE
from seatrial.deployments.appspec.ruby import is_nil, strip, text, value_of
from seatrial.deployments.appspec.rules.look import edit
from seatrial.findings import Fix, Place, Rule
from seatrial.sources.text import finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.deployments.appspec.rules.look import Beside, Look
    from seatrial.findings import Edit, Finding
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node

_HOOKS, _FILES = STRUCTURE.format("hooks"), STRUCTURE.format("files")
_EXAMPLE = "version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - location: scripts/before.sh\n"
RULES: tuple[Rule, ...] = (
    Rule(
        id="appspec/script-missing",
        severity="warning",
        title="A script is not there",
        explanation=(
            "`location` is relative to the root of the revision, where appspec.yml lies. A script that is not in the revision "
            "fails its event with ScriptMissing. It may still be made by a build, hence a warning."
        ),
        source=_HOOKS,
        example=_EXAMPLE,
    ),
    Rule(
        id="appspec/script-outside",
        severity="warning",
        title="A script outside of the revision",
        explanation="The agent 2.0 refuses a `location` that leaves the revision by `..`; the agent 1.8 runs it.",
        source=_HOOKS,
        example="version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - location: ../before.sh\n",
    ),
    Rule(
        id="appspec/script-crlf",
        severity="error",
        title="A script has Windows line ends",
        explanation=(
            "The kernel looks for an interpreter whose name ends in a carriage return, and the event fails with ScriptFailed: "
            "`Errno::ENOENT … No such file or directory`."
        ),
        source=_HOOKS,
        example=_EXAMPLE,
    ),
    Rule(
        id="appspec/script-not-executable",
        severity="note",
        title="A script is not executable",
        explanation=(
            "The agent makes it executable and warns in its log. `git update-index --chmod=+x FILE` says so in the repository."
        ),
        source=_HOOKS,
        example=_EXAMPLE,
    ),
    Rule(
        id="appspec/script-without-shebang",
        severity="warning",
        title="A script does not say what runs it",
        explanation=(
            "Without `#!` in the first line `sh` runs it, which is dash on Debian and Ubuntu: `[[ … ]]`, `source` and arrays "
            "are not known there."
        ),
        source=_HOOKS,
        example="echo ok\n",
    ),
    Rule(
        id="appspec/source-missing",
        severity="warning",
        title="A source is not there",
        explanation=(
            "`source` is relative to the root of the revision, where appspec.yml lies, also with `/` in front. Install fails "
            "where it is not in the revision. It may still be made by a build, hence a warning."
        ),
        source=_FILES,
        example="version: 0.0\nos: linux\nfiles:\n  - source: build\n    destination: /srv/app\n",
    ),
    Rule(
        id="appspec/file-name",
        severity="warning",
        title="Not the name that the agent looks for",
        explanation=(
            "The agent on a host reads `appspec.yml`, else `appspec.yaml`, in the root of the revision. Another name has to be "
            "given when the deployment is made, which only `codedeploy-local` and `seatrial deploy agent` can do."
        ),
        source=_HOOKS,
    ),
)

_BASHISM = re.compile(r"(?m)^[ \t]*(?:source[ \t]+\S|\[\[[ \t]|function[ \t]+\w|declare[ \t])|\$\{\w+\[|=\(")
_LARGEST = 1 << 20
_WINDOWS = (".bat", ".cmd", ".ps1", ".exe")


def check(look: Look) -> Iterator[Finding]:
    """What can be seen where the file lies; nothing where it does not lie in the root of a revision."""
    beside, name = look.beside, look.source.path.rsplit("/", 1)[-1]
    if beside is None:
        return
    if name.startswith("appspec") and name.endswith(".json") and not look.reading.refusals:
        place = look.source.place(look.root.start, look.root.start)
        yield finding(
            "appspec/file-name",
            "warning",
            place,
            f"the agent looks for appspec.yml, not for {name}",
            source=_HOOKS,
        )
    if name not in DEFAULT_NAMES:
        return
    done: set[str] = set()
    for event, one in look.scripts:
        node = value_of(one, "location")
        if node is None or is_nil(node) or event.text not in SERVER_HOOKS:
            continue
        location = strip(text(node))
        yield from _located(look, beside, node, location)
        if location not in done:
            done.add(location)
            yield from _script(look, beside, node, location)
    for one in look.mappings:
        node = value_of(one, "source")
        if node is not None and isinstance(node.value, str):
            yield from _source(look, beside, node)


def _located(look: Look, beside: Beside, node: Node, location: str) -> Iterator[Finding]:
    if not location:
        return
    if ".." in location.replace("\\", "/").split("/"):
        yield look.at(
            "script-outside",
            "warning",
            node,
            f"{location} may leave the revision; the agent 2.0 refuses that",
            source=_HOOKS,
        )
        return
    if _status(beside.folder / location.lstrip("/")) is not None:
        return
    fix = _other_case(look, beside, node, location)
    yield look.at(
        "script-missing", "warning", node, f"there is no {location} beside {look.source.path.rsplit('/', 1)[-1]}",
        cause=_elsewhere(beside, location), source=_HOOKS, fix=fix,
    )  # fmt: skip


def _status(file: Path) -> int | None:
    try:
        return file.stat().st_mode
    except (OSError, ValueError):
        return None


def _elsewhere(beside: Beside, location: str) -> str:
    folder = beside.folder
    for up in range(1, beside.depth + 1):
        folder = folder.parent
        if _status(folder / location.lstrip("/")) is not None:
            return f"it lies {up} folder{'s' if up > 1 else ''} up; appspec.yml has to be in the root of the revision"
    return "`location` is relative to the root of the revision"


def _other_case(look: Look, beside: Beside, node: Node, location: str) -> Fix | None:
    """A name that differs in upper and lower case, or in its suffix, alone."""
    import difflib

    parent, _, name = location.lstrip("/").rpartition("/")
    try:
        names = sorted(one.name for one in (beside.folder / parent).iterdir() if one.is_file())
    except (OSError, ValueError):
        return None
    same = [one for one in names if one.lower() == name.lower()]
    close = same or difflib.get_close_matches(name, names, n=1, cutoff=0.8)
    if not close or close[0] in DEFAULT_NAMES:
        return None
    found = f"{parent}/{close[0]}" if parent else close[0]
    return look.replace(node, found, f"say {found}", safe=bool(same))


def _script(look: Look, beside: Beside, node: Node, location: str) -> Iterator[Finding]:
    file = beside.folder / location.lstrip("/")
    mode = _status(file)
    if (
        mode is None
        or not stat.S_ISREG(mode)
        or location.lower().endswith(_WINDOWS)
        or look.reading.host == "windows"
    ):
        return
    folder = look.source.path.rpartition("/")[0]
    path = f"{folder}/{location.lstrip('/')}" if folder else location.lstrip("/")
    source = beside.read(path)
    if source is not None and len(source.text) < _LARGEST:
        yield from _text(source, path)
    if not mode & 0o111:
        yield look.at(
            "script-not-executable", "note", node, f"{location} is not executable",
            cause=f"`chmod +x {location}`; in git `git update-index --chmod=+x {location}`", source=_HOOKS,
        )  # fmt: skip


def _text(source: Source, path: str) -> Iterator[Finding]:
    first = source.line(1)
    head = Place(path, (1, 1), (1, len(first) + 1))
    if first.startswith("#!"):
        if source.text[len(first) :].startswith("\r\n"):
            yield finding(
                "appspec/script-crlf", "error", head, "the first line ends in a carriage return, so no interpreter is found",
                cause="the file has Windows line ends", source=_HOOKS,
                fix=Fix(title="use Unix line ends", safe=True, edits=tuple(_unix(source))),
            )  # fmt: skip
        return
    cause = "it is run by sh"
    found = _BASHISM.search(source.text)
    if found is not None:
        cause = f"it is run by sh, which may not know what line {source.position(found.start())[0]} says"
    start = edit(source, 0, 0, f"#!/bin/bash{source.newline}")
    yield finding(
        "appspec/script-without-shebang", "warning" if found else "note", head, "the first line does not say what runs the script",
        cause=cause, source=_HOOKS, fix=Fix(title="begin with #!/bin/bash", safe=False, edits=(start,)),
    )  # fmt: skip


def _unix(source: Source) -> Iterator[Edit]:
    at = source.text.find("\r\n")
    while at >= 0:
        yield edit(source, at, at + 2, "\n")
        at = source.text.find("\r\n", at + 2)


def _source(look: Look, beside: Beside, node: Node) -> Iterator[Finding]:
    said = text(node).strip()
    inside = said.lstrip("/")
    if "*" in said or not inside or _status(beside.folder / inside) is not None:
        return
    yield look.at(
        "source-missing", "warning", node, f"there is no {said} beside {look.source.path.rsplit('/', 1)[-1]}",
        cause="`source` is relative to the root of the revision", source=_FILES,
    )  # fmt: skip
