"""What installing a project brings: from pyproject.toml, setup files, and the locks of each tool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.stories import install_of, shorts

if TYPE_CHECKING:
    from pathlib import Path

PEP_621 = """\
[build-system]
requires = ["setuptools", "torch"]

[project]
name = "My.App"
requires-python = ">=3.10"
dependencies = [
  "torch==2.4.0",  # why
  'numpy<2; python_version < "3.12"',
]

[project.optional-dependencies]
gpu = ["flash-attn==2.6", "my-app[fast]"]
fast = ["xformers"]

[dependency-groups]
dev = ["pytest", { include-group = "lint" }]
lint = ["ruff"]
docs = ["sphinx"]
"""

PIP = [
    ("pip install .", ["my-app @.", "torch==2.4.0", "numpy<2"]),
    ("pip install -e .", ["my-app @.", "torch==2.4.0", "numpy<2"]),
    ("pip install './[gpu]'", ["my-app[gpu] @./", "torch==2.4.0", "numpy<2", "flash-attn==2.6", "xformers"]),
    ("pip install -e '/src[fast]'", ["my-app[fast] @/src", "torch==2.4.0", "numpy<2", "xformers"]),
    ("uv pip install -r pyproject.toml", ["torch==2.4.0", "numpy<2"]),
    ("uv pip install -r pyproject.toml --extra fast", ["torch==2.4.0", "numpy<2", "xformers"]),
    ("pip install --group docs", ["sphinx"]),
    ("uv sync", ["torch==2.4.0", "numpy<2", "pytest", "ruff"]),
    ("uv sync --no-dev --extra fast", ["torch==2.4.0", "numpy<2", "xformers"]),
    ("uv sync --all-extras --no-default-groups", ["torch==2.4.0", "numpy<2", "flash-attn==2.6", "xformers"]),
    ("uv sync --only-group docs", ["sphinx"]),
    ("uv sync --project /src --no-group dev", ["torch==2.4.0", "numpy<2"]),
    ("uv add 'einops>=0.7'", ["torch==2.4.0", "numpy<2", "pytest", "ruff", "einops>=0.7"]),
    ("pdm install --prod -G fast", ["torch==2.4.0", "numpy<2", "xformers"]),
    ("poetry install --only main", ["torch==2.4.0", "numpy<2"]),
]


@pytest.mark.parametrize(("command", "expected"), PIP, ids=[one[0] for one in PIP])
def test_standard_projects(command: str, expected: list[str]) -> None:
    install = install_of(f"WORKDIR /src\nCOPY . .\nRUN {command}", {"pyproject.toml": PEP_621})
    assert shorts(install) == expected
    for request in install.requests:
        if request.name == "torch":
            assert request.style == "toml"
            assert (request.at.text, request.versions and request.versions.text) == (
                "torch==2.4.0",
                "==2.4.0",
            )
            assert request.version is not None
            assert request.version.text == "2.4.0"
            assert request.at.source.path == "pyproject.toml"


def test_a_project_in_a_requirement_file() -> None:
    files = {"pyproject.toml": PEP_621, "r.txt": "-e .[fast]\nx\n"}
    install = install_of("COPY . /s\nWORKDIR /s\nRUN pip install -r r.txt", files)
    assert shorts(install) == ["my-app[fast] @.", "x", "torch==2.4.0", "numpy<2", "xformers"]


CLONES = [
    ("git clone https://h/o/apex && cd apex && pip install -v .", "apex", "git+https://h/o/apex"),
    (
        "git clone --depth 1 -b v2.6 https://github.com/Dao-AILab/flash-attention.git /f && pip install /f",
        "flash-attn",
        "git+https://github.com/Dao-AILab/flash-attention.git@v2.6",
    ),
    ("mkdir x && cd x && pip install .", "", "."),
    ("git clone https://h/o/r && pip install ./r/sub", "", "./r/sub"),
]


@pytest.mark.parametrize(("command", "name", "url"), CLONES, ids=[one[0] for one in CLONES])
def test_a_folder_that_is_not_there_is_still_asked_for(command: str, name: str, url: str) -> None:
    install = install_of(command)
    assert [(one.name, one.url) for one in install.requests] == [(name, url)]
    assert "is not among the files" in install.unread[0]


SETUP = {
    "cfg": (
        {
            "setup.cfg": "[metadata]\nname = x\n[options]\npackages = find:\ninstall_requires =\n    torch==2.1  # why\n    numpy<2\n\n[options.extras_require]\nfast =\n    xformers\n"
        },
        ["torch==2.1", "numpy<2", "xformers"],
        False,
    ),
    "py": (
        {
            "setup.py": "from setuptools import setup\nR = [\n  'torch==2.1',\n  \"numpy<2\",\n]\nsetup(install_requires=R, extras_require={'fast': ['xformers']})\n"
        },
        ["torch==2.1", "numpy<2", "xformers"],
        False,
    ),
    "py, attribute": (
        {"setup.py": "import setuptools\nsetuptools.setup(name='x', install_requires=['torch==2.1'])\n"},
        ["torch==2.1"],
        False,
    ),
    "py, computed": (
        {"setup.py": "from setuptools import setup\nsetup(install_requires=open('r.txt').read().split())\n"},
        [],
        True,
    ),
    "py, partly computed": (
        {
            "setup.py": "from setuptools import setup\nimport os\nsetup(install_requires=['a', 'torch==' + os.environ['V']])\n"
        },
        ["a"],
        True,
    ),
    "py, no Python": ({"setup.py": "print 'x'\n"}, [], True),
    "dynamic": (
        {
            "pyproject.toml": '[project]\nname = "x"\ndynamic = ["dependencies"]\n'
            '[tool.setuptools.dynamic]\ndependencies = { file = ["req/r.txt"] }\n',
            "req/r.txt": "torch==2.1\n",
        },
        ["torch==2.1"],
        False,
    ),
    "pyproject without a project": (
        {
            "pyproject.toml": "[build-system]\nrequires = ['x']\n",
            "setup.cfg": "[options]\ninstall_requires = torch==2.1\n",
        },
        ["torch==2.1"],
        False,
    ),
    "broken TOML": ({"pyproject.toml": "[project\n"}, [], True),
}


@pytest.mark.parametrize(("files", "expected", "unread"), SETUP.values(), ids=SETUP.keys())
def test_older_projects(files: dict[str, str], expected: list[str], unread: bool) -> None:
    install = install_of("COPY . .\nRUN pip install '.[fast]'", files)
    assert shorts(install)[1:] == expected
    assert bool(install.unread) is unread
    for request in install.requests[1:]:
        assert request.at.text.startswith(request.name)
        assert request.versions is not None


def test_setup_py_is_never_run(tmp_path: Path) -> None:
    from seatrial.images import story

    trap = tmp_path / "trap"
    (tmp_path / "setup.py").write_text(
        f"open({str(trap)!r}, 'w')\nfrom setuptools import setup\nsetup(install_requires=['a'])\n"
    )
    (tmp_path / "Dockerfile").write_text("FROM x\nCOPY . .\nRUN pip install .\n")
    [stage] = story.read(tmp_path).stages
    assert any(getattr(step, "requests", None) for step in stage.steps)
    assert not trap.exists()


POETRY = """\
[tool.poetry]
name = "app"
[tool.poetry.dependencies]
python = "^3.10"
torch = "2.4.0"
numpy = "^1.26"
transformers = { version = ">=4.40,<5", extras = ["torch"], source = "mirror" }
vllm = { git = "https://h/vllm.git", optional = true }
odd = "1.2 || 2.0"
[tool.poetry.extras]
serve = ["vllm"]
[tool.poetry.group.dev.dependencies]
pytest = "~8.1"
[tool.poetry.group.docs]
optional = true
[tool.poetry.group.docs.dependencies]
sphinx = "*"
[[tool.poetry.source]]
name = "mirror"
url = "https://m/simple"
"""

POETRY_COMMANDS = [
    (
        "poetry install",
        ["torch==2.4.0", "numpy<2,>=1.26", "transformers[torch]<5,>=4.40", "pytest<8.2,>=8.1"],
    ),
    (
        "poetry install --without dev -E serve",
        ["torch==2.4.0", "numpy<2,>=1.26", "transformers[torch]<5,>=4.40", "vllm @git+https://h/vllm.git"],
    ),
    (
        "poetry install --only main,docs",
        ["torch==2.4.0", "numpy<2,>=1.26", "transformers[torch]<5,>=4.40", "sphinx"],
    ),
    ("pip install .", ["app @.", "torch==2.4.0", "numpy<2,>=1.26", "transformers[torch]<5,>=4.40"]),
]


@pytest.mark.parametrize(("command", "expected"), POETRY_COMMANDS, ids=[one[0] for one in POETRY_COMMANDS])
def test_poetry(command: str, expected: list[str]) -> None:
    install = install_of(f"COPY . .\nRUN {command}", {"pyproject.toml": POETRY})
    assert shorts(install) == expected
    assert any("odd" in one for one in install.unread)
    torch = next(one for one in install.requests if one.name == "torch")
    assert (torch.style, torch.at.text) == ("poetry", 'torch = "2.4.0"')
    assert torch.versions is not None
    assert torch.version is not None
    assert (torch.versions.text, torch.version.text) == ("2.4.0", "2.4.0")
    transformers = next(one for one in install.requests if one.name == "transformers")
    assert transformers.index == "https://m/simple"
    assert transformers.versions is not None
    assert transformers.versions.text == ">=4.40,<5"


def test_poetry_add_and_environments() -> None:
    install = install_of("RUN poetry add torch@^2.1 numpy==1.26 'x[y]'")
    assert shorts(install) == ["torch<3,>=2.1", "numpy==1.26", "x[y]"]
    assert install.environment == "/.venv"
    files = {"pyproject.toml": POETRY}
    inside = install_of("COPY . .\nRUN poetry config virtualenvs.create false && poetry install", files)
    assert inside.environment == ""
    variable = install_of("ENV POETRY_VIRTUALENVS_CREATE=false\nCOPY . .\nRUN poetry install", files)
    assert variable.environment == ""


UV = """\
[project]
name = "app"
dependencies = ["torch==2.7.1", "numpy", "local"]
[tool.uv]
override-dependencies = ["numpy<2"]
constraint-dependencies = ["scipy<1.12"]
[tool.uv.sources]
torch = [{ index = "cu128", marker = "sys_platform == 'linux'" }, { index = "cpu", marker = "sys_platform == 'darwin'" }]
local = { path = "libs/local", editable = true }
[[tool.uv.index]]
name = "cu128"
url = "https://h/cu128"
explicit = true
[[tool.uv.index]]
name = "company"
url = "https://h/company"
"""


def test_uv_takes_its_sources_indexes_and_overrides() -> None:
    install = install_of("COPY . .\nRUN uv sync", {"pyproject.toml": UV})
    assert shorts(install) == ["torch==2.7.1", "numpy<2", "local @libs/local"]
    assert install.requests[0].index == "https://h/cu128"
    assert install.requests[1].at.text == "numpy<2"
    assert [one.name for one in install.constraints] == ["scipy"]
    assert install.extra_indexes == ("https://h/company",)
    assert install.environment == "/.venv"
    pip = install_of("COPY . .\nRUN pip install .", {"pyproject.toml": UV})
    assert shorts(pip) == ["app @.", "torch==2.7.1", "numpy", "local"]
    system = install_of(
        "ENV UV_PROJECT_ENVIRONMENT=/usr/local\nCOPY . .\nRUN uv sync", {"pyproject.toml": UV}
    )
    assert system.environment == ""


UV_LOCK = """\
version = 1
[[package]]
name = "app"
version = "0.1"
source = { virtual = "." }
dependencies = [
    { name = "torch", version = "2.7.1", source = { registry = "https://pypi.org/simple" }, marker = "sys_platform == 'darwin'" },
    { name = "torch", version = "2.7.1+cu128", source = { registry = "https://h/cu128" }, marker = "sys_platform == 'linux'" },
    { name = "uvicorn", extra = ["standard"] },
]
[package.optional-dependencies]
gpu = [{ name = "xformers" }]
[package.dev-dependencies]
dev = [{ name = "pytest" }]

