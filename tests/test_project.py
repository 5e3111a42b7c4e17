"""The project itself: what is locked, what the scripts promise, what no file may say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
# Everyday programs that the scripts use.
TOOLS = (
    "awk", "bash", "cat", "chmod", "cp", "cut", "dirname", "env", "find", "grep", "id", "mkdir", "realpath", "rm", "sed",
    "sha256sum", "tee", "true",
)  # fmt: skip


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!;, ]", one)[0].lower().replace("_", "-") for one in requirements}


def test_the_lock_has_versions_and_hashes_and_no_index() -> None:
    text = (ROOT / "requirements/dev.lock").read_text()
    entries = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.startswith("#")))

    for entry in entries:
        assert re.match(r"[a-z0-9][a-z0-9.-]*==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]
    assert "--index" not in text
    assert "--find-links" not in text
    assert "://" not in text


def test_the_lock_has_everything_that_the_project_asks_for() -> None:
    locked = names((ROOT / "requirements/dev.lock").read_text().splitlines())
    asked = names(project()["project"]["dependencies"]) | names(project()["dependency-groups"]["dev"])

    assert asked - locked == set()


def test_the_extras_are_those_that_we_promise() -> None:
    extras = project()["project"]["optional-dependencies"]

    assert set(extras) == {"aws", "envoy", "k8s", "serve", "golden", "train", "all"}
    # Envoy's program is large, and the second choice.
    assert extras["all"] == ["seatrial[aws,golden,k8s,serve,train]"]


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda one: one.name)
def test_scripts_are_executable_and_parse(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def test_make_without_a_target_says_what_there_is() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True)

    for target in ("setup", "bootstrap", "demo", "test", "check", "bench", "lock", "clean"):
        assert f"make {target}" in done.stdout


def test_setup_installs_from_the_lock_once_and_again_when_it_changes(tmp_path: Path) -> None:
    copy, calls = _copy_of_the_scripts(tmp_path), tmp_path / "calls"
    # An interpreter that makes the folder that venv would make, and writes down what pip is asked for.
    python = _program(
        tmp_path / "bin/python3",
        f"""case "$*" in
        *"-m venv"*) mkdir -p "${{@: -1}}/bin"; cp "$0" "${{@: -1}}/bin/python"; echo "$PWD/.venv" >.venv/bin/activate;;
        *"-m pip"*) echo "$*" >>{calls}; printf '#!/bin/bash' >.venv/bin/seatrial; chmod +x .venv/bin/seatrial;;
        esac""",
    )
    path = f"{python.parent}:{_tools(tmp_path)}"

    def pip_calls() -> list[str]:
        done = _run([copy / "scripts/setup.sh"], path=path)
        assert done.returncode == 0, done.stderr
        made = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return made

    packages, ourselves = pip_calls()
    assert "--require-hashes --requirement requirements/dev.lock" in packages
    assert "--no-deps --no-build-isolation --editable ." in ourselves
    assert pip_calls() == []
    with (copy / "requirements/dev.lock").open("a") as lock:
        lock.write("# another version\n")
    assert len(pip_calls()) == 2


@pytest.mark.parametrize("version", ["3.8.10", "3.10.12"])
def test_setup_refuses_an_old_python_and_says_what_to_do(tmp_path: Path, version: str) -> None:
    major, minor, _ = version.split(".")
    copy = _copy_of_the_scripts(tmp_path)
    old = _program(
        tmp_path / "bin/python3",
        f'case "$*" in *version_info*) exit $(( {minor} < 11 || {major} < 3 ));; esac; echo Python {version}',
    )
    done = _run([copy / "scripts/setup.sh"], path=f"{old.parent}:{_tools(tmp_path)}")

    assert done.returncode == 3
    assert version in done.stderr
    assert "3.11 or newer" in done.stderr
    assert not (copy / ".venv").exists()


def test_setup_says_which_package_brings_venv(tmp_path: Path) -> None:
    copy = _copy_of_the_scripts(tmp_path)
    python = _program(
        tmp_path / "bin/python3",
        f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"',
    )
    done = _run([copy / "scripts/setup.sh"], path=f"{python.parent}:{_tools(tmp_path)}")

    assert done.returncode == 3
    assert f"apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in done.stderr


class TestBootstrap:
    """Run with a PATH of our own, on which no package can really be installed."""

    NEEDED = ("bwrap", "haproxy", "docker-registry", "mmdebstrap", "newuidmap")

    def test_nothing_happens_when_all_is_there(self, tmp_path: Path) -> None:
        self._need_keys()
        for name in self.NEEDED:
            _program(tmp_path / "bin" / name, "exit 0")
        done = self._bootstrap(tmp_path)

        if "/etc/subuid" in done.stderr:
            pytest.skip("this user has no ids in /etc/subuid")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_check_names_what_is_missing_and_changes_nothing(self, tmp_path: Path) -> None:
        for name in self.NEEDED[1:]:
            _program(tmp_path / "bin" / name, "exit 0")
        _program(tmp_path / "bin/apt-get", f"touch {tmp_path}/called")
        done = self._bootstrap(tmp_path, "--check")

        assert done.returncode == 3
        assert "missing: bubblewrap" in done.stderr
        assert not (tmp_path / "called").exists()

    def test_it_does_not_wait_for_an_answer_without_a_terminal(self, tmp_path: Path) -> None:
        _program(tmp_path / "bin/apt-get", f"touch {tmp_path}/called")
        _program(tmp_path / "bin/sudo", f"touch {tmp_path}/called")
        _program(tmp_path / "bin/id", "echo 1000")
        done = self._bootstrap(tmp_path)

        assert done.returncode == 3
        assert "sudo apt-get install --no-install-recommends bubblewrap" in done.stderr
        assert not (tmp_path / "called").exists()

    def test_an_unknown_option_is_refused(self, tmp_path: Path) -> None:
        assert self._bootstrap(tmp_path, "--chekc").returncode == 2

    def _bootstrap(self, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
        text = (ROOT / "scripts/bootstrap.sh").read_text()
        # The folders of administrators are this machine's; the programs there must not count here.
        script = _program(tmp_path / "bootstrap.sh", text.replace("PATH=$PATH:/usr/sbin:/sbin", ""))
        return _run([script, *options], path=f"{tmp_path}/bin:{_tools(tmp_path)}", CI="")

    def _need_keys(self) -> None:
        if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
            pytest.skip("debian-archive-keyring is not installed")


def _tools(tmp_path: Path) -> Path:
    """A folder with the everyday programs, and none of those that the scripts look for."""
    folder = tmp_path / "tools"
    folder.mkdir(exist_ok=True)
    for name in TOOLS:
        found = shutil.which(name)
        if found and not (folder / name).exists():
            (folder / name).symlink_to(found)
    return folder


def _copy_of_the_scripts(tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    shutil.copytree(ROOT / "requirements", copy / "requirements")
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


def _run(argv: list[Any], *, path: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env={"PATH": path, "HOME": "/nonexistent", **extra},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
