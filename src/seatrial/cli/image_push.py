"""`seatrial image push`: an image to registries, under tags that are given or made from git."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.waiting import Waiting

if TYPE_CHECKING:
    from seatrial.images.pushing.order import Order, Plan
    from seatrial.images.pushing.preview import Preview
    from seatrial.images.pushing.uploads import Result

_STRATEGIES = ("auto", "semantic", "latest", "git-sha", "branch")


@click.command(epilog="Example: seatrial image push build/image 127.0.0.1:5000/team/app --strategy auto")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("references", metavar="[REF...]", nargs=-1)
@click.option(
    "--image", "name", metavar="NAME", help="Which image of seatrial.yaml says where to, without REF."
)
@click.option(
    "--tag", "tags", multiple=True, metavar="T", help="Another tag for the same image; may be given again."
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    type=click.Choice(_STRATEGIES),
    help="Make tags from git: the next version, the branch, the commit; auto decides. May be given again.",
)
@click.option(
    "--bump",
    type=click.Choice(["major", "minor", "patch"]),
    help="The next version's step, instead of what the commits since the last one ask for.",
)
@click.option(
    "--floating/--no-floating", default=None, help="Have a version 1.2.3 move the tags 1.2 and 1 too."
)
@click.option("--allow-dirty", metavar="REASON", help="Give a version to files that differ from the commit.")
@click.option("--replace", is_flag=True, help="Let a version that another image has move to this one.")
@click.option("--region", "regions", multiple=True, metavar="R", help="Push to this region of ECR as well.")
@click.option("--create/--no-create", default=None, help="Make a repository that ECR does not have.")
@click.option("--immutable", is_flag=True, help="No tag of a repository that is made may move.")
@click.option("--scan/--no-scan", "scan", default=None, help="A repository that is made scans (the default).")
@click.option("--kms-key", metavar="ARN", help="A repository that is made encrypts with this key of KMS.")
@click.option(
    "--repository-tag",
    "repository_tags",
    multiple=True,
    metavar="K=V",
    help="Tag of a repository that is made.",
)
@click.option("--platform", metavar="OS/ARCH", help="Which image of a folder that holds several.")
@click.option("--insecure", is_flag=True, help="Speak plain HTTP (on this machine that needs no option).")
@click.option("--dry-run", is_flag=True, help="Say what would be sent where and tagged how; write nothing.")
@json_option
@directory_option
def push(folder: Path, references: tuple[str, ...], name: str | None, **options: Any) -> None:
    """Push the image in FOLDER (an OCI layout) to each REF, all at once.

    Without REF, `push` in seatrial.yaml says where to and how it is tagged. Blobs that a registry has are not sent
    again, and an interrupted push goes on. Everything is verified before a tag is set. One registry that fails does
    not stop the others; the exit code is 1 then.
    """
    from seatrial.images.pushing import order as orders

    order = _order(references, name, options)
    digest = orders.digest_in(folder, options["platform"])
    plan = orders.plan(order, Path(), digest, without=[folder])
    if not options["as_json"]:
        _say_tags(plan)
    if options["dry_run"]:
        _preview(
            orders.look_ahead(plan, folder, platform=options["platform"]), plan, as_json=options["as_json"]
        )
        return
    with Waiting(quiet=options["as_json"]) as waiting:
        waiting.say("pushing")
        telling = plan._replace(settings=plan.settings._replace(point=waiting.reach))
        results = orders.carry_out(telling, folder, platform=options["platform"])
        waiting.say("taking attestations along")
        _attestations(folder, results, plan)
    _report(results, plan, as_json=options["as_json"])


def _order(references: tuple[str, ...], name: str | None, options: dict[str, Any]) -> Order:
    from seatrial.errors import UsageError
    from seatrial.images.pushing.order import Order, from_settings

    if references and name:
        raise UsageError(
            "--image names settings, and REF is given instead of them", fix="leave one of them out"
        )
    order = Order(references=references) if references else from_settings(_settings(name))
    if options["tags"]:
        order = order._replace(tags=tuple(options["tags"]), strategies=())
    if options["strategies"]:
        order = order._replace(strategies=tuple(options["strategies"]))
    wish = order.wish._replace(bump=options["bump"], dirty=options["allow_dirty"] or "")
    if options["floating"] is not None:
        wish = wish._replace(floating=options["floating"])
    if (options["bump"] or options["floating"]) and not {"auto", "semantic"}.intersection(order.strategies):
        raise UsageError("--bump and --floating are about versions", fix="add --strategy semantic")
    settings = order.settings._replace(
        insecure=options["insecure"] or order.settings.insecure, create=_create(order, options)
    )
    return order._replace(
        wish=wish,
        replace=options["replace"],
        regions=tuple(options["regions"]) or order.regions,
        settings=settings,
    )


def _attestations(folder: Path, results: list[Result], plan: Plan) -> None:
    """What `image attest` keeps in the folder goes where the image went."""
    from seatrial.images.attesting.places import carry_along

    for result in results:
        if result.pushed:
            carry_along(folder, result.pushed.reference, insecure=plan.settings.insecure)


def _settings(name: str | None) -> Any:
    """`push` of the image in seatrial.yaml."""
    from seatrial.config.load import load
    from seatrial.errors import UsageError

    images = load(Path()).images
    known = {key: image.push for key, image in images.items() if image.push.to}
    if name is not None and name not in images:
        raise UsageError(f"there is no image {name!r}", fix=f"choose one of: {', '.join(images) or 'none'}")
    chosen = [name] if name is not None else list(known)
    if len(chosen) != 1 or chosen[0] not in known:
        raise UsageError(
            f"several images say where to: {', '.join(chosen)}"
            if len(chosen) > 1
            else "where to is not said",
            why=None if len(chosen) > 1 else "there is no REF, and no `push.to` in seatrial.yaml",
            fix="choose one with --image" if len(chosen) > 1 else "give REGISTRY/REPOSITORY:TAG",
        )
    return known[chosen[0]]


def _create(order: Order, options: dict[str, Any]) -> Any:
    import msgspec

    from seatrial.cloud.ecr import NewRepository
    from seatrial.errors import UsageError

    said = [options["immutable"], options["scan"] is not None, options["kms_key"], options["repository_tags"]]
    wanted = order.settings.create
    if options["create"] is not None:
        wanted = (wanted or NewRepository()) if options["create"] else None
    if wanted is None:
        if any(said):
            raise UsageError("these options say how a repository is made, but none is", fix="add --create")
        return None
    changes: dict[str, Any] = {"immutable": True} if options["immutable"] else {}
    if options["scan"] is not None:
        changes["scan_on_push"] = options["scan"]
    if options["kms_key"]:
        changes |= {"encryption": "KMS", "kms_key": options["kms_key"]}
    if options["repository_tags"]:
        pairs = [text.partition("=") for text in options["repository_tags"]]
        if not all(key and equals for key, equals, _ in pairs):
            raise UsageError("--repository-tag is KEY=VALUE", fix="write it as --repository-tag team=vision")
        changes["tags"] = {key: value for key, _, value in pairs}
    return msgspec.structs.replace(wanted, **changes)


def _say_tags(plan: Plan) -> None:
    for chosen in plan.decision.tags if plan.decision else ():
        note(f"tag {chosen.tag}: {chosen.why}")
    for line in plan.decision.notes if plan.decision else ():
        note(f"note: {line}")


def _report(results: list[Result], plan: Plan, *, as_json: bool) -> None:
    from seatrial.errors import ANSWER_IS_NO, MISSING, MissingToolError
    from seatrial.reports.units import size

    failed = [result for result in results if result.error]
    if as_json:
        print_json(
            {
                "pushed": [result.pushed for result in results if result.pushed],
                "failed": [_failure(result) for result in failed],
                "decision": plan.decision,
            }
        )
    for result in results if not as_json else ():
        if result.pushed:
            done = result.pushed
            click.echo(done.reference)
            names = f", tags {', '.join(done.tags)}" if done.tags else ""
            made = ", repository made" if done.created else ""
            sent, reused = size(done.pushed_bytes), size(done.reused_bytes)
            note(f"  sent {sent}, was there {reused}, {done.seconds:.1f} s{names}{made}")
        elif len(results) > 1:
            note(f"failed: {result.reference}\n  {str(result.error).replace(chr(10), chr(10) + '  ')}")
    if failed and len(results) == 1 and failed[0].error:
        raise failed[0].error
    if failed:
        lacking = all(isinstance(result.error, MissingToolError) for result in failed)
        raise click.exceptions.Exit(MISSING if lacking else ANSWER_IS_NO)


def _failure(result: Result) -> dict[str, Any]:
    error = result.error
    assert error is not None  # noqa: S101 - only failures are asked for
    told = {"what": error.what, "where": error.where, "why": error.why, "fix": error.fix}
    return {"reference": result.reference, "error": told}


def _preview(found: list[Preview], plan: Plan, *, as_json: bool) -> None:
    from seatrial.errors import ANSWER_IS_NO
    from seatrial.reports.units import size

    if as_json:
        print_json({"would_push": found, "decision": plan.decision})
    for one in found if not as_json else ():
        click.echo(f"{one.reference}@{one.digest}")
        if one.error:
            note("  would fail: " + one.error.replace("\n", "\n  "))
            continue
        state = "" if one.repository == "there" else f", repository {one.repository}"
        note(
            f"  would send {len(one.send)} blobs, {size(one.send_bytes)}; {size(one.reused_bytes)} is there{state}"
        )
        for move in one.tags:
            came = f"moves from {move.now}" if move.now else "is new"
            note(f"  tag {move.tag} {came if move.moves else 'points to it already'}")
    if any(one.error for one in found):
        raise click.exceptions.Exit(ANSWER_IS_NO)
