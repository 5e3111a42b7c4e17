"""`runtime-versions`: what is installed, which of it a buildspec selects, and CodeBuild's words for both.

Sources: AWS CodeBuild user guide, "Runtime versions" and "Troubleshooting"; the file runtimes.yml of AWS's public
images (aws/aws-codebuild-docker-images); messages as in public build logs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from seatrial.builds.model import Buildspec

CODE = "YAML_FILE_ERROR"
NAMES = {
    "dotnet": ".NET",
    "golang": "Go",
    "java": "Java",
    "nodejs": "Node.js",
    "php": "PHP",
    "python": "Python",
    "ruby": "Ruby",
}
"""The runtimes that can be selected, and what CodeBuild calls them when it installs one."""
SKIPPED = "Skipping install of runtimes. Runtime version selection is not supported by this build image"
REQUIRED = "This build image requires selecting at least one runtime version"
NOTHING = "No runtime version selected in buildspec."
_NEEDS_ONE = re.compile(r"(^|/)standard:[23]\.0($|-)|amazonlinux2-\w+-standard:[12]\.0($|-)")
_AWS_IMAGE = re.compile(r"^(aws/codebuild|public\.ecr\.aws/codebuild)/[\w.-]*(standard|lambda)")
_FIRST_STANDARD = re.compile(r"/standard:1\.0($|-)")


class Refused(SeatrialError):  # noqa: N818 - what is refused, as in the other parts of a build
    """A runtime that cannot be selected. `code` and `message` are what CodeBuild gives as DOWNLOAD_SOURCE's context."""

    def __init__(
        self, message: str, *, where: str | None = None, why: str | None = None, fix: str | None = None
    ) -> None:
        super().__init__(message, where=where, why=why, fix=fix)
        self.code = CODE
        self.message = message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.message, self.where, self.why, self.fix))


class Installed(NamedTuple):
    """One installation: its version as it says itself, the folder of its programs, and who made it if that matters.

    `first`: it is what its name alone already runs.
    """

    version: str
    folder: str
    maker: str = ""
    first: bool = False


class Found(msgspec.Struct, frozen=True):
    """What there is. `versions` are named as in a buildspec, oldest first; `installed` has the best one of each."""

    versions: dict[str, tuple[str, ...]]
    installed: dict[str, dict[str, Installed]]


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """`versions` by runtime; `path` are folders that go first in PATH, `variables` go with them.

    `log` are lines as CodeBuild prints them, `notes` what differs here from what CodeBuild would have.
    """

    versions: dict[str, str] = {}
    path: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    log: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def select(
    spec: Buildspec,
    available: Mapping[str, tuple[str, ...]],
    *,
    image: str = "",
    installed: Mapping[str, Mapping[str, Installed]] | None = None,
) -> Selected:
    """Choose what `phases/install/runtime-versions` asks for. `image` is empty for a build on this machine.

    An image that is not one of AWS's own has no selection: CodeBuild warns and goes on, and so do we.

    Raises:
        Refused: with CodeBuild's message, when a name or version is unknown or one must be selected.
    """
    install = spec.phases.get("install")
    wanted = install.runtime_versions if install else {}
    if not wanted:
        if _NEEDS_ONE.search(image):
            raise Refused(
                REQUIRED,
                where=spec.path,
                why=f"{image} has no defaults",
                fix="add `runtime-versions` to the phase install, for example `python: 3.x`, or use a newer image",
            )
        return Selected(log=(NOTHING,))
    if image and not supports(image):
        return Selected(log=(SKIPPED,), notes=(f"{image} is not an image of AWS: it is used as it is",))
    chosen = {name: _choose(name, text.value, str(text.place), available) for name, text in wanted.items()}
    return _selected(chosen, installed or {}, of_aws=bool(image))


def supports(image: str) -> bool:
    """Whether CodeBuild selects runtimes in that image."""
    return bool(_AWS_IMAGE.match(image)) and not _FIRST_STANDARD.search(image)


def available(run: Callable[[str], str]) -> Mapping[str, tuple[str, ...]]:
    """Ask for the runtimes that are there, named as in a buildspec; `run` runs a text with `sh` and gives its output."""
    return found(run).versions


