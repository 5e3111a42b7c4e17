"""Names of Debian packages, as a user gives them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Source: Debian Policy 5.6.1 and 5.6.12, with an optional architecture and version as apt takes them.
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?")


def check_names(packages: Sequence[str]) -> None:
    """Refuse what is no package name.

    Raises:
        UsageError: naming it.
    """
    for package in packages:
        if not PACKAGE.fullmatch(package):
            raise UsageError(
                f"{package!r} is not the name of a Debian package",
                fix="give names such as libgl1, or libgl1=1.6.0-1 for one version",
            )
