"""Each kind of condition on a fix holds on files that fulfil it, and on no others."""

from __future__ import annotations

from typing import Any

import pytest

from support.conflict_fixes import accepts, holds

INDEX = "https://download.pytorch.org/whl"
WHEEL = "https://example.org/v2/some_thing-2.0+cu12torch9.0cxx11abiTRUE-cp310-cp310-linux_x86_64.whl"


def image(*lines: str, **files: str) -> dict[str, str]:
    return {"Dockerfile": "\n".join(lines), "requirements.txt": "", **files}


def listed(*lines: str) -> dict[str, str]:
    return {"requirements.txt": "\n".join(lines)}


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        ({"package": "some", "versions": "<2"}, listed("some<2"), listed("some")),
        ({"package": "some", "versions": "<2"}, listed("some>=1,<1.9"), listed("some<2.1")),
        ({"package": "some", "versions": "<2"}, listed("some==1.9.5+cu121"), listed("some==2.0.0")),
        ({"package": "some", "versions": ">=1.5"}, listed("some==1.5.*"), listed("some>=1.4")),
        (
            {"package": "some", "versions": "==1.5.0"},
            listed("Some == 1.5.0 ; python_version>'3'"),
            listed("some==1.5.*"),
        ),
        (
            {"package": "some-thing", "versions": "==2.0"},
            listed(f"some_thing @ {WHEEL}"),
            listed("some-thing==2.1"),
        ),
        (
            {"package": "some", "versions": "<2"},
            listed("some", "-c limits.txt", "some<2"),
            listed("some<2", "some>=2"),
        ),
        ({"package": "some", "label": "cpu"}, listed("some==1.0+cpu"), listed("some==1.0+cu121")),
        ({"absent": "some"}, listed("some-other", "# some"), listed("some")),
        ({"variant": "torch", "is": "cu121"}, listed(f"--index-url={INDEX}/cu121", "torch"), listed("torch")),
        (
            {"variant": "torch", "is": "cu121"},
            listed(f"--extra-index-url {INDEX}/cu121", "torch"),
            listed(f"torch --index-url {INDEX}/cu121"),
        ),
        (
            {"variant": "torch", "is": "cu121"},
            image("FROM a", f"ENV PIP_EXTRA_INDEX_URL={INDEX}/cu121", "RUN pip install torch"),
            image("FROM a", "ENV PIP_EXTRA_INDEX_URL=https://example.org", "RUN pip install torch"),
        ),
        (
            {"same_index": ["torch", "torchaudio"]},
            image("FROM a", f"RUN pip install torch torchaudio --index-url {INDEX}/cu121"),
            image("FROM a", f"RUN pip install torch -i {INDEX}/cu121 && pip install torchaudio"),
        ),
        (
            {"same_command": ["one", "two"]},
            image("FROM a", "RUN pip install one \\", "    two"),
            image("FROM a", "RUN pip install one; python -m pip install two"),
        ),
        (
            {"before": ["one", "two"]},
            image("FROM a", "RUN uv pip install --system one", "RUN pip3 install two"),
            image("FROM a", "RUN pip install two", "RUN pip install one"),
        ),
        (
            {"command_has": "--no-deps", "package": "one"},
            image("FROM a", "RUN pip install --no-deps -r requirements.txt", **{"requirements.txt": "one"}),
            image("FROM a", "RUN pip install -r requirements.txt", **{"requirements.txt": "one"}),
        ),
        (
            {"command_has": "--no-build-isolation", "package": "one"},
            image("FROM a", "RUN PIP_NO_BUILD_ISOLATION=0 pip install one"),
            image("FROM a", "RUN pip install one --no-build-isolation", "RUN pip install one"),
        ),
        ({"wheel": "some-thing", "matches": "abiTRUE"}, listed(WHEEL), listed("some-thing==2.0")),
        (
            {"base": r"some/image:1\.2"},
            image("ARG TAG=1.2-devel", "FROM --platform=linux/amd64 some/image:${TAG} AS x"),
            image("FROM other/some/image:1.2"),
        ),
        (
            {"system": "libsome"},
            image("FROM a", "RUN apt-get update && apt-get install -y libsome=1.0"),
            image("FROM a", "RUN apt-get install -y libsome-dev"),
        ),
        (
            {"env": "SOME", "lacks": "/bad"},
            image("FROM a", "ENV SOME=/good"),
            image("FROM a", "ENV SOME /x:/bad"),
        ),
        ({"env": "SOME", "is": ""}, image("FROM a", 'ENV SOME=""'), image("FROM a")),
        ({"dockerfile": "one.*two"}, image("FROM a", "RUN one two"), image("FROM a", "RUN two one")),
    ],
)
def test_a_condition(condition: dict[str, Any], yes: dict[str, str], no: dict[str, str]) -> None:
    assert holds(condition, yes)
    assert not holds(condition, no)


def test_an_alternative_holds_as_a_whole() -> None:
    files = listed("one==1.0.0", "two==2.0.0")
    one, two = {"package": "one", "versions": "==1.0.0"}, {"package": "two", "versions": "==3.0.0"}
    assert accepts([[two], [one]], files)
    assert not accepts([[one, two]], files)


def test_an_unknown_condition_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such condition"):
        holds({"spelled": "wrong"}, {})
