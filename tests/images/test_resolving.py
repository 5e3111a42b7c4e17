"""What a resolver adds to a check: conflicts that only metadata shows, and the versions that are taken today."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.checking.run import check, image_options
from support import wheels
from support.image_checks import applied, write

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.findings import Finding

PINS = "easy\nsmall==1.0  # keep\nlarge==2.0\n"


@pytest.fixture
def index(wheelhouse: Path) -> Path:
    """A folder of wheels as the only index."""
    house = wheelhouse
    wheels.wheel(house, "easy", "1.0")
    for version in ("1.0", "2.0"):
        wheels.wheel(house, "small", version)
    wheels.wheel(house, "large", "1.0", requires=("small<2",))
    wheels.wheel(house, "large", "2.0", requires=("small>=2",))
    return house


def look(folder: Path, files: dict[str, str], **target: str) -> list[Finding]:
    write(folder / "project", files)
    report = check([folder / "project"], image_options(target, offline=False))
    return [one for one in report.findings if one.rule.startswith("image/")]


@pytest.mark.usefixtures("index")
class TestConflicts:
    def test_the_sentence_names_the_chain_and_the_fix_changes_one_number(self, tmp_path: Path) -> None:
        files = {
            "Dockerfile": "FROM python:3.11-slim\nCOPY r.txt .\nRUN pip install -r r.txt\n",
            "r.txt": PINS,
        }
        (found,) = look(tmp_path, files)

        assert (found.rule, found.severity, found.path) == ("image/unsatisfiable", "error", "r.txt")
        assert "large 2.0 needs small>=2" in found.message
        assert found.fix is not None
        after = applied(files, found.fix)
        assert after["r.txt"].startswith("easy\n")
        assert "# keep" in after["r.txt"]
        assert look(tmp_path, after) == []

    def test_without_asking_the_index_nothing_is_said(self, tmp_path: Path) -> None:
        write(tmp_path / "project", {"requirements.txt": PINS})

        assert check([tmp_path / "project"], image_options({}, offline=True)).findings == ()

    def test_a_command_that_may_not_run_is_a_warning(self, tmp_path: Path) -> None:
        text = 'FROM python:3.11-slim\nARG EXTRA\nRUN if [ "$EXTRA" ]; then pip install small==1.0 large==2.0; fi\n'
        (found,) = look(tmp_path, {"Dockerfile": text})

        assert found.severity == "warning"

    def test_two_commands_do_not_exclude_each_other(self, tmp_path: Path) -> None:
        text = "FROM python:3.11-slim\nRUN pip install small==1.0\nRUN pip install large==2.0\n"

        assert look(tmp_path, {"Dockerfile": text}) == []

    def test_a_lock_is_not_resolved_again(self, tmp_path: Path) -> None:
        digest = "0" * 64
        pins = "".join(f"{one} --hash=sha256:{digest}\n" for one in ("small==1.0", "large==2.0"))

        assert look(tmp_path, {"requirements.txt": pins}) == []


@pytest.mark.usefixtures("index")
class TestMissingVersions:
    def test_a_version_that_is_not_there_names_those_that_are(self, tmp_path: Path) -> None:
        text = "FROM python:3.11-slim\nRUN pip install small==1.5\n"
        (found,) = look(tmp_path, {"Dockerfile": text})

        assert (found.rule, found.severity) == ("image/no-such-version", "error")
        assert "small==1.5" in found.message
        assert found.fix is not None
        assert found.fix.title in ("Pin small to 1.0", "Pin small to 2.0")

    def test_an_unknown_base_may_have_an_index_of_its_own(self, tmp_path: Path) -> None:
        text = "FROM example.com/mine:1\nRUN pip install small==1.5\n"
        (found,) = look(tmp_path, {"Dockerfile": text})

        assert found.severity == "warning"
        assert "base image may have an index of its own" in found.message


@pytest.mark.usefixtures("index")
def test_what_cannot_be_asked_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_NO_INDEX", "UV_OFFLINE"):
        monkeypatch.delenv(name)
    text = "FROM python:3.11-slim\nRUN pip install --index-url http://127.0.0.1:9/simple small\n"
    (found,) = look(tmp_path, {"Dockerfile": text})

    assert (found.rule, found.severity, found.line) == ("image/not-resolved", "note", 2)
    assert "127.0.0.1:9" in found.message


class TestVersionsOfToday:
    """An open request is judged by the version that the index gives, and only as a warning."""

    @pytest.fixture
    def numpy(self, index: Path) -> None:
        wheels.wheel(index, "numpy", "1.26.4")
        wheels.wheel(index, "numpy", "2.1.0")
        wheels.wheel(index, "pandas", "1.5.3", requires=("numpy>=1.21",))
        wheels.wheel(index, "capped", "1.0", requires=("numpy<2",))

    @pytest.mark.usefixtures("numpy")
    def test_numpy_2_that_comes_along_is_a_warning(self, tmp_path: Path) -> None:
        (found,) = look(tmp_path, {"Dockerfile": "FROM python:3.11-slim\nRUN pip install pandas==1.5.3\n"})

        assert (found.rule, found.severity) == ("image/numpy-abi", "warning")

    @pytest.mark.usefixtures("numpy")
    def test_a_cap_that_only_metadata_has_is_seen(self, tmp_path: Path) -> None:
        text = "FROM python:3.11-slim\nRUN pip install pandas==1.5.3 capped\n"

        assert look(tmp_path, {"Dockerfile": text}) == []
