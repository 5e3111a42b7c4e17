"""What people write where a version belongs, when they report which packages failed together.

A report says `2.3` or `>=2 (unpinned)`, `2.1.0 (cu121)`, `cu118`, `latest`, `1.2.3 in dev.txt`, `-> torch 2.1`.
`read_wanted` turns one such text into a request, or says why nothing that could stand in a file is left of it. Nothing
is looked up: a version that the text does not say is not made up.
"""

from __future__ import annotations

import re

import msgspec

PYTORCH_INDEX = "https://download.pytorch.org/whl/"

_VERSION = re.compile(r"\d+(\.\d+)+((a|b|rc|\.post|\.dev)\d+)*(\+[\w.]+)?")
_SERIES = re.compile(r"(\d+(?:\.\d+)*)\.x(?:\+(\w+))?")
_SPECIFIER = re.compile(r"((>=|<=|==|!=|~=|<|>)\s*[\w.*+]+)(\s*,\s*(>=|<=|==|!=|~=|<|>)\s*[\w.*+]+)*")
_VARIANT = re.compile(r"\b(cu\d{3}|cpu|rocm\d+\.\d+)\b")
_RANGE = re.compile(r"cu\d{3}\.\.(cu\d{3})")
_COMPANION = re.compile(r"([a-z][a-z0-9_-]*) (\d+(?:\.\d+)+)")
_WHEEL = re.compile(r"\+cu\d+torch\d+\.\d+cxx11abi(TRUE|FALSE)$")
_NEWEST = {"latest", "new", "newest", "unpinned"}
_NOISE = re.compile(r"\bcu\d{2}\b|\bvia pip\b")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One package as a user asked for it.

    `specifier` is PEP 440 and may be empty; `variant` names the PyTorch index that serves it. `own_step` says that it
    was installed by a command of its own, `before` that this came before another package, `file` in which file it
    stands, `line_index` that an index stands on its own line. `wheel` is the version of a prebuilt file that names the
    torch it was built for. `conda` are the words of a conda command.
    """

    name: str
    specifier: str = ""
    variant: str = ""
    companions: tuple[str, ...] = ()
    own_step: bool = False
    before: str = ""
    file: str = ""
    line_index: str = ""
    wheel: str = ""
    conda: tuple[str, ...] = ()

    @property
    def request(self) -> str:
        return self.name + self.specifier

    @property
    def label(self) -> str:
        """The variant that a local version label names, as `cu121` in `2.4.0+cu121`."""
        found = _VARIANT.fullmatch(self.specifier.partition("+")[2])
        return found.group(1) if found else ""


class Inexpressible(msgspec.Struct, frozen=True):
    """Nothing that can stand in a file; `why` is for people."""

    why: str


def read_wanted(name: str, text: str) -> Wanted | Inexpressible:
    """What `text` asks for of the package `name`."""
    if " " in name:
        return Inexpressible(f"{name!r} is not the name of a package")
    written, hints = _hints(text)
    if written.startswith("conda "):
        return Wanted(name=name, conda=tuple(written.split()[1:]))
    if "XXX" in text:
        return Inexpressible(f"the variant of {name} is a placeholder")
    if written.startswith(("editable", "manually")) or "source build" in hints:
        return Inexpressible(f"{name} was built from sources that are not there")
    base = Wanted(name=name)
    written, base = _place(written, base)
    left, arrow, right = (part.strip() for part in written.partition("->"))
    if arrow:
        written = left
        base = msgspec.structs.replace(base, own_step=not left and bool(_COMPANION.fullmatch(right)))
        if not left:
            return base
    return _versions(written, hints, base)


def index_url(variant: str) -> str:
    """The PyTorch index of a variant. Source: https://pytorch.org/get-started/previous-versions/."""
    return PYTORCH_INDEX + variant


def _hints(text: str) -> tuple[str, str]:
    """The text without its parentheses, and what stood in them."""
    hints = " ".join(re.findall(r"\(([^)]*)\)", text))
    return re.sub(r"\s*\([^)]*\)", "", text).strip(), hints


