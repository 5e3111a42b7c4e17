"""What apt and dpkg said when packages could not be installed, as an error that names the next thing to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images.runtimes.probe import refused
from seatrial.images.system import processors

if TYPE_CHECKING:
    from collections.abc import Sequence

# (what apt prints, the fix); the first that fits. Source: apt's and dpkg's messages, untranslated.
_FIXES = (
    (r"Unable to locate package|has no installation candidate",
     "check the name, and whether the base's apt sources have it (contrib and non-free are not always listed)"),
    (r"Version '.*' for '.*' was not found", "give a version that the base's apt sources have, or none"),
    (r"unmet dependencies|not installable|held broken packages", "leave one of the packages out, or take other versions"),
    (r"Could not (resolve|connect)|Failed to fetch|Unable to connect|Temporary failure|Connection (refused|timed out)",
     "check the network, the proxy and this machine's apt sources; a mirror of its own is used where it has one"),
    (r"is not valid yet|is expired|not signed|NO_PUBKEY|EXPKEYSIG",
     "check this machine's clock, or take a newer base: its keys or lists are out of date"),
    (r"Certificate verification failed|certificate", "name your company's certificates in SSL_CERT_FILE"),
    (r"No space left", "free space in the cache's file system (`seatrial cache prune`)"),
    (r"dpkg: error processing|installed .* script subprocess returned error|Sub-process .* returned an error",
     "the package's own script fails in a container: try another version, or a base that has it"),
)  # fmt: skip


# The last: what a package needs and cannot get, and why a script of a package failed.
_TELLING = re.compile(
    r"E:|W:|dpkg: error|\s*\S+ : (Depends|PreDepends|Conflicts|Breaks):|\s*Depends:| installed .* subprocess"
)


def explain(cannot: bool, errors: str, log: str, base: str, packages: Sequence[str]) -> SeatrialError:
    """The error. `errors` is what the launcher printed, `log` what apt printed; `cannot`: this machine refuses."""
    if cannot:
        why = errors.strip().removeprefix("seatrial: ").splitlines()
        return _refused(why[-1] if why else "namespaces")
    said = [_masked(line.strip()) for line in log.splitlines() if _TELLING.match(line)]
    causes = [line for line in said if not line.startswith("W:")] or said
    text = "\n".join(said)
    fix = next((fix for pattern, fix in _FIXES if re.search(pattern, text)), "run the same command again")
    tail = _masked("; ".join(log.strip().splitlines()[-3:]))
    return SeatrialError(
        f"Debian packages cannot be installed into {base}", where=", ".join(packages),
        why="; ".join(dict.fromkeys(causes[:4])) or tail or errors.strip() or "apt-get was killed", fix=fix,
    )  # fmt: skip


def _refused(why: str) -> MissingToolError:
    if "binfmt_misc" in why:
        return processors.refused(why)
    if "subuid" in why:
        return MissingToolError(
            "this user may not give files to other users", why=why,
            fix="install uidmap and enter this user in /etc/subuid and /etc/subgid",
        )  # fmt: skip
    return refused(why)


def _masked(line: str) -> str:
    """Without the password of a mirror or proxy."""
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1***@", line)
