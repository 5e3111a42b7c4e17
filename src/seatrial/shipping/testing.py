"""The steps that test the image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.config import Image, Service

if TYPE_CHECKING:
    from seatrial.engine.call import Context
    from seatrial.images.testing.declared.declaration import Declared
    from seatrial.images.testing.model import TestSpec, Verdict


def test(
    context: Context,
    source: str,
    layout: str,
    digest: str,
    lock: dict[str, str],
    image: dict[str, Any],
    service: dict[str, Any] | None,
    answers: str,
) -> dict[str, Any]:
    """Everything that the same image with the same tests answers the same way. `answers` is part of the key only."""
    from seatrial.images.testing import suite
    from seatrial.images.testing.advice import Project

    del answers
    settings = msgspec.convert(image, Image)
    rest = tuple(name for name in suite.CHECKS if name not in suite.SECURITY)
    reports = context.folder / "test-reports"
    verdict = suite.run_tests(
        Path(layout),
        digest,
        level=settings.test.level,
        spec=spec_of(source, settings, service),
        lock=lock,
        out=reports,
        only=rest,  # the step `secrets` does the others, always
        project=Project(Path(source), "", settings),
        fresh=False,
    )
    context.artifact("test-reports", reports)
    return _outputs(context, verdict)


def secrets(
    context: Context, source: str, layout: str, digest: str, image: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Security checks, which are never answered from memory."""
    from seatrial.images.testing import suite
    from seatrial.images.testing.advice import Project

    settings = msgspec.convert(image, Image)
    spec = spec_of(source, settings, None)
    verdict = suite.run_tests(
        Path(layout),
        digest,
        level=settings.test.level,
        spec=spec,
        only=suite.SECURITY,
        project=Project(Path(source), "", settings),
    )
    return _outputs(context, verdict)


def spec_of(source: str, image: Image, service: dict[str, Any] | None) -> TestSpec:
    """What seatrial.yaml says about testing an image of the project in `source`; `service` is its service, if any."""
    from seatrial.images.testing.model import TestSpec

    serving = msgspec.convert(service, Service) if service else Service()
    return TestSpec(
        imports=image.test.imports,
        inference=image.test.inference,
        folder=source,
        serves=None if service else False,
        port=serving.port,
        ping=serving.ping.path,
        start_timeout=serving.start_timeout,
        stop_timeout=serving.stop_timeout,
        env=serving.env,
        vulnerabilities=image.test.vulnerabilities,
        allow=image.test.secrets.allow,
        declared=_declared(Path(source), image),
        models=image.test.models,
        gpu=image.test.gpu or "",
        sagemaker=image.test.sagemaker,
        model_data=image.test.model_data or "",
    )


def _declared(folder: Path, image: Image) -> tuple[Declared, ...]:
    """The project's files of checks, and those that seatrial.yaml has itself."""
    from seatrial.images.testing.declared import reading

    files = tuple(reading.read(folder / name, name) for name in image.test.config)
    own = reading.inline(folder, image.test.checks)
    return (*files, own) if own is not None else files


def _outputs(context: Context, verdict: Verdict) -> dict[str, Any]:
    from seatrial.images.testing.report import edit_lines

    lines = []
    for check in verdict.checks:
        context.say(f"{check.status}: {check.id}: {check.message}")
        if check.status == "fail":
            lines += [
                f"{check.id}: {check.message}",
                *(f"  {detail}" for detail in check.details),
                f"  fix: {check.fix}",
                *(f"    {line}" for line in (edit_lines(check.edit) if check.edit else ())),
            ]
    counts = {
        status: sum(check.status == status for check in verdict.checks) for status in ("pass", "fail", "skip")
    }
    summary = f"{counts['pass']} passed" + "".join(
        f", {counts[s]} {w}" for s, w in (("fail", "failed"), ("skip", "skipped")) if counts[s]
    )
    return {
        "verdict": verdict.verdict,
        "failed": counts["fail"],
        "checks": [
            {"id": c.id, "status": c.status, "message": c.message, "fix": c.fix} for c in verdict.checks
        ],
        "details": lines,
        "summary": summary,
    }
