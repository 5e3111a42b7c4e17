"""The history that an image keeps: what the user wrote, and nothing that was added for the build."""

from __future__ import annotations

import pytest

from seatrial.images.builders.finish import without_ours

VARIABLES = {"PIP_CERT": "/run/secrets/seatrial/ca.pem", "SSL_CERT_FILE": "/run/secrets/seatrial/ca.pem"}
CASES = [
    ("/bin/sh -c #(nop) ARG PIP_CERT SSL_CERT_FILE", None),
    ("ARG PIP_CERT=/run/secrets/seatrial/ca.pem SSL_CERT_FILE=/run/secrets/seatrial/ca.pem", None),
    ("/bin/sh -c #(nop) ARG VERSION", "/bin/sh -c #(nop) ARG VERSION"),
    ("/bin/sh -c #(nop) ARG PIP_CERT SSL_CERT_FILE VERSION", "/bin/sh -c #(nop) ARG VERSION"),
    (
        "|2 PIP_CERT=/run/secrets/seatrial/ca.pem SSL_CERT_FILE=/run/secrets/seatrial/ca.pem /bin/sh -c make",
        "/bin/sh -c make",
    ),
    (
        "RUN |3 PIP_CERT=/run/secrets/seatrial/ca.pem SSL_CERT_FILE=/run/secrets/seatrial/ca.pem VERSION=3 /bin/sh -c make # buildkit",
        "RUN |1 VERSION=3 /bin/sh -c make # buildkit",
    ),
    (
        "/bin/sh -c --mount=type=secret,id=seatrial-ca,target=/run/secrets/seatrial/ca.pem,mode=0444,required=false make",
        "/bin/sh -c make",
    ),
    ("/bin/sh -c --mount=type=secret,id=mine make", "/bin/sh -c --mount=type=secret,id=mine make"),
    ('CMD ["ARG", "PIP_CERT"]', 'CMD ["ARG", "PIP_CERT"]'),
]


@pytest.mark.parametrize(("said", "kept"), CASES)
def test_history_keeps_the_users_words_alone(said: str, kept: str | None) -> None:
    assert without_ours(said, VARIABLES) == kept
