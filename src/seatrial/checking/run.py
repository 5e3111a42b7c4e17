"""`check`: walk, recognise, run the rules, hide what is disabled or known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.checking import baseline, disabling, registry
from seatrial.checking.kinds import Recognised, recognise
from seatrial.checking.settings import Settings, settings
from seatrial.checking.subject import Appspecs, Images, Subject
from seatrial.checking.walk import LARGEST, excluded, walk
from seatrial.errors import UsageError
from seatrial.findings import SEVERITIES, Finding, Place
from seatrial.sources import text
from seatrial.sources.text import Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`target` is what images and jobs are made for, `python=3.11` or `gpu=h100`.

    With `kinds` only files of these kinds are looked at. `changed` are read instead of what the disk has.

    `baseline` is used before the one that seatrial.yaml names; without `use_baseline` there is none at all.
    """

    target: Mapping[str, str] = msgspec.field(default_factory=dict)
    kinds: frozenset[str] = frozenset()
    images: Images = Images()
    appspecs: Appspecs = Appspecs()
    changed: Mapping[str, Source] = msgspec.field(default_factory=dict)
    use_ignore: bool = True
    baseline: Path | None = None
    use_baseline: bool = True


IMAGE_KINDS = frozenset({"dockerfile", "requirements", "pyproject", "conda-environment"})


def image_options(
    target: Mapping[str, str], *, offline: bool, refresh: bool = False, keep: Sequence[str] = ()
) -> Options:
    """What `image check` looks at, and how.

    Raises:
        UsageError: the target names something that is not known, such as a GPU.
    """
    from packaging.utils import canonicalize_name

    from seatrial.images.timeline.target import target as understood

    understood(target)

    names = frozenset(str(canonicalize_name(one)) for one in keep)
    return Options(
        target=target, kinds=IMAGE_KINDS, images=Images(resolve=not offline, refresh=refresh, keep=names)
    )


class Checked(msgspec.Struct, frozen=True):
    """A file that was looked at, and what it was taken for."""

    path: str
    kind: str


