"""Every command and every configuration in the README and the docs is run here. See CONTRIBUTING.md for the marks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from seatrial.config import check_text

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: the page, its line there, the mark before it, its language and text."""

    page: str
    line: int
    mark: str
    kind: str
    body: str


class Command(NamedTuple):
    """A line that a reader types, and what the page says it prints."""

    text: str
    prints: list[str]


def blocks(kind: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            if match["kind"] == kind:
                line = text.count("\n", 0, match.start()) + 1
                found.append(
                    Block(str(page.relative_to(ROOT)), line, match["mark"] or "", kind, match["body"])
                )
    return found


def commands(body: str) -> list[Command]:
    found: list[Command] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], []))
        elif found:
            found[-1].prints.append(line)
    return found


CONSOLE = blocks("console")
RUN = {
    page: [one for one in CONSOLE if one.page == page and not one.mark.startswith("not run: ")]
    for page in sorted({one.page for one in CONSOLE})
}


@pytest.mark.parametrize("page", [page for page, found in RUN.items() if found])
def test_the_commands_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    """One reader goes through the page from the top, in a folder of their own."""
    shutil.copytree(ROOT / "examples", tmp_path / "work/examples")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SEATRIAL_HOME": str(tmp_path / "state"),
        "SEATRIAL_CACHE": str(tmp_path / "cache"),
    }
    for block in RUN[page]:
        allowed = exit_codes(block.mark)
        for command in commands(block.body):
            done = subprocess.run(
                ["bash", "-c", command.text],
                cwd=tmp_path / "work",
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
                check=False,
            )
            where = f"{page}:{block.line}: $ {command.text}\n{done.stdout}"
            assert done.returncode in allowed, f"exit code {done.returncode} in {where}"
            assert prints(done.stdout, command.prints), f"other output in {where}"


def exit_codes(mark: str) -> set[int]:
    said = re.fullmatch(r"exits (\d+(?: or \d+)*)", mark)
    return {int(one) for one in said[1].split(" or ")} if said else {0}


def prints(output: str, expected: list[str]) -> bool:
    """Whether the output has the expected lines in this order; `…` stands for anything."""
    position = 0
    for line in (one.strip() for one in expected):
        if not line.strip("…"):
            continue
        pattern = r"\s+".join(re.escape(word).replace("…", ".*") for word in line.split())
        match = re.compile(pattern).search(output, position)
        if match is None:
            return False
        position = match.end()
    return True


def test_marks_are_known_and_give_reasons() -> None:
    for block in [*CONSOLE, *blocks("yaml")]:
        if block.mark:
            known = re.fullmatch(r"not run: .{10,}|exits \d+( or \d+)*|not seatrial\.yaml: .{3,}", block.mark)
            assert known, f"{block.page}:{block.line}: {block.mark}"


def test_commands_stand_in_console_blocks_only() -> None:
    for kind in ("sh", "bash", "shell", "text"):
        assert [f"{one.page}:{one.line}" for one in blocks(kind) if one.body.startswith("$ ")] == []


@pytest.mark.parametrize(
    "block",
    [one for one in blocks("yaml") if not one.mark.startswith("not seatrial.yaml: ")],
    ids=lambda one: f"{one.page}:{one.line}",
)
def test_a_configuration_in_the_docs_has_no_mistake(block: Block) -> None:
    assert check_text(f"{block.page}:{block.line}", block.body) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for match in LINK.finditer(FENCE.sub("", page.read_text())):
        target, _, anchor = match["target"].partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        place = (page.parent / target) if target else page
        assert place.exists(), match["target"]
        if anchor:
            titles = re.findall(r"^#+ (.+)$", place.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in titles}


def test_every_page_can_be_reached_from_the_index() -> None:
    docs = ROOT / "docs"
    linked = {
        (docs / match["target"].partition("#")[0]).resolve()
        for match in LINK.finditer((docs / "index.md").read_text())
    }

    assert {one for one in docs.rglob("*.md") if one.name != "index.md"} - linked == set()


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()

    assert "$ make demo" in text
    assert "$ make test" in text
