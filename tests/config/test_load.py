"""Which value counts, and who is said to have given it."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from seatrial.config import Base, ConfigError, Flag, explain, load
from seatrial.errors import USAGE, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = """\
images:
  api:
    base: debian:bookworm
    env: {MODE: 0644, DEBUG: yes, VERSION: 1.10, EMPTY: '', ON: true, HEX: 0x1F}
    user: 1000
    platform: linux/amd64
services:
  api: {port: 8000}
check:
  disable: [python/unused]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "seatrial.yaml").write_text(FILE)
    return tmp_path


def sources(
    directory: Path, flags: Mapping[str, object], environ: Mapping[str, str]
) -> dict[str, tuple[object, str]]:
    return {one.key: (one.value, one.source) for one in explain(directory, flags=flags, environ=environ)}


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(project: Path) -> None:
    key, variable = "images.api.platform", "SEATRIAL_IMAGES_API_PLATFORM"
    environ = {variable: "linux/arm64"}
    flags = {key: Flag("--platform", "linux/riscv64")}

    assert load(project, flags=flags, environ=environ).images["api"].platform == "linux/riscv64"
    assert load(project, environ=environ).images["api"].platform == "linux/arm64"
    assert load(project, environ={}).images["api"].platform == "linux/amd64"

    assert sources(project, flags, environ)[key] == ("linux/riscv64", "flag --platform")
    assert sources(project, {}, environ)[key] == ("linux/arm64", f"environment variable {variable}")
    assert sources(project, {}, {})[key] == ("linux/amd64", "seatrial.yaml:6:15")
    assert sources(project, {}, {})["images.api.workdir"] == ("/app", "default")


def test_variables_keep_the_text_that_was_written(project: Path) -> None:
    api = load(project, environ={}).images["api"]

    assert api.env == {
        "MODE": "0644", "DEBUG": "yes", "VERSION": "1.10", "EMPTY": "", "ON": "true", "HEX": "0x1F",
    }  # fmt: skip
    assert api.user == "1000"


def test_a_flag_that_was_not_given_changes_nothing(project: Path) -> None:
    assert load(project, flags={"images.api.platform": None}, environ={}) == load(project, environ={})


def test_a_star_means_each_image(project: Path) -> None:
    (project / "seatrial.yaml").write_text("images: {one: {}, two: {}}\n")

    config = load(project, flags={"images.*.base": "noble/base:1"}, environ={})

    assert {one.base for one in config.images.values()} == {Base(registry="noble/base:1")}


def test_flags_and_variables_give_lists_and_new_variables(project: Path) -> None:
    config = load(
        project,
        flags={"images.api.labels.org.example.team": "search", "images.api.requirements": []},
        environ={"SEATRIAL_CHECK_DISABLE": "a/b, c/d"},
    )

    assert config.check.disable == ("a/b", "c/d")
    assert config.images["api"].labels == {"org.example.team": "search"}


