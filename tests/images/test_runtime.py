"""Programs run in images: as the image says, alone, and without a trace."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images import runtime
from seatrial.images.runtime import Bind, Launch, Publish
from support.debian import Item, base, folder, image, needs_bwrap, own_cache, symlink
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.runtime import Root

NOBODY = 65534
PLAIN = Launch()


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def debian(cache: Path) -> Path:
    return base()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as block:
        yield block


@pytest.fixture
def root(debian: Path, tmp_path: Path) -> Root:
    return built(debian, tmp_path)


def built(debian: Path, tmp_path: Path, *layers: Sequence[Item], **settings: object) -> Root:
    users = [Item("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n")]
    groups = [Item("etc/group", "root:x:0:\napp:x:1001:\nextra:x:1002:app\n"), folder("home/app", uid=1000)]
    where = tmp_path / f"image{time.monotonic_ns()}"
    return runtime.prepare(where, image(where, [users + groups, *layers], dict(settings), base=debian))


def sh(root: Root, script: str, launch: Launch = PLAIN) -> str:
    done = runtime.run(root, ["sh", "-c", script], launch, timeout=60)
    assert done.code == 0, done.stderr
    return done.stdout.strip()


def snapshot(store: Path) -> dict[str, tuple[int, ...]]:
    """Everything that changes when a file in the store does; ctime cannot be set back."""
    found: dict[str, tuple[int, ...]] = {}
    for part in ("layers", "index"):
        for place in [store / part, *(store / part).rglob("*")]:
            s = place.lstat()
            found[str(place)] = (
                s.st_ino,
                s.st_mode,
                s.st_size,
                s.st_mtime_ns,
                s.st_ctime_ns,
                s.st_uid,
                s.st_nlink,
            )
    return found


def running(marker: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            content = process.read_bytes()
        except OSError:
            continue
        if marker.encode() in content:
            found.append(process.parent.name)
    return found


def test_the_image_says_what_runs_and_how(debian: Path, tmp_path: Path) -> None:
    root = built(
        debian,
        tmp_path,
        Entrypoint=["sh", "-c", 'echo "$A|$B|$PWD|$(id -u):$(id -g)|$HOME|$0 $*"; exit 42'],
        Cmd=["from-cmd"],
        Env=["A=image", "B=image"],
        WorkingDir="/not/there/yet",
        User="app",
    )
    done = runtime.run(root, [], Launch(env={"B": "caller"}))
    assert done.code == 42
    assert done.stdout == "image|caller|/not/there/yet|1000:1001|/home/app|from-cmd \n"
    assert runtime.run(root, ["x", "y"]).stdout.endswith("|x y\n")
    other = runtime.run(root, ["-c", "pwd; id -u"], Launch(entrypoint=("sh",), workdir="/usr", user="0"))
    assert other.stdout.split() == ["/usr", "0"]


@pytest.mark.parametrize(
    ("user", "ids"), [("", "0:0"), ("app", "1000:1001"), ("1000", "1000:1001"), ("app:extra", "1000:1002"), ("77:78", "77:78")]
)  # fmt: skip
def test_users_are_those_of_the_image(root: Root, user: str, ids: str) -> None:
    assert sh(root, "echo $(id -u):$(id -g)", Launch(user=user)) == ids


def test_a_user_can_write_where_it_is_at_home(root: Root) -> None:
    assert sh(root, "touch /home/app/x /tmp/y && ls /home/app", Launch(user="app")) == "x"


def test_what_does_not_exist_is_said_before_anything_starts(root: Root) -> None:
    for launch, words in [(Launch(user="who"), "no user 'who'"), (Launch(user="app:g"), "no group 'g'")]:
        with pytest.raises(SeatrialError, match=words):
            runtime.run(root, ["true"], launch)
    with pytest.raises(SeatrialError, match="no program 'no-such-program'"):
        runtime.run(root, ["no-such-program"])
    with pytest.raises(SeatrialError, match="not executable"):
        runtime.run(root, ["/etc/passwd"])
    with pytest.raises(SeatrialError, match="nothing here to bind"):
        runtime.run(root, ["true"], Launch(binds=(Bind("/proc/no/such/place", "/x"),)))


def test_exit_codes_and_signals_come_back(root: Root) -> None:
    assert runtime.run(root, ["sh", "-c", "exit 7"]).code == 7
    assert runtime.run(root, ["sh", "-c", "kill -SEGV $$"], Launch(init=True)).code == 128 + signal.SIGSEGV


def test_signals_reach_the_program(root: Root) -> None:
    script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    with runtime.start(root, ["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got it\n"
        assert process.wait(60) == 9


def test_process_1_ignores_what_it_does_not_handle_as_in_a_container_and_with_init_it_does_not(
    root: Root,
) -> None:
    command = ["python3", "-c", "import time; print('ready', flush=True); time.sleep(60)"]
    with runtime.start(root, command, Launch(init=True), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    with runtime.start(root, ["sh", "-c", "echo ready; sleep 60"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)

        def interrupted() -> bool:
            # Two of the same may arrive as one, so the second is sent until it has arrived.
            process.send_signal(signal.SIGINT)
            return process.poll() is not None

        until(interrupted, "a second interrupt kills")
        assert process.returncode == 128 + signal.SIGKILL


def _escaping(marker: str) -> list[str]:
    return [
        "sh",
        "-c",
        f"setsid sh -c 'sleep {marker} & sleep {marker}' & (sleep {marker} &) ; echo up; sleep {marker}",
    ]


@pytest.mark.parametrize("init", [True, False])
@pytest.mark.parametrize("how", ["block ends", "kill"])
def test_whatever_was_started_is_gone_afterwards(root: Root, how: str, init: bool) -> None:
    marker = f"{time.monotonic_ns()}"
    with runtime.start(root, _escaping(marker), Launch(init=init), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: len(running(marker)) >= 4, "grandchildren run")
        if how == "kill":
            process.kill()
            process.wait()
            until(lambda: not running(marker), "everything died with the launcher")
    if how == "block ends":
        assert running(marker) == []
    assert "rootfs/mnt" not in Path("/proc/mounts").read_text()


def test_it_ends_with_a_caller_that_is_killed(root: Root, tmp_path: Path) -> None:
    marker = f"{time.monotonic_ns()}"
    code = (
        "import sys, pathlib\nfrom seatrial.images import runtime\n"
        "root = runtime.prepare(pathlib.Path(sys.argv[1]))\n"
        f"runtime.run(root, {_escaping(marker)!r})\n"
    )
    where = next(tmp_path.glob("image*"))
    caller = subprocess.Popen([sys.executable, "-c", code, str(where)])
    until(lambda: len(running(marker)) >= 5, "the program runs")
    caller.kill()
    caller.wait()
    until(lambda: not running(marker), "everything died with the caller")


VANDAL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
done = 0
for top, folders, files in os.walk("/", topdown=False):
    if top.startswith(("/proc", "/sys", "/dev")):
        continue
    for name in files:
        path = os.path.join(top, name)
        for act in (lambda: os.chmod(path, 0o777), lambda: os.utime(path, (1, 1), follow_symlinks=False),
                    lambda: open(path, "r+b").write(b"vandal"), lambda: os.setxattr(path, "user.x", b"y"),
                    lambda: os.link(path, path + ".link"), lambda: os.rename(path, path + ".moved"),
                    lambda: os.chown(path + ".moved", 5, 5), lambda: os.unlink(path + ".moved")):
            try:
                act()
                done += 1
            except OSError:
                pass
    for act in (lambda: open(os.path.join(top, "new"), "w").close(), lambda: os.chmod(top, 0o700)):
        try:
            act()
            done += 1
        except OSError:
            pass
for flags in (0x20, 0x20 | 0x1000):
    libc.mount(b"none", b"/", None, flags, None)
libc.unshare(0x10000000 | 0x20000)
libc.mount(b"none", b"/", None, 0x20, None)
for number in range(3, 200):
    try:
        os.stat("/proc/self/fd/%d" % number)
        path = os.readlink("/proc/self/fd/%d" % number)
        if "rootfs" in path or "seatrial" in path:
            print("leak", path)
    except OSError:
        pass
print("done", done)
"""


