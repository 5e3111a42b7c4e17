"""image/no-such-version, as far as facts say it without asking an index."""

from __future__ import annotations

import pytest

from support.fixes import fixed
from support.image_checks import findings

RULE = "image/no-such-version"
WHL = "https://download.pytorch.org/whl"
SLIM = "FROM python:3.11-slim\n"


@pytest.mark.parametrize(
    ("run", "words", "best"),
    [
        (
            "RUN pip install torch==2.1.0+cu121\n",
            "torch 2.1.0+cu121 is not on the default index",
            f"pip install --extra-index-url {WHL}/cu121 torch==2.1.0+cu121",
        ),
        (
            f"RUN pip install torch==2.7.0+cu128 --index-url {WHL}/cpu\n",
            "torch 2.7.0+cu128 is not on PyTorch's index of cpu",
            f"pip install torch==2.7.0+cpu --index-url {WHL}/cpu",
        ),
        (
            f"RUN pip install torch==2.7.1+cu121 --index-url {WHL}/cu121\n",
            "torch 2.7.1 was never built for cu121; there are cu118, cu126, cu128 and cpu",
            f"pip install torch==2.7.1+cu126 --index-url {WHL}/cu126",
        ),
        (
            f"RUN pip install torch==2.7.1 --index-url {WHL}/cu121\n",
            "torch 2.7.1 was never built for cu121",
            f"pip install torch==2.7.1 --index-url {WHL}/cu126",
        ),
        (
            f"RUN pip install 'torch>=2.6,<2.8' --index-url {WHL}/cu121\n",
            "torch<2.8,>=2.6 was never built for cu121",
            f"pip install 'torch>=2.6,<2.8' --index-url {WHL}/cu126",
        ),
        (
            f"RUN pip install torch transformers --index-url {WHL}/cu126\n",
            "transformers is not on PyTorch's index",
            f"pip install torch transformers --extra-index-url {WHL}/cu126",
        ),
    ],
)
def test_what_no_asked_index_has(run: str, words: str, best: str) -> None:
    files = {"Dockerfile": SLIM + run}
    (found,) = findings(files, RULE)
    assert found.severity == "error"
    assert found.message.startswith(words)
    assert best in fixed(files, found)[0]["Dockerfile"]


@pytest.mark.parametrize(
    "run",
    [
        f"RUN pip install torch==2.1.0+cu121 --index-url {WHL}/cu121\n",
        f"RUN pip install torch==2.1.0+cu121 -f {WHL}/torch_stable.html\n",
        f"RUN pip install torch==2.1.0+cu121 -f {WHL}/cu121/torch_stable.html\n",
        f"RUN pip install torch==2.1.0+cu121 --extra-index-url {WHL}\n",
        "RUN pip install torch==2.1.0+cu121 -i https://wheels.example.org/simple\n",
        "RUN pip config set global.extra-index-url https://wheels.example.org && pip install torch==2.1.0+cu121\n",
        "COPY pip.conf /etc/pip.conf\nRUN pip install torch==2.1.0+cu121\n",
        f"ENV PIP_EXTRA_INDEX_URL={WHL}/cu121\nRUN pip install torch==2.1.0+cu121\n",
        f"RUN pip install torch==2.1.0+cu121 --index-url {WHL}/cu121\nRUN pip install torch==2.1.0+cu121 six\n",
        # There are builds that no release notes name.
        f"RUN pip install torch==2.10.0 --index-url {WHL}/cu129\n",
        f"RUN pip install torch==2.7.1 --index-url {WHL}/cu128\n",
        f"RUN pip install torch==2.7.1 --extra-index-url {WHL}/cu121\n",
        f"RUN pip install torch numpy pillow --index-url {WHL}/cu126\n",
        f"RUN pip install transformers\nRUN pip install torch transformers --index-url {WHL}/cu126\n",
        "RUN uv pip install --system --torch-backend=cu121 torch==2.1.0+cu121\n",
        "RUN pip install ./torch-2.1.0+cu121-cp311-cp311-linux_x86_64.whl\n",
    ],
)
def test_what_is_there_or_may_be(run: str) -> None:
    assert findings({"Dockerfile": SLIM + run}, RULE) == []


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "torch==2.1.0+cu121\n"},
        {"Dockerfile": "FROM example.org/team/base:1\nRUN pip install torch==2.1.0+cu121\n"},
        {"Dockerfile": f"{SLIM}RUN pip install torch==2.1.0+cu121 || echo none\n"},
        {"Dockerfile": f"{SLIM}RUN pip install six\nRUN pip install transformers --index-url {WHL}/cpu\n"},
    ],
)
def test_where_an_index_may_be_configured_it_is_a_warning(files: dict[str, str]) -> None:
    assert [one.severity for one in findings(files, RULE)] == ["warning"]


def test_packages_move_to_a_command_of_their_own() -> None:
    files = {"Dockerfile": f"{SLIM}RUN pip install torch==2.6.0 accelerate --index-url {WHL}/cu126\n"}
    (found,) = findings(files, RULE)
    texts = [one["Dockerfile"] for one in fixed(files, found)]
    assert f"{SLIM}RUN pip install torch==2.6.0 --index-url {WHL}/cu126 && pip install accelerate\n" in texts


def test_a_lock_says_itself_where_it_has_a_build_from() -> None:
    lock = (
        'version = 1\nrequires-python = ">=3.10"\n\n'
        '[[package]]\nname = "app"\nversion = "0.1"\nsource = { virtual = "." }\n'
        'dependencies = [{ name = "torch" }]\n\n'
        '[[package]]\nname = "torch"\nversion = "2.7.0+cu128"\n'
        'source = { registry = "https://download.pytorch.org/whl/cu128" }\n'
        'wheels = [\n    { url = "https://download.pytorch.org/whl/cu128/torch.whl", hash = "sha256:00" },\n]\n'
    )
    files = {
        "Dockerfile": "FROM python:3.11\nCOPY pyproject.toml uv.lock ./\nRUN pip install uv && uv sync --locked\n",
        "pyproject.toml": '[project]\nname = "app"\nversion = "0.1"\ndependencies = ["torch"]\n',
        "uv.lock": lock,
    }

    assert not findings(files, RULE)


def test_a_project_that_names_the_index_chooses_it_by_an_extra() -> None:
    project = (
        '[project]\nname = "app"\nversion = "0.1"\ndependencies = ["torch==2.7.1+cu128"]\n\n'
        '[tool.uv.sources]\ntorch = [{ index = "cuda", extra = "gpu" }]\n\n'
        '[[tool.uv.index]]\nname = "cuda"\nurl = "https://download.pytorch.org/whl/cu128"\nexplicit = true\n'
    )

    assert not findings({"pyproject.toml": project}, RULE)
