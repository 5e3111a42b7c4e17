"""The root command and its table of subcommands."""

from __future__ import annotations

import importlib
import os
import sys
from typing import ClassVar

import click

from seatrial.cli.failure import report_failure

# name: (module, attribute, one line for --help). Modules are imported when their command runs.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "check": ("seatrial.cli.check", "check", "Find what is wrong in a repository, and fix it."),
    "ship": ("seatrial.cli.ship", "ship", "Check, build, test, push, deploy and verify one project."),
    "image": ("seatrial.cli.image", "image", "Assemble, run, test and push images."),
    "build": ("seatrial.cli.build", "build", "Run a buildspec here as CodeBuild would."),
    "deploy": ("seatrial.cli.deploy", "deploy", "Check appspecs, and deploy bundles to hosts."),
    "runs": ("seatrial.cli.runs", "runs", "List, show, follow, stop and resume runs."),
    "explain": ("seatrial.cli.explain", "explain", "Say why something failed, from its log."),
    "rules": ("seatrial.cli.rules", "rules", "List and explain the rules behind findings."),
    "doctor": (
        "seatrial.cli.doctor",
        "doctor",
        "Say what this machine has, what it is for, and how to get the rest.",
    ),
    "schema": ("seatrial.cli.schema", "schema", "Print the JSON Schema of seatrial.yaml."),
    "cache": ("seatrial.cli.cache", "cache", "Show and prune what can be made again."),
    "completion": ("seatrial.cli.completion", "completion", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line help without importing them."""

    table: ClassVar[dict[str, tuple[str, str, str]]] = COMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self.table:
            return None
        module, attribute, _ = self.table[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.table and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self.table, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, _, help_line) in self.table.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example: seatrial check .",
)
@click.version_option(package_name="seatrial", message="seatrial %(version)s")
def root() -> None:
    """Check, build, test, push, deploy and keep re-verifying ML container images."""


def run() -> None:
    """Run the root command; every way it can end has its exit code."""
    try:
        code = root.main(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away (`seatrial runs list | head`): keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except BaseException as error:  # noqa: BLE001 - the outermost frame turns everything into an exit code
        # click has met a closed pipe itself, wrapped stdout and asked for exit code 1.
        code = 0 if type(sys.stdout).__name__.endswith("PacifyFlushWrapper") else report_failure(error)
    raise SystemExit(code if isinstance(code, int) else 0)
