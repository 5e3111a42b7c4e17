"""What made a build fail, told from what it printed, and what to do about it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable  # noqa: TC003 - NamedTuple keeps the annotations
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

_TAIL = 1 << 20
_SHOWN = 12


class Cause(NamedTuple):
    """Why, and what to do. `compiler` says that a system with a compiler may succeed."""

    why: str
    fix: str
    compiler: bool = False


class Told(NamedTuple):
    """What a diagnosis may need besides the log."""

    base: str
    python: str
    name: str


class _Sign(NamedTuple):
    pattern: re.Pattern[str]
    cause: Callable[[re.Match[str], Told], Cause]


def tail(log: Path, start: int = 0) -> str:
    """The end of what was printed from byte `start` on, without colours or other control characters."""
    with log.open("rb") as stream:
        end = stream.seek(0, 2)
        stream.seek(max(start, end - _TAIL))
        text = stream.read(_TAIL).decode("utf-8", "replace")
    text = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|.)", "", text).replace("\r\n", "\n")
    text = re.sub(r"[^\n]*\r(?!\n)", "", text)
    return "".join(c for c in text if c in "\n\t" or c.isprintable())


def last_lines(text: str, count: int = _SHOWN) -> str:
    """The last lines that say something."""
    lines = [line.rstrip()[:300] for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-count:])


def diagnose(text: str, told: Told) -> Cause | None:
    """The first cause that the output shows, most telling first; None when it shows none that is known."""
    for sign in _SIGNS:
        if match := sign.pattern.search(text):
            return sign.cause(match, told)
    return None


def _header(match: re.Match[str], told: Told) -> Cause:
    header = match["header"]
    if header == "Python.h":
        return Cause("the header Python.h of Python is missing", _install("python3-dev", told), compiler=True)
    module = {"numpy": "numpy", "torch": "torch", "ATen": "torch", "c10": "torch", "pybind11": "pybind11"}
    if header.partition("/")[0] in module:
        return _undeclared_of(module[header.partition("/")[0]], told)
    if header.startswith(("cuda", "cublas", "cudnn")):
        return Cause(
            f"the header {header} of the CUDA toolkit is missing",
            _other_base("that has the CUDA toolkit (a `-devel` image)"),
        )
    table = _packages().headers
    package = table.get(header) or table.get(
        "boost" if header.startswith("boost/") else header.rpartition("/")[2]
    )
    if package is None:
        return Cause(
            f"the header {header} is missing",
            f"find the Debian package that has it and add it: {_install('NAME-dev', told)}",
        )
    return Cause(f"the header {header} is missing", _install(package, told))


def _library(match: re.Match[str], told: Told) -> Cause:
    name = match["library"]
    wanted = {
        "z": "zlib1g-dev",
        "ssl": "libssl-dev",
        "crypto": "libssl-dev",
        "pq": "libpq-dev",
        "stdc++": "build-essential",
    }
    known = {
        p
        for p in _packages().headers.values()
        if re.fullmatch(rf"lib{re.escape(name.lower())}[\d.-]*-dev", p)
    }
    package = wanted.get(name) or (min(known) if known else f"lib{name.lower()}-dev")
    return Cause(f"the library lib{name} is missing", _install(package, told))


def _program(match: re.Match[str], told: Told) -> Cause:
    name = next(text for text in match.groups() if text).rpartition("/")[2]
    package = _packages().programs.get(name)
    if name in ("cargo", "rustc"):
        return _rust(match, told)
    if package is None:
        return Cause(f"the program {name} is missing", f"add what has it: {_install('PACKAGE', told)}")
    compiler = package == "build-essential"
    why = "there is no C compiler" if compiler else f"the program {name} is missing"
    return Cause(f"{why} where it is built, in {told.base}", _install(package, told), compiler=compiler)


def _rust(_match: re.Match[str], told: Told) -> Cause:
    return Cause(
        "it is written in Rust, and there is no Rust compiler where it is built",
        f"{_install('cargo', told)}; its crates must lie in the source (`cargo vendor`), since builds have no network. "
        "A wheel of another version is nearly always there",
    )


def _network(_match: re.Match[str], _told: Told) -> Cause:
    return Cause(
        "it wanted something from the network, which builds do not have",
        "choose a version that has a wheel, build a wheel elsewhere and give it by `--find-links`, or put what it loads "
        "into the source",
    )


def _undeclared(match: re.Match[str], told: Told) -> Cause:
    return _undeclared_of(match["module"].partition(".")[0], told)


def _undeclared_of(module: str, told: Told) -> Cause:
    if module == "distutils":
        return Cause(
            f"it needs distutils, which Python {told.python} no longer has",
            "choose a newer version of it, or a base with Python 3.11 or older",
        )
    if module in ("pkg_resources", "imp", "asynchat", "asyncore", "smtpd", "cgi", "pipes"):
        return Cause(
            f"it needs the module {module}, which what it is built with no longer has",
            "choose a newer version of it, or one that has a wheel",
        )
    if module in sys.stdlib_module_names:
        return Cause(
            f"the Python of {told.base} lacks {module}, a part of the standard library",
            "use a base with the whole of Python, or choose another version of it",
        )
    return Cause(
        f"it needs {module} while it is built, and does not say so",
        f"choose a version that has a wheel; in a project of your own add {module} to `[build-system] requires`",
    )


def _python(match: re.Match[str], told: Told) -> Cause:
    wanted = next((text for text in match.groups() if text), "another Python")
    return Cause(
        f"it wants {wanted.strip()}, the image has Python {told.python}",
        "choose another version of it, or another base",
    )


def _memory(_match: re.Match[str], _told: Told) -> Cause:
    return Cause(
        "it ran out of memory", "build on a machine with more memory, or choose a version that has a wheel"
    )


def _processes(_match: re.Match[str], _told: Told) -> Cause:
    return Cause("it started more processes than it may", "choose a version that has a wheel")


def _disk(_match: re.Match[str], _told: Told) -> Cause:
    return Cause(
        "the disk is full, or a file became larger than builds may write",
        "free space where the cache lies, then run again",
    )


def _read_only(_match: re.Match[str], _told: Told) -> Cause:
    return Cause(
        "it wanted to write outside of its own folders",
        "choose a version that has a wheel, or report it to its authors",
    )


def _cuda(_match: re.Match[str], _told: Told) -> Cause:
    return Cause(
        "it compiles for CUDA, and there is no CUDA toolkit",
        _other_base("that has the CUDA toolkit (a `-devel` image)"),
    )


def _no_git(_match: re.Match[str], _told: Told) -> Cause:
    return Cause(
        "its version comes from git, and nothing there says one",
        "build from a clone with tags, or set the version in pyproject.toml",
    )


def _flat(_match: re.Match[str], _told: Told) -> Cause:
    return Cause(
        "setuptools finds several folders that could be its packages, and does not choose",
        "name them in pyproject.toml: `[tool.setuptools] packages = […]`, or move them below src/",
    )


def _readme(match: re.Match[str], _told: Told) -> Cause:
    return Cause(
        f"pyproject.toml names a file that is not there: {match['file']}",
        "add the file, or correct pyproject.toml",
    )


def _install(package: str, told: Told) -> str:
    if re.fullmatch(r"(debian|ubuntu):[a-z-]+", told.base):
        return f"add it where it is built: `build: {{packages: [{package}]}}`"
    return f"build where it is: `build: {{base: {told.base}, packages: [{package}]}}`, or name a base that has it"


def _other_base(what: str) -> str:
    return f"name a system {what}: `build: {{base: …}}`"


def _sign(pattern: str, cause: Callable[[re.Match[str], Told], Cause]) -> _Sign:
    return _Sign(re.compile(pattern), cause)


# Most telling first: a missing compiler also says "error: command failed", and a retried download a traceback.
_SIGNS = (
    _sign(r"No space left on device|File size limit exceeded|\[Errno 27\]", _disk),
    _sign(r"BlockingIOError: \[Errno 11\]|fork: (?:retry: )?Resource temporarily unavailable", _processes),
    _sign(r"MemoryError|Cannot allocate memory|fatal error: Killed signal|virtual memory exhausted|out of memory", _memory),
    _sign(
        r"Temporary failure in name resolution|Could not resolve host|Network is unreachable|Name or service not known"
        r"|Failed to establish a new connection|getaddrinfo|Connection refused|failed to lookup address"
        r"|download of config.json failed|urlopen error|network failure",
        _network,
    ),
    _sign(r"CUDA_HOME environment variable is not set|nvcc.*(not found|No such file)|Failed to find NVCC|Could not find.*CUDA(?!.*numpy)", _cuda),
    _sign(
        r"(?i)rust compiler|cargo, the rust package manager, is not installed|can't find rust|rustc.*not found"
        r"|error: could not find `?cargo|setuptools_rust.*No such file",
        _rust,
    ),
    _sign(r"fatal error: '?(?P<header>[\w./+-]+\.(?:h|hpp|hxx|hh))'?(?:: No such file| file not found)", _header),
    _sign(r"cannot find -l(?P<library>[\w+.-]+)", _library),
    _sign(
        r"(?:error|Error): command '?([\w./+-]+)'? failed: No such file|unable to execute '([\w./+-]+)': No such file"
        r"|FileNotFoundError: \[Errno 2\] No such file or directory: '((?:[\w./-]*/)?[\w.+-]*(?:cc|gcc|g\+\+|c\+\+|clang|cmake|make|ninja|gfortran|swig"
        r"|cargo|rustc|pkg-config|git|npm|node|go|pg_config|[\w-]+-config|[\w]+_config))'"
        r"|(?:sh|bash): (?:\d+: |line \d+: )?([\w./+-]+): (?:command )?not found"
        r"|Error: (pg_config) executable not found|(pkg-config) (?:executable )?(?:was )?not found|Unable to find .*?(swig)\b"
        r"|(mysql_config|mariadb_config)[: ].*not found|Could NOT find (?:a )?(gfortran)",
        _program,
    ),
    _sign(r"No CMAKE_C(?:XX)?_COMPILER could be found|Unknown compiler\(s\): \[\['?(cc)|no acceptable C compiler found|C compiler cannot", lambda _m, told: Cause(
        f"there is no C compiler where it is built, in {told.base}", _install("build-essential", told), compiler=True)),
    _sign(r"CMake must be installed|Problem with the CMake installation|Could not find CMake", lambda _m, told: Cause(
        "the program cmake is missing", _install("cmake", told))),
    _sign(r"(?i)(?:this package |this project )?requires (?:a )?(python[ \w]*[<>=!~]=? ?['\"]?[\d.]+[^\n,;]{0,20})|requires a different (Python)|(Python [\d.]+(?: or \w+)?) (?:is )?required", _python),
    _sign(r"unable to detect version|Unable to determine (?:the )?version|not find a version in.*git|PBR.*version", _no_git),
    _sign(r"Multiple top-level (?:packages|modules) discovered in a flat-layout", _flat),
    _sign(r"(?:Readme file|License file|FileNotFoundError: .*(?=README|LICENSE)).*?(?P<file>[\w.-]+(?:\.md|\.rst|\.txt)|README|LICENSE)\b", _readme),
    _sign(r"(?:ModuleNotFoundError|ImportError): No module named '?(?P<module>[\w.]+)'?", _undeclared),
    _sign(r"Read-only file system", _read_only),
    _sign(r"Error: (pg_config)", _program),
)  # fmt: skip


class _Packages(msgspec.Struct, frozen=True):
    headers: dict[str, str]
    programs: dict[str, str]


@cache
def _packages() -> _Packages:
    import yaml

    text = Path(__file__).with_name("headers.yaml").read_text()
    return msgspec.convert(yaml.safe_load(text), _Packages)