[[package]]
name = "httptools"
version = "0.6"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "numpy"
version = "2.0.1"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "pytest"
version = "8.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "torch"
version = "2.7.1"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "torch"
version = "2.7.1+cu128"
source = { registry = "https://h/cu128" }
dependencies = [{ name = "numpy" }]

[[package]]
name = "uvicorn"
version = "0.30"
source = { registry = "https://pypi.org/simple" }
[package.optional-dependencies]
standard = [{ name = "httptools" }]

[[package]]
name = "xformers"
version = "0.0.31"
source = { git = "https://h/xformers?rev=v0.0.31#abc" }
"""


def test_uv_locks_are_followed_from_the_project() -> None:
    files = {"pyproject.toml": '[project]\nname = "app"\ndependencies = ["torch"]\n', "uv.lock": UV_LOCK}
    install = install_of("COPY . .\nRUN uv sync --frozen --no-dev --extra gpu", files)
    assert shorts(install) == [
        "httptools==0.6",
        "numpy==2.0.1",
        "torch==2.7.1+cu128",
        "uvicorn==0.30",
        "xformers==0.0.31 @git+https://h/xformers?rev=v0.0.31#abc",
    ]
    torch = install.named("torch")[0]
    assert (torch.index, torch.locked, torch.versions) == ("https://h/cu128", True, None)
    assert torch.at.text == 'name = "torch"\nversion = "2.7.1+cu128"'
    assert torch.at.source.path == "uv.lock"
    assert {"frozen", "locked"} <= install.flags
    assert [one.path for one in install.files] == ["pyproject.toml", "uv.lock"]
    dev = install_of("COPY . .\nRUN uv sync", files)
    assert "pytest==8.0" in shorts(dev)


POETRY_LOCK = """\
[[package]]
name = "torch"
version = "2.4.0"
optional = false
groups = ["main"]

