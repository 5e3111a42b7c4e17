"""Where a build's container can be: one contract, a module for each.

They differ in how the loop of `builds.worker` is started, in where the container sees the build's folders, and in
what cannot be as in CodeBuild.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.builds.setup import Wanted

Name = Literal["host", "image"]


class Executor(Protocol):
    """`seen` says where the container sees the folders `output` and `state`, `base` which variables it has before
    the build's, `argv` how the loop is started there, `remarks` what will not be as in CodeBuild.
    """

    def seen(self, output: Path, state: Path) -> tuple[str, str]: ...

    def base(self, wanted: Wanted) -> dict[str, str]: ...

    def home(self) -> str: ...

    def unset(self) -> tuple[str, ...]: ...

    def argv(self, wanted: Wanted, output: Path, state: Path) -> list[str]: ...

    def become(
        self, wanted: Wanted, line: list[str], output: Path, state: Path, *, env: dict[str, str]
    ) -> int: ...


def module(name: Name) -> Executor:
    """The module of an executor, imported when it is used."""
    found: Any = import_module(f"seatrial.builds.executors.{name}")
    return cast("Executor", found)


def can_become(name: Name, user: str) -> bool:
    """Whether a command can run as another user there: root can, and in an image who has a range of ids."""
    import os
    import pwd
    from pathlib import Path

    if os.geteuid() == 0:
        return True
    try:
        own = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        own = str(os.geteuid())
    if name == "host":
        return user in (own, str(os.geteuid()))
    tables = [Path("/etc/subuid"), Path("/etc/subgid")]
    try:
        return all(
            any(line.split(":")[0] in (own, str(os.geteuid())) for line in table.read_text().splitlines())
            for table in tables
        )
    except OSError:
        return False
