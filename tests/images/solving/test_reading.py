"""The parts of solving that only think: reading uv's text, halving, distances, specifiers."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from seatrial.images.solving.derivation import facts
from seatrial.images.solving.distance import anchor, distance, nearest, respecified
from seatrial.images.solving.minimal import smallest
from seatrial.images.solving.places import known
from seatrial.images.solving.releases import from_html, version_of
from seatrial.images.solving.settle import unbuilt

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = """error: No solution found when resolving dependencies
  cause: Because transformers==4.30.0 depends on one of:
             tokenizers>=0.11.1,<0.11.3
             tokenizers>0.11.3,<0.14
         and you require transformers==4.30.0, we can conclude that you require one of:
             tokenizers>=0.11.1,<0.11.3
             tokenizers>0.11.3,<0.14

         And because you require tokenizers==0.15.0, we can conclude that your requirements are unsatisfiable.
"""
OLD = """  \u00d7 No solution found when resolving dependencies:
  \u2570\u2500\u25b6 Because tensorflow==2.4.0 depends on numpy>=1.19.2,<1.20.dev0 and you
      require tensorflow==2.4.0, we can conclude that you require numpy>=1.19.2,<1.20.dev0.
      And because you require numpy==1.20.0, we can conclude that your
      requirements are unsatisfiable.
"""
WHEELS = """error: No solution found when resolving dependencies
  cause: Because transformers==4.40.0 depends on numpy>=1.17 and all of:
             numpy<=1.9.3
             numpy>=1.10.4,<=1.19.5
         have no usable wheels, we can conclude that transformers==4.40.0 depends on numpy>=1.20.0.
         And because there is no version of torch==9 and only the following versions of leaf are available:
             leaf<=1
             leaf>=3
         we can conclude that nothing fits.

hint: Wheels are required for `blis` because building from source is disabled
"""


def told(text: str) -> list[str]:
    return [f"{one.kind} {one.subject} {' '.join(map(str, one.other))}".strip() for one in facts(text)]


def test_premises_are_read_and_conclusions_are_not() -> None:
    assert told(LONG) == [
        "needs transformers==4.30.0 tokenizers>=0.11.1,<0.11.3 tokenizers>0.11.3,<0.14",
        "asked transformers==4.30.0",
        "asked tokenizers==0.15.0",
    ]
    assert told(OLD) == [
        "needs tensorflow==2.4.0 numpy>=1.19.2,<1.20",
        "asked tensorflow==2.4.0",
        "asked numpy==1.20.0",
    ]
    assert told(WHEELS) == [
        "needs transformers==4.40.0 numpy>=1.17",
        "lacks numpy<=1.9.3",
        "lacks numpy>=1.10.4,<=1.19.5",
        "none torch==9",
        "only leaf leaf<=1 leaf>=3",
    ]
    assert told("something else altogether") == []


def test_packages_without_wheels_are_named() -> None:
    assert unbuilt(WHEELS) >= {"numpy", "blis"}
    assert unbuilt(LONG) == set()


@given(st.sets(st.frozensets(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=4))
def test_halving_finds_a_part_that_fails_and_of_which_no_part_fails(cores: set[frozenset[int]]) -> None:
    def fails(some: Sequence[int]) -> bool:
        return any(core <= set(some) for core in cores)

    found = smallest(list(range(10)), fails)
    assert fails(found)
    assert not any(fails(part) for part in combinations(found, len(found) - 1))


def test_distances_rank_patch_before_minor_before_major_and_higher_before_lower() -> None:
    ordered = ["2.5.1", "2.5.2", "2.5.0", "2.6.0", "2.4.1", "2.7.0", "3.0.0", "1.0.0", "4.0.0"]
    shuffled = [ordered[place] for place in (3, 8, 0, 5, 1, 7, 2, 6, 4)]
    assert sorted(shuffled, key=lambda one: distance("2.5.1", one)) == ordered
    assert nearest("2.5.3", [*ordered, "2.5.4rc1"]) == ("2.5.0", "2.5.1", "2.5.2")


@pytest.mark.parametrize(
    ("specifier", "version", "expected"),
    [
        ("==2.7.1", "2.6.0", "==2.6.0"),
        ("==2.7.*", "2.6.0", "==2.6.*"),
        ("~=2.7.1", "2.6.0", "~=2.6.0"),
        ("~=2.7", "3.1.4", "~=3.1"),
        (">=2", "1.26.4", ">=1.26.4"),
        ("<2", "2.1.0", "<3"),
        ("<4.40", "4.42.1", "<4.43"),
        ("<=4.40.1", "4.42.1", "<=4.42.1"),
        (">=1,<2", "2.1.0", ">=1,<3"),
        (">=1,!=1.5", "1.5", ">=1"),
        ("", "1.0", "==1.0"),
    ],
)
def test_specifiers_are_written_anew_in_their_own_style(specifier: str, version: str, expected: str) -> None:
    assert respecified(specifier, version) == expected


versions = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)).map(
    lambda n: ".".join(map(str, n))
)
clauses = st.tuples(st.sampled_from(["==", ">=", ">", "<=", "<", "~=", "!="]), versions).map("".join)


@given(st.lists(clauses, min_size=1, max_size=3), versions)
def test_a_specifier_written_anew_lets_the_version_in(some: list[str], version: str) -> None:
    assert SpecifierSet(respecified(",".join(some), version)).contains(version)
    assert anchor(",".join(some)) != ""


def test_versions_are_read_from_file_names() -> None:
    names = {
        "flash_attn-2.7.4.post1.tar.gz": "2.7.4.post1",
        "flash-attn-2.0.tar.gz": "2.0",
        "flash_attn-2.5-cp311-cp311-linux_x86_64.whl": "2.5",
        "flash_attn-2.5-1-cp311-cp311-linux_x86_64.whl": "2.5",
        "flash_attn-2.5.zip": "2.5",
    }
    for name, version in names.items():
        assert str(version_of(name, "flash-attn")) == version
    assert version_of("flash_attn-2.5.exe", "flash-attn") is None


def test_pages_in_html_are_read() -> None:
    page = '<a href="../a/x-1.0.tar.gz#sha256=0" data-requires-python="&gt;=3.8" data-yanked="bad">x</a><a>no</a>'
    (file,) = from_html(page, "https://me:pw@host/simple/x/")
    assert (file.url, file.python, file.yanked) == ("https://host/simple/a/x-1.0.tar.gz", ">=3.8", "bad")


def test_known_places_say_where_they_are_known_from() -> None:
    facts_known = known()
    assert all(one.source.startswith("https://") for one in facts_known.mirrors)
    assert "torchvision" in facts_known.companions["torch"]
