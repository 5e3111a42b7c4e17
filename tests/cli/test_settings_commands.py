"""`--explain-config`, `--set`, `schema` and `completion` from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seatrial import config
from seatrial.cli.root import COMMANDS
from seatrial.errors import USAGE

EXAMPLE = Path(__file__).parents[2] / "examples/iris-service"


def seatrial(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    return subprocess.run(
        [Path(sys.executable).with_name("seatrial"), *arguments],
        env={**clean, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_explain_config_says_who_gave_each_value(tmp_path: Path) -> None:
    done = seatrial(
        "ship", EXAMPLE, "--explain-config", "--json", "--set", "services.iris.port=9000", "--tag", "v1",
        SEATRIAL_IMAGES_IRIS_PLATFORM="linux/arm64", SEATRIAL_HOME=str(tmp_path),
    )  # fmt: skip
    found = {one["key"]: (one["value"], one["source"]) for one in json.loads(done.stdout)}

    assert found["services.iris.port"] == (9000, "flag --set services.iris.port")
    assert found["images.iris.push.tags"] == (["v1"], "flag --tag")
    assert found["images.iris.platform"] == (
        "linux/arm64",
        "environment variable SEATRIAL_IMAGES_IRIS_PLATFORM",
    )
    assert found["images.iris.base.debian"] == ("bookworm", "seatrial.yaml:3:11")
    assert found["images.iris.user"] == ("1000:1000", "default")
    assert list(tmp_path.iterdir()) == []  # and nothing else was done


def test_explain_config_as_text_has_a_line_for_each_setting() -> None:
    done = seatrial("ship", EXAMPLE, "--explain-config")
    lines = [line.split() for line in done.stdout.splitlines()]

    assert [line[0] for line in lines] == [one.key for one in config.explain(EXAMPLE, environ={})]
    assert ["services.iris.lifetime", "3600.0", "default"] in lines


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("services.iris.prot=1", "did you mean services.iris.port?"),
        ("services.iris.port=many", "whole number"),
        ("services.iris.port", "is not KEY=VALUE"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_happens(setting: str, says: str) -> None:
    done = seatrial("ship", EXAMPLE, "--set", setting)

    assert done.returncode == USAGE
    assert says in done.stderr
    assert done.stdout == ""


def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "seatrial.yaml").write_text("images:\n  api: {entrypiont: [x]}\n")
    done = seatrial("ship", tmp_path)

    assert done.returncode == USAGE
    assert "seatrial.yaml:2:9: unknown key 'entrypiont'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_schema_is_json_and_the_published_one(options: tuple[str, ...]) -> None:
    assert json.loads(seatrial("schema", *options).stdout) == config.schema()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_the_shell_accepts(shell: str) -> None:
    done = seatrial("completion", shell)

    assert done.returncode == 0
    assert "_SEATRIAL_COMPLETE" in done.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


def test_bash_really_completes_commands() -> None:
    done = seatrial(_SEATRIAL_COMPLETE="bash_complete", COMP_WORDS="seatrial ", COMP_CWORD="1")
    offered = {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert set(COMMANDS) <= offered


def test_completion_knows_no_other_shell() -> None:
    assert seatrial("completion", "tcsh").returncode == USAGE
