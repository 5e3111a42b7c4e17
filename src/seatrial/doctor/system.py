"""How things are installed on this machine."""

from __future__ import annotations

import functools
import os
import pwd
from pathlib import Path

# The first id and the number of ids that useradd gives to a new user: login.defs(5).
FIRST_ID, ID_COUNT = 100_000, 65_536
COLUMNS = 3
ID_TABLES = ("/etc/subuid", "/etc/subgid")

# By the ID or ID_LIKE of os-release(5).
_INSTALLERS = {
    "debian": "apt-get install --no-install-recommends",
    "ubuntu": "apt-get install --no-install-recommends",
    "fedora": "dnf install",
    "rhel": "dnf install",
    "suse": "zypper install",
    "opensuse": "zypper install",
    "arch": "pacman -S",
    "alpine": "apk add",
}


def install(*packages: str) -> str:
    """The command that installs packages, by their names in Debian."""
    names = " ".join(packages)
    for family in families():
        if family in _INSTALLERS:
            return as_root(f"{_INSTALLERS[family]} {names}")
    return f"install {names} with your package manager"


def as_root(command: str) -> str:
    """The command as this user has to type it."""
    return command if os.geteuid() == 0 else f"sudo {command}"


def has_ids() -> bool:
    """Whether this user may give ids to the users of a namespace: subuid(5)."""
    names = {str(os.geteuid()), _user()}
    return all(any(row[0] in names for row in _rows(table)) for table in ID_TABLES)


def give_ids() -> str:
    """The command that gives this user such ids, beyond those of others."""
    ends = [int(start) + int(count) for table in ID_TABLES for _, start, count in _rows(table)]
    start = max([FIRST_ID, *ends])
    ids = f"{start}-{start + ID_COUNT - 1}"
    return as_root(f"usermod --add-subuids {ids} --add-subgids {ids} {_user()}")


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _rows(table: str) -> list[list[str]]:
    """NAME:START:COUNT of each well-formed line."""
    try:
        rows = [line.split(":") for line in Path(table).read_text().splitlines()]
    except OSError:
        return []
    return [row for row in rows if len(row) == COLUMNS and row[1].isdigit() and row[2].isdigit()]


@functools.cache
def families() -> tuple[str, ...]:
    """The distribution and those it is like, nearest first."""
    for place in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            lines = Path(place).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        return tuple(f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "").split())
    return ()


def setting(name: str) -> str:
    """A kernel setting such as `kernel.apparmor_restrict_unprivileged_userns`; empty where there is none."""
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return ""


def namespace_advice() -> str:
    """What to change so that programs may make user namespaces, as far as the kernel's settings show it."""
    if setting("kernel.unprivileged_userns_clone") == "0":
        return as_root("sysctl -w kernel.unprivileged_userns_clone=1")
    if setting("user.max_user_namespaces") == "0":
        return as_root("sysctl -w user.max_user_namespaces=15000")
    if setting("kernel.apparmor_restrict_unprivileged_userns") == "1":
        # Profiles allow it to single programs; see https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces
        return "scripts/bootstrap.sh (installs an AppArmor profile), or " + as_root(
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    return "in a container, start it with the right to make user namespaces (Docker: --security-opt seccomp=unconfined)"
