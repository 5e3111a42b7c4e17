"""The image's entry point exists, may be executed, and is a program for this image."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from seatrial.images import runtime
from seatrial.images.rootfs import locate
from seatrial.images.runtimes.launch import DEFAULT_PATH
from seatrial.images.testing import elf
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.images.rootfs import Root

Problem = tuple[str, str]
_SHELLS = {"sh", "bash", "dash", "ash"}
# What runs another program given as its arguments, after options of its own.
_RUNNERS = {"tini", "tini-static", "dumb-init", "catatonit", "docker-init"}
_WITH_VALUE = {"-p", "-W", "-X", "-o", "+o", "-O", "+O"}
_INIT_VALUES = {"-p", "-e", "--rewrite"}
# With one of these a command is more than words: variables, lists, substitutions.
_SHELL_SYNTAX = re.compile(r"[;&|<>(){}$`*?!~#\n\[\]]")
_NO_PROGRAMS = {
    "exec", "cd", "set", "export", "exit", "test", "true", "false", "echo", "eval", "source", ".", ":", "if", "while",
    "for", "until", "case", "trap", "ulimit", "umask", "wait", "unset", "read", "command", "type", "printf", "shift",
}  # fmt: skip
# A list that was no JSON: Docker hands it to the shell as it is.
_LIST_AS_TEXT = re.compile(r"^\[\s*['\"\u2018\u2019\u201c\u201d]")


def check(subject: Subject) -> Iterator[Check]:
    """Look at the program, its script and its interpreter, in the order in which the kernel does."""
    settings = subject.root.settings
    if not (settings.get("Entrypoint") or settings.get("Cmd")):
        yield skipped("entrypoint", "the image has no entry point and no command")
        return
    if problem := _form(settings):
        yield failed("entrypoint", *problem)
        return
    line = runtime.command_of(subject.root, [], None)
    workdir = _workdir(subject.root)
    if locate(subject.root, workdir)[1] is None:
        message = f"the working directory {workdir} does not exist"
        yield failed("entrypoint", message, "create it in the image")
        return
    place, file, words = _find(subject, line[0], workdir)
    if file is None:
        yield failed("entrypoint", words, _advice(line[0]))
        return
    problem = _program(subject, place, file) or _argument(subject, line, workdir)
    if problem is None:
        yield passed("entrypoint", f"{' '.join(line)[:200]} can start")
    else:
        yield failed("entrypoint", *problem)


def programs(subject: Subject) -> tuple[str, ...]:
    """Resolved paths of what the kernel would load to start the image: the program, and a script's interpreter."""
    settings = subject.root.settings
    if not (settings.get("Entrypoint") or settings.get("Cmd")) or _form(settings):
        return ()
    place, file, _ = _find(subject, runtime.command_of(subject.root, [], None)[0], _workdir(subject.root))
    if file is None:
        return ()
    try:
        with file.open("rb") as stream:
            head = stream.read(256)
    except OSError:
        return ()
    words = _shebang(head) if head.startswith(b"#!") else []
    found = [place, *(locate(subject.root, word)[0] for word in words[:1])]
    if words and (name := _env_program(words)):
        other, interpreter, _ = _find(subject, name, "/")
        found += [other] if interpreter is not None else []
    return tuple(found)


def _workdir(root: Root) -> str:
    return str(root.settings.get("WorkingDir") or "/")


def _form(settings: dict[str, Any]) -> Problem | None:
    """Forms that are no list of words, and lists that Docker took for text."""
    for name in ("Entrypoint", "Cmd"):
        value = settings.get(name)
        word = name.upper()
        if value and not isinstance(value, list):
            return f"{word} is {value!r:.100}, not a list of words", f'write {word} ["PROGRAM", "ARGUMENT"]'
        words = [str(item) for item in value or []]
        if len(words) > 2 and words[1] == "-c" and _LIST_AS_TEXT.match(words[2]):  # noqa: PLR2004 - sh -c TEXT
            message = f"{word} {words[2][:100]} is no JSON list, so a shell is given it as a command"
            return message, f"write {word} with straight double quotes and commas between the words"
    return None


