"""Whether the files of a project fulfil a condition on a fix, read by simple means that share nothing with the product.

A condition is a small mapping; a fix is accepted where all conditions of one alternative hold. The conditions:

    {"package": NAME, "versions": SPEC}         it is asked for, and no version outside SPEC may be taken
    {"package": NAME, "label": REGEX}           it is asked for, with a local label (empty without one) that matches
    {"absent": NAME}                            nothing asks for it
    {"variant": NAME, "is": REGEX}              its label, or the PyTorch index it comes from, or `pypi`
    {"same_index": [NAME, …]}                   all are asked for, of one variant
    {"same_command": [NAME, …]}                 one command installs all
    {"before": [A, B]}                          A is asked for by an earlier command than every one that asks for B
    {"command_has": FLAG, "package": NAME}      every command that asks for it has the flag, or a variable for it
    {"wheel": NAME, "matches": REGEX}           it is a direct reference that matches
    {"base": REGEX}                             an image that a stage starts from matches from its start
    {"system": REGEX}                           a package of the distribution that is installed matches as a whole
    {"env": NAME, "lacks": REGEX}               the variable has no such part, or is not set
    {"env": NAME, "is": REGEX}                  the variable is set and matches as a whole
    {"dockerfile": REGEX}                       the text of the Dockerfile has it
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_REQUEST = re.compile(r"([A-Za-z0-9][\w.-]*?)\s*(\[[^\]]*\])?\s*(@\s*\S+|(?:[<>=!~]=?=?[^;#]*))?\s*(;.*)?")
_VARIANT = re.compile(r"(cu\d+|cpu|rocm[\d.]+|xpu)/?$")
_SERVED_BY_PYTORCH = {"torch", "torchvision", "torchaudio", "torchtext", "torchcodec", "xformers", "torchao"}
_TAKES_VALUE = {"-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f"}
_TAKES_VALUE |= {"--find-links", "--platform", "--target", "-t", "--python", "-n", "--name", "--channel"}
_TAKES_VALUE |= {"--torch-backend", "--index", "--default-index"}


class Command(msgspec.Struct, frozen=True):
    """One run of an installer: its options with their values, in order, file options included."""

    position: int
    options: tuple[tuple[str, str], ...]

    def values(self, *names: str) -> list[str]:
        return [value for name, value in self.options if name in names]

    @property
    def variant(self) -> str:
        """Of the index that replaces the default."""
        found = [*self.values("--torch-backend"), *self.values("-i", "--index-url", "--default-index")]
        return _variant(found[-1]) if found else ""

    @property
    def extra(self) -> str:
        return next((one for one in map(_variant, self.values("--extra-index-url", "--index")) if one), "")


class Asked(msgspec.Struct, frozen=True):
    """One request: `specifier` is of a wheel's file name where there is a direct reference."""

    name: str
    specifier: str
    url: str
    command: Command

    @property
    def label(self) -> str:
        return self.specifier.partition("+")[2]

    @property
    def variant(self) -> str:
        if _VARIANT.fullmatch(self.label):
            return self.label
        extra = self.command.extra if self.name in _SERVED_BY_PYTORCH else ""
        return extra or self.command.variant or "pypi"


class Read(msgspec.Struct, frozen=True):
    """What simple reading finds: requests in order, images, packages of the distribution, variables."""

    asked: tuple[Asked, ...]
    bases: tuple[str, ...]
    system: tuple[str, ...]
    variables: dict[str, str]
    dockerfile: str

    def of(self, name: str) -> list[Asked]:
        return [one for one in self.asked if one.name == canonicalize_name(name)]


def holds(condition: Mapping[str, Any], files: Mapping[str, str]) -> bool:
    """Whether a condition holds for files by relative path."""
    read = read_files(files)
    for key, judge in _JUDGES.items():
        if key in condition:
            return bool(judge(condition, read))
    raise ValueError(f"no such condition: {condition}")


def accepts(alternatives: Iterable[Iterable[Mapping[str, Any]]], files: Mapping[str, str]) -> bool:
    """Whether all conditions of one alternative hold."""
    return any(all(holds(one, files) for one in conditions) for conditions in alternatives)


def _package(condition: Mapping[str, Any], read: Read) -> bool:
    requests = read.of(condition["package"])
    if "label" in condition:
        return bool(requests) and re.fullmatch(condition["label"], requests[-1].label) is not None
    together = ",".join(one.specifier for one in requests if one.specifier)
    alone = requests[-1].specifier if requests else ""
    return bool(requests) and any(_within(one, condition["versions"]) for one in {together, alone})


