"""Values from Parameter Store and Secrets Manager, asked for with boto3 from a server that speaks AWS's protocol."""

from __future__ import annotations

import json
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.builds import parameters
from seatrial.builds.parameters import Secret
from seatrial.builds.reading import read
from seatrial.builds.refused import Refused
from seatrial.cloud import session as cloud
from seatrial.masking import Mask
from seatrial.readiness import free_port
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.model import Buildspec

server = pytest.importorskip(
    "moto.server", reason="moto is not installed: nothing here speaks AWS's protocol"
)
pytest.importorskip("boto3", reason="boto3 is not installed")


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    running.start()
    with pytest.MonkeyPatch.context() as patch:
        address = f"http://127.0.0.1:{running._port}"
        patch.setenv("AWS_ENDPOINT_URL", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.delenv("AWS_PROFILE", raising=False)
        _fill()
        yield address
    running.stop()


def _fill() -> None:
    store = cloud.client("ssm", "eu-west-1")
    for number in range(23):
        store.put_parameter(Name=f"/many/{number}", Value=f"value {number}", Type="SecureString")
    store.put_parameter(Name="plain", Value="first", Type="String")
    store.put_parameter(Name="plain", Value="second", Type="String", Overwrite=True)
    secrets = cloud.client("secretsmanager", "eu-west-1")
    secrets.create_secret(Name="text", SecretString="a whole text")
    secrets.create_secret(
        Name="prod/db",
        SecretString='{"user": "admin", "password": "p:w/d", "port": 5432, "more": {"a": [1, true]}}',
    )
    secrets.create_secret(Name="bytes", SecretBinary=b"\0\1")
    secrets.put_secret_value(SecretId="text", SecretString="pending", VersionStages=["NEXT"])


def spec(*, store: dict[str, str] | None = None, secrets: dict[str, str] | None = None) -> Buildspec:
    lines = ["version: 0.2", "env:"]
    for key, entries in (("parameter-store", store), ("secrets-manager", secrets)):
        if entries:
            lines += [f"  {key}:", *(f"    {name}: '{value}'" for name, value in entries.items())]
    found = read(
        Source("buildspec.yml", "\n".join([*lines, "phases: {build: {commands: ['true']}}", ""]))
    ).spec
    assert found is not None
    return found


def resolve(found: Buildspec, **options: Any) -> dict[str, str]:
    return parameters.resolve(found, parameters.session("eu-west-1"), **options)


@pytest.mark.usefixtures("aws")
class TestParameterStore:
    def test_more_than_ten_are_fetched(self) -> None:
        wanted = {f"V{number}": f"/many/{number}" for number in range(23)}
        assert resolve(spec(store=wanted)) == {f"V{number}": f"value {number}" for number in range(23)}

    def test_two_variables_of_one_parameter(self) -> None:
        assert resolve(spec(store={"A": "plain", "B": "plain"})) == {"A": "second", "B": "second"}

    def test_an_older_version(self) -> None:
        assert resolve(spec(store={"OLD": "plain:1"})) == {"OLD": "first"}

    def test_one_that_does_not_exist_is_refused_in_codebuilds_words_at_its_line(self) -> None:
        with pytest.raises(Refused) as raised:
            resolve(spec(store={"A": "plain", "GONE": "/no/such"}))
        assert (raised.value.code, raised.value.message) == (
            "Decrypted Variables Error",
            "parameter does not exist: /no/such",
        )
        assert raised.value.where is not None
        assert raised.value.where.startswith("buildspec.yml:5:")
        assert "--env GONE=" in str(raised.value)

    def test_one_that_the_caller_gives_is_not_asked_for(self) -> None:
        found = spec(store={"A": "plain", "GONE": "/no/such"})
        assert resolve(found, given={"GONE": "mine"}) == {"A": "second"}
        assert parameters.supplied(found, {"GONE": "mine", "OTHER": "x"}) == ("GONE",)


@pytest.mark.usefixtures("aws")
class TestSecretsManager:
    def test_a_whole_secret_and_its_keys(self) -> None:
        wanted = {
            "ALL": "text",
            "USER": "prod/db:user",
            "PASSWORD": "prod/db:password",
            "PORT": "prod/db:port",
        }
        values = resolve(spec(secrets=wanted))
        assert values == {"ALL": "a whole text", "USER": "admin", "PASSWORD": "p:w/d", "PORT": "5432"}

    def test_a_key_that_holds_json_is_given_as_json(self) -> None:
        assert resolve(spec(secrets={"MORE": "prod/db:more"})) == {"MORE": '{"a":[1,true]}'}

    def test_a_stage_without_a_key(self) -> None:
        assert resolve(spec(secrets={"NEXT": "text::NEXT"})) == {"NEXT": "pending"}

    def test_a_version(self) -> None:
        version = cloud.client("secretsmanager", "eu-west-1").get_secret_value(SecretId="text")["VersionId"]
        assert resolve(spec(secrets={"THIS": f"text:::{version}"})) == {"THIS": "a whole text"}

    def test_an_arn_with_and_without_a_key(self) -> None:
        arn = cloud.client("secretsmanager", "eu-west-1").describe_secret(SecretId="prod/db")["ARN"]
        assert resolve(spec(secrets={"USER": f"{arn}:user"})) == {"USER": "admin"}
        assert '"port": 5432' in resolve(spec(secrets={"ALL": arn}))["ALL"]

    def test_one_that_does_not_exist(self) -> None:
        with pytest.raises(Refused) as raised:
            resolve(spec(secrets={"GONE": "no/such:key"}))
        assert raised.value.code == "Secrets Manager Error"
        assert raised.value.message == (
            "ResourceNotFoundException: Secrets Manager can't find the specified secret."
        )

    def test_a_key_that_is_not_there_names_those_that_are_and_no_value(self) -> None:
        with pytest.raises(Refused) as raised:
            resolve(spec(secrets={"X": "prod/db:pasword"}))
        assert raised.value.code == "Secrets Manager Error"
        assert "it has more, password, port, user" in str(raised.value)
        assert "p:w/d" not in str(raised.value)

    @pytest.mark.parametrize("reference", ["text:key", "bytes", "a:b:c:d:e", ":key"])
    def test_what_cannot_be_a_text(self, reference: str) -> None:
        with pytest.raises(Refused) as raised:
            resolve(spec(secrets={"X": reference}))
        assert raised.value.code == "Secrets Manager Error"


def test_references_of_a_project_are_fetched_too(aws: str) -> None:
    assert aws
    values = resolve(spec(), parameters={"P": "plain"}, secrets={"S": "prod/db:user"})
    assert values == {"P": "second", "S": "admin"}


class Denying(BaseHTTPRequestHandler):
    """Answers every call as AWS answers one without permission; no server that runs here has IAM's rules."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        action = (
            "ssm:GetParameters" if "SSM" in self.headers["X-Amz-Target"] else "secretsmanager:GetSecretValue"
        )
        said = f"User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: {action} on resource: arn:aws:x:y"
        body = json.dumps({"__type": "AccessDeniedException", "Message": said}).encode()
        self.send_response(400)
        self.send_header("x-amzn-RequestId", "request-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "code", "action"),
    [
        ("store", "Decrypted Variables Error", "ssm:GetParameters"),
        ("secrets", "Secrets Manager Error", "secretsmanager:GetSecretValue"),
    ],
)
def test_a_permission_that_an_imitated_service_says_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, kind: str, code: str, action: str
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Denying) as denying:
        thread = threading.Thread(target=denying.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{denying.server_address[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        try:
            with pytest.raises(Refused) as raised:
                resolve(spec(**{kind: {"X": "plain"}}))
        finally:
            denying.shutdown()
            thread.join()
    assert raised.value.code == code
    assert raised.value.message == (
        f"AccessDeniedException: User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: {action} "
        "on resource: arn:aws:x:y\n\tstatus code: 400, request id: request-1"
    )
    assert f"allow {action} on arn:aws:x:y" in str(raised.value.fix)


def test_without_a_way_to_aws_it_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent/none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Refused, match="no usable AWS credentials") as raised:
        resolve(spec(store={"TOKEN": "plain"}))
    assert "--env TOKEN=… or --env-file" in str(raised.value.fix)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("name", Secret("name")),
        ("a/b:key", Secret("a/b", "key")),
        ("a:key:AWSPREVIOUS", Secret("a", "key", "AWSPREVIOUS")),
        ("a:::id", Secret("a", "", "", "id")),
        ("arn:aws:secretsmanager:r:1:secret:n-AbCdEf", Secret("arn:aws:secretsmanager:r:1:secret:n-AbCdEf")),
        (
            "arn:aws-cn:secretsmanager:r:1:secret:n:k:s:v",
            Secret("arn:aws-cn:secretsmanager:r:1:secret:n", "k", "s", "v"),
        ),
    ],
)
def test_references(reference: str, expected: Secret) -> None:
    assert parameters.parse(reference) == expected


def test_every_part_of_a_json_value_is_masked() -> None:
    value = '{"user": "administrator", "nested": {"keys": ["first-key", 123456]}, "on": true}'
    mask = Mask(parameters.maskable([value, "plain-secret"]))
    shown = mask.text("administrator first-key 123456 plain-secret true")
    assert shown == "*** *** *** *** true"


def test_a_refusal_survives_another_process() -> None:
    error = Refused("Secrets Manager Error", "no", where="a:1:1", why="b", fix="c")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.message, copy.fix, str(copy)) == (
        error.code,
        error.message,
        error.fix,
        str(error),
    )
