"""Deliberately broken images, really broken: the cause is named first, what follows from it behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from seatrial.config.model import Model, ModelInput
from seatrial.images.testing.model import Level, TestSpec
from seatrial.images.testing.suite import run_tests
from support.debian import PACKAGES, Item, base, folder, image, needs_bwrap, own_cache, symlink
from support.image_content import SERVER, compiled, editable, extension, for_arm, needing, shared, wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

USERS = Item(
    "etc/passwd",
    "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
)
SERVES: dict[str, Any] = {"Entrypoint": ["python3", "/srv/serve.py"], "ExposedPorts": {"8080/tcp": {}}}
LIBRARIES = "usr/lib/x86_64-linux-gnu"


class Broken(NamedTuple):
    """`first` is the check that must be named first, with `words` in what it says and `fix` in its advice.

    `follow` are checks that fail because of it; nothing else may fail.
    """

    layers: Callable[[], Sequence[Sequence[Item]]]
    first: str
    words: str
    fix: str
    follow: tuple[str, ...] = ()
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed
    level: Level = "quick"
    spec: TestSpec = TestSpec()
    lock: dict[str, str] | None = None


def native(content: bytes, name: str = "native") -> list[Item]:
    return wheel(
        name, "1.0", {f"{name}/__init__.py": "from . import _core\n", f"{name}/_core.abi3.so": content}
    )


def numpy_says() -> list[Item]:
    text = (
        "A module that was compiled using NumPy 1.x cannot be run in\\nNumPy 2.1.3 as it may crash. "
        "To support both 1.x and 2.x\\nversions of NumPy, modules must be compiled with NumPy 2.0.\\n"
    )
    body = (
        f'fputs("{text}", stderr); '
        'PyErr_SetString(PyExc_ImportError, "numpy.core.multiarray failed to import"); return 0'
    )
    return native(extension("_core", body, "#include <stdio.h>"), "oldabi")


def of_another_torch() -> list[Item]:
    symbol = "_ZN3c106detail14torchCheckFailEPKcS2_jS2_"
    return native(extension("_core", f"{symbol}()", f"void {symbol}(void);"), "flash_kernels")


def for_a_newer_glibc() -> list[Item]:
    libc = shared(
        "int future(void) { return 1; }", "libc.so.6", "-nostdlib", "@GLIBC_2.99 { global: future; };"
    )
    content = extension(
        "_core",
        "future()",
        "int future(void);",
        "-nostdlib",
        "-L.",
        "-l:libc.so.6",
        libraries={"libc.so.6": libc},
    )
    return native(content, "modern")


def drifted() -> list[Item]:
    return [
        *wheel("dep", "1.0", {"dep.py": "old = 1\n"}),
        *wheel("user", "2.0", {"user.py": "from dep import new\n"}),
    ]


def service_without_library() -> list[Item]:
    return [*native(needing("libGL.so.1"), "vision"), Item("srv/serve.py", "import vision\n" + SERVER)]


def model() -> list[Item]:
    """A pickled model of the project's own; of scikit-learn and NumPy there is just what is asked of them."""
    numpy = "class random:\n    default_rng = staticmethod(print)\ndef full(shape, value, dtype):\n    return [[value]]\n"
    code = "class Scorer:\n    def predict(self, rows):\n        raise ValueError('3 columns are given, 4 are needed')\n"
    return [
        *wheel("scikit-learn", "1.5.0", {"sklearn/__init__.py": ""}),
        *wheel("numpy", "2.0.0", {"numpy.py": numpy}),
        *wheel("scorer", "1.0", {"scorer.py": code}),
        Item("srv/model.pkl", b"cscorer\nScorer\n(tR."),
    ]


