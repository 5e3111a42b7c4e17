"""The schema of container-structure-test, versions 1.0.0 and 2.0.0, as its types in Go have it.

Source: github.com/GoogleContainerTools/container-structure-test, pkg/types and pkg/types/unversioned.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from seatrial.config.checks import Pattern  # noqa: TC001 - msgspec reads the annotation
from seatrial.config.scalars import Text

Filled = Annotated[str, Meta(min_length=1, extra={"text": True})]
Line = Annotated[tuple[Text, ...], Meta(min_length=1)]


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A mapping whose keys are written likeThis."""


class Variable(Struct, frozen=True, kw_only=True):
    """A variable that is set; neither part may be empty."""

    key: Filled
    value: Filled
    is_regex: bool = False


class Expected(Struct, frozen=True, kw_only=True):
    """A variable or label and its value, or a pattern for it."""

    key: Filled
    value: Text = ""
    is_regex: bool = False


class Unbound(Struct, frozen=True, kw_only=True):
    """A variable that must not be there; the rest counts for nothing."""

    key: Text = ""
    value: Text = ""
    is_regex: bool = False


class _Command(Struct, frozen=True, kw_only=True):
    name: Filled
    setup: tuple[Line, ...] = ()
    teardown: tuple[Line, ...] = ()
    env_vars: tuple[Variable, ...] = ()
    exit_code: int = 0
    expected_output: tuple[Pattern, ...] = ()
    excluded_output: tuple[Pattern, ...] = ()
    expected_error: tuple[Pattern, ...] = ()
    excluded_error: tuple[Pattern, ...] = ()


class Command1(_Command, frozen=True, kw_only=True):
    """A program with its arguments, version 1.0.0."""

    command: Line


class Command2(_Command, frozen=True, kw_only=True):
    """A program and its arguments, version 2.0.0."""

    command: Filled
    args: tuple[Text, ...] = ()


class Existence1(Struct, frozen=True, kw_only=True):
    """A file that exists or not, version 1.0.0."""

    name: Filled
    path: Filled
    should_exist: bool = True
    permissions: Text = ""


class Existence2(Struct, frozen=True, kw_only=True):
    """A file that exists or not, version 2.0.0."""

    name: Filled
    path: Filled
    should_exist: bool = True
    permissions: Text = ""
    uid: int = -1
    gid: int = -1
    is_executable_by: Literal["", "any", "owner", "group", "other"] = ""


class Content(Struct, frozen=True, kw_only=True):
    """What a file contains."""

    name: Filled
    path: Filled
    expected_contents: tuple[Pattern, ...] = ()
    excluded_contents: tuple[Pattern, ...] = ()


class Metadata(Struct, frozen=True, kw_only=True):
    """What the image's settings say."""

    env_vars: tuple[Expected, ...] = ()
    unbound_env_vars: tuple[Unbound, ...] = ()
    exposed_ports: tuple[Filled, ...] = ()
    unexposed_ports: tuple[Text, ...] = ()
    entrypoint: tuple[Text, ...] | None = None
    cmd: tuple[Text, ...] | None = None
    workdir: Text = ""
    volumes: tuple[Filled, ...] = ()
    unmounted_volumes: tuple[Text, ...] = ()
    labels: tuple[Expected, ...] = ()
    user: Text = ""


class License(Struct, frozen=True, kw_only=True):
    """License files that are searched for words."""

    debian: bool = False
    files: tuple[Text, ...] = ()


class RunOptions(Struct, frozen=True, kw_only=True):
    """How containers are run."""

    user: Text = ""
    privileged: bool = False
    allocate_tty: bool = False
    env_vars: tuple[Text, ...] = ()
    env_file: Text = ""
    capabilities: tuple[Text, ...] = ()
    bind_mounts: tuple[Text, ...] = ()

    @property
    def given(self) -> bool:
        """Whether any is: then a test's own variables are not passed to its command."""
        return self != RunOptions()


class Structure1(Struct, frozen=True, kw_only=True):
    """A file of version 1.0.0."""

    schema_version: Literal["1.0.0"]
    global_env_vars: tuple[Expected, ...] = ()
    command_tests: tuple[Command1, ...] = ()
    file_existence_tests: tuple[Existence1, ...] = ()
    file_content_tests: tuple[Content, ...] = ()
    license_tests: tuple[License, ...] = ()


class Structure2(Struct, frozen=True, kw_only=True):
    """A file of version 2.0.0."""

    schema_version: Literal["2.0.0"]
    global_env_vars: tuple[Expected, ...] = ()
    command_tests: tuple[Command2, ...] = ()
    file_existence_tests: tuple[Existence2, ...] = ()
    file_content_tests: tuple[Content, ...] = ()
    metadata_test: Metadata = Metadata()
    license_tests: tuple[License, ...] = ()
    container_run_options: RunOptions = RunOptions()
