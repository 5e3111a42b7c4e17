"""Every key and value of a YAML or JSON file can be asked where it is, and what it said."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.sources import json, toml, yaml
from seatrial.sources.text import Source, SourceError

if TYPE_CHECKING:
    from seatrial.sources.tree import Document

BUILDSPEC = """\
version: 0.2  # first
env:
  variables: &vars
    MODE: 0644
    WHEN: 2024-01-31
    "quoted key": 'it''s'
  more:
    <<: *vars
    ON: yes
phases:
  build:
    commands:
      - echo "é😀"
      - |
        two
        lines

# after
"""


def shown(document: Document, path: tuple[Any, ...]) -> str:
    place = document.place(path)
    source = document.source
    return source.text[source.offset(place.start) : source.offset(place.end)]


@pytest.fixture(params=["libyaml", "pure"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pure":
        monkeypatch.delattr(pyyaml, "CSafeLoader", raising=False)
    elif not yaml.has_libyaml():
        pytest.skip("PyYAML was built without libyaml")
    return str(request.param)


@pytest.mark.usefixtures("reader")
class TestBothReaders:
    def test_values_know_their_place(self) -> None:
        document = yaml.read_text("b.yml", BUILDSPEC)

        assert shown(document, ("version",)) == "0.2"
        assert shown(document, ("env", "variables", "quoted key")) == "'it''s'"
        assert shown(document, ("phases", "build", "commands", 0)) == 'echo "é😀"'
        assert shown(document, ("phases", "build")).startswith('commands:\n      - echo "é😀"')
        assert str(document.key_place(("phases", "build", "commands"))) == "b.yml:12:5"

    def test_scalars_keep_their_text(self) -> None:
        document = yaml.read_text("b.yml", BUILDSPEC)

        assert document.value["env"]["variables"]["MODE"] == 0o644
        assert document.text(("env", "variables", "MODE")) == "0644"
        assert document.value["env"]["variables"]["WHEN"] == "2024-01-31"
        assert document.text(("env", "more", "ON")) == "yes"
        assert document.value["env"]["more"]["ON"] is True

    def test_what_is_merged_in_is_found_where_it_was_written(self) -> None:
        document = yaml.read_text("b.yml", BUILDSPEC)

        assert document.value["env"]["more"]["quoted key"] == "it's"
        assert document.place(("env", "more", "MODE")) == document.place(("env", "variables", "MODE"))

    def test_a_block_ends_with_its_last_value(self) -> None:
        document = yaml.read_text("b.yml", "a:\n  b: 1\n\n# comment\nc: 2\n")

        assert shown(document, ("a",)) == "b: 1"

    def test_what_is_not_there_raises(self) -> None:
        document = yaml.read_text("b.yml", BUILDSPEC)

        assert not document.has(("phases", "install"))
        with pytest.raises(KeyError):
            document.place(("phases", "build", "commands", 2))
        assert document.nearest_place(("phases", "build", "commands", 9)).start == (12, 5)

    def test_keys_are_what_they_say(self) -> None:
        document = yaml.read_text("b.yml", "on: push\n1: one\n'2': two\nNO: way\n")

        assert document.value == {"on": "push", "1": "one", "2": "two", "NO": "way"}
        assert document.node((1,)).value == "one"

    def test_a_key_given_twice_is_found_with_both_places(self) -> None:
        (one,) = yaml.read_text("b.yml", "a:\n  x: 1\n  'x': 2\nb: {x: 1}\n").duplicates

        assert (one.key, one.first.start, one.again.start) == ("x", (2, 3), (3, 3))

    def test_unknown_tags_leave_the_value(self) -> None:
        document = yaml.read_text(
            "t.yml", "a: !Ref Bucket\nb: !GetAtt [x, y]\nc: !!python/name:os.system x\n"
        )

        assert document.value == {"a": "Bucket", "b": ["x", "y"], "c": "x"}
        assert document.node(("a",)).tag == "!Ref"

    @pytest.mark.parametrize(
        ("text", "where", "words"),
        [
            ("a: b: c\n", (1, 5), "mapping values are not allowed"),
            ("a:\n\t- b\n", (2, 1), "cannot start any token"),
            ("a: é\nb: 'x", (2, 6), "unexpected end of stream|while scanning a quoted scalar"),
            ("a: 1\n  b\x07: 1\n", (2, 4), "control character U\\+0007"),
            ("é: *nothing\n", (1, 4), "undefined alias"),
            ("a: &x [*x]\n", (1, 4), "part of"),
            ("? [a]\n: b\n", (1, 3), "must be a single value"),
            ("a: 1\n---\nb: 2\n", (3, 1), "one YAML document"),
            ("<<: 3\n", (1, 5), "needs a mapping"),
            ("[" * 3000, (1, 1), "nested more than"),
            ("- " * 150_000 + "a", (1, 1), "nested more than"),
        ],
        ids=range(11),
    )
    def test_what_is_no_yaml_says_where(
        self, text: str, where: tuple[int, int], words: str, reader: str
    ) -> None:
        if reader == "pure" and len(text) > 10_000:
            pytest.skip("the pure reader needs minutes for text this deep")
        with pytest.raises(SourceError, match=words) as caught:
            yaml.read_text("x.yml", text)

        found = caught.value.finding
        assert found.rule == "source/yaml-syntax"
        assert (found.line, found.column) == where

    @pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
    def test_an_empty_file_is_a_document_without_value(self, text: str) -> None:
        assert yaml.read_text("x.yml", text).value is None

    def test_aliases_that_expand_without_end_stay_small(self) -> None:
        levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 30)]
        document = yaml.read_text("x.yml", "\n".join(["l0: &l0 [x]", *levels]))

        assert document.node(("l29", 8, 8, 8)).kind == "sequence"

    def test_crlf_counts_as_one_line_end(self) -> None:
        document = yaml.read_text("x.yml", "a: 1\r\nb:\r\n  - é\r\n")

        assert document.place(("b", 0)).start == (3, 5)


def test_the_error_of_an_absurd_depth_names_no_recursion() -> None:
    with pytest.raises(SourceError) as caught:
        yaml.read_text("x.yml", "{a: " * 1000 + "1" + "}" * 1000)

    assert pickle.loads(pickle.dumps(caught.value)).finding == caught.value.finding


def test_several_documents_are_read() -> None:
    documents = yaml.read_all(Source("x.yml", "a: 1\n---\nb: 2\n"))

    assert [one.value for one in documents] == [{"a": 1}, {"b": 2}]
    assert documents[1].key_place(("b",)).start == (3, 1)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(st.sampled_from("ab: -#é😀'\"{"), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("kéy", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(PLAIN, st.booleans())
def test_values_are_those_of_pyyaml(value: Any, flow: bool) -> None:
    text = pyyaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)

    assert yaml.read_text("x.yml", text).value == value


@settings(max_examples=60)
@given(PLAIN, st.sampled_from([None, 1, 3]))
def test_json_values_are_those_of_the_standard_library(value: Any, indent: int | None) -> None:
    import json as standard

    text = standard.dumps(value, indent=indent, ensure_ascii=False)
    assert json.read_text("x.json", text).value == value


class TestJson:
    def test_values_and_keys_know_their_place(self) -> None:
        document = json.read_text("p.json", '{\n  "a": [1, {"é": true}],\n  "a": null\n}\n')

        assert document.value == {"a": None}
        assert shown(document, ("a",)) == "null"
        (one,) = document.duplicates
        assert (one.first.start, one.again.start) == ((2, 3), (3, 3))

    @pytest.mark.parametrize(
        ("text", "where", "words"),
        [
            ('{"a": 1,}', (1, 9), "no comma before"),
            ("[1, 2,]", (1, 7), "no comma before"),
            ("{'a': 1}", (1, 2), "double quotes"),
            ('{"a": 1 "b": 2}', (1, 9), "expected `,` or `}`"),
            ('{"a" 1}', (1, 6), "expected `:`"),
            ('["a\x01"]', (1, 4), "invalid control character"),
            ("// x\n1", (1, 1), "no comments"),
            ("[NaN]", (1, 2), "expected a value"),
            ("[01]", (1, 3), "expected `,` or `]`"),
            ("[1] 2", (1, 5), "more after the end"),
            ("", (1, 1), "the file ends"),
            ("[" * 5000, (1, 201), "nested more than"),
        ],
        ids=range(12),
    )
    def test_what_is_no_json_says_where(self, text: str, where: tuple[int, int], words: str) -> None:
        with pytest.raises(SourceError, match=words) as caught:
            json.read_text("x.json", text)

        assert (caught.value.finding.line, caught.value.finding.column) == where


class TestToml:
    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ("a = 1\na = 2\n", (2, 6)),
            ("a = \n", (1, 5)),
            ("[x\ny = 1\n", (1, 3)),
            ('a = "x', (1, 7)),
            ("é = ]", (1, 1)),
        ],
    )
    def test_what_is_no_toml_says_where(self, text: str, where: tuple[int, int]) -> None:
        with pytest.raises(SourceError) as caught:
            toml.read(Source("x.toml", text))

        assert (caught.value.finding.line, caught.value.finding.column) == where
        assert "line" not in caught.value.finding.message

    def test_values_are_plain(self) -> None:
        assert toml.read(Source("x.toml", "[a]\nb = [1]\n")) == {"a": {"b": [1]}}

    def test_absurd_depth_is_an_error_of_the_file(self) -> None:
        with pytest.raises(SourceError):
            toml.read(Source("x.toml", "a = " + "[" * 20_000))
