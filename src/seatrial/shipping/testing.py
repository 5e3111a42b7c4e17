"""The steps that test the image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.config import Image, Service

if TYPE_CHECKING:
    from seatrial.engine.call import Context
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

    del answers
    settings = msgspec.convert(image, Image)
    rest = tuple(name for name in suite.CHECKS if name not in suite.SECURITY)
    reports = context.folder / "test-reports"
    verdict = suite.run_tests(
        Path(layout),
        digest,
        level=settings.test.level,
        spec=_spec(source, settings, service),
        lock=lock,
        out=reports,
        only=rest,  # the step `secrets` does the others, always
    )
    context.artifact("test-reports", reports)
    return _outputs(context, verdict)


def secrets(
    context: Context, source: str, layout: str, digest: str, image: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Security checks, which are never answered from memory."""
    from seatrial.images.testing import suite

    settings = msgspec.convert(image, Image)
    spec = _spec(source, settings, None)
    return _outputs(
        context, suite.run_tests(Path(layout), digest, level="quick", spec=spec, only=suite.SECURITY)
    )


def _spec(source: str, image: Image, service: dict[str, Any] | None) -> TestSpec:
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
    )


def _outputs(context: Context, verdict: Verdict) -> dict[str, Any]:
    lines = []
    for check in verdict.checks:
        context.say(f"{check.status}: {check.id}: {check.message}")
        if check.status == "fail":
            lines += [
                f"{check.id}: {check.message}",
                *(f"  {detail}" for detail in check.details),
                f"  fix: {check.fix}",
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
