"""A failure names the line of the project that answers it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from seatrial.config import check_text, load
from seatrial.errors import UsageError
from seatrial.images.testing.advice import find_project
from seatrial.images.testing.advice_names import debian_package, distribution
from seatrial.images.testing.advice_project import packages_edit
from seatrial.images.testing.model import Edit
from seatrial.images.testing.suite import run_tests
from support.debian import PACKAGES, Item, base, folder, image, needs_bwrap, own_cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n" * 3
APP = [folder("app")]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


def installed(name: str, code: str, *requires: str) -> list[Item]:
    info = f"{PACKAGES}/{name}-1.0.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    return [
        Item(f"{PACKAGES}/{name}.py", code),
        Item(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}"),
        Item(f"{info}/RECORD", f"{name}.py,,\n"),
    ]


class Case(NamedTuple):
    """An image's files, its settings, the project's files, the check that fails, and the edit that is expected."""

    items: Sequence[Item]
    project: dict[str, str]
    check: str
    edit: Edit | None
    settings: dict[str, Any] = {"Cmd": ["python3"]}  # noqa: RUF012 - never changed
    lock: dict[str, str] | None = None
    words: str = ""


CASES = {
    "a library of the system": Case(
        installed("draws", "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')\n"),
        {"seatrial.yaml": "images:\n  api:\n    base: debian:bookworm\n"}, "imports:draws",
        Edit(file="seatrial.yaml", line=3, old="base: debian:bookworm", new="base: {debian: bookworm, packages: [libgl1]}"),
        words="libgl1",
    ),
    "a module of a distribution of another name": Case(
        installed("reads", "import sklearn\n"), {"requirements.txt": "reads\n"}, "imports:reads",
        Edit(file="requirements.txt", line=2, new="scikit-learn"),
    ),
    "a module of the project": Case(
        installed("reads", "import helpers\n"), {"requirements.txt": "reads\n", "helpers.py": ""}, "imports:reads",
        None, words="the project's own",
    ),
    "an old pin": Case(
        installed("thing", ""), {"requirements.txt": "# ours\nthing==1.0\n"}, "versions",
        Edit(file="requirements.txt", line=2, old="thing==1.0", new="thing==1.1"), lock={"thing": "1.1"},
    ),
    "a requirement that is not met": Case(
        installed("thing", "", "other>=2"), {"pyproject.toml": "[project]\nname = 'x'\nversion = '1'\ndependencies = [\n  'thing',\n  'other<2',\n]\n"},
        "dependencies", Edit(file="pyproject.toml", line=6, old="other<2", new="other>=2"),
    ),
    "a key among the project's files": Case(
        [*APP, Item("app/certs/key.pem", KEY)], {"requirements.txt": "", "certs/key.pem": KEY, ".dockerignore": "*.md\n"}, "secrets",
        Edit(file=".dockerignore", line=2, new="certs/key.pem"),
    ),
    "a password in the settings": Case(
        APP, {"seatrial.yaml": "images:\n  api:\n    env:\n      DB_PASSWORD: hunter2hunter2\n"}, "secrets", None,
        {"Cmd": ["python3"], "Env": ["DB_PASSWORD=hunter2hunter2"]}, words="seatrial.yaml:4 (`DB_PASSWORD: …`)",
    ),
    "a script that is not executable": Case(
        [*APP, Item("app/run.sh", "#!/bin/sh\n")], {"requirements.txt": "", "run.sh": "#!/bin/sh\n"}, "entrypoint",
        Edit(file="run.sh", line=0, old="0644", new="0755"), {"Entrypoint": ["/app/run.sh"], "WorkingDir": "/app"},
    ),
    "a file that only root may read": Case(
        [*APP, Item("app/model.bin", "x", mode=0o600)], {"requirements.txt": "", "model.bin": "x"}, "permissions",
        Edit(file="model.bin", line=0, old="0600", new="0644"), {"Cmd": ["python3"], "User": "1000", "WorkingDir": "/app"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_edit_is_named(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    place = tmp_path / "project"
    for path, text in {"requirements.txt": "", **case.project}.items():
        if path == "requirements.txt" and "pyproject.toml" in case.project:
            continue
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
        (place / path).chmod(0o600 if path == "model.bin" else 0o644)
    image(tmp_path / "layout", [case.items], case.settings, base=base())
    group = case.check.partition(":")[0]
    verdict = run_tests(
        tmp_path / "layout", level="quick", lock=case.lock, only=(group,), project=find_project(place)
    )
    check = next(check for check in verdict.checks if check.id == case.check)
    assert check.status == "fail"
    assert check.edit == case.edit, check
    assert case.words in check.fix
    assert "hunter2" not in check.fix


@pytest.mark.parametrize(
    "text",
    [
        "images:\n  api:\n    base: debian:bookworm\n",
        "images:\n  api:\n    base: {debian: bookworm}\n",
        "images:\n  api:\n    base: {debian: bookworm, packages: [git]}\n",
        "images:\n  api:\n    base:\n      debian: bookworm\n    ports: [8080]\n",
        "images:\n  other: {base: debian:trixie}\n  api:\n    ports: [8080]\n",
        "images:\n  api:\n    base: registry.example/team/base:1\n",
    ],
)
def test_seatrial_yaml_with_the_edit_has_the_package(text: str, tmp_path: Path) -> None:
    """The advice is tried: the file is edited as it says, and read."""
    (tmp_path / "seatrial.yaml").write_text(text)
    project = find_project(tmp_path, "api")
    assert project
    edit = packages_edit(project, "libgl1")
    lines = text.splitlines()
    if edit.old:
        assert edit.old in lines[edit.line - 1]
        lines[edit.line - 1] = lines[edit.line - 1].replace(edit.old, edit.new)
    else:
        lines.insert(edit.line - 1, edit.new)
    (tmp_path / "seatrial.yaml").write_text("\n".join(lines) + "\n")
    before, after = project.image, load(tmp_path).images["api"]
    assert after.base.packages == (*before.base.packages, "libgl1")
    assert (after.base.debian, after.base.registry) == (before.base.debian, before.base.registry)
    assert after.ports == before.ports
    assert check_text("seatrial.yaml", (tmp_path / "seatrial.yaml").read_text()) == []
    yaml.safe_load((tmp_path / "seatrial.yaml").read_text())


@pytest.mark.parametrize(
    ("soname", "package"),
    [
        ("libGL.so.1", "libgl1"), ("libgthread-2.0.so.0", "libglib2.0-0"), ("libunknown.so.3", "libunknown3"),
        ("libfoo2.so.1", "libfoo2-1"), ("libbar-1.2.so.4", "libbar-1.2-4"), ("_private.so", ""), ("libcuda.so.1", ""),
    ],
)  # fmt: skip
def test_packages_of_libraries(soname: str, package: str) -> None:
    assert debian_package(soname) == package


def test_distributions_of_modules() -> None:
    assert [distribution(name) for name in ("cv2", "yaml", "google.protobuf.message", "some_thing")] == [
        "opencv-python-headless", "pyyaml", "protobuf", "some-thing",
    ]  # fmt: skip


def test_several_images_need_a_name(tmp_path: Path) -> None:
    (tmp_path / "seatrial.yaml").write_text("images: {a: {}, b: {}}\n")
    assert find_project(tmp_path) is None
    with pytest.raises(UsageError, match="no image 'c'"):
        find_project(tmp_path, "c")


def test_the_command_shows_the_edit_and_takes_the_projects_settings(tmp_path: Path) -> None:
    place = tmp_path / "project"
    place.mkdir()
    (place / "requirements.txt").write_text("reads\n")
    (place / "seatrial.yaml").write_text(
        "images: {api: {test: {level: quick, imports: [decimal, nowhere]}}}\n"
    )
    image(tmp_path / "layout", [installed("reads", "")], {"Cmd": ["python3"]}, base=base())
    argv = [
        sys.executable,
        "-m",
        "seatrial",
        "image",
        "test",
        str(tmp_path / "layout"),
        "--project",
        str(place),
    ]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "requirements.txt:2" in done.stdout
    assert "+ nowhere" in done.stdout
    assert "level quick" in done.stdout
    checks: list[dict[str, Any]] = json.loads((tmp_path / "test-reports/image-tests.json").read_text())[
        "checks"
    ]
    failure = next(check for check in checks if check["status"] == "fail")
    assert failure["edit"] == {"file": "requirements.txt", "line": 2, "old": "", "new": "nowhere"}
    for name in ("image-tests.xml", "image-tests.html"):
        assert "+ nowhere" in (tmp_path / "test-reports" / name).read_text()
