"""`seatrial build shell`: look around where a build failed, or waits."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click

from seatrial.cli.common import directory_option, note


@click.command(epilog="Example: seatrial build shell latest")
@click.argument("run", default="latest")
@click.argument("command", nargs=-1, metavar="[--] [CMD]...")
@directory_option
def shell(run: str, command: tuple[str, ...]) -> None:
    """Open a shell in the workspace of a build that failed or waits at a breakpoint, with its variables.

    It starts in the folder where the build's last command ended, on the host or in the build's image. Values from
    Parameter Store and Secrets Manager are not kept with a build, so they are not there. CMD runs instead of a shell.
    In an image the files are those of the build's workspace; what the build wrote elsewhere is gone.
    """
    import msgspec

    from seatrial import paths
    from seatrial.builds import executors, state
    from seatrial.builds.setup import Place, Wanted
    from seatrial.builds.shell import exports
    from seatrial.engine.journal import Journal
    from seatrial.errors import SeatrialError, UsageError

    journal = Journal(paths.home())
    run_id = journal.find(run)
    if journal.run(run_id)["kind"] != "build":
        raise UsageError(f"run {run_id} is no build", fix="`seatrial runs list --kind build` shows builds")
    prepared = journal.outputs(run_id).get("prepare")
    finalize = next(
        step
        for stage in journal.plan(run_id).stages
        for step in stage.steps
        if step.name in ("finalize", "teardown")
    )
    if prepared is None or finalize.name != "finalize":
        raise SeatrialError(f"build {run_id} never had a workspace")
    place = msgspec.convert(prepared["place"], Place)
    wanted = msgspec.convert(finalize.action.inputs["wanted"], Wanted)  # type: ignore[union-attr]
    if not Path(place.sources).is_dir():
        raise SeatrialError(
            f"the workspace of build {run_id} is gone",
            why="it is kept only when the build did not succeed",
            fix="put codebuild-breakpoint into the buildspec, and run it with --breakpoint",
        )
    live = state.has_begun(place)
    variables, folder = (
        (state.variables(place), state.folder(place)) if live else state.kept(place, state.END)
    )
    note(f"{folder} of build {run_id}" + (" (waiting; codebuild-resume lets it go on)" if live else ""))
    with tempfile.TemporaryDirectory(prefix="seatrial-shell-") as temporary:
        here = Path(place.state) if live else Path(temporary)
        name = ".shell.sh" if live else "shell.sh"
        (here / name).touch(mode=0o600)
        inside = place.inside_state if live or wanted.executor == "image" else temporary
        (here / name).write_text(f"set -a\n{exports(variables)}set +a\n", errors="surrogateescape")
        program = "bash" if wanted.env.shell == "bash" else "sh"
        start = f'. "$0"; cd "$1"; shift; if [ $# -gt 0 ]; then exec "$@"; else exec {program} -i; fi'
        line = ["/bin/sh", "-c", start, f"{inside}/{name}", folder, *command]
        env = {"TERM": os.environ.get("TERM", "dumb"), "PATH": os.environ["PATH"]}
        sys.stdout.flush()
        code = _spawn(executors.module(wanted.executor), wanted, line, Path(place.output), here, env)
    raise SystemExit(code)


def _spawn(executor, wanted, line, output: Path, here: Path, env: dict[str, str]) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Run it in a child: what holds the variables is removed afterwards."""
    import signal

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = executor.become(wanted, line, output, here, env=env)
        except BaseException as error:  # noqa: BLE001 - a forked child must not unwind into the caller's frames
            sys.stderr.write(f"{error}\n")
        finally:
            sys.stderr.flush()
            os._exit(code)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        signal.signal(signal.SIGINT, before)
