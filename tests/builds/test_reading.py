"""A buildspec is read as CodeBuild reads it, or refused with CodeBuild's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.builds import reading
from seatrial.builds.model import OnFailure
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.builds.model import Buildspec

WHOLE = """\
version: 0.2
run-as: builder
env:
  shell: bash
  variables:
    MODE: 0644
    EMPTY:
    ON: yes
    TEXT: 'a b'
  parameter-store:
    PASS: /app/pass
  secrets-manager:
    KEY: app:user:AWSCURRENT
  exported-variables:
    - TAG
  git-credential-helper: yes
proxy:
  upload-artifacts: yes
  logs: "yes"
phases:
  build:
    run-as: root
    on-failure: RETRY-2-.*timeout.*
    commands:
      - echo one
      - |
        echo two
        echo three
      - 12
    finally:
      - echo end
  install:
    runtime-versions:
      python: 3.10
      nodejs: 20
    commands:
      - >
        echo
        four
reports:
  unit:
    files: '**/*.xml'
    base-directory: out
    file-format: CucumberJson
  arn:aws:codebuild:eu-west-1:1:report-group/x:
    files: [a, b]
artifacts:
  files:
    - a
    - b/**/*
  name: app-$(date +%F)
  discard-paths: yes
  exclude-paths: ['**/*.tmp']
  secondary-artifacts:
    one:
      base-directory: x
      files: y
    two:
      files: [z]
      s3-prefix: p
cache:
  key: npm-$(codebuild-hash-files package-lock.json)
  fallback-keys: [npm-]
  action: restore
  paths:
    - /root/.npm/**/*
