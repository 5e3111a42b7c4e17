"""An assembled image holds what was asked for, is the same everywhere, and never half there."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble.image import ImageSpec, assemble_project
from support import bases, wheels

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.assemble.spec import Assembled

LIB = bases.PURELIB


def sandbox_works() -> bool:
    program = shutil.which("bwrap")
    if program is None:
        return False
    done = subprocess.run(
        [program, "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, check=False
    )
    return done.returncode == 0


needs_bwrap = pytest.mark.skipif(not sandbox_works(), reason="bwrap (bubblewrap) is missing or blocked")


@pytest.fixture(scope="module")
def plain_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bases.base(tmp_path_factory.mktemp("bases") / "plain")


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is known of bases may be shared: it is named by their digest."""
    return tmp_path_factory.mktemp("probed")


@pytest.fixture
def project(wheelhouse: Path, tmp_path: Path, plain_base: Path, probed: Path) -> Path:
    """A project with a dependency on two wheels and some source."""
    wheels.wheel(
        wheelhouse, "inner", "1.0", {"inner/__init__.py": b"value = 7\n", "inner/big": bytes(3 << 20)}
    )
    wheels.wheel(
        wheelhouse, "outer", "1.0", {"outer.py": b"import inner\ndef main():\n    print(inner.value)\n"},
        requires=("inner",), entry_points="[console_scripts]\nouter = outer:main\n",
    )  # fmt: skip
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "bases").symlink_to(probed)
    folder = tmp_path / "project"
    (folder / "package").mkdir(parents=True)
    (folder / "requirements.txt").write_text("outer\n")
    (folder / "serve.py").write_text("print('serving')\n")
    (folder / "package" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "package" / "run.sh").chmod(0o700)
    shutil.copytree(plain_base, tmp_path / "base")
    return folder


def spec(project: Path, **changes: Any) -> ImageSpec:
    given: dict[str, Any] = {
        "base": str(project.parent / "base"),
        "requirements": ("requirements.txt",),
        "bytecode": False,
    }
    return ImageSpec(root=project, **(given | changes))


def replace(folder: Path) -> Path:
    shutil.rmtree(folder)
    return folder


def files_of(layout: Path) -> dict[str, tarfile.TarInfo]:
    """The image's files as an engine sees them: the upper layers win, whiteouts remove."""
    found: dict[str, tarfile.TarInfo] = {}
    for layer in oci.read_image(layout).manifest.layers:
        raw = oci.blob_path(layout, layer.digest).read_bytes()
        with tarfile.open(
            fileobj=io.BytesIO(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
        ) as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                if name.startswith(".wh."):
                    gone = f"/{folder}/{name[4:]}"
                    found = {p: m for p, m in found.items() if p != gone and not p.startswith(gone + "/")}
                else:
                    found["/" + member.name] = member
    return found


def test_wheels_scripts_source_and_user_are_in_the_image(project: Path, tmp_path: Path) -> None:
    done = assemble_project(
        spec(
            project, entrypoint=("python3", "serve.py"), env={"MODE": "x"}, ports=(8080,), labels={"a": "b"}
        ),
        out=tmp_path / "out",
    )
    image, found = oci.read_image(tmp_path / "out"), files_of(tmp_path / "out")
    assert image.digest == done.digest
    for path in (f"{LIB}/inner/__init__.py", f"{LIB}/outer.py", "/usr/local/bin/outer", "/app/serve.py"):
        assert path in found
    assert found["/app/package/run.sh"].mode == 0o755
    assert found["/app/serve.py"].mode == 0o644
    config = image.config["config"]
    assert config["User"] == "10001:10001"
    assert config["WorkingDir"] == "/app"
    assert config["Entrypoint"] == ["python3", "serve.py"]
    assert {"MODE=x", "PATH=/usr/local/bin:/usr/bin:/bin"} <= set(config["Env"])
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    assert config["Labels"]["a"] == "b"
    assert found["/home/app"].uid == 10001
    assert (
        len(image.config["history"]) == len(image.manifest.layers) == len(image.config["rootfs"]["diff_ids"])
    )


def test_diff_ids_are_those_of_the_layers(project: Path, tmp_path: Path) -> None:
    import hashlib

    assemble_project(spec(project), out=tmp_path / "out")
    image = oci.read_image(tmp_path / "out")
    for layer, diff_id in zip(image.manifest.layers, image.config["rootfs"]["diff_ids"], strict=True):
        raw = oci.blob_path(tmp_path / "out", layer.digest).read_bytes()
        plain = gzip.decompress(raw) if "gzip" in layer.media_type else raw
        assert diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
        assert layer.size == len(raw)


@needs_bwrap
def test_the_same_inputs_give_the_same_digest_anywhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = assemble_project(spec(project, bytecode=True), out=tmp_path / "one", threads=1)
    shutil.copytree(project, tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*"):
        os.utime(path, (1, 1))
    program = (
        "import os, sys; os.umask(0o077)\n"
        "from pathlib import Path\n"
        "from seatrial.images.assemble.image import ImageSpec, assemble_project\n"
        "done = assemble_project(ImageSpec(root=Path(sys.argv[1]), base=sys.argv[2],"
        " requirements=('requirements.txt',)), out=Path(sys.argv[3]), threads=8)\n"
        "print(done.digest)"
    )
    elsewhere = {
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
        "SEATRIAL_CACHE": str(tmp_path / "other"),
    }
    again = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "elsewhere"), str(tmp_path / "base"), str(tmp_path / "two")],
        env={**os.environ, **elsewhere}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert again.stdout.strip() == first.digest
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    later = assemble_project(spec(project, bytecode=True), out=tmp_path / "three")
    assert later.digest != first.digest
    assert files_of(tmp_path / "three")["/app/serve.py"].mtime == 1700000000
    assert [a.reused for a in later.layers if a.what != "source"] == [True] * (len(later.layers) - 1)


