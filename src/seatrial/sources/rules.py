"""What can be wrong with any file before its content means anything."""

from __future__ import annotations

from seatrial.findings import Rule

RULES: tuple[Rule, ...] = (
    Rule(
        id="source/unreadable",
        severity="error",
        title="A file cannot be read",
        explanation="The file exists but the operating system refuses to open it, so nothing in it was checked.",
        source="https://man7.org/linux/man-pages/man2/open.2.html",
    ),
    Rule(
        id="source/not-utf8",
        severity="error",
        title="A file is not UTF-8",
        explanation=(
            "YAML, JSON, TOML, Dockerfiles and requirement files are read as UTF-8 by the tools that use them. "
            "The place is the first byte that does not fit. Save the file as UTF-8."
        ),
        source="https://www.rfc-editor.org/rfc/rfc3629",
    ),
    Rule(
        id="source/merge-conflict",
        severity="error",
        title="Unresolved merge conflict",
        explanation="The file still holds the markers that git writes where two changes meet. Choose one side and delete them.",
        source="https://git-scm.com/docs/git-merge#_how_conflicts_are_presented",
        example="<<<<<<< HEAD\nversion: 0.2\n=======\nversion: 0.1\n>>>>>>> feature\n",
    ),
    Rule(
        id="source/yaml-syntax",
        severity="error",
        title="Not YAML",
        explanation="The parser stops at this place. Message and place are libyaml's, which is what most services use too.",
        source="https://yaml.org/spec/1.1/",
        example="run: echo a: b\n",
    ),
    Rule(
        id="source/json-syntax",
        severity="error",
        title="Not JSON",
        explanation="JSON has no comments, no single quotes and no comma before a closing bracket.",
        source="https://www.rfc-editor.org/rfc/rfc8259",
        example='{"name": "a",}\n',
    ),
    Rule(
        id="source/toml-syntax",
        severity="error",
        title="Not TOML",
        explanation="The parser stops at this place. A table or key that is given twice is such an error too.",
        source="https://toml.io/en/v1.0.0",
        example="name = \n",
    ),
    Rule(
        id="source/dockerfile-syntax",
        severity="error",
        title="Not a Dockerfile",
        explanation="The builder stops at this place, before it builds anything. The message is BuildKit's.",
        source="https://docs.docker.com/reference/dockerfile/",
        example="FROM debian\nRUM apt-get update\n",
    ),
    Rule(
        id="source/duplicate-key",
        severity="warning",
        title="A key is given twice",
        explanation=(
            "A mapping has the same key twice. Most readers keep the later value and drop the earlier one "
            "without a word; some refuse the file. Delete the one that is not meant."
        ),
        source="https://yaml.org/spec/1.1/#id861060",
        example="phases:\n  build: {}\nphases:\n  install: {}\n",
    ),
    Rule(
        id="requirements/syntax",
        severity="error",
        title="A line is not a requirement",
        explanation="pip refuses the whole file when it cannot read one line.",
        source="https://packaging.python.org/en/latest/specifications/dependency-specifiers/",
        example="torch=2.1\n",
    ),
)
