"""Tools that install a project with its lock: uv, Poetry, Pipenv, PDM."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story import installs, locks, pipfiles, pyproject
from seatrial.images.story.installer_options import PIP, UV_SHORT, UV_VALUED
from seatrial.images.story.installs import asked, file, finished
from seatrial.images.story.local import project as local
from seatrial.images.story.options import Options, Parsed, parse
from seatrial.images.story.poetry_versions import to_pep440
from seatrial.images.story.pyproject import Wanted
from seatrial.images.story.requirement_files import Gathered
from seatrial.images.story.scene import environment_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.images.story.model import Install, Uninstall
    from seatrial.images.story.pyproject import Reader
    from seatrial.images.story.scene import Call, Scene
    from seatrial.images.story.words import Word
    from seatrial.sources.text import Source

_UV_SYNC = Options(valued=UV_VALUED - {"constraint", "override"}, short=UV_SHORT)
_POETRY = Options(
    valued=frozenset(
        {"with", "without", "only", "extras", "group", "source", "python", "directory", "project", "platform"}
    ),
    short={"E": "extras", "G": "group", "C": "directory", "P": "project", "n": "no-interaction", "D": "dev"},
)
_PIPENV = Options(
    valued=frozenset(
        {
            "index",
            "extra-index-url",
            "pypi-mirror",
            "python",
            "requirements",
            "categories",
            "editable",
            "extra-pip-args",
        }
    ),
    short={"i": "index", "r": "requirements", "e": "editable", "d": "dev"},
)
_PDM = Options(
    valued=frozenset(
        {"group", "project", "lockfile", "venv", "config-setting", "override", "with", "without", "editable"}
    ),
    short={"G": "group", "p": "project", "L": "lockfile", "d": "dev", "e": "editable"},
)


def uv(call: Call, scene: Scene) -> Install | Uninstall | None:
    """`uv sync`, `uv add`, `uv tool install` and what begins with `uv pip`; None for anything else."""
    parsed = parse(call.arguments, _UV_SYNC)
    command = [word.text for word in parsed.words[:2]]
    if command[:1] == ["pip"]:
        return installs.uv_pip(call, scene)
    if command[:1] == ["sync"]:
        return _uv_sync(parsed, call, scene)
    if command[:1] == ["add"]:
        return _uv_add(parsed, call, scene)
    if command == ["tool", "install"]:
        return _tool(parsed, call, scene)
    return None


def _folder(parsed: Parsed, scene: Scene, *names: str) -> str:
    word = parsed.last(*names)
    return scene.path(word.text) if word is not None else scene.directory


def _uv_wanted(parsed: Parsed, scene: Scene) -> Wanted:
    texts = {
        name: tuple(word.text for word in parsed.all(name))
        for name in ("extra", "group", "only-group", "no-group")
    }
    no_dev = "no-dev" in parsed.flags or scene.variable("UV_NO_DEV").lower() in ("1", "true")
    only = texts["only-group"] + (("dev",) if "only-dev" in parsed.flags else ())
    return Wanted(
        extras=texts["extra"],
        all_extras="all-extras" in parsed.flags,
        groups=texts["group"] + only + (("dev",) if "dev" in parsed.flags else ()),
        without=texts["no-group"] + (("dev",) if no_dev else ()),
        default_groups=not only and "no-default-groups" not in parsed.flags,
        project=not only,
    )


def _uv_sync(parsed: Parsed, call: Call, scene: Scene) -> Install:
    folder = _folder(parsed, scene, "project", "directory")
    found = _locked(folder, "uv.lock", _uv_wanted(parsed, scene), scene.read, "uv")
    done = finished("uv", found, parsed, call, scene, after=parsed.words[0])
    return msgspec.structs.replace(done, environment=_uv_environment(folder, done.environment, parsed, scene))


def _uv_environment(folder: str, environment: str, parsed: Parsed, scene: Scene) -> str:
    """Uv's own environment of a project; `--active` takes the one that is active."""
    given = scene.variable("UV_PROJECT_ENVIRONMENT")
    if given:
        return environment_of(posixpath.join(folder, given), scene.made)
    return environment if "active" in parsed.flags else posixpath.join(folder, ".venv")


