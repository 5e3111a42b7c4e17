"""The settings of a project: `seatrial.yaml`, variables and flags."""

from __future__ import annotations

from seatrial.config.check import RULES, check_text
from seatrial.config.load import FILE, ConfigError, Setting, explain, load
from seatrial.config.model import (
    Base,
    Call,
    Check,
    Config,
    Image,
    ImageTest,
    Ping,
    Push,
    Service,
    Ship,
    Source,
    Timeouts,
)
from seatrial.config.overrides import Flag
from seatrial.config.schema import schema

__all__ = [
    "FILE",
    "RULES",
    "Base",
    "Call",
    "Check",
    "Config",
    "ConfigError",
    "Flag",
    "Image",
    "ImageTest",
    "Ping",
    "Push",
    "Service",
    "Setting",
    "Ship",
    "Source",
    "Timeouts",
    "check_text",
    "explain",
    "load",
    "schema",
]
