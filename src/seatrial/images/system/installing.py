"""Installing Debian packages into a base: under an overlay, in namespaces of their own."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import locks, processes
from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images import runtime
from seatrial.images.rootfs import locate, merged
from seatrial.images.runtimes.copying import copied
from seatrial.images.runtimes.local import MOST_LAYERS
from seatrial.images.runtimes.probe import required
from seatrial.images.system import apt, failures, machine
from seatrial.images.system.difference import write_difference
from seatrial.images.system.processors import architecture as own_architecture
from seatrial.images.system.processors import registrations
from seatrial.images.system.running import CANNOT, Task, in_namespaces, started, within
from seatrial.images.system.sources import (
    AptSettings,
    Source,
    keyrings,
    parse,
    render,
    through_mirrors,
    without_passwords,
)
from seatrial.images.target import parse_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.assemble.layer import WrittenLayer
    from seatrial.images.bases import Base
    from seatrial.images.rootfs import Root


def make_layer(
    base: Base, packages: tuple[str, ...], what: str, folder: Path, point: Callable[[str], None]
) -> None:
    """Install `packages` and write the base's image with one more layer, called `what`, to `folder`/layout.

    Raises:
        SeatrialError: the base has no apt, the packages cannot be had, or one of their scripts fails.
        MissingToolError: this machine lacks bwrap, user namespaces, a range of ids or an emulator.
    """
    support = required()
    root = runtime.prepare(base.layout, base.digest)
    _check_base(root, base)
    with ExitStack() as stack:
        for layer in root.layers:
            stack.enter_context(_held(root, layer))
        whole = support.overlay and len(root.layers) <= MOST_LAYERS
        place = folder / "root" if whole else Path(stack.enter_context(copied(root)))
        task = _task(root, place, folder, packages, base.platform, overlay=whole)
        written = _run(task, folder, base, packages, point)
    _write_layout(folder, base, written, what)


@contextmanager
def _held(root: Root, layer: str) -> Iterator[None]:
    with locks.locked(Path(root.store) / "locks" / layer, shared=True):
        if not root.folder(layer).is_dir():
            raise SeatrialError(
                f"layer {layer} was removed from the layer store", fix="run the command again"
            )
        yield


def _check_base(root: Root, base: Base) -> None:
    for program in ("/usr/bin/apt-get", "/usr/bin/dpkg", "/var/lib/dpkg/status"):
        if locate(root, program)[1] is None:
            raise SeatrialError(
                f"Debian packages cannot be installed into {base.name}", why=f"it has no {program}",
                fix="choose a base made of Debian or Ubuntu, or leave `packages` out",
            )  # fmt: skip


def _task(
    root: Root, place: Path, folder: Path, packages: tuple[str, ...], platform: str, *, overlay: bool
) -> Task:
    architecture = parse_platform(platform)
    settings = machine.apt_settings()
    sources = through_mirrors(_base_sources(root), settings.sources, architecture, own_architecture())
    places = _places(root, place, folder, settings, sources)
    return Task(
        store=f"{root.store}/layers",
        layers=tuple(reversed(root.layers)) if overlay else (),
        root=str(place),
        work=str(folder),
        before={
            path: (e.kind, e.mode, e.uid, e.gid, e.link, layer)
            for path, (layer, e) in sorted(merged(root).items())
            if path
        },
        steps=apt.steps(places, packages, sources=bool(sources)),
        compile=apt.compiling(places),
        log=str(folder / "log"),
    )


def _base_sources(root: Root) -> list[Source]:
    listed = {path for path in merged(root) if path.startswith("etc/apt/sources.list")}
    texts = []
    for path in sorted(listed):
        _, file = locate(root, f"/{path}")
        if path.endswith((".list", ".sources")) and file is not None and file.is_file():
            texts.append((path, file.read_text("utf-8", "replace")))
    return parse(texts)


def _places(
    root: Root, place: Path, folder: Path, settings: AptSettings, sources: list[Source]
) -> apt.Places:
    """Write apt's settings into `folder` and say what is mounted where."""
    for name in ("root", "lists/partial", "archives/archives/partial", "online", "offline"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    policy = folder / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    options, files = _reached(settings)
    files += [(path, path) for path in ("/etc/hosts", "/etc/resolv.conf") if Path(path).is_file()]
    files += [
        (path, path)
        for path in sorted(keyrings(sources))
        if locate(root, path)[1] is None and Path(path).is_file()
    ]
    text = render(sources)
    for name, conf, listed in (
        ("online", machine.conf(options), text),
        ("offline", "", without_passwords(text)),
    ):
        machine.write_private(folder / name / "apt.conf", conf)
        machine.write_private(folder / name / "list.sources", listed)

    def bind(source: Path | str, target: str, *, writable: bool = False) -> tuple[str, str, bool]:
        return str(Path(source).resolve()), locate(root, target)[0], writable

    return apt.Places(
        bwrap=processes.find("bwrap"),
        root=str(place),
        binds=(
            bind(folder / "lists", apt.LISTS, writable=True),
            bind(folder / "archives", apt.ARCHIVES, writable=True),
            bind(policy, apt.POLICY),
        ),
        # Writable, since the places of other files are made in it.
        online=(bind(folder / "online", apt.SETTINGS, writable=True), *(bind(*file) for file in files)),
        offline=(bind(folder / "offline", apt.SETTINGS),),
    )


def _reached(settings: AptSettings) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Options of apt in the root, and files of this machine with the place where they expect them."""
    options, files = [], []
    for number, (name, value) in enumerate(settings.options):
        if not machine.names_file(name):
            options.append((name, value))
        elif Path(value).is_file():
            files.append((value, f"{apt.SETTINGS}/file{number}"))
            options.append((name, f"{apt.SETTINGS}/file{number}"))
    for number, path in enumerate(settings.credentials):
        files.append((path, f"{apt.SETTINGS}/auth/{number}.conf"))
    if settings.credentials:
        options.append(("Dir::Etc::netrcparts", f"{apt.SETTINGS}/auth/"))
    return options, files


def _run(
    task: Task, folder: Path, base: Base, packages: tuple[str, ...], point: Callable[[str], None]
) -> WrittenLayer:
    file = folder / "task.json"
    file.write_bytes(msgspec.json.encode(task))
    argv = in_namespaces(within(file), registrations(base.platform))
    with started(argv, folder / "errors") as process, (folder / "blob").open("wb") as out:
        written = write_difference(process.stdout, out) if process.stdout else None
        code = process.wait()
    if code != 0 or written is None:
        raise failures.explain(
            code == CANNOT, (folder / "errors").read_text("utf-8", "replace"),
            (folder / "log").read_text("utf-8", "replace") if (folder / "log").exists() else "", base.name, packages,
        )  # fmt: skip
    point("packages/installed")
    return written


def _write_layout(folder: Path, base: Base, written: WrittenLayer, what: str) -> None:
    """The base's image with one more layer."""
    layout = folder / "layout"
    oci.create(layout)
    image = oci.read_image(base.layout, digest=base.digest)
    for layer in image.manifest.layers:
        oci.link_blob(layout, layer.digest, oci.blob_path(base.layout, layer.digest))
    shutil.move(folder / "blob", oci.blob_path(layout, written.digest))
    config = _extended(image.config, len(image.manifest.layers), written.diff_id, what)
    lower = [
        oci.Descriptor(oci.LAYER_GZIP if "gzip" in d.media_type else d.media_type, d.digest, d.size)
        for d in image.manifest.layers
    ]
    manifest = oci.Manifest(
        config=oci.add_blob(layout, oci.encode(config), oci.CONFIG),
        layers=(*lower, oci.Descriptor(oci.LAYER_GZIP, written.digest, written.size)),
    )
    platform = oci.Platform(architecture=config["architecture"], os=config.get("os", "linux"))
    top = oci.add_blob(layout, oci.encode(manifest), oci.MANIFEST, platform=platform)
    oci.set_index(layout, oci.Index(manifests=(top,)))


def _extended(config: dict[str, Any], layers: int, diff_id: str, what: str) -> dict[str, Any]:
    diff_ids = list((config.get("rootfs") or {}).get("diff_ids") or ())
    history = list(config.get("history") or ())
    created = config.get("created") or "1980-01-01T00:00:00Z"
    if sum(not one.get("empty_layer") for one in history) != layers:
        history = [{"created": created, "created_by": "base"}] * layers
    return config | {
        "history": [*history, {"created": created, "created_by": what}],
        "rootfs": {"type": "layers", "diff_ids": [*diff_ids, diff_id]},
    }
