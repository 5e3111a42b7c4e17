"""image/numpy-abi finds what no resolver sees, and keeps quiet where a resolver, a marker or a cap takes care of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from seatrial.images import facts
from support.image_checks import applied, findings

if TYPE_CHECKING:
    from seatrial.findings import Finding

RULE = "image/numpy-abi"
ORT = "onnxruntime==1.17.3\n"


def check(text: str, python: str = "", **others: str) -> list[Finding]:
    files = {"requirements.txt": text, **{name.replace("_", "."): body for name, body in others.items()}}
    return findings(files, RULE, **({"python": python} if python else {}))


def severities(text: str, python: str = "", **others: str) -> list[str]:
    return [one.severity for one in check(text, python, **others)]


@pytest.mark.parametrize(
    "text",
    [
        ORT + "numpy==2.0.2\n",
        ORT + "numpy>=2\n",
        ORT + "numpy~=2.1\n",
        ORT + "numpy==2.*\n",
        "onnxruntime<1.18\nnumpy>=2.0,<3\n",
        "onnxruntime~=1.17.0\nNumPy == 2.0.2\n",
        "onnxruntime==1.17.*\nnumpy==2.0.2\n",
        "torch==2.1.0+cu118\nnumpy==2.0.2\n",
        "pandas==2.0.3\nnumpy>2.0\n",
        "onnxruntime==1.16.0; sys_platform == 'linux'\nnumpy==2.0.2\n",
    ],
)
def test_what_must_fail_is_an_error(text: str) -> None:
    assert severities(text) == ["error"]


@pytest.mark.parametrize(
    "text",
    [
        ORT,
        ORT + "numpy\n",
        ORT + "numpy>=1.21\n",
        ORT + "numpy>=1.21,<3\n",
        ORT + "numpy==1.26.4; python_version < '3.12'\nnumpy==2.0.2; python_version >= '3.12'\n",
        "torch==2.2.2\ntransformers\n",
        "opencv-python==4.9.0.80\n",
    ],
)
def test_what_is_left_open_is_a_warning(text: str) -> None:
    assert severities(text) == ["warning"]


@pytest.mark.parametrize(
    "text",
    [
        "onnxruntime\nnumpy==2.0.2\n",
        "onnxruntime==1.19.0\nnumpy==2.0.2\n",
        "onnxruntime>=1.17\nnumpy==2.0.2\n",
        "onnxruntime<1.20\nnumpy==2.0.2\n",
        "onnxruntime==1.18.1\nnumpy\n",
        ORT + "numpy<2\n",
        ORT + "numpy==1.26.4\n",
        ORT + "numpy~=1.26\n",
        ORT + "numpy==1.*\n",
        ORT + "numpy<=1.26.4\n",
        ORT + "scipy==1.10.1\n",
        ORT + "scikit-learn==1.3.2\nnumpy>=1.20\n",
        ORT.strip() + "; sys_platform == 'win32'\nnumpy==2.0.2\n",
        ORT.strip() + "; python_version < '3.9'\nnumpy\n",
        "onnxruntime @ https://example.com/onnxruntime-1.17.3.whl\nnumpy==2.0.2\n",
        "torch==2.2.2\n",
        "onnxruntime==1.10.0\nnumpy\n",
        "numpy==2.0.2\n",
        "",
    ],
)
def test_what_works_or_what_a_resolver_sees_is_no_finding(text: str) -> None:
    assert severities(text) == []


@pytest.mark.parametrize(("python", "found"), [("3.8", []), ("3.9", ["warning"]), ("3.11", ["warning"])])
def test_the_python_decides_what_a_resolver_chooses(python: str, found: list[str]) -> None:
    assert severities(ORT + "numpy\n", python) == found
    assert severities("onnxruntime==1.10.0\nnumpy\n", python) == found


def test_markers_are_judged_for_the_python() -> None:
    text = ORT + "numpy==1.26.4; python_version < '3.12'\nnumpy==2.0.2; python_version >= '3.12'\n"

    assert severities(text, "3.11") == []
    assert severities(text, "3.12") == ["error"]
    (one,) = check(text)
    assert "Python 3.12 and 3.13" in one.message


def test_includes_and_constraints_count() -> None:
    assert severities("-r base.txt\nnumpy==2.0.2\n", base_txt=ORT) == ["error"]
    assert severities("-c limits.txt\n" + ORT, limits_txt="numpy<2\n") == []
    assert severities("-c limits.txt\nonnxruntime\nnumpy\n", limits_txt=ORT) == ["warning"]
    assert severities("-c limits.txt\nflask\nnumpy==2.0.2\n", limits_txt=ORT) == []
    assert severities("-r requirements.txt\n" + ORT) == ["warning"]
    # What is not there may ask for an older numpy; it cannot make two that are asked for go together.
    assert severities("-r gone.txt\n" + ORT) == []
    assert severities("-r gone.txt\nnumpy==2.0.2\n" + ORT) == ["error"]


def test_the_place_is_the_line_that_asks_for_the_package() -> None:
    (one,) = check("-r base.txt\nnumpy==2.0.2\n", base_txt="# c\n\n  " + ORT)

    assert (one.path, one.line, one.column) == ("base.txt", 3, 3)


@pytest.mark.parametrize(
    ("numpy", "fixed"),
    [
        ("numpy==2.0.2  # why", "numpy==1.26.4  # why"),
        ("numpy == 2.0.2", "numpy == 1.26.4"),
        ("numpy>=2", "numpy>=1,<2"),
        ("numpy ~= 2.1 ; python_version > '3'", "numpy >=1,<2 ; python_version > '3'"),
        ("numpy", "numpy<2"),
        ("numpy # free", "numpy<2 # free"),
        ("numpy>=1.21", "numpy>=1.21,<2"),
        ("numpy >= 1.21, < 3", "numpy >= 1.21, <2"),
        ("numpy>=1.21,<=2.1", "numpy>=1.21,<2"),
        ("numpy (>=1.21)", "numpy (>=1.21,<2)"),
    ],
)
def test_the_fix_keeps_numpy_below_2_and_everything_else(numpy: str, fixed: str) -> None:
    files = {"requirements.txt": f"# head\r\n{ORT}{numpy}\r\n"}
    (one,) = findings(files, RULE)

    assert one.fix is not None
    assert one.fix.safe
    result = applied(files, one.fix)
    assert result == {"requirements.txt": f"# head\r\n{ORT}{fixed}\r\n"}
    assert severities(result["requirements.txt"]) == []


def test_numpy_is_added_where_nothing_asks_for_it() -> None:
    for before, after in (
        (
            "flask\r\nonnxruntime==1.17.3  # x\r\nuvicorn\r\n",
            "flask\r\nonnxruntime==1.17.3  # x\r\nnumpy<2\r\nuvicorn\r\n",
        ),
        ("onnxruntime==1.17.3", "onnxruntime==1.17.3\nnumpy<2"),
    ):
        files = {"requirements.txt": before}
        (one,) = findings(files, RULE)
        assert one.fix is not None
        assert applied(files, one.fix) == {"requirements.txt": after}


def test_raising_the_package_is_offered_and_not_safe() -> None:
    for before, after in (
        ("onnxruntime==1.17.3", "onnxruntime==1.19.0"),
        ("onnxruntime<1.18", "onnxruntime>=1.19.0"),
        ("torch==2.1.0+cu118", "torch==2.3.0+cu118"),
    ):
        extra = "--extra-index-url https://download.pytorch.org/whl/cu118\n" if "cu118" in before else ""
        files = {"requirements.txt": f"{extra}{before}\nnumpy==2.0.2\n"}
        (one,) = findings(files, RULE)
        (other,) = one.alternatives
        assert not other.safe
        result = applied(files, other)["requirements.txt"]
        assert result == f"{extra}{after}\nnumpy==2.0.2\n"
        assert severities(result) == []


def test_where_numpy_1_has_no_wheels_only_raising_is_left() -> None:
    (one,) = check(ORT + "numpy==2.1.0\n", python="3.13")

    assert one.fix is not None
    assert one.fix.title == "Raise onnxruntime to 1.19.0"
    assert one.alternatives == ()


def test_lines_with_hashes_are_not_edited() -> None:
    text = (
        "onnxruntime==1.17.3 \\\n    --hash=sha256:"
        + "a" * 64
        + "\nnumpy==2.0.2 \\\n    --hash=sha256:"
        + "b" * 64
        + "\n"
    )
    (one,) = check(text)

    assert (one.severity, one.fix, one.alternatives) == ("error", None, ())
    assert "compile it again" in one.cause


def test_pyproject_is_judged_and_fixed_in_its_strings() -> None:
    text = '[build-system]\nrequires = ["numpy"]\n[project]\nname = "x"\ndependencies = [\n  "onnxruntime==1.17.3", # x\n  \'numpy>=2\',\n]\n'
    files = {"pyproject.toml": text}
    (one,) = findings(files, RULE)
    assert one.fix is not None

    assert (one.severity, one.line, one.column) == ("error", 6, 4)
    assert applied(files, one.fix)["pyproject.toml"] == text.replace(">=2", ">=1,<2")


def test_numpy_is_added_to_pyproject() -> None:
    files = {"pyproject.toml": '[project]\nname = "x"\ndependencies = ["onnxruntime==1.17.3"]\n'}
    (one,) = findings(files, RULE)
    assert one.fix is not None

    assert applied(files, one.fix)["pyproject.toml"].endswith('["onnxruntime==1.17.3", "numpy<2"]\n')


IMAGE = "FROM python:3.11-slim\n"


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("RUN pip install onnxruntime==1.17.3\n", ["warning"]),
        ("RUN pip install onnxruntime==1.17.3 numpy==2.0.2\n", ["error"]),
        ("RUN pip install onnxruntime==1.17.3\nRUN pip install numpy==2.0.2\n", ["error"]),
        ("RUN pip install onnxruntime==1.17.3 numpy==2.0.2\nRUN pip install 'numpy<2'\n", []),
        ("RUN pip install 'numpy<2'\nRUN pip install onnxruntime==1.17.3\n", []),
        ("RUN pip install onnxruntime==1.17.3 numpy==2.0.2\nRUN pip install -U onnxruntime\n", []),
        ("RUN pip install onnxruntime==1.17.3\nRUN pip install numpy==2.0.2 || true\n", ["warning"]),
        ("RUN pip install 'numpy<2'\nRUN pip install pandas==2.0.3 pyarrow==14.0.2\n", []),
    ],
)
def test_an_image_is_judged_as_it_ends(steps: str, found: list[str]) -> None:
    assert [one.severity for one in findings({"Dockerfile": IMAGE + steps}, RULE)] == found


def test_a_base_that_is_not_known_may_have_numpy() -> None:
    base = "ARG BASE\nFROM $BASE\n"
    assert findings({"Dockerfile": base + "RUN pip install onnxruntime==1.17.3\n"}, RULE) == []
    both = {"Dockerfile": base + "RUN pip install onnxruntime==1.17.3 numpy==2.0.2\n"}
    assert [one.severity for one in findings(both, RULE)] == ["error"]


def test_another_file_of_the_same_image_can_cap_numpy() -> None:
    files = {
        "Dockerfile": IMAGE + "COPY *.txt ./\nRUN pip install -r a.txt -r b.txt\n",
        "a.txt": ORT,
        "b.txt": "numpy<2\n",
    }
    assert findings(files, RULE) == []
    assert len(findings({**files, "b.txt": "flask\n"}, RULE)) == 1


def test_the_pip_part_of_a_conda_environment_is_judged() -> None:
    text = "dependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - onnxruntime==1.17.3\n      - numpy==2.0.2\n"
    (one,) = findings({"environment.yml": text}, RULE)

    assert (one.severity, one.line) == ("error", 5)
    assert one.fix is not None
    assert applied({"environment.yml": text}, one.fix)["environment.yml"] == text.replace("2.0.2", "1.26.4")
    alone = "dependencies:\n  - python=3.11\n  - pandas=2.0.3\n  - numpy\n"
    assert findings({"environment.yml": alone}, RULE) == []


def test_the_facts_agree_with_themselves() -> None:
    known = facts.numpy_abi()
    names = [one.name for one in known.packages]

    assert len(names) == len(set(names))
    for one in known.packages:
        assert Version(one.below) <= Version(one.fixed)
        assert all(Version(version) < Version(one.below) for version in one.failed)
        assert all(Version(version) >= Version(one.fixed) for version in one.worked)
        assert (one.failed and one.worked) or one.same_as in names
        assert one.source.startswith("https://")
        assert one.how
        assert one.name == one.name.lower().replace("_", "-")
    for capped in known.capped:
        assert Version(capped.first) < Version(capped.end)
    for one in known.packages:
        between = [capped for capped in known.capped if capped.name == one.name]
        assert all(Version(capped.first) >= Version(one.below) for capped in between)
