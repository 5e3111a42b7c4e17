"""What BuildKit refuses in an instruction that it could read: how many arguments, which flags.

The messages are BuildKit's.
Source: https://github.com/moby/buildkit/tree/v0.29.0/frontend/dockerfile/instructions, parse.go and bflag.go
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.sources.dockerfile_model import Dockerfile, Instruction

_FILES = {"chown": 1, "chmod": 1, "link": 0, "exclude": 2}
_FLAGS: dict[str, dict[str, int]] = {
    "ADD": {**_FILES, "keep-git-dir": 0, "checksum": 1, "unpack": 0},
    "COPY": {**_FILES, "from": 1, "parents": 0},
    "FROM": {"platform": 1},
    "RUN": {"mount": 2, "network": 1, "security": 1, "device": 2},
    "HEALTHCHECK": {"interval": 1, "timeout": 1, "start-period": 1, "start-interval": 1, "retries": 1},
}
"""The flags of each instruction: 0 without a value or a boolean, 1 with a value, 2 with a value and as often as wanted."""

_ONE = frozenset(("MAINTAINER", "WORKDIR", "USER", "STOPSIGNAL"))
_SOME = frozenset(("EXPOSE", "VOLUME", "ONBUILD", "HEALTHCHECK", "ARG", "ENV", "LABEL"))
_NAME = re.compile(r"[a-z][a-z0-9\-_.]*")
_FROM_WORDS = 3


def refusals(dockerfile: Dockerfile) -> Iterator[tuple[Instruction, str]]:
    """Instructions that are refused, and why. Of a file for another frontend than Docker's nothing is said."""
    syntax = dockerfile.syntax
    if syntax and "docker/dockerfile" not in syntax:
        return
    staged = False
    for one in dockerfile.instructions:
        message = refusal(one)
        if message is None and one.onbuild is not None:
            message = _trigger(one.onbuild)
        if message is None and not staged and one.keyword not in ("FROM", "ARG"):
            message = "no build stage in current context"
        staged = staged or one.keyword == "FROM" or message is not None
        if message is not None:
            yield one, message


def refusal(one: Instruction) -> str | None:
    """Why an instruction is refused by itself; None where it is not."""
    name = one.keyword
    if name in _ONE and not one.body.text:
        return f"{name} requires exactly one argument"
    if name in _SOME and not one.body.text:
        return f"{name} requires at least one argument"
    if name in ("ADD", "COPY") and len(one.words) < 2:  # noqa: PLR2004 - source and destination
        return f"{name} requires at least two arguments, but only one was provided. Destination could not be determined"
    if any(not pair.key.text for pair in one.pairs):
        return f"{name} names can not be blank"
    if name == "FROM" and (message := _from([word.text for word in one.words])):
        return message
    return _form(one) or _flags(one)


def _from(words: Sequence[str]) -> str | None:
    if len(words) == _FROM_WORDS and words[1].lower() == "as":
        if _NAME.fullmatch(words[2].lower()):
            return None
        return (
            f'invalid name for build stage: "{words[2]}", name can\'t start with a number or contain symbols'
        )
    return None if len(words) == 1 else "FROM requires either one or three arguments"


def _form(one: Instruction) -> str | None:
    """SHELL is an array; HEALTHCHECK is CMD with a command, or NONE."""
    if one.keyword == "SHELL":
        if one.json is None:
            return "SHELL requires the arguments to be in JSON form" if one.body.text else _NO_SHELL
        return None if one.json else _NO_SHELL
    if one.keyword == "HEALTHCHECK":
        words = one.body.split()
        kind = words[0].text.upper()
        if kind == "NONE":
            return None if len(words) == 1 else "HEALTHCHECK NONE takes no arguments"
        if kind != "CMD":
            return f'Unknown type "{kind}" in HEALTHCHECK (try CMD)'
        return "Missing command after HEALTHCHECK CMD" if len(words) == 1 or one.json == () else None
    return None


_NO_SHELL = "SHELL requires at least one argument"


def _flags(one: Instruction) -> str | None:
    known = _FLAGS.get(one.keyword, {})
    seen: set[str] = set()
    # Of ARG and STOPSIGNAL, and of HEALTHCHECK NONE, BuildKit never looks at the flags.
    if one.keyword in ("ARG", "STOPSIGNAL") or one.body.text.upper() == "NONE":
        return None
    for flag in one.flags:
        if flag.name not in known:
            return f"unknown flag: --{flag.name}"
        if known[flag.name] and flag.value is None:
            return f"missing a value on flag: --{flag.name}"
        if flag.name in seen and known[flag.name] < 2:  # noqa: PLR2004 - as often as wanted
            return f"duplicate flag specified: --{flag.name}"
        seen.add(flag.name)
    return None


def _trigger(held: Instruction) -> str | None:
    if held.keyword in ("MAINTAINER", "FROM"):
        return f"{held.keyword} isn't allowed as an ONBUILD trigger"
    return None
