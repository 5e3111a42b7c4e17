"""Hand-kept tables about builds, options on lines and moving tags: whole, and saying where they are from."""

from __future__ import annotations

from seatrial.images import facts
from seatrial.images.facts.mixing import mixing
from seatrial.images.facts.moving_python import moving_python
from seatrial.images.facts.pip_lines import pip_lines


def test_every_companion_says_where_it_was_read() -> None:
    table = mixing()
    assert {one.package for one in table.companions} == {"torchvision", "torchaudio", "xformers"}
    sources = [one.source for one in table.companions]
    for one in (*sources, table.on_cpu.source, table.unserved.source, table.compiled.source):
        assert one.startswith("https://")


def test_what_pytorch_does_not_serve_is_no_package_of_its_own() -> None:
    assert not mixing().unserved.packages & {
        "torch",
        *facts.COMPANIONS,
        "torchdata",
        "xformers",
        "numpy",
        "triton",
    }
    assert not mixing().unserved.packages & mixing().compiled.packages


def test_an_option_on_a_line_has_one_fate() -> None:
    lines = pip_lines()
    assert not lines.obeyed & (lines.forgotten | lines.refused)
    assert not lines.forgotten & lines.refused
    assert lines.uv_obeyed <= lines.obeyed


def test_a_moving_tag_has_a_lowest_python_only_where_it_still_moves() -> None:
    table = moving_python()
    lowest = {
        tag: table.lowest(tag)
        for tag in ("latest", "3", "3-slim", "slim-bookworm", "3-buster", "3-stretch", "rc")
    }
    assert {tag for tag, python in lowest.items() if python} == {"latest", "3", "3-slim", "slim-bookworm"}
    assert set(lowest.values()) == {"", table.at_least}
