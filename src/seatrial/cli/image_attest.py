"""`seatrial image attest`: say what an image is made of, sign it, and keep it beside the image."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.image_source import METAVAR, find_image, is_reference, source_options
from seatrial.cli.waiting import Waiting

if TYPE_CHECKING:
    from seatrial.images.attesting.attest import Document
    from seatrial.images.attesting.keys import PrivateKey
    from seatrial.images.attesting.places import Place
    from seatrial.images.layout import Image

_FILE = click.Path(path_type=Path, dir_okay=False)
_VARIABLE = "SEATRIAL_KEY_PASSPHRASE"


@click.command(epilog="Example: seatrial image attest registry.example/team/app:1.0 --key release.key")
@click.argument("source", metavar=f"[{METAVAR}]", required=False)
@click.option(
    "--only",
    "forms",
    multiple=True,
    type=click.Choice(["cyclonedx", "spdx", "provenance"]),
    help="Only this: a bill of materials in one of two forms, or where the image comes from. May be given again.",
)
@click.option("--full", is_flag=True, help="List every file that no package owns, also where there are many.")
@click.option(
    "--key", type=_FILE, metavar="FILE", help="Sign with this private key; with --verify the public one."
)
@click.option(
    "--passphrase-file",
    type=_FILE,
    metavar="FILE",
    help=f"The key's passphrase; else from {_VARIABLE}, else asked for.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the documents to this folder instead of attaching them.",
)
@click.option(
    "--verify", is_flag=True, help="Verify what is attached with --key instead; 1 when nothing valid is."
)
@click.option("--new-key", type=_FILE, metavar="FILE", help="Make a key pair instead: FILE and FILE.pub.")
@click.option(
    "--key-type",
    type=click.Choice(["ecdsa-p256", "ed25519"]),
    default="ecdsa-p256",
    show_default=True,
    help="What --new-key makes.",
)
@source_options
@json_option
@directory_option
def attest(source: str | None, **options: Any) -> None:
    """Say what an image is made of, and attach that to the image.

    Bills of materials (CycloneDX 1.6 and SPDX 2.3) come from the layers themselves; nothing of the image is started.
    Provenance (SLSA v1) is there for images that this machine made. With --key all of it is signed as well, in a
    form that cosign verifies. In a registry everything is attached as OCI referrers, in a folder it lies beside the
    image and `image push` takes it along. Attesting again changes nothing.
    """
    from seatrial.errors import UsageError

    if options["new_key"] is not None:
        if source is not None or options["verify"] or options["key"]:
            raise UsageError("--new-key only makes a key", fix="leave out the image and the other options")
        _make_key(options)
        return
    if source is None:
        raise UsageError("which image is not said", fix="give a folder or a reference, or --new-key FILE")
    if options["verify"]:
        _verify(source, options)
    else:
        _attest(source, options)


def _make_key(options: dict[str, Any]) -> None:
    from seatrial.images.attesting import keys

    path: Path = options["new_key"]
    passphrase = _passphrase(options, confirm=True)
    made = keys.make_key(path, passphrase or "", kind=options["key_type"])
    if options["as_json"]:
        print_json({"key": path, "public_key": f"{path}.pub", "type": made.kind, "id": made.identity})
        return
    click.echo(f"{path}.pub")
    note(f"the private key is {path}; who has it and its passphrase can sign as you")


def _attest(source: str, options: dict[str, Any]) -> None:
    from seatrial.errors import UsageError
    from seatrial.images.attesting import attest as attesting
    from seatrial.images.layout import read_image

    remote = is_reference(source)
    if not remote and options["output"] is None and not Path(source).is_dir():
        raise UsageError(
            "nothing can be attached there", where=source, why="it is neither a folder nor in a registry",
            fix="add --output DIR to have the documents, or push the image and attest it there",
        )  # fmt: skip
    key = _private_key(options)
    with Waiting(quiet=options["as_json"]) as waiting:
        layout, digest = find_image(source, platform=options["platform"], insecure=options["insecure"])
        image = read_image(layout, digest=digest)
        forms = options["forms"] or attesting.FORMS
        said = attesting.documents(layout, image, forms, full=options["full"], say=waiting.say)
        skipped = _skipped(forms, said, asked="provenance" in options["forms"])
        if options["output"] is not None:
            _write(options["output"], said, image, key, as_json=options["as_json"], skipped=skipped)
            return
        waiting.say("attaching")
        with ExitStack() as stack:
            place = _place(stack, source, layout, options, writing=True)
            result = _attach(place, source, image, said, key, insecure=options["insecure"])
    result["skipped"] = skipped
    _report(result, as_json=options["as_json"])


def _attach(
    place: Place, source: str, image: Image, said: list[Document], key: PrivateKey | None, *, insecure: bool
) -> dict[str, Any]:
    from seatrial.images import registry
    from seatrial.images.attesting import attest as attesting
    from seatrial.images.attesting import envelope, places

    there = []
    if key is not None:
        before = [one for one in places.kept(place, image.digest) if one.attached.kind == envelope.MEDIA_TYPE]
        there = attesting.sealed_by((content for one in before for content in one.contents), key)
    found = attesting.artifacts(said, image, name=place.name, key=key, there=there)
    also = [registry.resolve(source, insecure=insecure)] if place.session else []
    attached = places.attach(place, image.descriptor, found, key=key, also=also)
    return {
        "digest": image.digest,
        "attached": [
            {
                "digest": one.digest,
                "type": artifact.kind,
                "title": artifact.title,
                "size": len(artifact.content),
            }
            for one, artifact in zip(attached, found, strict=True)
        ],
        "signed": sorted({image.digest, *also}) if key and place.session else [],
        "index": also[0] if also and also[0] != image.digest else None,
        "key": key.public.identity if key else None,
    }


def _verify(source: str, options: dict[str, Any]) -> None:
    from seatrial.errors import ANSWER_IS_NO, UsageError
    from seatrial.images import registry
    from seatrial.images.attesting import keys, places, verifying

    if options["key"] is None:
        raise UsageError("whose signature is not said", fix="add --key FILE.pub")
    key = keys.public_key(options["key"])
    with ExitStack() as stack:
        if is_reference(source):
            place = stack.enter_context(places.in_registry(source, insecure=options["insecure"]))
            digests = registry.named(source, platform=options["platform"], insecure=options["insecure"])
        else:
            layout, digest = find_image(source, platform=options["platform"], insecure=False)
            place = stack.enter_context(places.in_folder(layout))
            digests = (digest,)
        found = [one for digest in digests for one in places.verify(place, digest, key)]
    good = verifying.holds(found)
    if options["as_json"]:
        print_json({"digest": digests[-1], "verified": good, "key": key.identity, "found": found})
    for one in found if not options["as_json"] else ():
        click.echo(f"{one.state:<10} {one.about}" + (f": {one.why}" if one.why else ""))
    if not good:
        if not options["as_json"]:
            note(
                "nothing that is attached was signed by this key"
                if not found
                else "the image is not verified"
            )
        raise click.exceptions.Exit(ANSWER_IS_NO)
    if not options["as_json"]:
        note(f"verified: {digests[-1]}")


def _place(stack: ExitStack, source: str, layout: Path, options: dict[str, Any], *, writing: bool) -> Place:
    from seatrial.images.attesting import places

    if is_reference(source):
        return stack.enter_context(places.in_registry(source, insecure=options["insecure"], writing=writing))
    return stack.enter_context(places.in_folder(layout))


def _skipped(forms: tuple[str, ...], said: list[Document], *, asked: bool) -> dict[str, str]:
    from seatrial.errors import SeatrialError

    if "provenance" not in forms or any(one.form == "provenance" for one in said):
        return {}
    why = "this machine did not make the image, or has forgotten how; only who makes an image can say what it is made of"
    if asked:
        raise SeatrialError(
            "there is no provenance to attest", why=why, fix="attest it where it is assembled or built"
        )
    return {"provenance": why}


def _write(
    folder: Path,
    said: list[Document],
    image: Image,
    key: PrivateKey | None,
    *,
    as_json: bool,
    skipped: dict[str, str],
) -> None:
    from seatrial.errors import UsageError
    from seatrial.files import write_atomic
    from seatrial.images.attesting import attest as attesting

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder cannot be made: {error.strerror}",
            where=str(folder),
            fix="give another folder to --output",
        ) from error
    found = attesting.artifacts(said, image, name="", key=key)
    for one in found:
        write_atomic(folder / one.title, one.content)
    if as_json:
        print_json(
            {"digest": image.digest, "written": [folder / one.title for one in found], "skipped": skipped}
        )
        return
    for one in found:
        click.echo(str(folder / one.title))
    for form, why in skipped.items():
        note(f"no {form}: {why}")


def _report(result: dict[str, Any], *, as_json: bool) -> None:
    from seatrial.images.attesting.provenance import LEVEL
    from seatrial.reports.units import size

    if as_json:
        print_json(result)
        return
    for one in result["attached"]:
        click.echo(f"{one['digest']}  {one['title']:<24} {size(one['size']):>10}")
    for digest in result["signed"]:
        note(f"signed {digest}")
    if result["index"]:
        note("the reference names several images; --platform attests another one of them")
    for form, why in result["skipped"].items():
        note(f"no {form}: {why}")
    if any(one["title"].startswith("provenance") for one in result["attached"]):
        note(f"the provenance is {LEVEL}")


def _private_key(options: dict[str, Any]) -> PrivateKey | None:
    from seatrial.images.attesting import keys

    if options["key"] is None:
        return None
    try:
        locked = "ENCRYPTED" in options["key"].read_text(errors="replace")
    except OSError:
        locked = False  # told below, with the file's name
    return keys.private_key(options["key"], _passphrase(options, confirm=False) if locked else None)


def _passphrase(options: dict[str, Any], *, confirm: bool) -> str | None:
    """From a file, the environment, or whoever sits at the terminal: never from the command line."""
    from seatrial.errors import UsageError

    place: Path | None = options["passphrase_file"]
    if place is not None:
        try:
            return place.read_text().partition("\n")[0].removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError("cannot read the passphrase", where=str(place), why=str(error)) from error
    if _VARIABLE in os.environ:
        return os.environ[_VARIABLE]
    if os.isatty(0):
        return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
    if confirm:
        raise UsageError("a key needs a passphrase", fix=f"set {_VARIABLE}, or give --passphrase-file FILE")
    return None
