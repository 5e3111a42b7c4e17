"""Keys that sign attestations, and what they sign with: the program `openssl`.

A private key is PKCS #8 in PEM, encrypted; a public one is SubjectPublicKeyInfo in PEM: what cosign, skopeo and
every other tool reads. A passphrase reaches openssl by its environment, which only the same user can read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from seatrial.errors import MissingToolError, SeatrialError, UsageError
from seatrial.files import write_atomic
from seatrial.processes import find, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.processes import Completed

Kind = Literal["ecdsa-p256", "ed25519"]
KINDS: tuple[Kind, ...] = ("ecdsa-p256", "ed25519")
# The beginning of each kind's SubjectPublicKeyInfo, and its length. Sources: RFC 5480 and RFC 8410.
_FORMS: dict[Kind, tuple[bytes, int]] = {
    "ecdsa-p256": (bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"), 91),
    "ed25519": (bytes.fromhex("302a300506032b6570032100"), 44),
}
_GENERATE: dict[Kind, tuple[str, ...]] = {
    "ecdsa-p256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "ed25519": ("-algorithm", "ED25519"),
}
_VARIABLE = "SEATRIAL_OPENSSL_PASSPHRASE"
_STDIN = "/dev/stdin"
_ROUNDS = "600000"  # of PBKDF2 with SHA-256. Source: OWASP, "Password Storage Cheat Sheet"
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\s*(?P<body>[A-Za-z0-9+/=\s]+?)-----END PUBLIC KEY-----")
_PRIVATE = re.compile(r"-----BEGIN (?P<form>[A-Z ]*PRIVATE KEY)-----")


class PublicKey(NamedTuple):
    """A key that verifies. `identity` is sha256 of its encoded form."""

    kind: Kind
    pem: str
    identity: str


class PrivateKey:
    """A key that signs, opened: held in memory for as long as it is needed, never shown, never written."""

    __slots__ = ("_pem", "public")

    def __init__(self, pem: str, public: PublicKey) -> None:
        self._pem = pem
        self.public = public

    def opened(self) -> str:
        """The key itself in PEM, not encrypted."""
        return self._pem


def make_key(path: Path, passphrase: str, *, kind: Kind = "ecdsa-p256") -> PublicKey:
    """Write a new private key to `path`, encrypted and readable by its owner alone, and the public one to `path`.pub.

    Raises:
        UsageError: one of the files is there, or the passphrase is empty.
        MissingToolError: openssl is missing.
    """
    public_path = path.with_name(f"{path.name}.pub")
    for place in (path, public_path):
        if os.path.lexists(place):
            raise UsageError(
                "there is a file already", where=str(place), fix="choose another name for the key"
            )
    if not passphrase:
        raise UsageError("a key needs a passphrase", fix="give one that is not empty")
    plain = _done(_openssl(["genpkey", *_GENERATE[kind]]), "make a key")
    sealed = _done(
        _openssl(
            ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", _ROUNDS,
             "-passout", f"env:{_VARIABLE}"],
            stdin=plain, passphrase=passphrase,
        ),
        "encrypt the key",
    )  # fmt: skip
    public = _done(_openssl(["pkey", "-pubout"], stdin=plain), "read the key")
    write_atomic(path, sealed, mode=0o600)
    write_atomic(public_path, public)
    return _public(public, str(public_path))


def private_key(path: Path, passphrase: str | None) -> PrivateKey:
    """Open a private key.

    Raises:
        UsageError: it is none, or of a kind that is not signed with, or its passphrase is missing or wrong.
        MissingToolError: openssl is missing.
    """
    text = _text(path)
    form = _PRIVATE.search(text)
    if form is None:
        raise UsageError("this is no private key in PEM", where=str(path), fix="make one with --new-key FILE")
    if "SIGSTORE" in form["form"] or "COSIGN" in form["form"]:
        raise UsageError(
            "this key is in cosign's own encryption", where=str(path), why="openssl does not read it",
            fix="make a key with --new-key FILE; cosign verifies what it signs with FILE.pub",
        )  # fmt: skip
    locked = "ENCRYPTED" in form["form"] or "Proc-Type: 4,ENCRYPTED" in text
    if locked and passphrase is None:
        raise UsageError(
            "the key needs its passphrase", where=str(path),
            fix="set SEATRIAL_KEY_PASSPHRASE, or give --passphrase-file FILE",
        )  # fmt: skip
    done = _openssl(["pkey", "-in", str(path.absolute()), *_passin(passphrase)], passphrase=passphrase)
    if done.code != 0:
        raise UsageError(
            "the key cannot be opened", where=str(path), why="the passphrase is wrong, or the file is damaged",
            fix="check the passphrase",
        )  # fmt: skip
    public = _done(_openssl(["pkey", "-pubout"], stdin=done.stdout), "read the key")
    return PrivateKey(done.stdout, _public(public, str(path)))


def public_key(path: Path) -> PublicKey:
    """Read a public key.

    Raises:
        UsageError: it is none, or of a kind that is not verified with.
    """
    return _public(_text(path), str(path))


def sign(key: PrivateKey, message: bytes) -> bytes:
    """The signature: ECDSA with SHA-256 in DER, or Ed25519.

    Raises:
        SeatrialError: openssl refuses.
        MissingToolError: openssl is missing.
    """
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        data, out = Path(folder, "data"), Path(folder, "signature")
        data.write_bytes(message)
        files = ["-in", str(data), "-out", str(out)]
        argv = ["pkeyutl", "-sign", "-rawin", "-inkey", _STDIN, *files]
        if key.public.kind != "ed25519":
            argv = ["dgst", "-sha256", "-sign", _STDIN, "-out", str(out), str(data)]
        _done(_openssl(argv, stdin=key.opened()), "sign")
        return out.read_bytes()


def verify(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether the key's owner signed exactly this message.

    Raises:
        MissingToolError: openssl is missing.
    """
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        pem, data, given = (Path(folder, name) for name in ("key.pem", "data", "signature"))
        pem.write_text(key.pem)
        data.write_bytes(message)
        given.write_bytes(signature)
        if key.kind == "ed25519":
            argv = [
                "pkeyutl",
                "-verify",
                "-rawin",
                "-pubin",
                "-inkey",
                str(pem),
                "-sigfile",
                str(given),
                "-in",
                str(data),
            ]
        else:
            argv = ["dgst", "-sha256", "-verify", str(pem), "-signature", str(given), str(data)]
        return _openssl(argv).code == 0


