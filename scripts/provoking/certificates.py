"""Certificates of an authority that nobody trusts, made with openssl."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Pair(NamedTuple):
    certificate: Path
    key: Path


def authority(folder: Path) -> Path:
    """Make the authority in `folder` and return its certificate."""
    _openssl(
        folder,
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Example Proxy CA"),
        *("-keyout", "ca.key", "-out", "ca.pem"),
    )
    return folder / "ca.pem"


def issue(folder: Path, name: str, *, names: Sequence[str], expired: bool = False) -> Pair:
    """A certificate of the authority in `folder` for `names`; an expired one was valid for a day in 2020."""
    _openssl(
        folder,
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={names[0].partition(':')[2]}"),
        *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
    )
    (folder / f"{name}.ext").write_text(f"subjectAltName={','.join(names)}\n")
    (folder / "index.txt").write_text("")
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\n"
        "policy=p\n[p]\ncommonName=supplied\n"
    )
    span = ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z") if expired else ("-days", "29")
    _openssl(
        folder,
        *("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"),
        *("-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.ext", "-notext", *span),
    )
    return Pair(folder / f"{name}.pem", folder / f"{name}.key")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
