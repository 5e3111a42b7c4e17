"""`seatrial completion`: the script that teaches a shell our commands and options."""

from __future__ import annotations

import sys

import click


@click.command(
    epilog="Example: seatrial completion bash > ~/.local/share/bash-completion/completions/seatrial"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash  eval "$(seatrial completion bash)"     in ~/.bashrc
    zsh   eval "$(seatrial completion zsh)"      in ~/.zshrc
    fish  seatrial completion fish | source      in ~/.config/fish/config.fish
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from click.shell_completion import get_completion_class

    from seatrial.cli.root import root

    found = get_completion_class(shell)
    if found is None:  # pragma: no cover - click ships all three
        raise click.UsageError(f"click has no completion for {shell}")
    # click's bash class asks the installed bash for its version; the script itself is the same everywhere.
    script = found.source_template % found(root, {}, "seatrial", "_SEATRIAL_COMPLETE").source_vars()
    sys.stdout.write(script + "\n")
