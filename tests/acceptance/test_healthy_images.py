"""Healthy images of many kinds: no check fails at any level."""

from __future__ import annotations

import shutil
import zipapp
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from seatrial.images.testing.model import Level, TestSpec
from seatrial.images.testing.suite import run_tests
from support import slim
from support.debian import Item, base, folder, image, needs_bwrap, own_cache, symlink, tar
from support.image_content import SERVER, compiled, editable, extension, shared, wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

USERS = [
    Item(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    ),
    Item("etc/group", "root:x:0:\napp:x:1000:\nnogroup:x:65534:\n"),
    folder("home/app", 0o700, uid=1000, gid=1000),
]
PORT: dict[str, Any] = {"ExposedPorts": {"8080/tcp": {}}}
MINOR = slim.NAME.removeprefix("python")
WORKERS = """
import os, signal, socket, sys
listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "8080"))), backlog=64)
def work():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
children = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        work()
    children.append(pid)
def stop(*_):
    for pid in children:
        os.kill(pid, signal.SIGTERM)
signal.signal(signal.SIGTERM, stop)
for pid in children:
    os.waitpid(pid, 0)
"""
EXEC = '#!/bin/sh\nset -e\n: "${PORT:=8080}"\nexport PORT\nexec "$@"\n'


class Healthy(NamedTuple):
    """`passes` are checks that must have looked and found nothing; `on` says what is below the layers."""

    layers: Callable[[], Sequence[Sequence[Item] | bytes]]
    settings: dict[str, Any]
    passes: tuple[str, ...] = ()
    on: str = "debian"
    spec: TestSpec = TestSpec(start_timeout=30)
    lock: dict[str, str] | None = None


def system(*programs: str) -> list[Item]:
    """Programs of this machine with the libraries and the loader that they need, where they are here."""
    found = {str(Path(path).resolve()) for path in programs}
    libraries = slim._libraries([Path(path) for path in found])
    return [Item(p.lstrip("/"), Path(p).resolve().read_bytes(), 0o755) for p in sorted(found | libraries)]


def busybox() -> list[Item]:
    program = shutil.which("busybox")
    if program is None:
        pytest.skip("busybox is not installed: an image with nothing but it cannot be made")
    names = ("sh", "ls", "cat", "sleep", "httpd", "env")
    return [
        folder("bin"), *USERS, Item("bin/busybox", Path(program).resolve().read_bytes(), 0o755),
        *(symlink(f"bin/{name}", "busybox") for name in names),
        Item("etc/os-release", "ID=alpine\n"), Item("etc/alpine-release", "3.20.0\n"),
        folder("srv/www"), Item("srv/www/ping", "ok"),
    ]  # fmt: skip


def venv() -> list[Item]:
    site = f"opt/venv/lib/{slim.NAME}/site-packages"
    return [
        Item("opt/venv/pyvenv.cfg", f"home = /usr/local/bin\ninclude-system-site-packages = false\nversion = {MINOR}.0\n"),
        symlink("opt/venv/bin/python", f"/usr/local/bin/{slim.NAME}"), symlink("opt/venv/bin/python3", "python"),
        symlink(f"opt/venv/bin/{slim.NAME}", "python"), symlink("opt/venv/lib64", "lib"),
        *wheel("dep", "1.0", {"dep.py": ""}, site=site),
        *wheel("app", "1.0", {"app/__init__.py": "import dep\n", "app/__main__.py": SERVER}, ["dep>=1"], site=site),
        Item("opt/venv/bin/serve", "#!/opt/venv/bin/python\nimport runpy\nrunpy.run_module('app')\n", 0o755),
    ]  # fmt: skip


def conda() -> list[Item]:
    site = f"opt/conda/lib/{slim.NAME}/site-packages"
    blas = shared("int blas(void) { return 1; }", "libblas.so.3")
    module = extension(
        "_core", "blas()", "int blas(void);", "-L.", "-l:libblas.so.3", libraries={"libblas.so.3": blas}
    )
    return [
        Item("opt/conda/conda-meta/history", ""),
        Item("opt/conda/conda-meta/numlib-1.0-0.json", '{"name": "numlib"}'),
        Item("opt/conda/lib/libblas.so.3", blas),
        *wheel("numlib", "1.0", {"numlib/__init__.py": "", "numlib/_core.abi3.so": module}, site=site),
    ]


def bundled() -> list[Item]:
    """As auditwheel leaves a wheel: a library with a hash in its name beside the package, found by $ORIGIN."""
    name = "libjpeg-1f0e2a6b.so.62.3.0"
    jpeg = shared("int jpeg(void) { return 1; }", name)
    flags = ("-L.", f"-l:{name}", "-Wl,-rpath,$ORIGIN/../pictures.libs")
    module = extension("_core", "jpeg()", "int jpeg(void);", *flags, libraries={name: jpeg})
    files: dict[str, str | bytes] = {
        "pictures/__init__.py": "from . import _core\n",
        "pictures/_core.abi3.so": module,
        f"pictures.libs/{name}": jpeg,
    }
    return wheel("pictures", "1.0", files)


