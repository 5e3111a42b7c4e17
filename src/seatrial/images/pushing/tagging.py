"""Which tags an image gets: decided from the state of git, with the reason of each. Nothing here asks anybody.

auto: a released commit gets its version; main gets its commit and `latest`; another branch its name and its commit;
without git the tag is made of the image's digest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from seatrial.errors import UsageError
from seatrial.images.pushing.semver import Bump, Version, after, needed, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.pushing.checkout import Checkout
    from seatrial.images.pushing.surroundings import Surroundings

Strategy = Literal["auto", "semantic", "latest", "git-sha", "branch"]
STRATEGIES: tuple[Strategy, ...] = ("auto", "semantic", "latest", "git-sha", "branch")

_LONGEST_TAG = 128
_SHORT = 12
_MAIN = frozenset({"main", "master"})
_RELEASES = re.compile(r"release|release[/-].+|v?[0-9]+(\.[0-9]+)?\.x")


class Wish(NamedTuple):
    """How versions are made: `bump` instead of what the commits ask for, `floating` also tags X.Y and X.

    `dirty` is the reason why a version may be given to files that differ from the commit.
    """

    bump: Bump | None = None
    floating: bool = False
    dirty: str = ""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A tag and why it was chosen. `fixed`: it names one image for ever."""

    tag: str
    why: str
    fixed: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The tags, each once, and what else is worth knowing."""

    tags: tuple[Chosen, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(chosen.tag for chosen in self.tags)

    @property
    def fixed(self) -> frozenset[str]:
        return frozenset(chosen.tag for chosen in self.tags if chosen.fixed)


class _Scene(NamedTuple):
    checkout: Checkout | None
    around: Surroundings
    digest: str
    wish: Wish

    @property
    def branch(self) -> tuple[str, str]:
        """The branch and where that is known from; git's own word first."""
        if self.checkout and self.checkout.branch:
            return self.checkout.branch, "git"
        return self.around.branch, self.around.source

    @property
    def commit(self) -> str:
        return self.checkout.commit if self.checkout else self.around.commit

    @property
    def on_main(self) -> bool:
        branch = self.branch[0]
        return branch in _MAIN or bool(self.checkout and branch and branch == self.checkout.trunk)


def decide(
    strategies: Sequence[Strategy],
    checkout: Checkout | None,
    around: Surroundings,
    digest: str,
    wish: Wish = Wish(),  # noqa: B008 - an immutable tuple
) -> Decision:
    """The tags that the strategies give an image with this digest.

    Raises:
        UsageError: a strategy cannot say a tag here; says why and what to do.
    """
    scene = _Scene(checkout, around, digest, wish)
    chosen: list[Chosen] = []
    notes: list[str] = []
    for strategy in strategies:
        told = _BY_NAME[strategy](scene)
        chosen += told.tags
        notes += told.notes
    if checkout and checkout.changed:
        notes.append(f"the working tree is not the commit: {listed(checkout.changed)}")
    first = {one.tag: one for one in reversed(chosen)}
    ordered = dict.fromkeys(one.tag for one in chosen)
    return Decision(tags=tuple(first[tag] for tag in ordered), notes=tuple(dict.fromkeys(notes)))


