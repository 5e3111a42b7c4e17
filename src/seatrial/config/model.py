"""What `seatrial.yaml` may say, as frozen values. Every description is what `seatrial schema` publishes."""

# Annotations are evaluated as the classes are made: done later, from text, they cost every command 50 ms.
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from seatrial.config.checks import Checks
from seatrial.config.deploying import Deploy
from seatrial.config.scalars import (
    FileName,
    FolderName,
    Name,
    Port,
    Seconds,
    Text,
)  # fmt: skip


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image that an image starts from: exactly one of `debian`, `oci` and `registry`."""

    debian: Annotated[
        Text | None,
        Meta(description="A Debian or Ubuntu suite such as bookworm or noble, made here by mmdebstrap."),
    ] = None
    packages: Annotated[
        tuple[Text, ...],
        Meta(description="Debian packages to install as well; the base must be a Debian or Ubuntu system."),
    ] = ()
    oci: Annotated[FolderName | None, Meta(description="A folder that holds an OCI image layout.")] = None
    registry: Annotated[
        str | None,
        Meta(description="An image in a registry: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:…"),
    ] = None


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One HTTP request to the service and what its answer must be."""

    path: Annotated[str, Meta(pattern="^/", description="Path of the request.")] = "/invocations"
    method: Annotated[
        Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] | None,
        Meta(description="HTTP method; by default POST when there is a request file, else GET."),
    ] = None
    request: Annotated[FileName | None, Meta(description="File with the body of the request.")] = None
    content_type: Annotated[str, Meta(description="Content-Type of the request.")] = "application/json"
    accept: Annotated[str | None, Meta(description="Accept header of the request.")] = None
    status: Annotated[int, Meta(ge=100, le=599, description="The status that the answer must have.")] = 200
    expect: Annotated[
        FileName | None,
        Meta(
            description="File with the expected body. JSON and CSV are compared by value, the rest by text."
        ),
    ] = None
    tolerance: Annotated[
        float,
        Meta(
            ge=0,
            description="How far numbers may be from the expected ones, absolute or relative, whichever is more.",
        ),
    ] = 0.0
    timeout: Annotated[Seconds, Meta(description="Seconds until the answer must be complete.")] = 30.0


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which files of the project go into the image. Patterns are those of .dockerignore."""

    include: Annotated[
        tuple[str, ...], Meta(description="Files, folders or patterns to copy. Default: everything.")
    ] = (".",)
    exclude: Annotated[
        tuple[str, ...],
        Meta(
            description="Patterns of files to leave out, beside version control, virtual environments, caches and "
            "what .dockerignore names."
        ),
    ] = ()


class AllowedVulnerability(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vulnerability that is accepted, and why."""

    id: Annotated[Text, Meta(min_length=1, description="Its id, such as CVE-2024-12345 or a GHSA id.")]
    reason: Annotated[Text, Meta(min_length=1, description="Why it is accepted.")]
    package: Annotated[
        Text | None, Meta(description="Only for this package. Default: wherever it is found.")
    ] = None
    expires: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", extra={"text": True})] | None,
        Meta(description="The last day on which it is accepted, as YEAR-MONTH-DAY."),
    ] = None


class Vulnerabilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which known vulnerabilities an image may have."""

    fail_on: Annotated[
        Literal["low", "medium", "high", "critical", "never"],
        Meta(description="The least severity that is a failure."),
    ] = "high"
    ignore_unfixed: Annotated[
        bool, Meta(description="Do not fail for vulnerabilities that no version fixes yet.")
    ] = False
    scanner: Annotated[
        Literal["auto", "trivy", "grype", "ecr", "none"],
        Meta(
            description="Who looks for them when there is no report. auto: trivy or grype when installed, or Amazon's "
            "registry for an image that was pulled from there."
        ),
    ] = "auto"
    reports: Annotated[
        tuple[FileName, ...],
        Meta(description="Reports of scanners: Trivy or Grype JSON, CycloneDX or SARIF."),
    ] = ()
    allow: Annotated[
        tuple[AllowedVulnerability, ...], Meta(description="Vulnerabilities that are accepted.")
    ] = ()
    timeout: Annotated[Seconds, Meta(description="Seconds that a scan may take.")] = 300.0


class AllowedSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that looks like a secret and is none, and why."""

    path: Annotated[
        Text,
        Meta(
            min_length=1,
            description="Where it is: an absolute path in the image, with `*` and `?`, or a place in its settings such as "
            "`ENV NAME`, `LABEL NAME`, `CMD` or `HISTORY 3`.",
        ),
    ]
    reason: Annotated[Text, Meta(min_length=1, description="Why it is none.")]


