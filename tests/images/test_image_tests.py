"""Broken images: each cause is named, first, with what to do. Healthy ones: no failure."""

from __future__ import annotations

import importlib
import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.config.model import AllowedSecret, Call
from seatrial.images.testing.model import Check, Level, TestSpec, Verdict
from seatrial.images.testing.suite import run_tests
from support.debian import PACKAGES, Item, base, folder, image, needs_bwrap, own_cache, symlink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERVER = """
import http.server, json, os, signal, sys, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(os.environ.get("SLOW", "0")))
        self.answer(200 if self.path == "/ping" else 404, b"")
    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        self.answer(200, json.dumps({"predictions": [sum(row) + float(os.environ.get("OFF", "0")) for row in rows]}).encode())
    def answer(self, status, body):
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""
SERVED = [folder("srv"), Item("srv/serve.py", SERVER)]
SERVING: dict[str, Any] = {
    "Entrypoint": ["python3", "serve.py"], "WorkingDir": "/srv", "ExposedPorts": {"8080/tcp": {}},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def debian(cache: Path) -> Path:
    return base()


def wheel(name: str, version: str, files: dict[str, str | bytes], requires: Sequence[str] = ()) -> list[Item]:
    """What installing a wheel leaves behind."""
    info = f"{name}-{version}.dist-info"
    lines = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/METADATA", f"{info}/RECORD"])
    content: dict[str, str | bytes] = {
        **files,
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/RECORD": record,
    }
    return [Item(f"{PACKAGES}/{path}", text) for path, text in content.items()]


def native_module() -> bytes:
    """A real extension module for CPython 3.11 on this machine."""
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux":
        pytest.skip("needs an extension module of the image's Python, 3.11")
    return Path(str(importlib.import_module("msgspec._core").__file__)).read_bytes()


def verdict_of(
    debian: Path,
    tmp_path: Path,
    *layers: Sequence[Item],
    settings: dict[str, Any] | None = None,
    level: Level = "quick",
    spec: TestSpec | None = None,
    lock: dict[str, str] | None = None,
    only: tuple[str, ...] = (),
    **config: Any,
) -> Verdict:
    layout = tmp_path / "image"
    digest = image(layout, layers, settings or {"Cmd": ["python3"]}, base=debian, **config)
    return run_tests(
        layout, digest, level=level, spec=spec or TestSpec(), lock=lock, only=only, out=tmp_path / "reports"
    )


def first(verdict: Verdict) -> Check:
    assert verdict.verdict == "fail", verdict.checks
    check = verdict.checks[0]
    assert check.status == "fail"
    assert check.fix
    return check


def only_failure(verdict: Verdict) -> Check:
    check = first(verdict)
    assert [c.id for c in verdict.checks if c.status == "fail"] == [check.id]
    return check


def by_id(verdict: Verdict) -> dict[str, Check]:
    return {check.id: check for check in verdict.checks}


def test_a_module_that_does_not_import(debian: Path, tmp_path: Path) -> None:
    broken = wheel("broken", "1.0", {"broken/__init__.py": "import nowhere_to_be_found\n"})
    fine = wheel(
        "fine", "1.0", {"fine.py": "import sys\nsys.stdout.write('noise\\n')\nprint('{\"done\": \"x\"}')\n"}
    )
    verdict = verdict_of(debian, tmp_path, broken + fine, spec=TestSpec(imports=("json", "fine")))
    check = only_failure(verdict)
    assert check.id == "imports:broken"
    assert "No module named 'nowhere_to_be_found'" in check.message
    assert "requirements" in check.fix


def test_a_module_that_crashes_does_not_hide_the_others(debian: Path, tmp_path: Path) -> None:
    crash = wheel(
        "crash", "1", {"crash.py": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\nos.abort()\n"}
    )
    other = wheel("other", "1", {"other.py": "raise RuntimeError('second')\n"})
    verdict = verdict_of(debian, tmp_path, crash + other)
    failures = {c.id: c.message for c in verdict.checks if c.status == "fail"}
    assert set(failures) == {"imports:crash", "imports:other"}
    assert "abort" in failures["imports:crash"] or "segmentation" in failures["imports:crash"]
    assert "second" in failures["imports:other"]


def test_numpys_complaint_about_an_old_binary_fails_even_when_the_import_goes_through(
    debian: Path, tmp_path: Path
) -> None:
    text = "import sys\nsys.stderr.write('A module that was compiled using NumPy 1.x cannot be run in\\nNumPy 2.1.3 as it may crash.')\n"
    check = only_failure(verdict_of(debian, tmp_path, wheel("old", "1", {"old.py": text})))
    assert "compiled against NumPy 1" in check.message
    assert "numpy<2" in check.fix


def test_a_version_that_drifted_from_the_lock(debian: Path, tmp_path: Path) -> None:
    layer = wheel("Some.Name", "1.0.1", {"some_name.py": ""}) + wheel("same", "1.0", {"same.py": ""})
    lock = {"some-name": "1.0.0", "same": "1.0.0", "absent": "3"}
    check = only_failure(verdict_of(debian, tmp_path, layer, lock=lock))
    assert check.id == "versions"
    assert check.details == (
        "absent==3 is locked but not installed",
        "some-name is 1.0.1, the lock says 1.0.0",
    )


def test_a_requirement_that_is_not_met(debian: Path, tmp_path: Path) -> None:
    requires = ["same<2", "gone; python_version<'3'", "absent>=1; sys_platform=='linux'", "extra; extra=='x'"]
    layer = wheel("asks", "1", {"asks.py": ""}, requires) + wheel("same", "2.5rc1", {"same.py": ""})
    check = only_failure(verdict_of(debian, tmp_path, layer))
    assert check.id == "dependencies"
    assert check.details == (
        "asks 1 needs same<2, but 2.5rc1 is installed",
        "asks 1 needs absent>=1, which is not installed",
    )


def test_a_missing_shared_object_and_an_import_that_needs_it(debian: Path, tmp_path: Path) -> None:
    broken = native_module().replace(b"libc.so.6\0", b"libq.so.6\0")
    name = "native/_core.cpython-311-x86_64-linux-gnu.so"
    layer = wheel("native", "1", {"native/__init__.py": "from . import _core\n", name: broken})
    found = by_id(verdict_of(debian, tmp_path, layer))
    assert found["libraries:libq.so.6"].status == "fail"
    assert f"/{PACKAGES}/{name} needs it" in found["libraries:libq.so.6"].message
    assert "libq.so.6" in found["imports:native"].message
    assert "libq.so.6" in found["imports:native"].fix


def test_a_gap_of_a_library_that_a_module_is_linked_to(debian: Path, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "deep/__init__.py": "",
        "deep/_core.abi3.so": shared_object("libdeep.so", runpath="$ORIGIN/libs"),
        "deep/libs/libdeep.so": shared_object("libdeeper.so", runpath="$ORIGIN"),
        "deep/libs/libdeeper.so": shared_object("librdma.so.1"),
    }
    check = only_failure(verdict_of(debian, tmp_path, wheel("deep", "1", files)))
    assert check.id == "libraries:librdma.so.1"
    assert "deep/libs/libdeeper.so needs it" in check.message


def shared_object(*needed: str, runpath: str = "") -> bytes:
    """A 64-bit x86 ELF file with a dynamic section and nothing else."""
    strings, tags = b"\0", []
    for tag, text in [*((1, name) for name in needed), *([(29, runpath)] if runpath else [])]:
        tags.append((tag, len(strings)))
        strings += text.encode() + b"\0"
    start = 64 + 2 * 56
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in [*tags, (5, start), (0, 0)])
    size = start + len(strings) + len(dynamic)
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    )
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, size, size, 4096)
    place = start + len(strings)
    dyn = struct.pack("<IIQQQQQQ", 2, 4, place, place, place, len(dynamic), len(dynamic), 8)
    return header + load + dyn + strings + dynamic


def test_gaps_that_are_none(debian: Path, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "gpu/__init__.py": "",
        "gpu/driver.so": shared_object("libcuda.so.1", "libc.so.6"),
        "gpu/preloaded.so": shared_object("libfromother.so.3"),
        "other/lib/libfromother.so.3": shared_object(),
        "gpu/own/uses.so": shared_object("libmine.so", runpath="$ORIGIN/../libs:/nowhere"),
        "gpu/libs/libmine.so": shared_object(),
        "gpu/configured.so": shared_object("libconf.so.2"),
        "gpu/provider_cuda.so": shared_object("libcublasLt.so.12"),
        "numba/np/ufunc/tbbpool.cpython-311-x86_64-linux-gnu.so": shared_object("libtbb.so.12"),
        "gpu/transport_fabric.so": shared_object("libfabric.so.1"),
        "gpu/libdeeper.so": shared_object("librdma.so.1"),
    }
    system = [
        Item("etc/ld.so.conf.d/extra.conf", "# more\n/opt/extra\n"),
        Item("opt/extra/libconf.so.2", shared_object()),
    ]
    check = by_id(verdict_of(debian, tmp_path, wheel("gpu", "1", files), system))["libraries"]
    assert check.status == "pass", check
    assert sorted(line.rpartition("/")[2] for line in check.details) == [
        "driver.so: libcuda.so.1: comes with the GPU driver",
        "libdeeper.so: librdma.so.1: no module is linked to it; if it is loaded by hand, an import says so",
        "preloaded.so: libfromother.so.3: another package has it and may load it first",
        "provider_cuda.so: libcublasLt.so.12: there is no CUDA in this image",
        "tbbpool.cpython-311-x86_64-linux-gnu.so: libtbb.so.12: an optional part",
        "transport_fabric.so: libfabric.so.1: no module is linked to it; if it is loaded by hand, an import says so",
    ]


def test_another_cuda_major_is_named(debian: Path, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "gpu/__init__.py": "",
        "gpu/needs.so": shared_object("libcublas.so.12"),
        "nvidia/cublas/lib/libcublas.so.11": shared_object(),
    }
    check = only_failure(verdict_of(debian, tmp_path, wheel("gpu", "1", files)))
    assert check.id == "libraries:libcublas.so.12"
    assert "libcublas.so.11" in check.fix
    assert "same CUDA major" in check.fix


def test_a_module_for_another_processor(debian: Path, tmp_path: Path) -> None:
    content = bytearray(native_module())
    content[18:20] = (183).to_bytes(2, "little")
    name = "native/_core.cpython-311-x86_64-linux-gnu.so"
    found = by_id(
        verdict_of(debian, tmp_path, wheel("native", "1", {"native/__init__.py": "", name: bytes(content)}))
    )
    assert found["libraries:architecture"].status == "fail"
    assert "not for amd64" in found["libraries:architecture"].message


ENTRIES: dict[str, tuple[list[Item], dict[str, Any], str]] = {
    "nowhere": ([], {"Entrypoint": ["serve"]}, "in no folder of PATH"),
    "absent": ([], {"Entrypoint": ["/srv/run"]}, "/srv/run does not exist"),
    "dangling": ([symlink("srv/run", "/gone")], {"Entrypoint": ["/srv/run"]}, "symbolic link to nothing"),
    "not executable": ([Item("srv/run", "#!/bin/sh\n")], {"Entrypoint": ["/srv/run"]}, "chmod +x /srv/run"),
    "no interpreter": ([Item("srv/run", "#!/opt/none\n", 0o755)], {"Cmd": ["/srv/run"]}, "/opt/none, which is not in"),
    "env": ([Item("srv/run", "#!/usr/bin/env nodejs\n", 0o755)], {"Cmd": ["/srv/run"]}, "run by nodejs"),
    "windows": ([Item("srv/run", "#!/bin/sh\r\n", 0o755)], {"Entrypoint": ["/srv/run"]}, "Windows line ends"),
    "nothing": ([Item("srv/run", "hello\n", 0o755)], {"Entrypoint": ["/srv/run"]}, "neither a program nor a script"),
    "script": ([], {"Entrypoint": ["python3", "-u", "main.py"], "WorkingDir": "/usr"}, "main.py, which is not in the image"),
    "folder": ([folder("srv/app")], {"Entrypoint": ["/srv/app"]}, "is a folder"),
    "workdir": ([], {"Cmd": ["sh"], "WorkingDir": "/gone"}, "working directory /gone does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_point_that_cannot_start(name: str, debian: Path, tmp_path: Path) -> None:
    items, settings, words = ENTRIES[name]
    check = only_failure(verdict_of(debian, tmp_path, items, settings=settings, only=("entrypoint",)))
    assert check.id == "entrypoint"
    assert words in f"{check.message} {check.fix}"


def test_a_program_for_another_processor_or_system(debian: Path, tmp_path: Path) -> None:
    program = bytearray(Path("/bin/true").resolve().read_bytes())
    other = bytes(program).replace(b"/lib64/ld-linux-x86-64.so.2", b"/lib/ld-musl-x86_64.so.1\0\0\0")
    check = only_failure(
        verdict_of(debian, tmp_path, [Item("run", other, 0o755)], settings={"Cmd": ["/run"]})
    )
    if b"ld-linux-x86-64" in program:
        assert "needs the loader /lib/ld-musl-x86_64.so.1" in check.message
        assert "musl" in check.fix


def test_files_that_only_root_can_read(debian: Path, tmp_path: Path) -> None:
    layer = [
        Item("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n"),
        Item("etc/group", "root:x:0:\nteam:x:50:app\n"),
        folder("srv", 0o755),
        Item("srv/model", "m", mode=0o600),
        Item("srv/own", "m", mode=0o600, uid=1000),
        Item("srv/teams", "m", mode=0o640, gid=50),
        folder("srv/closed", 0o700),
        Item("srv/closed/open", "m", mode=0o644),
    ]
    check = only_failure(
        verdict_of(debian, tmp_path, layer, settings={"Cmd": ["sh"], "WorkingDir": "/srv", "User": "app"})
    )
    assert check.id == "permissions"
    assert check.details == (
        "/srv/closed (may not enter: mode 0700, owner 0:0)",
        "/srv/model (may not read: mode 0600, owner 0:0)",
    )
    assert "chown" in check.fix


def _random(letters: str, count: int) -> str:
    return "".join(random.Random(5).choices(letters, k=count))


UPPER, WIDE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "ABCDEFGHJKMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789"
PEM = (
    "-----BEGIN {}PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
    "\nabc\n-----END PRIVATE KEY-----\n"
)
SECRETS: dict[str, tuple[str, str, str]] = {
    "pem": ("srv/server.pem", PEM.format(""), "private key"),
    "ssh": ("root/.ssh/id", PEM.format("OPENSSH "), "private key"),
    "json": ("srv/account.json", json.dumps({"private_key": PEM.format("")}), "private key"),
    "aws": (
        "srv/x.py",
        f"a = 'AKIA{_random(UPPER, 16)}'\nb = '{_random(WIDE, 40)}'\n",
        "AWS access key with its secret",
    ),
    "github": ("srv/x.sh", f"TOKEN=ghp_{_random(WIDE, 36)}\n", "GitHub token"),
    "hf": ("srv/y.sh", f"login hf_{_random(WIDE, 34)}\n", "Hugging Face token"),
    "env": ("srv/.env", "DEBUG=1\nexport DB_PASSWORD=hunter2-or-so\n", "value in an .env file: /srv/.env:2"),
    "netrc": ("root/.netrc", "machine x login y password hunter2hunter2\n", "credentials in .netrc"),
    "pip": (
        "etc/pip.conf",
        "[global]\nindex-url = https://me:hunter2-or-so@pypi.x.org/simple\n",
        "password in an address",
    ),
    "git": (
        "srv/.git/config",
        f"[x]\n\turl = https://me:{_random(WIDE, 12)}@git.x.org/y\n",
        "password in an address: /srv/.git/config:2",
    ),
    "apt": (
        "etc/apt/auth.conf.d/x.conf",
        "machine x.org login me password hunter2hunter2\n",
        "credentials in x.conf",
    ),
    "pgpass": (
        "root/.pgpass",
        "# a:b:c:d:e\ndb:5432:app:me:hunter2hunter2\n",
        "credentials in .pgpass: /root/.pgpass:2",
    ),
    "page": ("usr/share/nginx/html/app.js", f"const key = 'ghp_{_random(WIDE, 36)}'\n", "GitHub token"),
    "docker": (
        "root/.docker/config.json",
        '{"auths": {"r": {"auth": "dXNlcjpwYXNz"}}}',
        "registry credentials",
    ),
}
INNOCENT = {
    "srv/readme.md": "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\nAKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "srv/public.pem": "-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n",
    "srv/.env": "DEBUG=1\nAPI_KEY=\nTOKEN=${TOKEN}\nPASSWORD=changeme\nMAX_TOKENS=4096\nTOKEN_URL=https://x.org/y\n",
    "etc/pip.conf": "[global]\nindex-url = https://me:${TOKEN}@pypi.x.org/simple\nextra-index-url = https://x.org/a:b@c\n",
    "root/.pgpass": "# db:5432:app:me:hunter2hunter2\n",
    "srv/requirements.txt": "a @ git+https://user:password@x.org/a\nb @ git+ssh://git@x.org/b\n",
    "srv/.env.example": "API_KEY=sdfkjhsdfkjh-sdkjfh\n",
    "srv/code.py": "password = getpass()\nhf_model_name_that_is_rather_long_indeed_yes = 1\ngh = 'ghp_"
    + "x" * 36
    + "'\n",
}


def test_secrets_in_a_layer_that_a_later_one_deletes(debian: Path, tmp_path: Path) -> None:
    gone = [Item(f"{Path(path).parent}/.wh.{Path(path).name}") for path, _, _ in SECRETS.values()]
    check = only_failure(
        verdict_of(debian, tmp_path, [Item(path, text) for path, text, _ in SECRETS.values()], gone)
    )
    assert check.id == "secrets"
    for path, _, words in SECRETS.values():
        found = [line for line in check.details if words in line and f"/{path}:" in line]
        assert len(found) == 1, (path, check.details)
        assert "deleted later" in found[0]
    reports = "".join(p.read_text() for p in (tmp_path / "reports").iterdir())
    assert "PRIVATE KEY" not in reports
    for value in ("hunter2", "dXNlcjpwYXNz", "ghp_", "hf_", "AKIA", _random(WIDE, 20)):
        assert value not in reports, "a report shows a secret"


def test_secrets_in_the_images_settings(debian: Path, tmp_path: Path) -> None:
    token = f"ghp_{_random(WIDE, 36)}"
    settings = {
        "Cmd": ["sh", "-c", "serve --app.token=hunter2-or-so --max-tokens=40 --token-file=/run/t"],
        "Env": [
            "HF_TOKEN=abcdef0123456789",
            "PATH=/usr/bin",
            "MODEL_PATH=/x",
            f"X={token}",
            "DB_URL=pg://me:hunter2x@db/x",
        ],
        "Labels": {"who": "https://me:hunter2x@x.org", "url": "https://x.org/a:b", "allowed": token},
        "Healthcheck": {"Test": ["CMD", "curl", "-u", "a", f"http://localhost/?t={token}"]},
    }
    history = [
        {"created_by": f"RUN |1 T={token} /bin/sh -c true # buildkit"},
        {"created_by": "|2 GITHUB_TOKEN= DB_PASSWORD=hunter2x /bin/bash -o pipefail -c make"},
        {"created_by": "ENV API_KEY=hunter2x", "empty_layer": True},
        {"created_by": "/bin/sh -c #(nop)  ENV HF_TOKEN=abcdef0123456789"},
        {"created_by": "/bin/sh -c PASSWORD=$(cat /run/p) ./set TOKEN=x"},
    ]
    spec = TestSpec(allow=(AllowedSecret(path="LABEL allowed", reason="it is revoked"),))
    check = only_failure(
        verdict_of(
            debian, tmp_path, [Item("a")], settings=settings, history=history, spec=spec, only=("secrets",)
        )
    )
    assert check.details == (
        "value in the image's settings: ENV HF_TOKEN",
        "GitHub token in the image's settings: ENV X",
        "password in an address in the image's settings: ENV DB_URL",
        "password in an address in the image's settings: LABEL who",
        "value of app.token in the image's settings: CMD",
        "GitHub token in the image's settings: HEALTHCHECK",
        "GitHub token: the image's history, step 1",
        "value in the image's history, step 2: DB_PASSWORD",
        "value in the image's history, step 3: API_KEY",
    )
    reports = "".join(p.read_text() for p in (tmp_path / "reports").iterdir())
    assert token not in reports
    assert "hunter2" not in reports


def test_a_project_says_what_is_no_secret(tmp_path: Path) -> None:
    layout = tmp_path / "image"
    image(
        layout,
        [[folder("srv"), Item("srv/dev.pem", PEM.format(""))]],
        {"Labels": {"by": "https://me:hunter2x@x.org"}},
    )
    found = []
    for allow in ("/srv/*.pem", "LABEL by"):
        settings = f"images: {{app: {{base: 'debian:bookworm', test: {{secrets: {{allow: [{{path: {allow}, reason: it is none}}]}}}}}}}}\n"
        (tmp_path / "seatrial.yaml").write_text(settings)
        words = [
            "image",
            "test",
            str(layout),
            "--level",
            "quick",
            "--project",
            ".",
            "--json",
            "-C",
            str(tmp_path),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "seatrial", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        found += [c["message"] for c in json.loads(done.stdout)["checks"] if c["id"] == "secrets"]
    assert found == [
        "password in an address in the image's settings: LABEL by",
        "private key: /srv/dev.pem:1",
    ]


def test_what_only_looks_like_a_secret_in_settings(debian: Path, tmp_path: Path) -> None:
    settings = {
        "Entrypoint": [
            "app",
            "--api-key=EMPTY",
            "--NotebookApp.token=''",
            "--token=$TOKEN",
            "--password-file=/x",
        ],
        "Env": [
            "TOKEN=",
            "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
            "PROXY=http://proxy:3128",
            "URL=pg://pg:pg@db",
        ],
        "Labels": {"vcs": "git@github.com:x/y.git"},
    }
    history = [
        {"created_by": "ARG TOKEN"},
        {"created_by": "|1 TOKEN= /bin/sh -c ./x"},
        {"created_by": "COPY a /b"},
        {"created_by": None},
        {},
    ]
    verdict = verdict_of(debian, tmp_path, [Item("a")], settings=settings, history=history, only=("secrets",))
    assert verdict.verdict == "pass", verdict.checks


@pytest.mark.parametrize("level", ["quick", "full"])
def test_what_only_looks_like_a_secret(level: Level, debian: Path, tmp_path: Path) -> None:
    package = wheel(
        "lib",
        "1",
        {
            "lib/__init__.py": "",
            "lib/tests/key.pem": PEM.format("RSA "),
            "lib/testing_utils.py": f"TOKEN = 'hf_{_random(WIDE, 34)}'",
            "lib/words.py": f"part_of_a_longer_ghp_{_random(WIDE, 36)} = 1",
            "lib/doc.py": f"'AKIA{_random(UPPER, 16)}'",
        },
    )
    allowed = [Item("srv/dev.pem", PEM.format(""))]
    spec = TestSpec(
        allow=(AllowedSecret(path="/srv/dev.pem", reason="a certificate for tests"),), serves=False
    )
    verdict = verdict_of(
        debian, tmp_path, [Item(p, t) for p, t in INNOCENT.items()], package, allowed, level=level, spec=spec
    )
    assert by_id(verdict)["secrets"].status == "pass", by_id(verdict)["secrets"]
    assert verdict.verdict == "pass"


def test_an_image_that_is_too_large(debian: Path, tmp_path: Path) -> None:
    layer = [Item("var/lib/apt/lists/x", "x" * (3 << 20)), Item("big", "x" * (3 << 20))]
    verdict = verdict_of(debian, tmp_path, layer, [Item(".wh.big")], spec=TestSpec(size_limit=10 << 20))
    check = only_failure(verdict)
    assert check.id == "size"
    assert "the limit is 10.0 MB" in check.message
    assert any("3.0 MB lie in layers" in line for line in check.details)
    assert any("apt's package lists" in line for line in check.details)


@pytest.fixture
def asked(tmp_path: Path) -> TestSpec:
    (tmp_path / "request.json").write_text('{"instances": [[1, 2], [3.5, 4]]}')
    (tmp_path / "answer.json").write_text('{"predictions": [3.0001, 7.5]}')
    call = Call(request="request.json", expect="answer.json", tolerance=0.001)
    return TestSpec(inference=(call,), folder=str(tmp_path), start_timeout=20, stop_timeout=20)


def test_a_service_that_is_well(debian: Path, tmp_path: Path, asked: TestSpec) -> None:
    verdict = verdict_of(debian, tmp_path, SERVED, settings=SERVING, level="full", spec=asked)
    assert verdict.verdict == "pass"
    statuses = {c.id: c.status for c in verdict.checks}
    assert {statuses[i] for i in ("service", "ping", "inference:1", "stop", "entrypoint", "duplicates")} == {
        "pass"
    }


SERVICES: dict[str, tuple[dict[str, str], str, str]] = {
    "another answer": ({"OFF": "1"}, "inference:1", "$.predictions[0]: expected 3.0001, got 4"),
    "slow ping": ({"SLOW": "2.05"}, "ping", "took "),
    "ignores SIGTERM": ({"STUBBORN": "1"}, "stop", "still runs 2 s after SIGTERM"),
    "does not start": ({"PORT": "eight"}, "service", "invalid literal for int()"),
    "another port": ({"PORT": "9000"}, "service", "did not start"),
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_breaks_its_contract(name: str, debian: Path, tmp_path: Path, asked: TestSpec) -> None:
    env, identifier, words = SERVICES[name]
    spec = TestSpec(
        inference=asked.inference,
        folder=asked.folder,
        env=env,
        start_timeout=2 if name == "another port" else 30,
        stop_timeout=2 if name == "ignores SIGTERM" else 30,
    )
    check = only_failure(verdict_of(debian, tmp_path, SERVED, settings=SERVING, level="standard", spec=spec))
    assert check.id == identifier
    assert words in " ".join([check.message, *check.details])


def test_a_server_behind_a_shell_that_does_not_hand_signals_on(
    debian: Path, tmp_path: Path, asked: TestSpec
) -> None:
    settings = {**SERVING, "Entrypoint": ["sh", "-c", "python3 serve.py; true"]}
    check = only_failure(
        verdict_of(debian, tmp_path, SERVED, settings=settings, level="standard", spec=asked)
    )
    assert check.id == "stop"
    assert "exec" in check.fix


def test_reports_say_the_same_and_escape_everything(debian: Path, tmp_path: Path) -> None:
    from junitparser import JUnitXml

    nasty = wheel("nasty", "1", {"nasty.py": "raise ValueError('<script>alert(1)</script> \\x07 ]]>')\n"})
    verdict = verdict_of(debian, tmp_path, nasty)
    data = json.loads((tmp_path / "reports/image-tests.json").read_text())
    assert data["verdict"] == "fail"
    assert {c["id"]: c["status"] for c in data["checks"]} == {c.id: c.status for c in verdict.checks}
    suite = next(iter(JUnitXml.fromfile(str(tmp_path / "reports/image-tests.xml"))))
    assert (suite.tests, suite.failures) == (len(verdict.checks), 1)
    page = (tmp_path / "reports/image-tests.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


def test_an_image_without_python_is_tested_as_far_as_possible(tmp_path: Path) -> None:
    digest = image(tmp_path / "image", [[Item("app", "x"), Item("etc/passwd", "root:x:0:0::/:/bin/sh\n")]])
    verdict = run_tests(tmp_path / "image", digest, level="standard")
    assert verdict.verdict == "pass"
    assert {c.status for c in verdict.checks if c.id in ("imports", "dependencies", "service")} == {"skip"}