@pytest.mark.parametrize("user", ["", "app"])
def test_nothing_that_a_program_does_changes_the_store(root: Root, cache: Path, user: str) -> None:
    before = snapshot(cache / "rootfs")
    done = runtime.run(root, ["python3", "-c", VANDAL], Launch(user=user), timeout=120)
    word, count = done.stdout.split()
    assert (done.code, word) == (0, "done"), done
    assert int(count) > 10_000
    assert snapshot(cache / "rootfs") == before
    assert sh(root, "cat /etc/hostname /new 2>&1 | grep -c vandal; head -c 4 /etc/passwd").endswith("root")


def test_sixty_layers_and_more_than_can_be_mounted(debian: Path, tmp_path: Path, cache: Path) -> None:
    layers = [
        [Item(f"layers/{n}", str(n)), Item("layers/last", str(n)), Item(f"layers/.wh.{n - 2}")]
        for n in range(160)
    ]
    few = built(debian, tmp_path, *layers[:60])
    assert sh(few, "ls /layers | wc -l; cat /layers/last").split() == ["3", "59"]
    many = built(debian, tmp_path, *layers)
    before = snapshot(cache / "rootfs")
    assert sh(many, "ls /layers | wc -l; cat /layers/last; echo; echo x > /layers/last; id -u").split() == [
        "3",
        "159",
        "0",
    ]
    assert snapshot(cache / "rootfs") == before
    assert list((cache / "rootfs/tmp").iterdir()) == []


