"""What a shell prints of its variables is read back as it was."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from seatrial.builds.shell import exports, read_exports, script

VALUES = {
    "PLAIN": "value",
    "EMPTY": "",
    "QUOTES": """it's "both" `and` $HOME \\ back""",
    "LINES": "first\nexport FAKE='no'\nlast\n",
    "SPACES": "  two  ",
    "UNICODE": "grün ✓",
    "CONTROL": "a\tb\x01c\x1b[0m",
}
SHELLS = (["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"])


@pytest.mark.parametrize("line", SHELLS, ids=" ".join)
def test_variables_survive_a_shell(line: list[str]) -> None:
    if shutil.which(line[0]) is None:
        pytest.skip(f"{line[0]} is not installed")
    done = subprocess.run(
        [*line, "-c", f"{exports(VALUES)}export -p"],
        capture_output=True,
        text=True,
        check=True,
        env={"LC_ALL": "C.UTF-8"},
    )
    found = read_exports(done.stdout)
    assert {name: found.get(name) for name in VALUES} == VALUES
    assert "FAKE" not in found


def test_the_last_of_a_name_counts() -> None:
    assert read_exports("export A='1'\nexport B\nexport A='2'\n") == {"A": "2"}


def test_a_command_begins_on_the_fourth_line() -> None:
    assert script("one\ntwo", "/state").splitlines()[3:5] == ["one", "two"]
    assert script("one", "/state", keep=False).splitlines()[3:] == ["one"]
