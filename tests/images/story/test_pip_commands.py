"""Every way to write an installer's command line is read as what pip or uv would do with it."""

from __future__ import annotations

import pytest

from seatrial.images.story.model import Command, SystemInstall, Uninstall
from support.stories import install_of, installs_of, shorts, stage_of

WORDS = [
    ("pip install torch", ["torch"]),
    ("pip install torch==2.1.0 numpy<2", ["torch==2.1.0", "numpy"]),  # the shell takes `<2` away
    ("pip install 'torch==2.1.0' \"numpy<2\"", ["torch==2.1.0", "numpy<2"]),
    ("pip install torch\\<2", ["torch<2"]),
    ("pip3 install 'Torch_Vision>=0.1,<1'", ["torch-vision<1,>=0.1"]),
    ("pip3.11 install a", ["a"]),
    ("/opt/conda/bin/pip install a", ["a"]),
    ("$CONDA/bin/pip install a", ["a"]),
    ("python -m pip install a", ["a"]),
    ("python3.10 -u -m pip install a", ["a"]),
    ("python3 -Im pip install a", ["a"]),
    ("sudo -E -u me pip install a", ["a"]),
    ("env PIP_X=1 -u Y pip install a", ["a"]),
    ("time nice -n 10 pip install a", ["a"]),
    ("timeout 600 pip install a", ["a"]),
    ("PIP_INDEX_URL=https://x pip install a", ["a"]),
    ("pip --no-cache-dir install a", ["a"]),
    ("pip install -qU a", ["a"]),
    ("pip install -U --force a b", ["a", "b"]),
    ("pip install -i https://x -f https://y a", ["a"]),
    ("pip install --index-url=https://x --extra-index-url https://y a", ["a"]),
    ("pip install --timeout 100 --retries 3 --progress-bar off --root-user-action ignore a", ["a"]),
    ("pip install --config-settings k=v --global-option x --src d a", ["a"]),
    ("pip install --only-binary :all: --no-binary b --platform p --python-version 3.9 --abi x a", ["a"]),
    ("pip install --trusted-host h --cache-dir d --cert c --proxy p --log l a", ["a"]),
    ("pip install -- a", ["a"]),
    ("pip install a[x,y]==1", ["a[x,y]==1"]),
    ("pip install 'a @ https://h/a-1.0-py3-none-any.whl'", ["a==1.0 @https://h/a-1.0-py3-none-any.whl"]),
    (
        "pip install https://h/flash_attn-2.7.4+cu12torch2.4cxx11abiFALSE-cp310-cp310-linux_x86_64.whl",
        [
            (
                "flash-attn==2.7.4+cu12torch2.4cxx11abiFALSE "
                "@https://h/flash_attn-2.7.4+cu12torch2.4cxx11abiFALSE-cp310-cp310-linux_x86_64.whl"
            )
        ],
    ),
    (
        "pip install https://h/whl/cu118/torch-2.0.1%2Bcu118-cp310-cp310-linux_x86_64.whl",
        ["torch==2.0.1+cu118 @https://h/whl/cu118/torch-2.0.1%2Bcu118-cp310-cp310-linux_x86_64.whl"],
    ),
    ("pip install git+https://h/o/Repo.git@v1", ["repo @git+https://h/o/Repo.git@v1"]),
    ("pip install 'git+https://h/o/r@v1#egg=name[x]'", ["name[x] @git+https://h/o/r@v1"]),
    ("pip install -e 'git+https://h/o/r#egg=name'", ["name @git+https://h/o/r"]),
    (
        "pip install git+https://github.com/Dao-AILab/flash-attention.git@v2.6",
        ["flash-attn @git+https://github.com/Dao-AILab/flash-attention.git@v2.6"],
    ),
    ("pip install git+ssh://git@github.com/o/Some_Name", ["some-name @git+ssh://git@github.com/o/Some_Name"]),
    ("pip install 'git+https://h/o/r.git@a/b#subdirectory=x'", ["r @git+https://h/o/r.git@a/b"]),
    (
        "pip install https://github.com/NVIDIA/apex/archive/8a1ed9e.zip",
        ["apex @https://github.com/NVIDIA/apex/archive/8a1ed9e.zip"],
    ),
    ("/isaac-sim/python.sh -m pip install a", ["a"]),
    ("pip install https://h/archive-1.2.tar.gz", ["archive==1.2 @https://h/archive-1.2.tar.gz"]),
    ("uv pip install --system --no-cache a", ["a"]),
    ("uv pip install -p 3.11 --torch-backend cu121 --index-strategy unsafe-best-match a", ["a"]),
    ("uv pip install --prerelease allow --exclude-newer 2024-01-01 --link-mode copy a", ["a"]),
    ("uv --quiet pip install a", ["a"]),
    ("bash -c 'pip install a'", ["a"]),
    ("set -ex; pip install a", ["a"]),
    ("cd /x && pip install a", ["a"]),
    ("pipenv run pip install a", ["a"]),
]


