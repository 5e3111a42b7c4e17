"""uv decides the versions; what it cannot see without building gets a stand-in, is built here, and uv is asked again.

uv sees wheels only, so it never runs anything. A stand-in is a wheel without content that says what the real one needs.
"""

from __future__ import annotations

import re
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.inputs.choosing import Picked, Rules, ToBuild, choose
from seatrial.images.inputs.explaining import explain_failure
from seatrial.images.inputs.listing import Listing, sources_of
from seatrial.images.inputs.logins import netrc_text, with_login
from seatrial.images.inputs.making import Made, Means, make, refused
from seatrial.images.inputs.model import Unbuilt
from seatrial.images.solving.metadata import Needs
from seatrial.images.solving.settle import unbuilt
from seatrial.images.solving.stand_ins import folder_of
from seatrial.images.target import uv_platform
from seatrial.images.uv_program import clean, failure, find_uv, quiet
from seatrial.processes import Completed, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.inputs.asked import Asked, Draft, Gap

_ROUNDS = 24
# A folder may have nothing but a source archive of a package; to uv it is not there then.
_ABSENT = re.compile(r"\b([a-z0-9][a-z0-9-]*) was not found in the ")


class Settled(msgspec.Struct, frozen=True):
    """What an image gets: wheels that are there, and wheels that were built."""

    picked: tuple[Picked, ...] = ()
    made: tuple[Made, ...] = ()
    notes: tuple[str, ...] = ()


class _State(msgspec.Struct):
    """What is known so far. `gaps`: what was built for a requirement; `listed`: source archives of an index."""

    asked: Asked
    gaps: dict[Unbuilt, Made] = {}
    listed: dict[str, dict[str, Listing]] = {}
    made: dict[tuple[str, str], Made] = {}
    assumed: dict[str, dict[str, Needs | None]] = {}


def settle(asked: Asked, means: Means) -> Settled:
    """The wheels that satisfy what is asked, some of them built for it.

    Raises:
        SeatrialError: the requirements contradict each other, something cannot be had, or must or can not be built.
        MissingToolError: uv is not installed.
    """
    state = _State(asked)
    if means.build is None and asked.gaps:
        raise refused([gap.unbuilt for gap in asked.gaps])
    for gap in asked.gaps:
        _build_gap(gap, state, means)
    with tempfile.TemporaryDirectory(prefix="seatrial-") as name:  # 0700: the addresses in it stay ours
        for _ in range(_ROUNDS):
            done, output = _ask(state, means, Path(name))
            if done.code != 0:
                if not _add_listed(done, state, means):
                    raise _explained(done, state, means)
                continue
            packages = tomllib.loads(output).get("packages", [])
            if not _learn(packages, state, means):
                return _settled(packages, state, means)
    raise SeatrialError("the packages that have to be built ask for ever new versions", where=str(means.root))


def _build_gap(gap: Gap, state: _State, means: Means) -> None:
    if gap.unbuilt in state.gaps:
        return
    allowed = state.asked.hashes.get(gap.unbuilt.name, frozenset()) if state.asked.hashed else frozenset()
    made = make(gap.unbuilt, means, allowed=allowed)
    name = gap.unbuilt.name
    if name and made.built.wheel.name != name:
        raise SeatrialError(
            f"{name} was asked for, and what is there is {made.built.wheel.name}",
            where=gap.unbuilt.where or None, fix=f"ask for it as {made.built.wheel.name}",
        )  # fmt: skip
    state.gaps[gap.unbuilt] = made


def _ask(state: _State, means: Means, folder: Path) -> tuple[Completed, str]:
    names = _write(state, means, folder)
    out = folder / "chosen" / "pylock.toml"
    out.parent.mkdir(exist_ok=True)
    out.unlink(missing_ok=True)
    argv = [
        find_uv(), "pip", "compile", *names,
        *(["--overrides", str(folder / "overrides.txt")] if state.asked.overrides else []),
        *(["--constraints", str(folder / "limits.txt")] if state.asked.constraints else []),
        "--output-file", str(out), "--format", "pylock.toml", "--only-binary", ":all:",
        "--python-version", means.python or means.target.python, "--python-platform", uv_platform(means.target),
        "--python", sys.executable, "--no-python-downloads", "--no-header",
        *([] if state.asked.placed else ["--no-sources"]),
        *(["--no-deps"] if state.asked.no_deps else []),
        *(["--offline"] if means.offline else []),
        *(["--refresh"] if means.refresh and not means.offline and not means.env.get("UV_OFFLINE") else []),
    ]  # fmt: skip
    done = run(argv, cwd=means.root, env=_environment(means, folder))
    return done, out.read_text("utf-8") if done.code == 0 else ""