def gpu_optional() -> list[Item]:
    cublas = shared("int cublas(void) { return 1; }", "libcublasLt.so.12")
    driver = shared("int cuInit(void) { return 1; }", "libcuda.so.1")
    needs = ("-L.", "-l:libcublasLt.so.12", "-l:libcuda.so.1", "-Wl,--no-as-needed")
    source = "int cublas(void); int cuInit(void); int run(void) { return cublas() + cuInit(); }"
    linked = shared(
        source, "libprovider_cuda.so", *needs, libraries={"libcublasLt.so.12": cublas, "libcuda.so.1": driver}
    )
    return wheel("runtime", "1.0", {"runtime/__init__.py": "", "runtime/capi/libprovider_cuda.so": linked})


def zipped() -> list[Item]:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "app").mkdir()
        (Path(place) / "app/__main__.py").write_text(SERVER)
        zipapp.create_archive(Path(place) / "app", Path(place) / "app.pyz", "/usr/bin/env python3")
        return [Item("srv/app.pyz", (Path(place) / "app.pyz").read_bytes(), 0o755)]


def namespaces() -> list[Item]:
    return [
        *wheel("corp-tools", "1", {"corp/tools/__init__.py": "import corp.base\n"}, ["corp-base"]),
        *wheel("corp-base", "1", {"corp/base/__init__.py": ""}),
        *wheel("corp-data", "1", {"corp/data/table.csv": "1,2\n"}),
        *wheel("corp-types", "1", {"corp-stubs/__init__.pyi": ""}),
    ]


CASES: dict[str, Healthy] = {
    "plain Python app": Healthy(
        lambda: [[*wheel("dep", "1.0", {"dep.py": ""}), Item("srv/app.py", "import dep\n")]],
        {"Cmd": ["python3", "app.py"], "WorkingDir": "/srv"},
        ("imports", "entrypoint", "versions", "dependencies", "permissions", "secrets", "settings", "python"),
        lock={"dep": "1.0"},
    ),
    "service as root": Healthy(
        lambda: [[Item("srv/serve.py", SERVER)]],
        {"Entrypoint": ["python3", "/srv/serve.py"], "User": "0:0", **PORT},
        ("service", "ping", "stop", "permissions"),
    ),
    "service of a user with a home": Healthy(
        lambda: [[*USERS, Item("home/app/serve.py", SERVER, 0o600, uid=1000, gid=1000)]],
        {
            "Entrypoint": ["python3", "serve.py"], "WorkingDir": "/home/app", "User": "app",
            "Env": ["HF_HOME=/home/app/.cache/hf", "TRITON_CACHE_DIR=/tmp/triton", "TZ=UTC", "LANG=C.UTF-8"], **PORT,
        },
        ("service", "stop", "permissions", "settings"),
    ),
    "service of nobody, which has no home": Healthy(
        lambda: [[*USERS, Item("srv/serve.py", SERVER), folder("srv/models", 0o555), Item("srv/models/w", "1", 0o444)]],
        {
            "Cmd": ["python3", "/srv/serve.py"], "User": "65534:65534", **PORT,
            "Env": ["HF_HOME=/srv/models", "MPLCONFIGDIR=/scratch/mpl"], "Volumes": {"/scratch": {}},
        },
        ("service", "stop", "permissions", "settings"),
    ),
    "no Python": Healthy(
        lambda: [[*USERS, *system("/bin/sh", "/bin/cat")]],
        {"Cmd": [str(Path("/bin/cat").resolve()), "/etc/passwd"]},
        ("entrypoint", "secrets", "libraries"),
        on="",
    ),
    "static program and nothing else": Healthy(
        lambda: [[Item("app", compiled("int main(void) { return 0; }", "-static"), 0o755)]],
        {"Entrypoint": ["/app"], "User": "65532:65532"},
        ("entrypoint", "permissions"),
        on="",
    ),
    "busybox, laid out like Alpine": Healthy(
        lambda: [busybox()],
        {"Entrypoint": ["/bin/sh", "-c", "exec httpd -f -p 127.0.0.1:$PORT -h /srv/www"], "User": "app", **PORT},
        ("entrypoint", "permissions"),
        on="",
        spec=TestSpec(serves=False),
    ),
    "virtual environment": Healthy(
        lambda: [venv()],
        {"Cmd": ["serve"], "Env": ["PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin", "VIRTUAL_ENV=/opt/venv"], **PORT},
        ("imports", "dependencies", "service", "stop", "python", "versions"),
        on="slim",
        lock={"dep": "1.0", "app": "1.0"},
    ),
    "module of a virtual environment": Healthy(
        lambda: [venv()],
        {"Cmd": ["python", "-Im", "app"], "Env": ["PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin"], **PORT},
        ("entrypoint", "service", "stop"),
        on="slim",
    ),
    "conda's prefix": Healthy(
        lambda: [conda()],
        {"Cmd": ["python", "-c", "import numlib"], "Env": ["PATH=/opt/conda/bin:/usr/bin:/bin"]},
        ("imports", "libraries", "python", "entrypoint"),
        on="moved",
    ),
    "several Pythons": Healthy(
        lambda: [[
            *wheel("dep", "1.0", {"dep.py": ""}), symlink("usr/local/bin/python3.9", "/usr/bin/python3"),
            *wheel("older", "1.0", {"older.py": "nowhere\n"}, site="usr/local/lib/python3.9/site-packages"),
        ]],
        {"Cmd": ["python3"]},
        ("imports", "python"),
    ),
    "editable install": Healthy(
        lambda: [[*editable("myapp", "/src/myapp/src"), Item("src/myapp/src/myapp/__init__.py", "")]],
        {"Cmd": ["python3", "-m", "myapp"]},
        ("entrypoint", "python"),
    ),
    "zip file that is a program": Healthy(
        lambda: [zipped()], {"Entrypoint": ["/srv/app.pyz"], **PORT}, ("entrypoint", "service", "stop")
    ),
    "packages that share a namespace": Healthy(
        lambda: [namespaces()], {"Cmd": ["python3"]}, ("imports", "dependencies")
    ),
    "compiled package with its libraries": Healthy(
        lambda: [bundled()], {"Cmd": ["python3"]}, ("imports", "libraries")
    ),
    "parts for GPUs that are absent": Healthy(
        lambda: [gpu_optional()], {"Cmd": ["python3"]}, ("imports", "libraries")
    ),
    "server with workers": Healthy(
        lambda: [[Item("srv/serve.py", WORKERS)]],
        {"Cmd": ["python3", "/srv/serve.py"], **PORT},
        ("service", "ping", "stop"),
    ),
    "entry point script that hands over": Healthy(
        lambda: [[Item("docker-entrypoint.sh", EXEC, 0o755), Item("srv/serve.py", SERVER)]],
        {"Entrypoint": ["/docker-entrypoint.sh"], "Cmd": ["python3", "/srv/serve.py"], **PORT},
        ("entrypoint", "service", "stop"),
    ),
    "shell command that hands over": Healthy(
        lambda: [[Item("srv/serve.py", SERVER)]],
        {"Cmd": ["/bin/sh", "-c", "cd /srv && exec python3 serve.py --workers ${WORKERS:-1}"], **PORT},
        ("entrypoint", "service", "stop"),
    ),
    "a small init as process 1": Healthy(
        lambda: [[*init(), Item("srv/serve.py", SERVER)]],
        {"Entrypoint": ["/usr/bin/tini", "-g", "--"], "Cmd": ["python3", "/srv/serve.py"], **PORT},
        ("entrypoint", "service", "stop"),
    ),
}  # fmt: skip


