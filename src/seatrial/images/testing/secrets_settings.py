"""Keys and passwords in what an image says of itself: variables, labels, command lines, and its history."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from seatrial.images.testing.secret_forms import is_secret, matches, with_password

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.testing.model import Subject

# NAME=VALUE as a word of its own, also as an option.
_ASSIGNED = re.compile(r"(?:^|(?<=\s))-{0,2}([A-Za-z_][\w.-]*)=(\S+)")
# Build arguments that the step was given, as BuildKit and the older builder write them down.
_ARGUMENTS = re.compile(r"^(?:RUN )?\|\d+ (.*?) (?:/\S*/)?\w+ -\w*c ", re.DOTALL)
_DECLARED = re.compile(r"^(?:/bin/sh -c #\(nop\)\s+)?(?:ENV|ARG)\s+(.*)", re.DOTALL)


def search(subject: Subject) -> Iterator[str]:
    """What was found and where. A place may be allowed by its name: `ENV NAME`, `LABEL NAME`, `CMD`, `HISTORY 3`."""
    seen: set[str] = set()
    for place, said in [*_in_config(subject.root.settings), *_in_history(subject.root.config.get("history"))]:
        name = place.rpartition(" ")[2]
        known = place.startswith("HISTORY") and said.rpartition(" ")[2] in seen
        if not known and not any(fnmatch(place, one.path) for one in subject.spec.allow):
            yield said
        seen.add(name)


def _in_config(settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for item in settings.get("Env") or []:
        name, _, value = str(item).partition("=")
        kinds = ["value"] if is_secret(name, value) else _kinds(value)
        yield from ((f"ENV {name}", f"{kind} in the image's settings: ENV {name}") for kind in kinds)
    for name, value in (settings.get("Labels") or {}).items():
        kinds = _kinds(str(value))
        yield from ((f"LABEL {name}", f"{kind} in the image's settings: LABEL {name}") for kind in kinds)
    health = settings.get("Healthcheck")
    lines = {
        "ENTRYPOINT": settings.get("Entrypoint"),
        "CMD": settings.get("Cmd"),
        "HEALTHCHECK": health.get("Test") if isinstance(health, dict) else None,
        "ONBUILD": settings.get("OnBuild"),
    }
    for place, words in lines.items():
        text = "\n".join(str(word) for word in words) if isinstance(words, list) else str(words or "")
        kinds = [*_kinds(text), *(f"value of {name}" for name in _named(text))]
        yield from ((place, f"{kind} in the image's settings: {place}") for kind in dict.fromkeys(kinds))


def _in_history(steps: Any) -> Iterator[tuple[str, str]]:
    for number, step in enumerate(steps if isinstance(steps, list) else [], 1):
        text = str(step.get("created_by") or "") if isinstance(step, dict) else ""
        place = f"the image's history, step {number}"
        yield from ((f"HISTORY {number}", f"{kind}: {place}") for kind in _kinds(text))
        match = _ARGUMENTS.match(text) or _DECLARED.match(text)
        for name in _named(match[1]) if match else ():
            yield f"HISTORY {number}", f"value in {place}: {name}"


def _kinds(text: str) -> list[str]:
    content = text.encode(errors="replace")
    found = [kind for kind, _ in matches(content)]
    return [*found, *("password in an address" for _ in with_password(content))]


def _named(text: str) -> list[str]:
    """Names of what is set in a text and looks like a secret; an option's name is read as a variable's."""
    return [
        match[1]
        for match in _ASSIGNED.finditer(text)
        if is_secret(re.sub(r"[^A-Za-z0-9]", "_", match[1]), match[2])
    ]
