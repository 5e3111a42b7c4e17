"""The tables are whole: versions parse, every fact has a source, and hand-kept facts agree with package metadata."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from seatrial.images import facts
from seatrial.images.facts import derive, load, refresh, sanity
from seatrial.images.facts.load import load_yaml
from seatrial.images.facts.published import PYTHONS

if TYPE_CHECKING:
    from pathlib import Path

KEPT = [
    "cuda.yaml",
    "flash_attn.yaml",
    "gpus.yaml",
    "libraries.yaml",
    "pairs.yaml",
    "torch.yaml",
    "numpy_abi.yaml",
]


@pytest.fixture(autouse=True)
def _packaged_tables_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATRIAL_HOME", str(tmp_path))
    facts.forget()


def rows(value: object, path: str = "") -> list[tuple[str, dict[str, object]]]:
    """Every mapping in a document that holds facts of its own, with where it stands."""
    found: list[tuple[str, dict[str, object]]] = []
    if isinstance(value, dict):
        if {"package", "torch", "gpu", "capability"} & value.keys():
            found.append((path, value))
        for name, one in value.items():
            found += rows(one, f"{path}/{name}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            found += rows(one, f"{path}/{number}")
    return found


def test_every_tracked_package_has_a_table_and_nothing_else_does() -> None:
    assert facts.tracked() == {one.name for one in refresh.plan().packages}


@pytest.mark.parametrize("name", sorted(one.name for one in refresh.plan().packages))
def test_a_derived_table_holds_versions_and_requirements_that_parse(name: str) -> None:
    table = facts.table(name)
    assert table is not None
    assert table.source.startswith("https://pypi.org/project/")
    versions = [Version(one.version) for one in table.releases]
    assert versions == sorted(set(versions), reverse=True)
    assert len(versions) >= 3
    for one in table.releases:
        SpecifierSet(one.python)
        assert one.linux or one.sdist or one.arm or one.requires is None
        for line in one.requires or ():
            Requirement(line)
    assert derive.encode(table).encode() == load.derived(name)  # written by the command, not by hand


def test_the_tables_stay_small() -> None:
    folder = resources.files("seatrial.images.facts").joinpath("derived")
    sizes = [len(one.read_bytes()) for one in folder.iterdir()]
    assert sum(sizes) < 600_000


@pytest.mark.parametrize("file", KEPT)
def test_every_hand_kept_row_has_a_source(file: str) -> None:
    document = load_yaml(file, dict)
    whole = any(name in document for name in ("source", "sources", "instance_source", "built_source"))
    for place, row in rows(document):
        said = row.get("source") or row.get("sources") or row.get("same_as")
        assert said or whole, f"{file}{place} has no source"
        if isinstance(row.get("source"), str) and not str(row["source"]).isidentifier():
            assert str(row["source"]).startswith("https://")


def test_versions_in_hand_kept_rows_parse_and_speak_about_releases_that_exist() -> None:
    for row in facts.pairs():
        SpecifierSet(row.needs)
        about = [one.version for one in facts.releases(row.package)]
        assert any(facts.fits(version, row.versions) for version in about), row
        assert facts.releases(row.other), row
        assert any(facts.fits(one.version, row.needs) for one in facts.releases(row.other)), row


def test_what_is_not_verified_is_never_an_error() -> None:
    assert [row for row in facts.pairs() if row.severity == "error" and not row.verified] == []
    assert any(not row.verified for row in facts.pairs())


def test_hand_kept_facts_do_not_contradict_package_metadata() -> None:
    tables = {name: table for name in facts.tracked() if (table := facts.table(name)) is not None}

    assert sanity.problems({}, tables, refresh.plan().anchors) == ()


def test_every_final_torch_release_has_its_builds() -> None:
    for one in facts.releases("torch"):
        builds = facts.torch_builds(one.version)
        assert builds is not None, f"torch.yaml lacks torch {one.version}"
        assert [build.cuda for build in builds if build.default] == [facts.default_cuda(one.version)]
        for build in builds:
            assert facts.driver_minimum(build.cuda) is not None


def test_every_instance_type_names_a_gpu_that_is_known() -> None:
    families = load_yaml("gpus.yaml", dict)["instances"]
    for family, row in families.items():
        one = facts.instance(f"{family}.{next(iter(row['counts']))}")
        assert one is not None
        assert one.count >= 1


def test_the_pythons_of_wheels_are_pythons() -> None:
    for one in facts.releases("torch"):
        known = facts.pythons("torch", one.version)
        assert known
        assert set(known) <= set(PYTHONS)
