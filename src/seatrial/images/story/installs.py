"""pip's command lines, and those of `uv pip`, as installs."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story import requests
from seatrial.images.story.installer_options import PIP, UV_PIP
from seatrial.images.story.local import project as local
from seatrial.images.story.model import Install, Request, Span, Uninstall
from seatrial.images.story.options import Parsed, parse
from seatrial.images.story.pyproject import Wanted
from seatrial.images.story.requirement_files import Gathered, gather
from seatrial.images.story.scene import environment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.story.model import Tool
    from seatrial.images.story.scene import Call, Scene
    from seatrial.images.story.words import Word

_LISTED = re.compile(r"\$\((?:\s*cat\s+|<\s*)(?P<file>[^\s()|;&$]+)\s*\)")
_NAMED_INDEX = re.compile(r"[A-Za-z0-9_.-]+=(?=[a-z]+:)")
# Valued options that change what an install does; they become flags with their value.
_NOTED = (
    "torch-backend",
    "index-strategy",
    "no-binary",
    "only-binary",
    "no-build-isolation-package",
    "prerelease",
    "upgrade-package",
    "reinstall-package",
    "python-version",
    "python-platform",
    "platform",
    "exclude-newer",
    "resolution",
)
_SAME = {"no-dependencies": "no-deps", "reinstall": "force-reinstall"}


def pip(call: Call, scene: Scene) -> Install | Uninstall | None:
    """`pip install` or `pip uninstall`; None for anything else that pip does."""
    parsed = parse(call.arguments, PIP)
    command = parsed.words[0].text if parsed.words else ""
    if command == "uninstall":
        return removed(parsed, call, scene)
    if command != "install" or parsed.flags & {"dry-run", "help"} or parsed.all("download"):
        return None
    return _install("pip", parsed, call, scene)


def uv_pip(call: Call, scene: Scene) -> Install | Uninstall | None:
    """`uv pip install`, `uv pip sync` or `uv pip uninstall`; None for anything else."""
    parsed = parse(call.arguments, UV_PIP)
    names = [word.text for word in parsed.words[:2]]
    parsed = msgspec.structs.replace(parsed, words=parsed.words[1:])
    if names == ["pip", "uninstall"]:
        return removed(parsed, call, scene)
    if names == ["pip", "sync"]:
        first, *files = parsed.words
        values = tuple(("requirement", word) for word in files)
        parsed = Parsed((first,), parsed.values + values, parsed.flags | {"sync", "no-deps"})
    elif names != ["pip", "install"] or parsed.flags & {"dry-run", "help"}:
        return None
    return _install("uv", parsed, call, scene)


def removed(parsed: Parsed, call: Call, scene: Scene) -> Uninstall:
    """An uninstall of what the words name."""
    names = [one.name for word in parsed.words[1:] if (one := requests.from_word(word)) and one.name]
    for word in parsed.all("requirement", "requirements"):
        names += [one.name for one in gather(scene.path(word.text), scene.read, scene.variables).requests]
    return Uninstall(
        at=scene.at,
        names=tuple(names),
        environment=environment(parsed, call, scene),
        certain=scene.certain,
    )


def _install(tool: Tool, parsed: Parsed, call: Call, scene: Scene) -> Install:
    found = Gathered(unread=("xargs gives more arguments",) if call.piped else ())
    wanted = _groups(parsed, scene)
    for word in parsed.words[1:]:
        found += asked(word, scene)
    for word in parsed.all("editable"):
        found += asked(word, scene, editable=True)
    for word in parsed.all("requirement", "requirements"):
        found += file(word, scene, parsed)
    found += wanted
    for word in parsed.all("constraint", "constraints", "override", "overrides"):
        found += gather(scene.path(word.text), scene.read, scene.variables, constraint=True)
    for name in (f"{tool.upper()}_CONSTRAINT", "UV_OVERRIDE" if tool == "uv" else ""):
        for path in scene.variable(name).split() if name else ():
            found += gather(scene.path(path), scene.read, scene.variables, constraint=True)
    return finished(tool, found, parsed, call, scene, after=parsed.words[0])


def finished(
    tool: Tool, found: Gathered, parsed: Parsed, call: Call, scene: Scene, *, after: Word | None
) -> Install:
    """The install of what was found, with the indexes, flags and the environment that the command line says."""
    prefix = "UV" if tool == "uv" else "PIP"
    index = _texts(parsed.all("default-index", "index-url", "pypi-url"))[-1:]
    # uv reads files before its own options; both let the command line win.
    first = (
        index[0] if index else found.index or scene.variable(f"{prefix}_DEFAULT_INDEX", f"{prefix}_INDEX_URL")
    )
    extra = _texts(parsed.all("index", "extra-index-url"))
    extra += scene.variable(f"{prefix}_EXTRA_INDEX_URL").split() + scene.variable(f"{prefix}_INDEX").split()
    links = _texts(parsed.all("find-links")) + scene.variable(f"{prefix}_FIND_LINKS").split()
    return Install(
        tool=tool,
        at=scene.at,
        requests=found.requests,
        constraints=found.constraints,
        index=_NAMED_INDEX.sub("", first),
        extra_indexes=tuple(
            dict.fromkeys([*(_NAMED_INDEX.sub("", one) for one in extra), *found.extra_indexes])
        ),
        find_links=tuple(dict.fromkeys([*links, *found.find_links])),
        flags=_flags(tool, parsed, scene) | found.flags,
        environment=environment(parsed, call, scene),
        certain=scene.certain,
        unread=found.unread,
        files=found.files,
        options=Span(after.source, after.end, after.end) if after else None,
        variables=scene.own,
    )


def _texts(words: Sequence[Word]) -> list[str]:
    return [word.text for word in words]


def _flags(tool: Tool, parsed: Parsed, scene: Scene) -> frozenset[str]:
    flags = {_SAME.get(flag, flag) for flag in parsed.flags}
    flags |= {f"{name}={word.text}" for name, word in parsed.values if name in _NOTED}
    if "prerelease=allow" in flags:
        flags.add("pre")
    named = {
        "uv": {
            "UV_SYSTEM_PYTHON": "system",
            "UV_NO_BUILD_ISOLATION": "no-build-isolation",
            "UV_NO_INDEX": "no-index",
        },
        # A pip option that begins with `no-` is turned on by a value that means no: https://github.com/pypa/pip/issues/5735
        "pip": {"PIP_NO_INDEX": "no-index", "PIP_PRE": "pre", "PIP_USER": "user", "PIP_NO_DEPS": "no-deps"},
    }
    for variable, flag in named.get(tool, {}).items():
        if scene.variable(variable).lower() in ("1", "true", "yes", "on"):
            flags.add(flag)
    if tool == "pip" and scene.variable("PIP_NO_BUILD_ISOLATION").lower() in ("0", "false", "no", "off"):
        flags.add("no-build-isolation")
    backend = scene.variable("UV_TORCH_BACKEND")
    if tool == "uv" and backend and not any(flag.startswith("torch-backend=") for flag in flags):
        flags.add(f"torch-backend={backend}")
    return frozenset(flags)


def environment(parsed: Parsed, call: Call, scene: Scene) -> str:
    """Where this installs; see `Install.environment`."""
    for name in ("target", "prefix", "root"):
        word = parsed.last(name)
        if word is not None and not word.unknown:
            path = scene.path(word.text)
            return environment_of(path, scene.made) if path in ("/usr", "/usr/local", "/") else path
    python = parsed.last("python")
    if python is not None and "/" in python.text and not python.unknown:
        prefix = re.sub(r"/bin/(python|pypy)[0-9.]*$", "", python.text)
        return environment_of(scene.path(prefix), scene.made)
    if call.environment is not None:
        return call.environment
    if "system" in parsed.flags or scene.variable("UV_SYSTEM_PYTHON").lower() in ("1", "true"):
        # uv takes the first Python on PATH, which may be that of a virtual environment.
        return scene.environment
    beside = posixpath.join(scene.directory, ".venv")
    if call.program == "uv" and not scene.variable("VIRTUAL_ENV") and beside in scene.made:
        return beside
    return scene.environment


def asked(word: Word, scene: Scene, *, editable: bool = False) -> Gathered:
    """What one word asks for: a package, or a folder with what its project file asks for."""
    listed = _LISTED.fullmatch(word.text)
    if listed:
        return gather(scene.path(listed["file"]), scene.read, scene.variables)
    request = requests.from_word(word, editable=editable)
    if request is None:
        return Gathered(unread=(_why(word),))
    if request.name or "://" in request.url:
        unread = (_why(word),) if word.unknown and not request.specifier and not request.url else ()
        return Gathered(requests=(request,), unread=unread if word.unknown else ())
    if "$" in request.url or any(character in request.url for character in "*?"):
        return Gathered(requests=(request,), unread=(_why(word),))
    return with_project(request, scene)


def with_project(request: Request, scene: Scene) -> Gathered:
    """A folder's project: itself, and what its file says that it depends on."""
    path = scene.path(request.url)
    found, name = local(path, Wanted(extras=request.extras), scene.read)
    cloned = scene.clones.get(path, "") if not found.files else ""
    if cloned:
        request = msgspec.structs.replace(request, url=cloned)
        name = requests.repository_name(cloned)
    named = requests.relocated(request, name) if name else request
    return Gathered(requests=(named,)) + found


