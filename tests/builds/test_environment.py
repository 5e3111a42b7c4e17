"""The environment of a build, and what comes out of it."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from seatrial.builds import environment
from seatrial.builds.environment import Identity
from seatrial.builds.model import Buildspec, Env, Text
from seatrial.errors import UsageError
from seatrial.findings import Place

AT = Place("buildspec.yml", (1, 1), (1, 2))
IDENTITY = Identity(
    project="demo",
    uuid="11111111-2222-3333-4444-555555555555",
    number=7,
    started=1_700_000_000_123,
    initiator="me",
    region="eu-west-1",
    account="123456789012",
)


def texts(**values: str) -> dict[str, Text]:
    return {name: Text(value, AT) for name, value in values.items()}


def spec(**env: object) -> Buildspec:
    return Buildspec(path="buildspec.yml", version="0.2", env=Env(**env))  # type: ignore[arg-type]


def variables(buildspec: Buildspec | None = None, **changes: object) -> dict[str, str]:
    known: dict[str, object] = {"project": {}, "start": {}, "source_dirs": {"": Path("/src")}} | changes
    return environment.variables(buildspec or spec(), IDENTITY, **known)  # type: ignore[arg-type]


def test_who_the_build_is() -> None:
    values = variables()
    assert {name: value for name, value in values.items() if name.startswith("CODEBUILD_")} == {
        "CODEBUILD_BUILD_ARN": (
            "arn:aws:codebuild:eu-west-1:123456789012:build/demo:11111111-2222-3333-4444-555555555555"
        ),
        "CODEBUILD_BUILD_ID": "demo:11111111-2222-3333-4444-555555555555",
        "CODEBUILD_BUILD_NUMBER": "7",
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_CI": "true",
        "CODEBUILD_INITIATOR": "me",
        "CODEBUILD_KMS_KEY_ID": "arn:aws:kms:eu-west-1:123456789012:alias/aws/s3",
        "CODEBUILD_LOCAL_BUILD": "true",
        "CODEBUILD_LOG_PATH": "11111111-2222-3333-4444-555555555555",
        "CODEBUILD_SRC_DIR": "/src",
        "CODEBUILD_START_TIME": "1700000000123",
    }
    assert (values["AWS_REGION"], values["AWS_DEFAULT_REGION"], values["HOME"]) == (
        "eu-west-1",
        "eu-west-1",
        "/root",
    )


def test_sources_versions_and_webhooks() -> None:
    identity = msgspec.structs.replace(
        IDENTITY,
        image="aws/codebuild/standard:7.0",
        source_version="main",
        resolved_version="abc",
        source_url="https://example.com/r.git",
        versions={"lib": "v1"},
        urls={"lib": "https://example.com/lib.git"},
        batch="task_1",
        webhook={"EVENT": "PUSH"},
    )
    values = environment.variables(
        None, identity, project={}, start={}, source_dirs={"": Path("/a"), "lib": Path("/b")}
    )
    expected = {
        "CODEBUILD_BUILD_IMAGE": "aws/codebuild/standard:7.0",
        "CODEBUILD_SOURCE_VERSION": "main",
        "CODEBUILD_RESOLVED_SOURCE_VERSION": "abc",
        "CODEBUILD_SOURCE_REPO_URL": "https://example.com/r.git",
        "CODEBUILD_SOURCE_VERSION_lib": "v1",
        "CODEBUILD_SOURCE_REPO_URL_lib": "https://example.com/lib.git",
        "CODEBUILD_SRC_DIR": "/a",
        "CODEBUILD_SRC_DIR_lib": "/b",
        "CODEBUILD_BATCH_BUILD_IDENTIFIER": "task_1",
        "CODEBUILD_WEBHOOK_EVENT": "PUSH",
    }
    assert expected.items() <= values.items()


@pytest.mark.parametrize(
    ("region", "partition"), [("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_other_partitions(region: str, partition: str) -> None:
    assert msgspec.structs.replace(IDENTITY, region=region).arn.startswith(
        f"arn:{partition}:codebuild:{region}:"
    )


def test_the_nearer_wins() -> None:
    written = spec(variables=texts(A="spec", B="spec", C="spec", D="spec", PATH="$PATH:/x"))
    values = variables(
        written,
        base={"A": "base", "E": "base", "PATH": "/bin"},
        resolved={"B": "secret", "C": "secret"},
        project={"C": "project", "D": "project"},
        start={"D": "start"},
    )
    assert {name: values[name] for name in "ABCDE"} == {
        "A": "spec", "B": "secret", "C": "project", "D": "start", "E": "base",
    }  # fmt: skip
    assert values["PATH"] == "$PATH:/x"


def test_a_buildspec_cannot_change_what_codebuild_sets() -> None:
    values = variables(spec(variables=texts(CODEBUILD_BUILD_ID="x", CODEBUILD_MINE="y", AWS_REGION="mine")))
    assert values["CODEBUILD_BUILD_ID"] == IDENTITY.id
    assert "CODEBUILD_MINE" not in values
    assert values["AWS_REGION"] == "mine"


@pytest.mark.parametrize("level", ["project", "start"])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CODEBUILD_X", "1", "No user environment variables can start with CODEBUILD_"),
        ("A-B", "1", "cannot be the name"),
        ("1A", "1", "cannot be the name"),
        ("", "1", "cannot be the name"),
        ("A", "a\0b", "NUL"),
    ],
)
def test_refused_names(level: str, name: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        variables(
            project={name: value} if level == "project" else {},
            start={name: value} if level == "start" else {},
        )


def test_little_of_the_caller_gets_through() -> None:
    caller = {
        "PATH": "/home/me/venv/bin:/home/me/bin::./here:/usr/bin",
        "VIRTUAL_ENV": "/home/me/venv",
        "HOME": "/home/me",
        "LANG": "de_DE.UTF-8",
        "TZ": "Asia/Tokyo",
        "https_proxy": "http://proxy",
        "NO_PROXY": "internal",
        "SSL_CERT_FILE": "/etc/own.pem",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "SECRET": "s",
        "PYTHONPATH": "/x",
    }
    passed = environment.passed(caller)
    assert passed == {
        "PATH": "/home/me/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin",
        "https_proxy": "http://proxy",
        "NO_PROXY": "internal",
        "SSL_CERT_FILE": "/etc/own.pem",
        "LC_CTYPE": "C.UTF-8",
        "TZ": "UTC",
    }
    more = environment.passed(caller, credentials=True)
    assert more.keys() - passed.keys() == {"AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"}


def test_what_is_exported() -> None:
    written = spec(
        exported_variables=tuple(
            Text(name, AT) for name in ("TAG", "AWS_X", "TOKEN", "PASSWORD", "GONE", "HELD")
        ),
        parameter_store=texts(TOKEN="/t"),
        secrets_manager=texts(PASSWORD="p"),
    )
    after = {"TAG": "v1", "AWS_X": "1", "TOKEN": "t", "PASSWORD": "p", "HELD": "h", "OTHER": "o"}
    exported = environment.exported(written, after, secret=["HELD"])
    assert exported.variables == {"TAG": "v1"}
    assert exported.left_out.keys() == {"AWS_X", "TOKEN", "PASSWORD", "GONE", "HELD"}
    assert "not set" in exported.left_out["GONE"]


class TestIdentify:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEATRIAL_HOME", str(tmp_path / "state"))

    def test_numbers_go_up_for_each_project(self) -> None:
        assert [environment.identify("one", {}).number for _ in range(3)] == [1, 2, 3]
        assert environment.identify("two", {}).number == 1

    def test_two_at_a_time_never_have_one_number(self) -> None:
        numbers: list[int] = []
        threads = [
            threading.Thread(target=lambda: numbers.append(environment.identify("many", {}).number))
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(numbers) == list(range(1, 13))

    def test_each_has_its_own_id(self) -> None:
        first, second = (environment.identify("one", {"USER": "me"}) for _ in range(2))
        assert first.id != second.id
        assert first.id.startswith("one:")
        assert (first.initiator, first.region, first.account) == ("me", "us-east-1", "000000000000")

    def test_region_and_account_come_from_where_the_aws_tools_have_them(self, tmp_path: Path) -> None:
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws/config").write_text(
            "[default]\nregion = eu-west-3\n[profile far]\nregion = ap-south-1\n"
        )
        (tmp_path / ".aws/credentials").write_text("[far]\naws_access_key_id = ASIAQNZGKIQY56JQ7WML\n")
        home = {"HOME": str(tmp_path)}
        assert environment.identify("one", home).region == "eu-west-3"
        far = environment.identify("one", {**home, "AWS_PROFILE": "far"})
        assert (far.region, far.account) == ("ap-south-1", "029608264753")
        assert environment.identify("one", {**home, "AWS_REGION": "us-west-2"}).region == "us-west-2"

    @pytest.mark.parametrize("name", ["", "a", "-ab", "a b", "a/b", "x" * 151, "../up"])
    def test_names_that_codebuild_would_not_take(self, name: str) -> None:
        with pytest.raises(UsageError, match="cannot be the name of a project"):
            environment.identify(name, {})


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my app", "my-app"),
        ("x", "x-build"),
        ("_a.b_", "a-b"),
        ("größe", "gr-e"),
        ("...", "build"),
        ("日本", "build"),
    ],
)
def test_a_folders_name_becomes_a_projects(tmp_path: Path, folder: str, name: str) -> None:
    assert environment.project_name(tmp_path / folder) == name


@pytest.mark.parametrize(
    ("key", "account"),
    [
        ("ASIAQNZGKIQY56JQ7WML", "029608264753"),
        ("AKIAIOSFODNN7EXAMPLE", ""),
        ("AKIAI44QH8DHBEXAMPLE", ""),
        ("test", ""),
        ("", ""),
    ],
)
def test_an_account_is_read_from_a_key(key: str, account: str) -> None:
    assert environment.account_of(key) == account
