"""What failing builds print, and what a person should be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.images.building.diagnosis import Told, diagnose, tail

if TYPE_CHECKING:
    from pathlib import Path

SUITE = Told("debian:bookworm", "3.11", "demo 1.0")
SLIM = Told("registry.example/python:3.11-slim", "3.11", "demo 1.0")

CASES = [
    ("unable to execute 'gcc': No such file or directory\nerror: command 'gcc' failed", "no C compiler", "packages: [build-essential]"),
    ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "no C compiler", "build-essential"),
    ("error: command 'gcc' failed: No such file or directory: 'gcc'", "no C compiler", "build-essential"),
    ("../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]", "no C compiler", "build-essential"),
    ("  No CMAKE_CXX_COMPILER could be found.", "no C compiler", "build-essential"),
    ("x.c:1:10: fatal error: Python.h: No such file or directory\n 1 | #include <Python.h>", "Python.h", "python3-dev"),
    ("psycopg/psycopg.h:36:10: fatal error: libpq-fe.h: No such file or directory", "libpq-fe.h", "libpq-dev"),
    ("src/x.cpp:2:10: fatal error: boost/python.hpp: No such file or directory", "boost/python.hpp", "libboost-all-dev"),
    ("a.c:9:10: fatal error: 'ffi.h' file not found", "ffi.h", "libffi-dev"),
    ("x.c:3:10: fatal error: my/own.h: No such file or directory", "my/own.h", "NAME-dev"),
    ("x.c:3:10: fatal error: numpy/arrayobject.h: No such file or directory", "needs numpy", "[build-system] requires"),
    ("x.cu:1:10: fatal error: cuda_runtime.h: No such file or directory", "CUDA toolkit", "-devel"),
    ("OSError: CUDA_HOME environment variable is not set. Please set it", "CUDA toolkit", "-devel"),
    ("/usr/bin/ld: cannot find -lz: No such file or directory", "libz", "zlib1g-dev"),
    ("/usr/bin/ld: cannot find -lxml2: No such file", "libxml2", "libxml2-dev"),
    ("Error: pg_config executable not found.\n\npg_config is required", "pg_config", "libpq-dev"),
    ("/bin/sh: 1: mysql_config: not found", "mysql_config", "libmysqlclient-dev"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", "cmake", "packages: [cmake]"),
    ("/bin/sh: 1: pkg-config: not found", "pkg-config", "packages: [pkg-config]"),
    ("error: can't find Rust compiler\nIf you are using an outdated pip version", "Rust", "cargo"),
    ("Cargo, the Rust package manager, is not installed or is not on PATH.", "Rust", "cargo"),
    ("urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>", "network", "--find-links"),
    ("curl: (6) Could not resolve host: github.com", "network", "--find-links"),
    ("ModuleNotFoundError: No module named 'torch'", "needs torch while it is built, and does not say so", "requires"),
    ("ModuleNotFoundError: No module named 'distutils'", "distutils, which Python 3.11 no longer has", "newer version"),
    ("ModuleNotFoundError: No module named 'pkg_resources'", "pkg_resources", "newer version"),
    ("RuntimeError: This package requires Python >=3.12, sorry", "Python >=3.12", "another version"),
    ("error: Multiple top-level packages discovered in a flat-layout: ['a', 'b'].", "several folders", "[tool.setuptools]"),
    ("LookupError: setuptools-scm was unable to detect version for /build/src.", "git", "tags"),
    ("OSError: [Errno 28] No space left on device", "disk is full", "free space"),
    ("cc1plus: out of memory allocating 65536 bytes\nMemoryError", "memory", "more memory"),
    ("g++: fatal error: Killed signal terminated program cc1plus", "memory", "more memory"),
    ("OSError: [Errno 30] Read-only file system: '/usr/lib/x'", "outside of its own folders", "authors"),
    ("OSError: Readme file does not exist: README.md", "README.md", "add the file"),
]  # fmt: skip


@pytest.mark.parametrize(("printed", "why", "fix"), CASES, ids=[case[0][:40] for case in CASES])
def test_the_usual_causes_are_named_with_what_to_do(printed: str, why: str, fix: str) -> None:
    cause = diagnose(f"running build_ext\n{printed}\n", SUITE)
    assert cause is not None
    assert why in cause.why
    assert fix in cause.fix


def test_a_cause_that_nobody_knows_is_not_made_up() -> None:
    assert diagnose("ValueError: 42\n", SUITE) is None


def test_packages_are_named_as_the_settings_take_them() -> None:
    header = "x.c:1:10: fatal error: libpq-fe.h: No such file or directory"
    there, elsewhere = diagnose(header, SUITE), diagnose(header, SLIM)
    assert there is not None
    assert "`build: {packages: [libpq-dev]}`" in there.fix
    assert elsewhere is not None
    assert "`build: {base: registry.example/python:3.11-slim, packages: [libpq-dev]}`" in elsewhere.fix


def test_what_is_shown_has_no_power_over_a_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before\n\x1b[31mred\x1b[0m \x1b]0;title\x07ok\xc2\x9b2J\r\n50%\r100%\nbell\x07\xff\n")
    assert tail(log, 7) == "red ok2J\n100%\nbell\ufffd\n"
