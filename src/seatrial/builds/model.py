"""A buildspec as CodeBuild understands it. Every value that a message may be about knows where it was written.

Source of keys and defaults: AWS CodeBuild user guide, "Build specification reference".
"""

from __future__ import annotations

from typing import Literal

import msgspec

from seatrial.findings import Place  # noqa: TC001 - msgspec reads the annotation

PhaseName = Literal["install", "pre_build", "build", "post_build"]
PHASES: tuple[PhaseName, ...] = ("install", "pre_build", "build", "post_build")
Version = Literal["0.1", "0.2"]
DEFAULT_NAME = "buildspec.yml"


class Text(msgspec.Struct, frozen=True):
    """A text and where it was written."""

    value: str
    place: Place

    def __str__(self) -> str:
        return self.value


class OnFailure(msgspec.Struct, frozen=True, kw_only=True):
    """What follows when a phase fails. `times` are retries after the first try, `pattern` what its error must match."""

    action: Literal["ABORT", "CONTINUE", "RETRY"]
    times: int = 0
    pattern: str = ""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase as it was written; a phase that the file does not name is not in `Buildspec.phases`."""

    name: PhaseName
    place: Place
    run_as: str = ""
    on_failure: OnFailure | None = None
    runtime_versions: dict[str, Text] = {}
    commands: tuple[Text, ...] = ()
    finally_: tuple[Text, ...] = ()


class Env(msgspec.Struct, frozen=True, kw_only=True):
    """`variables` are texts as written (`0644` stays `0644`); the others map a variable to where its value is."""

    shell: str = ""
    variables: dict[str, Text] = {}
    parameter_store: dict[str, Text] = {}
    secrets_manager: dict[str, Text] = {}
    exported_variables: tuple[Text, ...] = ()
    git_credential_helper: bool = False


class ReportGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `reports`; `file_format` is upper case, JUNITXML when nothing is said."""

    name: str
    place: Place
    files: tuple[Text, ...]
    base_directory: str = ""
    discard_paths: bool = False
    file_format: str = "JUNITXML"


class Artifacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken from the workspace. `identifier` is empty for the primary artifact."""

    identifier: str = ""
    place: Place
    files: tuple[Text, ...] = ()
    name: str = ""
    base_directory: str = ""
    exclude_paths: tuple[Text, ...] = ()
    discard_paths: bool = False
    enable_symlinks: bool = False
    s3_prefix: str = ""


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """`key` may hold variables and `$(codebuild-hash-files …)`; `fallback_keys` are prefixes, tried in order."""

    place: Place
    paths: tuple[Text, ...] = ()
    key: str = ""
    fallback_keys: tuple[str, ...] = ()
    action: Literal["", "restore", "save"] = ""


class BatchTask(msgspec.Struct, frozen=True, kw_only=True):
    """One build of a list or graph. `env` has compute-type, image, type, fleet and privileged-mode as they were written."""

    identifier: str
    place: Place
    buildspec: str = ""
    ignore_failure: bool = False
    debug_session: bool = False
    depend_on: tuple[Text, ...] = ()
    env: dict[str, str] = {}
    variables: dict[str, str] = {}


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """`static` holds for every build; each key of `dynamic` (buildspec, image, compute-type, …) takes each of its values."""

    place: Place
    ignore_failure: bool = False
    static: dict[str, str] = {}
    static_variables: dict[str, str] = {}
    dynamic: dict[str, tuple[str, ...]] = {}
    dynamic_variables: dict[str, tuple[str, ...]] = {}


class Fanout(msgspec.Struct, frozen=True, kw_only=True):
    """The same build `parallelism` times, each with a share of the tests."""

    place: Place
    parallelism: int
    ignore_failure: bool = False
    buildspec: str = ""
    env: dict[str, str] = {}
    variables: dict[str, str] = {}


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """`tasks` come from build-list or build-graph, and either they, `matrix` or `fanout` are there."""

    place: Place
    kind: Literal["list", "graph", "matrix", "fanout"]
    fast_fail: bool = False
    tasks: tuple[BatchTask, ...] = ()
    matrix: Matrix | None = None
    fanout: Fanout | None = None


class Buildspec(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file; `path` is as it was given to the reader."""

    path: str
    version: Version
    run_as: str = ""
    env: Env = Env()
    upload_artifacts_by_proxy: bool = False
    logs_by_proxy: bool = False
    phases: dict[PhaseName, Phase] = {}
    reports: tuple[ReportGroup, ...] = ()
    artifacts: Artifacts | None = None
    secondary_artifacts: tuple[Artifacts, ...] = ()
    cache: Cache | None = None
    batch: Batch | None = None
