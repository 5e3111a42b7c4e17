"""A Dockerfile's stages: what each starts from, and its instructions as steps.

Source for scopes and precedence: https://docs.docker.com/reference/dockerfile/#arg and #from
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story import masks, run
from seatrial.images.story.image_files import Effort, ImageFiles
from seatrial.images.story.machine import Machine, Shell, active_environment
from seatrial.images.story.model import Base, Command, Copy, Install, Setting, Span, Stage, Step
from seatrial.images.story.values import Value, Variables, given, in_dockerfile, known_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from seatrial.sources.dockerfile_model import Dockerfile, Heredoc, Instruction, Pair
    from seatrial.sources.dockerfile_text import Joined
    from seatrial.sources.text import Source

PLATFORM = {
    "TARGETPLATFORM": "linux/amd64",
    "TARGETOS": "linux",
    "TARGETARCH": "amd64",
    "TARGETVARIANT": "",
    "BUILDPLATFORM": "linux/amd64",
    "BUILDOS": "linux",
    "BUILDARCH": "amd64",
    "BUILDVARIANT": "",
}
"""What the builder sets for 64-bit x86: https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope"""

_SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ash"})


class _State:
    """A stage that is being read."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.arguments: dict[str, Value] = {}
        self.environment: dict[str, Value] = {}
        self.directory = "/"
        self.shell: tuple[str, ...] = ()

    def next(self) -> _State:
        """The start of a stage that is built on this one: ARG values do not come along."""
        other = _State(self.machine.copy())
        other.environment = dict(self.environment)
        other.directory = self.directory
        other.shell = self.shell
        return other

    @property
    def variables(self) -> dict[str, Value]:
        """An ENV hides an ARG of the same name, wherever it stands."""
        return self.arguments | self.environment


class _File:
    """The Dockerfile and what was read of it so far."""

    def __init__(
        self, dockerfile: Dockerfile, read: Callable[[str], Source | None], build_args: Mapping[str, str]
    ) -> None:
        self.dockerfile = dockerfile
        self.source = dockerfile.source
        self.read = read
        self.build_args = build_args
        self.globals: dict[str, Value] = {name: given(value) for name, value in PLATFORM.items()}
        self.effort = Effort()
        self.states: list[_State] = []
        self.names: dict[str, int] = {}

    def expanded(self, text: Joined, variables: Mapping[str, Value]) -> Value:
        return in_dockerfile(text, variables, self.dockerfile.escape)


def read_stages(
    dockerfile: Dockerfile,
    read: Callable[[str], Source | None],
    build_args: Mapping[str, str],
    context: str = "",
) -> tuple[Stage, ...]:
    """The stages of a Dockerfile. `read` gives a file by its path, always the same value; `context` is the folder that
    the build starts from.
    """
    file = _File(dockerfile, lambda path: read(posixpath.join(context, path)), build_args)
    originals: dict[str, Source] = _Originals(file.source, read)
    stages: list[Stage] = []
    head: Stage | None = None
    steps: list[Step] = []
    for instruction in dockerfile.instructions:
        if instruction.keyword == "FROM":
            if head is not None:
                stages.append(_closed(head, steps, file.states[-1]))
            head, steps = _from(file, instruction, len(stages)), []
        elif head is None:
            if instruction.keyword == "ARG":
                for pair in instruction.pairs:
                    file.globals[pair.key.text] = _argument(file, pair, file.globals, {})
        else:
            for step in _steps(file, instruction, file.states[-1]):
                steps.append(masks.placed(step, originals) if isinstance(step, Install) else step)
    if head is not None:
        stages.append(_closed(head, steps, file.states[-1]))
    return tuple(stages)


class _Originals(dict[str, "Source"]):
    """Files by path, read when asked for."""

    def __init__(self, dockerfile: Source, read: Callable[[str], Source | None]) -> None:
        super().__init__({dockerfile.path: dockerfile})
        self.read = read

    def get(self, path: str, default: Source | None = None) -> Source | None:  # type: ignore[override]
        if path not in self:
            found = self.read(path)
            if found is None:
                return default
            self[path] = found
        return self[path]


def _closed(head: Stage, steps: list[Step], state: _State) -> Stage:
    return msgspec.structs.replace(
        head,
        steps=tuple(steps),
        arguments=known_texts(state.arguments),
        python_environment=_plain_environment(state),
    )


def _plain_environment(state: _State) -> str:
    found = active_environment(state.variables, frozenset(state.machine.made))
    return found or (state.machine.login_environment if _is_login(state.shell) else "")


