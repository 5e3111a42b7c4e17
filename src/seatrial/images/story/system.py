"""Command lines of the distributions' package managers."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from seatrial.images.story.model import SystemInstall, SystemPackage
from seatrial.images.story.options import Options, parse

if TYPE_CHECKING:
    from seatrial.images.story.scene import Call, Scene
    from seatrial.images.story.words import Word

_APT = Options(
    valued=frozenset({"target-release", "option", "config-file", "default-release"}),
    short={"t": "target-release", "o": "option", "c": "config-file", "y": "yes", "q": "quiet"},
)
_APK = Options(
    valued=frozenset(
        {"virtual", "repository", "arch", "root", "keys-dir", "repositories-file", "cache-dir", "wait"}
    ),
    short={"t": "virtual", "X": "repository", "p": "root"},
)
_RPM = Options(
    valued=frozenset(
        [
            "enablerepo",
            "disablerepo",
            "repo",
            "repoid",
            "setopt",
            "releasever",
            "installroot",
            "exclude",
            "config",
            "from",
            "root",
            "cachedir",
            "reposdir",
            "gpg-auto-import-keys",
        ]
    )
    - {"gpg-auto-import-keys"},
    short={"c": "config", "x": "exclude", "r": "repo"},
)
_TOOLS: dict[str, tuple[str, Options, tuple[str, ...]]] = {
    "apt-get": ("apt", _APT, ("install",)),
    "apt": ("apt", _APT, ("install",)),
    "aptitude": ("apt", _APT, ("install",)),
    "apk": ("apk", _APK, ("add",)),
    "dnf": ("dnf", _RPM, ("install", "downgrade")),
    "tdnf": ("dnf", _RPM, ("install",)),
    "yum": ("yum", _RPM, ("install", "localinstall", "downgrade")),
    "microdnf": ("microdnf", _RPM, ("install",)),
    "zypper": ("zypper", _RPM, ("install", "in")),
}
PROGRAMS = frozenset({*_TOOLS, "dpkg"})
"""The programs that install packages of a distribution."""


def system(call: Call, scene: Scene) -> SystemInstall | None:
    """Packages of the distribution that a command installs; None when it installs none."""
    if call.program == "dpkg":
        return _dpkg(call, scene)
    known = _TOOLS.get(call.program)
    if known is None:
        return None
    tool, options, commands = known
    words = parse(call.arguments, options).words
    if not words or words[0].text not in commands:
        return None
    return SystemInstall(
        tool=tool,
        at=scene.at,
        packages=tuple(_package(tool, word) for word in words[1:]),
        certain=scene.certain,
    )


def _dpkg(call: Call, scene: Scene) -> SystemInstall | None:
    parsed = parse(call.arguments, Options(valued=frozenset(), short={"i": "install"}))
    files = tuple(_package("apt", word) for word in parsed.words)
    if "install" not in parsed.flags or not files:
        return None
    return SystemInstall(tool="apt", at=scene.at, packages=files, certain=scene.certain)


def _package(tool: str, word: Word) -> SystemPackage:
    text = word.text
    if "/" in text or text.endswith((".deb", ".rpm", ".apk")):
        base = posixpath.basename(text)
        name, _, rest = base.partition("_")
        return SystemPackage(name, rest.split("_")[0] if base.endswith(".deb") else "", word.at)
    if tool == "apk":
        name = text.split("@")[0]
        for index, character in enumerate(name):
            if character in "=<>~":
                return SystemPackage(name[:index], name[index:].lstrip("=<>~"), word.at)
        return SystemPackage(name, "", word.at)
    name, _, version = text.partition("=")
    return SystemPackage(name.split(":")[0] if tool == "apt" else name, version, word.at)