def init() -> list[Item]:
    program = shutil.which("tini")
    if program is None:
        pytest.skip("tini is not installed: an image with it cannot be made")
    return [Item("usr/bin/tini", Path(program).resolve().read_bytes(), 0o755)]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def bases(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path | None]:
    """What images stand on, each made when it is first asked for."""
    made: dict[str, Path] = {}

    def one(name: str) -> Path | None:
        if name in ("slim", "moved") and slim.unfit():
            pytest.skip(slim.unfit())
        if name and name not in made:
            place = tmp_path_factory.mktemp(name)
            if name == "debian":
                made[name] = base()
            elif name == "slim":
                made[name] = slim.base(place / "slim", further=[tar([folder("tmp", 0o1777)])])
            else:
                made[name] = slim.moved(slim.base(place / "slim"), place / "moved", "/opt/conda")
        return made[name] if name else None

    return one


# Each level does what the one below it does, and more.
@pytest.mark.parametrize(
    ("name", "level"),
    [*((name, "full") for name in CASES), ("virtual environment", "quick"), ("plain Python app", "standard")],
)
def test_nothing_fails(name: str, level: Level, bases: Callable[[str], Path | None], tmp_path: Path) -> None:
    case = CASES[name]
    digest = image(tmp_path / "image", case.layers(), case.settings, base=bases(case.on))
    verdict = run_tests(tmp_path / "image", digest, level=level, spec=case.spec, lock=case.lock)
    assert [check for check in verdict.checks if check.status == "fail"] == []
    assert verdict.verdict == "pass"
    passed = {check.id for check in verdict.checks if check.status == "pass"}
    wanted = {c for c in case.passes if level == "full" or c not in ("service", "ping", "stop")}
    assert wanted <= passed, [check for check in verdict.checks if check.id in wanted - passed]