unknown: ignored
"""


def read(text: str) -> Buildspec:
    found = reading.read(Source("buildspec.yml", text))
    assert found.refusals == ()
    assert found.spec is not None
    return found.spec


def texts(found: object) -> list[str]:
    return [str(one) for one in found]  # type: ignore[attr-defined]


def test_variables_are_the_texts_that_were_written() -> None:
    env = read(WHOLE).env

    assert {name: str(one) for name, one in env.variables.items()} == {
        "MODE": "0644", "EMPTY": "", "ON": "yes", "TEXT": "a b",
    }  # fmt: skip
    assert (str(env.parameter_store["PASS"]), str(env.secrets_manager["KEY"])) == (
        "/app/pass",
        "app:user:AWSCURRENT",
    )
    assert (env.shell, texts(env.exported_variables), env.git_credential_helper) == ("bash", ["TAG"], True)


def test_phases_come_in_the_order_in_which_they_run_with_commands_and_places() -> None:
    spec = read(WHOLE)

    assert list(spec.phases) == ["install", "build"]
    build, install = spec.phases["build"], spec.phases["install"]
    assert texts(build.commands) == ["echo one", "echo two\necho three\n", "12"]
    assert texts(install.commands) == ["echo four\n"]
    assert (build.commands[1].place.line, build.place.line) == (26, 21)
    assert texts(build.finally_) == ["echo end"]
    assert (spec.run_as, build.run_as, install.run_as) == ("builder", "root", "")
    assert {name: str(one) for name, one in install.runtime_versions.items()} == {
        "python": "3.10",
        "nodejs": "20",
    }


def test_artifacts_reports_cache_and_proxy() -> None:
    spec = read(WHOLE)

    assert spec.artifacts is not None
    assert (texts(spec.artifacts.files), spec.artifacts.discard_paths) == (["a", "b/**/*"], True)
    assert [(one.identifier, texts(one.files), one.s3_prefix) for one in spec.secondary_artifacts] == [
        ("one", ["y"], ""),
        ("two", ["z"], "p"),
    ]
    assert [(one.name[:4], one.file_format, texts(one.files)) for one in spec.reports] == [
        ("unit", "CUCUMBERJSON", ["**/*.xml"]),
        ("arn:", "JUNITXML", ["a", "b"]),
    ]
    assert spec.cache is not None
    assert (spec.cache.fallback_keys, spec.cache.action) == (("npm-",), "restore")
    assert (spec.upload_artifacts_by_proxy, spec.logs_by_proxy) == (True, True)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ABORT", OnFailure(action="ABORT")),
        ("CONTINUE", OnFailure(action="CONTINUE")),
        ("RETRY", OnFailure(action="RETRY", times=3)),
        ("RETRY-0", OnFailure(action="RETRY", times=0)),
        ("RETRY-100", OnFailure(action="RETRY", times=100)),
        ("RETRY-.*CLIENT_ERROR.*", OnFailure(action="RETRY", times=3, pattern=".*CLIENT_ERROR.*")),
        ("RETRY-2-a-b", OnFailure(action="RETRY", times=2, pattern="a-b")),
        ("RETRY-101", None),
        ("continue", None),
        ("", None),
    ],
)
def test_on_failure(said: str, meant: OnFailure | None) -> None:
    assert reading.on_failure(said) == meant


def test_the_old_version_has_its_own_variables() -> None:
    spec = read(
        "version: 0.1\nenvironment_variables:\n  plaintext:\n    A: b\nphases:\n  build:\n    commands: [make]\n"
    )

    assert (spec.version, str(spec.env.variables["A"])) == ("0.1", "b")


def test_anchors_merged_keys_and_json_are_read() -> None:
    merged = read(
        "version: 0.2\nx: &x\n  commands: &c\n    - a\nphases:\n  build:\n    <<: *x\n  install:\n    commands: *c\n"
    )
    json = read('{"version": "0.2", "phases": {"build": {"commands": ["a\\nb"]}}}')

    assert [texts(one.commands) for one in merged.phases.values()] == [["a"], ["a"]]
    assert texts(json.phases["build"].commands) == ["a\nb"]


@pytest.mark.parametrize("kind", ["list", "graph"])
def test_a_batch_of_tasks(kind: str) -> None:
    batch = read(
        f"version: 0.2\nbatch:\n  fast-fail: true\n  build-{kind}:\n    - identifier: a\n      env:\n        image: i\n"
        "        privileged-mode: true\n        variables:\n          A: 1\n    - identifier: b\n      buildspec: b.yml\n"
        "      depend-on:\n        - a\n      ignore-failure: yes\n"
    ).batch

    assert batch is not None
    assert (batch.kind, batch.fast_fail) == (kind, True)
    first, second = batch.tasks
    assert (first.env, first.variables) == ({"image": "i", "privileged-mode": "true"}, {"A": "1"})
    assert (second.buildspec, texts(second.depend_on), second.ignore_failure) == ("b.yml", ["a"], True)


def test_a_matrix_and_a_fanout() -> None:
    matrix = read(
        "version: 0.2\nbatch:\n  build-matrix:\n    static:\n      ignore-failure: yes\n      env:\n        type: T\n    dynamic:\n"
        "      buildspec: [a.yml, b.yml]\n      env:\n        image: i\n        variables:\n          V: [1, 2]\n"
    ).batch
    fanout = read(
        "version: 0.2\nbatch:\n  build-fanout:\n    parallelism: 5\n    ignore-failure: false\n"
    ).batch

    assert matrix is not None
    assert matrix.matrix is not None
    assert matrix.matrix.ignore_failure
    assert matrix.matrix.dynamic == {"buildspec": ("a.yml", "b.yml"), "image": ("i",)}
    assert (matrix.matrix.static, matrix.matrix.dynamic_variables) == ({"type": "T"}, {"V": ("1", "2")})
    assert fanout is not None
    assert fanout.fanout is not None
    assert fanout.fanout.parallelism == 5


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", "Wrong number of container tags, expected 1", 1),
        ("- a\n", "Wrong number of container tags, expected 1", 1),
        ("version: 1.0\nphases: {}\n", "invalid buildspec `version` specified: 1.0, see documentation", 1),
        ("version: 0.2\nphases:\n  test: {}\n",
         "Invalid buildspec phase name: test. Expecting: build,install,post_build,pre_build", 3),
        ("version: 0.2\nphases:\n  build:\n    commands:\n      - a\n      - b\n\n      # c\n      - echo d: e\n",
         "Expected Commands[2] to be of string type: found subkeys instead at line 9, value of the key tag on line 8 might be empty", 9),
        ("version: 0.2 phases: build: commands:", "mapping values are not allowed in this context at line 0", 1),
        ("version: 0.2\nphases:\n  build:\n    commands:\n    - @a\n", "found character that cannot start any token at line 4", 5),
        ("version: 0.2\nphases:\n  build: {}\n install: {}\n", "did not find expected key at line 3", 4),
        ("version: 0.2\nabc\ndef: 1\n", "could not find expected ':' at line 2", 3),
    ],
)  # fmt: skip
def test_refusals_are_in_the_words_of_codebuild(text: str, message: str, line: int) -> None:
    found = reading.read(Source("buildspec.yml", text))

    assert found.spec is None
    assert (found.refusals[0].message, found.refusals[0].line) == (message, line)


def test_a_missing_file_is_refused_and_a_given_path_is_read(tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/other.yml").write_text("version: 0.2\nphases: {}\n")

    assert reading.load(tmp_path).refusals[0].message == (
        "stat /codebuild/output/src/buildspec.yml: no such file or directory"
    )
    assert reading.load(tmp_path, "ci/other.yml").spec is not None


@pytest.mark.parametrize(
    ("files", "configured", "cause"),
    [
        (["app-1.0/buildspec.yml", "app-1.0/x"], "buildspec.yml", "the zip has one folder on top, app-1.0"),
        (["buildspec.yaml"], "buildspec.yml", "there is buildspec.yaml"),
        (["Buildspec.yml"], "buildspec.yml", "there is Buildspec.yml"),
        (["ci/build-spec.yaml"], "ci/buildspec.yml", "there is build-spec.yaml"),
        (["x"], "buildspec.yml", "no such file"),
        ([], "buildspec.yml", "the source is empty"),
        (["x"], "../outside.yml", "leads out of the source"),
    ],
)  # fmt: skip
def test_why_there_is_no_buildspec(tmp_path: Path, files: list[str], configured: str, cause: str) -> None:
    root = tmp_path / "src"
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    root.mkdir(exist_ok=True)
    (tmp_path / "outside.yml").touch()

    [refusal] = reading.load(root, configured).refusals

    assert refusal.message == f"stat /codebuild/output/src/{configured}: no such file or directory"
    assert cause in refusal.cause
