"""One build: prepare, run, take out, search. Whether it failed is an answer here; `repair` decides what then."""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import layout as oci
from seatrial.images.attesting import builds
from seatrial.images.builders import history
from seatrial.images.builders.finish import Finished, finish
from seatrial.images.builders.model import Built, Ended, Request, Step
from seatrial.images.builders.naming import Naming
from seatrial.images.builders.passing import Passing, Wanted, gather
from seatrial.images.builders.prepare import prepare
from seatrial.images.builders.replaced import replaced
from seatrial.masking import Mask, hide_known
from seatrial.sources.dockerfile import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seatrial.images.assemble.store import Use
    from seatrial.images.builders.model import Builder
    from seatrial.sources.text import Source


# What the configuration of an OCI image has no place for.
_DOCKERS = ("SHELL", "HEALTHCHECK", "ONBUILD")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants built. `context` is the folder, `bases` are layouts by the name that FROM has.

    `arguments` are build arguments; one without a value (None) takes it from the environment.
    """

    context: Path
    target: str = ""
    platform: str = ""
    arguments: dict[str, str | None] = {}
    bases: dict[str, Path] = {}
    wanted: Wanted = Wanted()
    network: str = ""
    isolation: str = ""
    fresh: bool = False
    project: str = ""


class Watching(msgspec.Struct, frozen=True, kw_only=True):
    """Who hears of what goes on: each step that begins or ends, and each line that is said."""

    step: Callable[[Step], None] = lambda _step: None
    line: Callable[[str], None] = lambda _line: None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one try: the image, or how it failed."""

    ended: Ended
    built: Built | None = None


def build(
    order: Order, dockerfile: Source, builder: Builder, out: Path, work: Path, use: Use, *, watching: Watching
) -> Outcome:
    """Build once. `dockerfile` is the text to be built, `work` an empty folder, `out` an empty layout's place.

    Raises:
        SeatrialError: the builder cannot be used so, or a value that was passed is in the image: then nothing is left.
        UsageError: an argument, secret or base is given wrongly.
    """
    started = time.monotonic()
    private = work / "passed"
    private.mkdir(mode=0o700)
    capable = builder.capable()
    passing, notes = _passing(order, capable, private)
    local = {name: _local_name(layout) for name, layout in order.bases.items()}
    prepared = prepare(dockerfile, passing, capable, local)
    copy = work / "Dockerfile"
    copy.write_bytes(msgspec.structs.replace(dockerfile, text=prepared.text).encoded())
    _copy_ignore(order.context, work)
    request = Request(
        context=order.context,
        dockerfile=copy,
        target=order.target,
        platform=order.platform,
        arguments=_arguments(order.arguments, passing),
        secrets=passing.files,
        bases={name: order.bases[asked] for name, asked in prepared.bases.items()},
        network=order.network,
        isolation=order.isolation,
        fresh=order.fresh,
        project=order.project,
        form="docker" if any(one.keyword in _DOCKERS for one in read(dockerfile).instructions) else "oci",
    )
    ended = _run(request, builder, passing, dockerfile, work, watching)
    history.remember(builder.NAME, ended.steps)
    if ended.code != 0:
        return Outcome(ended=ended)
    raw = work / "raw"
    builder.export(work, raw)
    done = finish(raw, out, list(order.bases.values()), passing, prepared.bases, source_date_epoch())
    if done.leaks:
        raise leaked(done.leaks)
    steps, below = _sized(ended.steps, done, out)
    built = Built(
        digest=done.digest,
        layout=out,
        builder=builder.NAME,
        version=builder.version(),
        size=sum(one.descriptor.size for one in done.layers),
        steps=steps,
        seconds=time.monotonic() - started,
        replaced=replaced(out, below, use),
        notes=tuple(notes),
    )
    _remember(order, dockerfile, built)
    return Outcome(ended=ended, built=built)


def _remember(order: Order, dockerfile: Source, built: Built) -> None:
    """For the provenance: what was built by what."""
    builds.remember(
        built.digest,
        builds.Build(
            builder=built.builder,
            version=built.version,
            dockerfile=dockerfile.path.rpartition("/")[2],
            sha256=hashlib.sha256(dockerfile.encoded()).hexdigest(),
            target=order.target,
            platform=order.platform,
            bases={name: oci.read_image(layout).digest for name, layout in order.bases.items()},
            arguments=tuple(sorted(order.arguments)),
        ),
    )


def _passing(order: Order, capable: frozenset[str], private: Path) -> tuple[Passing, list[str]]:
    """What is passed to a builder that can do so much, and what is to be said about it."""
    if "remote" in capable:
        nothing = Wanted(certificates=False, proxies=False, indexes=False, secrets=order.wanted.secrets)
        return gather(nothing, private), [
            "certificates, proxies and indexes of this machine stay here: the build ran elsewhere"
        ]
    passing = gather(order.wanted, private)
    if "mounts" in capable:
        return passing, list(passing.notes)
    if order.wanted.secrets:
        raise UsageError(
            "this builder cannot mount secrets", why="it is Docker's older builder",
            fix="install the buildx plugin, or build with --builder buildah",
        )  # fmt: skip
    said = "Docker's older builder cannot mount files: certificates and package indexes were not passed"
    return passing, [*passing.notes, said]


