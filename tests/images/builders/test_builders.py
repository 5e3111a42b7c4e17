"""What every builder does: the same Dockerfile gives the same files, and nothing of this machine is in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.images import layout as oci
from support import dockerfiles

if TYPE_CHECKING:
    from pathlib import Path

# What a large company's machine has: an authority of its own, a proxy with a login, a token.
PROXY = "http://jane:pr0xy-passw0rd@proxy.example:3128"
TOKEN = "t0ken-of-the-build-4711"
WHOLE = """\
ARG WHAT=nothing
FROM python:3.11-slim AS made
RUN --mount=type=cache,target=/kept echo once >> /kept/log && wc -l < /kept/log > /count
FROM python:3.11-slim
ARG WHAT
ENV MODE=prod
WORKDIR /app
COPY --from=made /count ./count
COPY . .
RUN --mount=type=secret,id=token wc -c < /run/secrets/token > size && echo "$WHAT" > what
RUN <<EOF
set -e
head -n 1 "$SSL_CERT_FILE" > trusted
test -n "$HTTP_PROXY" && echo yes > proxied
EOF
USER app
RUN head -n 1 "$SSL_CERT_FILE"
CMD ["cat", "count"]
"""


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("podman", "docker", "buildkit")]


@pytest.mark.parametrize("builder", ["buildah", *SLOW])
def test_a_builder_passes_what_the_machine_has_and_bakes_nothing_in(builder: str, tmp_path: Path) -> None:
    base = dockerfiles.base(tmp_path / "base")
    folder = dockerfiles.project(
        tmp_path / "work", WHOLE, app_py="print(1)\n", notes_md="x", _dockerignore="*.md\n"
    )
    bundle = dockerfiles.certificate(tmp_path / "ca")
    with dockerfiles.ready(builder, tmp_path / "engine") as environ:
        options = [
            "--builder",
            builder,
            "--oci",
            "../out",
            "--build-arg",
            "WHAT=this",
            "--secret",
            "id=token,env=TOKEN",
        ]
        options += ["--network", "host"] if builder in ("docker", "buildkit") else []
        settings = {**environ, "SSL_CERT_FILE": str(bundle), "HTTP_PROXY": PROXY, "TOKEN": TOKEN}
        answer = dockerfiles.build(folder, base, *options, **settings)
    assert answer["code"] == 0, answer.get("log") or answer["error"]
    image, below = oci.read_image(tmp_path / "out"), oci.read_image(base)
    assert image.digest == answer["digest"]
    assert image.manifest.layers[: len(below.manifest.layers)] == below.manifest.layers
    files = dockerfiles.own_files(tmp_path / "out", len(below.manifest.layers))
    assert {name: files[f"/app/{name}"].strip() for name in ("size", "what", "trusted", "proxied")} == {
        "size": str(len(TOKEN)).encode(),
        "what": b"this",
        "trusted": b"-----BEGIN CERTIFICATE-----",
        "proxied": b"yes",
    }
    assert "/app/app.py" in files
    assert "/app/notes.md" not in files
    assert image.config["config"]["Cmd"] == ["cat", "count"]
    assert "MODE=prod" in image.config["config"]["Env"]

    content = dockerfiles.everything(tmp_path / "out")
    body = "".join(bundle.read_text().splitlines()[1:-1])
    for value in (PROXY, "pr0xy-passw0rd", TOKEN, body[200:240]):
        assert value.encode() not in content
    assert b"seatrial" not in content, "a trace of how it was built"

    steps = {one["line"]: one for one in answer["steps"]}
    assert steps[10]["instruction"].startswith("RUN --mount=type=secret,id=token wc -c")
    assert steps[10]["size"] > 0
    assert steps[10]["seconds"] > 0


@pytest.mark.slow
def test_steps_and_cache_mounts_are_kept_between_builds(tmp_path: Path) -> None:
    base = dockerfiles.base(tmp_path / "base")
    folder = dockerfiles.project(
        tmp_path / "work",
        "FROM python:3.11-slim\nRUN --mount=type=cache,target=/kept echo x >> /kept/log && wc -l < /kept/log > /count\n",
    )
    layers = len(oci.read_image(base).manifest.layers)
    answers, counts = [], []
    with dockerfiles.ready("buildah", tmp_path / "engine") as environ:
        for options in ((), (), ("--no-cache",)):
            answers.append(
                dockerfiles.build(folder, base, "--builder=buildah", "--oci=../out", *options, **environ)
            )
            counts.append(int(dockerfiles.own_files(tmp_path / "out", layers)["/count"]))
    assert [one["steps"][1]["state"] for one in answers] == ["done", "cached", "done"]
    assert [one["steps"][1]["expected"] > 0 for one in answers] == [False, True, True]
    assert counts[1] == counts[0]
    assert counts[2] == counts[0] + 1


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("RUN cp $SSL_CERT_FILE /ca.pem", "a certificate of this machine: layer 3, /ca.pem"),
        ("RUN --mount=type=secret,id=token cp /run/secrets/token /t && rm /t && cp /run/secrets/token /u", "the secret token: layer 3, /u"),
        ("ARG HTTP_PROXY\nENV SAVED=$HTTP_PROXY", "the address of a proxy: the image's settings or history"),
    ],
)  # fmt: skip
def test_an_image_that_holds_what_must_stay_here_is_refused(step: str, said: str, tmp_path: Path) -> None:
    base = dockerfiles.base(tmp_path / "base")
    folder = dockerfiles.project(tmp_path / "work", f"FROM python:3.11-slim\n{step}\n")
    bundle = dockerfiles.certificate(tmp_path / "ca")
    with dockerfiles.ready("buildah", tmp_path / "engine") as environ:
        answer = dockerfiles.build(
            folder, base, "--builder=buildah", "--oci=../out", "--secret=id=token,env=TOKEN",
            **environ, SSL_CERT_FILE=str(bundle), HTTP_PROXY=PROXY, TOKEN=TOKEN,
        )  # fmt: skip
    assert answer["code"] == 1
    assert said in answer["error"]
    assert TOKEN not in answer["error"]
    assert "pr0xy-passw0rd" not in answer["error"]
    assert not (tmp_path / "out").exists()


def test_the_same_inputs_give_the_same_digest_in_another_folder(tmp_path: Path) -> None:
    base = dockerfiles.base(tmp_path / "base")
    digests = []
    for name in ("one", "two"):
        folder = dockerfiles.project(
            tmp_path / name / "work",
            "FROM python:3.11-slim\nCOPY a.txt /\nRUN echo made > /made\n",
            a_txt="a",
        )
        with dockerfiles.ready("buildah", tmp_path / name / "engine") as environ:
            answer = dockerfiles.build(
                folder, base, "--builder=buildah", **environ, SOURCE_DATE_EPOCH="1700000000"
            )
        digests.append(answer["digest"])
    assert digests[0] == digests[1]


def test_a_base_package_that_was_replaced_is_reported(tmp_path: Path) -> None:
    from support.debian import Item, image

    meta = "Metadata-Version: 2.1\nName: torch\nVersion: {}\n"
    site = "usr/local/lib/python3.11/site-packages"
    plain = dockerfiles.base(tmp_path / "plain")
    image(
        tmp_path / "base",
        [[Item(f"{site}/torch-2.7.1+cu128.dist-info/METADATA", meta.format("2.7.1+cu128"))]],
        {"Env": ["PATH=/bin"]},
        base=plain,
    )
    folder = dockerfiles.project(
        tmp_path / "work",
        f"FROM python:3.11-slim\nRUN rm -r /{site}/torch-2.7.1+cu128.dist-info\n"
        f"COPY METADATA /{site}/torch-2.8.0.dist-info/METADATA\n",
    )
    (folder / "METADATA").write_text(meta.format("2.8.0"))
    with dockerfiles.ready("buildah", tmp_path / "engine") as environ:
        answer = dockerfiles.build(folder, tmp_path / "base", "--builder=buildah", **environ)
    assert [(one["name"], one["before"], one["after"]) for one in answer["replaced"]] == [
        ("torch", "2.7.1+cu128", "2.8.0")
    ]
    assert "built for cu128" in answer["replaced"][0]["note"]
