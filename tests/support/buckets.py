"""S3 on this machine: moto answers, real boto3 asks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from seatrial.readiness import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def s3_server() -> Iterator[str]:
    """Start it, point AWS's variables to it, and say its HOST:PORT. Buckets `artifacts` and `caches` are there."""
    server = pytest.importorskip(
        "moto.server", reason="moto is not installed: nothing here speaks S3's protocol"
    )
    pytest.importorskip("boto3", reason="boto3 is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    running.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            host = f"127.0.0.1:{running._port}"
            patch.setenv("AWS_ENDPOINT_URL", f"http://{host}")
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            patch.setenv("AWS_REGION", "us-east-1")
            patch.delenv("AWS_PROFILE", raising=False)
            from seatrial.cloud import s3

            for bucket in ("artifacts", "caches", "sources"):
                s3.client().create_bucket(Bucket=bucket)
            yield host
    finally:
        running.stop()