def test_read_only_means_everywhere_but_tmp(root: Root) -> None:
    done = runtime.run(
        root, ["sh", "-c", "touch /tmp/x && touch /etc/x"], Launch(read_only=True, workdir="/new")
    )
    assert done.code != 0
    assert "Read-only file system" in done.stderr


@pytest.mark.parametrize("user", ["", "app"])
def test_the_kernels_settings_cannot_be_changed_by_whomever(root: Root, user: str) -> None:
    setting = "/proc/sys/kernel/core_pattern"  # written with what it holds, in case this fails
    done = runtime.run(
        root, ["sh", "-c", f"was=$(cat {setting}) && echo $was > {setting}"], Launch(user=user)
    )
    assert done.code != 0
    assert "Read-only file system" in done.stderr


def test_binds_are_writable_only_when_asked(root: Root, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "in").write_text("hello")
    binds = (Bind(str(shared), "/data/ro"), Bind(str(shared), "/data/rw", read_only=False))
    done = runtime.run(
        root, ["sh", "-c", "cat /data/ro/in > /data/rw/out; touch /data/ro/no"], Launch(binds=binds)
    )
    assert done.code != 0
    assert sorted(p.name for p in shared.iterdir()) == ["in", "out"]
    assert (shared / "out").read_text() == "hello"