CASES: dict[str, Broken] = {
    "model whose forward fails, with stand-ins for scikit-learn and numpy": Broken(
        lambda: [model()],
        "models:scorer:forward",
        "ValueError: 3 columns are given, 4 are needed",
        "",
        level="full",
        spec=TestSpec(
            models={
                "scorer": Model(
                    kind="sklearn", path="/srv/model.pkl", inputs=(ModelInput(shape=(1, 1), dtype="text"),)
                )
            }
        ),
    ),
    "missing shared library": Broken(
        lambda: [native(needing("libvanished.so.1"))],
        "libraries:libvanished.so.1",
        f"libvanished.so.1 is missing: /{PACKAGES}/native/_core.abi3.so needs it",
        "install the system package that has libvanished.so.1",
        ("imports:native",),
    ),
    "import that needs a missing system library, and the server that needs the import": Broken(
        lambda: [service_without_library()],
        "libraries:libGL.so.1",
        "libGL.so.1 is missing",
        "libgl1",
        ("imports:vision", "service"),
        SERVES,
        "standard",
        TestSpec(start_timeout=20),
    ),
    "library that is a broken symbolic link": Broken(
        lambda: [
            [*native(needing("libhalf.so.2")), symlink(f"{LIBRARIES}/libhalf.so.2", "libhalf.so.2.0.1")]
        ],
        "libraries:libhalf.so.2",
        f"/{LIBRARIES}/libhalf.so.2 is a symbolic link to /{LIBRARIES}/libhalf.so.2.0.1, which is not in the image",
        "copy the file",
        ("imports:native",),
    ),
    "wheel for a newer glibc": Broken(
        lambda: [for_a_newer_glibc()],
        "libraries:GLIBC_2.99",
        "libc.so.6 is too old",
        "newer base image",
        ("imports:modern",),
    ),
    "wrong numpy ABI, by a compiled module that says and raises what numpy's C API does": Broken(
        lambda: [numpy_says()], "imports:oldabi", "compiled against NumPy 1, which NumPy 2.1.3", "numpy<2"
    ),
    "wrong torch ABI": Broken(
        lambda: [of_another_torch()],
        "imports:flash_kernels",
        "undefined symbol: _ZN3c10",
        "built for another torch",
    ),
    "wrong architecture of a wheel": Broken(
        lambda: [native(for_arm(extension("_core")))],
        "libraries:architecture",
        "is not for amd64",
        "linux/amd64",
        ("imports:native",),
    ),
    "wrong architecture of the program": Broken(
        lambda: [[Item("usr/bin/server", for_arm(compiled("int main(void) { return 0; }")), 0o755)]],
        "entrypoint",
        "/usr/bin/server is not a program for amd64",
        "build it for linux/amd64",
        settings={"Entrypoint": ["server"]},
    ),
    "wrong architecture of Python": Broken(
        lambda: [[Item("opt/py/bin/python3", for_arm(compiled("int main(void) { return 0; }")), 0o755)]],
        "python",
        "/opt/py/bin/python3 is a program for arm64, the image is for amd64",
        "linux/amd64",
        ("entrypoint",),
        {"Entrypoint": ["/opt/py/bin/python3", "-c", ""]},
    ),
    "Python without one of its libraries": Broken(
        lambda: [[Item(f"{LIBRARIES}/.wh.libexpat.so.1")], wheel("fine", "1", {"fine.py": ""})],
        "libraries:libexpat.so.1",
        "libexpat.so.1 is missing: /usr/bin/python3.11 needs it",
        "libexpat1",
        ("python",),
    ),
    "entry point not executable": Broken(
        lambda: [[Item("srv/run.sh", "#!/bin/sh\necho\n", 0o644)]],
        "entrypoint",
        "/srv/run.sh is not executable (mode 0644)",
        "chmod +x /srv/run.sh",
        settings={"Entrypoint": ["/srv/run.sh"]},
    ),
    "entry point that is a broken symbolic link": Broken(
        lambda: [[symlink("usr/bin/serve", "../../opt/app/serve")]],
        "entrypoint",
        "/usr/bin/serve is a symbolic link to nothing (/opt/app/serve)",
        "ENTRYPOINT",
        settings={"Entrypoint": ["serve"]},
    ),
    "entry point with Windows line ends": Broken(
        lambda: [[Item("run.sh", "#!/bin/sh\r\necho\r\n", 0o755)]],
        "entrypoint",
        "Windows line ends",
        "\\n line ends",
        settings={"Entrypoint": ["/run.sh"]},
    ),
    "script of a virtual environment that was moved": Broken(
        lambda: [[Item("opt/venv/bin/serve", "#!/build/venv/bin/python\nimport app\n", 0o755)]],
        "entrypoint",
        "is run by /build/venv/bin/python, which is not in the image",
        "virtual environment cannot be moved",
        settings={"Entrypoint": ["serve"], "Env": ["PATH=/opt/venv/bin:/usr/bin:/bin"]},
    ),
    "PATH without the interpreter": Broken(
        lambda: [[Item("srv/app.py")]],
        "entrypoint",
        "python3 is in no folder of PATH (/opt/app/bin)",
        "correct ENTRYPOINT",
        settings={"Cmd": ["python3", "/srv/app.py"], "Env": ["PATH=/opt/app/bin"]},
    ),
    "entry point written as one word": Broken(
        lambda: [[Item("srv/app.py")]],
        "entrypoint",
        "python3 /srv/app.py",
        '["python3", "/srv/app.py"]',
        settings={"Entrypoint": ["python3 /srv/app.py"]},
    ),
    "entry point list with single quotes": Broken(
        lambda: [[Item("srv/app.py")]],
        "entrypoint",
        "is no JSON list",
        "double quotes",
        settings={"Entrypoint": ["/bin/sh", "-c", "['python3', '/srv/app.py']"]},
    ),
    "shell command whose program is absent": Broken(
        lambda: [[Item("srv/app.py")]],
        "entrypoint",
        "uvicorn is in no folder of PATH",
        "add the program",
        settings={"Cmd": ["/bin/sh", "-ec", "exec uvicorn app:app --port 8080"]},
    ),
    "module to run that is absent": Broken(
        lambda: [[Item("srv/app.py")]],
        "entrypoint",
        "the module serve.main, which it does not find in /srv",
        "PYTHONPATH",
        settings={"Cmd": ["python3", "-m", "serve.main"], "WorkingDir": "/srv"},
    ),
    "program behind an init that is absent": Broken(
        lambda: [[Item("usr/bin/tini", compiled("int main(void) { return 0; }"), 0o755)]],
        "entrypoint",
        "/srv/run.sh does not exist",
        "add the program",
        settings={"Entrypoint": ["tini", "-g", "-e", "143", "--"], "Cmd": ["/srv/run.sh"]},
    ),
    "working directory that is absent": Broken(
        lambda: [[Item("srv/app.py")]],
        "entrypoint",
        "working directory /app does not exist",
        "create it",
        settings={"Cmd": ["python3", "app.py"], "WorkingDir": "/app"},
    ),
    "root-only files and another user": Broken(
        lambda: [
            [USERS, Item("srv/serve.py", SERVER, 0o600), folder("srv/model", 0o700), Item("srv/model/w")]
        ],
        "permissions",
        "user app cannot use /srv/model (may not enter: mode 0700, owner 0:0)",
        "--chown=app",
        settings={"Cmd": ["python3", "serve.py"], "WorkingDir": "/srv", "User": "app"},
    ),
    "program that only root may run": Broken(
        lambda: [[USERS, Item("usr/bin/serve", "#!/bin/sh\n", 0o700)]],
        "permissions",
        "user 1000 cannot use /usr/bin/serve (may not run: mode 0700, owner 0:0)",
        "chmod -R a+rX",
        settings={"Entrypoint": ["serve"], "User": "1000"},
    ),
    "user that is not in the image": Broken(
        lambda: [[Item("srv/app.py")]],
        "permissions",
        "worker",
        "",
        settings={"Cmd": ["python3"], "User": "worker"},
    ),
    "cache folder that the user cannot write": Broken(
        lambda: [[USERS, folder("opt/triton")]],
        "settings:TRITON_CACHE_DIR",
        "TRITON_CACHE_DIR is /opt/triton, and user app cannot write there",
        "chown app /opt/triton",
        settings={"Cmd": ["python3"], "User": "app", "Env": ["TRITON_CACHE_DIR=/opt/triton"]},
    ),
    "cache folder that the user cannot make": Broken(
        lambda: [[USERS]],
        "settings:HF_HOME",
        "user app cannot make it: Hugging Face needs it",
        "mkdir -p /models/hf",
        settings={"Cmd": ["python3"], "User": "app", "Env": ["HF_HOME=/models/hf"]},
    ),
    "no folder for temporary files": Broken(
        lambda: [[USERS, folder("tmp", 0o755), folder("var/tmp", 0o755)]],
        "settings:tmp",
        "user app has no folder for temporary files",
        "chmod 1777 /tmp",
        settings={"Cmd": ["python3"], "User": "app"},
    ),
    "certificates that are absent": Broken(
        lambda: [[Item("a")]],
        "settings:REQUESTS_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE is /etc/company/ca.pem, which is not in the image",
        "copy the file",
        settings={"Cmd": ["python3"], "Env": ["REQUESTS_CA_BUNDLE=/etc/company/ca.pem"]},
    ),
    "time zone that is absent": Broken(
        lambda: [[Item("a")]],
        "settings:TZ",
        "TZ is Europe/Atlantis",
        "install tzdata",
        settings={"Cmd": ["python3"], "Env": ["TZ=Europe/Atlantis"]},
    ),
    "libcuda for linking only": Broken(
        lambda: [[Item("usr/local/cuda/lib64/stubs/libcuda.so", shared("int cuInit;", "libcuda.so.1"))]],
        "libraries:libcuda.so",
        "for linking only",
        "out of LD_LIBRARY_PATH",
        settings={"Cmd": ["python3"], "Env": ["LD_LIBRARY_PATH=/usr/local/cuda/lib64/stubs"]},
    ),
    "secret in a layer that a later one deletes": Broken(
        lambda: [
            [Item("root/.netrc", "machine example.org login me password hunter2-and-more\n")],
            [Item("root/.wh..netrc")],
        ],
        "secrets",
        "credentials in .netrc: /root/.netrc:1 (deleted later, still in layer",
        "revoke",
    ),
    "versions that drifted from the lock, and the import that needs the locked one": Broken(
        lambda: [drifted()],
        "versions",
        "dep is 1.0, the lock says 1.1",
        "assemble the image again from the lock",
        ("imports:user",),
        lock={"dep": "1.1", "user": "2.0"},
    ),
    "module that is locked but not installed": Broken(
        lambda: [wheel("user", "2.0", {"user.py": "import dep\n"}, ["dep>=1"])],
        "versions",
        "dep==1.1 is locked but not installed",
        "assemble the image again from the lock",
        ("dependencies", "imports:user"),
        lock={"dep": "1.1", "user": "2.0"},
    ),
    "module that others import and that is broken": Broken(
        lambda: [
            [
                *wheel("aaa", "1", {"aaa.py": "import zzz\n"}, ["zzz"]),
                *wheel("zzz", "1", {"zzz/__init__.py": "raise RuntimeError('no licence')\n"}),
            ]
        ],
        "imports:zzz",
        "RuntimeError: no licence",
        "whole traceback",
        ("imports:aaa",),
    ),
    "part of a namespace that is hidden": Broken(
        lambda: [
            [
                *wheel("corp-tools", "1", {"corp/tools/__init__.py": ""}),
                *wheel("corp-base", "1", {"corp/__init__.py": ""}, site="opt/first"),
            ]
        ],
        "imports:corp.tools",
        "No module named 'corp.tools'",
        f"/opt/first/corp/__init__.py hides /{PACKAGES}/corp/tools",
        settings={"Cmd": ["python3"], "Env": ["PYTHONPATH=/opt/first"]},
    ),
    "data file of a package that was removed": Broken(
        lambda: [
            wheel(
                "schemas",
                "1",
                {"schemas/__init__.py": "open(__file__.replace('__init__.py', 'all.json'))\n"},
                lost=["schemas/all.json"],
            )
        ],
        "imports:schemas",
        "FileNotFoundError",
        f"schemas came with /{PACKAGES}/schemas/all.json, which is gone",
    ),
    "compiled part of a package that was removed": Broken(
        lambda: [
            wheel("fast", "1", {"fast/__init__.py": "import fast._speed\n"}, lost=["fast/_speed.abi3.so"])
        ],
        "imports:fast",
        "No module named 'fast._speed'",
        f"fast installed /{PACKAGES}/fast/_speed.abi3.so, which is gone",
    ),
    "editable install without its sources": Broken(
        lambda: [editable("myapp", "/src/myapp")],
        "python",
        "myapp is an editable install of /src/myapp, which is not in the image",
        "without -e",
    ),
    "virtual environment whose Python is elsewhere": Broken(
        lambda: [
            [
                symlink("opt/venv/bin/python", "/usr/local/bin/python3.11"),
                symlink("opt/venv/bin/python3", "python"),
            ]
        ],
        "python",
        "/opt/venv/bin/python3 is a symbolic link to /usr/local/bin/python3.11, which is not in the image",
        "Python of the final base",
        settings={"Cmd": ["python3"], "Env": ["PATH=/opt/venv/bin:/usr/bin:/bin"]},
    ),
    "packages of another Python": Broken(
        lambda: [wheel("old", "1", {"old.py": ""}, site="usr/local/lib/python3.9/site-packages")],
        "python",
        "1 packages in /usr/local/lib/python3.9 are for Python 3.9, but the image's is 3.11",
        "install the packages with Python 3.11",
    ),
    "server that ignores SIGTERM": Broken(
        lambda: [[Item("srv/serve.py", SERVER)]],
        "stop",
        "still runs 1 s after SIGTERM",
        "handle SIGTERM",
        settings=SERVES,
        level="standard",
        spec=TestSpec(stop_timeout=1, start_timeout=20, env={"STUBBORN": "1"}),
    ),
    "server that answers its ping late": Broken(
        lambda: [[Item("srv/serve.py", SERVER)]],
        "ping",
        "SageMaker allows 2 s",
        "load the model once",
        settings=SERVES,
        level="standard",
        spec=TestSpec(start_timeout=20, env={"SLOW": "2.05"}),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def debian(cache: Path) -> Path:
    return base()


@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_named_first(name: str, debian: Path, tmp_path: Path) -> None:
    case = CASES[name]
    settings = case.settings or {"Cmd": ["python3"]}
    digest = image(tmp_path / "image", case.layers(), settings, base=debian)
    verdict = run_tests(tmp_path / "image", digest, level=case.level, spec=case.spec, lock=case.lock)
    assert verdict.verdict == "fail"
    failures = [check for check in verdict.checks if check.status == "fail"]
    assert list(verdict.checks[: len(failures)]) == failures, "failures come first"
    assert [check.id for check in failures] == [case.first, *case.follow], failures
    first, *follow = failures
    assert case.words in first.message
    assert case.fix in first.fix
    assert first.fix
    before = {case.first}
    for check in follow:
        assert check.because in before, check
        assert check.details[0] == f"a consequence of {check.because}"
        before.add(check.id)
