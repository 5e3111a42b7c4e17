"""What a place to run cannot do that a buildspec asks for: found when a build is started, not when a file is checked."""

from __future__ import annotations

from seatrial.findings import Rule

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/run-as-here",
        severity="error",
        title="run-as cannot hold where the build is to run",
        explanation=(
            "CodeBuild runs the commands of a phase as the user of `run-as`. Only root can do that on this machine, and in "
            "an image an ordinary user needs a range of ids in /etc/subuid. Said by `seatrial build run` before it starts."
        ),
        source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec.run-as",
        example="version: 0.2\nrun-as: builder\nphases:\n  build:\n    commands: [make]\n",
    ),
)