def _environment(means: Means, folder: Path) -> dict[str, str]:
    """Logins reach uv by a file that only we can read."""
    env = quiet(means.env)
    text = netrc_text(means.logins, means.env)
    if text:
        _private(folder / "netrc", text)
        env["NETRC"] = str(folder / "netrc")
    return env


def _write(state: _State, means: Means, folder: Path) -> list[str]:
    for draft in state.asked.drafts:
        _private(folder / draft.name, _rendered(draft, state))
    _private(folder / "overrides.txt", "\n".join(state.asked.overrides))
    _private(folder / "limits.txt", "\n".join(state.asked.constraints))
    names = [str(folder / name) for name in state.asked.requirements]
    _private(folder / "options.txt", _options(state, means))
    names.insert(0, str(folder / "options.txt"))
    if state.asked.placed:
        place = folder / "placed"
        place.mkdir(exist_ok=True)
        _private(place / "pyproject.toml", _placed(state, means))
        names.append(str(place / "pyproject.toml"))
    return names


def _rendered(draft: Draft, state: _State) -> str:
    return "".join(part if isinstance(part, str) else _line(part, state) for part in draft.parts) + "\n"


def _line(gap: Gap, state: _State) -> str:
    made = state.gaps[gap.unbuilt]
    needs = Needs() if gap.bare else needs_of(made.built.metadata)
    name, version = made.built.wheel.name, made.built.wheel.version
    stand_in = next(folder_of(name, {version: needs}).iterdir())
    extras = f"[{','.join(gap.extras)}]" if gap.extras and not gap.bare else ""
    return f"{name}{extras} @ {stand_in.as_uri()}"


def _options(state: _State, means: Means) -> str:
    """Indexes of project files and folders of wheels; those of requirement files are in their own lines.

    Here, not among the arguments: those would replace what the user's environment says.
    """
    written = "".join(part for draft in state.asked.drafts for part in draft.parts if isinstance(part, str))
    index, extra = state.asked.index, state.asked.extra_indexes
    lines = (
        [f"--index-url {with_login(index, means.logins, means.env)}"]
        if index and index not in written
        else []
    )
    lines += [
        f"--extra-index-url {with_login(one, means.logins, means.env)}" for one in extra if one not in written
    ]
    lines += [f"--find-links {folder.as_uri()}" for folder in means.wheels]
    lines += [f"--find-links {folder_of(name, some).as_uri()}" for name, some in state.assumed.items() if some]
    return "\n".join(lines) + "\n"


def _placed(state: _State, means: Means) -> str:
    """A project whose requirements come from one index each: the only way to tell uv so."""
    import json

    q = json.dumps
    urls = list(dict.fromkeys(index for _, index in state.asked.placed))
    lines = ["[project]", 'name = "seatrial-placed"', 'version = "0"', "dependencies = ["]
    lines += [f"  {q(line)}," for line, _ in state.asked.placed]
    lines += ["]", "[tool.uv]", "package = false"]
    for number, url in enumerate(urls):
        address = q(with_login(url, means.logins, means.env))
        lines += ["[[tool.uv.index]]", f'name = "i{number}"', f"url = {address}", "explicit = true"]
    lines.append("[tool.uv.sources]")
    for line, index in dict(state.asked.placed).items():
        name = re.split(r"[^A-Za-z0-9._-]", line)[0]
        lines.append(f'{name} = {{ index = "i{urls.index(index)}" }}')
    return "\n".join(lines) + "\n"


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def _add_listed(done: Completed, state: _State, means: Means) -> bool:
    """Give a stand-in to each source archive of the packages that uv saw no wheel of; False: there is none to add."""
    if failure(done) not in ("no-wheel", "unsatisfiable"):
        return False
    refused_by_file = state.asked.only_binary
    text = clean(done.stderr)
    names = (unbuilt(text) | set(_ABSENT.findall(text))) - state.listed.keys()
    if ":all:" in refused_by_file:
        names = set()
    found = {name: sources_of(name, state.asked, means) for name in sorted(names - refused_by_file)}
    if any(found.values()) and means.build is None:
        raise refused(
            [
                Unbuilt(kind="sdist", url=name, name=name, where=str(means.root))
                for name, some in found.items()
                if some
            ]
        )
    state.listed |= found
    for name, some in found.items():
        state.assumed[name] = dict.fromkeys(some)
    return any(found.values())