def _locked(
    folder: str, name: str, wanted: Wanted, read: Callable[[str], Source | None], reader: Reader
) -> Gathered:
    """What a lock says, or without one, what the project file says."""
    loose, project = local(folder, wanted, read, reader)
    lock = read(posixpath.join(folder, name))
    exact = locks.read(lock, wanted, project) if lock is not None else None
    if exact is None:
        unread = (f"{lock.path} cannot be read",) if lock is not None else ()
        return loose + Gathered(unread=unread)
    files = {one.path: one for one in (*loose.files, *exact.files)}
    return msgspec.structs.replace(
        exact, files=tuple(files.values()), flags=exact.flags | loose.flags | {"locked"}
    )


def _uv_add(parsed: Parsed, call: Call, scene: Scene) -> Install:
    folder = _folder(parsed, scene, "project", "directory")
    found = _locked(folder, "uv.lock", Wanted(default_groups=True), scene.read, "uv")
    found = msgspec.structs.replace(found, unread=())
    for word in parsed.words[1:]:
        found += asked(word, scene)
    for word in parsed.all("requirements", "requirement"):
        found += file(word, scene, parsed)
    done = finished("uv", found, parsed, call, scene, after=parsed.words[0])
    return msgspec.structs.replace(done, environment=_uv_environment(folder, done.environment, parsed, scene))


def _tool(parsed: Parsed, call: Call, scene: Scene) -> Install:
    found = Gathered()
    for word in (*parsed.words[2:], *parsed.all("with")):
        found += asked(word, scene)
    name = found.requests[0].name if found.requests else ""
    done = finished("uv", found, parsed, call, scene, after=parsed.words[1])
    return msgspec.structs.replace(done, environment=f"tool:{name}")


def pipx(call: Call, scene: Scene) -> Install | None:
    """`pipx install`: each package in an environment of its own."""
    parsed = parse(
        call.arguments,
        msgspec.structs.replace(PIP, valued=PIP.valued | {"pip-args", "suffix", "preinstall"}),
    )
    if not parsed.words or parsed.words[0].text not in ("install", "inject"):
        return None
    found = Gathered()
    for word in parsed.words[1:]:
        found += asked(word, scene)
    name = found.requests[0].name if found.requests else ""
    done = finished("pip", found, parsed, call, scene, after=parsed.words[0])
    return msgspec.structs.replace(done, environment=f"tool:{name}")


def _several(words: tuple[Word, ...]) -> tuple[str, ...]:
    """Names that may be given with commas or spaces between them."""
    return tuple(name for word in words for name in word.text.replace(",", " ").split())


def poetry(call: Call, scene: Scene) -> Install | None:
    """`poetry install`, `poetry sync` and `poetry add`."""
    parsed = parse(call.arguments, _POETRY)
    command = parsed.words[0].text if parsed.words else ""
    if command not in ("install", "sync", "add"):
        return None
    only = _several(parsed.all("only"))
    plain = bool(only) or bool(parsed.flags & {"no-dev", "only-root"})
    wanted = Wanted(
        extras=_several(parsed.all("extras")),
        all_extras="all-extras" in parsed.flags,
        groups=_several(parsed.all("with")) + tuple(one for one in only if one != "main"),
        without=_several(parsed.all("without")),
        default_groups=not plain,
        project=not only or "main" in only,
    )
    folder = _folder(parsed, scene, "directory", "project")
    found = _locked(folder, "poetry.lock", wanted, scene.read, "poetry")
    if command == "add":
        found = msgspec.structs.replace(found, unread=())
        for word in parsed.words[1:]:
            found += _poetry_word(word, scene)
    done = finished("poetry", found, parsed, call, scene, after=parsed.words[0])
    own = scene.variable("POETRY_VIRTUALENVS_CREATE").lower() in ("false", "0") or scene.variable(
        "VIRTUAL_ENV"
    )
    return msgspec.structs.replace(
        done, environment=scene.environment if own else posixpath.join(folder, ".venv")
    )


