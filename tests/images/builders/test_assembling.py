"""A Dockerfile that only installs and copies is assembled to the same files; any other is refused with its line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support import dockerfiles, parity, slim, wheels
from support.commands import seatrial

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "FROM python:3.11-slim\nWORKDIR /app\n"
REFUSED = [
    ("RUN apt-get update", "Dockerfile:3:1", "`apt-get update` is no `pip install`"),
    ("RUN pip install a | tee log", "Dockerfile:3:1", "more than a row of `pip install`"),
    ("RUN pip install --target x a", "Dockerfile:3:1", "--target"),
    ("RUN pip install .", "Dockerfile:3:1", "is built in the image"),
    ("COPY --from=other /x /x", "Dockerfile:3:1", "--from asks for more"),
    ("COPY --chown=app . .", "Dockerfile:3:1", "--chown asks for more"),
    ("COPY a.py /etc/a.py", "Dockerfile:3:1", "outside of /app"),
    ("COPY nothing.py .", "Dockerfile:3:1", "nothing.py is not there"),
    ("ADD https://example.com/x .", "Dockerfile:3:1", "ADD fetches or unpacks"),
    ("ENV PATH=/venv/bin:$PATH", "Dockerfile:3:1", "$PATH, which the base may set"),
    ("FROM other", "Dockerfile:3:1", "second stage"),
    ("HEALTHCHECK CMD true", "Dockerfile:3:1", "assembled images have none"),
    ("EXPOSE 53/udp", "Dockerfile:3:1", "no single port of TCP"),
]


@pytest.mark.parametrize(("line", "where", "said"), REFUSED)
def test_what_is_more_is_refused_with_its_place(line: str, where: str, said: str, tmp_path: Path) -> None:
    from seatrial.errors import SeatrialError
    from seatrial.images.builders.assembling import plan
    from seatrial.sources.text import Source

    folder = dockerfiles.project(tmp_path / "work", "", a_py="print(1)\n")
    stage = tmp_path / "stage"
    stage.mkdir()
    with pytest.raises(SeatrialError) as caught:
        plan(Source("Dockerfile", f"{HEAD}{line}\n"), folder, stage, {}, {})
    assert caught.value.where == where
    assert said in str(caught.value)


@pytest.mark.slow
def test_the_assembled_image_has_the_files_that_a_build_gives(tmp_path: Path) -> None:
    if slim.unfit():
        pytest.skip(slim.unfit())
    base = slim.base(tmp_path / "base", further=[_with_pip(tmp_path)])
    folder = dockerfiles.project(
        tmp_path / "work",
        "FROM python:3.11-slim\nARG DEMO=1.0\nENV MODE=prod\nWORKDIR /srv/app\n"
        "COPY requirements.txt ./\nCOPY wheels wheels\n"
        "RUN pip3 install --no-cache-dir --no-index --find-links wheels -r requirements.txt \\\n"
        " && python3 -m pip install --no-index --find-links=wheels demo==$DEMO\n"
        "COPY src/ ./src/\nCOPY *.md docs/\nCOPY main.py start.py\n"
        'EXPOSE 8080\nLABEL team="a b"\nUSER nobody\nCMD ["python3", "start.py"]\n',
        requirements_txt="other>=1\n", main_py="print(1)\n", src__a_py="A = 1\n", src__deep__b_py="B = 1\n",
        one_md="1", two_md="2", secret_log="no", _dockerignore="*.log\n",
    )  # fmt: skip
    wheels.wheel(folder / "wheels", "demo", "1.0", entry_points="[console_scripts]\ndemo = demo:main\n")
    wheels.wheel(folder / "wheels", "other", "2.0", requires=("demo",))
    with dockerfiles.ready("buildah", tmp_path / "engine") as environ:
        built = dockerfiles.build(folder, base, "--builder=buildah", "--oci=../built", **environ)
    assert built["code"] == 0, built.get("log") or built["error"]
    env = {"UV_CACHE_DIR": str(tmp_path / "uv"), "UV_NO_CONFIG": "1"}
    done = seatrial(
        folder,
        "image",
        "build",
        ".",
        "--assemble",
        f"--base={dockerfiles.BASE}={base}",
        "--oci=../assembled",
        **env,
    )
    assert done.returncode == 0, done.stderr
    theirs, ours = parity.files_in(tmp_path / "built"), parity.files_in(tmp_path / "assembled")
    aside = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/", "/etc/passwd", "/etc/group")
    unlike = {
        path: (theirs.get(path), ours.get(path))
        for path in theirs.keys() | ours.keys()
        if theirs.get(path) != ours.get(path) and not path.startswith(aside)
    }
    assert unlike == {}
    assert "/srv/app/docs/one.md" in ours
    from seatrial.images.layout import read_image

    first, second = (read_image(tmp_path / name).config["config"] for name in ("built", "assembled"))
    assert {key: first[key] for key in ("Cmd", "WorkingDir", "ExposedPorts")} == {
        key: second[key] for key in ("Cmd", "WorkingDir", "ExposedPorts")
    }
    assert "MODE=prod" in second["Env"]
    assert second["Labels"]["team"] == "a b"


def _with_pip(folder: Path) -> bytes:
    """A layer with the pip that this Python brings, and its commands."""
    import ensurepip
    import io
    import tarfile
    from pathlib import Path as Place

    bundled = next(Place(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
    target = folder / "pip"
    argv = [
        sys.executable,
        str(bundled / "pip"),
        "install",
        "--no-index",
        "--no-compile",
        "--target",
        str(target),
        str(bundled),
    ]
    subprocess.run(argv, check=True, capture_output=True)
    shutil.rmtree(target / "bin")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.add(target, slim.SITE)
        script = b"#!/usr/local/bin/python3\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
        for name in ("pip", "pip3"):
            entry = tarfile.TarInfo(f"usr/local/bin/{name}")
            entry.size, entry.mode = len(script), 0o755
            archive.addfile(entry, io.BytesIO(script))
        passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(passwd)
        archive.addfile(entry, io.BytesIO(passwd))
    return raw.getvalue()
