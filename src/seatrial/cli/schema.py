"""`seatrial schema`: the JSON Schema of seatrial.yaml."""

from __future__ import annotations

import click

from seatrial.cli.common import print_json


@click.command(epilog="Example: seatrial schema > seatrial.schema.json")
@click.option("--json", "_as_json", is_flag=True, help="The schema is JSON with and without this option.")
def schema(_as_json: bool) -> None:
    """Print the JSON Schema of seatrial.yaml.

    An editor that speaks the YAML language server checks the file as you type when its first line is
    `# yaml-language-server: $schema=seatrial.schema.json`.
    """
    from seatrial.config import schema as of_settings

    print_json(of_settings())
