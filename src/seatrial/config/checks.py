"""What may be declared about an image, in seatrial.yaml or in a file of its own.

Patterns are regular expressions as Go and RE2 have them, found anywhere in a text unless anchored.
"""

# Annotations are evaluated as the classes are made: done later, from text, they cost every command 50 ms.
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from seatrial.config.scalars import FileName, Port, Seconds, Text

Pattern = Annotated[
    str,
    Meta(
        extra={"text": True, "form": "pattern"}, extra_json_schema={"type": ["string", "number", "boolean"]}
    ),
]
Json = Annotated[
    str,
    Meta(
        extra={"text": True, "form": "json"},
        extra_json_schema={"type": ["string", "number", "boolean", "null"]},
    ),
]
Folder = Annotated[str, Meta(pattern="^/")]
Id = Annotated[int, Meta(ge=0)]
Line = Annotated[tuple[Text, ...], Meta(min_length=1)]


class CommandCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program that is run in the image, without its entry point, and what it must say."""

    command: Annotated[Line, Meta(description="Program and arguments, a list; there is no shell.")]
    name: Annotated[Text | None, Meta(description="Name in the report. Default: the command.")] = None
    setup: Annotated[
        tuple[Line, ...],
        Meta(description="Programs that run before it in the same root; each must end with 0."),
    ] = ()
    env: Annotated[dict[str, Text], Meta(description="Environment variables of the program.")] = field(
        default_factory=dict
    )
    user: Annotated[Text | None, Meta(description="User to run as. Default: the image's.")] = None
    workdir: Annotated[
        Folder | None, Meta(description="Folder to start in, absolute. Default: the image's.")
    ] = None
    network: Annotated[bool, Meta(description="Whether it may use this machine's network.")] = False
    exit_code: Annotated[int, Meta(ge=0, le=255, description="Exit code that it must end with.")] = 0
    output: Annotated[
        tuple[Pattern, ...], Meta(description="Patterns that must be found in its standard output.")
    ] = ()
    no_output: Annotated[tuple[Pattern, ...], Meta(description="Patterns that must not be found there.")] = ()
    error: Annotated[
        tuple[Pattern, ...], Meta(description="Patterns that must be found in its standard error.")
    ] = ()
    no_error: Annotated[tuple[Pattern, ...], Meta(description="Patterns that must not be found there.")] = ()
    timeout: Annotated[Seconds, Meta(description="Seconds that it may take, with what runs before it.")] = (
        60.0
    )


class FileCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file, folder or link of the image. Owners and permissions are those in its layers."""

    path: Annotated[
        Text,
        Meta(
            description="Where it is. $NAME is a variable of the image. A link that the path ends with is not followed."
        ),
    ]
    name: Annotated[Text | None, Meta(description="Name in the report. Default: the path.")] = None
    exists: Annotated[bool, Meta(description="Whether there must be something.")] = True
    kind: Annotated[
        Literal["file", "folder", "link"] | None, Meta(description="What it must be. Default: anything.")
    ] = None
    permissions: Annotated[
        Text | None, Meta(description="Permissions as `ls -l` shows them, -rw-r--r--, or as digits, 0644.")
    ] = None
    uid: Annotated[Id | None, Meta(description="Number of the user that it must belong to.")] = None
    gid: Annotated[Id | None, Meta(description="Number of its group.")] = None
    executable_by: Annotated[
        Literal["any", "owner", "group", "other"] | None, Meta(description="Who must be able to execute it.")
    ] = None
    contains: Annotated[
        tuple[Pattern, ...],
        Meta(description="Patterns that must be found in its content; links are followed."),
    ] = ()
    excludes: Annotated[tuple[Pattern, ...], Meta(description="Patterns that must not be found there.")] = ()


class MetadataCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the image says about itself and how it is run."""

    env: Annotated[
        dict[str, Text], Meta(description="Variables and the exact values that they must have.")
    ] = field(default_factory=dict)
    env_matches: Annotated[
        dict[str, Pattern], Meta(description="Variables and patterns for their values.")
    ] = field(default_factory=dict)
    no_env: Annotated[tuple[Text, ...], Meta(description="Variables that must not be there.")] = ()
    labels: Annotated[
        dict[str, Text], Meta(description="Labels and the exact values that they must have.")
    ] = field(default_factory=dict)
    label_matches: Annotated[
        dict[str, Pattern], Meta(description="Labels and patterns for their values.")
    ] = field(default_factory=dict)
    entrypoint: Annotated[
        tuple[Text, ...] | None, Meta(description="The exact entry point; [] for none.")
    ] = None
    command: Annotated[tuple[Text, ...] | None, Meta(description="The exact command; [] for none.")] = None
    ports: Annotated[tuple[Port, ...], Meta(description="Ports that it must expose.")] = ()
    no_ports: Annotated[tuple[Port, ...], Meta(description="Ports that it must not expose.")] = ()
    volumes: Annotated[tuple[Text, ...], Meta(description="Volumes that it must declare.")] = ()
    no_volumes: Annotated[tuple[Text, ...], Meta(description="Volumes that it must not declare.")] = ()
    workdir: Annotated[Text | None, Meta(description="The exact working directory.")] = None
    user: Annotated[Text | None, Meta(description="The exact user.")] = None


class LicenseCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Licenses that software in the image must not have."""

    debian: Annotated[
        bool,
        Meta(
            description="Look at the copyright file of every Debian package; a package without one is a failure."
        ),
    ] = False
    files: Annotated[tuple[Text, ...], Meta(description="License files to look at.")] = ()
    deny: Annotated[
        tuple[Text, ...], Meta(description="Words that must not be in them, in any case of letters.")
    ] = ("AGPL", "WTFPL")
    allow: Annotated[tuple[Text, ...], Meta(description="Debian packages that are not looked at.")] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to the started image and what its answer must be."""

    path: Annotated[str, Meta(pattern="^/", description="Path of the request, with its query.")]
    name: Annotated[Text | None, Meta(description="Name in the report. Default: method and path.")] = None
    method: Annotated[
        Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] | None,
        Meta(description="HTTP method; by default POST when there is a body, else GET."),
    ] = None
    headers: Annotated[dict[str, Text], Meta(description="Headers of the request.")] = field(
        default_factory=dict
    )
    body: Annotated[Text | None, Meta(description="Body of the request.")] = None
    body_file: Annotated[FileName | None, Meta(description="File with the body of the request.")] = None
    status: Annotated[int, Meta(ge=100, le=599, description="The status that the answer must have.")] = 200
    header: Annotated[
        dict[str, Pattern], Meta(description="Headers of the answer and patterns for their values.")
    ] = field(default_factory=dict)
    contains: Annotated[
        tuple[Pattern, ...], Meta(description="Patterns that must be found in the answer's body.")
    ] = ()
    excludes: Annotated[tuple[Pattern, ...], Meta(description="Patterns that must not be found there.")] = ()
    json: Annotated[Json | None, Meta(description="JSON that the body must be, compared by value.")] = None
    json_file: Annotated[FileName | None, Meta(description="File with that JSON.")] = None
    json_at: Annotated[
        dict[str, Json],
        Meta(description="Places in the body's JSON, such as $.scores[0].label, and the JSON value of each."),
    ] = field(default_factory=dict)
    tolerance: Annotated[
        float, Meta(ge=0, description="How far numbers may be off, absolute or relative, whichever is more.")
    ] = 0.0
    timeout: Annotated[Seconds, Meta(description="Seconds until the answer must be complete.")] = 30.0


class HttpCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests to the image, which is started once for all of them."""

    requests: Annotated[
        tuple[Request, ...], Meta(description="Sent one after the other, in this order.")
    ] = ()
    port: Annotated[
        Port | None, Meta(description="Port that it listens on. Default: that of the service, else 8080.")
    ] = None
    command: Annotated[
        tuple[Text, ...], Meta(description="Arguments to start it with. Default: the image's.")
    ] = ()
    env: Annotated[dict[str, Text], Meta(description="Environment variables to start it with.")] = field(
        default_factory=dict
    )
    start_timeout: Annotated[
        Seconds | None, Meta(description="Seconds until it must answer. Default: the service's, else 60.")
    ] = None


class Checks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an image must be like."""

    commands: Annotated[
        tuple[CommandCheck, ...], Meta(description="Programs to run in it, each in a fresh root.")
    ] = ()
    files: Annotated[tuple[FileCheck, ...], Meta(description="Files that must be in it, or must not.")] = ()
    metadata: Annotated[MetadataCheck, Meta(description="What it says about itself and how it is run.")] = (
        MetadataCheck()
    )
    licenses: Annotated[LicenseCheck, Meta(description="Licenses that software in it must not have.")] = (
        LicenseCheck()
    )
    http: Annotated[HttpCheck, Meta(description="Requests that it must answer when started.")] = HttpCheck()
