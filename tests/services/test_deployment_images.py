"""Images as versions of a service: each instance has a network of its own, and the port that the image is made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.services import revisions, starting
from support.debian import Item, folder
from support.deploying import deploying
from support.registries import need
from support.roots import alpine_like
from support.standing import ask, settings

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.services.model import Revision
    from support.deploying import Deploying


def _image(place: Path, name: str) -> Path:
    """A server that listens on the port that it is told, and says its name."""
    files = [folder("www"), Item("www/ping", "pong"), Item("www/name", name)]
    alpine_like(place / name, files, Cmd=["/bin/sh", "-c", "exec httpd -f -p 127.0.0.1:$PORT -h /www"])
    return place / name


def _version(here: Deploying, image: str) -> Revision:
    service = settings(port=8080, env={"LEVEL": "high"}, deploy={"strategy": "all-at-once"})
    return revisions.from_image(here.home, "svc", image, service, directory=here.project)


def test_an_image_is_deployed_and_stays_what_it_was(tmp_path: Path) -> None:
    need("bwrap")
    with deploying(tmp_path) as here:
        for name in ("first", "second"):
            layout = _image(tmp_path, name)
            version = _version(here, str(layout))
            assert (version.kind, version.source) == ("image", str(layout))
            assert _version(here, str(layout)) == version
            service = settings(
                port=8080, replicas=2, deploy={"strategy": "all-at-once", "keep_old": 0, "analysis": None}
            )
            piece = starting.Piece("svc", service, version, str(here.project))
            one = here.finish(here.start(piece))
            assert one.status == "Succeeded", one.why
            assert {ask(here.port(), "/name")[1] for _ in range(4)} == {name}
        with pytest.raises(SeatrialError, match="no such image"):
            _version(here, "./third")