def test_only_what_changed_is_made_again(project: Path, wheelhouse: Path, tmp_path: Path) -> None:
    def new(done: Assembled) -> list[str]:
        return [layer.what for layer in done.layers if not layer.reused]

    assert len(new(assemble_project(spec(project), out=tmp_path / "out"))) == 4
    assert new(assemble_project(spec(project), out=tmp_path / "out")) == []
    (project / "serve.py").write_text("print('changed')\n")
    assert new(assemble_project(spec(project), out=tmp_path / "out")) == ["source"]
    wheels.wheel(wheelhouse, "inner", "1.1", {"inner/__init__.py": b"value = 8\n"})
    (project / "requirements.txt").write_text("outer\ninner==1.1\n")
    assert new(assemble_project(spec(project), out=tmp_path / "out")) == ["inner 1.1", "source"]
    blobs = {path.name for path in (tmp_path / "out" / "blobs" / "sha256").iterdir()}
    image = oci.read_image(tmp_path / "out")
    used = {image.digest, image.manifest.config.digest, *(layer.digest for layer in image.manifest.layers)}
    assert blobs == {digest.removeprefix("sha256:") for digest in used}


@needs_bwrap
def test_bytecode_is_what_the_images_python_uses(project: Path, tmp_path: Path) -> None:
    assemble_project(spec(project, bytecode=True), out=tmp_path / "out")
    tag = sys.implementation.cache_tag
    found = files_of(tmp_path / "out")
    path = f"{LIB}/__pycache__/outer.{tag}.pyc"
    assert path in found
    root = tmp_path / "root"
    for layer in oci.read_image(tmp_path / "out").manifest.layers:
        blob = oci.blob_path(tmp_path / "out", layer.digest)
        root.mkdir(exist_ok=True)
        subprocess.run(["tar", "-xf", str(blob), "-C", str(root), "--no-same-owner"], check=True)
    (root / "proc").mkdir()
    (root / "dev").mkdir()
    done = subprocess.run(
        ["bwrap", "--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all",
         "/usr/local/bin/python3", "-v", "-c", "import outer; outer.main()"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "7\n"
    assert f"code object from '{path}'" in done.stderr
    assert f"matches {LIB}/outer.py" in done.stderr


@needs_bwrap
def test_bytecode_of_wheels_that_share_a_layer_is_compiled_once(
    project: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    """Names that fall into one group: a new release of one does not compile the other again."""
    names = ("inner", *(f"inner{n}" for n in range(24)))  # eight groups: some of them have several
    for name in names[1:]:
        wheels.wheel(wheelhouse, name, "1.0", {f"{name}.py": b"value = 1\n"})
    (project / "requirements.txt").write_text("\n".join(names))
    before = assemble_project(spec(project, bytecode=True), out=tmp_path / "out")
    kept = {path: path.stat().st_ino for path in (tmp_path / "cache" / "bytecode").iterdir()}
    assert len(kept) > len(names) // 2

    wheels.wheel(wheelhouse, "inner7", "2.0", {"inner7.py": b"value = 2\n"})
    after = assemble_project(spec(project, bytecode=True), out=tmp_path / "out", refresh=True)
    assert after.digest != before.digest
    now = {path: path.stat().st_ino for path in (tmp_path / "cache" / "bytecode").iterdir()}
    assert kept.items() <= now.items()
    assert len(now) - len(kept) <= 1

    shutil.rmtree(tmp_path / "cache" / "layers")
    again = assemble_project(spec(project, bytecode=True), out=tmp_path / "out")
    assert again.digest == after.digest
    shutil.rmtree(tmp_path / "cache" / "layers")
    for path in now:
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SeatrialError, match="bytecode in the cache is damaged"):
        assemble_project(spec(project, bytecode=True), out=tmp_path / "out")


def test_an_image_for_another_processor_needs_no_python_that_runs(project: Path, tmp_path: Path) -> None:
    bases.base(tmp_path / "foreign", architecture="arm64", extra={"/usr/lib/x/libc.so.6": GLIBC})
    foreign = {"base": str(tmp_path / "foreign"), "platforms": ("linux/arm64",)}
    if os.uname().machine == "aarch64":
        pytest.skip("this machine runs arm64 itself")
    done = assemble_project(spec(project, **foreign), out=tmp_path / "out")
    assert f"{LIB}/outer.py" in files_of(tmp_path / "out")
    assert oci.read_image(tmp_path / "out", platform="linux/arm64").digest == done.digest


GLIBC = b"GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n"


def distribution(version: str) -> dict[str, bytes]:
    info = f"{LIB}/inner-{version}.dist-info"
    record = f"inner/__init__.py,,\ninner/gone.py,,\n../../../bin/inner-old,,\n../../../../etc/passwd,,\ninner-{version}.dist-info/RECORD,,\n"
    return {
        f"{LIB}/inner/__init__.py": b"value = 0\n",
        f"{LIB}/inner/gone.py": b"",
        "/usr/local/bin/inner-old": b"#!/bin/sh\n",
        f"{info}/RECORD": record.encode(),
        f"{info}/METADATA": b"Name: inner\n",
    }


def test_another_version_in_the_base_is_removed_by_its_record(project: Path, tmp_path: Path) -> None:
    bases.base(replace(tmp_path / "base"), extra=distribution("0.9"))
    done = assemble_project(spec(project), out=tmp_path / "out")
    found = files_of(tmp_path / "out")
    assert f"{LIB}/inner/gone.py" not in found
    assert "/usr/local/bin/inner-old" not in found
    assert f"{LIB}/inner-0.9.dist-info/METADATA" not in found
    assert found[f"{LIB}/inner/__init__.py"].size == len(b"value = 7\n")
    assert "/etc/passwd" in found, "a RECORD must not remove what lies outside of the packages"
    assert any("0.9 of the base is replaced by 1.0" in line for line in done.notes)


def test_the_same_version_in_the_base_stays(project: Path, tmp_path: Path) -> None:
    bases.base(replace(tmp_path / "base"), extra=distribution("1.0"))
    done = assemble_project(spec(project), out=tmp_path / "out")
    assert not any("inner" in layer.what for layer in done.layers if not layer.what.startswith("base"))
    assert f"{LIB}/inner/gone.py" in files_of(tmp_path / "out")


def test_packages_that_disagree_about_a_file_are_reported(
    project: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    for name in ("aa", "bb", "cc"):
        wheels.wheel(wheelhouse, name, "1.0", {"shared.py": f"# {name}\n".encode(), f"{name}.py": b""})
    (project / "requirements.txt").write_text("aa\nbb\ncc\n")
    done = assemble_project(spec(project), out=tmp_path / "out")
    assert [line for line in done.notes if "disagree about" in line and "shared.py" in line]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (".env", "TOKEN=1"),
        ("config/.env.production", "TOKEN=1"),
        ("deep/er/server.pem", "-----BEGIN RSA PRIVATE KEY-----\nMII"),
        ("key.txt", "text before\n-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        ("id_ed25519", "x"),
        ("store.p12", "x"),
    ],
)
def test_secrets_never_enter_an_image(project: Path, tmp_path: Path, file: str, content: str) -> None:
    path = project / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(SeatrialError, match="would give a secret") as caught:
        assemble_project(spec(project), out=tmp_path / "out")
    assert caught.value.where == str(path)
    assert not (tmp_path / "out").exists()
    (project / ".dockerignore").write_text(f"{file}\n")
    assemble_project(spec(project), out=tmp_path / "out")
    assert f"/app/{file}" not in files_of(tmp_path / "out")


def test_patterns_choose_the_source(project: Path, tmp_path: Path) -> None:
    for name in (
        "a.py",
        "b.log",
        "logs/c.log",
        "logs/keep.log",
        "data/x.csv",
        ".git/config",
        "__pycache__/a.pyc",
        ".env.example",
    ):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("x")
    (project / ".dockerignore").write_text("# logs\n**/*.log\n!logs/keep.log\n")

    def chosen(**changes: Any) -> set[str]:
        assemble_project(spec(project, **changes), out=tmp_path / "out")
        found = files_of(tmp_path / "out")
        return {p.removeprefix("/app/") for p, m in found.items() if p.startswith("/app/") and m.isfile()}

    everything = {
        ".env.example",
        "a.py",
        "data/x.csv",
        "logs/keep.log",
        "package/run.sh",
        "requirements.txt",
        "serve.py",
    }
    assert chosen() == everything
    assert chosen(exclude=("*.csv", "/package/")) == everything - {"data/x.csv", "package/run.sh"}
    assert chosen(source=("serve.py", "data/")) == {"serve.py", "data/x.csv"}
    assert chosen(source=()) == set()
    with pytest.raises(SeatrialError, match="matches nothing"):
        chosen(source=("missing.py",))


def test_links_stay_links_and_may_not_leave_the_folder(project: Path, tmp_path: Path) -> None:
    (project / "link.py").symlink_to("serve.py")
    assemble_project(spec(project), out=tmp_path / "out")
    assert files_of(tmp_path / "out")["/app/link.py"].linkname == "serve.py"
    (project / "out.py").symlink_to("/etc/passwd")
    with pytest.raises(SeatrialError, match="leaves the folder"):
        assemble_project(spec(project), out=tmp_path / "out")


@pytest.mark.parametrize(
    ("user", "expected", "account"),
    [
        ("web", "33:33", False),
        ("root", "0:0", False),
        ("2000:3000", "2000:3000", True),
        ("33", "33:33", False),
        ("0", "0:0", False),
        ("model", "10001:10001", True),
    ],
)
def test_users_of_the_base_numbers_and_new_ones(
    project: Path, tmp_path: Path, user: str, expected: str, account: bool
) -> None:
    assemble_project(spec(project, user=user, owner="user"), out=tmp_path / "out")
    found, image = files_of(tmp_path / "out"), oci.read_image(tmp_path / "out")
    assert image.config["config"]["User"] == expected
    assert found["/app/serve.py"].uid == int(expected.split(":", maxsplit=1)[0])
    assert (found["/etc/passwd"].size > len(bases.PASSWD)) is account


def test_an_image_in_its_own_source_folder_does_not_contain_itself(project: Path) -> None:
    digests = {assemble_project(spec(project), out=project / "image").digest for _ in range(2)}
    assert len(digests) == 1


def test_other_folders_are_never_overwritten(project: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(SeatrialError, match="not an empty folder"):
        assemble_project(spec(project), out=tmp_path / "mine")


@pytest.mark.parametrize("config", [{}, {"Entrypoint": ["/start"], "Cmd": ["go"]}])
def test_a_program_of_the_base_stays_unless_the_image_names_one(
    project: Path, tmp_path: Path, config: dict[str, list[str]]
) -> None:
    bases.base(replace(tmp_path / "base"), config=config)
    assemble_project(spec(project, command=("now",)), out=tmp_path / "out")
    kept = oci.read_image(tmp_path / "out").config["config"]
    assert kept["Cmd"] == ["now"]
    assert kept.get("Entrypoint") == config.get("Entrypoint")


CRASH = """
import os, sys
from pathlib import Path
from seatrial.images.assemble.image import ImageSpec, assemble_project
seen = []
def point(name):
    seen.append(name)
    if len(seen) == int(sys.argv[4]):
        os.kill(os.getpid(), 9)
spec = ImageSpec(root=Path(sys.argv[1]), base=sys.argv[2], requirements=("requirements.txt",), bytecode=False)
assemble_project(spec, out=Path(sys.argv[3]), point=point, threads=1)
"""


def test_killed_anywhere_the_same_command_continues(project: Path, tmp_path: Path) -> None:
    """Kill at the first point, then at the second, and so on until a run comes through."""
    out, expected = tmp_path / "out", assemble_project(spec(project), out=tmp_path / "whole").digest
    shutil.rmtree(tmp_path / "cache")
    for number in range(1, 40):
        argv = [sys.executable, "-c", CRASH, str(project), str(tmp_path / "base"), str(out), str(number)]
        done = subprocess.run(argv, capture_output=True, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        if (out / "index.json").exists() and oci.read_index(out).manifests:
            assert oci.read_image(out).digest == expected
    else:
        pytest.fail("never came through")
    assert number > 3
    assert oci.read_image(out).digest == expected
    left = [p for kind in ("scratch", "uses") for p in (tmp_path / "cache" / kind).iterdir()]
    assert [p for p in left if p.name != ".prune"] == []


@needs_bwrap
def test_compiling_leaves_out_what_does_not_compile(project: Path, wheelhouse: Path, tmp_path: Path) -> None:
    wheels.wheel(
        wheelhouse,
        "odd",
        "1.0",
        {"odd/__init__.py": b"", "odd/py2.py": b"print 'two'\n", "odd/null.py": b"\0"},
    )
    (project / "requirements.txt").write_text("odd\n")
    assemble_project(spec(project, bytecode=True), out=tmp_path / "out")
    compiled = {
        p.rsplit("/", 1)[1].split(".")[0]
        for p in files_of(tmp_path / "out")
        if p.endswith(".pyc") and "/odd/" in p
    }
    assert compiled == {"__init__"}


def test_pruning_takes_the_oldest_and_never_what_is_in_use(project: Path, tmp_path: Path) -> None:
    from seatrial.images.assemble.store import using
    from seatrial.images.cache import entries, prune

    assemble_project(spec(project), out=tmp_path / "out")
    names = [(e.kind, e.name) for e in entries()]
    layers = [name for kind, name in names if kind == "layers"]
    with using() as use:
        use.hold("layers", layers[0])
        done = prune(0)
        assert done.kept_in_use == 1
        assert [(e.kind, e.name) for e in entries()] == [("layers", layers[0])]
    assert prune(0).left == 0
    again = assemble_project(spec(project), out=tmp_path / "again")
    assert oci.read_image(tmp_path / "out").digest == again.digest


def test_pruning_keeps_what_was_used_last(project: Path, tmp_path: Path) -> None:
    from seatrial.images.cache import entries, prune

    assemble_project(spec(project), out=tmp_path / "out")
    for number, entry in enumerate(entries()):
        os.utime(tmp_path / "cache" / entry.kind / entry.name, (number, number))
    order = [(e.kind, e.name) for e in entries()]
    sizes = [e.size for e in entries()]
    prune(sum(sizes[2:]))
    assert [(e.kind, e.name) for e in entries()] == order[2:]


def test_a_damaged_layer_in_the_cache_is_made_again(project: Path, tmp_path: Path) -> None:
    first = assemble_project(spec(project), out=tmp_path / "out")
    for blob in (tmp_path / "cache" / "layers").glob("*/blob"):
        blob.chmod(0o644)
        blob.unlink()
        blob.write_bytes(b"short")
    assert assemble_project(spec(project), out=tmp_path / "again").digest == first.digest
    assert files_of(tmp_path / "again")


def test_too_many_base_layers_are_refused(project: Path, tmp_path: Path) -> None:
    many: list[dict[str, bytes]] = [{f"/layer{n}": str(n).encode()} for n in range(98)]
    bases.base(replace(tmp_path / "base"), layers=many)
    with pytest.raises(SeatrialError, match="too many layers"):
        assemble_project(spec(project), out=tmp_path / "out")


def test_many_large_wheels_stay_within_the_limit(project: Path, wheelhouse: Path, tmp_path: Path) -> None:
    from seatrial.images.assemble.groups import MAX_LAYERS, group
    from seatrial.images.lock import LockedWheel

    large = [
        LockedWheel(name=f"w{n}", version="1", filename=f"w{n}.whl", sha256="0" * 64, size=9 << 20)
        for n in range(150)
    ]
    groups = group(large, MAX_LAYERS - 3)
    assert len(groups) <= MAX_LAYERS - 3
    assert sorted(w.name for g in groups for w in g) == sorted(w.name for w in large)
    turned = group(list(reversed(large)), MAX_LAYERS - 3)
    assert {frozenset(w.name for w in g) for g in groups} == {frozenset(w.name for w in g) for g in turned}
