"""image/index-per-line: options behind a requirement, on its line, that an installer forgets or refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import edit
from seatrial.images.facts.pip_lines import pip_lines
from seatrial.images.rules.verdict import Verdict, shown, verdict
from seatrial.images.story.model import Span
from seatrial.images.timeline.variant import of_index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.findings import Edit, Fix
    from seatrial.images.story.model import Install, Request
    from seatrial.images.timeline.model import Moment, Timeline
    from seatrial.sources.text import Source

RULE = Rule(
    id="image/index-per-line",
    severity="warning",
    title="An option stands on the line of a requirement, where it does nothing",
    explanation=(
        "In a requirement file an index is chosen for the whole file, on a line of its own. Behind a requirement pip reads "
        "`--index-url`, `--extra-index-url` and `--find-links` without a word and forgets them, so the package comes from "
        "the default index: a torch for another CUDA version than was meant. uv refuses such a file, and so does pip where "
        "an option of the command line (`--no-deps`) stands there: those are errors. `--hash`, `--config-settings` and "
        "`--global-option` may stand on the line. The fix moves the option to a line of its own, or to the command."
    ),
    source="https://pip.pypa.io/en/stable/reference/requirements-file-format/#per-requirement-options",
    example="torch==2.7.1 --index-url https://download.pytorch.org/whl/cu128\ntorchvision==0.22.1\n",
)

RULES = (RULE,)

_OPTION = re.compile(r"(?<=\s)(?P<dashes>--?)(?P<name>[A-Za-z][\w-]*)")
_INDEXES = {"index-url": "extra-index-url", "i": "extra-index-url", "extra-index-url": "extra-index-url"}
_INDEXES |= {"find-links": "find-links", "f": "find-links"}
_TO_COMMAND = frozenset({"no-deps", "no-build-isolation", "force-reinstall", "upgrade", "U"})


class _Option(msgspec.Struct, frozen=True):
    """An option with its value, and the text from the blank before it to its end."""

    name: str
    value: str
    at: Span

    @property
    def written(self) -> str:
        return f"--{self.name}" if len(self.name) > 1 else f"-{self.name}"


def check(timeline: Timeline) -> list[Verdict]:
    """Options behind requirements of every file that is installed."""
    found = []
    for moment in timeline.moments:
        for request in moment.install.requests:
            if request.style in ("lines", "locked") and request.at.text:
                found += [
                    _verdict(moment, request, one) for one in options(request) if _wrong(moment.install, one)
                ]
    return found


def options(request: Request) -> list[_Option]:
    """The options behind a requirement on its line."""
    text = request.at.text
    starts = [one for one in _OPTION.finditer(text) if one.start() > 0 and not _in_marker(text, one.start())]
    found = []
    for number, one in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        value = text[one.end() : end].strip().lstrip("=").strip().strip("\"'").rstrip("\\").strip()
        lead = re.search(r"[^\S\r\n]*(?:\\\r?\n[^\S\r\n]*)?$", text[: one.start()])
        first = lead.start() if lead else one.start()
        last = len(text[:end].rstrip().removesuffix("\\").rstrip())
        found.append(
            _Option(
                one["name"], value, Span(request.at.source, request.at.start + first, request.at.start + last)
            )
        )
    return found


def _in_marker(text: str, at: int) -> bool:
    """Whether a dash stands inside the quotes of a marker, or opens a line that is an editable install."""
    return text.startswith("-") or text[:at].count('"') % 2 == 1 or text[:at].count("'") % 2 == 1


def _wrong(install: Install, one: _Option) -> bool:
    lines = pip_lines()
    if install.tool == "uv":
        return one.name not in lines.uv_obeyed and one.name in lines.obeyed | lines.forgotten | lines.refused
    if (
        one.name in _INDEXES
        and one.value
        and one.value in (install.index, *install.extra_indexes, *install.find_links)
    ):
        return False
    return one.name in lines.forgotten | lines.refused


def _verdict(moment: Moment, request: Request, one: _Option) -> Verdict:
    install, lines = moment.install, pip_lines()
    refused = install.tool == "uv" or one.name in lines.refused
    tool = "uv" if install.tool == "uv" else "pip"
    if refused:
        words = f"{tool} refuses {one.written} on the line of {request.name}, and with it the whole file"
        said = "Expected `--hash`" if tool == "uv" else f"no such option: {one.written}"
        cause = f"the install ends with `{said}`"
    else:
        words = f"pip ignores {one.written} on the line of {request.name}{_instead(moment, request, one)}"
        cause = "an index is chosen for a whole file, on a line of its own; pip says nothing about it here"
    return verdict(
        RULE,
        "error" if refused and install.certain else "warning",
        one.at if not one.at.text.startswith((" ", "\t")) else _without_blank(one.at),
        words,
        about=(request.name,),
        cause=cause,
        source=lines.uv if tool == "uv" else lines.pip,
        fixes=_fixes(install, request, one),
    )


def _without_blank(at: Span) -> Span:
    text = at.text
    return Span(at.source, at.start + len(text) - len(text.lstrip()), at.end)


def _instead(moment: Moment, request: Request, one: _Option) -> str:
    """What comes instead of what was meant."""
    if one.name not in _INDEXES:
        return ""
    meant, package = of_index(one.value), moment.after.get(request.name)
    comes = package.variant if package is not None and package.install is moment.install else ""
    if package is not None and meant and comes and meant != comes:
        return f", so {shown(package)} comes instead of the build for {meant}"
    return ", so it comes from the default index"


def _fixes(install: Install, request: Request, one: _Option) -> list[Fix | None]:
    same = [(other, found) for other in install.requests for found in _alike(other, one, request.at.source)]
    stripped: list[Edit | None] = [edit.replace(found.at, "") for _, found in same]
    source = request.at.source
    found = []
    if one.name in _INDEXES and one.value:
        line = f"--{_INDEXES[one.name]} {one.value}"
        top = edit.line_before(Span(source, _first_line(source), _first_line(source)), line)
        found.append(edit.fix(f"Give {line.split(maxsplit=1)[0]} a line of its own", [top, *stripped]))
    if one.name in _TO_COMMAND and install.tool in ("pip", "uv"):
        found.append(
            edit.fix(f"Give {one.written} to the command", [edit.option(install, one.written), *stripped])
        )
    found.append(edit.fix(f"Remove {one.written} from the line", stripped))
    return found


def _alike(other: Request, one: _Option, source: Source) -> Iterable[_Option]:
    """The same option with the same value on any line of the file: all are moved at once."""
    if other.at.source.path != source.path or other.style not in ("lines", "locked"):
        return ()
    return (found for found in options(other) if (found.name, found.value) == (one.name, one.value))


def _first_line(source: Source) -> int:
    """Behind the comments that a file starts with."""
    for start in source.starts:
        line = source.line(source.position(start)[0]).strip()
        if line and not line.startswith("#"):
            return start
    return 0
