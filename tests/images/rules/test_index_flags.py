"""image/index-per-line: options on the line of a requirement."""

from __future__ import annotations

import pytest

from support.fixes import fixed
from support.image_checks import findings

RULE = "image/index-per-line"
URL = "https://download.pytorch.org/whl/cu128"
DOCKERFILE = "FROM python:3.11-slim\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"


@pytest.mark.parametrize(
    ("line", "severity", "column", "words"),
    [
        (
            f"torch==2.7.1 --index-url {URL}",
            "warning",
            14,
            "so torch 2.7.1 (cu126) comes instead of the build for cu128",
        ),
        (f"torch==2.7.1 --index-url={URL}", "warning", 14, "comes instead of the build for cu128"),
        (f"torch==2.7.1 -i {URL}", "warning", 14, "pip ignores -i on the line of torch"),
        (f"torch==2.7.1 --extra-index-url {URL}  # gpu", "warning", 14, "pip ignores --extra-index-url"),
        ("six --find-links https://wheels.example.org/", "warning", 5, "pip ignores --find-links"),
        ("six==1.16.0 --pre", "warning", 13, "pip ignores --pre on the line of six"),
        ("flash-attn==2.5.8 --no-build-isolation", "error", 19, "pip refuses --no-build-isolation"),
        ("six --no-deps", "error", 5, "pip refuses --no-deps"),
        ("six -U", "error", 5, "pip refuses -U"),
    ],
)
def test_options_that_do_nothing_or_end_the_install(
    line: str, severity: str, column: int, words: str
) -> None:
    files = {"Dockerfile": DOCKERFILE, "requirements.txt": f"# tools\n{line}\nrequests\n"}
    (found,) = findings(files, RULE)
    assert (found.severity, found.path, found.line, found.column) == (severity, "requirements.txt", 2, column)
    assert words in found.message
    outcomes = fixed(files, found)
    assert outcomes
    for one in outcomes:
        assert one["requirements.txt"].splitlines()[-1] == "requests"
        assert "# gpu" in one["requirements.txt"] or "# gpu" not in line


@pytest.mark.parametrize(
    "text",
    [
        f"--index-url {URL}\ntorch==2.7.1\n",
        f"--extra-index-url {URL}\ntorch==2.7.1 --index-url {URL}\n",
        "six==1.16.0 --hash=sha256:1e61c37477a1626458e36f7b1d82aa5c9b094fa4802892072e49de9c60c4c926\n",
        "six --config-settings a=b\nrequests --global-option=x\n",
        'six ; sys_platform == "linux" and platform_release != "a --pre"\n',
        "-e ./package --config-settings a=b\n",
        "six  # --index-url https://example.org\n",
    ],
)
def test_options_that_may_stand_there(text: str) -> None:
    assert findings({"Dockerfile": DOCKERFILE, "requirements.txt": text}, RULE) == []


def test_the_same_option_on_several_lines_is_moved_at_once() -> None:
    text = f"torch==2.7.1 --index-url {URL}\ntorchvision==0.22.1 --index-url {URL}\nrequests\n"
    files = {"Dockerfile": DOCKERFILE, "requirements.txt": text}
    found = findings(files, RULE)
    assert [one.line for one in found] == [1, 2]
    expected = f"--extra-index-url {URL}\ntorch==2.7.1\ntorchvision==0.22.1\nrequests\n"
    assert [fixed(files, one)[0]["requirements.txt"] for one in found] == [expected, expected]


def test_an_option_for_the_command_moves_there() -> None:
    files = {"Dockerfile": DOCKERFILE, "requirements.txt": "six --no-deps\n"}
    (found,) = findings(files, RULE)
    best = fixed(files, found)[0]
    assert best["requirements.txt"] == "six\n"
    assert "pip install --no-deps -r requirements.txt" in best["Dockerfile"]


def test_uv_refuses_what_pip_ignores() -> None:
    dockerfile = DOCKERFILE.replace("pip install", "uv pip install --system")
    files = {"Dockerfile": dockerfile, "requirements.txt": f"torch==2.7.1 --index-url {URL}\n"}
    (found,) = findings(files, RULE)
    assert (found.severity, found.message.split(",")[0]) == (
        "error",
        "uv refuses --index-url on the line of torch",
    )
    assert "--index-url" not in fixed(files, found)[0]["requirements.txt"].splitlines()[-1]