def _learn(packages: Iterable[dict[str, Any]], state: _State, means: Means) -> bool:
    """Build the chosen stand-ins. True: one of them needs something else than was assumed."""
    changed = False
    for name, version in _stood_in(packages, state):
        if (name, version) in state.made:
            continue
        one = state.listed[name][version]
        source = Unbuilt(
            kind="sdist",
            url=one.address,
            name=name,
            version=version,
            sha256=one.sha256,
            where=_where(name, state),
        )
        allowed = state.asked.hashes.get(name, frozenset()) if state.asked.hashed else frozenset()
        if state.asked.hashed and not allowed:
            raise SeatrialError(
                f"{name} has no hash", where=source.where or None,
                why="one requirement has `--hash`, so every package needs one", fix="write the hashes again",
            )  # fmt: skip
        made = make(source, means, allowed=allowed, filename=one.filename, indexed=True)
        state.made[name, version] = made
        needs = needs_of(made.built.metadata)
        if needs != (state.assumed[name][version] or Needs()):
            changed = True
        state.assumed[name] = {**state.assumed[name], version: needs}
    return changed


def _stood_in(packages: Iterable[dict[str, Any]], state: _State) -> list[tuple[str, str]]:
    from packaging.utils import canonicalize_version

    found: list[tuple[str, str]] = []
    for package in packages:
        name, wanted = package["name"], canonicalize_version(str(package.get("version", "")))
        if "wheels" in package:
            found += [
                (name, one) for one in state.assumed.get(name, {}) if canonicalize_version(one) == wanted
            ]
    return found


def _where(name: str, state: _State) -> str:
    return str(state.asked.files[0]) if state.asked.files else name


def _settled(packages: list[dict[str, Any]], state: _State, means: Means) -> Settled:
    rules = Rules(
        folder=means.root, hashed=state.asked.hashed, hashes=state.asked.hashes,
        where=str(state.asked.files[0]) if state.asked.files else "",
    )  # fmt: skip
    gaps = {made.built.wheel.name: made for made in state.gaps.values()}
    stood_in = dict(_stood_in(packages, state))
    picked: list[Picked] = []
    made: list[Made] = []
    for package in packages:
        name = package["name"]
        if name in gaps and "archive" in package:
            made.append(gaps[name])
        elif name in stood_in:
            made.append(state.made[name, stood_in[name]])
        else:
            choice = _from_source(package, state, means) or choose(package, means, rules)
            if isinstance(choice, Picked):
                picked.append(choice)
            elif isinstance(choice, ToBuild):
                made.append(
                    make(
                        choice.source,
                        means,
                        allowed=choice.allowed,
                        filename=choice.filename,
                        indexed=choice.indexed,
                    )
                )
            else:
                raise SeatrialError(
                    f"nobody says where {choice.name} {choice.version} is", where=rules.where or None
                )
    return Settled(tuple(picked), tuple(made), state.asked.notes)


def _from_source(package: dict[str, Any], state: _State, means: Means) -> ToBuild | None:
    """A package that `--no-binary` names comes from the archive of the version that was chosen."""
    name, version = package["name"], str(package.get("version", ""))
    if not state.asked.no_binary & {name, ":all:"} or "wheels" not in package:
        return None
    one = sources_of(name, state.asked, means).get(version)
    if one is None:
        raise SeatrialError(
            f"{name} {version} has no source archive", where=_where(name, state), why="`--no-binary` asks for it",
            fix="leave the option out for this package",
        )  # fmt: skip
    source = Unbuilt(
        kind="sdist",
        url=one.address,
        name=name,
        version=version,
        sha256=one.sha256,
        where=_where(name, state),
    )
    if means.build is None:
        raise refused([source])
    allowed = state.asked.hashes.get(name, frozenset()) if state.asked.hashed else frozenset()
    return ToBuild(source, one.filename, allowed, indexed=True)


def needs_of(metadata: str) -> Needs:
    """What a METADATA file says that is needed."""
    from email.parser import HeaderParser

    message = HeaderParser().parsestr(metadata)
    return Needs(
        tuple(" ".join(line.split()) for line in message.get_all("Requires-Dist", [])),
        (message.get("Requires-Python") or "").strip(),
        tuple(message.get_all("Provides-Extra", [])),
    )


def _explained(done: Completed, state: _State, means: Means) -> SeatrialError:
    where = str(state.asked.files[0]) if state.asked.files else str(means.root)
    return explain_failure(done, where, means.target, offline=means.offline)
