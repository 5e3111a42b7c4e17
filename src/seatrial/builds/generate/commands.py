"""The commands of a build, as lines of shell: the same for every service that runs them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seatrial.builds.generate.project import Project, Target

REPORTS = "test-reports"
"""Never part of an image; Seatrial leaves it out of what it copies."""
LAYOUT = "build/image"
ARCHIVE = "build/image.tar"


def words(*parts: str) -> str:
    """A command of plain words."""
    return " ".join(shlex.quote(part) for part in parts)


def check() -> list[str]:
    """Findings as a report; as text, too, when there is an error."""
    return [
        f"mkdir -p {REPORTS}",
        f"seatrial check . --format junit > {REPORTS}/check.xml || {{ seatrial check .; false; }}",
    ]


def unit_tests(project: Project) -> list[str]:
    """The project's own tests, with what it installs, in an environment of their own."""
    wanted = [word for name in project.for_tests for word in ("-r", name)]
    if project.installable and "requirements.txt" not in project.for_tests:
        wanted.append(".")
    return [
        "python3 -m venv .venv",
        words(".venv/bin/pip", "install", "--quiet", *wanted, "pytest"),
        f".venv/bin/python -m pytest --junitxml={REPORTS}/unit-tests.xml",
    ]


def build(project: Project) -> list[str]:
    """Make the image and test it."""
    image = ("--image", project.image) if project.image else ()
    tests = ("--reports", f"{REPORTS}/image")
    if project.how == "docker":
        name = local_name(project)
        return [
            words("docker", "build", "--tag", name, "--file", project.dockerfile, "."),
            words("seatrial", "image", "test", f"docker:{name}", "--project", ".", *tests),
        ]
    return [
        words("seatrial", "image", "assemble", ".", *image, "--oci", LAYOUT, "--explain"),
        words("seatrial", "image", "test", LAYOUT, "--project", ".", *image, *tests),
    ]


def push(project: Project, tag: str) -> list[str]:
    """Push what was tested. `tag` is shell that gives the tag; the digest is written down, since tags can move."""
    if project.how == "docker":
        return [line for target in project.targets for line in _docker_push(project, target, tag)]
    if project.configured:
        image = ("--image", project.image) if project.image else ()
        command = words("seatrial", "image", "push", LAYOUT, *image)
    else:
        repositories = [target.repository for target in project.targets]
        command = f"{words('seatrial', 'image', 'push', LAYOUT, *repositories)} --tag {tag}"
    return [f"{command} --json > {REPORTS}/pushed.json", f"cat {REPORTS}/pushed.json"]


def _docker_push(project: Project, target: Target, tag: str) -> list[str]:
    reference = f"{words(target.repository)}:{tag}"
    digests = "'{{join .RepoDigests \"\\n\"}}'"
    return [
        f"docker tag {words(local_name(project))} {reference}",
        f"docker push --quiet {reference}",
        f"docker image inspect --format {digests} {reference} | tee -a {REPORTS}/pushed.txt",
    ]


def ecr_login(target: Target) -> str:
    """The password goes through a pipe, never onto a command line."""
    return (
        f"aws ecr get-login-password --region {target.region} | "
        f"docker login --username AWS --password-stdin {target.host}"
    )


def login(host: str, number: int) -> str:
    """Write credentials where every tool for images looks for them; no argument holds them."""
    program = (
        "import base64, json, os, pathlib; e = os.environ; "
        f'p = e["REGISTRY_{number}_USERNAME"] + ":" + e["REGISTRY_{number}_PASSWORD"]; '
        'f = pathlib.Path(e["DOCKER_CONFIG"], "config.json"); f.touch(mode=0o600); '
        'd = json.loads(f.read_text() or "{}"); '
        f'd.setdefault("auths", {{}})["{host}"] = {{"auth": base64.b64encode(p.encode()).decode()}}; '
        "f.write_text(json.dumps(d))"
    )
    return words("python3", "-c", program)


def local_name(project: Project) -> str:
    """What Docker calls the image until it is pushed."""
    return f"{project.name}:build"


def packages(project: Project) -> list[str]:
    """Debian packages that the build needs: a sandbox to run images in, and what makes a Debian base."""
    if project.how == "docker":
        return []
    return ["bubblewrap", "mmdebstrap"] if project.debian_base else ["bubblewrap"]


def requirement(project: Project, seatrial: str) -> str:
    """What pip installs; Amazon's registry needs the extra."""
    name, _, rest = seatrial.partition("==")
    return f"{name}[aws]=={rest}" if rest and project.registries("ecr") else seatrial
