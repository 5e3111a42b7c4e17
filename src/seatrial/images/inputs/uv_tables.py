"""uv's tables of a pyproject.toml. Source: https://docs.astral.sh/uv/concepts/projects/dependencies/"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.errors import SeatrialError
from seatrial.images.inputs.environment import holds
from seatrial.images.inputs.locations import read_location
from seatrial.images.inputs.needs import Need
from seatrial.images.inputs.poetry_tables import table_of
from seatrial.images.story.requests import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.inputs.requirement_files import Place
    from seatrial.images.story.pyproject import Project


def uv_packaged(project: Project) -> bool | None:
    """`tool.uv.package`; None where it is not said."""
    said = table_of(project.data, "tool", "uv").get("package")
    return said if isinstance(said, bool) else None


def uv_origin(project: Project, name: str, place: Place, where: str) -> Need | None:
    """Where `[tool.uv.sources]`, of the project or else of its workspace, takes a package from on the target.

    Raises:
        SeatrialError: it names an index or a member that is not there.
    """
    folder = Path(project.source.path).parent
    for data, base in _tables(project, folder):
        sources = {normalised(key): value for key, value in table_of(data, "tool", "uv", "sources").items()}
        if name in sources:
            listed = sources[name] if isinstance(sources[name], list) else [sources[name]]
            for one in listed:
                if isinstance(one, dict) and holds(
                    str(one.get("marker", "")), place.environment, where=where
                ):
                    return _origin(one, name, data, base, place, where)
            return None
    return None


def workspace_of(folder: Path) -> tuple[dict[str, Any], Path] | None:
    """The content and folder of the workspace that a project belongs to."""
    from seatrial.sources import text, toml
    from seatrial.sources.text import SourceError

    for parent in (folder, *folder.parents):
        try:
            data = toml.read(text.read(parent / "pyproject.toml"))
        except SourceError:
            continue
        if isinstance(table_of(data, "tool", "uv").get("workspace"), dict):
            return data, parent
    return None


def _tables(project: Project, folder: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    yield project.data, folder
    found = workspace_of(folder)
    if found is not None and found[1] != folder:
        yield found


def _origin(
    one: dict[str, Any], name: str, data: dict[str, Any], base: Path, place: Place, where: str
) -> Need:
    if "index" in one:
        return Need(name=name, index=_index(data, str(one["index"]), where), where=where)
    if one.get("workspace"):
        address = str(_member(name, base, where))
    elif "git" in one:
        revision = next((f"@{one[key]}" for key in ("rev", "tag", "branch") if key in one), "")
        address = f"git+{one['git']}{revision}"
    else:
        address = next((str(one[key]) for key in ("url", "path") if key in one), "")
    if not address:
        raise SeatrialError(
            f"where {name} comes from cannot be read", where=where, fix="correct `tool.uv.sources`"
        )
    if "subdirectory" in one:
        address += f"#subdirectory={one['subdirectory']}"
    editable = bool(one.get("editable")) or bool(one.get("workspace"))
    location = read_location(f"{name} @ {address}", base, place.root, where, editable=editable)
    return Need(name=name, location=location, where=where)


def _index(data: dict[str, Any], name: str, where: str) -> str:
    listed = table_of(data, "tool", "uv").get("index")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("name") == name and isinstance(one.get("url"), str):
            return str(one["url"])
    raise SeatrialError(
        f"there is no index {name!r}", where=where, why="`tool.uv.sources` names it",
        fix="add it as `[[tool.uv.index]]` with its name and url",
    )  # fmt: skip


def _member(name: str, base: Path, where: str) -> Path:
    """The folder of a workspace's member by its name."""
    from seatrial.sources import text, toml
    from seatrial.sources.text import SourceError

    found = workspace_of(base)
    if found is not None:
        data, root = found
        patterns = table_of(data, "tool", "uv", "workspace").get("members")
        listed = [path for one in patterns or () for path in sorted(root.glob(str(one)))]
        for folder in (root, *listed):
            try:
                member = toml.read(text.read(folder / "pyproject.toml"))
            except SourceError:
                continue
            if normalised(str(table_of(member, "project").get("name", ""))) == name:
                return folder
    raise SeatrialError(
        f"{name} is no member of the workspace", where=where, fix="correct `tool.uv.workspace.members`"
    )
