"""Fixing removes the finding, brings no other, is done once, and touches nothing but the version that it changes."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seatrial.checking.fixing import Choice, fix
from seatrial.checking.run import Report, check, image_options
from seatrial.findings import SEVERITIES

BOM = b"\xef\xbb\xbf"
FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class Conflict(NamedTuple):
    """Two pins that do not go together, and the version that each alternative gives one of them."""

    rule: str
    names: tuple[str, str]
    versions: tuple[str, str]
    alternatives: tuple[tuple[str, str], ...]


PAIR = Conflict(
    "image/torch-pair",
    ("torch", "torchvision"),
    ("2.4.0", "0.20.1"),
    (("2.4.0", "0.19.0"), ("2.5.1", "0.20.1")),
)
ABI = Conflict(
    "image/numpy-abi",
    ("onnxruntime", "numpy"),
    ("1.17.3", "2.0.2"),
    (("1.17.3", "1.26.4"), ("1.19.0", "2.0.2")),
)


class Draft(NamedTuple):
    """A file whose two versions are still to be filled in, as `<0>` and `<1>`."""

    path: str
    template: str
    newline: str
    bom: bool

    def bytes(self, versions: tuple[str, str]) -> bytes:
        text = self.template.replace("<0>", versions[0]).replace("<1>", versions[1])
        return BOM * self.bom + text.replace("\n", self.newline).encode()


conflicts = st.sampled_from([PAIR, ABI])
blanks = st.sampled_from(["", " ", "  ", "\t"])
comments = st.sampled_from(
    ["", "  # keep", " # torchvision==0.20.1 was chosen", "  # numpy==2.0.2: naïve, see №1 🚀", " #"]
)
spellings = st.sampled_from(["lower", "title", "upper"])
fillers = ["", "# torchvision==0.20.1", "#numpy==2.0.2", "flask", "requests >= 2.31  # http", "tqdm"]


@st.composite
def drafts(draw: st.DrawFn, path: str, template: str) -> Draft:
    end = draw(st.sampled_from(["\n", ""]))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return Draft(path, template.rstrip("\n") + end, newline, draw(st.booleans()))


@st.composite
def shuffled(draw: st.DrawFn, own: list[str], others: list[str]) -> list[str]:
    """Own lines among others, in any order."""
    return draw(st.permutations([*own, *draw(st.lists(st.sampled_from(others), max_size=4))]))


@st.composite
def requirement_files(draw: st.DrawFn, conflict: Conflict) -> Draft:
    lines = []
    for number, name in enumerate(conflict.names):
        written = str(getattr(name, draw(spellings))())
        extras = draw(st.sampled_from(["", "[extra]", " [ extra ]"]))
        equals = draw(st.sampled_from(["==", " == ", " ==", "== "]))
        marker = draw(
            st.sampled_from(
                ["", " ; python_version >= '3.8'", ';sys_platform=="linux"', " \\\n  ; os_name == 'posix'"]
            )
        )
        lines.append(f"{draw(blanks)}{written}{extras}{equals}<{number}>{marker}{draw(comments)}")
    return draw(drafts("requirements.txt", "\n".join(draw(shuffled(lines, fillers)))))


@st.composite
def dockerfiles(draw: st.DrawFn, conflict: Conflict) -> Draft:
    arguments, words = [], []
    for number, name in enumerate(conflict.names):
        form = draw(st.sampled_from(["plain", "double", "single", "argument", "braced", "environment"]))
        variable = f"{name.upper()}_VERSION"
        match form:
            case "argument" | "braced":
                value = draw(st.sampled_from([f"<{number}>", f'"<{number}>"']))
                arguments.append(f"ARG {variable}={value}")
                word = f"{name}==${{{variable}}}" if form == "braced" else f'"{name}==${variable}"'
            case "environment":
                arguments.append(f"ENV {variable}=<{number}>")
                word = f"{name}==${variable}"
            case _:
                quote = {"plain": "", "double": '"', "single": "'"}[form]
                word = f"{quote}{name}==<{number}>{quote}"
        words.append(word)
    run = draw(st.sampled_from(["RUN", "run", "RUN --mount=type=cache,target=/root/.cache"]))
    tool = draw(st.sampled_from(["pip install", "pip3 install --no-cache-dir", "python -m pip install -q", "uv pip install --system"]))  # fmt: skip
    words = draw(st.permutations([*words, *draw(st.sampled_from([[], ["flask"], ["tqdm", "flask"]]))]))
    between = draw(st.sampled_from([" ", " \\\n    ", "  \\\n# numpy==2.0.2\n\t"]))
    before = draw(st.sampled_from(["", "apt-get update && ", "set -eux; \\\n    "]))
    after = draw(st.sampled_from(["", " && rm -rf /root/.cache", "; echo 'torchvision==0.20.1'"]))
    command = f"{run} {before}{tool} {between.join(words)}{after}"
    if draw(st.booleans()):
        apart = between.split("#")[0]  # in a shell, a comment ends what is continued
        command = f"{run} <<EOF\n# numpy==2.0.2\n{tool} {apart.join(words)}\nEOF"
    lines = [
        *draw(st.sampled_from([[], ["# syntax=docker/dockerfile:1"]])),
        draw(st.sampled_from(["FROM python:3.11-slim", "from  python:3.10-slim-bookworm AS app"])),
        *arguments,
        *draw(st.sampled_from([[], [""], ["# numpy==2.0.2"], ["WORKDIR /app"]])),
        command,
        *draw(st.sampled_from([[], ['CMD ["python"]'], ["# the end"]])),
    ]
    return draw(drafts("Dockerfile", "\n".join(lines)))


@st.composite
def projects(draw: st.DrawFn, conflict: Conflict) -> Draft:
    quote = draw(st.sampled_from(['"', "'"]))
    space = draw(st.sampled_from(["", " "]))
    items = [f"{quote}{name}{space}=={space}<{number}>{quote}" for number, name in enumerate(conflict.names)]
    items = draw(shuffled(items, ["'flask'", '"tqdm >= 4"']))
    style = draw(st.sampled_from(["lines", "line"]))
    if style == "line":
        written = f"[{space}{', '.join(items)}{space}]"
    else:
        rows = [f"  {one},{draw(comments)}\n" for one in items]
        written = f"[{draw(comments)}\n{''.join(rows)}]"
    extra = draw(st.sampled_from(["", '\n[tool.ruff]\nline-length = 99  # "numpy==2.0.2"\n']))
    text = f'[project]\nname = "x"\nversion = "1"\ndependencies = {written}\n{extra}'
    return draw(drafts("pyproject.toml", text))


@st.composite
def environments(draw: st.DrawFn, conflict: Conflict) -> Draft:
    indent = draw(st.sampled_from(["", "  "]))
    quote = draw(st.sampled_from(["", '"', "'"]))
    rows = [
        f"{indent}  - {quote}{name}==<{number}>{quote}{draw(comments)}"
        for number, name in enumerate(conflict.names)
    ]
    rows = draw(shuffled(rows, [f"{indent}  - flask", f"{indent}  # numpy==2.0.2"]))
    head = draw(st.sampled_from(["name: x\n", "# torchvision==0.20.1\nname: x\nchannels: [conda-forge]\n"]))
    text = f"{head}dependencies:\n{indent}- python=3.11\n{indent}- pip\n{indent}- pip:\n" + "\n".join(rows)
    return draw(drafts("environment.yml", text))


@st.composite
def poetry_projects(draw: st.DrawFn, conflict: Conflict) -> Draft:
    forms = [
        '{0} = "<{1}>"',
        "{0} = '==<{1}>'",
        '"{0}"="<{1}>"',
        '{0} = {{ version = "<{1}>", extras = ["x"] }}',
    ]
    rows = [
        draw(st.sampled_from(forms)).format(name, number) + draw(comments)
        for number, name in enumerate(conflict.names)
    ]
    rows = draw(shuffled(rows, ["# numpy==2.0.2", 'flask = "^3.0"']))
    rows = list(dict.fromkeys(rows))
    text = '[tool.poetry]\nname = "x"\nversion = "2.0.2"\n\n[tool.poetry.dependencies]\npython = "3.11"\n'
    return draw(drafts("pyproject.toml", text + "\n".join(rows)))


KINDS = {
    "requirements": requirement_files,
    "dockerfile": dockerfiles,
    "pyproject": projects,
    "poetry": poetry_projects,
    "conda": environments,
}


def wrong(report: Report) -> Counter[tuple[str, str]]:
    return Counter((one.rule, one.message) for one in report.findings if one.severity != "note")


def fixed(folder: Path, report: Report, rule: str, alternative: int) -> Report:
    choice = Choice(
        unsafe=True,
        rules=frozenset({rule}),
        severities=frozenset(SEVERITIES[:2]),
        alternative=alternative,
        singly=True,
    )
    return fix([folder], report, image_options({}, offline=True), choice).report


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(data=st.data())
def test_a_fix_changes_one_version_and_nothing_else(kind: str, data: st.DataObject) -> None:
    conflict = data.draw(conflicts)
    draft = data.draw(KINDS[kind](conflict))
    alternative = data.draw(st.sampled_from([1, 2]))
    options = image_options({}, offline=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / draft.path
        file.write_bytes(draft.bytes(conflict.versions))
        before = check([folder], options)
        assert conflict.rule in {one.rule for one in before.findings}, draft.bytes(conflict.versions)

        after = fixed(folder, before, conflict.rule, alternative)

        expected = draft.bytes(conflict.alternatives[alternative - 1])
        assert file.read_bytes() == expected
        assert conflict.rule not in {one.rule for one in after.findings}
        assert not wrong(after) - wrong(before)
        again = fixed(folder, check([folder], options), conflict.rule, alternative)
        assert file.read_bytes() == expected
        assert wrong(again) == wrong(after)


@st.composite
def old_bases(draw: st.DrawFn) -> Draft:
    tag = draw(st.sampled_from(["10.2-base", "10.2-cudnn7-devel-ubuntu18.04", "10.2-devel"]))
    name = draw(st.sampled_from(["nvidia/cuda", "docker.io/nvidia/cuda"]))
    form = draw(st.sampled_from(["plain", "tag", "whole"]))
    head, reference = {
        "plain": ([], f"{name}:{tag}"),
        "tag": ([f"ARG TAG={tag}  "], f"{name}:${{TAG}}"),
        "whole": ([f'ARG BASE="{name}:{tag}"'], "$BASE"),
    }[form]
    lines = [
        *draw(st.sampled_from([[], ["# nvidia/cuda:10.2-base"], [""]])),
        *head,
        f"FROM {draw(blanks)}{reference}{draw(st.sampled_from(['', ' AS gpu', '  as  gpu']))}",
        "RUN nvcc --version  # 10.2-base",
    ]
    return draw(drafts("Dockerfile", "\n".join(lines)))


@FEW
@given(draft=old_bases())
def test_a_base_that_is_gone_is_exchanged_where_its_tag_is_written(draft: Draft) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / draft.path
        file.write_bytes(draft.bytes(("", "")))
        before = check([folder], image_options({}, offline=True))
        assert "image/tag-removed" in {one.rule for one in before.findings}

        after = fixed(folder, before, "image/tag-removed", 1)

        assert "image/tag-removed" not in {one.rule for one in after.findings}
        assert not wrong(after) - wrong(before)
        old, new = draft.bytes(("", "")).split(b"\n"), file.read_bytes().split(b"\n")
        assert len(old) == len(new)
        assert sum(one != other for one, other in zip(old, new, strict=True)) == 1
        done = file.read_bytes()
        fixed(folder, check([folder], image_options({}, offline=True)), "image/tag-removed", 1)
        assert file.read_bytes() == done
