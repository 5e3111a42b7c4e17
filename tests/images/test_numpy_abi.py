"""image/numpy-abi finds what no resolver sees, and keeps quiet where a resolver, a marker or a cap takes care of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from seatrial.images import facts
from seatrial.images.requirements import RequirementSet, from_pyproject, gather
from seatrial.images.rules import check_requirements, check_resolved
from seatrial.sources.edits import edited, select
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.findings import Finding, Fix

ORT = "onnxruntime==1.17.3\n"


def asked(text: str, **others: str) -> RequirementSet:
    files = {name.replace("_", "."): Source(name.replace("_", "."), body) for name, body in others.items()}
    return gather(Source("requirements.txt", text), files.get)


def severities(text: str, python: str | None = None, **others: str) -> list[str]:
    return [one.severity for one in check_requirements(asked(text, **others), python=python)]


def applied(files: RequirementSet, fix: Fix | None) -> Mapping[str, str]:
    assert fix is not None
    sources = {one.path: one for one in files.sources}
    return {path: edited(sources[path], spans).text for path, spans in select([fix], sources).edits.items()}


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
    (one,) = check_requirements(asked(text))
    assert "Python 3.12 and 3.13" in one.message


def test_includes_and_constraints_count() -> None:
    assert severities("-r base.txt\nnumpy==2.0.2\n", base_txt=ORT) == ["error"]
    assert severities("-c limits.txt\n" + ORT, limits_txt="numpy<2\n") == []
    assert severities("-c limits.txt\nonnxruntime\nnumpy\n", limits_txt=ORT) == ["warning"]
    assert severities("-c limits.txt\nflask\nnumpy==2.0.2\n", limits_txt=ORT) == []
    assert severities("-r requirements.txt\n-r gone.txt\n" + ORT) == ["warning"]


def test_the_place_is_the_line_that_asks_for_the_package() -> None:
    files = asked("-r base.txt\nnumpy==2.0.2\n", base_txt="# c\n\n  " + ORT)
    (one,) = check_requirements(files)

    assert (one.path, one.line, one.column) == ("base.txt", 3, 3)


@pytest.mark.parametrize(
    ("numpy", "fixed"),
    [
        ("numpy==2.0.2  # why", "numpy==1.26.4  # why"),
        ("numpy == 2.0.2", "numpy == 1.26.4"),
        ("numpy>=2", "numpy>=1.26.4,<2"),
        ("numpy ~= 2.1 ; python_version > '3'", "numpy >=1.26.4,<2 ; python_version > '3'"),
        ("numpy", "numpy<2"),
        ("numpy # free", "numpy<2 # free"),
        ("numpy>=1.21", "numpy>=1.21,<2"),
        ("numpy >= 1.21, < 3", "numpy >= 1.21, <2"),
        ("numpy>=1.21,<=2.1", "numpy>=1.21,<2"),
        ("numpy (>=1.21)", "numpy (>=1.21,<2)"),
    ],
)
def test_the_fix_keeps_numpy_below_2_and_everything_else(numpy: str, fixed: str) -> None:
    files = asked(f"# head\r\n{ORT}{numpy}\r\n")
    (one,) = check_requirements(files)

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
        files = asked(before)
        (one,) = check_requirements(files)
        assert applied(files, one.fix) == {"requirements.txt": after}


def test_raising_the_package_is_offered_and_not_safe() -> None:
    for before, after in (
        ("onnxruntime==1.17.3", "onnxruntime==1.19.0"),
        ("onnxruntime<1.18", "onnxruntime>=1.19.0"),
        ("torch==2.1.0+cu118", "torch==2.3.0+cu118"),
    ):
        files = asked(f"{before}\nnumpy==2.0.2\n")
        (one,) = check_requirements(files)
        (other,) = one.alternatives
        assert not other.safe
        result = applied(files, other)["requirements.txt"]
        assert result == f"{after}\nnumpy==2.0.2\n"
        assert severities(result) == []


def test_where_numpy_1_has_no_wheels_only_raising_is_left() -> None:
    (one,) = check_requirements(asked(ORT + "numpy==2.1.0\n"), python="3.13")

    assert one.fix is not None
    assert one.fix.title == "Raise onnxruntime to 1.19.0"
    assert one.alternatives == ()


def test_lines_with_hashes_are_not_edited() -> None:
    text = "onnxruntime==1.17.3 \\\n    --hash=sha256:aa\nnumpy==2.0.2 \\\n    --hash=sha256:bb\n"
    (one,) = check_requirements(asked(text))

    assert (one.severity, one.fix, one.alternatives) == ("error", None, ())
    assert "hashes" in one.cause


def test_pyproject_is_judged_and_fixed_in_its_strings() -> None:
    text = '[build-system]\nrequires = ["numpy"]\n[project]\ndependencies = [\n  "onnxruntime==1.17.3", # x\n  \'numpy>=2\',\n]\n'
    files = from_pyproject(Source("pyproject.toml", text))
    (one,) = check_requirements(files)

    assert (one.severity, one.line, one.column) == ("error", 5, 4)
    assert applied(files, one.fix)["pyproject.toml"] == text.replace(">=2", ">=1.26.4,<2")


def test_numpy_is_added_to_pyproject() -> None:
    files = from_pyproject(Source("pyproject.toml", '[project]\ndependencies = ["onnxruntime==1.17.3"]\n'))
    (one,) = check_requirements(files)

    assert applied(files, one.fix)["pyproject.toml"].endswith('["onnxruntime==1.17.3", "numpy<2"]\n')


class TestResolved:
    RESOLVED = {"onnxruntime": "1.17.3", "numpy": "2.0.2", "flask": "3.0.0"}  # noqa: RUF012 - read only

    def found(
        self, resolved: Mapping[str, str], *sets: RequirementSet, python: str = "3.11"
    ) -> list[Finding]:
        return check_resolved(resolved, sets, python=python)

    def test_what_was_chosen_is_an_error(self) -> None:
        files = asked("flask\n" + ORT)
        (one,) = self.found(self.RESOLVED, files)

        assert (one.severity, one.path, one.line) == ("error", "requirements.txt", 2)
        assert "numpy 2.0.2" in one.message
        assert applied(files, one.fix)["requirements.txt"] == "flask\n" + ORT + "numpy<2\n"

    def test_what_was_brought_in_by_another_is_at_the_first_line(self) -> None:
        (one,) = self.found(self.RESOLVED, asked("# x\nsome-package\n"))

        assert (one.path, one.line, one.fix) == ("requirements.txt", 1, None)

    def test_where_numpy_is_asked_for_it_is_capped(self) -> None:
        files = asked("some-package\nnumpy\n")
        (one,) = self.found(self.RESOLVED, files)

        assert one.line == 2
        assert applied(files, one.fix)["requirements.txt"] == "some-package\nnumpy<2\n"

    @pytest.mark.parametrize(
        "change", [{"numpy": "1.26.4"}, {"onnxruntime": "1.19.0"}, {"onnxruntime": "1.20.1"}]
    )
    def test_what_fits_together_is_no_finding(self, change: dict[str, str]) -> None:
        assert self.found({**self.RESOLVED, **change}, asked(ORT)) == []

    def test_an_override_that_lifted_a_cap_is_seen(self) -> None:
        assert len(self.found({**self.RESOLVED, "onnxruntime": "1.18.1"}, asked(ORT))) == 1

    def test_names_are_compared_as_pip_compares_them(self) -> None:
        assert (
            len(self.found({"ONNXRuntime_GPU": "1.17.1", "NumPy": "2.1.0"}, asked("onnxruntime_gpu\n"))) == 1
        )


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