[[package]]
name = "pytest"
version = "8.0"
optional = false
groups = ["dev"]

[[package]]
name = "colorama"
version = "0.4"
optional = false
groups = ["main"]
markers = "sys_platform == \\"win32\\""

[[package]]
name = "extra"
version = "1.0"
optional = true
groups = ["main"]
"""


def test_poetry_locks() -> None:
    files = {"pyproject.toml": POETRY, "poetry.lock": POETRY_LOCK}
    assert shorts(install_of("COPY . .\nRUN poetry install", files)) == ["torch==2.4.0", "pytest==8.0"]
    assert shorts(install_of("COPY . .\nRUN poetry install --only main", files)) == ["torch==2.4.0"]
    assert shorts(install_of("COPY . .\nRUN poetry install --without dev --all-extras", files)) == [
        "torch==2.4.0",
        "extra==1.0",
    ]


PIPFILE = """\
[[source]]
url = "https://pypi.org/simple"
name = "pypi"
[[source]]
url = "https://h/cu121"
name = "torch"
[packages]
torch = { version = "==2.4.0", index = "torch" }
numpy = "<2"
requests = "*"
[dev-packages]
pytest = "*"
[requires]
python_version = "3.10"
"""


def test_pipenv() -> None:
    install = install_of("COPY . .\nRUN pipenv install --system", {"Pipfile": PIPFILE})
    assert shorts(install) == ["torch==2.4.0", "numpy<2", "requests"]
    assert install.environment == ""
    assert install.requests[0].index == "https://h/cu121"
    assert install.requests[0].version is not None
    assert install.requests[0].version.text == "2.4.0"
    dev = install_of("COPY . .\nRUN pipenv install --dev", {"Pipfile": PIPFILE})
    assert shorts(dev)[-1] == "pytest"
    lock = {
        "_meta": {"sources": [{"name": "torch", "url": "https://h/cu121"}]},
        "default": {"torch": {"version": "==2.4.1", "index": "torch"}, "vllm": {"git": "https://h/vllm"}},
        "develop": {"pytest": {"version": "==8.0"}},
    }
    files = {"Pipfile": PIPFILE, "Pipfile.lock": json.dumps(lock)}
    locked = install_of("COPY . .\nRUN pipenv install --deploy", files)
    assert shorts(locked) == ["torch==2.4.1", "vllm @git+https://h/vllm"]
    assert locked.requests[0].index == "https://h/cu121"
    assert all(one.locked for one in locked.requests)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("uv.lock", "uv sync"),
        ("poetry.lock", "poetry install"),
        ("pdm.lock", "pdm install"),
        ("Pipfile.lock", "pipenv sync"),
    ],
)
@pytest.mark.parametrize(
    "text",
    ["", "[[package]]\nname = 3\n", "{]", "[package]\n", '[[package]]\nsource = "x"\nname="a"\n', "[]"],
)
def test_broken_locks_do_not_crash(name: str, command: str, text: str) -> None:
    files = {"pyproject.toml": PEP_621, "Pipfile": PIPFILE, name: text}
    install_of(f"COPY . .\nRUN {command}", files)


@pytest.mark.parametrize(
    "text",
    [
        "project = 1\n",
        "[project]\nname = 1\ndependencies = 'x'\n",
        "[project]\ndependencies = [1, {}]\noptional-dependencies = []\ndynamic = 'x'\n",
        "[tool]\npoetry = 1\nuv = 2\n",
        "[tool.poetry]\ndependencies = ['x']\nextras = 1\ngroup = 2\nsource = 3\n",
        "[tool.poetry.dependencies]\na = 1\nb = [1, {}]\nc = {extras = 1, version = 2, python = 3}\n",
        "[tool.uv]\nindex = 'x'\nsources = 1\noverride-dependencies = {}\npip = 1\n",
        "[tool.uv]\nsources = {torch = 1}\ndev-dependencies = 4\ndefault-groups = 5\n[project]\ndependencies = ['torch']\n",
        "[dependency-groups]\na = 1\nb = [{include-group = 1}]\ndev = [{include-group = 'dev'}, {x = 1}]\n",
        "[project]\ndynamic = ['dependencies']\n[tool.setuptools]\ndynamic = 1\n",
        "[project]\ndynamic = ['dependencies']\n[tool.setuptools.dynamic.dependencies]\nfile = 4\n",
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "pip install .[a]",
        "uv sync --all-extras --group a --group b",
        "poetry install --all-extras",
        "pdm install",
    ],
)
def test_absurd_projects_do_not_crash(text: str, command: str) -> None:
    install_of(f"COPY . .\nRUN {command}", {"pyproject.toml": text})
