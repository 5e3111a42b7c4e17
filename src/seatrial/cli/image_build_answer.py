"""What `seatrial image build` says at its end: steps with times and sizes, repairs with diffs, and where the image is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.cli.common import note
from seatrial.reports.units import counted, size

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.builders.model import Built, Step
    from seatrial.images.builders.repair import Repaired
    from seatrial.images.outputs.delivery import Delivered

_WIDE = 60


def data(repaired: Repaired, delivered: Delivered | None, out: Path, written: list[str]) -> dict[str, Any]:
    """All of it as JSON; without an image `digest` is null and `cause` says why."""
    import msgspec

    built = repaired.built
    found: dict[str, Any] = {
        "digest": built.digest if built else None,
        "layout": str(out) if built else None,
        "size": built.size if built else None,
        "builder": built.builder if built else None,
        "version": built.version if built else None,
        "seconds": built.seconds if built else repaired.ended.seconds,
        "steps": [_step(one) for one in (built.steps if built else repaired.ended.steps)],
        "attempts": msgspec.to_builtins(repaired.attempts),
        "diff": repaired.diff,
        "written": written,
        "replaced": msgspec.to_builtins(built.replaced) if built else [],
        "notes": list(built.notes) if built else [],
        "cause": msgspec.to_builtins(repaired.cause) if repaired.cause else None,
    }
    if built is None:
        found["log"] = repaired.ended.log
        found["lines"] = msgspec.to_builtins(repaired.telling)
    if delivered is not None:
        found |= msgspec.to_builtins(delivered) | {"notes": [*found["notes"], *delivered.notes]}
    return found


def tell(repaired: Repaired, delivered: Delivered | None, out: Path, written: list[str]) -> None:
    """The same for people, on stderr: stdout has the digest alone."""
    built = repaired.built
    if built is not None:
        _steps(built)
        for one in built.replaced:
            became = f"is {one.after} now" if one.after else "is gone"
            note(
                f"replaced: the base's {one.name} {one.before} {became}{f'; {one.note}' if one.note else ''}"
            )
        for line in built.notes:
            note(f"note: {line}")
    else:
        _failed(repaired)
    if repaired.diff and not written:
        note(repaired.diff.rstrip("\n"))
        if built is not None:
            note("it builds with these changes: --write writes them, --diff FILE keeps them for `git apply`")
    elif written:
        note(f"written: {', '.join(written)}")
    if built is not None:
        _where(delivered, out)


def _steps(built: Built) -> None:
    for one in built.steps:
        text = one.instruction if len(one.instruction) <= _WIDE else one.instruction[: _WIDE - 1] + "…"
        took = "cached" if one.state == "cached" else f"{one.seconds:.1f} s"
        wrote = size(one.size) if one.size else ""
        speed = f"{size(one.throughput)}/s" if one.size and one.throughput else ""
        note(f"  {one.line:>4}  {text:<{_WIDE}} {took:>9} {wrote:>10} {speed:>12}".rstrip())
    note(f"built by {built.version} in {built.seconds:.1f} s: {size(built.size)} in its layers")


def _failed(repaired: Repaired) -> None:
    cause = repaired.cause
    step = next((one for one in reversed(repaired.ended.steps) if one.state == "failed"), None)
    note(f"the build failed{_at(step)}")
    if cause is None:
        for line in repaired.telling:
            note(f"  {line.line}: {line.text}")
        if not repaired.telling:
            for text in repaired.ended.log.strip().splitlines()[-10:]:
                note(f"  {text}")
        return
    note(f"  {cause.evidence.text}")
    note(f"cause: {cause.cause}")
    note(f"fix: {cause.fix}")
    if repaired.attempts:
        note(f"{counted(len(repaired.attempts), 'repair')} did not get it to build")


def _at(step: Step | None) -> str:
    if step is None:
        return ""
    return f" in line {step.line}: {step.instruction}" if step.line else f": {step.instruction}"


def _where(delivered: Delivered | None, out: Path) -> None:
    for line in delivered.notes if delivered else ():
        note(line)
    if delivered and delivered.tags:
        note(f"pushed {size(delivered.pushed_bytes)} to {', '.join(delivered.tags)}")
    if delivered and delivered.archive:
        note(f"written to {delivered.archive}, {size(delivered.archive_bytes)}")
    if delivered and delivered.loaded:
        note(f"loaded into {delivered.loaded.engine}; run it with: {delivered.loaded.run}")
    note(f"the image is in {out}")


def _step(step: Step) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(step)
    return {**found, "bytes_per_second": round(step.throughput)}
