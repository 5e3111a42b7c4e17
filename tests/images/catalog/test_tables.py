"""The catalog's tables are whole and have sources."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import pytest

from seatrial.images.catalog import identify, systems, tables
from seatrial.images.catalog.families import aws, ngc_pytorch, nvidia_cuda

_FILES = sorted(
    one.name.removesuffix(".yaml")
    for one in resources.files("seatrial.images.catalog").iterdir()
    if one.name.endswith(".yaml")
)


@pytest.mark.parametrize("name", _FILES)
def test_a_table_names_its_sources(name: str) -> None:
    table = tables.load(name)
    if name == "repositories":
        return
    addresses = list(_addresses(table))
    assert addresses
    assert all(re.fullmatch(r"https://[a-z0-9.-]+/\S*", one) for one in addresses)


def _addresses(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.startswith("http") else []
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [address for child in children for address in _addresses(child)]


@pytest.mark.parametrize("name", sorted(set(tables.load("repositories")["families"].values())))
def test_every_family_has_a_module_that_reads_tags(name: str) -> None:
    from importlib import import_module

    assert callable(import_module(f"seatrial.images.catalog.families.{name}").read)


def test_every_system_is_told_apart_by_its_libc() -> None:
    rows = tables.columns(tables.load("systems")["systems"], 4)
    for name, *_ in rows:
        system = systems.known(name)
        assert system.libc == "glibc"
        assert re.fullmatch(r"2\.\d\d", system.glibc or "")
    assert systems.known("alpine3.20").libc == "musl"
    assert systems.known("haiku").libc is None


def test_every_listed_tag_of_cuda_is_read_back() -> None:
    for tag, build in nvidia_cuda.tags():
        found = identify(f"nvidia/cuda:{tag}")
        assert found is not None, tag
        assert (found.cuda, found.os, found.removed) == (build.cuda, build.system, None)
        assert found.glibc or build.system.startswith(("azl", "cm", "opensuse", "suse")), tag


def test_every_month_is_read_back() -> None:
    months = ngc_pytorch.months()
    assert list(months) == sorted(months, reverse=True)
    for name, month in months.items():
        found = identify(f"nvcr.io/nvidia/pytorch:{name}-py3")
        assert found is not None
        assert found.packages.get("torch", "") == month.torch
        assert found.glibc


def test_every_image_of_aws_is_read_back() -> None:
    count = 0
    for repository, rows in aws.rows().items():
        for row in rows:
            count += 1
            found = identify(f"763104351884.dkr.ecr.us-west-2.amazonaws.com/{repository}:{row.tags[0]}")
            assert found is not None, row
            assert not row.python or found.python == row.python
            assert not row.end_of_patch or found.end_of_patch == row.end_of_patch
    assert count > 250