def found(run: Callable[[str], str], names: Iterable[str] = NAMES) -> Found:
    """As `available`, with the folders: on PATH first, then those of version managers (pyenv, nvm, rbenv, goenv, …).

    Only `names` are asked for, unless one of them is none that there could be: then all are, to be listed.
    """
    wanted = set(names)
    asked = min(wanted, set(NAMES))
    installed: dict[str, dict[str, Installed]] = {}
    for line in run(f"want=' {' '.join(sorted(asked))} '\n{PROBE}").splitlines():
        parts = line.split("\t")
        if len(parts) == 4 and parts[0] in asked:  # noqa: PLR2004 - how it was found, and the three below
            name, how, folder, answer = parts
            _add(installed.setdefault(name, {}), name, folder, answer, on_path=how == "path")
    if not all(installed.get(name) for name in asked) and asked != set(NAMES):
        return found(run)
    ordered = {name: tuple(sorted(kinds, key=_order)) for name, kinds in sorted(installed.items()) if kinds}
    return Found(ordered, {name: installed[name] for name in ordered})


def _add(kinds: dict[str, Installed], name: str, folder: str, answer: str, *, on_path: bool) -> None:
    number = re.search(r"\d+(\.\d+)*", answer)
    if not number:
        return
    if name == "python":
        folder = answer.partition(" ")[2].rpartition("/")[0] or folder
    maker = ""
    if name == "java":
        ours = re.search(r"corretto|amazon", answer, re.IGNORECASE)
        maker = "Corretto" if ours else "OpenJDK"
    kind = _kind(name, number[0])
    # What PATH has first stays, but Corretto is what CodeBuild has.
    if kind not in kinds or (maker == "Corretto" and kinds[kind].maker != "Corretto"):
        kinds[kind] = Installed(number[0], folder, maker, first=on_path and not kinds)


def _kind(name: str, version: str) -> str:
    """A version as a buildspec names it: nodejs 18, python 3.11, java corretto17."""
    parts: list[str] = re.findall(r"\d+", version)
    if name == "java":
        return f"corretto{parts[1] if parts[0] == '1' and len(parts) > 1 else parts[0]}"
    if name == "nodejs":
        return parts[0]
    return ".".join(parts[:2]) if len(parts) > 1 else f"{parts[0]}.0"


def _choose(name: str, wanted: str, place: str, available: Mapping[str, tuple[str, ...]]) -> str:
    known: dict[str, list[str]] = {
        key: sorted(values, key=_order) for key, values in available.items() if values
    }
    if name not in known:
        raise Refused(
            f"Unknown runtime named '{name}'. This build image has the following runtimes: {', '.join(sorted(known))}",
            where=place,
            why=f"CodeBuild has {name}, and here it is not installed"
            if name in NAMES
            else "CodeBuild's images have no runtime of that name to select",
            fix=f"install {name} on this machine or run the build in an image that has it (--on image:REF)"
            if name in NAMES
            else f"remove the line: {name} is there without being selected, or is installed by a command",
        )
    fits = [version for version in known[name] if _matches(version, wanted)]
    if not fits:
        raise Refused(
            f"Unknown runtime version named '{wanted}' of {name}. "
            f"This build image has the following versions: {', '.join(known[name])}",
            where=place,
            why=f"that version of {name} is not installed here",
            fix="install it, write a version that is there or `latest`, or run the build in an image that has it",
        )
    return fits[-1]


def _matches(version: str, wanted: str) -> bool:
    """`latest` is any, `3.x` any with that beginning. Java's may be named without its maker's name in front of .x only."""
    if wanted in ("latest", version):
        return True
    if wanted.endswith(".x"):
        return version == wanted[:-2] or version.startswith(wanted[:-1])
    # openjdk8 and openjdk11 are the older names of what is Corretto now.
    return wanted.startswith("openjdk") and version == f"corretto{wanted.removeprefix('openjdk')}"


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _selected(
    chosen: Mapping[str, str], installed: Mapping[str, Mapping[str, Installed]], *, of_aws: bool
) -> Selected:
    log = [
        f"Selecting '{name}' runtime version '{version}' based on manual selections..."
        for name, version in chosen.items()
    ]
    path: list[str] = []
    variables: dict[str, str] = {}
    notes: list[str] = []
    for name, version in chosen.items():
        log.append(f"Installing {NAMES.get(name, name)} version {version.removeprefix('corretto')} ...")
        one = installed.get(name, {}).get(version)
        if one is None:
            continue
        if not one.first:
            path.append(one.folder)
        if name == "java" and one.folder.endswith("/bin"):
            root = one.folder.removesuffix("/bin")
            variables |= {"JAVA_HOME": root, "JDK_HOME": root, "JRE_HOME": root}
        if not of_aws:
            notes.append(_difference(name, version, one))
    return Selected(
        versions=dict(chosen),
        path=tuple(dict.fromkeys(path)),
        variables=variables,
        log=tuple(log),
        notes=tuple(notes),
    )