class Secrets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the search for secrets passes over."""

    allow: Annotated[
        tuple[AllowedSecret, ...], Meta(description="What looks like a secret and is none.")
    ] = ()


class ModelInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input of a model's forward pass: a shape that is filled, or a file with the value."""

    name: Annotated[
        Text | None, Meta(description="Name of the argument. Default: the next one by position.")
    ] = None
    shape: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...], Meta(description="Sizes of its dimensions, the batch first.")
    ] = ()
    dtype: Annotated[
        Literal[
            "float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool", "text"
        ],
        Meta(description="Type of its elements."),
    ] = "float32"
    below: Annotated[
        int, Meta(ge=1, description="Whole numbers are taken from 0 up to, not including, this one.")
    ] = 2
    file: Annotated[FileName | None, Meta(description="JSON file with the value, instead of a shape.")] = None


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that must load and compute in the image, by the image's own Python, without a network."""

    kind: Annotated[
        Literal["huggingface", "torch", "torchscript", "safetensors", "onnx", "sklearn"],
        Meta(description="What it is; torch is a class or function of yours that makes a torch module."),
    ]
    path: Annotated[
        Text | None,
        Meta(
            description="Its folder or file: absolute in the image, else relative to the image's working directory or to "
            "this file. For torch: weights to load."
        ),
    ] = None
    object: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")] | None,
        Meta(description="For torch: MODULE:NAME of the class or function."),
    ] = None
    args: Annotated[
        dict[str, Text], Meta(description="Keyword arguments of it; numbers, lists and so on as JSON.")
    ] = field(default_factory=dict)
    inputs: Annotated[
        tuple[ModelInput, ...],
        Meta(description="Inputs of the forward pass. Default: made from what the model says it takes."),
    ] = ()
    features: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="For sklearn: number of features. Default: what the model was fitted with."),
    ] = None
    dimensions: Annotated[
        dict[str, Annotated[int, Meta(ge=1)]],
        Meta(description="For onnx: sizes of dimensions that have a name, such as sequence. Default: 1."),
    ] = field(default_factory=dict)
    random: Annotated[
        bool, Meta(description="For huggingface: use small random weights even when there are real ones.")
    ] = False
    own_code: Annotated[
        bool,
        Meta(description="For huggingface: run the code that lies beside the model (trust_remote_code)."),
    ] = False
    timeout: Annotated[Seconds, Meta(description="Seconds that each of loading and computing may take.")] = (
        120.0
    )
    memory: Annotated[
        Text | None,
        Meta(description="Memory that it may take, such as 4g. Default: three quarters of the machine's."),
    ] = None


class ImageTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an image is tested after it was assembled."""

    level: Annotated[
        Literal["quick", "standard", "full"],
        Meta(description="quick: seconds; standard: also starts the service; full: everything."),
    ] = "standard"
    imports: Annotated[
        tuple[str, ...], Meta(description="Modules that must import, beside those of the requirements.")
    ] = ()
    inference: Annotated[
        tuple[Call, ...], Meta(description="Requests that the started image must answer as expected.")
    ] = ()
    vulnerabilities: Annotated[
        Vulnerabilities, Meta(description="Which known vulnerabilities it may have.")
    ] = Vulnerabilities()
    secrets: Annotated[Secrets, Meta(description="What looks like a secret and is none.")] = Secrets()
    smoke: Annotated[bool, Meta(description="Start the image for a moment whenever it was assembled.")] = True
    models: Annotated[
        dict[Name, Model], Meta(description="Models that must load and compute in the image, by name.")
    ] = field(default_factory=dict)
    gpu: Annotated[
        Text | None,
        Meta(
            description="GPU or instance type that the image is for, such as A10G, sm_90 or ml.g5.xlarge: compiled code must run there."
        ),
    ] = None
    sagemaker: Annotated[
        bool,
        Meta(description="Start the image with `serve` and hold it to SageMaker's contract for hosting."),
    ] = False
    model_data: Annotated[
        Text | None, Meta(description="Folder that SageMaker's contract shows as /opt/ml/model.")
    ] = None
    config: Annotated[
        tuple[FileName, ...],
        Meta(
            description="Files with checks of the image, in Seatrial's own form or container-structure-test's."
        ),
    ] = ()
    checks: Annotated[Checks, Meta(description="What the image must be like.")] = Checks()


class Repository(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a repository is made in Amazon's registry, where it does not appear by being pushed to."""

    scan_on_push: Annotated[bool, Meta(description="Have images scanned when they are pushed.")] = True
    immutable: Annotated[bool, Meta(description="Let no tag move, `latest` included.")] = False
    encryption: Annotated[
        Literal["AES256", "KMS"], Meta(description="How images are encrypted where they are kept.")
    ] = "AES256"
    kms_key: Annotated[
        Text | None, Meta(description="ARN of the key for KMS. Default: the one that AWS keeps.")
    ] = None
    tags: Annotated[dict[str, Text], Meta(description="Tags of the repository, such as a cost centre.")] = (
        field(default_factory=dict)
    )


Strategy = Literal["auto", "semantic", "latest", "git-sha", "branch"]