def _from(file: _File, instruction: Instruction, index: int) -> Stage:
    words = instruction.words
    written = words[0] if words else instruction.body
    start, end = written.start, written.end
    value = file.expanded(written, file.globals)
    name = words[2].text.lower() if len(words) > 2 and words[1].text.lower() == "as" else ""  # noqa: PLR2004 - FROM image AS name
    reference = value.text if value.known else ""
    stage = file.names.get(reference.lower())
    platform = instruction.flag("platform")
    base = Base(
        reference=reference,
        written=written.text,
        at=Span(file.source, start, end),
        stage=stage,
        value=_deciding(file, written, value),
        pieces=_pieces(file, value) if value.known else (),
        platform=file.expanded(platform, file.globals).text if platform is not None else "",
    )
    fresh = _State(Machine(file.source, ImageFiles(placed=reference == "scratch", effort=file.effort)))
    file.states.append(file.states[stage].next() if stage is not None else fresh)
    file.names[str(index)] = index
    if name:
        file.names[name] = index
    return Stage(index=index, name=name, base=base, steps=())


def _pieces(file: _File, value: Value) -> tuple[Span, ...]:
    """The texts that a value is put together from, each as long as it stands in one piece."""
    ends = (*value.indexes[1:], len(value.text))[: len(value.indexes)]  # a FROM may name nothing
    spans: list[Span] = []
    for first, last, offset in zip(value.indexes, ends, value.offsets, strict=True):
        if offset < 0:
            return ()
        start, end = offset, offset + last - first
        if spans and spans[-1].end == start:
            spans[-1] = Span(file.source, spans[-1].start, end)
        elif last > first:
            spans.append(Span(file.source, start, end))
    return tuple(spans)


def _deciding(file: _File, written: Joined, value: Value) -> Span | None:
    """The text that decides a reference: itself, or the default of the ARG that is all of it, or all of its tag."""
    if "$" not in written.text:
        return Span(file.source, written.start, written.end)
    if not value.known or not value.text:
        return None
    whole = value.span(file.source)
    if whole is not None:
        return whole
    colon = value.text.rfind(":")
    if colon > value.text.rfind("/"):
        return value.word(file.source, written.start, written.end).span(colon + 1, len(value.text))
    return None


def _argument(file: _File, pair: Pair, known: Mapping[str, Value], outer: Mapping[str, Value]) -> Value:
    """What an ARG is: given for the build, else its default, else what it is outside the stage."""
    name = pair.key.text
    if name in file.build_args:
        return given(file.build_args[name])
    if pair.value is not None:
        return file.expanded(pair.value, known)
    return outer.get(name) or Value("", unknown=(name,))


def _steps(file: _File, instruction: Instruction, state: _State) -> Iterator[Step]:
    keyword = instruction.keyword
    if keyword == "ARG":
        for pair in instruction.pairs:
            state.arguments[pair.key.text] = _argument(file, pair, state.variables, file.globals)
    elif keyword == "ENV":
        yield from _env(file, instruction, state)
    elif keyword == "WORKDIR":
        path = file.expanded(instruction.body.trimmed(), state.variables).text
        state.machine.files.placed |= path.startswith("/")
        state.directory = posixpath.normpath(posixpath.join(state.directory, path))
    elif keyword in ("COPY", "ADD"):
        yield from _copy(file, instruction, state)
    elif keyword == "SHELL" and instruction.json is not None:
        state.shell = tuple(one.text for one in instruction.json)
    elif keyword == "RUN":
        yield from _run(file, instruction, state)
    elif keyword in ("CMD", "ENTRYPOINT"):
        yield from _start(file, instruction, state)


def _env(file: _File, instruction: Instruction, state: _State) -> Iterator[Setting]:
    # All values of one instruction are made from what was known before it.
    before = state.variables
    for pair in instruction.pairs:
        value = file.expanded(pair.value, before) if pair.value is not None else Value("")
        name = pair.key.text
        state.environment[name] = value
        yield Setting(
            name=name, value=value.text, at=Span(file.source, pair.start, pair.end), known=value.known
        )


def _copy(file: _File, instruction: Instruction, state: _State) -> Iterator[Copy]:
    words = [file.expanded(word, state.variables).text for word in instruction.words]
    if len(words) < 2:  # noqa: PLR2004 - from and to
        return
    *sources, destination = words
    flag = instruction.flag("from")
    origin = file.expanded(flag, state.variables).text if flag is not None else ""
    yield Copy(
        sources=tuple(sources),
        destination=destination,
        at=Span(file.source, instruction.start, instruction.end),
        origin=origin,
    )
    target = posixpath.join(state.directory, destination)
    folder = destination.endswith("/") or destination in (".", "..") or len(sources) > 1
    read = _reader(file, origin)
    parents = instruction.flag("parents") is not None or any(
        one.name == "parents" for one in instruction.flags
    )
    documents = {one.name: one for one in instruction.heredocs}
    for text in sources:
        document = documents.get(text.removeprefix("<<").removeprefix("-").strip("'\""))
        if text.startswith("<<") and document is not None:
            place = posixpath.join(target, document.name) if folder else target
            state.machine.files.write(place, _document(file.source, document))
        elif "://" in text:
            place = posixpath.join(target, posixpath.basename(text)) if folder else target
            state.machine.files.write(place, lambda: None)
        elif "$" not in text and read is not None:
            state.machine.files.bring(text, target, read, parents=parents)
            _bring_environments(file, state, origin, text, target)


