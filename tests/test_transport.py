"""Requests are repeated when that is safe and useful, and what fails is named."""

from __future__ import annotations

import pickle
import subprocess
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from seatrial import transport
from seatrial.errors import SeatrialError
from seatrial.readiness import free_port
from seatrial.transport import Retry, TransportError, connect, send
from support.answers import Answer, answering
from support.clocks import SimulatedClock
from support.registries import need

if TYPE_CHECKING:
    from pathlib import Path

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *(name.upper() for name in PROXIES)):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_busy_server_is_asked_again(status: int) -> None:
    clock = SimulatedClock()
    with answering([Answer(status), Answer(status), Answer()]) as server, connect(clock=clock) as link:
        assert send(link, "GET", server.url).text == "fine"
    assert len(server.asked) == 3
    assert 0 < clock.sleeps[0] <= 0.25
    assert 0.25 <= clock.sleeps[1] <= 0.5


def test_pauses_grow_to_a_limit_and_the_last_answer_is_told() -> None:
    clock = SimulatedClock()
    retry = Retry(attempts=8, first=1, longest=5)
    with (
        answering([Answer(503, body=b"too  many\ncats")]) as server,
        connect(clock=clock, retry=retry) as link,
        pytest.raises(TransportError, match="answered 503 Service Unavailable 8 times") as caught,
    ):
        send(link, "GET", server.url + "/path?secret=s3cret")
    assert caught.value.why == "too many cats"
    assert caught.value.where == server.url + "/path"
    assert (caught.value.kind, caught.value.status) == ("status", 503)
    for pause, full in zip(clock.sleeps, [1, 2, 4, 5, 5, 5, 5], strict=True):
        assert full / 2 <= pause <= full


def test_retry_after_is_obeyed_up_to_our_patience() -> None:
    clock = SimulatedClock()
    date = formatdate(clock.now() + 42, usegmt=True)
    answers = [Answer(429, {"Retry-After": "7"}), Answer(503, {"Retry-After": date}), Answer()]
    with answering(answers) as server, connect(clock=clock) as link:
        send(link, "POST", server.url)  # the server said that it did nothing, so also a POST
    assert clock.sleeps[0] == 7
    assert 34 <= clock.sleeps[1] <= 42
    with answering([Answer(429, {"Retry-After": "3600"})]) as server, connect(clock=clock) as link:
        with pytest.raises(TransportError, match="come back in 3600 s"):
            send(link, "GET", server.url)
        assert len(server.asked) == 1


def test_what_may_have_had_an_effect_is_not_repeated() -> None:
    clock = SimulatedClock()
    with answering([Answer(500), Answer()]) as server, connect(clock=clock) as link:
        assert send(link, "POST", server.url).status_code == 500
        assert send(link, "POST", server.url, repeatable=True).status_code == 200
    with answering([Answer(declared=100), Answer()]) as server, connect(clock=clock) as link:
        with pytest.raises(TransportError, match="broke the connection") as caught:
            send(link, "PATCH", server.url, content=b"x")
        assert caught.value.kind == "cut"
        assert send(link, "GET", server.url).text == "fine"
    assert clock.sleeps == []


def test_a_body_is_made_again_for_every_attempt() -> None:
    made = []

    def body() -> list[bytes]:
        made.append(1)
        return [b"a", b"b"]

    with answering([Answer(500), Answer()]) as server, connect(clock=SimulatedClock()) as link:
        send(link, "PUT", server.url, content=body, headers={"Content-Length": "2"})
    assert len(made) == 2
    assert [headers.get("Content-Length") for _, _, headers in server.asked] == ["2", "2"]


def test_other_answers_are_the_callers(tmp_path: Path) -> None:
    with (
        answering([Answer(404), Answer(401), Answer(302, {"Location": "/x"}), Answer(200)]) as server,
        connect() as link,
    ):
        assert [send(link, "GET", server.url).status_code for _ in range(3)] == [404, 401, 200]
        assert server.asked[-1][1] == "/x"