@pytest.mark.parametrize(
    ("environ", "flags", "near"),
    [
        ({"SEATRIAL_IMAGES_API_PLATFROM": "x"}, {}, "SEATRIAL_IMAGES_API_PLATFORM"),
        ({"SEATRIAL_CHECK_DISABEL": "x"}, {}, "SEATRIAL_CHECK_DISABLE"),
        ({}, {"images.api.platfrom": "x"}, "images.api.platform"),
    ],
)
def test_a_slip_in_a_variable_or_flag_is_an_error(
    project: Path, environ: dict[str, str], flags: dict[str, str], near: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(project, flags=flags, environ=environ)

    assert caught.value.exit_code == USAGE
    assert near in str(caught.value.fix)


def test_variables_of_other_projects_and_of_seatrial_itself_do_not_disturb(project: Path) -> None:
    environ = {"SEATRIAL_IMAGES_OTHER_BASE": "x", "SEATRIAL_HOME": "/x", "SEATRIAL_CACHE": "/y"}

    assert load(project, environ=environ) == load(project, environ={})


def test_a_wrong_value_names_the_variable_it_came_from(project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(project, environ={"SEATRIAL_SERVICES_API_PORT": "many"})

    assert "environment variable SEATRIAL_SERVICES_API_PORT" in str(caught.value)


def test_the_error_has_place_fix_and_every_finding(project: Path) -> None:
    (project / "seatrial.yaml").write_text("images: {api: {requirement: []}}\nchekc: {}\n")

    with pytest.raises(ConfigError) as caught:
        load(project, environ={})

    assert caught.value.where == "seatrial.yaml:1:16"
    assert caught.value.fix == "write requirements"
    assert [one.rule for one in caught.value.findings] == ["config/unknown-key"] * 2
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("seatrial.yml", b"", "rename it to seatrial.yaml"),
        ("seatrial.yaml", b"\xff\xfei\x00", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_count_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(UsageError) as caught:
        load(tmp_path, environ={})

    assert says in str(caught.value)


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "seatrial.yaml").write_bytes(b"\xef\xbb\xbfimages:\r\n  api:\r\n    user: 5\r\n")

    assert load(tmp_path, environ={}).images["api"].user == "5"


class TestWithoutAFile:
    def test_requirements_make_an_image_and_a_program_that_answers_ping_a_service(
        self, tmp_path: Path
    ) -> None:
        project = tmp_path / "My Model_2"
        project.mkdir()
        (project / "requirements.txt").touch()
        (project / "serve.py").write_text('@app.get("/ping")\ndef ping(): ...\n')

        config = load(project, environ={})

        image = config.images["my-model-2"]
        assert image.requirements == ("requirements.txt",)
        assert image.entrypoint == ("python3", "serve.py")
        assert config.services["my-model-2"].image == "my-model-2"
        assert sources(project, {}, {})["images.my-model-2.entrypoint"][1] == "detected: serve.py"

    def test_a_program_without_ping_is_no_service(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").touch()
        (tmp_path / "main.py").write_text("print('hello')\n")

        assert load(tmp_path, environ={}).services == {}

    def test_an_empty_folder_has_no_image(self, tmp_path: Path) -> None:
        assert load(tmp_path, environ={}).images == {}

    @pytest.mark.parametrize(
        ("files", "found"),
        [
            ("uv.lock poetry.lock pylock.toml requirements.txt pyproject.toml environment.yml", "uv.lock"),
            ("poetry.lock pylock.toml requirements.txt pyproject.toml", "poetry.lock"),
            ("pylock.toml requirements.txt pyproject.toml", "pylock.toml"),
            ("requirements.in requirements.txt pyproject.toml environment.yml", "requirements.txt"),
            ("requirements/base.txt pyproject.toml", "requirements/base.txt"),
            ("pyproject.toml environment.yml", "pyproject.toml"),
            ("environment.yml", "environment.yml"),
        ],
    )
    def test_the_most_exact_file_says_what_is_installed(self, tmp_path: Path, files: str, found: str) -> None:
        for name in files.split():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text('[project]\nname = "x"\ndependencies = ["y"]\n')

        (image,) = load(tmp_path, environ={}).images.values()

        assert image.requirements == (found,)

    @pytest.mark.parametrize(
        ("text", "counts"),
        [
            ('[project]\nname = "x"\ndynamic = ["dependencies"]\n', True),
            ('[tool.poetry.dependencies]\npython = "^3.11"\ny = "*"\n', True),
            ('[tool.poetry.dependencies]\npython = "^3.11"\n', False),
            ('[project]\nname = "x"\ndependencies = []\n', False),
            ("[tool.ruff]\nline-length = 88\n", False),
            ("not TOML", False),
        ],
    )
    def test_a_project_file_counts_when_it_says_what_is_needed(
        self, tmp_path: Path, text: str, counts: bool
    ) -> None:
        (tmp_path / "pyproject.toml").write_text(text)

        assert bool(load(tmp_path, environ={}).images) is counts

    def test_what_the_file_says_is_not_detected_over(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").touch()
        (tmp_path / "serve.py").write_text('"/ping"')
        (tmp_path / "seatrial.yaml").write_text(
            "images: {api: {requirements: [], command: [x]}}\nservices: {}\n"
        )

        config = load(tmp_path, environ={})

        assert config.images["api"].requirements == ()
        assert config.images["api"].entrypoint == ()
        assert config.services == {}

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such folder"):
            load(tmp_path / "absent", environ={})


def test_null_takes_the_analysis_away_and_says_nothing_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "seatrial.yaml").write_text(
        "services: {a: {deploy: {analysis: null, strategy: null}}, b: {}}\n"
    )

    services = load(tmp_path, environ={}).services

    assert services["a"].deploy.analysis is None
    assert services["a"].deploy.strategy == services["b"].deploy.strategy != ""
    assert services["b"].deploy.analysis is not None
    shown = {one.key: one for one in explain(tmp_path, environ={})}["services.a.deploy.analysis"]
    assert (shown.value, shown.source) == (None, "seatrial.yaml:1:35")
