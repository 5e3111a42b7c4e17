"""What a build of a project has to do, from what lies in its folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from seatrial.config import Config

_ECR = re.compile(r"\d{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/.+")
_HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?/.+")
_REPOSITORY = re.compile(r"[A-Za-z0-9.\-\[\]:]+(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")
_DEPENDENCIES = (
    *("uv.lock", "poetry.lock", "pylock.toml", "requirements.txt", "requirements.in", "pyproject.toml"),
    *("environment.yml", "environment.yaml"),
)
_FOR_TESTS = (
    "requirements-dev.txt",
    "requirements-test.txt",
    "dev-requirements.txt",
    "test-requirements.txt",
)


class Target(msgspec.Struct, frozen=True):
    """A repository to push to. `region` is AWS's, for its registry."""

    repository: str
    kind: Literal["ecr", "github", "local", "other"]
    region: str = ""

    @property
    def host(self) -> str:
        return self.repository.partition("/")[0]


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """One image and what is known about its project.

    `image` is its name in seatrial.yaml, empty where that names none. `dependencies` are files that decide what is
    installed, `for_tests` what the tests need beside. `configured` says that seatrial.yaml knows where to push.
    """

    name: str
    how: Literal["assemble", "docker"]
    image: str = ""
    dockerfile: str = ""
    debian_base: bool = False
    dependencies: tuple[str, ...] = ()
    tests: bool = False
    for_tests: tuple[str, ...] = ()
    installable: bool = False
    targets: tuple[Target, ...] = ()
    configured: bool = False

    def registries(self, kind: str) -> tuple[Target, ...]:
        """Targets of a kind, one for each registry."""
        return tuple({target.host: target for target in self.targets if target.kind == kind}.values())


def look(directory: Path, config: Config, *, push: Sequence[str] = (), image: str = "") -> Project:
    """The project in `directory`: an image of seatrial.yaml is assembled, else a Dockerfile is built, else what the
    requirements make of it is assembled.

    Raises:
        UsageError: there is nothing to build, several images and no choice, or `push` is no repository.
    """
    from seatrial.config.detect import project_name

    if not directory.is_dir():
        raise UsageError("there is no such folder", where=str(directory))
    named = (directory / "seatrial.yaml").is_file() and bool(config.images)
    dockerfile = next((name for name in ("Dockerfile", "Containerfile") if (directory / name).is_file()), "")
    if not named and not config.images and not dockerfile:
        raise UsageError(
            "there is nothing to build",
            where=str(directory),
            why="there is no seatrial.yaml with images, no Dockerfile and no requirements file",
            fix="describe an image under `images:` in seatrial.yaml; `seatrial schema` says how",
        )
    by_docker = bool(dockerfile) and not named
    name = "" if by_docker else _chosen(config, image, directory)
    if by_docker and image:
        raise UsageError(f"there is no image {image!r}", where=str(directory), why="it has a Dockerfile only")
    settings = config.images[name] if name else None
    destinations = tuple(push) or (settings.push.to if settings else ())
    return Project(
        name=name or project_name(directory),
        how="docker" if by_docker else "assemble",
        image=name if named else "",
        dockerfile=dockerfile if by_docker else "",
        debian_base=bool(settings and settings.base.debian),
        dependencies=_dependencies(directory, settings.requirements if settings else ()),
        tests=_has_tests(directory),
        for_tests=_for_tests(directory),
        installable=_installable(directory),
        targets=tuple(map(_target, dict.fromkeys(destinations))),
        configured=not push and bool(destinations),
    )


def _chosen(config: Config, image: str, directory: Path) -> str:
    wanted = image or config.ship.image or ""
    names = sorted(config.images)
    if wanted:
        if wanted not in config.images:
            raise UsageError(
                f"there is no image {wanted!r}", where=str(directory), why=f"there are: {', '.join(names)}"
            )
        return wanted
    if len(names) > 1:
        raise UsageError(
            f"there are {len(names)} images: {', '.join(names)}",
            where=str(directory),
            fix=f"choose one: `--image {names[0]}`",
        )
    return names[0]


def _dependencies(directory: Path, said: Sequence[str]) -> tuple[str, ...]:
    found = [name for name in _DEPENDENCIES if (directory / name).is_file()]
    return tuple(dict.fromkeys([*said, *found]))


def _for_tests(directory: Path) -> tuple[str, ...]:
    names = ("requirements.txt", *_FOR_TESTS)
    return tuple(name for name in names if (directory / name).is_file())


def _has_tests(directory: Path) -> bool:
    """Whether pytest would find something at the usual places."""
    patterns = ("test_*.py", "tests/**/test_*.py", "tests/**/*_test.py", "test/**/test_*.py")
    return any(next(directory.glob(pattern), None) is not None for pattern in patterns)


def _installable(directory: Path) -> bool:
    import tomllib

    try:
        data: Mapping[str, object] = tomllib.loads((directory / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return "build-system" in data and "project" in data


def _target(repository: str) -> Target:
    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(
            f"{repository!r} is no repository",
            why="it is REGISTRY/REPOSITORY, without a tag: tags are made when it is pushed",
        )
    if match := _ECR.fullmatch(repository):
        return Target(repository, "ecr", match[1])
    if repository.startswith("ghcr.io/"):
        return Target(repository, "github")
    return Target(repository, "local" if _HERE.fullmatch(repository) else "other")
