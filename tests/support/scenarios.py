"""Deployments as data: bundles, what is there before, and what must be there after each, as AWS's agent left it.

A scenario is `{"name", "pre_dest", "max_revisions", "steps": [{"files", …}], "expected": [{"result", "scripts_log", "dest",
"cleanup", "install_json", "archives"}]}` with placeholders for what differs from machine to machine.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

from support.commands import seatrial

if TYPE_CHECKING:
    from pathlib import Path

GROUP = "default-local-deployment-group"
_OPTIONS = {
    "--application-name": "--application",
    "--deployment-group-name": "--group-name",
    "--events": "--events",
    "--appspec-filename": "--appspec-filename",
    "feb": "--file-exists-behavior",
}


def replay(scenario: dict[str, Any], folder: Path) -> list[str]:
    """Go through a scenario in `folder`; returns each difference in a line, none where all is as it should be."""
    stage = _Stage(folder, scenario)
    return [
        f"step {number + 1}: {line}"
        for number, (step, expected) in enumerate(zip(scenario["steps"], scenario["expected"], strict=True))
        for line in stage.play(number, step, expected)
    ]


class _Stage:
    def __init__(self, folder: Path, scenario: dict[str, Any]) -> None:
        self.folder, self.scenario = folder, scenario
        self.root, self.dest, self.cwd = folder / "root", folder / "dest", folder / "cwd"
        for made in (self.cwd, self.dest):
            made.mkdir(parents=True)
        self.ids: list[str] = []
        if scenario.get("pre_dest") is not None:
            _write(self.dest, scenario["pre_dest"], self)

    def play(self, number: int, step: dict[str, Any], expected: dict[str, Any]) -> list[str]:
        bundle = self.folder / f"bundle{number}"
        _write(bundle, step["files"], self)
        kind = step.get("type", "directory")
        packed = pack(bundle, kind, step.get("prefix", ""))
        arguments = ["--bundle", str(packed), "--type", kind, "--root", str(self.root), "--group", GROUP]
        for key, option in _OPTIONS.items():
            if key in step:
                arguments += [option, step[key]]
        if self.scenario.get("max_revisions"):
            arguments += ["--max-revisions", str(self.scenario["max_revisions"])]
        arguments += step.get("options", [])
        done = seatrial(self.cwd, "deploy", "agent", *arguments, "--json")
        said = json.loads(done.stdout) if done.stdout else {"result": "crash", "message": done.stderr}
        self.ids.append(said.get("deployment_id", "?"))
        found = json.loads(self.shown(json.dumps(self._found(said)), bundle))
        return list(_differences(found, expected))

    def shown(self, text: str, bundle: Path) -> str:
        """With placeholders for what is this machine's."""
        for number, name in enumerate(self.ids):
            text = text.replace(name, f"<DEPLOYMENT_{number + 1}>")
        places = {bundle: "<BUNDLE>", self.root: "<ROOT_DIR>", self.dest: "<DEST>", self.cwd: "<CWD>"}
        for place, name in places.items():
            text = text.replace(str(place), name)
        return text.replace(str(self.folder), "<ROOT>")

    def _found(self, said: dict[str, Any]) -> dict[str, Any]:
        instructions = self.root / "deployment-instructions"
        here = self.root / GROUP / self.ids[-1]
        cleanup, install = instructions / f"{GROUP}-cleanup", instructions / f"{GROUP}-install.json"
        log = here / "logs" / "scripts.log"
        lines = log.read_text().splitlines() if log.exists() else []
        group = self.root / GROUP
        return {
            "said": said,
            "scripts_log": [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<TS>", line) for line in lines],
            "dest": _tree(self.dest),
            "cleanup": cleanup.read_text().splitlines() if cleanup.exists() else None,
            "install_json": json.loads(install.read_text()) if install.exists() else None,
            "archives": len(list(group.iterdir())) if group.exists() else 0,
        }


def _differences(found: dict[str, Any], expected: dict[str, Any]) -> Any:
    said = found.pop("said")
    yield from _of_result(said, expected["result"])
    for key, value in found.items():
        if key in expected and _comparable(key, value) != _comparable(key, expected[key]):
            yield f"{key} is {json.dumps(value)}, not {json.dumps(expected[key])}"


def _of_result(said: dict[str, Any], expected: str) -> Any:
    """`RESULT ok`, or `RESULT error CLASS: MESSAGE` with the diagnostics of a script that failed on the next line."""
    kind, _, rest = expected.removeprefix("RESULT ").partition(" ")
    if said["result"] != kind:
        yield f"the result is {said['result']} ({said['message']}), not {expected}"
    elif kind == "error":
        line, _, diagnostics = rest.partition("\n")
        message = re.sub(r"^[A-Z]\w*(?:::\w+)*: ", "", line)
        if said["message"] != message:
            yield f"the message is {said['message']!r}, not {message!r}"
        for key, value in json.loads(diagnostics or "{}").items():
            if said[key] != value:
                yield f"{key} is {said[key]!r}, not {value!r}"


def _comparable(key: str, value: Any) -> Any:
    """A folder's entries come in the order of its file system, which no deployment depends on."""
    if value is not None and key == "cleanup":
        return sorted(value)
    if value is not None and key == "install_json":
        return sorted(json.dumps(step, sort_keys=True) for step in value["instructions"])
    return value


def _write(folder: Path, files: dict[str, Any], stage: _Stage) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, given in files.items():
        content, mode = (given, 0o644) if isinstance(given, str) else given
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            place.symlink_to(content["link"])
            continue
        text = content.replace("<DEST>", str(stage.dest)).replace("<ROOT>", str(stage.folder))
        place.write_text(text)
        place.chmod(mode)


def pack(bundle: Path, kind: str, prefix: str = "") -> Path:
    """The folder as a bundle of a kind, with `prefix` before all names."""
    if kind == "directory":
        return bundle
    packed = bundle.with_suffix(f".{kind}")
    files = sorted(path for path in bundle.rglob("*") if path.is_symlink() or not path.is_dir())
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            for file in files:
                archive.write(file, prefix + str(file.relative_to(bundle)))
        return packed
    with tarfile.open(packed, "w:gz" if kind == "tgz" else "w") as archive:
        for file in files:
            archive.add(file, prefix + str(file.relative_to(bundle)))
    return packed


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar of members as they are given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _tree(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        status = path.lstat()
        name, mode = str(path.relative_to(folder)), oct(status.st_mode & 0o7777)
        if path.is_symlink():
            found[name] = {"link": str(path.readlink())}
        elif path.is_dir():
            found[name] = {"dir": True, "mode": mode}
        else:
            content = path.read_bytes().decode(errors="replace")
            found[name] = {"content": content, "mode": mode, "uid": status.st_uid, "gid": status.st_gid}
    return found
