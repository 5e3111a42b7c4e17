"""A requirement file is found wherever the Dockerfile has put it, and is not found where it is not."""

from __future__ import annotations

import pytest

from support.stories import install_of, installs_of, shorts, stage_of, story_of

FILES = {
    "requirements.txt": "torch==2.1\n",
    "requirements/base.txt": "base\n-r more.txt\n",
    "requirements/more.txt": "more\n",
    "docker/req.txt": "nested\n",
}

FOUND = [
    ("COPY requirements.txt .\nRUN pip install -r requirements.txt", ["torch==2.1"]),
    ("COPY requirements.txt /tmp/\nRUN pip install -r /tmp/requirements.txt", ["torch==2.1"]),
    ("COPY requirements.txt /tmp\nRUN pip install -r /tmp/requirements.txt", ["torch==2.1"]),
    ("COPY requirements.txt /tmp/r.txt\nRUN pip install -r /tmp/r.txt", ["torch==2.1"]),
    ("COPY ./requirements.txt ./\nRUN pip install -rrequirements.txt", ["torch==2.1"]),
    ("COPY . .\nRUN pip install --requirement=requirements.txt", ["torch==2.1"]),
    ("COPY . /app\nWORKDIR /app\nRUN pip install -r docker/req.txt", ["nested"]),
    ("WORKDIR /app\nCOPY . .\nRUN cd docker && pip install -r req.txt", ["nested"]),
    ("WORKDIR /app\nWORKDIR docker\nCOPY docker .\nRUN pip install -r /app/docker/req.txt", ["nested"]),
    ("COPY requirements/ /tmp/r/\nRUN pip install -r /tmp/r/base.txt", ["base", "more"]),
    ("COPY requirements /tmp/r\nRUN pip install -r /tmp/r/base.txt", ["base", "more"]),
    ("COPY req*.txt /tmp/\nRUN pip install -r /tmp/requirements.txt", ["torch==2.1"]),
    ("COPY docker/*.txt requirements.txt /tmp/\nRUN pip install -r /tmp/req.txt", ["nested"]),
    ("ADD requirements.txt /r.txt\nRUN pip install -r /r.txt", ["torch==2.1"]),
    ('COPY ["requirements.txt", "/a b/"]\nRUN pip install -r "/a b/requirements.txt"', ["torch==2.1"]),
    ("ENV D=/srv\nCOPY requirements.txt $D/\nRUN pip install -r $D/requirements.txt", ["torch==2.1"]),
    ("COPY --parents docker/req.txt /x/\nRUN pip install -r /x/docker/req.txt", ["nested"]),
    (
        "RUN --mount=type=bind,source=requirements.txt,target=/tmp/q.txt pip install -r /tmp/q.txt",
        ["torch==2.1"],
    ),
    (
        "WORKDIR /w\nRUN --mount=type=cache,target=/root/.cache --mount=target=.,source=. pip install -r requirements.txt",
        ["torch==2.1"],
    ),
    ("COPY <<EOF /r.txt\nx==1\nEOF\nRUN pip install -r /r.txt", ["x==1"]),
    ("COPY <<a <<b /d/\nx==1\na\ny==2\nb\nRUN pip install -r /d/b", ["y==2"]),
    ("RUN <<EOF\ncat > r.txt <<END\nx==1\ny\nEND\npip install -r r.txt\nEOF", ["x==1", "y"]),
    ("RUN echo 'x==1' > r.txt && pip install -r r.txt", ["x==1"]),
    ("RUN echo x==1 > r.txt && echo y >> r.txt && pip install -r r.txt", ["x==1", "y"]),
    ("RUN printf 'x==1\\ny<2\\n' > /r.txt && pip install -r /r.txt", ["x==1", "y<2"]),
    ("RUN printf '%s\\n' x==1 y > /r.txt && pip install -r /r.txt", ["x==1", "y"]),
    ("RUN echo 'x' | tee /r.txt\nRUN pip install -r /r.txt", []),
    ("COPY . .\nRUN cp requirements.txt /b.txt && pip install -r /b.txt", ["torch==2.1"]),
    ("COPY . .\nRUN mv docker /other\nRUN pip install -r /other/req.txt", ["nested"]),
    ("COPY . .\nRUN grep -v torch requirements.txt > r.txt && pip install -r r.txt", []),
    ("COPY . .\nRUN grep -viE '^(Torch|x)==' requirements.txt > r.txt && pip install -r r.txt", []),
    ("COPY . .\nRUN grep -v numpy requirements.txt > r.txt && pip install -r r.txt", ["torch==2.1"]),
    ("COPY . .\nRUN sed -i '/^torch/d' requirements.txt && pip install -r requirements.txt", []),
    (
        "COPY . .\nRUN sed -i -e '/numpy/d' requirements.txt && pip install -r requirements.txt",
        ["torch==2.1"],
    ),
    ("COPY . .\nRUN pip install $(cat requirements.txt)", ["torch==2.1"]),
    # The base image's own WORKDIR is not known; the file must be in it, or the build would fail.
    ("COPY requirements.txt /workspace\nRUN pip install -r requirements.txt", ["torch==2.1"]),
]