def _command_has(condition: Mapping[str, Any], read: Read) -> bool:
    flag = condition["command_has"]
    commands = {one.command.position: one.command for one in read.of(condition["package"])}
    named = f"PIP_{flag.removeprefix('--').replace('-', '_').upper()}"
    return bool(commands) and all(
        command.values(flag) or named in read.variables for command in commands.values()
    )


def _before(condition: Mapping[str, Any], read: Read) -> bool:
    first, second = ([one.command.position for one in read.of(name)] for name in condition["before"])
    return bool(first and second) and min(first) < min(second)


def _same_command(condition: Mapping[str, Any], read: Read) -> bool:
    positions = [{one.command.position for one in read.of(name)} for name in condition["same_command"]]
    return len(set.union(*positions)) == 1 and all(positions)


def _same_index(condition: Mapping[str, Any], read: Read) -> bool:
    requests = [read.of(name) for name in condition["same_index"]]
    return all(requests) and len({one[-1].variant for one in requests}) == 1


def _variant_is(condition: Mapping[str, Any], read: Read) -> bool:
    requests = read.of(condition["variant"])
    return bool(requests) and re.fullmatch(condition["is"], requests[-1].variant) is not None


def _env(condition: Mapping[str, Any], read: Read) -> bool:
    value = read.variables.get(condition["env"])
    if "lacks" in condition:
        return re.search(condition["lacks"], value or "") is None
    return value is not None and re.fullmatch(condition["is"], value) is not None


_JUDGES: dict[str, Any] = {
    "command_has": _command_has,
    "wheel": lambda c, read: any(re.search(c["matches"], one.url) for one in read.of(c["wheel"])),
    "package": _package,
    "absent": lambda c, read: not read.of(c["absent"]),
    "variant": _variant_is,
    "same_index": _same_index,
    "same_command": _same_command,
    "before": _before,
    "base": lambda c, read: any(re.match(c["base"], one) for one in read.bases),
    "system": lambda c, read: any(re.fullmatch(c["system"], one) for one in read.system),
    "env": _env,
    "dockerfile": lambda c, read: re.search(c["dockerfile"], read.dockerfile) is not None,
}


def _within(asked: str, allowed: str) -> bool:
    """Whether no version fits `asked` and not `allowed`, tried on versions at and around every bound of both."""
    try:
        ask, allow = SpecifierSet(asked, prereleases=True), SpecifierSet(allowed, prereleases=True)
    except InvalidSpecifier:
        return False
    fitting = [one for one in _samples(f"{asked},{allowed}") if ask.contains(one)]
    return bool(fitting) and all(allow.contains(one) for one in fitting)


def _samples(text: str) -> list[Version]:
    found = [Version("0"), Version("99999")]
    for number in re.findall(r"[0-9][\w.+]*(?:\.\*)?", text):
        plain = number.removesuffix(".*")
        try:
            version = Version(plain)
        except InvalidVersion:
            continue
        *head, last = version.release
        start = ".".join(map(str, head))
        dot = "." if head else ""
        found += [version, Version(version.public), Version(f"{version.base_version}.1")]
        found += [Version(f"{version.base_version}.9999"), Version(f"{start}{dot}{last + 1}")]
        if last:
            found.append(Version(f"{start}{dot}{last - 1}.9999"))
        elif head:
            found.append(Version(f"{'.'.join(map(str, (*head[:-1], max(head[-1] - 1, 0))))}.9999"))
    return found


def read_files(files: Mapping[str, str]) -> Read:
    """Read a Dockerfile and what it installs, or without one all requirement files."""
    name = next((one for one in sorted(files) if one.split("/")[-1].startswith("Dockerfile")), None)
    if name is not None:
        return _read_dockerfile(files[name], files)
    asked: list[Asked] = []
    for position, path in enumerate(sorted(one for one in files if one.endswith(".txt"))):
        options, requests = _requirements(path, files)
        asked += _asked(Command(position, tuple(options)), requests)
    return Read(tuple(asked), (), (), {}, "")


def _read_dockerfile(text: str, files: Mapping[str, str]) -> Read:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    variables: dict[str, str] = {}
    kept: dict[str, str] = {}
    bases, system, asked = [], [], []
    position = 0
    for line in re.sub(r"\\\n", " ", lines).splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            words = [one for one in rest.split() if not one.startswith("--")]
            bases.append(_expanded(words[0], variables))
        elif keyword in ("ARG", "ENV"):
            for key, value in _pairs(rest):
                variables[key] = _expanded(value, variables)
                if keyword == "ENV":
                    kept[key] = variables[key]
        elif keyword == "RUN":
            for words in _commands(_expanded(rest, variables)):
                position += 1
                asked += _install(position, words, kept, files)
                system += _system(words)
    return Read(tuple(asked), tuple(bases), tuple(system), kept, text)


