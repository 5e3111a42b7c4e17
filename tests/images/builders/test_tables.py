"""The data of repairs fits the signatures and the actions that it names."""

from __future__ import annotations

import pytest

from seatrial.diagnosis.loading import builtin
from seatrial.images.builders.repairs.actions import ACTIONS, CONFLICT
from seatrial.images.builders.repairs.python_packages import nearest
from seatrial.images.builders.repairs.tables import names, ways


def test_every_row_names_a_cause_an_action_and_tables_that_exist() -> None:
    causes = {one.id for one in builtin()}
    assert {way.cause for way in ways()} <= causes
    assert {way.action for way in ways()} <= {*ACTIONS, CONFLICT}
    assert set(ACTIONS) <= {way.action for way in ways()}
    for way in ways():
        assert all(hasattr(names(), table) for table in way.tables)
        for name in (way.name, way.otherwise):
            assert not name or names().packages(way.tables, name, "apt")


@pytest.mark.parametrize(
    ("tables", "missing", "manager", "packages"),
    [
        (("headers",), "libpq-fe.h", "apt", ["libpq-dev"]),
        (("headers",), "openssl/ssl.h", "apt", ["libssl-dev"]),
        (("headers",), "boost/version.hpp", "apk", ["boost-dev"]),
        (("headers", "programs"), "pg_config", "apt", ["libpq-dev"]),
        (("programs",), "gcc", "dnf", ["gcc", "gcc-c++", "make"]),
        (("libraries",), "libGL.so.1", "apt", ["libgl1"]),
        (("programs",), "no-such-program", "apt", []),
    ],
)
def test_what_is_missing_has_a_package(
    tables: tuple[str, ...], missing: str, manager: str, packages: list[str]
) -> None:
    assert names().packages(tables, missing, manager) == packages


@pytest.mark.parametrize(
    ("asked", "versions", "found"),
    [
        ("==3.77", ["3.6", "3.7", "3.10"], "3.10"),
        ("==2.2.9", ["2.1.0", "2.2.0", "2.2.2", "2.3.0"], "2.2.2"),
        ("==1.20.5", ["1.20.3", "1.20.6", "1.21.0"], "1.20.6"),
        ("==0.9", ["1.0", "2.0"], "1.0"),
        ("==9.0", ["1.0", "2.0"], "2.0"),
        ("==1.5", ["1.4", "1.6rc1"], "1.4"),
        (">=2", ["2.1rc1"], "2.1rc1"),
        ("==1.0", ["none"], ""),
        ("", ["1.0"], ""),
    ],
)
def test_the_nearest_version_is_the_one_that_changes_least(
    asked: str, versions: list[str], found: str
) -> None:
    assert nearest(asked, versions) == found
