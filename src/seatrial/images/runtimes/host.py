"""What a program in an image gets from this machine: name servers, certificates, proxies. Nothing is baked in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.files import write_atomic
from seatrial.images.rootfs import Root, locate

if TYPE_CHECKING:
    from collections.abc import Mapping

PROXY_VARIABLES = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY"}
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT")
# Debian, Alpine; Fedora, RHEL; openSUSE.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)
ISOLATED_HOSTS = "127.0.0.1 localhost seatrial\n::1 localhost\n"


def ca_bundle(host: Mapping[str, str]) -> str | None:
    """The certificates that this machine trusts: what the environment names, else the distribution's bundle."""
    for place in (host.get("SSL_CERT_FILE", ""), host.get("REQUESTS_CA_BUNDLE", ""), *BUNDLES):
        if place and Path(place).is_file():
            return str(Path(place).resolve())
    return None


def ca_target(root: Root) -> str | None:
    """Where the image keeps its bundle, when it has a folder for certificates."""
    folder, exists = locate(root, "/etc/ssl/certs")
    return f"{folder}/ca-certificates.crt" if exists is not None and exists.is_dir() else None


def files(root: Root, *, isolated: bool, settings: bool, host: Mapping[str, str]) -> list[tuple[str, str]]:
    """Files of this machine and where the program sees them, read-only."""
    if isolated:
        # Without the first of them `localhost` has no address.
        for name, content in (("hosts", ISOLATED_HOSTS), ("hostname", "seatrial\n")):
            if not (Path(root.store) / name).exists():
                write_atomic(Path(root.store) / name, content)
        return [(str(Path(root.store) / name), f"/etc/{name}") for name in ("hosts", "hostname")]
    found = [(p, p) for p in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf") if Path(p).is_file()]
    bundle, target = ca_bundle(host), ca_target(root)
    if settings and bundle and target:
        found.append((bundle, target))
    return [(str(Path(source).resolve()), place) for source, place in found]