class Summary(msgspec.Struct, frozen=True):
    """How many findings there are of each severity."""

    error: int
    warning: int
    note: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. Paths are relative to `root`; `hidden` findings were known to the baseline."""

    root: Path
    findings: tuple[Finding, ...]
    checked: tuple[Checked, ...]
    hidden: int
    sources: dict[str, Source]

    @property
    def summary(self) -> Summary:
        counts = dict.fromkeys(SEVERITIES, 0)
        for one in self.findings:
            counts[one.severity] += 1
        return Summary(**counts)


def check(paths: Sequence[Path], options: Options | None = None) -> Report:
    """Check folders and files. Findings are sorted by path, line and column.

    The root is the folder given when there is just one, else the working directory, else what all have in common.

    Raises:
        UsageError: a path does not exist, a baseline or a pattern cannot be used.
    """
    options = options or Options()
    root = root_of(paths)
    said = settings(root)
    sources: dict[str, Source] = {}
    checked, found = _look(root, paths, said, options, sources)
    comments = {path: disabling.read(source) for path, source in sources.items()}
    found = disabling.hide(found, comments, said.disable)
    for disabled in comments.values():
        found += disabling.unknown(disabled)
    found += disabling.unknown_in_config(_shown(said, root))
    order = {severity: index for index, severity in enumerate(SEVERITIES)}
    found = sorted(
        dict.fromkeys(found), key=lambda one: (one.path, one.line, one.column, order[one.severity], one.rule)
    )
    hidden = 0
    known = options.baseline or said.baseline
    if known is not None and options.use_baseline:
        found, hidden = baseline.hide(found, sources, baseline.read(known))
    return Report(root=root, findings=tuple(found), checked=tuple(checked), hidden=hidden, sources=sources)


def root_of(paths: Sequence[Path]) -> Path:
    """The folder that the paths of findings are relative to; see `check`.

    Raises:
        UsageError: a path does not exist.
    """
    for path in paths:
        if not path.exists():
            raise UsageError("there is no such file or folder", where=str(path))
    if len(paths) == 1 and paths[0].is_dir():
        return paths[0]
    here = Path.cwd()
    if all(_absolute(path).is_relative_to(here) for path in paths):
        return here
    folders = [_absolute(path) if path.is_dir() else _absolute(path).parent for path in paths]
    return Path(os.path.commonpath(folders))


def _absolute(path: Path) -> Path:
    """Absolute and without `..`, but with symbolic links as the user wrote them."""
    return Path(os.path.normpath(Path.cwd() / path))


def subjects(paths: Sequence[Path], options: Options | None = None) -> tuple[Subject, ...]:
    """The files that `check` would look at, recognised; those that cannot be read are not among them.

    Raises:
        UsageError: a path does not exist, a pattern cannot be used.
    """
    root = root_of(paths)
    return _seen(root, paths, settings(root), options or Options()).subjects


class _Seen(msgspec.Struct, frozen=True):
    """What lies below the paths. `others` are files that a rule asked for besides."""

    subjects: tuple[Subject, ...]
    checked: list[Checked]
    unreadable: list[Finding]
    others: dict[str, Source | None]


def _look(
    root: Path, paths: Sequence[Path], said: Settings, options: Options, sources: dict[str, Source]
) -> tuple[list[Checked], list[Finding]]:
    seen = _seen(root, paths, said, options)
    found = [*seen.unreadable, *registry.run(seen.subjects)]
    sources.update({one.source.path: one.source for one in seen.subjects})
    # A rule may have followed an include to a file that was not asked for: its findings need its text.
    sources.update({path: source for path, source in seen.others.items() if source is not None})
    return seen.checked, found


def _seen(root: Path, paths: Sequence[Path], said: Settings, options: Options) -> _Seen:
    found: list[Finding] = []
    known: list[Subject] = []
    checked: list[Checked] = []
    sources: dict[str, Source] = {}
    others: dict[str, Source | None] = {}

    def read(path: str) -> Source | None:
        if path in sources:
            return sources[path]
        if path not in others:
            others[path] = options.changed.get(path) or _read_other(root, path)
        return others[path]

    for path, asked in _files(root, paths, said, options):
        try:
            source = options.changed.get(path) or text.read(root / path, path)
            recognised = _recognised(path, source.text, options, asked=asked)
        except SourceError as error:
            recognised = _recognised(path, _readable(root / path), options, asked=asked)
            if recognised is not None and (not options.kinds or recognised.kind in options.kinds):
                checked.append(Checked(path, recognised.kind))
                found.append(error.finding)
            continue
        if recognised is None or (options.kinds and recognised.kind not in options.kinds):
            continue
        checked.append(Checked(path, recognised.kind))
        sources[path] = source
        folder = (root / path).parent
        known.append(
            Subject(source, recognised, folder, read, options.target, options.images, options.appspecs)
        )
    return _Seen(tuple(known), checked, found, others)


def _recognised(path: str, text: str, options: Options, *, asked: bool) -> Recognised | None:
    if options.appspecs.named and asked:
        return Recognised("appspec", "yaml")
    return recognise(path, text, asked=asked)


def _files(root: Path, paths: Sequence[Path], said: Settings, options: Options) -> list[tuple[str, bool]]:
    """Every file once, in order, and whether it was named."""
    files: dict[str, bool] = {}
    base = root.absolute()
    for path in paths:
        relative = Path(os.path.relpath(path.absolute(), base)).as_posix()
        if path.is_dir():
            start = "" if relative == "." else relative
            for name in walk(
                root, start, exclude=said.exclude, exclude_base=said.folder, use_ignore=options.use_ignore
            ):
                files.setdefault(name, False)
        elif not excluded(root, relative, said.exclude, said.folder):
            files[relative] = True
    return sorted(files.items())


def _readable(file: Path) -> str:
    """As much of an unreadable file as tells what it is."""
    try:
        return file.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _read_other(root: Path, path: str) -> Source | None:
    """A file that another one names: whatever stands there, only a plain file of reasonable size is read."""
    file = root / path
    try:
        if not file.is_file() or file.stat().st_size > LARGEST:
            return None
        return text.read(file, path)
    except (SourceError, OSError, ValueError):
        return None


def _shown(said: Settings, root: Path) -> list[tuple[str, Place]]:
    """Where rules are disabled, with the path of seatrial.yaml as it is seen from the root."""
    folder = os.path.relpath(said.folder, root.resolve())
    prefix = "" if folder == "." else f"{Path(folder).as_posix()}/"
    return [
        (pattern, msgspec.structs.replace(place, path=f"{prefix}{place.path}"))
        for pattern, place in said.places
    ]
