"""`runtime-versions`: what is found, what is chosen, and CodeBuild's words."""

from __future__ import annotations

import os
import pickle
import subprocess
from typing import TYPE_CHECKING

import pytest

from seatrial.builds import runtimes
from seatrial.builds.reading import read
from seatrial.builds.runtimes import Installed, Refused
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.builds.model import Buildspec

HAS = {
    "nodejs": ("18", "20"),
    "python": ("3.9", "3.11", "3.12"),
    "java": ("corretto8", "corretto11", "corretto17"),
    "golang": ("1.21",),
    "dotnet": (),
}


def spec(**wanted: str) -> Buildspec:
    lines = [f"      {name}: {value}" for name, value in wanted.items()]
    start = ["version: 0.2", "phases:", "  install:", "    runtime-versions:"] if lines else ["version: 0.2"]
    found = read(Source("buildspec.yml", "\n".join([*start, *lines, ""]))).spec
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "wanted", "chosen"),
    [
        ("nodejs", "18", "18"),
        ("nodejs", "latest", "20"),
        ("nodejs", "18.x", "18"),
        ("python", "3.x", "3.12"),
        ("python", "3.9", "3.9"),
        ("python", "latest", "3.12"),
        ("java", "corretto11", "corretto11"),
        ("java", "corretto11.x", "corretto11"),
        ("java", "openjdk8", "corretto8"),
        ("java", "latest", "corretto17"),
        ("golang", "1.x", "1.21"),
    ],
)
def test_what_is_chosen(name: str, wanted: str, chosen: str) -> None:
    assert runtimes.select(spec(**{name: wanted}), HAS).versions == {name: chosen}


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        (
            "docker",
            "18",
            "Unknown runtime named 'docker'. This build image has the following runtimes: golang, java, nodejs, python",
        ),
        (
            "dotnet",
            "8.0",
            "Unknown runtime named 'dotnet'. This build image has the following runtimes: golang, java, nodejs, python",
        ),
        (
            "nodejs",
            "12",
            "Unknown runtime version named '12' of nodejs. This build image has the following versions: 18, 20",
        ),
        (
            "python",
            "3.1",
            "Unknown runtime version named '3.1' of python. This build image has the following versions: 3.9, 3.11, 3.12",
        ),
        (
            "python",
            "3.1.x",
            "Unknown runtime version named '3.1.x' of python. This build image has the following versions: 3.9, 3.11, 3.12",
        ),
    ],
)
def test_what_is_unknown_is_said_in_codebuilds_words_at_its_line(
    name: str, wanted: str, message: str
) -> None:
    with pytest.raises(Refused) as raised:
        runtimes.select(spec(**{name: wanted}), HAS)
    assert (raised.value.code, raised.value.message) == ("YAML_FILE_ERROR", message)
    assert str(raised.value.where).startswith("buildspec.yml:5:")
    copy = pickle.loads(pickle.dumps(raised.value))
    assert (copy.code, copy.message) == (raised.value.code, message)


def test_nothing_selected() -> None:
    assert runtimes.select(spec(), HAS).log == ("No runtime version selected in buildspec.",)


@pytest.mark.parametrize(
    ("image", "supported", "needed"),
    [
        ("aws/codebuild/standard:7.0", True, False),
        ("public.ecr.aws/codebuild/amazonlinux-x86_64-standard:5.0", True, False),
        ("aws/codebuild/standard:2.0", True, True),
        ("aws/codebuild/amazonlinux2-x86_64-standard:1.0", True, True),
        ("aws/codebuild/standard:1.0", False, False),
        ("python:3.12", False, False),
        ("example.com/codebuild/standard:7.0", False, False),
    ],
)
def test_images(image: str, supported: bool, needed: bool) -> None:
    assert runtimes.supports(image) is supported
    if needed:
        with pytest.raises(Refused, match="This build image requires selecting at least one runtime version"):
            runtimes.select(spec(), HAS, image=image)
    else:
        assert runtimes.select(spec(), HAS, image=image).versions == {}
    selected = runtimes.select(spec(python="3.x"), HAS, image=image)
    assert selected.versions == ({"python": "3.12"} if supported else {})
    if not supported:
        assert selected.log == (
            "Skipping install of runtimes. Runtime version selection is not supported by this build image",
        )