def _poetry_word(word: Word, scene: Scene) -> Gathered:
    """`name@^1.2`, which only Poetry understands, or what everybody does."""
    name, at, versions = word.text.partition("@")
    specifier = to_pep440(versions) if at and versions not in ("latest", "") else None
    if specifier is None:
        return asked(word.cut(0, len(name)) if versions == "latest" else word, scene)
    bare = asked(word.cut(0, len(name)), scene).requests
    stands = word.span(len(name) + 1, len(word.text))
    return Gathered(
        requests=tuple(
            msgspec.structs.replace(
                one,
                at=word.at,
                specifier=specifier,
                versions=stands,
                version=stands if specifier == f"=={versions}" else None,
            )
            for one in bare
        )
    )


def pipenv(call: Call, scene: Scene) -> Install | Uninstall | None:
    """`pipenv install` and `pipenv sync`."""
    parsed = parse(call.arguments, _PIPENV)
    command = parsed.words[0].text if parsed.words else ""
    if command not in ("install", "sync"):
        return None
    wanted = Wanted(groups=("dev",) if "dev" in parsed.flags else ())
    found = read_pipfile(scene.directory, wanted, scene.read)
    if parsed.words[1:] or parsed.values:
        found = msgspec.structs.replace(found, unread=())
    for word in parsed.words[1:]:
        found += asked(word, scene)
    for word in parsed.all("requirements"):
        found += file(word, scene, parsed)
    done = finished("pipenv", found, parsed, call, scene, after=parsed.words[0])
    system = "system" in parsed.flags or scene.variable("PIPENV_SYSTEM") == "1"
    return msgspec.structs.replace(
        done, environment=scene.environment if system else posixpath.join(scene.directory, ".venv")
    )


def read_pipfile(folder: str, wanted: Wanted, read: Callable[[str], Source | None]) -> Gathered:
    lock = read(posixpath.join(folder, "Pipfile.lock"))
    exact = locks.read(lock, wanted) if lock is not None else None
    if exact is not None:
        return exact + Gathered(flags=frozenset({"locked"}))
    source = read(posixpath.join(folder, "Pipfile"))
    found = pipfiles.read(source, dev="dev" in wanted.groups) if source is not None else None
    return found or Gathered(unread=(f"{posixpath.join(folder, 'Pipfile')} is not among the files",))


def pdm(call: Call, scene: Scene) -> Install | None:
    """`pdm install`, `pdm sync` and `pdm add`."""
    parsed = parse(call.arguments, _PDM)
    command = parsed.words[0].text if parsed.words else ""
    if command not in ("install", "sync", "add"):
        return None
    groups = _several(parsed.all("group", "with"))
    production = bool(parsed.flags & {"prod", "production", "no-dev"})
    wanted = Wanted(
        extras=groups,
        groups=groups,
        without=_several(parsed.all("without")) + (("dev",) if production else ()),
        default_groups=not production,
    )
    folder = _folder(parsed, scene, "project")
    found = _locked(folder, "pdm.lock", wanted, scene.read, "pdm")
    if command == "add":
        found = msgspec.structs.replace(found, unread=())
        for word in parsed.words[1:]:
            found += asked(word, scene)
    done = finished("pdm", found, parsed, call, scene, after=parsed.words[0])
    return msgspec.structs.replace(done, environment=posixpath.join(folder, ".venv"))


def static_project(folder: str, read: Callable[[str], Source | None]) -> tuple[Gathered, str, str]:
    """A project that stands without a Dockerfile: what it asks for, the tool that its files are for, its `requires-python`."""
    source = read(posixpath.join(folder, "pyproject.toml"))
    loaded = pyproject.load(source) if source is not None else None
    if loaded is None:
        return Gathered(), "pip", ""
    tool = loaded.data.get("tool", {})
    for name, lock in (("uv", "uv.lock"), ("poetry", "poetry.lock"), ("pdm", "pdm.lock")):
        if read(posixpath.join(folder, lock)) is not None or (name in tool and name != "pdm"):
            reader: Reader = "uv" if name == "uv" else "poetry" if name == "poetry" else "pdm"
            return _locked(folder, lock, Wanted(default_groups=True), read, reader), name, loaded.python
    return local(folder, Wanted(), read)[0], "pip", loaded.python