def _difference(name: str, version: str, one: Installed) -> str:
    if name == "java" and one.maker != "Corretto":
        return f"{version} is {one.maker} {one.version} here ({one.folder}); CodeBuild has Amazon Corretto"
    return f"{name} {version} is {one.version} here ({one.folder}); the last number may differ in CodeBuild's image"


def folders(selected: Selected, environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with what was selected first in PATH."""
    path = ":".join((*selected.path, *(part for part in environment.get("PATH", "").split(":") if part)))
    return {**environment, **selected.variables, "PATH": path}


PROBE = r"""
how=path
say() { # runtime, program with folder, arguments that print its version
  case $want in *" $1 "*) ;; *) return 0 ;; esac
  [ -x "$2" ] || return 0
  name=$1; program=$2; shift 2
  answer=$("$program" "$@" 2>&1 </dev/null) || return 0
  case $name in java) program=$(readlink -f "$program" 2>/dev/null || printf '%s' "$program") ;; esac
  answer=$(printf '%s' "$answer" | tr '\n\t' '  ')
  printf '%s\t%s\t%s\t%s\n' "$name" "$how" "${program%/*}" "$answer"
}
python() { say python "$1" -c 'import platform, sys; print(platform.python_version() + " " + sys.executable)'; }
node() { say nodejs "$1" --version; }
java() { # a JDK says in a file what it is; starting one takes a third of a second
  case $want in *" java "*) ;; *) return 0 ;; esac
  [ -x "$1" ] || return 0
  real=$(readlink -f "$1" 2>/dev/null || printf '%s' "$1")
  answer=$(grep -E '^(JAVA_VERSION|IMPLEMENTOR)=' "${real%/bin/java}/release" 2>/dev/null | sort -r | tr '\n\t' '  ')
  case $answer in
    *JAVA_VERSION=*) printf 'java\t%s\t%s\t%s\n' "$how" "${real%/*}" "$answer" ;;
    *) say java "$1" -version ;;
  esac
}
go() { say golang "$1" version; }
ruby() { say ruby "$1" --version; }
php() { say php "$1" -r 'echo PHP_VERSION;'; }
dotnet() { say dotnet "$1" --version; }
old=$IFS; IFS=:
for folder in $PATH; do
  IFS=$old
  case $folder in /*) ;; *) continue ;; esac
  case $folder in */shims) python "$folder/python3"; continue ;; esac
  for file in "$folder"/python "$folder"/python3 "$folder"/python3.[0-9] "$folder"/python3.[0-9][0-9]; do
    python "$file"
  done
  node "$folder/node"; java "$folder/java"; go "$folder/go"
  ruby "$folder/ruby"; php "$folder/php"; dotnet "$folder/dotnet"
done
IFS=$old
how=manager
home=${HOME:-/nowhere}
for file in "${PYENV_ROOT:-$home/.pyenv}"/versions/*/bin/python; do python "$file"; done
for file in "${NVM_DIR:-$home/.nvm}"/versions/node/*/bin/node "${N_PREFIX:-/usr/local}"/n/versions/node/*/bin/node \
  "$home"/.nodenv/versions/*/bin/node "$home"/.local/share/fnm/node-versions/*/installation/bin/node; do node "$file"; done
for file in /usr/lib/jvm/*/bin/java "$home"/.sdkman/candidates/java/*/bin/java "$home"/.jenv/versions/*/bin/java; do java "$file"; done
for file in /usr/local/go/bin/go "$home"/.goenv/versions/*/bin/go "$home"/sdk/*/bin/go /usr/lib/go-*/bin/go; do go "$file"; done
for file in "$home"/.rbenv/versions/*/bin/ruby /usr/local/rbenv/versions/*/bin/ruby "$home"/.rvm/rubies/*/bin/ruby; do ruby "$file"; done
for file in "$home"/.phpenv/versions/*/bin/php /usr/bin/php[0-9].[0-9]; do php "$file"; done
dotnet "$home/.dotnet/dotnet"; dotnet /usr/share/dotnet/dotnet
for root in "$home"/.asdf/installs "$home"/.local/share/mise/installs; do
  for file in "$root"/python/*/bin/python; do python "$file"; done
  for file in "$root"/node*/*/bin/node; do node "$file"; done
  for file in "$root"/java/*/bin/java; do java "$file"; done
  for file in "$root"/go*/*/bin/go "$root"/go*/*/go/bin/go; do go "$file"; done
  for file in "$root"/ruby/*/bin/ruby; do ruby "$file"; done
  for file in "$root"/php/*/bin/php; do php "$file"; done
done
exit 0
"""


def _rebuild(message: str, where: str | None, why: str | None, fix: str | None) -> Refused:
    return Refused(message, where=where, why=why, fix=fix)