def _why(word: Word) -> str:
    if word.unknown:
        return f"{word.text}: no value is known for {', '.join(word.unknown)}"
    if any(character in word.text for character in "*?"):
        return f"{word.text} is a pattern, and what matches it is not known"
    return f"{word.text} cannot be read"


def file(word: Word, scene: Scene, parsed: Parsed) -> Gathered:
    """A requirement file. uv also takes project files there."""
    if word.unknown:
        return Gathered(unread=(_why(word),))
    path = scene.path(word.text) if "://" not in word.text else word.text
    name = posixpath.basename(path)
    if name in ("pyproject.toml", "setup.py", "setup.cfg"):
        extras = tuple(_texts(parsed.all("extra")))
        wanted = Wanted(extras=extras, all_extras="all-extras" in parsed.flags)
        found, _ = local(posixpath.dirname(path), wanted, scene.read)
        return found
    return _with_projects(gather(path, scene.read, scene.variables), scene)


def _with_projects(found: Gathered, scene: Scene) -> Gathered:
    """The folders that a file asks for, with what their projects depend on after everything else."""
    more = Gathered()
    named: list[Request] = []
    for request in found.requests:
        if request.name or not request.url or "://" in request.url or "$" in request.url:
            named.append(request)
            continue
        project = with_project(request, scene)
        named.append(project.requests[0])
        more += msgspec.structs.replace(project, requests=project.requests[1:])
    return msgspec.structs.replace(found, requests=tuple(named)) + more


def _groups(parsed: Parsed, scene: Scene) -> Gathered:
    """`--group [path:]name`: a dependency group of a project file, without the project."""
    found = Gathered()
    for word in parsed.all("group"):
        path, _, name = word.text.rpartition(":")
        folder = posixpath.dirname(scene.path(path)) if path else scene.directory
        more, _ = local(folder, Wanted(groups=(name,), project=False), scene.read)
        found += more
    return found