@pytest.mark.parametrize(("text", "expected"), FOUND, ids=[one[0][:90] for one in FOUND])
def test_files_are_found(text: str, expected: list[str]) -> None:
    install = install_of(text, FILES)
    assert shorts(install) == expected
    for request in install.requests:
        assert request.at.text.startswith(request.name)


NOT_FOUND = [
    "RUN pip install -r requirements.txt",
    "COPY docker /tmp\nRUN pip install -r /tmp/requirements.txt",
    "COPY requirements.txt /a/\nRUN pip install -r /b/requirements.txt",
    "COPY --from=python:3.11 requirements.txt .\nRUN pip install -r requirements.txt",
    "RUN --mount=type=bind,source=requirements.txt,target=/q.txt true\nRUN pip install -r /q.txt",
    "ADD https://h/requirements.txt .\nRUN pip install -r requirements.txt",
    "COPY . .\nRUN uv export -o requirements.txt && pip install -r requirements.txt",
    "COPY . .\nRUN pip-compile --output-file=requirements.txt && pip install -r requirements.txt",
    "COPY . .\nRUN pip freeze > requirements.txt && pip install -r requirements.txt",
    "COPY . .\nRUN sed -i 's/2.1/2.2/' requirements.txt && pip install -r requirements.txt",
    "COPY . .\nRUN grep torch -v -f x requirements.txt > r.txt && pip install -r r.txt",
    "WORKDIR /\nCOPY requirements.txt /workspace\nRUN pip install -r requirements.txt",
    "COPY $UNKNOWN .\nRUN pip install -r requirements.txt",
]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_files_are_not_found(text: str) -> None:
    install = install_of(text, FILES)
    assert install.requests == ()
    assert "not among the files" in install.unread[0]


def test_files_come_from_other_stages() -> None:
    files = {
        "Dockerfile": "FROM a AS one\nCOPY requirements.txt /x/\nRUN python -m venv /venv\n"
        "FROM b\nCOPY --from=one /x /y\nCOPY --from=0 /venv /srv/venv\nENV PATH=/srv/venv/bin:$PATH\n"
        "RUN --mount=from=one,source=/x/requirements.txt,target=/m.txt pip install -r /m.txt -r /y/requirements.txt\n"
        "FROM one\nRUN pip install -r /x/requirements.txt\n",
        **FILES,
    }
    story = story_of(files)
    [second] = installs_of(story.stages[1])
    assert shorts(second) == ["torch==2.1", "torch==2.1"]
    assert second.environment == story.stages[1].python_environment == "/srv/venv"
    [third] = installs_of(story.stages[2])
    assert shorts(third) == ["torch==2.1"]


def test_options_in_files_count_for_the_whole_install() -> None:
    files = {
        "r.txt": "-i https://i\n--extra-index-url https://e --pre\n-f https://f\n-c c.txt\na==1 --index-url https://own\nb\n",
        "c.txt": "numpy<2\n",
    }
    install = install_of("COPY . .\nRUN pip install -r r.txt", files)
    assert (install.index, install.extra_indexes, install.find_links) == (
        "https://i",
        ("https://e",),
        ("https://f",),
    )
    assert "pre" in install.flags
    assert [(one.name, one.index) for one in install.requests] == [("a", "https://own"), ("b", "")]
    assert [(one.name, one.specifier) for one in install.constraints] == [("numpy", "<2")]
    assert sorted(one.path for one in install.files) == ["c.txt", "r.txt"]