def test_what_is_selected_goes_first_and_is_told() -> None:
    there = {
        "python": {"3.12": Installed("3.12.4", "/opt/python/bin")},
        "java": {"corretto17": Installed("17.0.9", "/usr/lib/jvm/17/bin", "OpenJDK")},
        "nodejs": {"20": Installed("20.1.0", "/usr/bin", first=True)},
    }
    selected = runtimes.select(spec(python="3.x", java="corretto17", nodejs="20"), HAS, installed=there)
    assert selected.path == ("/opt/python/bin", "/usr/lib/jvm/17/bin")
    assert selected.log == (
        "Selecting 'python' runtime version '3.12' based on manual selections...",
        "Selecting 'java' runtime version 'corretto17' based on manual selections...",
        "Selecting 'nodejs' runtime version '20' based on manual selections...",
        "Installing Python version 3.12 ...",
        "Installing Java version 17 ...",
        "Installing Node.js version 20 ...",
    )
    assert "python 3.12 is 3.12.4 here" in selected.notes[0]
    assert "CodeBuild has Amazon Corretto" in selected.notes[1]
    after = runtimes.folders(selected, {"PATH": "/usr/bin:/bin", "KEPT": "1"})
    assert after == {
        "PATH": "/opt/python/bin:/usr/lib/jvm/17/bin:/usr/bin:/bin",
        "KEPT": "1",
        "JAVA_HOME": "/usr/lib/jvm/17",
        "JDK_HOME": "/usr/lib/jvm/17",
        "JRE_HOME": "/usr/lib/jvm/17",
    }


class TestFound:
    """The question is put to a real sh, about programs in folders of the test's own."""

    @pytest.fixture
    def ask(self, tmp_path: Path) -> Callable[[str], str]:
        def run(script: str) -> str:
            path = f"{tmp_path}/bin:{tmp_path}/shims:/usr/bin:/bin"
            env = {"PATH": path, "HOME": str(tmp_path / "home")}
            return subprocess.run(
                ["sh"], input=script, capture_output=True, text=True, env=env, check=True
            ).stdout

        return run

    def program(self, path: Path, answer: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{answer}'\n")
        path.chmod(0o755)

    def test_on_path_and_in_the_folders_of_version_managers(
        self, tmp_path: Path, ask: Callable[[str], str]
    ) -> None:
        home = tmp_path / "home"
        self.program(tmp_path / "bin/node", "v91.2.3")
        self.program(home / ".nvm/versions/node/v92.0.1/bin/node", "v92.0.1")
        self.program(home / ".rbenv/versions/9.3.4/bin/ruby", "ruby 9.3.4p1 (2030-01-01) [x86_64-linux]")
        self.program(home / ".phpenv/versions/98.1.2/bin/php", "98.1.2")
        self.program(home / ".goenv/versions/1.99.0/bin/go", "go version go1.99.0 linux/amd64")
        self.program(home / ".dotnet/dotnet", "98.0.100")
        self.program(
            home / ".pyenv/versions/9.8.7/bin/python", f"9.8.7 {home}/.pyenv/versions/9.8.7/bin/python"
        )
        self.program(home / ".sdkman/candidates/java/a/bin/java", 'openjdk version "99.0.1" Corretto-99')
        found = runtimes.found(ask)
        assert list(found.versions) == sorted(found.versions)
        for name, version in {
            "nodejs": "91", "ruby": "9.3", "php": "98.1", "golang": "1.99", "dotnet": "98.0", "python": "9.8",
            "java": "corretto99",
        }.items():  # fmt: skip
            assert version in found.versions[name]
        assert found.versions["nodejs"][-1] == "92"
        assert found.installed["nodejs"]["91"] == Installed("91.2.3", f"{tmp_path}/bin", first=True)
        assert found.installed["nodejs"]["92"].folder == f"{home}/.nvm/versions/node/v92.0.1/bin"
        assert found.installed["java"]["corretto99"].maker == "Corretto"

    def test_only_what_is_wanted_is_asked(self, tmp_path: Path, ask: Callable[[str], str]) -> None:
        self.program(tmp_path / "bin/node", "v91.2.3")
        self.program(tmp_path / "bin/ruby", "ruby 9.3.4")
        assert runtimes.found(ask, ["nodejs"]).versions.keys() == {"nodejs"}

    def test_a_name_that_is_none_lists_all(self, tmp_path: Path, ask: Callable[[str], str]) -> None:
        self.program(tmp_path / "bin/node", "v91.2.3")
        self.program(tmp_path / "bin/ruby", "ruby 9.3.4")
        assert {"nodejs", "ruby"} <= runtimes.found(ask, ["docker"]).versions.keys()
        assert {"nodejs", "ruby"} <= runtimes.available(ask).keys()

    def test_old_java_says_1_8(self, tmp_path: Path, ask: Callable[[str], str]) -> None:
        self.program(tmp_path / "bin/java", 'openjdk version "1.8.0_402"')
        assert "corretto8" in runtimes.found(ask, ["java"]).versions["java"]

    def test_a_program_that_does_not_run_is_none(self, tmp_path: Path, ask: Callable[[str], str]) -> None:
        broken = tmp_path / "bin/php"
        self.program(broken, "")
        broken.write_text("#!/bin/sh\necho 97.1.2\nexit 3\n")
        assert "97.1" not in runtimes.found(ask, ["php"]).versions.get("php", ())

    def test_this_machines_python(self) -> None:
        def run(script: str) -> str:
            return subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True).stdout

        found = runtimes.found(run, ["python"])
        assert found.installed["python"]
        for one in found.installed["python"].values():
            assert os.access(one.folder, os.X_OK)