@pytest.mark.parametrize(("command", "expected"), WORDS, ids=[one[0][:60] for one in WORDS])
def test_words_become_requests(command: str, expected: list[str]) -> None:
    install = install_of(command)
    assert shorts(install) == expected
    assert install.certain
    assert not install.unread


NOT_INSTALLS = [
    "pip download a",
    "pip wheel a",
    "pip install --dry-run a",
    "pip list",
    "pip --version",
    "echo pip install a",
    "uv pip compile a.in",
    "uv venv",
    "python -c 'import pip'",
    "python setup.py install",
    "conda config --add channels x",
    "poetry lock",
    "pip",
    "sudo",
    "env",
    "xargs",
    "conda",
    "conda run",
    "conda install --help",
]


@pytest.mark.parametrize("command", NOT_INSTALLS)
def test_other_commands_install_nothing(command: str) -> None:
    stage = stage_of(f"RUN {command}")
    assert installs_of(stage) == []
    assert any(isinstance(step, Command) for step in stage.steps)


def test_indexes_come_from_options_and_variables() -> None:
    stage = stage_of(
        "ENV PIP_EXTRA_INDEX_URL='https://e1 https://e2' UV_INDEX_URL=https://u\n"
        "RUN pip install -i https://i a\n"
        "RUN PIP_INDEX_URL=https://v pip install --extra-index-url https://e3 -f https://f b\n"
        "RUN uv pip install c\n"
        "RUN uv pip install --index name=https://n --default-index https://d c\n"
        "RUN pip config set global.index-url https://conf && pip install d\n"
        "RUN pip install e"
    )
    one, two, three, four, five, six = installs_of(stage)
    assert (one.index, one.extra_indexes) == ("https://i", ("https://e1", "https://e2"))
    assert two.index == "https://v"
    assert two.extra_indexes == ("https://e3", "https://e1", "https://e2")
    assert two.find_links == ("https://f",)
    assert two.variables == {"PIP_INDEX_URL": "https://v"}
    assert (three.index, three.extra_indexes) == ("https://u", ())
    assert (four.index, four.extra_indexes) == ("https://d", ("https://n",))
    assert five.index == six.index == "https://conf"


FLAGS = [
    ("pip install --no-deps a", {"no-deps"}),
    ("pip install -UI --pre a", {"upgrade", "ignore-installed", "pre"}),
    ("pip install --no-dependencies a", {"no-deps"}),
    ("pip install --no-build-isolation a", {"no-build-isolation"}),
    ("PIP_NO_BUILD_ISOLATION=0 pip install a", {"no-build-isolation"}),
    ("uv pip install --torch-backend=cu121 --reinstall a", {"torch-backend=cu121", "force-reinstall"}),
    ("UV_TORCH_BACKEND=auto UV_SYSTEM_PYTHON=1 uv pip install a", {"torch-backend=auto", "system"}),
    ("uv pip install --prerelease=allow a", {"pre"}),
    ("uv pip install --no-build-isolation-package flash-attn a", {"no-build-isolation-package=flash-attn"}),
    ("conda install -c pytorch -c nvidia a", {"channel=pytorch", "channel=nvidia"}),
]


@pytest.mark.parametrize(("command", "expected"), FLAGS, ids=[one[0] for one in FLAGS])
def test_flags(command: str, expected: set[str]) -> None:
    assert expected <= install_of(command).flags


