"""`runtime-versions`: names that no image of CodeBuild has."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from seatrial.builds.nodes import child, children, word
from seatrial.findings import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Look
    from seatrial.findings import Finding
    from seatrial.sources.tree import Node

_SOURCE = "https://docs.aws.amazon.com/codebuild/latest/userguide/available-runtimes.html"

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/unknown-runtime",
        severity="warning",
        title="A runtime that current images do not have",
        explanation=(
            "The build fails with `Unknown runtime named …` where the image has no runtime of that name. Only the first "
            "images knew `docker`; later ones have it installed."
        ),
        source=_SOURCE,
        example="version: 0.2\nphases:\n  install:\n    runtime-versions:\n      node: 20\n",
    ),
    Rule(
        id="buildspec/runtime-phase",
        severity="warning",
        title="runtime-versions outside of install",
        explanation="CodeBuild selects runtimes in the phase install, and ignores `runtime-versions` elsewhere.",
        source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec.phases.install.runtime-versions",
        example="version: 0.2\nphases:\n  build:\n    runtime-versions:\n      python: 3.12\n    commands: [make]\n",
    ),
)

NAMES = ("android", "dotnet", "golang", "java", "nodejs", "php", "python", "ruby")
"""Runtimes of the images that AWS maintains, as of 2025."""

_ALSO = {
    "node": "nodejs",
    "go": "golang",
    "jdk": "java",
    "corretto": "java",
    "python3": "python",
    ".net": "dotnet",
}


def check(look: Look) -> Iterator[Finding]:
    """Each runtime whose name is unknown, and runtimes where they are not selected."""
    for phase, (_, node) in look.phases.items():
        selected = children(node).get("runtime-versions")
        if selected is None:
            continue
        if phase != "install":
            yield look.at("runtime-phase", "warning", selected[0], f"CodeBuild ignores runtime-versions in {phase}",
                          cause="runtimes are selected in install", source=RULES[1].source)  # fmt: skip
        for name, (key, value) in children(child(node, "runtime-versions")).items():
            if name not in NAMES:
                yield _unknown(look, name, key, word(value))


def _unknown(look: Look, name: str, key: Node, version: str) -> Finding:
    message = f"Unknown runtime named '{name}'. The images of CodeBuild have: {', '.join(NAMES)}"
    if name == "docker":
        return look.at("unknown-runtime", "warning", key, message, source=_SOURCE,
                       cause=f"docker {version} was selected like this only in images before standard:3.0; later ones have it installed")  # fmt: skip
    close = _ALSO.get(name.lower()) or next(
        iter(difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=0.75)), ""
    )
    fix = look.replace(key, close, f"rename {name} to {close}", safe=True) if close else None
    return look.at("unknown-runtime", "warning", key, message, source=_SOURCE, fix=fix)
