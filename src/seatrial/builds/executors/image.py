"""An image: commands run as root in its root, under bwrap, runc, Docker or Podman.

Its ENTRYPOINT is not run, as in CodeBuild. Of this machine they see the build's folders, at the places where they
are in CodeBuild; what they write elsewhere is gone with the container. Without a range of ids (root, or an entry in
/etc/subuid) there is one user only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.builds import environment
from seatrial.builds.worker import WORKER

if TYPE_CHECKING:
    from seatrial.builds.setup import Wanted
    from seatrial.images.runtime import Launch, Root

OUTPUT = "/codebuild/output"
STATE = "/codebuild/output/tmp"


def seen(output: Path, state: Path) -> tuple[str, str]:  # noqa: ARG001 - the contract's
    """Where CodeBuild has them."""
    return OUTPUT, STATE


def base(wanted: Wanted) -> dict[str, str]:
    """The image's own variables. What this machine passes on for reaching the network comes with the container."""
    passed = environment.passed(os.environ, credentials=wanted.credentials)
    kept = ("LC_CTYPE", "TZ", *(environment.CREDENTIALS if wanted.credentials else ()))
    own = dict(str(item).partition("=")[::2] for item in _root(wanted).settings.get("Env") or [])
    return {**{name: passed[name] for name in kept if name in passed}, **own}


def home() -> str:
    """Root's."""
    return "/root"


def unset() -> tuple[str, ...]:
    """The container inherits nothing."""
    return ()


def argv(wanted: Wanted, output: Path, state: Path) -> list[str]:
    """A Python that becomes the loop in the image."""
    layout, digest = wanted.image
    _root(wanted)
    return [
        *(sys.executable, "-m", __name__, layout, digest, wanted.runtime),
        *(str(output), str(state), "/bin/sh", f"{STATE}/{WORKER}"),
    ]


def become(wanted: Wanted, line: list[str], output: Path, state: Path, *, env: dict[str, str]) -> int:
    """Turn this process into a program in the image, in the build's workspace."""
    from seatrial.images import runtime

    return runtime.become(
        _root(wanted),
        line,
        _launch(output, state, env=env, terminal=sys.stdin.isatty()),
        backend=_backend(wanted.runtime),
    )


def _root(wanted: Wanted) -> Root:
    from seatrial.images import runtime

    layout, digest = wanted.image
    return runtime.prepare(Path(layout), digest)


def _launch(
    output: Path, state: Path, *, env: dict[str, str] | None = None, terminal: bool = False
) -> Launch:
    from seatrial.images.runtime import Bind, Launch

    return Launch(
        env=env or {},
        user="0",
        workdir="/",
        entrypoint=(),
        binds=(Bind(str(output), OUTPUT, read_only=False), Bind(str(state), STATE, read_only=False)),
        init=True,
        die_with_parent=False,
        terminal=terminal,
    )


def _backend(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a Literal of a module imported late
    from seatrial.images import runtime

    return name or runtime.DEFAULT


def _main() -> int:
    from seatrial.errors import SeatrialError
    from seatrial.images import runtime

    layout, digest, backend, output, state, *line = sys.argv[1:]
    try:
        root = runtime.prepare(Path(layout), digest)
        return runtime.become(root, line, _launch(Path(output), Path(state)), backend=_backend(backend))
    except SeatrialError as error:
        sys.stderr.write(f"{error}\n")
        return runtime.CANNOT_START


if __name__ == "__main__":
    raise SystemExit(_main())
