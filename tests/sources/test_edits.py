"""Fixes change what they say and nothing else, in all files or in none."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.errors import SeatrialError
from seatrial.findings import Edit, Fix
from seatrial.sources.edits import diff, edited, select, write
from seatrial.sources.text import Source, read

if TYPE_CHECKING:
    from pathlib import Path


def replacing(source: Source, start: int, end: int, text: str) -> Edit:
    return Edit(path=source.path, start=source.position(start), end=source.position(end), text=text)


def fix(*edits: Edit) -> Fix:
    return Fix(title="t", safe=True, edits=edits)


TEXTS = st.text(st.sampled_from("ab é😀\r\n\t"), min_size=1, max_size=60)


@given(st.data(), TEXTS)
def test_text_outside_of_edits_survives(data: st.DataObject, text: str) -> None:
    source = Source("a", text)
    points = sorted(set(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=8))))
    if len(points) % 2:
        points.pop()
    spans = list(zip(points[::2], points[1::2], strict=True))
    inserted = [data.draw(st.text("XYZ\n", max_size=4)) for _ in spans]
    order = data.draw(st.permutations(range(len(spans))))

    chosen = select([fix(replacing(source, *spans[i], inserted[i])) for i in order], {"a": source})
    result = edited(source, chosen.edits.get("a", ())).text

    assert chosen.refused == ()
    kept = [text[start:end] for start, end in zip([0, *points[1::2]], [*points[::2], len(text)], strict=True)]
    expected = "".join(a + b for a, b in zip(kept, [*inserted, ""], strict=True))
    assert result == expected


def test_a_fix_that_touches_what_another_changes_is_refused() -> None:
    source = Source("a", "abcdef")
    first, second = fix(replacing(source, 1, 4, "X")), fix(replacing(source, 3, 5, "Y"))

    chosen = select([first, second], {"a": source})

    assert (chosen.fixes, chosen.refused) == ((first,), (second,))


def test_a_fix_is_taken_whole_or_not_at_all() -> None:
    source = Source("a", "abcdef")
    taken = fix(replacing(source, 0, 2, "X"))
    half = fix(replacing(source, 4, 6, "Y"), replacing(source, 1, 3, "Z"))

    assert select([taken, half], {"a": source}).edits == {"a": ((0, 2, "X"),)}


def test_the_same_edit_asked_for_twice_happens_once() -> None:
    source = Source("a", "ab")
    insertion = fix(replacing(source, 1, 1, "X"))

    chosen = select([insertion, insertion], {"a": source})

    assert chosen.refused == ()
    assert edited(source, chosen.edits["a"]).text == "aXb"


def test_two_insertions_at_one_point_have_no_order() -> None:
    source = Source("a", "ab")
    chosen = select([fix(replacing(source, 1, 1, "X")), fix(replacing(source, 1, 1, "Y"))], {"a": source})

    assert len(chosen.refused) == 1


@pytest.mark.parametrize(
    "edit",
    [
        Edit(path="b", start=(1, 1), end=(1, 1), text=""),
        Edit(path="a", start=(9, 1), end=(9, 1), text=""),
        Edit(path="a", start=(1, 2), end=(1, 1), text=""),
    ],
)
def test_an_edit_that_fits_no_file_is_refused(edit: Edit) -> None:
    with pytest.raises(SeatrialError):
        select([fix(edit)], {"a": Source("a", "ab")})


def prepared(folder: Path, **files: bytes) -> dict[str, Source]:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: read(folder / name, name) for name in files}


def test_bytes_and_permissions_stay(tmp_path: Path) -> None:
    sources = prepared(tmp_path, a=b"\xef\xbb\xbfone\r\n  two # \xc3\xa9\r\nthree", b=b"1\n2\n")
    (tmp_path / "a").chmod(0o640)
    edits = [fix(replacing(sources["a"], 7, 10, "2")), fix(replacing(sources["b"], 0, 1, "one"))]

    changed = write(tmp_path, select(edits, sources), sources)

    assert changed == ("a", "b")
    assert (tmp_path / "a").read_bytes() == b"\xef\xbb\xbfone\r\n  2 # \xc3\xa9\r\nthree"
    assert (tmp_path / "b").read_bytes() == b"one\n2\n"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_that_changed_since_stops_all_writing(tmp_path: Path) -> None:
    sources = prepared(tmp_path, a=b"one", b=b"two")
    chosen = select([fix(replacing(sources[name], 0, 3, "X")) for name in ("a", "b")], sources)
    (tmp_path / "b").write_bytes(b"two, edited")

    with pytest.raises(SeatrialError, match="changed while"):
        write(tmp_path, chosen, sources)

    assert (tmp_path / "a").read_bytes() == b"one"
    assert (tmp_path / "b").read_bytes() == b"two, edited"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("one")
    (tmp_path / "a").symlink_to("real")
    sources = {"a": read(tmp_path / "a", "a")}

    write(tmp_path, select([fix(replacing(sources["a"], 0, 3, "X"))], sources), sources)

    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "real").read_text() == "X"


def test_one_file_under_two_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("one")
    (tmp_path / "a").symlink_to("real")
    sources = {name: read(tmp_path / name, name) for name in ("a", "real")}
    chosen = select([fix(replacing(sources[name], 0, 3, name)) for name in sources], sources)

    with pytest.raises(SeatrialError, match="same file"):
        write(tmp_path, chosen, sources)

    assert (tmp_path / "real").read_text() == "one"


def test_edits_that_change_nothing_write_nothing(tmp_path: Path) -> None:
    sources = prepared(tmp_path, a=b"one")
    before = (tmp_path / "a").stat().st_mtime_ns

    assert write(tmp_path, select([fix(replacing(sources["a"], 0, 3, "one"))], sources), sources) == ()
    assert (tmp_path / "a").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "data", [b"1\n2\n3\n", b"1\r\n2\r\n3", b"\xef\xbb\xbf1\n2\n\x0c3\n", "1\n2\u2028\n3".encode()]
)
def test_git_applies_the_diff(tmp_path: Path, data: bytes) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    sources = prepared(tmp_path, a=data)
    at = sources["a"].text.index("2")
    after = edited(sources["a"], ((at, at + 1, "two"),))
    patch = diff(sources["a"], after).encode()

    done = subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a").read_bytes() == after.encoded()
