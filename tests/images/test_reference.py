"""Image references by the distribution grammar."""

from __future__ import annotations

import pytest

from seatrial.errors import UsageError
from seatrial.images.reference import Reference, api_host, is_loopback, parse

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"localhost:5000/team/app:1.0@{DIGEST}", Reference("localhost:5000", "team/app", "1.0", DIGEST)),
        ("ubuntu", Reference("docker.io", "library/ubuntu")),
        ("ubuntu:24.04", Reference("docker.io", "library/ubuntu", "24.04")),
        ("docker.io/ubuntu", Reference("docker.io", "library/ubuntu")),
        ("index.docker.io/library/ubuntu", Reference("docker.io", "library/ubuntu")),
        ("team/app", Reference("docker.io", "team/app")),
        ("localhost/app", Reference("localhost", "app")),
        ("registry:5000/app", Reference("registry:5000", "app")),
        ("a.b/c__d/e-f--g/h.i:T_1", Reference("a.b", "c__d/e-f--g/h.i", "T_1")),
        ("[::1]:5000/app:1", Reference("[::1]:5000", "app", "1")),
        (f"app@{DIGEST}", Reference("docker.io", "library/app", "", DIGEST)),
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1",
            Reference("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "app", "1"),
        ),
    ],
)
def test_it_is_read_and_written_back(text: str, expected: Reference) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" app", "spaces"),
        ("https://registry.example/app", "scheme"),
        ("registry.example/App", "lowercase"),
        ("registry.example/a//b", "empty"),
        ("registry.example/a___b", "cannot be part"),
        ("registry.example/-a", "cannot be part"),
        ("registry.example/", "empty"),
        ("registry.example/../../etc", "cannot be part"),
        ("app:-tag", "not a tag"),
        ("app:" + "x" * 129, "not a tag"),
        ("app:", "not a tag"),
        ("app@sha256:abc", "not a digest"),
        (f"app@md5:{'0' * 32}", "not a digest"),
        ("app@", "not a digest"),
        ("host:99999/app", "no port 99999"),
        ("ho_st.example:1/app", "not a host name"),
        ("a?b=c", "cannot be part"),
        ("a.b/" + "x" * 260, "longer than 255"),
    ],
)
def test_what_breaks_the_grammar_is_named(text: str, why: str) -> None:
    with pytest.raises(UsageError, match="is not an image reference") as caught:
        parse(text)
    assert why in (caught.value.why or "")


def test_which_registries_are_on_this_machine() -> None:
    assert all(map(is_loopback, ("localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000")))
    assert not any(
        map(is_loopback, ("localhost.example", "10.0.0.1", "example.com:5000", "[fe80::1]", "docker.io"))
    )
    assert (api_host("docker.io"), api_host("quay.io")) == ("registry-1.docker.io", "quay.io")