ENVIRONMENTS = [
    ("RUN pip install a", ""),
    ("RUN pip install --user a", ""),
    ("RUN pip install --target /t a", "/t"),
    ("RUN pip install --prefix=/install a", "/install"),
    ("RUN pip install --prefix=/usr/local a", ""),
    ("RUN /opt/conda/envs/x/bin/pip install a", "conda:x"),
    ("RUN conda run -n x pip install a", "conda:x"),
    ("RUN conda run --no-capture-output -n x python -m pip install a", "conda:x"),
    ("RUN micromamba run -n base pip install a", ""),
    ("RUN conda activate x && pip install a", "conda:x"),
    ("RUN . /opt/conda/etc/profile.d/conda.sh && conda activate x && pip install a", "conda:x"),
    ("RUN source activate x && pip install a", "conda:x"),
    ('SHELL ["conda", "run", "-n", "x", "/bin/bash", "-c"]\nRUN pip install a', "conda:x"),
    (
        'SHELL ["/bin/bash", "--login", "-c"]\nRUN echo "conda activate x" >> ~/.bashrc\nRUN pip install a',
        "conda:x",
    ),
    ("ENV PATH=/opt/conda/envs/x/bin:$PATH\nRUN pip install a", "conda:x"),
    ("ENV PATH=/opt/conda/bin:$PATH\nRUN pip install a", ""),
    ("RUN python -m venv /v && /v/bin/pip install a", "/v"),
    ("RUN python -m venv --copies /v && . /v/bin/activate && pip install a", "/v"),
    ("WORKDIR /w\nRUN python3 -m venv env\nRUN . env/bin/activate && pip install a", "/w/env"),
    ("RUN virtualenv -p python3 /v\nENV PATH=/v/bin:$PATH\nRUN pip install a", "/v"),
    (
        "ENV VIRTUAL_ENV=/v\nENV PATH=$VIRTUAL_ENV/bin:$PATH\nRUN uv venv $VIRTUAL_ENV && uv pip install a",
        "/v",
    ),
    ("RUN (. /opt/venv/bin/activate)\nRUN pip install a", ""),
    ("WORKDIR /w\nRUN uv venv && uv pip install a", "/w/.venv"),
    ("RUN uv pip install --python /opt/venv/bin/python a", "/opt/venv"),
    ("RUN uv pip install --python 3.11 a", ""),
    ("RUN uv pip install --system a", ""),
    ("RUN uv tool install ruff", "tool:ruff"),
    ("RUN pipx install ruff", "tool:ruff"),
    ("RUN conda install a", ""),
    ("RUN conda create -n x a", "conda:x"),
    ("RUN conda install -n base a", ""),
    ("RUN mamba create --prefix /opt/thing a", "/opt/thing"),
]


@pytest.mark.parametrize(("text", "expected"), ENVIRONMENTS, ids=[one[0][:70] for one in ENVIRONMENTS])
def test_where_it_installs(text: str, expected: str) -> None:
    install = installs_of(stage_of(text))[-1]
    assert install.environment == expected


def test_the_environment_of_plain_python_at_the_end() -> None:
    assert stage_of("RUN python -m venv /v\nENV PATH=/v/bin:$PATH").python_environment == "/v"
    assert stage_of("RUN python -m venv /v").python_environment == ""


CERTAIN = [
    ("pip install a", True),
    ("apt-get update && pip install a", True),
    ("pip install a || true", False),
    ("test -f x && pip install a", False),
    ('if [ "$X" = 1 ]; then pip install a; fi', False),
    ("false_or_true || pip install a", False),
]


@pytest.mark.parametrize(("command", "expected"), CERTAIN, ids=[one[0] for one in CERTAIN])
def test_what_may_not_run_is_not_certain(command: str, expected: bool) -> None:
    assert install_of(command).certain is expected


UNREAD = [
    ("pip install $PACKAGES", "PACKAGES"),
    ("pip install -r requirements.txt", "/requirements.txt is not among the files"),
    ("pip install -r https://h/r.txt", "https://h/r.txt is not among the files"),
    ("xargs pip install < r.txt", "xargs gives more arguments"),
    ("cat r.txt | xargs -n 1 pip install", "xargs gives more arguments"),
    ("pip install /tmp/*.whl", "/tmp/*.whl"),
    ("pip install .", "/pyproject.toml is not among the files"),
    ("pip install $(grep -v torch r.txt)", "no value is known"),
    ("uv sync", "/pyproject.toml is not among the files"),
    ("poetry install", "/pyproject.toml is not among the files"),
    ("pipenv install", "/Pipfile is not among the files"),
    ("conda env create -f e.yml", "/e.yml is not among the files"),
    ("conda install x=$V", "no value is known for V"),
]


