"""Files of container-structure-test, in words of our own: each verdict is the one that its Docker driver gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seatrial.images.testing.declared.reading import read
from seatrial.images.testing.model import Check, TestSpec
from seatrial.images.testing.suite import run_tests
from support.debian import Item, base, folder, hardlink, image, needs_bwrap, own_cache, symlink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

V1, V2 = "schemaVersion: 1.0.0\n", "schemaVersion: 2.0.0\n"
ITEMS = [
    folder("srv", uid=7, gid=8),
    Item("srv/tool", "#!/bin/sh\necho out $1\necho err >&2\nexit 3\n", mode=0o755, uid=1000, gid=1001),
    Item("srv/plain", "first\nsecond", mode=0o640),
    Item("srv/set", "x", mode=0o6755),
    Item("srv/group", "x", mode=0o610),
    hardlink("srv/hard", "srv/plain")._replace(mode=0o640),
    symlink("srv/absolute", "/srv/plain"),
    symlink("srv/relative", "plain"),
    symlink("srv/nowhere", "/none"),
    symlink("linked", "srv"),
    folder("sticky", mode=0o1777),
    # An engine makes up the mode of a folder that a layer does not have.
    folder("tmp", mode=0o1777),
    Item("tmp/kept", "kept"),
    Item("usr/share/doc/good/copyright", "MIT"),
    Item("licenses/bad", "GNU agpl version 3"),
]
SETTINGS: dict[str, Any] = {
    "Env": ["PATH=/usr/bin:/bin", "WHERE=/srv", "EMPTY=", "VERSION=v2.1.8"],
    "Entrypoint": ["/bin/false"], "Cmd": ["a", "b"], "User": "1000:1001", "WorkingDir": "/srv",
    "ExposedPorts": {"8080/tcp": {}}, "Volumes": {"/data": {}}, "Labels": {"who": "me and you", "none": ""},
}  # fmt: skip


def command(text: str, name: str = "x") -> str:
    return f"{V2}commandTests:\n- {{name: {name}, {text}}}\n"


def file(text: str) -> str:
    return f"{V2}fileExistenceTests:\n- {{name: x, {text}}}\n"


def content(text: str) -> str:
    return f"{V2}fileContentTests:\n- {{name: x, {text}}}\n"


def metadata(text: str) -> str:
    return f"{V2}metadataTest: {{{text}}}\n"


PASS = [
    # The entry point is left out, and standard output and error are kept apart.
    command("command: /srv/tool, args: [a], exitCode: 3, expectedOutput: ['^out a\\n$'], excludedOutput: [err], "
            "expectedError: [err], excludedError: [out]"),
    command("command: sh, args: [-c, 'test $WHERE = /srv']"),
    command("command: sh, args: [-c, 'test -z \"$UNKNOWN\"']"),
    command("command: $WHERE/tool, exitCode: 3"),
    command("command: sh, args: [-c, 'printenv OWN'], envVars: [{key: OWN, value: $WHERE}], expectedOutput: ['^\\$WHERE\\n']"),
    command("command: id, args: [-u], expectedOutput: ['^1000\\n$']"),
    command("command: pwd, expectedOutput: ['^/srv\\n$']"),
    command("command: printenv, args: [HOSTNAME], expectedOutput: [.]"),
    # Values as Go reads them.
    command("command: sh, args: [-c, exit 8], exitCode: 010"), command("command: sh, args: [-c, exit 8], exitCode: 0x8"),
    command("command: 'true', exitCode: 0.0"), command("command: echo, args: [a, ~, b], expectedOutput: ['^a  b\\n$']"),
    command("command: cat, args: [/tmp/kept], expectedOutput: [kept]"),
    # Setup leaves files and variables, may fail, and knows the variables with their values.
    command("command: cat, args: [/tmp/a], setup: [[sh, -c, 'echo $OWN > /tmp/a'], ['false']], "
            "envVars: [{key: OWN, value: $WHERE/x}], expectedOutput: [/srv/x]"),
    command("command: sh, args: [-c, 'echo $OWN'], setup: [['true']], envVars: [{key: OWN, value: set}], expectedOutput: ['^set\\n']"),
    command("command: 'true', teardown: [[rm, -rf, /none]]"),
    V2 + "globalEnvVars: [{key: G, value: $WHERE/g}]\ncommandTests:\n- {name: x, command: echo, args: [$G], expectedOutput: [/srv/g]}\n",
    V2 + "globalEnvVars: [{key: G, value: srv}]\nfileExistenceTests:\n- {name: x, path: /$G/tool}\n",
    V1 + "commandTests:\n- {name: x, command: [echo, $WHERE], expectedOutput: [/srv]}\n",
    V1 + "globalEnvVars: [{key: G, value: g}]\ncommandTests:\n- {name: x, command: [sh, -c, 'test -z \"$G\"']}\n",
    V2 + "commandTests:\n- {name: x, command: id, args: [-u], expectedOutput: ['^0\\n']}\ncontainerRunOptions: {user: root}\n",
    V2 + "commandTests:\n- {name: x, command: test, args: [-t, '1']}\ncontainerRunOptions: {allocateTty: true}\n",
    # With run options a test's own variables do not reach its command.
    V2 + "commandTests:\n- {name: x, command: printenv, envVars: [{key: OWN, value: v}], excludedOutput: [OWN]}\n"
         "containerRunOptions: {user: root}\n",
    # A folder of the host that is not there is an empty one.
    V2 + "commandTests:\n- {name: x, command: test, args: [-d, /mnt/x]}\ncontainerRunOptions: {bindMounts: ['/no/such/place:/mnt/x']}\n",
    file("path: /"), file("path: /srv/tool"), file("path: srv/tool"), file("path: $WHERE/tool"),
    file("path: /none, shouldExist: false"), file("path: /linked/tool"), file("path: /linked/"), file("path: /srv/nowhere"),
    file("path: /srv/tool, permissions: -rwxr-xr-x, uid: 1000, gid: 1001, isExecutableBy: other"),
    file("path: /srv, permissions: drwxr-xr-x, uid: 7, gid: 8"), file("path: /srv/tool, uid: 01750, gid: 1_001"),
    file("path: /srv/set, permissions: ugrwxr-xr-x"), file("path: /sticky, permissions: dtrwxrwxrwx"),
    file("path: /srv/absolute, permissions: Lrwxrwxrwx"), file("path: /srv/group, isExecutableBy: group"),
    file("path: /srv/hard, permissions: -rw-r-----"),
    # What an engine puts into every container.
    file("path: /etc/hosts"), file("path: /.dockerenv"), file("path: /etc/mtab, permissions: Lrwxrwxrwx"), file("path: /data"),
    content("path: /srv/plain, expectedContents: ['^first$'], excludedContents: [third]").replace("^first$", "(?m)^first$"),
    content("path: /srv/plain, expectedContents: ['second$']"), content("path: /srv/absolute, expectedContents: [first]"),
    content("path: /linked/plain, expectedContents: [first]"), content("path: /srv/hard, expectedContents: [first]"),
    metadata("envVars: [{key: WHERE, value: /srv}, {key: EMPTY, value: ''}, {key: VERSION, value: '2\\.1\\.*', isRegex: true}]"),
    metadata("unboundEnvVars: [{key: OTHER}], labels: [{key: who, value: 'me .+', isRegex: true}, {key: none, value: ''}]"),
    metadata("exposedPorts: ['8080'], unexposedPorts: ['80', 8080/tcp], volumes: [/data], unmountedVolumes: [/srv]"),
    metadata("entrypoint: [/bin/false], cmd: [a, b], workdir: /srv, user: '1000:1001'"),
    metadata("entrypoint: , cmd: , user: ''") .replace("user: ''", "user: '', workdir: /srv"),
    V2 + "licenseTests: [{files: [/usr/share/doc/good/copyright]}]\n",
]  # fmt: skip
FAIL = [
    (command("command: /srv/tool"), "expected exit code 0, got 3: err"),
    (command("command: none, exitCode: 127"), "could not be started"),
    (command("command: 'true', setup: [[none]]"), "could not be started: the image has no program 'none'"),
    (command("command: 'true', setup: [['true'], [none]]"), "what runs before it failed"),
    (command("command: echo, args: [hi], expectedOutput: ['hi$']"), "expected 'hi$' in the output"),
    (command("command: echo, args: [hi], excludedOutput: [h]"), "the output must not have 'h'"),
    (command("command: $NOTHING"), "is empty"),
    (V2 + "commandTests:\n- {name: x, command: 'true'}\ncontainerRunOptions: {envVars: [NOT_SET_ANYWHERE]}\n", "NOT_SET_ANYWHERE"),
    (V2 + "commandTests:\n- {name: x, command: 'true'}\ncontainerRunOptions: {user: nobody_knows}\n", "no user 'nobody_knows'"),
    (file("path: /none"), "/none must exist"), (file("path: /srv/tool/"), "/srv/tool/ must exist"),
    (file("path: /srv/tool, shouldExist: false"), "must not exist"),
    (file("path: /srv/plain, permissions: -rw-r--r--"), "expected permissions -rw-r--r-- of /srv/plain, got -rw-r-----"),
    (file("path: /srv/set, permissions: -rwsr-sr-x"), "got ugrwxr-xr-x"),
    (file("path: /srv/plain, isExecutableBy: any"), "executable by any"),
    (file("path: /srv/tool, uid: 0"), "expected /srv/tool to belong to user 0, got 1000"),
    (file("path: /srv/tool, gid: 0"), "group 0, got 1001"),
    (V1 + "fileExistenceTests:\n- {name: x, path: $WHERE/tool}\n", "must exist"),
    (content("path: $WHERE/plain"), "does not exist"),
    (content("path: /srv"), "is a folder"), (content("path: /srv/plain/"), "does not exist"),
    (content("path: /srv/relative, expectedContents: [first]"), "looked for from the root"),
    (content("path: /srv/plain, expectedContents: ['^second']"), "expected '^second' in /srv/plain"),
    (content("path: /srv/plain, excludedContents: [first]"), "must not have 'first'"),
    (content("path: /etc/hosts, expectedContents: [.]"), "expected '.' in /etc/hosts, got ''"),
    (metadata("envVars: [{key: WHERE, value: srv}]"), "expected the variable WHERE to be 'srv', got '/srv'"),
    (metadata("envVars: [{key: OTHER, value: ''}]"), "there is none"),
    (metadata("unboundEnvVars: [{key: WHERE}]"), "there must not be the variable WHERE"),
    (metadata("exposedPorts: [8080/tcp]"), "expected port 8080/tcp, got 8080"),
    (metadata("unmountedVolumes: [/data]"), "there must not be the volume /data"),
    (metadata("entrypoint: []"), "expected Entrypoint []"), (metadata("cmd: [a]"), "expected Cmd ['a'], got ['a', 'b']"),
    (metadata("workdir: /srv/"), "WorkingDir"), (metadata("user: '1000'"), "expected User '1000', got '1000:1001'"),
    (V2 + "licenseTests: [{files: [/licenses/bad]}]\n", "got AGPL"),
    (V2 + "licenseTests: [{files: [/none]}]\n", "does not exist"),
    (V2 + "commandTests: []\n", "no test is declared in"),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def layout(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("image") / "layout"
    image(place, [ITEMS], SETTINGS, base=base())
    return place


def answers(layout: Path, tmp_path: Path, texts: list[str]) -> list[list[Check]]:
    """What comes of each file, all asked at once, as with several --config."""
    declared = []
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text)
        declared.append(read(tmp_path / f"{number}.yaml", f"{number}.yaml"))
    return [
        list(run_tests(layout, level="quick", spec=TestSpec(declared=(one,)), only=("declared",)).checks)
        for one in declared
    ]


@pytest.mark.parametrize("text", PASS)
def test_what_passes_there_passes_here(layout: Path, tmp_path: Path, text: str) -> None:
    (found,) = answers(layout, tmp_path, [text])
    assert [(one.status, one.message) for one in found if one.status != "pass"] == []
    assert found


@pytest.mark.parametrize(("text", "said"), FAIL)
def test_what_fails_there_fails_here_and_says_why(layout: Path, tmp_path: Path, text: str, said: str) -> None:
    (found,) = answers(layout, tmp_path, [text])
    assert [one.status for one in found] == ["fail"], found
    assert said in found[0].message
    assert "0.yaml:" in found[0].fix or "declare" in found[0].fix
    # The line of the fix is that of the declaration.
    if "0.yaml:" in found[0].fix:
        line = int(found[0].fix.partition("0.yaml:")[2].split()[0])
        assert 2 <= line <= len(text.splitlines())


def test_variables_of_this_machine_and_of_a_file_are_passed_on(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_THING", "from here")
    (tmp_path / "vars").write_text("# a comment\nexport A=one # two\nB='$A'\nC=\"${A}\\nx\"\n")
    options = "containerRunOptions: {envVars: [SECRET_THING], envFile: vars}\n"
    wanted = "expectedOutput: ['SECRET_THING=from here\\n', '(?m)^A=one$', 'B=\\$A\\n', 'C=one\\nx\\n']"
    text = f"{V2}commandTests:\n- {{name: x, command: printenv, {wanted}}}\n{options}"
    (found,) = answers(layout, tmp_path, [text])
    assert [one.status for one in found] == ["pass"], found


def test_rights_that_are_not_given_are_spoken_of(layout: Path, tmp_path: Path) -> None:
    options = "containerRunOptions: {privileged: true, capabilities: [sys_admin, chown]}\n"
    (found,) = answers(layout, tmp_path, [f"{V2}commandTests:\n- {{name: x, command: 'true'}}\n{options}"])
    assert [one.status for one in found] == ["pass"]
    assert [detail for detail in found[0].details if "CAP_SYS_ADMIN" in detail]
    assert not [detail for detail in found[0].details if "CAP_CHOWN" in detail]


def test_folders_of_this_machine_are_bound(layout: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("from outside")
    options = f"containerRunOptions: {{bindMounts: ['{tmp_path}/shared:/mnt/x:ro']}}\n"
    test = "- {name: x, command: cat, args: [/mnt/x/file], expectedOutput: [from outside]}\n"
    (found,) = answers(layout, tmp_path, [f"{V2}commandTests:\n{test}{options}"])
    assert [one.status for one in found] == ["pass"], found
