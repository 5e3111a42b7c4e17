"""The story of an image: each stage's base, and what happens in it, in order, with positions.

Plain data that the readers fill in and the rules look at. Nothing here is guessed: what could not be read is named
in `Install.unread`, and an unknown base has no reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.specifiers import SpecifierSet

    from seatrial.findings import Place
    from seatrial.sources.text import Source

Style = Literal["lines", "toml", "poetry", "shell", "conda", "locked"]
"""How a file writes a request; an edit writes it the same way.

lines: a line of a requirement file. toml: a PEP 508 string in pyproject.toml. poetry: `name = "^1.2"` in pyproject.toml.
shell: a word of a command in a Dockerfile (an edit must quote `<`, `>` and spaces). conda: an item of an environment file.
locked: a lock file, or a file with hashes, of which no line can be edited alone.
"""

Tool = Literal["pip", "uv", "conda", "poetry", "pipenv", "pdm"]


class Span(msgspec.Struct, frozen=True):
    """Text in a file: offsets in `source.text`, from `start` up to but not including `end`."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def place(self) -> Place:
        return self.source.place(self.start, self.end)


class Request(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One package asked for.

    `name` is normalised as in PEP 503, `specifier` is PEP 440 (conda's and poetry's are translated), `marker` is as
    written. `url` is a direct reference: a wheel, an archive, `git+…`, or a local path. `index` is the index that is
    asked for this package alone.

    `at` is the whole request. `versions` is the text that states the versions, an empty range where one would go, None
    where no edit of it can stand alone (a lock, hashes, a mixture of variables). `version` is the one version number of
    a pin, wherever it is written: in the request, or as the default of the ARG or ENV that the request uses.

    `conda` is the name that conda was asked for (`pytorch`, where `name` is `torch`), `build` its build string, and
    `index` then the channel; all three are empty where pip or uv was asked.
    """

    name: str
    at: Span
    specifier: str = ""
    extras: tuple[str, ...] = ()
    marker: str = ""
    url: str = ""
    editable: bool = False
    index: str = ""
    style: Style = "lines"
    versions: Span | None = None
    version: Span | None = None
    conda: str = ""
    build: str = ""

    @property
    def specifiers(self) -> SpecifierSet:
        """The versions asked for."""
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(self.specifier)

    @property
    def locked(self) -> bool:
        return self.style == "locked"


class Install(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an installer of Python packages.

    `index` is what replaces the default index (`--index-url`, UV_INDEX_URL, PIP_INDEX_URL), empty for the default;
    `extra_indexes` come besides. `flags` are long options without dashes, whichever way they were written: `no-deps`,
    `no-build-isolation`, `upgrade`, `force-reinstall`, `ignore-installed`, `pre`, `no-index`, `user`, `system`,
    `torch-backend=cu121`, and for conda `channel=NAME`.
    `environment` is where it installs: empty for the base image's own Python, else the path of a virtual environment (also
    where it is active and plain `pip` installs into it), the folder of `--target` or `--prefix`, `conda:NAME`, or
    `tool:NAME`. Compare it with `Stage.python_environment`.
    `certain` is false where the command may not run (inside `if`, after `||`), or where its failure is ignored.
    `unread` says what could not be read: a file that is not there, a variable without a value. Then the requests are
    not all.
    `files` are the dependency files that it reads. `options` is where an option can be written (after `install`), None
    where the command is not text of ours, as when a project's files stand without a Dockerfile.
    """

    tool: Tool
    at: Span
    requests: tuple[Request, ...]
    constraints: tuple[Request, ...] = ()
    index: str = ""
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    environment: str = ""
    certain: bool = True
    unread: tuple[str, ...] = ()
    files: tuple[Source, ...] = ()
    options: Span | None = None
    variables: dict[str, str] = {}

    def named(self, name: str) -> tuple[Request, ...]:
        """The requests for one package, by its normalised name."""
        return tuple(one for one in self.requests if one.name == name)


class Uninstall(msgspec.Struct, frozen=True, kw_only=True):
    """Packages taken away by pip, uv or conda; names are normalised."""

    at: Span
    names: tuple[str, ...]
    environment: str = ""
    certain: bool = True


class SystemPackage(msgspec.Struct, frozen=True):
    """A package of the distribution; `version` as written after `=`, else empty."""

    name: str
    version: str
    at: Span


class SystemInstall(msgspec.Struct, frozen=True, kw_only=True):
    """Packages of the distribution. `tool`: `apt`, `apk`, `dnf`, `yum`, `microdnf`, `zypper`; a `.deb` counts by its file name."""

    tool: str
    at: Span
    packages: tuple[SystemPackage, ...]
    certain: bool = True


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Any other simple command, its words expanded as far as known; `unknown` words keep their `$NAME`.

    `variables` are those set for this command alone (`MAX_JOBS=4 …`), `instruction` the Dockerfile's keyword
    (RUN, CMD, ENTRYPOINT).
    """

    at: Span
    words: tuple[str, ...]
    variables: dict[str, str] = {}
    certain: bool = True
    instruction: str = "RUN"


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A variable that the image keeps (`ENV`). `value` is expanded; `known` is false where it uses an unknown variable."""

    name: str
    value: str
    at: Span
    known: bool = True


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """`COPY` or `ADD`. `origin` is the stage or image of `--from`, else empty."""

    sources: tuple[str, ...]
    destination: str
    at: Span
    origin: str = ""


Step = Install | Uninstall | SystemInstall | Command | Setting | Copy


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage starts from. `reference` is expanded, empty where a variable has no value (`written` says how it stands).

    `stage` is the index of the stage that it is, else None. `at` is the reference as written; `value` is the text that
    decides it: the reference itself, or the default of the one ARG that is the whole reference or its tag. `pieces` are
    the texts that it is put together from, in order, none where one of them stands in no file.
    """

    reference: str
    written: str
    at: Span
    stage: int | None = None
    value: Span | None = None
    pieces: tuple[Span, ...] = ()
    platform: str = ""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage. `base` is None for files that stand without a Dockerfile. `arguments` are ARG values at its end.

    `python_environment` is what plain `python` uses at its end: empty for the base image's own Python, or as in
    `Install.environment`.
    """

    index: int
    name: str
    base: Base | None
    steps: tuple[Step, ...]
    arguments: dict[str, str] = {}
    python_environment: str = ""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A Dockerfile with what it reads, or dependency files alone. `sources` are all files by path.

    `python` is the version that the files ask for (`.python-version`, a Pipfile, an environment file), empty where they do not.
    A lower bound (`requires-python`) says nothing about it.
    """

    stages: tuple[Stage, ...]
    sources: dict[str, Source]
    dockerfile: Source | None = None
    python: str = ""

    def lineage(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages that a stage is built on, the first one first, itself last."""
        chain = [stage]
        while chain[0].base is not None and chain[0].base.stage is not None:
            chain.insert(0, self.stages[chain[0].base.stage])
        return tuple(chain)

    def steps(self, stage: Stage) -> Iterator[Step]:
        """Everything that happens up to the end of a stage, in order."""
        for one in self.lineage(stage):
            yield from one.steps

    @property
    def leaves(self) -> tuple[Stage, ...]:
        """The stages on which no other one is built; a rule looks at each of them with its lineage."""
        used = {one.base.stage for one in self.stages if one.base is not None}
        return tuple(one for one in self.stages if one.index not in used)
