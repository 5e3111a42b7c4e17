"""One contract for every backend: the same launch gives the same result, whatever runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import runtime
from seatrial.images.runtime import Backend, Before, Bind, Launch, Publish
from seatrial.images.runtimes import cgroups
from seatrial.images.runtimes.trial import trial
from support import debian, roots, slim
from support.waiting import until

if TYPE_CHECKING:
    from seatrial.images.rootfs import Root

ALONE = Launch(network="none")


def variant(root: Root, **settings: object) -> Root:
    """The same layers with other settings, which no backend needs to be brought again for: they come as options."""
    import msgspec

    return msgspec.structs.replace(root, config={**root.config, "config": settings})


def running(marker: str) -> int:
    found = 0
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += marker.encode() in process.read_bytes()
        except OSError:
            continue
    return found


def test_the_image_says_what_runs_and_how(small: Root, backend: Backend) -> None:
    said = variant(
        small,
        Entrypoint=["sh", "-c", 'echo "$A|$B|$PWD|$(id -u):$(id -g)|$HOME|$0 $*"; exit 42'],
        Cmd=["from-cmd"], Env=["A=image", "B=image", "PATH=/bin"], WorkingDir="/not/there/yet", User="app",
    )  # fmt: skip
    done = runtime.run(said, [], Launch(env={"B": "caller"}, network="none"), backend=backend)
    assert done == (42, "image|caller|/not/there/yet|1000:1001|/home/app|from-cmd \n", "")
    done = runtime.run(said, ["x", "y"], ALONE, backend=backend)
    assert (done.code, done.stdout.rpartition("|")[2]) == (42, "x y\n")


def test_the_caller_says_otherwise(small: Root, backend: Backend) -> None:
    said = variant(
        small, Entrypoint=["false"], Cmd=["unused"], User="app", WorkingDir="/etc", Env=["PATH=/bin"]
    )
    awkward = {
        "SPACES": "  a  b ",
        "QUOTES": "\"'$HOME`",
        "LINES": "one\ntwo",
        "HASH": "#x",
        "EMPTY": "",
        "EQUALS": "a=b",
    }
    launch = Launch(entrypoint=("sh", "-c"), user="77:78", workdir="/home/there", env=awkward, network="none")
    script = 'echo "$(id -u):$(id -g) $PWD"; printf "%s|" "$SPACES" "$QUOTES" "$LINES" "$HASH" "${EMPTY-unset}" "$EQUALS"'
    done = runtime.run(said, [script], launch, backend=backend)
    assert done.stdout == "77:78 /home/there\n" + "".join(f"{value}|" for value in awkward.values())


@pytest.mark.parametrize(
    ("launch", "command", "words"),
    [
        (Launch(user="who"), ["true"], "no user 'who'"),
        (Launch(), ["no-such-program"], "no program 'no-such-program'"),
        (Launch(), ["/etc/passwd"], "not executable"),
        (Launch(binds=(Bind("/proc/no/such/place", "/x"),)), ["true"], "nothing here to bind"),
        (Launch(env={"A=B": "x"}), ["true"], "cannot be an environment variable"),
    ],
)
def test_what_cannot_run_is_refused_in_the_same_words(
    small: Root, backend: Backend, launch: Launch, command: list[str], words: str
) -> None:
    with pytest.raises(SeatrialError, match=words):
        runtime.run(small, command, launch, backend=backend)


def test_what_is_written_is_gone_and_the_image_is_as_before(small: Root, backend: Backend) -> None:
    script = "echo changed > /etc/alpine-release && rm /bin/yes && mkdir /new && touch /tmp/x && cat /etc/alpine-release"
    assert runtime.run(small, ["sh", "-c", script], ALONE, backend=backend).stdout == "changed\n"
    after = "cat /etc/alpine-release; ls -d /bin/yes /new /tmp/x"
    assert runtime.run(small, ["sh", "-c", after], ALONE, backend=backend).stdout == "3.20.0\n/bin/yes\n"


def test_a_read_only_root_leaves_tmp(small: Root, backend: Backend) -> None:
    launch = Launch(read_only=True, network="none")
    done = runtime.run(small, ["sh", "-c", "touch /tmp/x && touch /etc/x"], launch, backend=backend)
    assert done.code != 0
    assert "Read-only file system" in done.stderr


def test_declared_volumes_exist_and_are_writable(backend: Backend, tmp_path: Path) -> None:
    layout = tmp_path / "image"
    kept = [debian.folder("kept"), debian.Item("kept/file", "image\n"), debian.symlink("link", "kept")]
    volumes: dict[str, object] = {"/not/there/yet": {}, "/link": {}}
    root = runtime.prepare(layout, roots.alpine_like(layout, kept, Volumes=volumes))
    script = "cat /kept/file && touch /not/there/yet/x /kept/x && echo wrote; cat /etc/hostname; touch /x"
    for read_only, code in ((False, 0), (True, 1)):
        launch = Launch(network="none", read_only=read_only)
        done = runtime.run(root, ["sh", "-c", script], launch, backend=backend)
        assert (done.code, done.stdout.split()) == (code, ["image", "wrote", "seatrial"]), done
    gone = runtime.run(root, ["ls", "/not/there/yet", "/kept"], ALONE, backend=backend)
    assert "x" not in gone.stdout.split(), gone


def test_binds_are_writable_only_when_asked(small: Root, backend: Backend, tmp_path: Path) -> None:
    shared = tmp_path / 'with space, comma and "quote"'
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "in").write_text("hello")
    binds = (Bind(str(shared), "/data/ro"), Bind(str(shared), "/data/rw", read_only=False))
    script = "cat /data/ro/in > /data/rw/out; touch /data/ro/no"
    done = runtime.run(small, ["sh", "-c", script], Launch(binds=binds, network="none"), backend=backend)
    assert done.code != 0
    assert sorted(p.name for p in shared.iterdir()) == ["in", "out"]
    assert (shared / "out").read_text() == "hello"


def test_large_output_comes_whole_and_input_goes_in(small: Root, backend: Backend) -> None:
    size = 20 << 20
    script = f"cat; head -c {size} /dev/zero | tr '\\0' x; echo end >&2"
    done = runtime.run(small, ["sh", "-c", script], ALONE, stdin="in\n", backend=backend)
    assert len(done.stdout) == size + 3
    assert (done.code, done.stdout[:4], done.stderr) == (0, "in\nx", "end\n")


def test_signals_reach_the_program_which_is_process_1(small: Root, backend: Backend) -> None:
    script = "trap 'echo got it; exit 9' TERM; echo $$; while :; do sleep 0.05; done"
    with runtime.start(
        small, ["sh", "-c", script], ALONE, stdout=subprocess.PIPE, backend=backend
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got it\n"
        assert process.wait(90) == 9


def test_ctrl_c_at_a_terminal_reaches_the_program_once(small: Root, backend: Backend) -> None:
    if backend == "bwrap":
        pytest.skip("bwrap's program is in the terminal's own session")
    script = "trap 'echo got it; n=x$n; sleep 1; exit ${#n}' INT; echo up; while :; do sleep 0.05; done"
    terminal = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    line = [sys.executable, "-m", "seatrial", "image", "run", small.layout, "--runtime", backend]
    keyboard, screen = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", terminal, *line, "--network", "none", "--", "sh", "-c", script],
        stdin=screen, stdout=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(screen)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        os.write(keyboard, b"\x03")
        assert process.stdout.read() == b"got it\n"
        assert process.wait(90) == 1
    os.close(keyboard)


def test_with_init_a_signal_that_is_not_handled_ends_the_program(small: Root, backend: Backend) -> None:
    launch = Launch(init=True, network="none")
    command = ["sh", "-c", "echo ready; exec sleep 60"]
    with runtime.start(small, command, launch, stdout=subprocess.PIPE, backend=backend) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(90) == 128 + signal.SIGTERM


def escaping(marker: str) -> list[str]:
    script = "setsid sh -c 'sleep {0} & sleep {0}' & (sleep {0} &) ; echo up; sleep {0}"
    return ["sh", "-c", script.format(marker)]


@pytest.mark.parametrize("how", ["block ends", "launcher is killed", "caller is killed"])
def test_whatever_was_started_is_gone_afterwards(small: Root, backend: Backend, how: str) -> None:
    marker = f"{time.monotonic_ns()}"
    if how == "caller is killed":
        code = (
            "import sys, pathlib\nfrom seatrial.images import runtime\n"
            "root = runtime.prepare(pathlib.Path(sys.argv[1]))\n"
            f"runtime.run(root, {escaping(marker)!r}, runtime.Launch(network='none'), backend={backend!r})\n"
        )
        caller = subprocess.Popen([sys.executable, "-c", code, small.layout])
        until(lambda: running(marker) >= 5, "the program runs")
        caller.kill()
        caller.wait()
    else:
        with runtime.start(
            small, escaping(marker), ALONE, stdout=subprocess.PIPE, backend=backend
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            until(lambda: running(marker) >= 4, "grandchildren run")
            if how == "launcher is killed":
                process.kill()
    until(lambda: not running(marker), "everything is gone")
    until(lambda: not _left(backend), "no container is left")


def test_what_was_killed_with_its_guard_is_removed_by_the_next_run(small: Root, backend: Backend) -> None:
    if backend not in ("docker", "podman"):
        pytest.skip(f"{backend} has no guard: the kernel ends everything")
    marker = f"{time.monotonic_ns()}"
    with runtime.start(small, ["sleep", marker], ALONE, backend=backend) as process:
        # Without root, Podman's client is two processes.
        until(lambda: running(marker) >= 2 + (os.geteuid() != 0), "the container runs")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (*map(int, children), process.pid):
            os.kill(pid, signal.SIGKILL)
    assert _left(backend)
    code = (
        "import sys, pathlib\nfrom seatrial.images import runtime\n"
        "root = runtime.prepare(pathlib.Path(sys.argv[1]))\n"
        f"runtime.run(root, ['true'], runtime.Launch(network='none'), backend={backend!r})\n"
    )
    subprocess.run([sys.executable, "-c", code, small.layout], check=True)
    assert not _left(backend)
    assert not running(marker)


def _left(backend: Backend) -> str:
    if backend not in ("docker", "podman"):
        return ""
    return subprocess.run([backend, "ps", "-aq"], capture_output=True, text=True, check=True).stdout


def test_no_network_is_none_and_a_published_port_answers(small: Root, backend: Backend) -> None:
    script = "grep -c : /proc/net/dev; mkdir /www; echo here > /www/x; exec httpd -f -p 8080 -h /www"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        launch = Launch(network="none", publish=(Publish(listener.fileno(), 8080),))
        with runtime.start(
            small, ["sh", "-c", script], launch, stdout=subprocess.PIPE, backend=backend
        ) as process:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"

            def answers() -> bool:
                assert process.poll() is None
                try:
                    with urlopen(url, timeout=5) as page:
                        return bool(page.read() == b"here\n")
                except OSError:
                    return False

            until(answers, "the published port answers")
            assert process.stdout is not None
            assert process.stdout.readline() == b"1\n", "there is more than the loopback interface"


def test_the_host_network_is_the_hosts_with_its_certificates_and_proxies(
    small: Root, backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("UNRELATED", "stays outside")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f'echo "$HTTPS_PROXY|$UNRELATED"; nc 127.0.0.1 {port} < /dev/null && echo reached'
        with runtime.start(small, ["sh", "-c", script], stdout=subprocess.PIPE, backend=backend) as process:
            server.settimeout(20)
            server.accept()[0].close()
            assert process.stdout is not None
            assert process.stdout.read() == b"http://127.0.0.1:1|\nreached\n"


def test_memory_is_limited_for_all_processes_together(
    small: Root, backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    launch = Launch(total_memory=64 << 20, cpus=0.5, network="none")
    without = backend in ("bwrap", "runc") and cgroups.problem(memory=True, cpus=True)
    if without or (backend == "podman" and os.geteuid() != 0 and cgroups.version() != "2"):
        assert len(runtime.remarks(launch, backend)) == 2
        return
    assert runtime.remarks(launch, backend) == ()
    # Each keeps one block of 40 MiB: none is over the limit alone.
    hold = "(dd if=/dev/zero of=/dev/null bs=40M count=100000 2>/dev/null || echo gone > /tmp/end) & "
    script = f"busybox mkfifo /tmp/end; {hold * 3} read word < /tmp/end; echo $word"
    done = runtime.run(small, ["sh", "-c", script], launch, timeout=60, backend=backend)
    assert done.stdout == "gone\n", done
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_in_no_argument_list(small: Root, backend: Backend) -> None:
    secret, marker = f"s3cret-{time.monotonic_ns()}", f"{time.monotonic_ns()}"
    command = ["sh", "-c", f'echo "$KEY"; exec sleep {marker}']
    launch = Launch(env={"KEY": secret, "LINES": f"a\n{secret}"}, network="none")
    with runtime.start(small, command, launch, stdout=subprocess.PIPE, backend=backend) as process:
        assert process.stdout is not None
        assert process.stdout.readline().decode().strip() == secret
        assert running(marker) >= 1
        assert running(secret) == 0


def test_few_rights(small: Root, backend: Backend) -> None:
    script = "grep -E 'CapEff|NoNewPrivs' /proc/self/status; ls /proc/self/fd | wc -w"
    rights, privileges, descriptors = runtime.run(
        small, ["sh", "-c", script], ALONE, backend=backend
    ).stdout.splitlines()
    assert not int(rights.split()[1], 16) & (1 << 21), "CAP_SYS_ADMIN could mount"
    assert privileges.split()[1] == "1"
    assert descriptors == "4"
    app = runtime.run(small, ["sh", "-c", script], Launch(network="none", user="app"), backend=backend)
    assert app.stdout.split()[1] == "0" * 16


def test_programs_before_another_run_or_are_refused(small: Root, backend: Backend) -> None:
    launch = Launch(network="none", before=(Before(("touch", "/made")),))
    if backend == "bwrap":
        assert runtime.run(small, ["ls", "/made"], launch, backend=backend).code == 0
        return
    with pytest.raises(UsageError, match="cannot run a program before another"):
        runtime.run(small, ["ls", "/made"], launch, backend=backend)


def test_an_unknown_backend_is_refused(small: Root) -> None:
    with pytest.raises(UsageError, match="no runtime 'lxc'"):
        runtime.run(small, ["true"], backend="lxc")  # type: ignore[arg-type]


MADE = {"ubuntu": roots.ubuntu_like, "alpine": roots.alpine_like, "distroless": roots.distroless_like}


@pytest.mark.parametrize("kind", MADE)
def test_layouts_of_distributions(kind: str, backend: Backend, tmp_path: Path) -> None:
    root = runtime.prepare(tmp_path / kind, MADE[kind](tmp_path / kind))
    if kind == "distroless":
        assert runtime.run(root, [], ALONE, backend=backend) == (0, "alone\n", "")
        return
    assert runtime.run(root, ["sh", "-c", "echo $0"], ALONE, backend=backend) == (0, "sh\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["debian", "python"])
def test_layouts_with_a_real_python(kind: str, backend: Backend, tmp_path: Path) -> None:
    """Debian's, in /usr with links to merge it, and one in /usr/local as in the images named python:slim."""
    if kind == "python" and slim.unfit():
        pytest.skip(slim.unfit())
    layout = debian.base() if kind == "debian" else slim.base(tmp_path / kind)
    root = runtime.prepare(layout)
    asked = ["python3", "-c", "import json, ssl, sqlite3, sys; print(json.dumps(sys.prefix))"]
    expected = '"/usr"\n' if kind == "debian" else '"/usr/local"\n'
    assert runtime.run(root, asked, ALONE, backend=backend) == (0, expected, "")


def test_a_trial_says_that_it_runs(backend: Backend) -> None:
    found = trial(backend)
    assert found.why == ""
    assert not [one for one in found.cannot if one.startswith("run a user")], found


def test_a_command_line_that_is_killed_leaves_no_program_though_limited(
    small: Root, backend: Backend
) -> None:
    marker = f"{time.monotonic_ns()}"
    options = ["--runtime", backend, "--network", "none", "--memory", "256m", "--", "sleep", marker]
    line = [sys.executable, "-m", "seatrial", "image", "run", small.layout, *options]
    with subprocess.Popen(line, stdin=subprocess.DEVNULL) as process:
        until(lambda: running(f"sleep\0{marker}") >= 1, "the program runs")
        process.kill()
    until(lambda: not running(marker), "everything is gone")