def leaked(leaks: tuple[str, ...]) -> SeatrialError:
    """What is said when a value of this machine is in the image. The value itself is not."""
    more = f" and {len(leaks) - 1} more" if len(leaks) > 1 else ""
    return SeatrialError(
        f"the image holds what must not leave this machine: {leaks[0]}{more}",
        why="a step of the Dockerfile copied it; a later step that deletes it leaves it in its layer",
        fix="take the step that writes it out of the Dockerfile: certificates, proxies and indexes are mounted by themselves",
    )


def source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH in seconds, None when it is not set."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not text.isdigit():
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {text!r}", fix="set it to whole seconds since 1970, or unset it"
        )
    return int(text)


def _local_name(layout: Path) -> str:
    """A name of our own for a base, after its content."""
    return f"localhost/seatrial/base:{oci.read_image(layout).manifest.config.digest[7:23]}"


def _arguments(asked: Mapping[str, str | None], passing: Passing) -> dict[str, str]:
    """Build arguments with their values; proxies are among them unless the user gives them."""
    found = dict(passing.environment)
    for name, value in asked.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise UsageError(f"{name!r} is no name of a build argument", fix="write --build-arg NAME=VALUE")
        if value is None and name not in os.environ:
            continue  # as every builder does: the default of the Dockerfile holds
        found[name] = os.environ[name] if value is None else value
    return found


def _copy_ignore(context: Path, work: Path) -> None:
    """BuildKit looks for the ignored patterns beside the Dockerfile first, so a Dockerfile's own stay its own."""
    for name in ("Dockerfile.dockerignore", ".dockerignore"):
        if (context / name).is_file():
            (work / "Dockerfile.dockerignore").write_bytes((context / name).read_bytes())
            return


def _run(
    request: Request, builder: Builder, passing: Passing, source: Source, work: Path, watching: Watching
) -> Ended:
    started = time.monotonic()
    # A certificate is no secret, and masking its lines would hide nothing.
    values = [
        mark.value.decode("utf-8", "replace") for mark in passing.marks if "certificate" not in mark.kind
    ]
    mask = Mask(values)
    reader = builder.lines()
    named = Naming(source, request.dockerfile.read_text("utf-8"))
    times = history.known()
    lines: list[str] = []

    def shown(step: Step, at: int) -> Step | None:
        found = named.named(step, at)
        if found is None:
            return None
        text = hide_known(mask.text(found.instruction))
        expected = times.get(history.key(builder.NAME, text), 0.0)
        return msgspec.structs.replace(found, instruction=text, expected=expected)

    def changed(at: int) -> None:
        if step := shown(reader.steps[at], at):
            watching.step(step)

    def watch(line: str) -> None:
        said = reader.line(line, time.monotonic())
        if said and not named.ours(said):
            text = hide_known(mask.text(named.plain(said)))
            lines.append(text)
            watching.line(text)

    reader.changed = changed
    code = builder.build(request, work, watch)
    reader.finish(code, time.monotonic())
    steps = tuple(step for at, one in enumerate(reader.steps) if (step := shown(one, at)))
    return Ended(code=code, steps=steps, log="\n".join(lines) + "\n", seconds=time.monotonic() - started)


_EMPTY = ("FROM", "ARG", "ENV", "LABEL", "CMD", "ENTRYPOINT", "USER", "EXPOSE", "SHELL", "STOPSIGNAL", "HEALTHCHECK", "ONBUILD", "VOLUME", "MAINTAINER")  # fmt: skip


def _sized(steps: tuple[Step, ...], done: Finished, out: Path) -> tuple[tuple[Step, ...], int]:
    """Steps with the bytes of their layers, and how many layers are the base's.

    The last layers belong to the last steps that write files. WORKDIR makes a layer in some builders and none in
    others, so it gets one only where the history says so.
    """
    config = oci.read_image(out).config
    written = [str(e.get("created_by")) for e in config.get("history") or [] if not e.get("empty_layer")]
    layers = list(done.layers)
    written = written[-len(layers) :] if len(written) >= len(layers) else [""] * len(layers)
    found = list(steps)
    for at in range(len(found) - 1, -1, -1):
        word = found[at].instruction.split(maxsplit=1)[0].upper() if found[at].instruction else ""
        if word == "FROM" or not layers or not layers[-1].own:
            break
        if word in _EMPTY or (word == "WORKDIR" and "WORKDIR" not in written[len(layers) - 1]):
            continue
        found[at] = msgspec.structs.replace(found[at], size=layers.pop().size)
    return tuple(found), len(layers)


def context_key(context: Path) -> str:
    """What a folder's image is kept under."""
    return hashlib.sha256(f"build\0{context.resolve()}".encode()).hexdigest()[:16]
