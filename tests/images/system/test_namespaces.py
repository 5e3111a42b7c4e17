"""The program that becomes root of a namespace ends, whatever happens to those that help it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from seatrial.images.system import running
from support.debian import needs_bwrap


def test_it_does_not_wait_for_a_helper_that_died() -> None:
    needs_bwrap()
    program = Path(running.__file__).with_name("namespaces.py")
    words = [f"parent={os.getpid()}", "uids=none:1", "gids=none:1", "newuidmap=", "newgidmap="]
    argv = [sys.executable, "-I", "-S", str(program), *words, "--", "/bin/true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == running.CANNOT, done.stderr
