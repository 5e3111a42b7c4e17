"""Call a hook's Python function: the program `python -m seatrial.services.hook MODULE:FUNCTION`.

It runs in a process of its own, in the new version's folder, which comes first where modules are looked for.
"""

from __future__ import annotations

import importlib
import os
import sys

_TOLD = (
    "DEPLOYMENT_ID",
    "LIFECYCLE_EVENT",
    "SERVICE",
    "REVISION",
    "PREVIOUS_REVISION",
    "STRATEGY",
    "SERVICE_URL",
    "TEST_URL",
    "TEST_HEADER",
)


def main(target: str) -> int:
    """0 when the function returns anything but False; what it raises is printed with its traceback."""
    module, _, name = target.partition(":")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - a plain string
    function = getattr(importlib.import_module(module), name)
    found = function({variable.lower(): os.environ.get(variable, "") for variable in _TOLD})
    if found is False:
        sys.stderr.write(f"{target} returned False\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
