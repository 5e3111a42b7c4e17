"""UPLOAD_ARTIFACTS: what is taken from the workspace when the commands are done."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds import state
from seatrial.builds.downloading import expanded, view
from seatrial.builds.log import Log, phase
from seatrial.builds.setup import Place, Wanted
from seatrial.files import remove_tree, write_atomic

if TYPE_CHECKING:
    from seatrial.builds.artifacts import S3, Collected, Folder, Zip
    from seatrial.builds.model import Artifacts
    from seatrial.engine.call import Context

_LARGEST = 1 << 20
"""Bytes of a report in the run itself; of a larger one only the sums are, and all of it in its file."""


def reports(
    context: Context,
    wanted: dict[str, Any],
    place: dict[str, Any],
    container: str,  # noqa: ARG001 - the engine's
) -> dict[str, Any]:
    """Read the report files. A report that fails is no failure of the build, as in CodeBuild."""
    from seatrial.builds import test_reports

    build, there = msgspec.convert(wanted, Wanted), msgspec.convert(place, Place)
    log = Log(state.masked(there))
    folder = Path(build.reports_to) if build.reports_to else context.journal.folder(context.run) / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for group in build.reports:
        log.say(f"Preparing to copy report {group.name}")
        report = test_reports.read(group, Path(there.inside_sources), view=view(build, there))
        for line in report.log:
            log.say(line)
        held = test_reports.data(report)
        file = folder / f"{group.name.replace('/', '_').replace(':', '_')}.json"
        text = msgspec.json.encode(held)
        write_atomic(file, log.text(text.decode()))
        if len(text) > _LARGEST:
            held = {**held, "cases": [], "coverage": []}
        found.append({**held, "file": str(file)})
        log.show(test_reports.text([report]).encode())
    log.end()
    return {"reports": msgspec.json.decode(log.text(msgspec.json.encode(found).decode()))}


def artifacts(
    context: Context, wanted: dict[str, Any], place: dict[str, Any], container: str
) -> dict[str, Any]:
    """Collect each artifact and put it where it was asked for, else beside the run's logs."""
    from seatrial.builds import artifacts as packing

    build, there = msgspec.convert(wanted, Wanted), msgspec.convert(place, Place)
    files: dict[str, list[str]] = {}
    at: dict[str, str] = {}
    with phase("UPLOAD_ARTIFACTS", state.masked(there)) as log:
        values = state.variables(there)
        # All are collected before any is written: of a build that fails here nothing is half there.
        parts: list[tuple[str, Artifacts, Collected]] = []
        for spec in build.artifacts:
            collected = packing.collect(
                spec,
                Path(there.sources),
                values,
                view=view(build, there),
                seen=there.inside_sources,
                packaging=build.packaging,
            )
            for line in collected.log:
                log.say(line)
            made = packing.name(spec, lambda text: expanded(there, container, text)).strip("/")
            parts.append((_free(made or spec.identifier or build.identity.project, files), spec, collected))
            files[parts[-1][0]] = list(collected.files)
        for name, spec, collected in parts:
            at[name] = _write(context, build, name, spec, collected)
            log.say(f"Uploaded {len(collected.files)} file(s) of {name} to {at[name]}")
    return {"artifacts": files, "at": at}


def _free(name: str, taken: dict[str, list[str]]) -> str:
    number, found = 2, name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found


def _write(context: Context, build: Wanted, name: str, spec: Artifacts, collected: Collected) -> str:
    from seatrial.builds import artifacts as packing
    from seatrial.cloud import s3

    if s3.is_place(build.artifacts_to):
        return packing.write(collected, _in_s3(build, name, spec)).place
    zipped = build.packaging == "ZIP"
    if zipped or not build.artifacts_to:
        top = (
            Path(build.artifacts_to)
            if build.artifacts_to
            else context.journal.folder(context.run) / "artifacts"
        )
        place = top / (f"{name}.zip" if zipped else name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not zipped:
            remove_tree(place)
        target: Zip | Folder = packing.Zip(place) if zipped else packing.Folder(place)
        return packing.write(collected, target).place
    # As in a bucket: files of the same names are replaced, others stay.
    target_folder = (
        Path(build.artifacts_to) / spec.identifier if spec.identifier else Path(build.artifacts_to)
    )
    fresh = context.folder / "artifact"
    remove_tree(fresh)
    packing.write(collected, packing.Folder(fresh))
    shutil.copytree(fresh, target_folder, symlinks=True, dirs_exist_ok=True)
    remove_tree(fresh)
    return str(target_folder)


def _in_s3(build: Wanted, name: str, spec: Artifacts) -> S3:
    from seatrial.builds import artifacts as packing
    from seatrial.cloud import s3

    place = s3.parse(build.artifacts_to)
    key = packing.key(
        path=place.key,
        name=name,
        packaging=build.packaging,
        s3_prefix=spec.s3_prefix,
        build_id=build.identity.uuid,
    )
    return packing.S3(bucket=place.bucket, key=key, packaging=build.packaging, region=build.identity.region)
