"""`--help` and `--version` stay fast because nothing heavy is imported; the times are measured in bench/startup.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seatrial.cli.root import COMMANDS

HEAVY = {
    "asyncio", "boto3", "concurrent.futures", "httpx", "isal", "jinja2", "jsonschema", "msgspec", "multiprocessing",
    "packaging", "pathspec", "rich", "sqlite3", "ssl", "uv", "yaml",
}  # fmt: skip


def imported_by(*arguments: str) -> set[str]:
    """The modules that `seatrial ARGUMENTS` had imported when it ended."""
    script = (
        "import sys, atexit\n"
        "atexit.register(lambda: sys.stderr.write('\\n@' + ' '.join(sys.modules)))\n"
        "from seatrial.cli import main\n"
        f"sys.argv = {['seatrial', *arguments]!r}\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("@")[2].split())


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_imports_click_and_nothing_heavy(option: str) -> None:
    modules = imported_by(option)

    assert "click" in modules
    assert modules & HEAVY == set()
    assert {one for one in modules if one.startswith("seatrial")} <= {
        "seatrial", "seatrial.errors", "seatrial.cli", "seatrial.cli.root", "seatrial.cli.failure",
    }  # fmt: skip


def test_version_imports_not_even_click() -> None:
    modules = imported_by("--version")

    assert modules & {*HEAVY, "click", "importlib.metadata"} == set()


def test_a_commands_help_imports_none_of_what_the_command_does() -> None:
    assert imported_by("schema", "--help") & (HEAVY - {"msgspec"}) == set()


def test_the_root_lists_every_command_with_its_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "seatrial", "--help"], capture_output=True, text=True, check=True
    )
    for name, (_, _, line) in COMMANDS.items():
        assert name in done.stdout
        assert line.split(",")[0].split(":")[0] in " ".join(done.stdout.split())
