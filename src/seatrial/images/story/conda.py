"""Command lines of conda, mamba and micromamba."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story import conda_files, conda_specs
from seatrial.images.story.model import Install, Request, Span, Uninstall
from seatrial.images.story.options import Options, Parsed, parse
from seatrial.images.story.requirement_files import Gathered
from seatrial.images.story.scene import environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.story.scene import Call, Scene
    from seatrial.images.story.words import Word

_OPTIONS = Options(
    valued=frozenset(
        [
            "name",
            "prefix",
            "channel",
            "file",
            "solver",
            "subdir",
            "platform",
            "repodata-fn",
            "revision",
            "root-prefix",
            "rc-file",
            "clone",
            "package-cache",
            "experimental",
        ]
    ),
    short={
        "n": "name",
        "p": "prefix",
        "c": "channel",
        "f": "file",
        "r": "root-prefix",
        "y": "yes",
        "q": "quiet",
        "S": "satisfied-skip-solve",
    },
)
# micromamba's and conda env's `-f` names an environment file; conda install's is `--force`.
_WITHOUT_F = msgspec.structs.replace(_OPTIONS, short={k: v for k, v in _OPTIONS.short.items() if k != "f"})
_INSTALLS = ("install", "create", "update", "upgrade")


def conda(call: Call, scene: Scene) -> tuple[Install | Uninstall, ...]:
    """What `conda install`, `create`, `update`, `remove` and `conda env create` do; nothing for anything else."""
    first = [word.text for word in call.arguments if not word.text.startswith("-")][:2]
    of_files = first[:1] == ["env"]
    parsed = parse(call.arguments, _OPTIONS if of_files or call.program == "micromamba" else _WITHOUT_F)
    command = parsed.words[1:] if of_files else parsed.words
    if not command:
        return ()
    name = command[0].text
    if name in ("remove", "uninstall") and not of_files:
        names = tuple(
            one.name
            for word in command[1:]
            if (one := conda_specs.read(word.text, word.at, word.span, style="shell"))
        )
        return (
            Uninstall(
                at=scene.at,
                names=names,
                environment=_environment(parsed, call, scene, ""),
                certain=scene.certain,
            ),
        )
    if name not in _INSTALLS or parsed.flags & {"help", "dry-run"}:
        return ()
    return tuple(_installs(parsed, command, call, scene, of_files=of_files))


def _installs(
    parsed: Parsed, command: tuple[Word, ...], call: Call, scene: Scene, *, of_files: bool
) -> Iterator[Install]:
    found = Gathered()
    pip = Gathered()
    named = ""
    for word in command[1:] if not of_files else ():
        found += _spec(word)
    files = [word.text for word in parsed.all("file")]
    if of_files and not files:
        usual = ("environment.yml", "environment.yaml")
        files = [next((one for one in usual if scene.read(scene.path(one))), usual[0])]
    for text in files:
        more, after, name = _file(scene.path(text), scene)
        found, pip, named = found + more, pip + after, name or named
    channels = {f"channel={word.text}" for word in parsed.all("channel")} | found.flags
    create = command[0].text == "create"
    environment = _environment(parsed, call, scene, named if of_files or create else "")
    done = Install(
        tool="conda",
        at=scene.at,
        requests=found.requests,
        flags=parsed.flags | channels,
        environment=environment,
        certain=scene.certain,
        unread=found.unread,
        files=found.files,
        options=Span(command[0].source, command[0].end, command[0].end),
        variables=scene.own,
    )
    yield done
    if pip.requests or pip.unread:
        yield _by_pip(done, pip)


def _by_pip(done: Install, pip: Gathered) -> Install:
    """What conda lets pip install after itself, in the same environment."""
    return msgspec.structs.replace(
        done,
        tool="pip",
        requests=pip.requests,
        constraints=pip.constraints,
        index=pip.index,
        extra_indexes=pip.extra_indexes,
        find_links=pip.find_links,
        flags=pip.flags,
        unread=pip.unread,
        files=done.files + pip.files,
        options=None,
    )


def _spec(word: Word) -> Gathered:
    if word.unknown:
        known = conda_specs.read(word.text.split("$")[0].rstrip("=<>!~ "), word.at, word.span, style="shell")
        bare = (msgspec.structs.replace(known, versions=None),) if known is not None else ()
        why = f"{word.text}: no value is known for {', '.join(word.unknown)}"
        return Gathered(requests=bare, unread=(why,))
    request: Request | None = conda_specs.read(word.text, word.at, word.span, style="shell")
    return Gathered(requests=(request,)) if request else Gathered(unread=(f"{word.text} cannot be read",))


def _file(path: str, scene: Scene) -> tuple[Gathered, Gathered, str]:
    """An environment file, or a list of specifications."""
    source = scene.read(path) if "$" not in path else None
    if source is None:
        return Gathered(unread=(f"{path} is not among the files",)), Gathered(), ""
    if path.endswith((".yml", ".yaml")):
        loaded = conda_files.load(source, scene.read, path)
        if loaded is None:
            return (
                Gathered(files=(source,), unread=(f"{source.path} is no environment file",)),
                Gathered(),
                "",
            )
        return loaded.conda, loaded.pip, loaded.name
    found = Gathered(files=(source,))
    for match in re.finditer(r"^[ \t]*([^#\s@][^#\r\n]*)", source.text, re.MULTILINE):
        text = match[1].rstrip()
        start = match.start(1)
        spec = conda_specs.read(
            text,
            Span(source, start, start + len(text)),
            lambda first, last, start=start: Span(source, start + first, start + last),  # type: ignore[misc]
            style="conda",
        )
        found += (
            Gathered(requests=(spec,))
            if spec
            else Gathered(unread=(f"{source.path}: {text} cannot be read",))
        )
    return found, Gathered(), ""


def _environment(parsed: Parsed, call: Call, scene: Scene, named: str) -> str:
    word = parsed.last("name")
    if word is not None:
        return "" if word.text in ("base", "root") else f"conda:{word.text}"
    prefix = parsed.last("prefix")
    if prefix is not None:
        return environment_of(scene.path(prefix.text), scene.made) or (
            ""
            if re.search(r"conda|mamba|forge", posixpath.basename(prefix.text))
            else scene.path(prefix.text)
        )
    if named:
        return "" if named == "base" else f"conda:{named}"
    if call.environment is not None:
        return call.environment
    return scene.environment
