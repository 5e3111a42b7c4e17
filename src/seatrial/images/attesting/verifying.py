"""Whether what is attested of an image was signed by a key, and is about that image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.attesting import envelope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.attesting.cosign import Signed
    from seatrial.images.attesting.keys import PublicKey

State = Literal["valid", "invalid", "other key", "unsigned"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one document or signature. `about` is the predicate's type, or `signature`; `why` says what is wrong."""

    about: str
    state: State
    digest: str
    why: str = ""


def judge_envelope(content: bytes, digest: str, image: str, key: PublicKey) -> Verdict:
    """An envelope that is attached to `image` under `digest`.

    Raises:
        MissingToolError: openssl is missing.
    """
    try:
        sealed = envelope.read(content)
        about, subjects = _statement(envelope.payload_of(sealed))
        good = envelope.signed_by(sealed, key)
    except SeatrialError as error:
        return Verdict(about="statement", state="invalid", digest=digest, why=error.what)
    if not good:
        ours = any(one.keyid == key.identity for one in sealed.signatures)
        why = "the statement was changed after it was signed" if ours else "the key did not sign it"
        return Verdict(about=about, state="invalid" if ours else "other key", digest=digest, why=why)
    if sealed.payload_type != envelope.STATEMENT:
        return Verdict(about=about, state="invalid", digest=digest, why="it is no in-toto statement")
    if image.removeprefix("sha256:") not in subjects:
        return Verdict(about=about, state="invalid", digest=digest, why="it is about another image")
    return Verdict(about=about, state="valid", digest=digest)


def judge_signatures(found: Iterable[Signed], image: str, repository: str) -> list[Verdict]:
    """Signatures beside an image in that repository."""
    verdicts = []
    for one in found:
        if not one.valid:
            verdicts.append(
                Verdict(about="signature", state="other key", digest=image, why="the key did not sign it")
            )
        elif one.digest != image:
            why = f"it is about {one.digest}"
            verdicts.append(Verdict(about="signature", state="invalid", digest=image, why=why))
        elif one.reference != repository:
            why = f"it is about {one.reference}"
            verdicts.append(Verdict(about="signature", state="invalid", digest=image, why=why))
        else:
            verdicts.append(Verdict(about="signature", state="valid", digest=image))
    return verdicts


def holds(verdicts: Iterable[Verdict]) -> bool:
    """Whether the key has signed at least one thing about the image, and nothing with its name on it is wrong."""
    states = [one.state for one in verdicts]
    return "valid" in states and "invalid" not in states


def _statement(payload: bytes) -> tuple[str, set[str]]:
    try:
        told: Any = msgspec.json.decode(payload)
        return str(told["predicateType"]), {str(one["digest"]["sha256"]) for one in told["subject"]}
    except (msgspec.MsgspecError, KeyError, TypeError, RecursionError) as error:
        raise SeatrialError("the envelope holds no statement") from error