def _public(text: str, where: str) -> PublicKey:
    match = _PEM.search(text)
    if match is None:
        raise UsageError(
            "this is no public key in PEM", where=where,
            fix="give the file that ends in .pub" if _PRIVATE.search(text) else "give a key in PEM",
        )  # fmt: skip
    try:
        encoded = base64.b64decode("".join(match["body"].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError("the public key is damaged", where=where, why=str(error)) from error
    for kind, (start, length) in _FORMS.items():
        if encoded.startswith(start) and len(encoded) == length:
            return PublicKey(kind, match[0] + "\n", hashlib.sha256(encoded).hexdigest())
    raise UsageError(
        "keys of this kind are not used", where=where, why="ECDSA on P-256 and Ed25519 are",
        fix="make a key with --new-key FILE",
    )  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise UsageError("this is no key in PEM", where=str(path), fix="give a key in PEM") from error
    except OSError as error:
        raise UsageError(f"cannot read the key: {error.strerror}", where=str(path)) from error


def _passin(passphrase: str | None) -> list[str]:
    return ["-passin", f"env:{_VARIABLE}"] if passphrase is not None else []


def _openssl(argv: Sequence[str], *, stdin: str | None = None, passphrase: str | None = None) -> Completed:
    try:
        program = find("openssl")
    except MissingToolError as error:
        raise MissingToolError(
            "openssl is not installed", why="signatures are made and verified with it",
            fix="install it: apt install openssl",
        ) from error  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != _VARIABLE}
    if passphrase is not None:
        environment[_VARIABLE] = passphrase
    return run([program, *argv], stdin=stdin, env=environment, timeout=60)


def _done(done: Completed, what: str) -> str:
    if done.code != 0:
        said = [line for line in done.stderr.strip().splitlines() if line]
        raise SeatrialError(f"openssl could not {what}", why=said[-1][:300] if said else None)
    return done.stdout
