"""What to do about an import that fails, from the words of the interpreter and the loader and the files around."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.rootfs import locate

if TYPE_CHECKING:
    from seatrial.images.rootfs import Root
    from seatrial.images.testing.model import Subject
    from seatrial.images.testing.python import Python

_MISSING = re.compile(r"No module named '([\w.]+)'")
_NO_FILE = re.compile(r"FileNotFoundError: .*?'([^']+)'")
# Pattern and what to do; the first that matches is taken. Of NumPy: what its C API says to a module that was built
# for another major version. Of torch: namespaces of libtorch in mangled names (Itanium C++ ABI, 5.1.3).
_SAID = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (
            r"([\w.+-]+\.so[\w.]*): cannot open shared object file",
            "install the system package that has {}, or a wheel that carries it",
        ),
        (
            r"(against NumPy 1|_ARRAY_API|numpy\.dtype size changed|multiarray failed to import|against ABI version)",
            "pin numpy<2, or take a version of the package that was built for NumPy 2",
        ),
        (
            r"version `(GLIBC(?:XX)?_[\w.]+|CXXABI_[\w.]+)' not found",
            "it needs a system with {} or newer: take a newer base image or an older wheel",
        ),
        (
            r"(undefined symbol: \S*(?:3c10|2at|5torch|4c10d|aoti_torch))",
            "it was built for another torch: take its build for the torch in the image, or pin that torch",
        ),
        (
            "(undefined symbol)",
            "two packages do not fit each other (ABI): pin versions that were built together",
        ),
        (
            "(wrong ELF class|invalid ELF header)",
            "a compiled part is for another processor: lock and assemble for the image's architecture",
        ),
        (
            "(PermissionError)",
            "the image's user may not use that file: give it to the user, or set another folder for it",
        ),
        (
            "(did not finish)",
            "let importing do little: what waits for a network or a device belongs behind the start",
        ),
    )
)
_REMOVED = {
    "distutils",
    "imp",
    "asynchat",
    "asyncore",
    "cgi",
    "crypt",
    "telnetlib",
    "pipes",
    "imghdr",
    "sndhdr",
}


def advice(subject: Subject, error: str) -> str:
    """One sentence that says what to change."""
    for pattern, words in _SAID:
        if match := pattern.search(error):
            return words.format(match[1])
    if subject.python is not None and (match := _MISSING.search(error)):
        return _about_module(subject.root, subject.python, match[1])
    if subject.python is not None and (match := _NO_FILE.search(error)):
        return _about_file(subject.python, match[1])
    return (
        "import it in the image to see the whole traceback: seatrial image run IMAGE -- python3 -c 'import …'"
    )


def _about_module(root: Root, python: Python, module: str) -> str:
    """A module that is not found may be there all the same: hidden, or without its compiled part."""
    top = module.partition(".")[0]
    if hidden := _hidden(root, python, module):
        return hidden
    inside = module.replace(".", "/")
    for distribution in python.distributions:
        listed = [f for f in distribution.files if f.startswith((f"{inside}.", f"{inside}/__init__."))]
        lost = [f for f in listed if locate(root, f"{distribution.site}/{f}")[1] is None]
        if listed and lost == listed:
            place = f"{distribution.site}/{lost[0]}"
            return f"{distribution.name} installed {place}, which is gone: a later step removed it, or it was not copied"
    if top == "pkg_resources":
        return "setuptools has no pkg_resources any more: add setuptools<81, or take a newer version of the package"
    if top in _REMOVED:
        return f"newer Python has no {top}: take a newer version of the package, or an older Python"
    return "add the distribution that has this module to the requirements and lock again"


def _hidden(root: Root, python: Python, module: str) -> str:
    """Parts of one namespace lie in several folders; an __init__.py in one of them hides the others."""
    folders = module.split(".")
    for depth in range(1, len(folders)):
        parent, inside = "/".join(folders[:depth]), "/".join(folders[: depth + 1])
        names = [(site, f"{site}/{name}") for site in python.path for name in (inside, f"{inside}.py")]
        hiders = [s for s in python.path if locate(root, f"{s}/{parent}/__init__.py")[1] is not None]
        holders = [(site, place) for site, place in names if locate(root, place)[1] is not None]
        if hiders and holders and holders[0][0] not in hiders:
            return (
                f"{hiders[0]}/{parent}/__init__.py hides {holders[0][1]}: "
                "install both in one folder, or remove that __init__.py"
            )
    return ""


def _about_file(python: Python, path: str) -> str:
    if "/" not in path:
        return f"install the program {path} in the image, or add it to the working directory if it is a file"
    for distribution in python.distributions:
        site = distribution.site.rstrip("/") + "/"
        if path.startswith(site) and path.removeprefix(site) in distribution.files:
            return f"{distribution.name} came with {path}, which is gone: do not remove it in a later step"
        if path.startswith(tuple(f"{site}{module.replace('.', '/')}/" for module in distribution.modules)):
            return f"{distribution.name} was packaged without {path}: add it to its package data, or take another version"
    return f"add {path} to the image, or correct the path"