def _advice(program: str) -> str:
    if " " in program:
        words = ", ".join(f'"{word}"' for word in program.split())
        return f"write each word on its own: [{words}]"
    return "correct ENTRYPOINT or CMD, or add the program to the image"


def _find(subject: Subject, program: str, workdir: str) -> tuple[str, Path | None, str]:
    """The program's resolved path and file; or no file, and what is wrong."""
    variables = dict(str(item).partition("=")[::2] for item in subject.root.settings.get("Env") or [])
    path = variables.get("PATH", DEFAULT_PATH)
    passed_by = ""
    for folder in [""] if "/" in program else path.split(":"):
        place = f"{folder}/{program}" if folder else program
        if not place.startswith("/"):
            place = f"{workdir}/{place}"
        resolved, file = locate(subject.root, place)
        if file is not None and not file.is_dir():
            return resolved, file, ""
        if "/" in program and file is not None:
            return resolved, None, f"the entry point {place} is a folder"
        dangling = file is None and _is_link(subject, place)
        words = f"is a symbolic link to nothing ({resolved})" if dangling else "does not exist in the image"
        if "/" in program:
            return resolved, None, f"the entry point {place} {words}"
        passed_by = passed_by or (f"; {place} {words}" if dangling else "")
    return "", None, f"the entry point {program} is in no folder of PATH ({path}){passed_by}"


def _is_link(subject: Subject, place: str) -> bool:
    folder, _, name = place.rpartition("/")
    entry = subject.tree.get(f"{locate(subject.root, folder)[0]}/{name}".strip("/"))
    return entry is not None and entry[1].kind == "l"


def _program(subject: Subject, place: str, file: Path) -> Problem | None:
    mode = subject.tree[place.strip("/")][1].mode if place.strip("/") in subject.tree else 0o755
    if not mode & 0o111:
        return f"{place} is not executable (mode {mode:04o})", f"chmod +x {place}"
    with file.open("rb") as stream:
        head = stream.read(256)
    if head.startswith(elf.MAGIC):
        return _binary(subject, place, file)
    if head.startswith(b"#!"):
        return _script(subject, place, head)
    if not head:
        return f"{place} is empty", "copy the program itself; an earlier step wrote nothing"
    if head.startswith(b"\xef\xbb\xbf#!"):
        return (
            f"{place} begins with a byte order mark, so its first line is not seen",
            "save it as UTF-8 without BOM",
        )
    return (
        f"{place} is neither a program nor a script with #!",
        "give the script a first line such as #!/bin/sh",
    )


def _binary(subject: Subject, place: str, file: Path) -> Problem | None:
    header = elf.read(file)
    architecture = str(subject.root.config.get("architecture") or "")
    machine = elf.MACHINES.get(architecture)
    if header is None:
        return f"{place} is a damaged program", "build the image again"
    if machine and (header.machine, header.width) != machine:
        return f"{place} is not a program for {architecture}", f"build it for linux/{architecture}"
    if header.interpreter and locate(subject.root, header.interpreter)[1] is None:
        kind = "musl" if "musl" in header.interpreter else "glibc"
        return (
            f"{place} needs the loader {header.interpreter}, which is not in the image",
            f"it was built for a system with {kind}: use such a base image",
        )
    return None


def _shebang(head: bytes) -> list[str]:
    return head.partition(b"\n")[0][2:].decode(errors="replace").split()


def _env_program(words: list[str]) -> str:
    """What `env NAME` or `env -S NAME ARGUMENT` runs; nothing when other options say more."""
    if not words[0].endswith("/env"):
        return ""
    rest = words[2:] if words[1:2] in (["-S"], ["-vS"]) else words[1:]
    rest = [word for word in rest if "=" not in word]
    return rest[0] if rest and not rest[0].startswith("-") else ""


