"""Keys, signatures and envelopes, compared with other programs' reading of them."""

from __future__ import annotations

import base64
import copy
import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import MissingToolError, UsageError
from seatrial.images.attesting import envelope, keys
from support.registries import need

if TYPE_CHECKING:
    from pathlib import Path

KINDS = keys.KINDS


@pytest.fixture(autouse=True)
def openssl() -> None:
    need("openssl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key of each kind, named by it: making one takes a while, as it should."""
    need("openssl")
    folder = tmp_path_factory.mktemp("keys")
    for kind in KINDS:
        keys.make_key(folder / kind, "secret words", kind=kind)
    return folder


def check_with_cryptography(pem: str, message: bytes, signature: bytes) -> None:
    serialization = pytest.importorskip(
        "cryptography.hazmat.primitives.serialization", reason="cryptography is not installed"
    )
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    public: Any = serialization.load_pem_public_key(pem.encode())
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    else:
        public.verify(signature, message)


@pytest.mark.parametrize("kind", KINDS)
def test_another_library_verifies_what_is_signed(made: Path, kind: keys.Kind) -> None:
    key = keys.private_key(made / kind, "secret words")
    public = keys.public_key(made / f"{kind}.pub")
    assert key.public == public
    assert public.kind == kind
    signature = keys.sign(key, b"message")
    check_with_cryptography(public.pem, b"message", signature)
    assert keys.verify(public, b"message", signature)
    assert not keys.verify(public, b"Message", signature)
    assert not keys.verify(public, b"message", signature[:-1] + bytes([signature[-1] ^ 1]))


def test_a_private_key_is_encrypted_and_its_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        keys.make_key(tmp_path / "key", "secret words")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert "BEGIN ENCRYPTED PRIVATE KEY" in (tmp_path / "key").read_text()
    info = subprocess.run(
        ["openssl", "asn1parse", "-in", tmp_path / "key"], capture_output=True, text=True, check=True
    ).stdout
    assert "PBKDF2" in info
    assert "hmacWithSHA256" in info
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["key", "key.pub"]


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text("precious")
    with pytest.raises(UsageError, match="there is a file already"):
        keys.make_key(tmp_path / "key", "secret words")
    assert not (tmp_path / "key").exists()


BROKEN = {
    "nothing": "",
    "another text": "hello",
    "a certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "damaged": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "cosign's own": "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_is_no_key_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    place = tmp_path / "key"
    place.write_text(text)
    for reading in (keys.public_key, lambda path: keys.private_key(path, "x")):
        with pytest.raises(UsageError) as caught:
            reading(place)
        assert caught.value.where == str(place)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        capture_output=True,
        check=True,
    )
    (tmp_path / "key").write_bytes(made.stdout)
    with pytest.raises(UsageError, match="of this kind"):
        keys.private_key(tmp_path / "key", None)


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_a_locked_key_does_not_open_without_its_passphrase(made: Path, passphrase: str | None) -> None:
    with pytest.raises(UsageError, match=r"passphrase|cannot be opened"):
        keys.private_key(made / "ecdsa-p256", passphrase)


def test_without_openssl_it_is_said_what_is_missing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="openssl"):
        keys.private_key(made / "ecdsa-p256", "secret words")


@pytest.mark.parametrize("kind", KINDS)
def test_envelopes_are_verified_by_securesystemslib(made: Path, kind: keys.Kind) -> None:
    dsse = pytest.importorskip("securesystemslib.dsse", reason="securesystemslib is not installed")
    signer = pytest.importorskip("securesystemslib.signer")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    private = keys.private_key(made / kind, "secret words")
    payload = envelope.statement("sha256:" + "a" * 64, "image", "https://example.com/predicate", {"ü": 1})
    sealed = json.loads(envelope.seal(payload, private))
    key = signer.SSlibKey.from_crypto(serialization.load_pem_public_key(private.public.pem.encode()))
    sealed["signatures"][0]["keyid"] = key.keyid  # each has its own way to name a key
    assert dsse.Envelope.from_dict(copy.deepcopy(sealed)).verify([key], 1)
    sealed["payload"] = base64.b64encode(payload + b" ").decode()
    with pytest.raises(Exception, match=r"threshold|signature"):
        dsse.Envelope.from_dict(sealed).verify([key], 1)


def test_statements_are_valid_by_in_totos_own_library() -> None:
    statement = pytest.importorskip(
        "in_toto_attestation.v1.statement", reason="in-toto-attestation is not installed"
    )
    messages = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    parsing = pytest.importorskip("google.protobuf.json_format")
    payload = envelope.statement("sha256:" + "a" * 64, "image", "https://example.com/predicate", {"x": [1]})
    statement.Statement.copy_from_pb(parsing.Parse(payload, messages.Statement())).validate()