@pytest.mark.parametrize(("command", "expected"), UNREAD, ids=[one[0] for one in UNREAD])
def test_what_cannot_be_read_is_said(command: str, expected: str) -> None:
    unread = install_of(command).unread
    assert any(expected in one for one in unread), unread


def test_a_package_keeps_its_name_when_its_version_is_not_known() -> None:
    install = install_of('pip install "torch==${V}" numpy')
    assert shorts(install) == ["torch", "numpy"]
    torch = install.requests[0]
    assert (torch.versions, torch.version) == (None, None)
    assert "torch==${V}: no value is known for V" in install.unread


def test_a_version_that_a_command_makes_is_not_known() -> None:
    install = install_of("pip install \"nixl==$(echo ${V} | sed 's/^v//')\"")
    assert shorts(install) == ["nixl"]
    assert "no value is known" in install.unread[0]


def test_options_can_be_written_after_install() -> None:
    for command in ("pip install a", "uv pip install a", "uv sync", "conda install a", "poetry add a"):
        install = install_of(command)
        assert install.options is not None
        before = install.options.source.text[: install.options.start]
        assert before.endswith(("install", "sync", "add"))


def test_uninstalls() -> None:
    stage = stage_of(
        "RUN pip uninstall -y torch Torch_Vision; uv pip uninstall x; conda remove -y pytorch || true"
    )
    found = [step for step in stage.steps if isinstance(step, Uninstall)]
    assert [(one.names, one.certain) for one in found] == [
        (("torch", "torch-vision"), True),
        (("x",), True),
        (("torch",), False),
    ]


SYSTEM = [
    (
        "apt-get install -y --no-install-recommends libnccl2=2.18.3-1+cuda12.1 git",
        "apt",
        ["libnccl2=2.18.3-1+cuda12.1", "git="],
    ),
    ("apt-get -o Dpkg::Options::=x install -t stable a:amd64", "apt", ["a="]),
    ("apt install ./cudnn_8.9.0-1_amd64.deb", "apt", ["cudnn=8.9.0-1"]),
    ("dpkg -i /tmp/cuda-keyring_1.1-1_all.deb", "apt", ["cuda-keyring=1.1-1"]),
    ("apk add --no-cache --virtual .build 'gcc=1.2' musl~1", "apk", ["gcc=1.2", "musl=1"]),
    ("yum install -y --enablerepo x git", "yum", ["git="]),
    ("dnf -y install python3.11", "dnf", ["python3.11="]),
    ("microdnf install a", "microdnf", ["a="]),
    ("zypper -n in a", "zypper", ["a="]),
]


@pytest.mark.parametrize(("command", "tool", "expected"), SYSTEM, ids=[one[0][:50] for one in SYSTEM])
def test_packages_of_the_distribution(command: str, tool: str, expected: list[str]) -> None:
    [step] = [one for one in stage_of(f"RUN {command}").steps if isinstance(one, SystemInstall)]
    assert step.tool == tool
    assert [f"{one.name}={one.version}" for one in step.packages] == expected


def test_exec_form_and_here_documents() -> None:
    assert shorts(install_of('RUN ["pip", "install", "torch==2.1"]\n')) == ["torch==2.1"]
    assert shorts(install_of('RUN ["/bin/sh", "-c", "pip install torch==2.1"]\n')) == ["torch==2.1"]
    stage = stage_of("RUN <<EOF\npip install a\nuv pip install b\nEOF")
    assert [shorts(one) for one in installs_of(stage)] == [["a"], ["b"]]
    assert installs_of(stage_of("RUN <<EOF\n#!/usr/bin/python\npip install a\nEOF")) == []


def test_a_loop_installs_every_turn() -> None:
    stage = stage_of("RUN for p in a b; do pip install $p; done")
    assert [shorts(one) for one in installs_of(stage)] == [["a"], ["b"]]


def test_start_commands_install_nothing_into_the_image() -> None:
    stage = stage_of('CMD pip install a && python x.py\nENTRYPOINT ["torchrun", "x.py"]')
    assert installs_of(stage) == []
    commands = [step for step in stage.steps if isinstance(step, Command)]
    assert [(one.instruction, one.words) for one in commands] == [
        ("CMD", ("python", "x.py")),
        ("ENTRYPOINT", ("torchrun", "x.py")),
    ]