def test_constraints_from_options_and_variables() -> None:
    files = {"c.txt": "a<2\n", "d.txt": "b<3\n"}
    install = install_of("COPY . /\nENV PIP_CONSTRAINT=/d.txt\nRUN pip install -c /c.txt a", files)
    assert [one.name for one in install.constraints] == ["a", "b"]
    assert shorts(install) == ["a"]


LINES = [
    ("torch==2.1 ; python_version<'3.12'  # why", "torch==2.1", 'python_version < "3.12"'),
    ("a[b]~=1.0", "a[b]~=1.0", ""),
    ("-e git+https://h/o/r.git#egg=name", "name @git+https://h/o/r.git", ""),
    ("git+https://h/o/apex", "apex @git+https://h/o/apex", ""),
    (
        "https://h/x-1.0-cp310-cp310-linux_x86_64.whl ; sys_platform=='linux'",
        "x==1.0 @https://h/x-1.0-cp310-cp310-linux_x86_64.whl",
        "sys_platform=='linux'",
    ),
    ("a @ file:///x/a-2.0-py3-none-any.whl", "a==2.0 @file:///x/a-2.0-py3-none-any.whl", ""),
    ("torch==${T}", "torch==2.5", ""),
]


@pytest.mark.parametrize(("line", "expected", "marker"), LINES, ids=[one[0] for one in LINES])
def test_lines(line: str, expected: str, marker: str) -> None:
    install = install_of("ENV T=2.5\nCOPY r.txt .\nRUN pip install -r r.txt", {"r.txt": f"# first\n{line}\n"})
    assert shorts(install) == [expected]
    assert install.requests[0].marker == marker
    assert install.requests[0].at.place.line == 2
    assert install.requests[0].style == "lines"


def test_merge_conflicts_are_named_and_the_rest_is_read() -> None:
    text = "a\n<<<<<<< HEAD\ntorch==2.1\n=======\ntorch==2.2\n>>>>>>> main\n"
    install = install_of("COPY r.txt .\nRUN pip install -r r.txt", {"r.txt": text})
    assert shorts(install) == ["a", "torch==2.1", "torch==2.2"]
    assert [one.split(" ")[0] for one in install.unread] == ["r.txt:2", "r.txt:4", "r.txt:6"]


def test_files_with_hashes_cannot_be_edited_line_by_line() -> None:
    text = "a==1 \\\n    --hash=sha256:00\nb==2 --hash=sha256:11\n"
    install = install_of("COPY r.txt .\nRUN pip install -r r.txt", {"r.txt": text})
    assert shorts(install) == ["a==1", "b==2"]
    assert [(one.locked, one.versions) for one in install.requests] == [(True, None), (True, None)]


def test_files_that_include_each_other_end() -> None:
    install = install_of("COPY . .\nRUN pip install -r a", {"a": "-r b\nx\n", "b": "-r a\ny\n"})
    assert shorts(install) == ["x", "y"]


def test_files_that_everything_is_copied_over_end() -> None:
    copies = "".join(f"COPY a{n} /\nRUN cp -r b{n} /\n" for n in range(60))
    [install] = installs_of(stage_of(f"{copies}RUN pip install -r gone.txt"))
    assert install.unread == ("/gone.txt is not among the files",)


def test_patterns_that_would_take_forever_are_not_tried() -> None:
    files = {"r.txt": "a" * 1000 + "\n"}
    for pattern in ("'(a*)*b'", "'a*a*a*a*b'", "'(a|a)+b'"):
        install = install_of(f"COPY . .\nRUN grep -vE {pattern} r.txt > s.txt && pip install -r s.txt", files)
        assert install.requests == ()


def test_hundreds_of_appended_lines_end() -> None:
    lines = " && ".join(f"echo p{n} >> r.txt" for n in range(600))
    stage = stage_of(f"RUN {lines}\nRUN pip install -r r.txt")
    assert len(installs_of(stage)) == 1