def branch_tag(branch: str) -> str:
    """A branch name as a tag: what a tag cannot have becomes a dash. `feature/Größe` is `feature-Gr-e`."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", branch)
    return re.sub(r"^[.-]+", "", plain)[:_LONGEST_TAG].rstrip("-.") or "branch"


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _auto(scene: _Scene) -> Decision:
    version = _exact(scene)
    if version is not None and not (scene.checkout and scene.checkout.changed):
        return _semantic(scene)
    if not scene.commit:
        name = scene.digest.removeprefix("sha256:")[:_SHORT]
        why = "auto: there is no git here, so it is made of the image's digest"
        return Decision(tags=(Chosen(tag=name, why=why),))
    sha = _git_sha(scene).tags
    if scene.on_main:
        if scene.checkout and scene.checkout.changed:
            return Decision(tags=sha, notes=("not tagged latest: files differ from the commit",))
        why = f"auto: {scene.branch[0]} is the main branch"
        return Decision(tags=(*sha, Chosen(tag="latest", why=why)))
    if not scene.branch[0]:
        return Decision(tags=sha, notes=("no branch is known: HEAD is detached and no CI variable says one",))
    return Decision(tags=(*_branch(scene).tags, *sha))


def _latest(_scene: _Scene) -> Decision:
    return Decision(tags=(Chosen(tag="latest", why="asked for"),))


def _git_sha(scene: _Scene) -> Decision:
    if not scene.commit:
        raise _no_git("git-sha")
    if scene.checkout is None:
        note = f"there is no git here: the commit is that of {scene.around.source or 'the CI system'}"
        return Decision(tags=(Chosen(tag=scene.commit[:_SHORT], why="the commit"),), notes=(note,))
    if scene.checkout.changed:
        why = f"the commit, and {listed(scene.checkout.changed)} on top of it"
        return Decision(tags=(Chosen(tag=f"{scene.commit[:_SHORT]}-dirty", why=why),))
    return Decision(tags=(Chosen(tag=scene.commit[:_SHORT], why="the commit"),))


def _branch(scene: _Scene) -> Decision:
    branch, source = scene.branch
    if not branch:
        if scene.checkout is None and not scene.around.source:
            raise _no_git("branch")
        raise UsageError(
            "no branch is known",
            why="HEAD is detached, and neither CODEBUILD_WEBHOOK_HEAD_REF, GITHUB_REF_NAME nor CI_COMMIT_REF_NAME "
            "names a branch",
            fix="check out a branch, or use another --strategy",
        )
    tag = branch_tag(branch)
    why = f"the branch {branch}" + ("" if source == "git" else f" of {source}")
    return Decision(tags=(Chosen(tag=tag, why=why),))


def _semantic(scene: _Scene) -> Decision:
    checkout, wish = scene.checkout, scene.wish
    exact = _exact(scene)
    if checkout is None and exact is None:
        raise _no_git("semantic")
    notes = _dirty_notes(checkout, wish)
    if exact is not None:
        if wish.bump:
            notes.append(f"--bump has no say: this commit is {exact} already")
        return _versioned(scene, exact, f"this commit is tagged {exact}", notes)
    assert checkout is not None  # noqa: S101 - without one there is an exact version
    notes += _shallow_notes(checkout)
    version, why = _next(checkout, wish)
    branch = scene.branch[0]
    if branch and not scene.on_main and not _RELEASES.fullmatch(branch):
        word = re.sub(r"[^0-9A-Za-z-]+", "-", branch).strip("-")[:60] or "branch"
        # Numbers are compared otherwise, and have no leading zeros.
        word = f"b{word}" if word.isdigit() else word
        version = version._replace(pre=(word, str(len(checkout.since))))
        why += f"; a pre-release, since {branch} is no release branch"
    else:
        if not branch:
            notes.append("no branch is known, so this is taken for a release")
        notes.append(
            f"`git tag v{version} {scene.commit[:_SHORT]}` records it, so that the next version is another"
        )
    return _versioned(scene, version, why, notes)


def _dirty_notes(checkout: Checkout | None, wish: Wish) -> list[str]:
    if checkout is None or not checkout.changed:
        return []
    if not wish.dirty:
        raise UsageError(
            "a version is not given to files that differ from the commit",
            where=str(checkout.root),
            why=f"changed or unknown to git: {listed(checkout.changed)}",
            fix="commit them or have git ignore them; --allow-dirty REASON does it all the same",
        )
    return [f"files differ from the commit, allowed because: {wish.dirty}"]


def _shallow_notes(checkout: Checkout) -> list[str]:
    if not checkout.shallow:
        return []
    if checkout.last is None:
        raise UsageError(
            "the last version is not known",
            where=str(checkout.root),
            why="the clone is shallow: its history is cut off, and no version tag is left in it",
            fix="git fetch --unshallow --tags (GitHub: fetch-depth: 0; GitLab: GIT_DEPTH: 0; CodeBuild: "
            "git-clone-depth 0)",
        )
    return [
        (
            f"the clone is shallow: the version is counted from {checkout.last}, and commits may be missing "
            "(git fetch --unshallow --tags)"
        )
    ]


def _exact(scene: _Scene) -> Version | None:
    """The version that the commit itself has: the highest release among its tags, else the highest pre-release."""
    here = list(scene.checkout.here) if scene.checkout else []
    told = read(scene.around.tag)
    if told and (scene.checkout is None or scene.around.commit == scene.checkout.commit):
        here.append(told)  # a shallow clone may lack the tag that it was made for
    return max(here, key=lambda version: (not version.pre, version.order), default=None)


def _next(checkout: Checkout, wish: Wish) -> tuple[Version, str]:
    if checkout.last is None:
        if wish.bump in (None, "minor"):
            return Version(0, 1, 0), "the first version: no tag such as v1.2.3 is in the history"
        return after(Version(0, 0, 0), wish.bump, asked=True), f"the first version, by --bump {wish.bump}"
    if wish.bump:
        return after(checkout.last, wish.bump, asked=True), f"after {checkout.last}, by --bump {wish.bump}"
    bump, commit = needed(checkout.since)
    version = after(checkout.last, bump)
    because = f"{commit.id[:_SHORT]} ({commit.subject[:80]!r})" if commit else "no commit asks for more"
    if bump == "major" and checkout.last.major == 0:
        return (
            version,
            f"a minor version after {checkout.last}, where {because} breaks: 1.0.0 needs --bump major",
        )
    return version, f"a {bump} version after {checkout.last}: {because}"


def _versioned(scene: _Scene, version: Version, why: str, notes: Sequence[str]) -> Decision:
    tags = [Chosen(tag=str(version), why=why, fixed=True)]
    if scene.wish.floating and not version.pre:
        others = [
            one for one in (scene.checkout.released if scene.checkout else ()) if one.order > version.order
        ]
        line, major = (version.major, version.minor), version.major
        if not any(one[:2] == line for one in others):
            tags.append(
                Chosen(
                    tag=f"{version.major}.{version.minor}",
                    why=f"floats over {version.major}.{version.minor}.x",
                )
            )
        if major and not any(one.major == major for one in others):
            tags.append(Chosen(tag=str(major), why=f"floats over {major}.x"))
    return Decision(tags=tuple(tags), notes=tuple(notes))


def _no_git(strategy: str) -> UsageError:
    return UsageError(
        f"the strategy {strategy} needs git",
        why="this folder is in no working tree with a commit, and no CI variable names what is built",
        fix="run it in the repository (-C DIR), or give --tag",
    )


_BY_NAME = {
    "auto": _auto,
    "semantic": _semantic,
    "latest": _latest,
    "git-sha": _git_sha,
    "branch": _branch,
}
