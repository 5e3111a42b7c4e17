"""Commands that make, copy or change the files that installers read later."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from seatrial.images.story import masks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.story.image_files import ImageFiles
    from seatrial.images.story.scene import Call
    from seatrial.images.story.words import Word
    from seatrial.sources.shell_model import ShellCommand
    from seatrial.sources.text import Source

_EXPORTERS = frozenset({"uv", "poetry", "pdm", "pipenv", "pip-compile", "curl", "wget", "piptools"})
_COPIES = frozenset({"cp", "mv", "ln"})


def make(call: Call, command: ShellCommand, directory: str, source: Source, files: ImageFiles) -> None:
    """Note what a command does to files: `echo … > f`, `cat > f <<EOF`, `cp`, `grep -v … > f`, `sed -i`."""

    def path(text: str) -> str:
        return posixpath.normpath(posixpath.join(directory, text))

    if call.program in _COPIES:
        _copy(call, path, files)
    elif call.program == "sed" and any(word.text.startswith(("-i", "--in-place")) for word in call.arguments):
        _sed(call, path, files)
    elif call.program in _EXPORTERS:
        for name in _outputs(call):
            files.write(path(name), _nothing)
    target = command.output
    if call.program == "tee" and target is None:
        names = [word.text for word in call.arguments if not word.text.startswith("-")]
        output = names[0] if names else None
    else:
        output = target.literal if target is not None else None
    if output and "$" not in output:
        where, before = path(output), files.copy()
        files.write(where, lambda: _content(call, command, directory, source, before, where))


def _outputs(call: Call) -> Iterator[str]:
    """The files that `-o` and the like name."""
    words = [word.text for word in call.arguments]
    for index, text in enumerate(words):
        name, equals, value = text.partition("=")
        if name in ("-o", "--output", "--output-file"):
            yield value if equals else "".join(words[index + 1 : index + 2])


def _nothing() -> None:
    return None


def _content(
    call: Call, command: ShellCommand, directory: str, source: Source, files: ImageFiles, output: str
) -> Source | None:
    document = command.input
    if document is not None and call.program in ("cat", "tee"):
        return masks.kept(source, [(document.start, document.end)])
    if call.program in ("echo", "printf"):
        return _printed(call, command, source, files, output)
    if call.program in ("grep", "egrep"):
        return _filtered(call, directory, files)
    if call.program == "cat" and len(call.arguments) == 1:
        return files.read(posixpath.normpath(posixpath.join(directory, call.arguments[0].text)))
    return None


def _printed(
    call: Call, command: ShellCommand, source: Source, files: ImageFiles, output: str
) -> Source | None:
    words = list(call.arguments)
    flags = [word for word in words if word.text in ("-e", "-n", "-ne", "-en", "-E")]
    words = [word for word in words if word not in flags]
    lines = call.program == "printf" and bool(words) and words[0].text.strip() in ("%s\\n", "%s\n")
    if lines:
        words = words[1:]
    spans = [word.span(0, len(word.text)) for word in words if word.text]
    if any(span is None or span.source is not source for span in spans):
        return None
    ranges = [(span.start, span.end) for span in spans if span is not None]
    escapes = call.program == "printf" or any("e" in word.text for word in flags)
    made = masks.printed(source, ranges, escapes=escapes, lines=lines)
    appended = any(one.operator == ">>" for one in command.redirects)
    before = files.read(output) if appended else None
    if before is None:
        return made
    if len(before.text) != len(made.text) or before.path != made.path:
        return before
    merged = [new if old == " " else old for old, new in zip(before.text, made.text, strict=True)]
    return type(source)(source.path, "".join(merged), source.bom)


def _filtered(call: Call, directory: str, files: ImageFiles) -> Source | None:
    """`grep -v PATTERN FILE > OTHER`: the file without some lines, or with some only."""
    letters = "".join(word.text[1:] for word in call.arguments if _is_short(word))
    words = [word.text for word in call.arguments if not word.text.startswith("-")]
    if len(words) != 2 or set(letters) - set("vEiFwe") or "e" in letters[:-1]:  # noqa: PLR2004 - pattern and file
        return None
    pattern, file = words
    before = files.read(posixpath.normpath(posixpath.join(directory, file)))
    if before is None:
        return None
    extended = "E" in letters or call.program == "egrep"
    return masks.without_lines(
        before, pattern, extended=extended, ignore_case="i" in letters, only="v" not in letters
    )


def _is_short(word: Word) -> bool:
    return word.text.startswith("-") and not word.text.startswith("--")


def _copy(call: Call, path: Callable[[str], str], files: ImageFiles) -> None:
    words = [word.text for word in call.arguments if not word.text.startswith("-")]
    if len(words) < 2 or any("$" in word for word in words):  # noqa: PLR2004 - from and to
        return
    *origins, destination = words
    before = files.copy()
    for origin in origins:
        start = path(origin)
        files.bring(start, path(destination), lambda name: before.read(f"/{name}"))


def _sed(call: Call, path: Callable[[str], str], files: ImageFiles) -> None:
    words = [word.text for word in call.arguments]
    scripts = [words[index + 1] for index, text in enumerate(words[:-1]) if text in ("-e", "--expression")]
    extended = any(text in ("-E", "-r", "-Ei", "-ri", "--regexp-extended") for text in words)
    plain = [
        text
        for index, text in enumerate(words)
        if not text.startswith("-") and (index == 0 or words[index - 1] not in ("-e", "--expression"))
    ]
    if not scripts and plain:
        scripts, plain = plain[:1], plain[1:]
    for file in plain:
        files.write(path(file), _edits(files.copy(), path(file), tuple(scripts), extended=extended))


def _edits(
    before: ImageFiles, file: str, scripts: tuple[str, ...], *, extended: bool
) -> Callable[[], Source | None]:
    def content() -> Source | None:
        changed = before.read(file)
        for script in scripts:
            changed = masks.edited_by_sed(changed, script, extended=extended) if changed is not None else None
        return changed

    return content
