"""What a build costs on CodeBuild, and which compute type its earlier runs speak for.

Source of the rules: https://aws.amazon.com/codebuild/pricing/ (minutes are rounded up for each build; Lambda is billed
by the second); the numbers are in facts/compute.yaml.
"""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds import facts
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ENOUGH = 3
"""Runs that have to be known before they say anything about the next one."""
_SPARE = 1.25
"""How much more memory than the highest peak there should be."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """`units` of `price` dollars each make `amount`; both are None where the price is not known.

    `priced_in` is the region whose price it is, `notes` what has to be known about the number.
    """

    compute_type: str
    environment_type: str
    region: str
    seconds: float
    unit: str
    units: int
    price: float | None
    amount: float | None
    currency: str
    priced_in: str
    as_of: str
    source: str
    free: str = ""
    notes: tuple[str, ...] = ()


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What one earlier run took. `cpu_seconds` and `peak_memory` are None where nobody measured them.

    `peak_memory` is in bytes, and that of the one process that had most.
    """

    run: str
    seconds: float
    cpu_seconds: float | None = None
    peak_memory: int | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One compute type for the builds at hand: how long, how much, and why not, if so."""

    compute_type: str
    environment_type: str
    vcpus: int
    memory: int
    seconds: float
    amount: float
    against: str = ""


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """`compute_type` is empty when there is too little to go by; `reason` says why in either case."""

    compute_type: str
    environment_type: str
    reason: str
    runs: int
    choices: tuple[Choice, ...] = ()


def cost(
    compute_type: str, environment_type: str, seconds: float, *, region: str = "", price: str = ""
) -> Cost:
    """The cost of one build of `seconds`, in `region` (default: the one that prices are known for).

    `price` (dollars for a minute, or for a second on Lambda) replaces the known one, for negotiated prices and other regions.

    Raises:
        UsageError: there is no such compute type, or `price` or `seconds` is no amount.
    """
    row, table = facts.compute(compute_type, environment_type), facts.computes()
    if not math.isfinite(seconds) or seconds < 0:
        raise UsageError(f"a build cannot take {seconds} seconds")
    each = _price(price) if price else Decimal(row.price) if row.price else None
    units = _units(seconds, row.unit)
    where = region or table.region
    return Cost(
        compute_type=row.compute,
        environment_type=row.environment,
        region=where,
        seconds=seconds,
        unit=row.unit,
        units=units,
        price=None if each is None else float(each),
        amount=None if each is None else float(each * units),
        currency=table.currency,
        priced_in=where if price else table.region,
        as_of="" if price else table.as_of,
        source="as given" if price else table.source,
        free=_free(row),
        notes=tuple(_notes(row, where, price)),
    )


def _units(seconds: float, unit: str) -> int:
    """Started units; a build that took no time is still one."""
    # What floating point adds to a whole minute is no minute more.
    return max(1, math.ceil(round(seconds / (60 if unit == "minute" else 1), 6)))


def _price(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise UsageError(f"{text!r} is no price", fix="give dollars as 0.012")
    return value


def _free(row: facts.Compute) -> str:
    for one in facts.computes().free:
        if (one.compute, one.environment) == (row.compute, row.environment):
            return f"the first {one.amount} {one.unit}s of this type each month are free"
    return ""


def _notes(row: facts.Compute, region: str, price: str) -> Iterable[str]:
    table = facts.computes()
    if price:
        return
    if not row.price:
        yield f"the price of {row.name} is not known here; --price gives it, {table.source} shows it"
    elif row.evidence == "approximate":
        yield f"the price of {row.name} is approximate (as of {table.as_of})"
    if row.price and region != table.region:
        yield f"the price is that of {table.region}; {region} may differ, --price replaces it"


def text(found: Cost) -> str:
    """The cost in a few lines: `20 minutes at $0.01 = $0.20 …`."""
    row = facts.compute(found.compute_type, found.environment_type)
    each = "an unknown price" if found.price is None else dollars(found.price)
    total = "not known" if found.amount is None else dollars(found.amount)
    units = f"{found.units} {found.unit}{'' if found.units == 1 else 's'}"
    hardware = f"{row.vcpus} vCPUs, " if row.vcpus else ""
    lines = [
        f"{units} at {each} = {total}",
        f"{found.compute_type} ({row.name}: {hardware}{row.memory} GiB), {found.priced_in}"
        + (f", prices of {found.as_of}" if found.as_of else ", price as given"),
        f"each started {found.unit} of each build is billed",
    ]
    lines += [found.free] if found.free else []
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)]) + "\n"


def dollars(amount: float) -> str:
    """`$0.24`; smaller amounts keep the digits that they need: `$0.00425`."""
    exact = Decimal(str(amount)).quantize(Decimal("1e-8")).normalize()
    digits = max(2, -int(exact.as_tuple().exponent))
    return f"${exact:.{digits}f}"


def sample(run: Mapping[str, Any]) -> Sample | None:
    """What a run, as `--json` prints it, tells of the resources that it took; None while it has not ended."""
    if run.get("duration") is None:
        return None
    used = run["outputs"].get("resources") or {}
    return Sample(
        run=run["id"],
        seconds=run["duration"],
        cpu_seconds=used.get("cpu_seconds"),
        peak_memory=used.get("peak_memory"),
    )


def recommend(samples: Sequence[Sample], *, environment_type: str = "LINUX_CONTAINER") -> Recommendation:
    """The cheapest compute type on which builds like these fit and are no slower than they have to be.

    Memory needs the highest peak of one process and a quarter more. Processor time is spread over the processors there are, so a type
    with fewer of them than the builds kept busy takes longer; one with more does not make them faster.
    """
    environment = facts.compute("small", environment_type).environment
    known = [one for one in samples if one.cpu_seconds is not None and one.peak_memory is not None]
    if len(known) < ENOUGH:
        reason = (
            f"{len(known)} earlier builds of this project have told what processors and memory they used; "
            f"{ENOUGH} are needed to say something about the next"
        )
        return Recommendation(compute_type="", environment_type=environment, reason=reason, runs=len(known))
    seconds = median(one.seconds for one in known)
    cpu = median(one.cpu_seconds or 0.0 for one in known)
    peak = max(one.peak_memory or 0 for one in known) / 2**30
    busy = cpu / seconds if seconds else 0.0
    rows = [one for one in facts.computes().types if one.environment == environment and one.price]
    choices = tuple(_choice(row, seconds, busy, peak) for row in rows)
    fitting = [one for one in choices if not one.against]
    told = f"{len(known)} builds: {seconds:.0f} s, {busy:.1f} processors busy, at most {peak:.1f} GiB in one process"
    if not fitting:
        return Recommendation(
            compute_type="", environment_type=environment, runs=len(known), choices=choices,
            reason=f"{told}: none of the types of {environment} has that much memory",
        )  # fmt: skip
    best = min(fitting, key=lambda one: (one.amount, one.seconds))
    return Recommendation(
        compute_type=best.compute_type, environment_type=environment, reason=f"{told}: the cheapest that fits",
        runs=len(known), choices=choices,
    )  # fmt: skip


def _choice(row: facts.Compute, seconds: float, busy: float, peak: float) -> Choice:
    longer = seconds * max(1.0, busy / row.vcpus)
    amount = Decimal(row.price) * _units(longer, row.unit)
    short = (
        f"{row.memory} GiB are too little for {peak * _SPARE:.1f} GiB" if peak * _SPARE > row.memory else ""
    )
    return Choice(
        compute_type=row.compute, environment_type=row.environment, vcpus=row.vcpus, memory=row.memory,
        seconds=round(longer, 1), amount=float(amount), against=short,
    )  # fmt: skip
