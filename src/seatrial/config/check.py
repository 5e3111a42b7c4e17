"""What is wrong in a seatrial.yaml, as findings with the edits that put it right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.config import model
from seatrial.config.decode import Decoded, Problem, decode, dotted, quoted
from seatrial.config.nearest import nearest
from seatrial.config.reading import UnreadableError, read_table
from seatrial.config.tree import Place, Scalar, Table, at
from seatrial.findings import Edit, Finding, Fix, Rule

if TYPE_CHECKING:
    from pathlib import Path

_REFERENCE = "docs/reference/configuration.md"

RULES: tuple[Rule, ...] = (
    Rule(
        id="config/syntax",
        severity="error",
        title="seatrial.yaml is no YAML mapping",
        explanation="The file cannot be read at all, so none of its settings count.",
        source="https://yaml.org/spec/1.1/",
        example="images: [",
    ),
    Rule(
        id="config/unknown-key",
        severity="error",
        title="A key that no setting has",
        explanation="A misspelt key would silently leave a default in force, so it is an error. "
        "The key is renamed by --fix when exactly one known key is one or two letters away.",
        source=_REFERENCE,
        example="images: {api: {requirement: [requirements.txt]}}",
    ),
    Rule(
        id="config/duplicate-key",
        severity="error",
        title="A key that is there twice",
        explanation="YAML readers keep the last of two equal keys and drop the first without a word.",
        source="https://yaml.org/spec/1.1/#id861060",
        example="images: {}\nimages: {}",
    ),
    Rule(
        id="config/wrong-type",
        severity="error",
        title="A value of another type than the setting has",
        explanation="A setting that wants a number, a truth value, a text, a list or a mapping got something else.",
        source=_REFERENCE,
        example="images: {api: {requirements: requirements.txt}}",
    ),
    Rule(
        id="config/wrong-value",
        severity="error",
        title="A value that the setting does not allow",
        explanation="The value has the right type but is out of range, not one of the choices, or contradicts another.",
        source=_REFERENCE,
        example="services: {api: {port: 80000}}",
    ),
    Rule(
        id="config/unknown-reference",
        severity="error",
        title="A name of an image or service that does not exist",
        explanation="A service names its image, and ship names both; the name must be one of those in the file.",
        source=_REFERENCE,
        example="images: {api: {}}\nservices: {api: {image: app}}",
    ),
    Rule(
        id="config/missing-file",
        severity="error",
        title="A file that does not exist",
        explanation="Requirement files, request bodies, expected answers and OCI folders are named relative to the "
        "folder of seatrial.yaml.",
        source=_REFERENCE,
        example="images: {api: {requirements: [no-such-file.txt]}}",
    ),
)


def check_text(path: str, text: str, directory: Path | None = None) -> list[Finding]:
    """Everything that is wrong in the text of a seatrial.yaml, in the order of the file.

    `path` is what findings show. With `directory`, the folder of the file, also files that do not exist.
    """
    try:
        table = read_table(path, text)
    except UnreadableError as error:
        return [error.finding]
    problems = problems_of(table, decode(table, model.Config), directory)
    found = [as_finding(problem, path) for problem in problems]
    return sorted(found, key=lambda one: (one.line, one.column, one.rule))


def problems_of(table: Table, decoded: Decoded, directory: Path | None) -> list[Problem]:
    """All problems of a tree: types, names that lead nowhere, files that do not exist."""
    problems = [*decoded.problems, *_references(table)]
    return problems if directory is None else [*problems, *_missing_files(decoded, directory)]


def _references(table: Table) -> list[Problem]:
    images, services = _names(table, "images"), _names(table, "services")
    wanted: list[tuple[tuple[str, ...], list[str], str]]
    wanted = [(("services", name, "image"), images, "image") for name in services]
    wanted += [(("ship", "image"), images, "image"), (("ship", "service"), services, "service")]
    problems = []
    for path, names, what in wanted:
        node = at(table, path)
        if isinstance(node, Scalar) and node.kind != "null" and names and node.text not in names:
            near = nearest(node.text, names)
            hint = f"; the nearest one is {near.word}" if near else f"; there are {', '.join(names)}"
            message = f"{dotted(path)}: there is no {what} {node.text!r}{hint}"
            instead = near.word if near and near.sure else None
            problems.append(Problem("config/unknown-reference", node.place, message, path, instead))
        elif node is None and path[0] == "services" and len(images) > 1:
            service = at(table, path[:2])
            place = service.place if service else table.place
            message = f"{dotted(path)} is needed, because there are several images: {', '.join(images)}"
            problems.append(Problem("config/wrong-value", place, message, path))
    return problems


def _names(table: Table, section: str) -> list[str]:
    node = table.get(section)
    return [key.text for key, _ in node.entries] if isinstance(node, Table) else []


def _missing_files(decoded: Decoded, directory: Path) -> list[Problem]:
    problems = []
    for reference in decoded.references:
        target = directory / reference.name
        if target.is_dir() if reference.kind == "folder" else target.is_file():
            continue
        what = "folder" if reference.kind == "folder" else "file"
        state = "is no " + what if target.exists() else "does not exist"
        near = _near_file(target, directory)
        hint = f"; the nearest one is {near}" if near else ""
        message = f"{dotted(reference.key)}: the {what} {reference.name} {state}{hint}"
        problems.append(Problem("config/missing-file", reference.place, message, reference.key, near))
    return problems


def _near_file(target: Path, directory: Path) -> str | None:
    try:
        names = {one.name for one in target.parent.iterdir()}
    except OSError:
        return None
    near = nearest(target.name, sorted(names))
    if near is None:
        return None
    try:
        return (target.parent / near.word).relative_to(directory).as_posix()
    except ValueError:
        return None


def as_finding(problem: Problem, path: str) -> Finding:
    """The finding for a problem; what was said outside the file points at its beginning and says where."""
    place = problem.place
    fix = None
    if place.said == "file" and problem.instead is not None:
        fix = _fix(problem, place, path)
    outside = place.said in ("environment", "flag")
    return Finding(
        rule=problem.rule,
        severity="error",
        path=path,
        line=place.line or 1,
        column=place.column or 1,
        message=f"{problem.message} ({place})" if outside else problem.message,
        cause=problem.cause,
        source=next(rule.source for rule in RULES if rule.id == problem.rule),
        fix=fix,
    )


def _fix(problem: Problem, place: Place, path: str) -> Fix:
    text = problem.instead or ""
    if (
        problem.rule == "config/missing-file"
        and not text.replace("/", "").replace("_", "").replace("-", "").isalnum()
    ):
        text = quoted(text) if any(one in text for one in " :#{}[],&*!|>'\"%@`") else text
    return Fix(
        title=f"Write {text}",
        # Another file may have other contents: that one is for a person to decide.
        safe=problem.rule != "config/missing-file",
        edits=(
            Edit(
                path=path, start=(place.line, place.column), end=(place.end_line, place.end_column), text=text
            ),
        ),
    )
