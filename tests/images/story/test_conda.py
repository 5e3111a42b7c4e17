"""What conda is asked for, on the command line and in environment files, translated to PyPI's names and versions."""

from __future__ import annotations

import pytest

from support.stories import install_of, installs_of, shorts, stage_of, story_of

SPECS = [
    # conda's words, PyPI's name, PEP 440, version number, conda's name, build, channel
    ("pytorch=2.1", "torch", "==2.1.*", "2.1", "pytorch", "", ""),
    ("pytorch==2.1.0", "torch", "==2.1.0", "2.1.0", "pytorch", "", ""),
    ("pytorch==2.1.0=py3.10_cuda12.1*", "torch", "==2.1.0", "2.1.0", "pytorch", "py3.10_cuda12.1*", ""),
    ("pytorch=2.1.0=*cuda*", "torch", "==2.1.0", "2.1.0", "pytorch", "*cuda*", ""),
    ("'pytorch 2.1.0 py3.10_0'", "torch", "==2.1.0", "2.1.0", "pytorch", "py3.10_0", ""),
    ("'pytorch 2.1.*'", "torch", "==2.1.*", None, "pytorch", "", ""),
    ("pytorch=2.1.*", "torch", "==2.1.*", None, "pytorch", "", ""),
    ("'pytorch>=2,<3'", "torch", ">=2,<3", None, "pytorch", "", ""),
    ("'pytorch[version=\">=2\"]'", "torch", ">=2", None, "pytorch", "", ""),
    ("'pytorch=1.8|1.9'", "torch", "", None, "pytorch", "", ""),
    ("conda-forge::opencv", "opencv-python", "", None, "opencv", "", "conda-forge"),
    ("nvidia/label/cuda-12.1.0::cuda", "cuda", "", None, "cuda", "", "nvidia"),
    ("cudatoolkit=11.3", "cudatoolkit", "==11.3.*", "11.3", "cudatoolkit", "", ""),
    ("pytorch-cuda=11.7", "pytorch-cuda", "==11.7.*", "11.7", "pytorch-cuda", "", ""),
    ("python=3.9", "python", "==3.9.*", "3.9", "python", "", ""),
    ("NumPy", "numpy", "", None, "numpy", "", ""),
    ("python_abi", "python-abi", "", None, "python_abi", "", ""),
]


@pytest.mark.parametrize("spec", SPECS, ids=[one[0] for one in SPECS])
@pytest.mark.parametrize("where", ["words", "file"])
def test_specifications(spec: tuple[str, str, str, str | None, str, str, str], where: str) -> None:
    text, name, specifier, version, conda, build, channel = spec
    if where == "words":
        [request] = install_of(f"conda install -y {text}").requests
    else:
        files = {"e.yml": f"dependencies:\n  - {text}\n"}
        [request] = install_of("COPY e.yml .\nRUN conda env create -f e.yml", files).requests
    assert (request.name, request.specifier, request.conda, request.build, request.index) == (
        name,
        specifier,
        conda,
        build,
        channel,
    )
    assert (request.version.text if request.version else None) == version
    if request.versions is not None:
        assert request.versions.text in text


ENVIRONMENT = """\
name: ml
channels:
  - pytorch
  - nvidia
dependencies:
  - python=3.10  # why
  - "pytorch=2.1"
  - pip
  - pip:
    - transformers==4.40
    - 'numpy<2'
    - -r requirements.txt
    - --extra-index-url https://e
    - git+https://h/o/r
"""

FILES = {"environment.yml": ENVIRONMENT, "requirements.txt": "more==1\n"}

COMMANDS = [
    ("conda env create -f environment.yml", "conda:ml"),
    ("conda env create", "conda:ml"),
    ("conda env create --file=environment.yml --name other", "conda:other"),
    ("mamba env update -n base -f environment.yml", ""),
    ("micromamba create -y -f environment.yml", "conda:ml"),
    ("micromamba install -y -n base -f environment.yml", ""),
    ("conda env create -p /opt/e -f environment.yml", "/opt/e"),
]


@pytest.mark.parametrize(("command", "environment"), COMMANDS, ids=[one[0] for one in COMMANDS])
def test_environment_files(command: str, environment: str) -> None:
    conda, pip = installs_of(stage_of(f"COPY . .\nRUN {command}", FILES))
    assert (conda.tool, pip.tool) == ("conda", "pip")
    assert shorts(conda) == ["python==3.10.*", "torch==2.1.*", "pip"]
    assert {"channel=pytorch", "channel=nvidia"} <= conda.flags
    assert shorts(pip) == ["transformers==4.40", "numpy<2", "more==1", "r @git+https://h/o/r"]
    assert pip.extra_indexes == ("https://e",)
    assert conda.environment == pip.environment == environment
    assert [one.at.text for one in conda.requests] == ["python=3.10", '"pytorch=2.1"', "pip"]
    assert [one.versions.text for one in pip.requests if one.versions] == ["==4.40", "<2", "==1"]
    assert pip.requests[0].at.place.line == 10
    assert conda.requests[0].style == "conda"


def test_an_environment_file_alone() -> None:
    story = story_of(FILES)
    assert story.python == "3.10"
    by_tool = [[one.tool for one in installs_of(stage)] for stage in story.stages]
    assert by_tool == [["pip"], ["conda", "pip"]]


def test_lists_of_specifications() -> None:
    files = {"specs.txt": "# first\npytorch=2.1\nnumpy\n@EXPLICIT\n"}
    install = install_of("COPY . .\nRUN conda create -n x --file specs.txt python=3.9", files)
    assert shorts(install) == ["python==3.9.*", "torch==2.1.*", "numpy"]
    assert install.requests[1].at.text == "pytorch=2.1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: b\n",
        "dependencies: x\n",
        "dependencies: [1, [2], {pip: x}, {pip: [1]}]\n",
        "\t",
        "- a\n",
        "name: [x]\nchannels: y\ndependencies: []\n",
    ],
)
def test_absurd_environment_files_do_not_crash(text: str) -> None:
    stage_of("COPY . .\nRUN conda env create -f environment.yml", {"environment.yml": text})
    story_of({"environment.yml": text})
