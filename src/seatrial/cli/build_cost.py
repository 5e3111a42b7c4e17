"""`seatrial build cost`: what a build costs on CodeBuild, on which compute type it should run, and what quotas leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json

if TYPE_CHECKING:
    from seatrial.builds.cost import Recommendation


@click.command(epilog="Example: seatrial build cost --minutes 20 --compute-type medium")
@click.argument("run", required=False, default="")
@click.option("--minutes", type=click.FloatRange(0), metavar="M", help="The cost of a build of M minutes.")
@click.option(
    "--compute-type",
    default="BUILD_GENERAL1_SMALL",
    show_default=True,
    metavar="T",
    help="As in a project; `medium` will do.",
)
@click.option(
    "--environment-type",
    default="LINUX_CONTAINER",
    show_default=True,
    metavar="E",
    help="As in a project; `linux`, `arm`, `gpu`, `windows` will do.",
)
@click.option("--region", default="", metavar="R", help="The region of the build, and of the quotas.")
@click.option(
    "--price",
    default="",
    metavar="DOLLARS",
    help="What a minute (on Lambda a second) costs, instead of the known price.",
)
@click.option(
    "--quotas", "with_quotas", is_flag=True, help="Show how many builds may run at once, and how many do."
)
@click.option("--offline", is_flag=True, help="With --quotas: do not ask AWS; limits are then defaults.")
@click.option(
    "--desired", type=click.IntRange(1), default=None, metavar="N", help="With --quotas: how many to ask for."
)
@json_option
@directory_option
def cost(  # noqa: PLR0917 - click passes by name
    run: str,
    minutes: float | None,
    compute_type: str,
    environment_type: str,
    region: str,
    price: str,
    with_quotas: bool,
    offline: bool,
    desired: int | None,
    as_json: bool,
) -> None:
    """Show what a build costs on CodeBuild: RUN's (default: the latest), or one of M minutes.

    For a run it also says which compute type the project's earlier runs speak for.
    """  # fmt: skip
    from seatrial.builds import cost as costs
    from seatrial.errors import UsageError

    if run and minutes is not None:
        raise UsageError("give a RUN or --minutes, not both")
    if (offline or desired) and not with_quotas:
        raise UsageError("--offline and --desired belong to --quotas")
    if with_quotas:
        if run or minutes is not None:
            raise UsageError("--quotas stands alone", fix="ask for the cost without --quotas")
        _show_quotas(region, offline, desired or 0, as_json)
        return
    advice = None
    if minutes is not None:
        found = costs.cost(compute_type, environment_type, minutes * 60, region=region, price=price)
    else:
        data, seconds, earlier = _build(run)
        found = costs.cost(compute_type, environment_type, seconds, region=region, price=price)
        samples = [one for one in (costs.sample(item) for item in earlier) if one is not None]
        advice = costs.recommend(samples, environment_type=environment_type)
        if not as_json:
            note(f"run {data['id']} took {seconds:.1f} s here; on CodeBuild it may take longer or shorter")
    if as_json:
        print_json({"cost": found, "recommendation": advice})
    else:
        click.echo(costs.text(found) + (_advice(advice) if advice else ""), nl=False)


def _build(reference: str) -> tuple[dict[str, Any], float, list[dict[str, Any]]]:
    """The run, its seconds so far, and all ended runs of its project with itself."""
    from seatrial.builds.history import earlier, find, journal
    from seatrial.clock import SystemClock

    opened = journal()
    data = find(opened, reference)
    if data["duration"] is not None:
        seconds = float(data["duration"])
    else:
        started = opened.run(data["id"])["created"]
        seconds = SystemClock().now() - started
    return data, seconds, earlier(opened, data, include=True)


def _advice(advice: Recommendation) -> str:
    from seatrial.builds.cost import dollars

    if not advice.compute_type:
        return f"no recommendation: {advice.reason}\n"
    lines = [f"recommended: {advice.compute_type} ({advice.reason})"]
    for one in advice.choices:
        why = f"  {one.against}" if one.against else ""
        lines.append(f"  {one.compute_type:26} {one.seconds:>9.1f} s {dollars(one.amount):>10}{why}")
    return "\n".join(lines) + "\n"


def _show_quotas(region: str, offline: bool, desired: int, as_json: bool) -> None:
    import os

    from seatrial.builds import quotas
    from seatrial.errors import UsageError

    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if not region:
        raise UsageError("no region is known", fix="give --region, or set AWS_REGION")
    found = quotas.quotas(region, offline=offline, desired=desired)
    if as_json:
        print_json(found)
        return
    click.echo(quotas.text(found), nl=False)
    if desired:
        for one in found.quotas:
            click.echo(one.increase)
