"""Solving chooses versions, explains what cannot be, proposes the nearest change, and never runs what it looks at."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import msgspec
import pytest

from seatrial.images.solving.model import Ask, Setting
from seatrial.images.solving.solve import Problem, changes, solve, solve_all
from support import wheels
from support.asking import asks, sdist

if TYPE_CHECKING:
    from pathlib import Path

SETTING = Setting()
NOWHERE = "http://127.0.0.1:9/simple"


def family(house: Path) -> None:
    """A main package, a companion pinned to each of its releases, and one that is content with any."""
    for minor in range(4):
        wheels.wheel(house, "torch", f"2.{minor}.0")
        wheels.wheel(house, "torchvision", f"0.{minor + 15}.0", requires=(f"torch==2.{minor}.0",))
    wheels.wheel(house, "torch", "2.2.1")
    wheels.wheel(house, "torchvision", "0.17.1", requires=("torch==2.2.1",))
    wheels.wheel(house, "easy", "1.0", requires=("torch",))


def test_versions_are_chosen_for_the_target(wheelhouse: Path) -> None:
    wheels.wheel(wheelhouse, "fast", "1.0")
    wheels.wheel(wheelhouse, "fast", "2.0", tag="cp312-cp312-manylinux_2_28_x86_64")
    wheels.wheel(wheelhouse, "fast", "3.0", tag="cp311-cp311-manylinux_2_28_aarch64")
    wheels.wheel(wheelhouse, "top", "1.0", requires=("fast", 'old; python_version < "3.12"'))
    wheels.wheel(wheelhouse, "old", "1.0")
    chosen = [
        solve(asks("top"), one).versions
        for one in (SETTING, Setting(python="3.12"), Setting(platform="linux/arm64"))
    ]
    assert chosen == [
        {"top": "1.0", "fast": "1.0", "old": "1.0"},
        {"top": "1.0", "fast": "2.0"},
        {"top": "1.0", "fast": "3.0", "old": "1.0"},
    ]


def test_a_conflict_is_told_in_one_sentence_with_the_asks_that_make_it(wheelhouse: Path) -> None:
    family(wheelhouse)
    found = solve(asks("easy", "torch==2.3.0", "torchvision==0.17.0"), SETTING)
    assert found.status == "unsatisfiable"
    assert found.conflict is not None
    assert found.conflict.kind == "conflict"
    assert found.conflict.asks == ("torch==2.3.0", "torchvision==0.17.0")
    assert found.conflict.message == "torchvision 0.17.0 needs torch==2.2.0, but torch==2.3.0 is asked for"
    assert "torchvision==0.17.0 depends on torch==2.2.0" in found.conflict.detail


def test_a_chain_through_packages_that_nobody_asked_for_is_followed(wheelhouse: Path) -> None:
    wheels.wheel(wheelhouse, "app", "1.0", requires=("middle>=2.0",))
    for version in ("1.0", "2.0", "2.1"):
        wheels.wheel(wheelhouse, "middle", version, requires=("leaf<1",))
    wheels.wheel(wheelhouse, "other", "1.0", requires=("leaf>=2",))
    wheels.wheel(wheelhouse, "bystander", "1.0")
    for version in ("0.5", "2.0"):
        wheels.wheel(wheelhouse, "leaf", version)
    found = solve(asks("bystander", "app==1.0", "other==1.0"), SETTING).conflict
    assert found is not None
    assert found.asks == ("app==1.0", "other==1.0")
    assert [str(link) for link in found.chain] == [
        "app==1.0 needs middle>=2.0",
        "middle>=2.0 needs leaf<1",
        "other==1.0 needs leaf>=2",
    ]
    assert found.message == "app 1.0 needs middle>=2.0, which needs leaf<1, but other 1.0 needs leaf>=2"


def test_three_that_only_together_exclude_each_other_are_all_named(wheelhouse: Path) -> None:
    wheels.wheel(wheelhouse, "one", "1.0", requires=("leaf!=1.0",))
    wheels.wheel(wheelhouse, "two", "1.0", requires=("leaf!=2.0",))
    wheels.wheel(wheelhouse, "three", "1.0", requires=("leaf!=3.0",))
    for version in ("1.0", "2.0", "3.0"):
        wheels.wheel(wheelhouse, "leaf", version)
    wheels.wheel(wheelhouse, "four", "1.0", requires=("leaf",))
    found = solve(asks("four", "one", "two", "three"), SETTING).conflict
    assert found is not None
    assert set(found.asks) == {"one", "two", "three"}
    assert found.minimal


@pytest.mark.parametrize(
    ("ask", "setting", "kind", "message", "available"),
    [
        ("torch==2.9.0", SETTING, "no-such-version", "there is no torch==2.9.0", ("2.2.0", "2.2.1", "2.3.0")),
        ("nothing-of-that-name", SETTING, "no-such-package", "nothing-of-that-name", ()),
        ("torch==2.1.0+cu121", SETTING, "no-such-version", "the build cu121 is not on the index", None),
        ("narrow==1.0", Setting(python="3.12"), "python", "only for Python 3.9 to 3.11", ("2.0",)),
        ("narrow==1.0", Setting(platform="linux/arm64"), "platform", "only for manylinux_2_28_x86_64", ("2.0",)),
        ("narrow==1.0", Setting(glibc="2.27"), "platform", "with glibc 2.27", ("2.0",)),
    ],
)  # fmt: skip
def test_what_no_release_answers_is_told_from_a_conflict(
    wheelhouse: Path, ask: str, setting: Setting, kind: str, message: str, available: tuple[str, ...] | None
) -> None:
    family(wheelhouse)
    for minor in (9, 10, 11):
        wheels.wheel(wheelhouse, "narrow", "1.0", tag=f"cp3{minor}-cp3{minor}-manylinux_2_28_x86_64")
    wheels.wheel(wheelhouse, "narrow", "2.0")
    found = solve(asks("easy", ask), setting).conflict
    assert found is not None
    assert (found.kind, found.asks) == (kind, (ask,))
    assert message in found.message
    if available is not None:
        assert found.available == available


def test_the_nearest_change_is_a_companion_and_is_verified(wheelhouse: Path) -> None:
    family(wheelhouse)
    some = asks("easy", "torch==2.2.1", "torchvision==0.16.0")
    found = changes(some, SETTING, solve(some, SETTING))
    told = [[(edit.ask, edit.specifier) for edit in one.edits] for one in found]
    assert told == [
        [("torchvision==0.16.0", "==0.17.1")],
        [("torch==2.2.1", "==2.1.0")],
        [("torch==2.2.1", None)],
    ]
    for edits in told:
        specifiers = dict(edits)
        fixed = [
            msgspec.structs.replace(ask, specifier=specifiers.get(ask.id, ask.specifier) or "")
            for ask in some
            if specifiers.get(ask.id, "") is not None
        ]
        assert solve(fixed, SETTING).status == "satisfied"


def test_bounds_stay_bounds_and_patches_come_before_minors(wheelhouse: Path) -> None:
    for version in ("1.4.0", "1.5.0", "1.5.1", "1.5.2", "2.0.0"):
        wheels.wheel(wheelhouse, "base", version)
    wheels.wheel(wheelhouse, "user", "1.0", requires=("base!=1.5.0,!=2.0.0",))
    some = asks("user", "base==1.5.0")
    assert changes(some, SETTING, solve(some, SETTING))[0].edits[0].specifier == "==1.5.2"
    wheels.wheel(wheelhouse, "modern", "1.0", requires=("base>=2",))
    some = asks("modern", "base<1.5")
    assert changes(some, SETTING, solve(some, SETTING))[0].edits[0].specifier == "<2.1"


def test_what_stands_in_the_way_of_a_change_changes_with_it(wheelhouse: Path) -> None:
    for minor in range(3):
        wheels.wheel(wheelhouse, "torch", f"2.{minor}.0")
        wheels.wheel(wheelhouse, "torchvision", f"0.{minor + 15}.0", requires=(f"torch==2.{minor}.0",))
        wheels.wheel(wheelhouse, "torchaudio", f"2.{minor}.0", requires=(f"torch==2.{minor}.0",))
    some = asks("torch==2.2.0", "torchvision==0.16.0", "torchaudio==2.1.0")
    found = changes(some, SETTING, solve(some, SETTING))
    told = [{edit.ask: edit.specifier for edit in one.edits} for one in found]
    assert told[0] == {"torch==2.2.0": "==2.1.0"}
    assert {"torchvision==0.16.0": "==0.17.0", "torchaudio==2.1.0": "==2.2.0"} in told


def test_what_the_base_has_is_kept_where_it_satisfies(wheelhouse: Path) -> None:
    family(wheelhouse)
    own = {"torch": "2.1.0a0+ngc", "unrelated": "9"}
    kept = solve(asks("easy"), Setting(installed=own))
    assert kept.versions["torch"] == "2.1.0a0+ngc"
    assert kept.replaced == {}
    replaced = solve(asks("easy", "torchvision==0.18.0"), Setting(installed=own))
    assert replaced.replaced == {"torch": ("2.1.0a0+ngc", "2.3.0")}
    labelled = solve(asks("torch==2.1.0+cu121", "easy"), Setting(installed={"torch": "2.1.0+cu121"}))
    assert labelled.versions["torch"] == "2.1.0+cu121"


def test_constraints_are_named_and_overrides_win(wheelhouse: Path) -> None:
    family(wheelhouse)
    limit = asks("torch<2.2")[0]
    found = solve(asks("torchvision==0.17.0"), Setting(constraints=(limit,))).conflict
    assert found is not None
    assert set(found.asks) == {"torchvision==0.17.0", "torch<2.2"}
    assert (
        solve(asks("torchvision==0.17.0"), Setting(overrides=("torch==2.0.0",))).versions["torch"] == "2.0.0"
    )


def test_a_place_out_of_reach_is_left_out_and_what_only_it_may_have_is_unknown(wheelhouse: Path) -> None:
    family(wheelhouse)
    far = Setting(extra_indexes=(NOWHERE,))
    found = solve(asks("easy"), far)
    assert found.status == "satisfied"
    assert any(NOWHERE in note for note in found.notes)
    for ask in ("nowhere-else", "torch==9.0", "torch>=9"):
        unknown = solve(asks("easy", ask), far)
        assert unknown.status == "unknown"
        assert NOWHERE in unknown.reason
        assert unknown.remedy
    # What one release needs is the same wherever it comes from; another release of it may need something else.
    assert solve(asks("torch==2.3.0", "torchvision<0.18"), far).status == "unknown"
    assert solve(asks("torch==2.3.0", "torchvision==0.17.0"), far).status == "unsatisfiable"
    assert solve(asks("easy"), Setting(index=NOWHERE)).status == "unknown"


def test_a_build_with_a_label_is_resolved_as_its_release(wheelhouse: Path) -> None:
    wheels.wheel(
        wheelhouse, "torch", "2.1.0", requires=("filelock", "nvidia-cublas-cu12==12.1", "triton==2.1")
    )
    wheels.wheel(wheelhouse, "torch", "2.2.0")
    wheels.wheel(wheelhouse, "filelock", "3.0")
    wheels.wheel(wheelhouse, "triton", "2.1")
    far = Setting(extra_indexes=(NOWHERE,))
    found = solve(asks("torch==2.1.0+cu118"), far)
    assert found.versions == {"torch": "2.1.0+cu118", "filelock": "3.0", "triton": "2.1"}
    assert any("2.1.0+cu118 was resolved as 2.1.0" in note for note in found.notes)
    assert found.built == ()
    wheels.wheel(wheelhouse, "wants", "1.0", requires=("torch>=2.2",))
    clash = solve(asks("torch==2.1.0+cu118", "wants==1.0"), far)
    assert clash.status == "unsatisfiable"


def test_a_source_distribution_counts_with_what_it_says_statically(wheelhouse: Path) -> None:
    sdist(wheelhouse, "static", metadata="2.2", headers="Requires-Dist: leaf<2\n")
    sdist(wheelhouse, "dynamic", metadata="2.2", headers="Requires-Dist: leaf<2\nDynamic: Requires-Dist\n")
    sdist(wheelhouse, "legacy", headers="Requires-Dist: leaf<2\n")
    for version in ("1.0", "2.0"):
        wheels.wheel(wheelhouse, "leaf", version)
    wheels.wheel(wheelhouse, "user", "1.0", requires=("static",))
    seen = solve(asks("user", "leaf"), SETTING)
    assert seen.versions == {"user": "1.0", "static": "1.0", "leaf": "1.0"}
    assert (seen.built, seen.unseen) == (("static",), ())
    for name in ("dynamic", "legacy"):
        unseen = solve(asks(name, "leaf"), SETTING)
        assert unseen.versions["leaf"] == "2.0"
        assert unseen.unseen == (name,)
        assert any(name in note and "were not seen" in note for note in unseen.notes)
    clash = solve(asks("static", "leaf==2.0"), SETTING).conflict
    assert clash is not None
    assert clash.message == "static needs leaf<2, but leaf==2.0 is asked for"


def test_the_newest_release_counts_though_only_an_old_one_has_a_wheel(wheelhouse: Path) -> None:
    wheels.wheel(wheelhouse, "tool", "0.1", requires=("torch<1",))
    sdist(wheelhouse, "tool", "5.0")
    family(wheelhouse)
    assert solve(asks("tool", "torch"), SETTING).versions == {"tool": "5.0", "torch": "2.3.0"}
    # Of 5.0 the dependencies are unknown, so it is not what a conflict is solved with.
    some = asks("tool==0.1", "torch==2.3.0")
    assert all(
        edit.version != "5.0" for one in changes(some, SETTING, solve(some, SETTING)) for edit in one.edits
    )


@pytest.mark.parametrize(
    "route",
    ["index-legacy", "index-backend", "needed", "wanted-address", "archive", "folder", "editable", "git", "zip"],
)  # fmt: skip
def test_nothing_of_the_repository_or_of_an_sdist_is_ever_run(
    wheelhouse: Path, tmp_path: Path, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "executed"
    code = f"open({str(trap)!r}, 'w').close()\n"
    setup = {"setup.py": code + "from setuptools import setup\nsetup(name='evil', version='1.0')\n"}
    backend = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "trap"\nbackend-path = ["."]\n'
        '[project]\nname = "evil"\nversion = "1.0"\ndynamic = ["dependencies"]\n',
        "trap.py": code,
    }
    project = tmp_path / "project"
    tree = project / "evil"
    tree.mkdir(parents=True)
    for file, text in {**setup, **backend}.items():
        (tree / file).write_text(text)
        (project / file).write_text(text)
    (project / "uv.toml").write_text('no-build = false\nonly-binary = [":none:"]\n')
    archive = sdist(project, "evil", files=setup)
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *command], cwd=tree, check=True)
    monkeypatch.chdir(project)
    url = ""
    if route in ("index-legacy", "needed"):
        sdist(wheelhouse, "evil", files=setup)
    elif route == "index-backend":
        sdist(wheelhouse, "evil", files=backend)
    elif route == "wanted-address":
        wheels.wheel(wheelhouse, "user", "1.0", requires=(f"evil @ {archive.as_uri()}",))
    else:
        url = {
            "archive": archive.as_uri(),
            "folder": tree.as_uri(),
            "editable": str(tree),
            "git": f"git+{tree.as_uri()}",
            "zip": f"{project.as_uri()}/evil-1.0.zip",
        }[route]
    if route == "needed":
        wheels.wheel(wheelhouse, "user", "1.0", requires=("evil",))
    wheels.wheel(wheelhouse, "other", "1.0")
    wanted = (
        asks("user") if route in ("needed", "wanted-address") else (Ask(id="evil", name="evil", url=url),)
    )
    found = solve((*wanted, *asks("other")), SETTING)
    assert not trap.exists()
    assert found.status == "satisfied"
    assert found.versions["other"] == "1.0"
    assert "evil" in found.unseen
    assert found.notes


def test_a_wheel_from_a_file_is_read(wheelhouse: Path, tmp_path: Path) -> None:
    family(wheelhouse)
    mine = wheels.wheel(tmp_path / "dist", "mine", "3.0", requires=("torch<2.1",))
    found = solve((Ask(id="mine", name="mine", url=mine.as_uri()), *asks("easy")), SETTING)
    assert found.versions == {"mine": "3.0", "easy": "1.0", "torch": "2.0.0"}


def test_an_ask_that_is_no_requirement_is_left_out_and_named(wheelhouse: Path) -> None:
    family(wheelhouse)
    for bad in (
        Ask(id="a", name="torch", specifier="==two"),
        Ask(id="a", name="--index-url http://x"),
        Ask(id="a", name="torch", marker='python_version < "4"\n--pre'),
        Ask(id="a", name="torch", specifier="==${VERSION}"),
    ):
        found = solve((bad, *asks("easy")), SETTING)
        assert found.status == "satisfied"
        assert any("left out" in note for note in found.notes)


def test_answers_are_remembered_by_content_and_given_again_without_an_index(
    wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family(wheelhouse)
    first = solve(asks("easy"), SETTING)
    renamed = [msgspec.structs.replace(one, id="another name") for one in asks("easy")]
    again = solve(renamed, SETTING)
    assert (first.cached, again.cached) == (False, True)
    assert again.versions == first.versions
    assert solve(asks("easy"), SETTING, offline=True).versions == first.versions
    missing = solve(asks("torch"), SETTING, offline=True)
    assert (missing.status, bool(missing.remedy)) == ("unknown", True)
    wheels.wheel(wheelhouse, "easy", "2.0")
    assert solve(asks("easy"), SETTING, refresh=True).versions["easy"] == "2.0"
    clash = asks("torch==2.3.0", "torchvision==0.17.0")
    before = solve(clash, SETTING)
    other = [msgspec.structs.replace(one, id=f"file:{n}") for n, one in enumerate(clash)]
    after = solve(other, SETTING)
    assert after.cached
    assert before.conflict is not None
    assert after.conflict is not None
    assert after.conflict.asks == ("file:0", "file:1")
    assert changes(other, SETTING, after)[0].edits[0].ask == "file:1"


def test_an_earlier_answer_serves_when_the_index_is_gone(
    index: str, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seatrial.images.solving import remember

    family(wheelhouse)
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://me:s3cret@{index}/simple")
    assert solve(asks("easy"), SETTING).status == "satisfied"
    place = next((wheelhouse.parent / "cache" / "solving" / "answers").glob("*.json"))
    until, answer = msgspec.json.decode(place.read_bytes())
    place.write_bytes(msgspec.json.encode([until - 1e6, answer]))
    remember._memory.clear()
    again = solve(asks("easy"), SETTING, budget=0.0)
    assert again.status == "satisfied"
    assert any("earlier answer" in note for note in again.notes)


def test_credentials_are_used_and_kept_nowhere(
    index: str, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family(wheelhouse)
    sdist(wheelhouse, "source", metadata="2.2", headers="Requires-Dist: torch<2.2\n")
    address = f"http://me:s3cret@{index}/simple"
    refused = solve(asks("easy"), Setting(index=f"http://me:wrong-pass@{index}/simple"))
    found = solve(asks("easy", "source"), Setting(index=address))
    assert found.status == "satisfied"
    clash = solve(asks("torch==2.3.0", "torchvision==0.17.0"), Setting(index=address))
    assert clash.status == "unsatisfiable"
    far = Setting(
        index=address, extra_indexes=("http://you:hidden-pass@127.0.0.1:9/simple?token=hidden-too",)
    )
    left_out = solve(asks("easy"), far)
    for one in (found, clash, refused, left_out):
        assert not any(secret in repr(one) for secret in ("s3cret", "wrong-pass", "hidden"))
    kept = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and b"s3cret" in p.read_bytes()]
    assert kept == []
    assert refused.status != "satisfied"


def test_an_index_that_is_gone_is_no_contradiction(
    index: str, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:secret@127.0.0.1:9/simple")
    found = solve(asks("anything==1.0"), SETTING)
    assert found.status == "unknown"
    assert "127.0.0.1:9" in found.reason
    assert "secret" not in repr(found)
    assert found.remedy


def test_time_is_limited(wheelhouse: Path) -> None:
    family(wheelhouse)
    found = solve(asks("easy"), SETTING, budget=0.001)
    assert (found.status, "time" in found.reason) == ("unknown", True)


def test_settings_of_uv_that_choose_differently_do_not_count(
    wheelhouse: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    family(wheelhouse)
    (tmp_path / "limit.txt").write_text("torch<2.1\n")
    monkeypatch.setenv("UV_CONSTRAINT", str(tmp_path / "limit.txt"))
    monkeypatch.setenv("UV_RESOLUTION", "lowest")
    assert solve(asks("easy"), SETTING).versions["torch"] == "2.3.0"


def test_many_are_solved_at_once_and_the_same_one_only_once(wheelhouse: Path) -> None:
    family(wheelhouse)
    problems = [Problem(asks(f"torch==2.{minor}.0", "easy"), SETTING) for minor in (0, 1, 2, 3)] * 3
    found = solve_all(problems)
    assert [one.versions["torch"] for one in found] == ["2.0.0", "2.1.0", "2.2.0", "2.3.0"] * 3
    assert sum(not one.cached for one in found) == 4
    assert solve_all([]) == []


def test_flags_of_the_installer_count(wheelhouse: Path) -> None:
    family(wheelhouse)
    wheels.wheel(wheelhouse, "torch", "3.0rc1")
    assert solve(asks("torch"), SETTING).versions["torch"] == "2.3.0"
    assert solve(asks("torch"), Setting(pre=True)).versions["torch"] == "3.0rc1"
    assert solve(asks("torchvision==0.15.0"), Setting(no_deps=True)).versions == {"torchvision": "0.15.0"}
    house = wheelhouse.parent / "more"
    wheels.wheel(house, "extra", "1.0")
    found = solve(asks("extra"), Setting(no_index=True, find_links=(str(house),)))
    assert found.versions == {"extra": "1.0"}