def _document(source: Source, document: Heredoc) -> Callable[[], Source | None]:
    return lambda: masks.kept(source, [(document.content.start, document.content.end)])


def _reader(file: _File, origin: str) -> Callable[[str], Source | None] | None:
    """Reads from the context, or from another stage; an image's files are not known."""
    if not origin:
        return file.read
    index = file.names.get(origin.lower())
    if index is None or index >= len(file.states):
        return None
    files = file.states[index].machine.files
    return lambda path: files.read(f"/{path}")


def _bring_environments(file: _File, state: _State, origin: str, source: str, target: str) -> None:
    """Virtual environments that are copied from another stage are there, too."""
    index = file.names.get(origin.lower()) if origin else None
    if index is None:
        return
    source = posixpath.normpath(posixpath.join("/", source))
    for made in file.states[index].machine.made:
        if made == source or made.startswith(source.rstrip("/") + "/"):
            state.machine.made.add(posixpath.normpath(target + made[len(source.rstrip("/")) :]))


def _run(file: _File, instruction: Instruction, state: _State) -> Iterator[Step]:
    machine = state.machine
    before = list(machine.files.known)
    _mount(file, instruction, state)
    mounted = machine.files.known[len(before) :]
    script = _script(instruction)
    if script is not None:
        yield from run.steps(script, _new_shell(state), machine)
    elif instruction.json:
        yield from run.program(
            instruction.json, _new_shell(state), machine, (instruction.start, instruction.end)
        )
    machine.files.known = [one for one in machine.files.known if not any(one is other for other in mounted)]


def _new_shell(state: _State) -> Shell:
    """The shell of one RUN; SHELL may put it into a conda environment."""
    active: str | None = None
    if _is_login(state.shell) and state.machine.login_environment:
        active = state.machine.login_environment
    words = state.shell
    if "run" in words[:3] and ("-n" in words or "--name" in words):
        name = words[words.index("-n" if "-n" in words else "--name") + 1 :][:1]
        active = "" if name == ("base",) else f"conda:{''.join(name)}"
    return Shell(state.directory, Variables(state.variables), active)


def _is_login(shell: tuple[str, ...]) -> bool:
    return any(word in ("--login", "-l", "-lc", "-ic", "-i", "-lic") for word in shell)


def _script(instruction: Instruction) -> Joined | None:
    """What a shell runs: the shell form, or the script that the exec form gives to a shell."""
    if instruction.json is None:
        interpreter = posixpath.basename(instruction.interpreter.split(" ")[0])
        return instruction.script if interpreter in _SHELLS | {"", "env"} else None
    words = instruction.json
    if len(words) > 2 and posixpath.basename(words[0].text) in _SHELLS and words[-2].text.endswith("c"):  # noqa: PLR2004 - sh -c script
        return words[-1]
    return None


def _mount(file: _File, instruction: Instruction, state: _State) -> None:
    """`--mount=type=bind`: files that are there for one RUN."""
    for flag in instruction.flags:
        if flag.name != "mount" or flag.value is None:
            continue
        written = file.expanded(flag.value, state.variables).text
        parts = [part.partition("=") for part in written.split(",")]
        fields = {key.strip().lower(): value for key, _, value in parts}
        target = next((fields[key] for key in ("target", "dst", "destination") if key in fields), "")
        read = _reader(file, fields.get("from", ""))
        if fields.get("type", "bind") == "bind" and target and read is not None:
            origin = fields.get("source", fields.get("src", ""))
            state.machine.files.bring(origin, posixpath.join(state.directory, target), read)


def _start(file: _File, instruction: Instruction, state: _State) -> Iterator[Command]:
    at = Span(file.source, instruction.start, instruction.end)
    if instruction.json is not None:
        words = tuple(one.text for one in instruction.json)
        yield Command(at=at, words=words, instruction=instruction.keyword)
        return
    copy = state.machine.copy()
    for step in run.steps(instruction.script, _new_shell(state), copy, certain=False):
        if isinstance(step, Command):
            yield msgspec.structs.replace(step, instruction=instruction.keyword)
