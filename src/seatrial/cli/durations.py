"""Lengths of time as people type them."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Seconds(click.ParamType):  # type: ignore[type-arg] # generic only since click 8.5
    """`90`, `90s`, `1.5m` or `2h`, as seconds; at most two days."""

    name = "time"
    _MOST = 172_800.0

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if not found:
            self.fail(f"{value!r} is no length of time; use 90, 90s, 1.5m or 2h", param, ctx)
        seconds = float(found[1]) * _UNITS[found[2]]
        if seconds > self._MOST:
            self.fail(f"{value!r} is longer than two days", param, ctx)
        return seconds


SECONDS = Seconds()
