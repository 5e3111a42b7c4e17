"""What recipes need beside a folder: servers that misbehave, certificates, and a cloud that enforces its policies.

Each world is a context manager that gets a folder of its own and yields environment variables.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

from provoking.certificates import authority, issue
from provoking.web import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    World = Callable[[Path], AbstractContextManager[dict[str, str]]]

_UP_WITHIN = 60.0


@contextmanager
def web(_folder: Path) -> Iterator[dict[str, str]]:
    """A server that answers what the path asks for (`provoking.web`), and is a proxy as well."""
    with serving() as port:
        yield {"WEB": f"http://127.0.0.1:{port}", "WEB_HOST": f"127.0.0.1:{port}"}


@contextmanager
def tls(folder: Path) -> Iterator[dict[str, str]]:
    """Servers with certificates of an own authority (`TLS_CA`): a right one, an expired one, one for another name.

    Clients of `TLS_OWN_CA` that are not told the authority see what a network sees that opens TLS by a proxy.
    """
    folder.mkdir()
    ca = authority(folder)
    right = issue(folder, "right", names=["DNS:localhost", "IP:127.0.0.1"])
    expired = issue(folder, "expired", names=["DNS:localhost", "IP:127.0.0.1"], expired=True)
    other = issue(folder, "other", names=["DNS:packages.example.com"])
    with serving(right) as first, serving(expired) as second, serving(other) as third:
        yield {
            "TLS_CA": str(ca),
            "TLS_OWN_CA": f"https://localhost:{first}",
            "TLS_HOST": f"localhost:{first}",
            "TLS_EXPIRED": f"https://localhost:{second}",
            "TLS_OTHER_NAME": f"https://localhost:{third}",
        }


@contextmanager
def cloud(_folder: Path) -> Iterator[dict[str, str]]:
    """moto as AWS, with policies enforced: by default as a user who may only do `sts:GetCallerIdentity` and `s3:List*`.

    `AWS_ADMIN` holds credentials as `KEY:SECRET` of a user who may do everything.
    """
    url = _moto()
    _post(f"{url}/moto-api/reset-auth", b"1000000")
    _post(f"{url}/moto-api/reset", b"")
    yield {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_MAX_ATTEMPTS": "1",
        **_users(url),
    }


@contextmanager
def registry(folder: Path) -> Iterator[dict[str, str]]:
    """An empty registry at `REGISTRY`."""
    folder.mkdir()
    port = free_port()
    configuration = folder / "config.yml"
    configuration.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    binary = shutil.which("docker-registry") or "docker-registry"
    server = subprocess.Popen(
        [binary, "serve", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until_up(f"http://127.0.0.1:{port}/v2/")
        yield {"REGISTRY": f"127.0.0.1:{port}"}
    finally:
        server.terminate()
        server.wait()


@contextmanager
def torch(_folder: Path) -> Iterator[dict[str, str]]:
    """Python with PyTorch, from the folder that `PROVOKE_TORCH` names, and numpy."""
    yield {
        "PYTHONPATH": os.environ.get("PROVOKE_TORCH", ""),
        "OMP_NUM_THREADS": "1",
        "PORT": str(free_port()),
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }


WORLDS: dict[str, World] = {"web": web, "tls": tls, "cloud": cloud, "registry": registry, "torch": torch}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _until_up(url: str) -> None:
    deadline = time.monotonic() + _UP_WITHIN
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers at {url} after {_UP_WITHIN:.0f} seconds")


def _users(url: str) -> dict[str, str]:
    """Make the two users, then turn enforcement on, and return their credentials as variables."""
    import boto3

    iam = boto3.client(
        "iam",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="setup",
        aws_secret_access_key="setup",
    )
    few = '["sts:GetCallerIdentity", "s3:List*"]'
    keys = {}
    for name, actions in (("deployer", few), ("admin", '["*"]')):
        iam.create_user(UserName=name)
        policy = f'{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": {actions}, "Resource": "*"}}]}}'
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
        keys[name] = iam.create_access_key(UserName=name)["AccessKey"]
    _post(f"{url}/moto-api/reset-auth", b"0")
    return {
        "AWS_ACCESS_KEY_ID": keys["deployer"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["deployer"]["SecretAccessKey"],
        "AWS_ADMIN": f"{keys['admin']['AccessKeyId']}:{keys['admin']['SecretAccessKey']}",
    }


@cache
def _moto() -> str:
    """The address of a server that lives as long as this process, as starting one takes seconds."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "1000000"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(server.terminate)
    _until_up(f"http://127.0.0.1:{port}/moto-api/data.json")
    return f"http://127.0.0.1:{port}"


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(request).close()