def _pairs(text: str) -> list[tuple[str, str]]:
    words = shlex.split(text)
    if words and "=" not in words[0]:
        return [(words[0], " ".join(words[1:]))] if words[1:] else []
    pairs = (word.partition("=") for word in words)
    return [(key, value) for key, mark, value in pairs if mark]


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(
        r"\$\{(\w+)\}|\$(\w+)",
        lambda found: variables.get(found.group(1) or found.group(2), found.group()),
        text,
    )


def _commands(text: str) -> list[list[str]]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(";&|"):
            commands.append([])
        else:
            commands[-1].append(word)
    return [words for words in commands if words]


def _install(
    position: int, words: Sequence[str], kept: Mapping[str, str], files: Mapping[str, str]
) -> list[Asked]:
    words = list(words)
    set_here: dict[str, str] = {}
    while words and (found := re.fullmatch(r"(\w+)=(.*)", words[0])):
        set_here[found.group(1)] = found.group(2)
        words.pop(0)
    words = [word for word in words if not word.startswith("--mount")]
    head = " ".join(words[:5])
    if not re.match(r"(\S*python[\d.]* -m )?(uv )?\S*(pip[\d.]*|conda|mamba) install\b", head):
        return []
    conda = re.match(r"\S*(conda|mamba)", head) is not None
    options = _settings({**kept, **set_here})
    requests: list[str] = []
    rest = words[words.index("install") + 1 :]
    while rest:
        word = rest.pop(0)
        name, mark, value = word.partition("=")
        if not word.startswith("-"):
            requests.append(_from_conda(word) if conda else word)
            continue
        if not mark and (name in _TAKES_VALUE or (conda and name == "-c")) and rest:
            value = rest.pop(0)
        options.append((name, value))
        if name in ("-r", "--requirement"):
            more, lines = _requirements(value, files)
            options += more
            requests += lines
    return _asked(Command(position, tuple(options)), requests)


def _settings(variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """pip's variables as options. Source: https://pip.pypa.io/en/stable/topics/configuration/."""
    return [
        (f"--{name.partition('_')[2].lower().replace('_', '-')}", value)
        for name, value in variables.items()
        if name.startswith(("PIP_", "UV_"))
    ]


def _requirements(path: str, files: Mapping[str, str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The options of a file and its requests; an option on the line of a request has no effect on where it comes from."""
    name = (
        path if path in files else next((one for one in files if one == path.rsplit("/", maxsplit=1)[-1]), "")
    )
    options: list[tuple[str, str]] = []
    requests: list[str] = []
    for raw in files.get(name, "").replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        if not line:
            continue
        if line.startswith("-"):
            key, _, value = re.sub(r"^(-\S+?)[=\s]\s*", r"\1 ", line).partition(" ")
            options.append((key, value.strip()))
            if key in ("-r", "--requirement"):
                more, lines = _requirements(value.strip(), files)
                options, requests = options + more, requests + lines
        else:
            requests.append(re.split(r"\s--", line)[0].strip())
    return options, requests


def _asked(command: Command, requests: Iterable[str]) -> list[Asked]:
    asked = []
    for text in requests:
        if re.match(r"(https?|file|git\+)", text):
            text = f"{unquote(text).split('/')[-1].partition('-')[0]} @ {text}"  # noqa: PLW2901 - the same request, named
        found = _REQUEST.fullmatch(text.strip())
        if found is None:
            continue
        rest = (found.group(3) or "").strip()
        url = unquote(rest[1:].strip()) if rest.startswith("@") else ""
        wheel = re.search(r"/[^/]+?-(\d[^-/]*)-[^/]*\.whl", url)
        specifier = (f"=={wheel.group(1)}" if wheel else "") if url else rest.replace(" ", "")
        asked.append(Asked(canonicalize_name(found.group(1)), specifier, url, command))
    return asked


def _from_conda(word: str) -> str:
    """`pytorch=2.1` of conda is torch 2.1.*."""
    name, mark, version = word.rsplit("::", maxsplit=1)[-1].partition("=")
    name = "torch" if name == "pytorch" else name
    return f"{name}=={version.lstrip('=')}.*" if mark else name


def _system(words: Sequence[str]) -> list[str]:
    plain = [word for word in words if not word.startswith("-")]
    if plain[:2] not in (["apt-get", "install"], ["apt", "install"]):
        return []
    return [word.partition("=")[0] for word in plain[2:]]


def _variant(url: str) -> str:
    found = _VARIANT.search(url)
    return found.group(1) if found else ""
