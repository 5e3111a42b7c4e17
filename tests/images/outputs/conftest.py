"""Bases that several tests use, and a project of their own for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import assembling

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="package")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("probed")


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assembling.one_base(tmp_path_factory.mktemp("bases") / "one")


@pytest.fixture(scope="package")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of bases for amd64 and arm64."""
    return assembling.two_bases(tmp_path_factory.mktemp("bases") / "two")


@pytest.fixture
def project(wheelhouse: Path, tmp_path: Path, probed: Path) -> Path:
    assembling.share_probes(tmp_path / "cache", probed)
    return assembling.project(tmp_path / "project", wheelhouse)