def test_secrets_are_in_no_argument_list(root: Root) -> None:
    secret, marker = f"s3cret-{time.monotonic_ns()}", f"{time.monotonic_ns()}"
    command = ["sh", "-c", f'echo "$KEY"; exec sleep {marker}']
    with runtime.start(root, command, Launch(env={"KEY": secret}), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().decode().strip() == secret
        assert len(running(marker)) >= 2
        assert running(secret) == []


def test_an_images_variables_do_not_reach_programs_of_this_machine(debian: Path, tmp_path: Path) -> None:
    root = built(debian, tmp_path, Env=["LD_PRELOAD=/evil.so", "PYTHONHOME=/nowhere", "PATH=/usr/bin:/bin"])
    done = runtime.run(root, ["sh", "-c", "echo $LD_PRELOAD"])
    assert (done.code, done.stdout) == (0, "/evil.so\n")
    # The program's own loader complains once, the launcher's and bwrap's never.
    assert done.stderr.count("/evil.so") == 1


def test_no_network_is_none_and_a_published_port_still_answers(root: Root) -> None:
    with socket.socket() as outside, socket.socket() as listener:
        outside.bind(("127.0.0.1", 0))
        outside.listen()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        code = f"""
import http.server, socket
try:
    socket.create_connection(("127.0.0.1", {outside.getsockname()[1]}), 2)
    answer = b"reached the host"
except OSError:
    answer = b"alone on " + ",".join(n for _, n in socket.if_nameindex()).encode() + b" as " + socket.gethostbyname("localhost").encode()
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(answer * 100000)
http.server.ThreadingHTTPServer(("", 8080), Page).serve_forever()
"""
        launch = Launch(network="none", publish=(Publish(listener.fileno(), 8080),))
        with runtime.start(root, ["python3", "-c", code], launch):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

            def answers() -> bool:
                try:
                    with urlopen(url, timeout=5) as page:
                        return bool(page.read() == b"alone on lo as 127.0.0.1" * 100000)
                except OSError:
                    return False

            until(answers, "the published port answers")


def test_the_host_network_brings_proxies_and_certificates(
    root: Root, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "company.pem"
    bundle.write_text("our own authority\n")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("UNRELATED", "stays outside")
    script = 'echo "$HTTPS_PROXY $UNRELATED"; cat "$SSL_CERT_FILE" /etc/ssl/certs/ca-certificates.crt'
    assert sh(root, script).splitlines() == ["http://127.0.0.1:1 ", "our own authority", "our own authority"]
    bare = sh(root, 'echo "$HTTPS_PROXY|$SSL_CERT_FILE"', Launch(host_settings=False))
    assert bare == "|"
    assert sh(root, 'echo "$HTTPS_PROXY|$SSL_CERT_FILE"', Launch(network="none")) == "|"


def test_memory_is_limited(root: Root) -> None:
    code = "x = bytearray(400 << 20)"
    assert runtime.run(root, ["python3", "-c", code]).code == 0
    done = runtime.run(root, ["python3", "-c", code], Launch(memory=100 << 20))
    assert done.code == 1
    assert "MemoryError" in done.stderr


def test_the_program_gets_three_descriptors_and_few_rights(root: Root) -> None:
    # The fourth is the one with which `ls` reads the folder.
    assert sh(root, "ls /proc/self/fd").split() == ["0", "1", "2", "3"]
    assert sh(root, "grep CapEff /proc/self/status", Launch(user="app")).split()[1] == "0" * 16
    rights = int(sh(root, "grep CapEff /proc/self/status").split()[1], 16)
    assert not rights & (1 << 21), "CAP_SYS_ADMIN could mount"
    assert runtime.run(root, ["mount", "-t", "tmpfs", "x", "/mnt"]).code != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is certain to have a range of ids")
def test_root_can_give_files_to_other_users(root: Root) -> None:
    assert sh(root, "touch /opt/x; chown app:app /opt/x; stat -c %u:%g /opt/x") == "1000:1001"
    assert sh(root, "setpriv --reuid 1000 --regid 1001 --init-groups id -u") == "1000"


def test_a_symbolic_link_in_the_image_does_not_lead_a_bind_outside(debian: Path, tmp_path: Path) -> None:
    root = built(debian, tmp_path, [symlink("data", str(tmp_path / "trap")), symlink("proc2", "/proc")])
    (tmp_path / "in").write_text("bound")
    launch = Launch(binds=(Bind(str(tmp_path / "in"), "/data/file"),))
    assert sh(root, f"cat {tmp_path}/trap/file", launch) == "bound"
    assert not (tmp_path / "trap").exists()


def test_a_layer_in_use_is_not_removed(root: Root) -> None:
    from seatrial.images import unpack

    with runtime.start(root, ["sh", "-c", "echo up; sleep 60"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert not unpack.remove(root.layers[-1])
    assert unpack.remove(root.layers[-1])
    with pytest.raises(SeatrialError, match="removed from the layer store"):
        runtime.run(root, ["true"])


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user_can_do_the_same(root: Root, tmp_path: Path, stack: ExitStack) -> None:
    python = "/usr/bin/python3"
    if not Path(python).exists() or not shutil.which("setpriv"):
        pytest.skip("needs setpriv and an interpreter that other users may run")
    # Not in pytest's folder: every session that starts closes that to other users.
    open_to_all = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    open_to_all.chmod(0o755)
    layout, home = open_to_all / "image", open_to_all / "home"
    shutil.copytree(next(tmp_path.glob("image*")), layout)
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    code = f"""
import sys, pathlib
from seatrial.images import runtime
root = runtime.prepare(pathlib.Path({str(layout)!r}))
L = runtime.Launch
print(runtime.support().overlay)
print(runtime.run(root, ["sh", "-c", "id -u; echo x > /etc/passwd; rm -rf /usr/share; cat /etc/passwd"]).stdout.split())
print(runtime.run(root, ["sh", "-c", "id -u; touch /home/app/x && echo wrote"], L(user="app", network="none")).stdout.split())
"""
    env = {
        "PATH": os.environ["PATH"], "HOME": str(home), "SEATRIAL_CACHE": str(home / "cache"),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    ordinary = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    works = subprocess.run(
        [*ordinary, python, "-c", "import seatrial, msgspec"], env=env, capture_output=True, check=False
    )
    if works.returncode:
        pytest.skip(f"an ordinary user cannot run this checkout: {works.stderr.decode().strip()[-100:]}")
    done = subprocess.run(
        [*ordinary, python, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True", "['0', 'x']", "['1000', 'wrote']"]
    assert {p.lstat().st_uid for p in home.rglob("*")} == {NOBODY}


def test_the_command_line_is_a_value(root: Root) -> None:
    launch = Launch(env={"KEY": "hidden"}, network="none", read_only=True, binds=(Bind("/a", "/b"),))
    line = runtime.argv(root, ["prog", "arg"], launch, runtime.who(root, "app"), bwrap="bwrap", args_fd=9)
    text = " ".join(line)
    assert "hidden" not in text
    assert line[-3:] == ["--", "prog", "arg"]
    assert "--ro-bind /a /b --remount-ro / --chdir /" in text
    assert "--unshare-user --uid 1000 --gid 1001" in text
    assert len(",".join(root.layers)) < 4096


def test_without_bwrap_it_says_what_is_missing(
    root: Root, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if any(Path(folder, "bwrap").exists() for folder in ("/usr/sbin", "/sbin", "/usr/local/sbin")):
        pytest.skip("bwrap is in a folder that is always searched")
    with pytest.raises(MissingToolError, match="bwrap is not installed"):
        runtime.run(root, ["true"])
