"""What a deployment on a host does beside its files: users, environment, time, groups, and what it leaves running."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.buckets import s3_server
from support.commands import seatrial
from support.scenarios import GROUP, pack
from support.waiting import until

if TYPE_CHECKING:
    from support.agents import Host

HOOK = "hooks:\n  AfterInstall:\n    - location: a.sh\n      timeout: {}\n"
ONLY = ("--events", "AfterInstall")


def test_a_daemon_goes_on_after_the_deployment(host: Host) -> None:
    script = "#!/bin/sh\nsetsid sleep 100 > /dev/null 2>&1 < /dev/null &\n"
    said = host.deploy(host.bundle("b", HOOK.format(9), {"a.sh": script}), *ONLY)
    assert (said["result"], said["error_code"], said["message"]) == ("ok", 0, "Succeeded")
    assert len(host.running()) == 1


def test_everything_that_a_script_has_started_ends_with_its_time(host: Host) -> None:
    script = "#!/bin/sh\n(trap '' TERM; setsid sleep 99 & sleep 98) &\nsleep 97\n"
    said = host.deploy(host.bundle("b", HOOK.format(1), {"a.sh": script}), *ONLY)
    assert (said["error"], said["exit"]) == ("ScriptTimedOut", 1)
    until(lambda: host.running() == [], "nothing of it is left")


def test_scripts_see_little_of_the_agents_environment(host: Host) -> None:
    bundle = host.bundle("b", HOOK.format(9), {"a.sh": "#!/bin/sh\nenv > env.txt\n"})
    env = {"MY_TOKEN": "s3cret", "LC_ALL": "C.UTF-8", "OTHER": "1"}

    def seen(*options: str) -> set[str]:
        assert host.deploy(bundle, *ONLY, *options, **env)["result"] == "ok"
        return {line.partition("=")[0] for line in (host.cwd / "env.txt").read_text().splitlines()}

    first = seen("--application", "shop", "--group-name", "web")
    assert not {"MY_TOKEN", "OTHER", "SEATRIAL_HOME"} & first
    assert {"PATH", "HOME", "LC_ALL", "APPLICATION_NAME", "DEPLOYMENT_GROUP_NAME", "LIFECYCLE_EVENT"} <= first
    assert {"MY_TOKEN", "OTHER"} & seen("--pass-env", "OTHER") == {"OTHER"}
    assert {"MY_TOKEN", "OTHER"} <= seen("--inherit-env")


def test_each_group_cleans_up_its_own_files(host: Host) -> None:
    appspec = "files:\n  - source: {0}\n    destination: <DEST>\n"
    for name in ("one", "two"):
        bundle = host.bundle(name, appspec.format(f"{name}.txt"), {f"{name}.txt": name})
        assert host.deploy(bundle, "--group", name)["result"] == "ok"
    assert host.deploy(host.bundle("none", ""), "--group", "one")["result"] == "ok"
    assert [path.name for path in host.dest.iterdir()] == ["two.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_a_script_runs_as_the_user_that_the_appspec_names(open_host: Host) -> None:
    shells = Path("/etc/shells").read_text().split()
    user = next((one for one in pwd.getpwall() if one.pw_shell in shells and one.pw_uid), None)
    if user is None:
        pytest.skip("this machine has no other user with a shell")
    appspec = f"hooks:\n  AfterInstall:\n    - location: a.sh\n      runas: {user.pw_name}\n"
    said = open_host.deploy(
        open_host.bundle("b", appspec, {"a.sh": "#!/bin/sh\nid -u; echo $LIFECYCLE_EVENT\n"}), *ONLY
    )
    assert said["log"].splitlines()[-2:] == [f"[stdout]{user.pw_uid}", "[stdout]AfterInstall"], said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become an ordinary user, who may not")
def test_an_ordinary_user_is_told_that_only_root_becomes_another(open_host: Host) -> None:
    import sys

    if not shutil.which("setpriv"):
        pytest.skip("setpriv (util-linux) is missing: it runs the agent as an ordinary user")
    appspec = "hooks:\n  AfterInstall:\n    - location: a.sh\n      runas: root\n"
    bundle = open_host.bundle("b", appspec, {"a.sh": "#!/bin/sh\n"})
    mine = open_host.folder / "mine"
    mine.mkdir()
    os.chown(mine, 65534, 65534)
    who = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(mine),
        "SEATRIAL_HOME": str(mine / "home"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    check = [
        "-c",
        "import subprocess, sys, seatrial, msgspec; subprocess.run([sys.executable, '-c', ''], check=True)",
    ]
    python = next(
        (
            program
            for program in (sys.executable, "/usr/bin/python3")
            if not subprocess.run(
                [*who, program, *check], env=env, capture_output=True, check=False
            ).returncode
        ),
        None,
    )
    if python is None:
        pytest.skip("an ordinary user cannot read this checkout or an interpreter for it")
    done = subprocess.run(
        [*who, python, "-m", "seatrial", "deploy", "agent", "--bundle", str(bundle), "--json",
         "--root", str(mine / "root"), *ONLY],
        env=env, cwd=mine, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said["error"] == "ScriptFailed"
    assert "only root can run a script as another user" in said["message"]


def test_a_bundle_from_s3_by_its_version_and_etag(host: Host) -> None:
    bundle = host.bundle("b", HOOK.format(9), {"a.sh": "#!/bin/sh\nenv | grep BUNDLE_ | sort\n"})
    with s3_server() as at:
        from seatrial.cloud import s3
        from seatrial.cloud.session import AwsError

        client = s3.client()
        client.put_bucket_versioning(Bucket="sources", VersioningConfiguration={"Status": "Enabled"})
        put = client.put_object(Bucket="sources", Key="app/b.tgz", Body=pack(bundle, "tgz").read_bytes())
        etag, version = put["ETag"].strip('"'), put["VersionId"]
        client.put_object(Bucket="sources", Key="app/b.tgz", Body=b"newer")
        env = {"AWS_ENDPOINT_URL": f"http://{at}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        where = f"s3://sources/app/b.tgz?versionId={version}&etag={etag}"
        said = host.deploy(where, *ONLY, **env)
        wrong = host.deploy("s3://sources/app/b.tgz?etag=abc", *ONLY, **env)
        absent = host.deploy("s3://sources/app/no.zip", *ONLY, **env)
        with pytest.raises(AwsError):  # replaced after its etag was looked at
            s3.download(client, s3.Place("sources", "app/b.tgz"), host.folder / "got", etag=etag)
    assert said["log"].splitlines()[2:] == [
        "[stdout]BUNDLE_BUCKET=sources", f"[stdout]BUNDLE_ETAG={etag}", "[stdout]BUNDLE_KEY=app/b.tgz",
        f"[stdout]BUNDLE_VERSION={version}",
    ]  # fmt: skip
    assert not (host.folder / "got").exists()
    assert wrong["message"].startswith("Expected deployment artifact bundle etag abc but was actually ")
    assert (absent["result"], absent["exit"]) == ("error", 1)
    assert absent["fix"] or absent["why"]


def test_a_bundle_from_a_repository(host: Host) -> None:
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    work = host.bundle("b", HOOK.format(9), {"a.sh": "#!/bin/sh\necho $BUNDLE_COMMIT\n"})
    git = ["git", "-C", str(work), "-c", "user.name=t", "-c", "user.email=t@t"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True, env={"PATH": os.environ["PATH"], "HOME": str(host.folder)})
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    said = host.deploy(work, "--type", "git", "--version", "v1", *ONLY)
    assert said["log"].splitlines()[-1] == f"[stdout]{head}", said
    assert sorted(path.name for path in (host.archives()[0] / "deployment-archive").iterdir()) == [
        "a.sh",
        "appspec.yml",
    ]


@pytest.mark.parametrize(
    "option",
    [
        "--max-revisions=0",
        "--group=..",
        "--events=lower",
        "--max-extraction=lots",
        "--deployment-id=.web.lock",
        "--version=v1",
        "--bundle=s3://sources/",
        "--group-name=\udcff",
        "--bundle=HTTPS://somebody:secret@localhost/app.git",
        "--bundle=ssh://git:secret@localhost/app.git",
    ],
)
def test_an_order_that_cannot_be_followed_changes_nothing(option: str, host: Host) -> None:
    said = host.deploy(host.bundle("b", ""), option)
    assert said["exit"] == 2
    assert "fix" in said["stderr"]
    assert "secret" not in json.dumps(said)
    assert not host.root.exists()


def test_a_bundle_that_fails_is_explained_unasked(host: Host) -> None:
    script = "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'nothere'\" >&2\nexit 1\n"
    bundle = host.bundle("b", HOOK.format(9), {"a.sh": script})
    said = host.deploy(bundle, *ONLY)
    assert (said["error"], said["exit"]) == ("ScriptFailed", 1)
    assert said["explanation"]["causes"][0]["captures"] == {"module": "nothere"}
    shown = seatrial(
        host.cwd, "deploy", "agent", "--bundle", str(bundle), "--root", str(host.root), *ONLY
    ).stdout
    assert "\nwhy: Python cannot import nothere" in shown


def test_a_bundle_that_would_hold_its_own_revisions_is_refused(host: Host) -> None:
    bundle = host.bundle("b", "")
    said = host.deploy(bundle, "--root", str(bundle))
    assert said["exit"] == 2
    assert "--root" in said["fix"]
    assert [entry.name for entry in bundle.iterdir()] == ["appspec.yml"]


def test_a_name_as_long_as_the_file_system_takes(host: Host) -> None:
    name = "ü" * 125 + ".txt"
    bundle = host.bundle("b", "files:\n  - source: /\n    destination: <DEST>\n", {name: "x"})
    assert host.deploy(bundle, *ONLY)["result"] == "ok"
    assert (host.dest / name).read_text() == "x"
    assert {entry.name for entry in host.dest.iterdir()} == {name, "appspec.yml"}


def test_a_source_or_script_outside_of_the_bundle_takes_a_switch(host: Host) -> None:
    (host.folder / "secret").write_text("x")
    up = "../" * 4
    outside = host.bundle("b", f"files:\n  - source: {up}secret\n    destination: <DEST>\n")
    said = host.deploy(outside)
    assert "leads out of the revision" in said["message"]
    assert list(host.dest.iterdir()) == []
    assert host.deploy(outside, "--allow", "traversal")["result"] == "ok"
    assert (host.dest / "secret").read_text() == "x"
    script = host.folder / "run.sh"
    script.write_text("#!/bin/sh\necho outside\n")
    script.chmod(0o755)
    bundle = host.bundle("c", HOOK.format(9).replace("a.sh", f"{up}run.sh"))
    assert "leads out of the revision" in host.deploy(bundle, *ONLY)["message"]
    assert host.deploy(bundle, *ONLY, "--allow", "traversal")["log"].endswith("[stdout]outside\n")


def test_a_link_at_the_destination_is_replaced_and_not_followed(host: Host) -> None:
    victim = host.folder / "victim"
    victim.write_text("mine")
    (host.dest / "a.txt").symlink_to(victim)
    bundle = host.bundle("b", "files:\n  - source: a.txt\n    destination: <DEST>\n", {"a.txt": "new"})
    assert host.deploy(bundle, "--file-exists-behavior", "OVERWRITE")["result"] == "ok"
    assert victim.read_text() == "mine"
    assert (host.dest / "a.txt").read_text() == "new"


def test_a_name_with_a_line_break_cannot_have_something_else_removed_later(host: Host) -> None:
    bundle = host.bundle("b", "files:\n  - source: app\n    destination: <DEST>\n", {"app/a\nb": "x"})
    said = host.deploy(bundle)
    assert "line break" in said["message"]


@pytest.mark.skipif(not shutil.which("setfacl"), reason="setfacl (package acl) is not installed")
def test_access_control_lists_are_set_whole(host: Host) -> None:
    appspec = (
        "files:\n  - source: app\n    destination: <DEST>/app\npermissions:\n  - object: <DEST>\n    mode: 750\n"
        "    acls: ['u:nobody:rw', 'd:u:nobody:rx']\n    type: [directory]\n"
    )
    said = host.deploy(host.bundle("b", appspec, {"app/a": "x"}))
    assert said["result"] == "ok", said
    listed = subprocess.run(
        ["getfacl", "-cEp", host.dest / "app"], capture_output=True, text=True, check=True
    ).stdout
    assert listed.split() == [
        "user::rwx", "user:nobody:rw-", "group::r-x", "mask::r-x", "other::---", "default:user::rwx",
        "default:user:nobody:r-x", "default:group::r-x", "default:mask::r-x", "default:other::---",
    ]  # fmt: skip


@pytest.mark.skipif(
    bool(shutil.which("semanage")), reason="this machine has semanage, and contexts would be set"
)
def test_a_context_where_there_is_no_selinux(host: Host) -> None:
    appspec = (
        "files:\n  - source: a\n    destination: <DEST>\npermissions:\n  - object: <DEST>/a\n"
        "    context:\n      type: httpd_sys_content_t\n      range: s0-s1\n"
    )
    said = host.deploy(host.bundle("b", appspec, {"a": "x"}))
    assert said["message"].startswith(
        "The deployment failed because the application specification file contains an error"
    )
    assert f"semanage fcontext -a -t httpd_sys_content_t -r s0-s1 {host.dest}/a" in said["message"]
    assert "install semanage" in said["fix"]
    assert host.archives(GROUP)