class Push(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an image is pushed to, and under which tags."""

    to: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="Repositories: REGISTRY/REPOSITORY. Default: a registry of the run's own on this machine."
        ),
    ] = ()
    regions: Annotated[
        tuple[Text, ...],
        Meta(description="More regions of AWS to push to, for each repository in Amazon's registry."),
    ] = ()
    tags: Annotated[
        tuple[Text, ...], Meta(description="Tags to give it. Default: one made of its digest.")
    ] = ()
    strategy: Annotated[
        Strategy | Annotated[tuple[Strategy, ...], Meta(min_length=1)] | None,
        Meta(
            description="Tags made from the state of git, beside `tags`: auto, semantic (the next version), latest, "
            "git-sha, branch, or a list of them."
        ),
    ] = None
    floating: Annotated[bool, Meta(description="Have a version 1.2.3 move the tags 1.2 and 1 as well.")] = (
        False
    )
    create: Annotated[bool, Meta(description="Make a repository that Amazon's registry does not have.")] = (
        False
    )
    repository: Annotated[Repository, Meta(description="How such a repository is made.")] = Repository()
    insecure: Annotated[
        bool, Meta(description="Speak plain HTTP to these registries. Loopback addresses need no such leave.")
    ] = False


Platform = Annotated[str, Meta(pattern=r"^linux/[a-z0-9]+(/v[0-9]+)?$")]


class Build(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where packages without a wheel are built. Nothing of it gets into the image."""

    base: Annotated[
        Base | None,
        Meta(
            description="The system that builds. Default: that of the image, with a compiler where it is a Debian suite."
        ),
    ] = None
    packages: Annotated[
        tuple[Text, ...], Meta(description="Debian packages that builds need, such as libpq-dev.")
    ] = ()
    allow: Annotated[
        bool,
        Meta(
            description="Build source distributions, local packages and those from repositories, in a sandbox."
        ),
    ] = True
    timeout: Annotated[Seconds, Meta(description="Seconds that building one package may take.")] = 3600.0


class Image(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One container image, assembled from a base, locked Python packages and the project's files."""

    base: Annotated[
        Base,
        Meta(description="What the image starts from: debian:SUITE, REGISTRY/REPOSITORY:TAG, or a mapping."),
    ] = Base(debian="bookworm")
    requirements: Annotated[
        tuple[FileName, ...],
        Meta(
            description="What is installed: requirements.txt, pyproject.toml, uv.lock, poetry.lock, pylock.toml or an "
            "environment.yml of pip packages. Default: the lock, else the project file or requirements.txt there is."
        ),
    ] = ()
    extras: Annotated[
        tuple[Text, ...], Meta(description="Optional dependencies of the project to install.")
    ] = ()
    groups: Annotated[tuple[Text, ...], Meta(description="Dependency groups of the project to install.")] = ()
    project: Annotated[
        bool | None,
        Meta(
            description="Whether the project of pyproject.toml is installed itself. Default: when it says how it is built."
        ),
    ] = None
    find_links: Annotated[
        tuple[FolderName, ...], Meta(description="Folders of wheels that are looked into as well.")
    ] = ()
    build: Annotated[Build, Meta(description="Where packages without a wheel are built.")] = Build()
    source: Annotated[Source, Meta(description="Which files of the project go into the image.")] = Source()
    workdir: Annotated[
        str, Meta(pattern="^/", description="Folder in the image that holds the project and where it starts.")
    ] = "/app"
    env: Annotated[
        dict[str, Text],
        Meta(
            description="Environment variables baked into the image. Values keep the text they have in the file."
        ),
    ] = field(default_factory=dict)
    entrypoint: Annotated[
        tuple[Text, ...], Meta(description="Program and first arguments, a list; there is no shell.")
    ] = ()
    command: Annotated[
        tuple[Text, ...], Meta(description="Further arguments, which a caller may replace.")
    ] = ()
    user: Annotated[
        Text, Meta(description="User that the image runs as: a name of the base, UID or UID:GID.")
    ] = "1000:1000"
    ports: Annotated[tuple[Port, ...], Meta(description="Ports that the image says it listens on.")] = ()
    labels: Annotated[dict[str, Text], Meta(description="Labels of the image.")] = field(default_factory=dict)
    owner: Annotated[
        Literal["root", "user"],
        Meta(
            description="Who owns the project's files: root, so that the program cannot change them, or its user."
        ),
    ] = "root"
    bytecode: Annotated[
        bool,
        Meta(description="Compile Python files with the image's own interpreter, so that it starts faster."),
    ] = True
    lazy: Annotated[
        bool,
        Meta(
            description="Write layers as eStargz: containerd with stargz-snapshotter starts the image before it is pulled."
        ),
    ] = False
    first_files: Annotated[
        FileName | None,
        Meta(
            description="With lazy: a file that lists what the program opens while it starts, one path on each line."
        ),
    ] = None
    platform: Annotated[
        Platform | Annotated[tuple[Platform, ...], Meta(min_length=1)],
        Meta(
            description="Platform of the image, such as linux/amd64, or a list of them: then an index is made."
        ),
    ] = "linux/amd64"
    test: Annotated[ImageTest, Meta(description="How the image is tested.")] = ImageTest()
    push: Annotated[Push, Meta(description="Where the image is pushed to.")] = Push()


class Ping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The request by which a service says that it is well."""

    path: Annotated[str, Meta(pattern="^/", description="Path that answers 200.")] = "/ping"
    timeout: Annotated[Seconds, Meta(description="Seconds that one answer may take.")] = 2.0


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An image that runs and answers requests, or a program of this folder that does."""

    image: Annotated[
        str | None, Meta(description="Name of the image under `images`. Default: the only one there is.")
    ] = None
    command: Annotated[
        tuple[Text, ...],
        Meta(
            description="Program and arguments that `seatrial deploy run` starts in a copy of this folder, instead of an "
            "image; it must listen on 127.0.0.1 on the port that the variable PORT names."
        ),
    ] = ()
    port: Annotated[
        Port, Meta(description="Port that the service listens on; it is told by the variable PORT as well.")
    ] = 8080
    ping: Annotated[Ping, Meta(description="How the service says that it is well.")] = Ping()
    replicas: Annotated[
        int, Meta(ge=1, le=64, description="How many are started behind the load balancer.")
    ] = 1
    start_timeout: Annotated[Seconds, Meta(description="Seconds until a replica must answer its ping.")] = (
        60.0
    )
    stop_timeout: Annotated[Seconds, Meta(description="Seconds between SIGTERM and SIGKILL.")] = 30.0
    env: Annotated[
        dict[str, Text],
        Meta(description="Environment variables of the service. Values keep the text they have in the file."),
    ] = field(default_factory=dict)
    verify: Annotated[
        tuple[Call, ...],
        Meta(description="Requests sent through the load balancer and what they must answer."),
    ] = ()
    lifetime: Annotated[
        Seconds,
        Meta(
            description="Seconds after which a service that `seatrial ship` started ends by itself, whoever forgot it."
        ),
    ] = 3600.0
    deploy: Annotated[Deploy, Meta(description="How `seatrial deploy run` has a new version take over.")] = (
        Deploy()
    )


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `seatrial check` looks at and reports."""

    disable: Annotated[
        tuple[str, ...], Meta(description="Rules to leave out: area/name, or area/* for a whole area.")
    ] = ()
    exclude: Annotated[
        tuple[str, ...], Meta(description="Patterns, as in .gitignore, of files not to look at.")
    ] = ()
    baseline: Annotated[
        str | None, Meta(description="File of known findings that are not reported again.")
    ] = None


class Explain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `seatrial explain` knows besides its own signatures."""

    signatures: Annotated[
        tuple[str, ...], Meta(description="Files of your own signatures, relative to this one.")
    ] = ()


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many seconds each part of `seatrial ship` may take."""

    resolve: Annotated[Seconds, Meta(description="Resolving the requirements.")] = 600.0
    assemble: Annotated[Seconds, Meta(description="Making the base and assembling the image.")] = 1800.0
    test: Annotated[Seconds, Meta(description="Testing the image.")] = 600.0
    push: Annotated[Seconds, Meta(description="Pushing the image.")] = 1800.0
    verify: Annotated[Seconds, Meta(description="Verifying the started service.")] = 300.0


class Ship(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `seatrial ship` does with this project."""

    image: Annotated[str | None, Meta(description="Image to ship. Default: the only one there is.")] = None
    service: Annotated[
        str | None, Meta(description="Service to start and verify. Default: the only one there is.")
    ] = None
    timeouts: Annotated[Timeouts, Meta(description="How long each part may take.")] = Timeouts()


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A project, as Seatrial sees it. Every part is optional."""

    images: Annotated[dict[Name, Image], Meta(description="Container images by name.")] = field(
        default_factory=dict
    )
    services: Annotated[dict[Name, Service], Meta(description="Services by name.")] = field(
        default_factory=dict
    )
    check: Annotated[Check, Meta(description="What `seatrial check` looks at and reports.")] = Check()
    explain: Annotated[
        Explain, Meta(description="What `seatrial explain` knows besides its own signatures.")
    ] = Explain()
    ship: Annotated[Ship, Meta(description="What `seatrial ship` does.")] = Ship()


class Shorthand(msgspec.Struct, frozen=True):
    """A text that stands for a mapping."""

    description: str
    pattern: str


BASE_SHORTHAND = Shorthand(
    "debian:SUITE is made here by mmdebstrap; anything else is an image in a registry.", r"^\S+$"
)


def base_from_text(text: str) -> dict[str, Any]:
    """`debian:bookworm` and `ubuntu:noble` are suites made by mmdebstrap, anything else is a registry reference."""
    family, colon, suite = text.partition(":")
    if colon and family in {"debian", "ubuntu"} and "/" not in suite and "@" not in suite:
        return {"debian": suite}
    return {"registry": text}