def _script(subject: Subject, place: str, head: bytes) -> Problem | None:
    if head.partition(b"\n")[0].endswith(b"\r"):
        return f"{place} has Windows line ends, so its interpreter is not found", "save it with \\n line ends"
    words = _shebang(head)
    if not words:
        return f"{place} names no interpreter after #!", "write #!/bin/sh"
    resolved, interpreter = locate(subject.root, words[0])
    if interpreter is None:
        return (
            f"{place} is run by {words[0]}, which is not in the image",
            "install it or change the first line; a virtual environment cannot be moved to another folder",
        )
    entry = subject.tree.get(resolved.strip("/"))
    if entry is not None and entry[1].kind == "f" and not entry[1].mode & 0o111:
        return f"{place} is run by {resolved}, which is not executable", f"chmod +x {resolved}"
    if name := _env_program(words):
        _, file, problem = _find(subject, name, "/")
        if file is None:
            return f"{place} is run by {name}: {problem}", "install it or change the first line"
    return None


def _argument(subject: Subject, line: list[str], workdir: str) -> Problem | None:
    """What the program is to run: the script or module of `python`, the command of `sh -c`, the rest of an init."""
    name = line[0].rpartition("/")[2]
    how, rest = _behind_options(line[1:], _INIT_VALUES if name in _RUNNERS else _WITH_VALUE)
    if not rest or not (name in _RUNNERS | _SHELLS or name.startswith("python")):
        return None
    if name in _RUNNERS:
        return _command(subject, rest, workdir)
    if how == "c":
        return _shell_command(subject, rest[0], workdir) if name in _SHELLS else None
    if how == "m":
        return _module(subject, line[0], rest[0], workdir) if name not in _SHELLS else None
    place = rest[0] if rest[0].startswith("/") else f"{workdir}/{rest[0]}"
    if locate(subject.root, place)[1] is None:
        return (
            f"{name} is to run {rest[0]}, which is not in the image at {place}",
            "copy it there or correct the path",
        )
    return None


def _behind_options(words: list[str], with_value: set[str]) -> tuple[str, list[str]]:
    """`c` or `m` for the option that says that a command or module follows, and what follows."""
    skip = False
    for number, word in enumerate(words):
        if skip:
            skip = False
        elif word == "--":
            return "", words[number + 1 :]
        elif not word.startswith(("-", "+")):
            return "", words[number:]
        elif not word.startswith("--") and word[-1:] in ("c", "m"):
            return word[-1], words[number + 1 :]
        else:
            skip = word in with_value
    return "", []


def _command(subject: Subject, line: list[str], workdir: str) -> Problem | None:
    place, file, words = _find(subject, line[0], workdir)
    if file is None:
        return words, _advice(line[0])
    return _program(subject, place, file) or _argument(subject, line, workdir)


def _shell_command(subject: Subject, text: str, workdir: str) -> Problem | None:
    """The program of a command that is nothing but words; the shell alone understands the others."""
    if _SHELL_SYNTAX.search(text):
        return None
    try:
        words = shlex.split(text)
    except ValueError as error:
        return f"the shell command {text[:100]!r} is incomplete: {error}", "close the quotes"
    while words and (words[0] == "exec" or re.match(r"[A-Za-z_]\w*=", words[0])):
        words = words[1:]
    if not words or words[0] in _NO_PROGRAMS or words[0].startswith("-"):
        return None
    return _command(subject, words, workdir)


def _module(subject: Subject, program: str, module: str, workdir: str) -> Problem | None:
    """Whether `python -m MODULE` finds it: asked of the interpreter, which alone knows its import hooks."""
    if subject.python is None or locate(subject.root, program if "/" in program else "/")[1] is None:
        return None
    code = (
        "import importlib.util as u, sys\n"
        "sys.path.insert(0, '')\n"
        "try: found = u.find_spec(sys.argv[1].partition('.')[0])\n"
        "except (ImportError, ValueError): found = None\n"
        "sys.stdout.write('yes' if found else 'no')"
    )
    launch = runtime.Launch(entrypoint=(program,), network="none", workdir=workdir, env=subject.spec.env)
    done = runtime.run(subject.root, ["-c", code, module], launch, timeout=60)
    if done.code == 0 and done.stdout.endswith("no"):
        return (
            f"{program} is to run the module {module}, which it does not find in {workdir} or among its packages",
            "copy it there, set PYTHONPATH, or install the package that has it",
        )
    return None
