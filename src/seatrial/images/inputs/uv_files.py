"""The files that uv is given: requirements with stand-ins for what it cannot see, and logins that nobody else can read."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.inputs.listing import Listing  # noqa: TC001 - msgspec reads the annotation
from seatrial.images.inputs.logins import netrc_text, with_login
from seatrial.images.inputs.wheelhouse import page
from seatrial.images.solving.metadata import Needs
from seatrial.images.solving.stand_ins import folder_of
from seatrial.images.uv_program import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.inputs.asked import Asked, Draft, Gap
    from seatrial.images.inputs.making import Made, Means
    from seatrial.images.inputs.model import Unbuilt


class State(msgspec.Struct):
    """What is known so far. `gaps`: what was built for a requirement; `listed`: source archives of an index.

    `assumed` is what the stand-ins say. A package that comes from one index alone cannot be taken from a folder: there
    the version in `fixed` is named by its place.
    """

    asked: Asked
    gaps: dict[Unbuilt, Made] = {}
    listed: dict[str, dict[str, Listing]] = {}
    made: dict[tuple[str, str], Made] = {}
    assumed: dict[str, dict[str, Needs | None]] = {}
    fixed: dict[str, str] = {}


def write(state: State, means: Means, folder: Path) -> list[str]:
    """Write the files into a private folder, and return those that uv is to read."""
    for draft in state.asked.drafts:
        _private(folder / draft.name, _rendered(draft, state))
    _private(folder / "overrides.txt", "\n".join(state.asked.overrides))
    _private(folder / "limits.txt", "\n".join(state.asked.constraints))
    names = [str(folder / name) for name in state.asked.requirements]
    pages = [folder / f"wheels-{number}.html" for number in range(len(means.wheels))]
    for place, wheels in zip(pages, means.wheels, strict=True):
        _private(place, page(wheels))
    _private(folder / "options.txt", _options(state, means, pages))
    names.insert(0, str(folder / "options.txt"))
    placed = [one for one in state.asked.placed if name_in(one[0]) not in state.fixed]
    _private(folder / "fixed.txt", "".join(_fixed_line(line, state) for line, _ in state.asked.placed))
    names.append(str(folder / "fixed.txt"))
    if placed:
        place = folder / "placed"
        place.mkdir(exist_ok=True)
        _private(place / "pyproject.toml", _placed(placed, means))
        names.append(str(place / "pyproject.toml"))
    return names


def _rendered(draft: Draft, state: State) -> str:
    return "".join(part if isinstance(part, str) else _line(part, state) for part in draft.parts) + "\n"


def _line(gap: Gap, state: State) -> str:
    made = state.gaps[gap.unbuilt]
    needs = Needs() if gap.bare else needs_of(made.built.metadata)
    name, version = made.built.wheel.name, made.built.wheel.version
    stand_in = next(folder_of(name, {version: needs}).iterdir())
    extras = f"[{','.join(gap.extras)}]" if gap.extras and not gap.bare else ""
    return f"{name}{extras} @ {stand_in.as_uri()}"


def _options(state: State, means: Means, pages: list[Path]) -> str:
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
    lines += [f"--find-links {place.as_uri()}" for place in pages]
    lines += [
        f"--find-links {folder_of(name, some).as_uri()}" for name, some in state.assumed.items() if some
    ]
    return "\n".join(lines) + "\n"


def _fixed_line(line: str, state: State) -> str:
    name = name_in(line)
    if name not in state.fixed:
        return ""
    extras = re.search(r"\[[^\]]*\]", line)
    version = state.fixed[name]
    stand_in = next(folder_of(name, {version: state.assumed[name][version]}).iterdir())
    return f"{name}{extras[0] if extras else ''} @ {stand_in.as_uri()}\n"


def name_in(line: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", line)[0]


def _placed(placed: list[tuple[str, str]], means: Means) -> str:
    """A project whose requirements come from one index each: the only way to tell uv so."""
    import json

    q = json.dumps
    urls = list(dict.fromkeys(index for _, index in placed))
    lines = ["[project]", 'name = "seatrial-placed"', 'version = "0"', "dependencies = ["]
    lines += [f"  {q(line)}," for line, _ in placed]
    lines += ["]", "[tool.uv]", "package = false"]
    for number, url in enumerate(urls):
        address = q(with_login(url, means.logins, means.env))
        lines += ["[[tool.uv.index]]", f'name = "i{number}"', f"url = {address}", "explicit = true"]
    lines.append("[tool.uv.sources]")
    lines += [
        f'{name_in(line)} = {{ index = "i{urls.index(index)}" }}' for line, index in dict(placed).items()
    ]
    return "\n".join(lines) + "\n"


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def environment(means: Means, folder: Path) -> dict[str, str]:
    """Logins reach uv by a file that only we can read."""
    env = quiet(means.env)
    text = netrc_text(means.logins, means.env)
    if text:
        _private(folder / "netrc", text)
        env["NETRC"] = str(folder / "netrc")
    nameless = any(one.user and not one.password for one in means.logins)
    if nameless and "UV_KEYRING_PROVIDER" not in env and shutil.which("keyring", path=env.get("PATH")):
        env["UV_KEYRING_PROVIDER"] = "subprocess"
    return env


def needs_of(metadata: str) -> Needs:
    """What a METADATA file says that is needed."""
    from email.parser import HeaderParser

    message = HeaderParser().parsestr(metadata)
    return Needs(
        tuple(" ".join(line.split()) for line in message.get_all("Requires-Dist", [])),
        (message.get("Requires-Python") or "").strip(),
        tuple(message.get_all("Provides-Extra", [])),
    )