def test_refused_silent_unknown_and_endless() -> None:
    clock = SimulatedClock()
    with connect(clock=clock, timeout=0.2) as link:
        port = free_port()
        with pytest.raises(TransportError, match=f"127.0.0.1:{port} refuses the connection") as refused:
            send(link, "GET", f"http://127.0.0.1:{port}/")
        assert (refused.value.kind, refused.value.unsent, len(clock.sleeps)) == ("refused", True, 4)
        with pytest.raises(TransportError, match=r"the host nowhere\.invalid is not known") as unknown:
            send(link, "GET", "http://nowhere.invalid/")
        assert unknown.value.kind == "unknown-host"
        with pytest.raises(TransportError, match="not an address"):
            send(link, "GET", "ftp://nowhere.invalid/")
        with answering([Answer(hang=True)]) as server:
            with pytest.raises(TransportError, match="fell silent") as silent:
                send(link, "POST", server.url)
            assert (silent.value.kind, len(server.asked)) == ("timeout", 1)
    with (
        answering([Answer(body=b"x" * 5000)]) as server,
        connect() as link,
        pytest.raises(TransportError, match="larger than 4000 bytes"),
    ):
        send(link, "GET", server.url, limit=4000)
    with (
        answering([Answer(302, {"Location": "/again"})]) as server,
        connect() as link,
        pytest.raises(TransportError, match="redirects in a circle"),
    ):
        send(link, "GET", server.url)


def test_secrets_in_an_address_are_not_shown() -> None:
    with connect(retry=Retry(attempts=1)) as link, pytest.raises(TransportError) as caught:
        send(link, "GET", f"http://ann:s3cret@127.0.0.1:{free_port()}/a?token=s3cret#s3cret")
    text = str(caught.value) + repr(caught.value)
    assert "s3cret" not in text
    assert "ann" not in text
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.kind, again.transient) == (str(caught.value), "refused", True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, with its key."""
    openssl = need("openssl")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    wanted = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    made = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([openssl, "req", "-x509", "-nodes", *made, *wanted], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def test_certificates_come_from_the_environment(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only = certificate.with_name("cert.pem")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with answering([Answer()], certificate) as server:
        with (
            connect(retry=Retry(attempts=3)) as link,
            pytest.raises(
                TransportError, match=r"the certificate of 127\.0\.0\.1:\d+ is not trusted"
            ) as caught,
        ):
            send(link, "GET", server.url)
        assert caught.value.kind == "tls"
        assert "SSL_CERT_FILE" in (caught.value.fix or "")
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            with monkeypatch.context() as patch:
                patch.setenv(name, str(only))
                with connect() as link:
                    assert send(link, "GET", server.url).text == "fine"
        with connect(verify=False) as link:
            assert send(link, "GET", server.url).text == "fine"
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")
    with (
        pytest.raises(SeatrialError, match="the certificates that SSL_CERT_FILE names cannot be read"),
        connect(),
    ):
        pass


def test_tls_to_a_plain_server_says_so() -> None:
    with (
        answering([Answer()]) as server,
        connect() as link,
        pytest.raises(TransportError, match="no secure connection") as caught,
    ):
        send(link, "GET", server.url.replace("http:", "https:"))
    assert caught.value.why == "the server does not speak TLS on this port"


def test_a_proxy_is_used_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering([Answer(body=b"by proxy")]) as proxy, answering([Answer(body=b"direct")]) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        with connect() as link:
            assert send(link, "GET", "http://far.invalid/x").text == "by proxy"
            assert proxy.asked[0][1] == "http://far.invalid/x"
            assert send(link, "GET", server.url).text == "direct"
            assert send(link, "GET", server.url.replace("127.0.0.1", "localhost")).text == "direct"
    assert len(proxy.asked) == 1


def test_nobody_pays_for_http_who_does_not_use_it() -> None:
    code = "import sys, seatrial.transport, seatrial.downloads; sys.exit('httpx' in sys.modules)"
    import sys

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert transport.retry_after("nonsense", 0) == 0