def _place(text: str, wanted: Wanted) -> tuple[str, Wanted]:
    """Take off where the request stands."""
    text, _, index = (part.strip() for part in text.partition("--index-url"))
    if index:
        variant = _VARIANT.search(index)
        url = index_url(variant.group(1)) if variant else index
        wanted = msgspec.structs.replace(wanted, line_index=url)
    if found := re.fullmatch(r"(.*) in (\S+\.txt)", text):
        return found.group(1), msgspec.structs.replace(wanted, file=found.group(2))
    if found := re.fullmatch(r"(.*) before (\S+)", text):
        return found.group(1), msgspec.structs.replace(wanted, before=found.group(2))
    return text, wanted


def _versions(written: str, hints: str, base: Wanted) -> Wanted | Inexpressible:
    """A written operator is what stood in the file; a bare number beside `unpinned` or `latest` is what came of it."""
    words = set(re.findall(r"[a-z]+", f"{written} {hints}"))
    from_pypi = "pip" in words or "pypi" in f"{written} {hints}".lower()
    variant = "" if from_pypi or base.line_index else _variant(f"{written} {hints}")
    base = msgspec.structs.replace(base, variant=variant)
    plain = _RANGE.sub("", written)
    if not _WHEEL.search(plain):
        plain = re.sub(r"(?<!\+)\b(cu\d{3}|cpu)\b", "", plain)
    plain = _NOISE.sub("", plain).strip()
    if specifier := _SPECIFIER.fullmatch(plain):
        return msgspec.structs.replace(base, specifier=specifier.group().replace(" ", ""))
    if words & _NEWEST:
        return base
    if plain:
        return _number(plain, base)
    return _hint_alone(hints, base, from_pypi=from_pypi)


def _hint_alone(hints: str, base: Wanted, *, from_pypi: bool) -> Wanted | Inexpressible:
    if not hints or base.variant:
        specifier = _SPECIFIER.fullmatch(hints)
        return msgspec.structs.replace(base, specifier=specifier.group() if specifier else "")
    if companion := _COMPANION.fullmatch(hints):
        asked = companion.group(1) + pinned(companion.group(2))
        return msgspec.structs.replace(base, companions=(asked,))
    if from_pypi or hints.startswith("built for "):
        return base
    return Inexpressible(f"{base.name} is described, but no version of it is stated")


def _number(text: str, base: Wanted) -> Wanted | Inexpressible:
    """The newest final release of the alternatives that `/` separates."""
    if text.startswith("built for "):
        return msgspec.structs.replace(base, variant="")
    parts = [part.strip() for part in text.split("/")]
    finals = [part for part in parts if not part.endswith("dev")]
    if not finals or not all(_VERSION.fullmatch(part) or _SERIES.fullmatch(part) for part in finals):
        return Inexpressible(f"a part of what is said about {base.name} is not a version")
    version = finals[-1]
    if _WHEEL.search(version):
        return msgspec.structs.replace(base, wheel=version, variant="")
    series = _SERIES.fullmatch(version)
    if series and series.group(2):
        return msgspec.structs.replace(base, specifier=f"=={series.group(1)}.*", variant=series.group(2))
    return msgspec.structs.replace(
        base, specifier=pinned(version), variant="" if "+" in version else base.variant
    )


def _variant(text: str) -> str:
    """A range stands for its upper end."""
    found = _RANGE.search(text)
    if found:
        return found.group(1)
    single = _VARIANT.search(text)
    return single.group(1) if single else ""


def pinned(version: str) -> str:
    """`==` a version; `2.3` and `2.3.x` are the series 2.3.*, as people mean them."""
    if series := _SERIES.fullmatch(version):
        return f"=={series.group(1)}.*"
    return f"=={version}.*" if re.fullmatch(r"\d+\.\d+", version) else f"=={version}"
