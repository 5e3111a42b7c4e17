"""Deployments whose new version answers copies of real requests first, behind a real Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.errors import UsageError
from support.deploying import deploying
from support.envoys import need_envoy
from support.load import load

if TYPE_CHECKING:
    from pathlib import Path


def test_a_version_that_answers_otherwise_has_no_traffic(tmp_path: Path) -> None:
    need_envoy()
    shadow = {"seconds": 0.5, "min_requests": 20}
    with deploying(tmp_path) as here:
        here.deploy("one", driver="envoy")
        with load(here.port(), clients=2) as clients:
            other = here.deploy("two", driver="envoy", shadow=shadow)
            assert (other.status, other.error_code) == ("Failed", "HEALTH_CONSTRAINTS")
            assert "compared answers differ" in other.why
            assert set(clients.answers) == {"one"}
            [told] = here.told(other, "shadow")
            assert told.data["comparison"]["different"] >= 1
            assert here.told(other, "shift") == []
            allowed = here.deploy("three", driver="envoy", shadow={**shadow, "max_different": 100})
            assert allowed.status == "Succeeded"
            [told] = here.told(allowed, "shadow")
            assert told.data["comparison"]["compared"] >= 20
            assert set(clients.take(50)) == {"three"} or set(clients.take(50)) == {"three"}
        assert clients.failures == []


def test_shadow_traffic_needs_envoy(tmp_path: Path) -> None:
    with deploying(tmp_path) as here, pytest.raises(UsageError, match="HAProxy copies no requests"):
        here.deploy("one", shadow={"seconds": 1})
