"""The command lines that put Debian packages into a root: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.images.assemble.tar import EPOCH
from seatrial.images.runtimes.launch import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

EXCLUDED = ("doc", "man", "info", "locale", "lintian", "bug", "groff", "linda")
"""Folders of /usr/share that no program needs; the copyright files stay."""
LISTS, ARCHIVES, SETTINGS = "/var/lib/apt/lists", "/var/cache/apt", "/run/seatrial"
POLICY = "/usr/sbin/policy-rc.d"
_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "DEBCONF_NOWARNINGS": "yes",
    # useradd writes today's date into /etc/shadow otherwise.
    "SOURCE_DATE_EPOCH": str(EPOCH),
    "PYTHONHASHSEED": "0",
    # Scripts that are written in Python leave bytecode of what they import.
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A program to be run in the root. `network`: with this machine's network and proxies; `compile`: its Python
    files are compiled again afterwards.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    network: bool = False
    compile: bool = False


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """What the programs see: `root` is mounted as /; `binds` are (file or folder here, path there, writable).

    `online` are binds of steps with a network, `offline` those of all others: maintainer scripts see no password.
    """

    bwrap: str
    root: str
    binds: tuple[tuple[str, str, bool], ...]
    online: tuple[tuple[str, str, bool], ...]
    offline: tuple[tuple[str, str, bool], ...]


def steps(places: Places, packages: Sequence[str], *, sources: bool) -> tuple[Step, ...]:
    """Fetch with a network, install without: maintainer scripts reach nobody.

    `sources` says that SETTINGS has its own list of sources.
    """
    options = _options(sources=sources)
    install = ["install", "--no-install-recommends", "--allow-downgrades", *options]

    def step(name: str, *words: str, network: bool = False, compile: bool = False) -> Step:  # noqa: A002
        env = _ENV | {"APT_CONFIG": f"{SETTINGS}/apt.conf"}
        argv = (*sandbox(places, network=network), *words)
        return Step(name=name, argv=argv, env=env, network=network, compile=compile)

    return (
        step("update", "apt-get", "-q", "update", *options, network=True),
        step("fetch", "apt-get", "-qy", *install, "--download-only", "--", *packages, network=True),
        step("install", "apt-get", "-qy", *install, "--no-download", "--", *packages, compile=True),
        step("check", "apt-get", "-q", "check", *options),
    )


def compiling(places: Places) -> Step:
    """Compiles the Python files that are listed on stdin; PYTHON stands for the interpreter."""
    words = ["PYTHON", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", "-i", "-"]
    return Step(name="compile", argv=(*sandbox(places, network=False), *words), env=_ENV)


def _options(*, sources: bool) -> list[str]:
    options = {
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "APT::Get::Upgrade-Allow-New": "false",
        "Acquire::Languages": "none",
        "Dpkg::Use-Pty": "0",
        "Binary::apt-get::APT::Keep-Downloaded-Packages": "true",
    }
    if sources:
        options |= {"Dir::Etc::SourceList": f"{SETTINGS}/list.sources", "Dir::Etc::SourceParts": "/dev/null"}
    dpkg = ["--force-unsafe-io", "--force-confdef", "--force-confold"]
    dpkg += [f"--path-exclude=/usr/share/{name}/*" for name in EXCLUDED]
    dpkg += ["--path-include=/usr/share/doc/*/copyright"]
    words = [f"{name}={value}" for name, value in options.items()] + [
        f"DPkg::Options::={one}" for one in dpkg
    ]
    return [word for option in words for word in ("-o", option)]


def sandbox(places: Places, *, network: bool) -> tuple[str, ...]:
    """Bwrap on the root, as a root user without any right beyond it."""
    words = [places.bwrap, "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc"]
    words += ["--unshare-uts", "--hostname", "localhost", "--unshare-cgroup-try"]
    words += [] if network else ["--unshare-net"]
    words += ["--cap-drop", "ALL"]
    for capability in CAPABILITIES:
        words += ["--cap-add", capability]
    words += ["--bind", places.root, "/", "--proc", "/proc", "--dev", "/dev"]
    words += ["--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108 - the image's own
    words += ["--tmpfs", "/run", "--dir", "/run/lock"]
    for source, target, writable in (*places.binds, *(places.online if network else places.offline)):
        words += ["--bind" if writable else "--ro-bind", source, target]
    return (*words, "--chdir", "/", "--")
