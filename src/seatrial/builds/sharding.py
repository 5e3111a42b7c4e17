"""The two programs that CodeBuild gives a build for its share of the tests, as shell scripts for any image.

Source: AWS CodeBuild user guide, "Use the codebuild-tests-run CLI command", "About test splitting" and "Use the
codebuild-glob-search CLI command". The hash behind `stability` is not published, so shares differ from CodeBuild's;
that they stay as they are when files come and go does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHARD, SHARDS = "SEATRIAL_SHARD", "SEATRIAL_SHARDS"
"""Variables of a build of a fanout: which share it has, from 1, and of how many."""


def write(folder: Path) -> None:
    """Put the programs into `folder`, for PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in PROGRAMS.items():
        write_atomic(folder / name, text, mode=0o755)


def provide(output: Path, inside: str, values: Mapping[str, str]) -> dict[str, str]:
    """`values` with the programs at the end of PATH; the container sees the folder `output` as `inside`.

    At the end, since an image of CodeBuild's own has better ones.
    """
    write(output / "bin")
    return {**values, "PATH": f"{values.get('PATH', '/usr/bin:/bin')}:{inside}/bin"}


_TESTS_RUN = r"""#!/bin/sh
# Runs this build's share of the tests: --test-command with the test files that --files-search names.
usage() {
    echo "codebuild-tests-run: $1" >&2
    echo "usage: codebuild-tests-run --test-command COMMAND --files-search COMMAND" >&2
    echo "    [--sharding-strategy equal-distribution|stability]" >&2
    exit 2
}
command= search= strategy=equal-distribution
while [ $# -gt 0 ]; do
    case $1 in
        --test-command=*) command=${1#*=} ;;
        --files-search=*) search=${1#*=} ;;
        --sharding-strategy=*) strategy=${1#*=} ;;
        --test-command | --files-search | --sharding-strategy)
            [ $# -gt 1 ] || usage "$1 needs a value"
            case $1 in
                --test-command) command=$2 ;;
                --files-search) search=$2 ;;
                *) strategy=$2 ;;
            esac
            shift ;;
        *) usage "there is no option $1" ;;
    esac
    shift
done
[ -n "$command" ] || usage "--test-command is missing"
[ -n "$search" ] || usage "--files-search is missing"
case $strategy in
    equal-distribution | stability) ;;
    *) usage "there is no sharding strategy $strategy" ;;
esac
shell=sh
[ -n "$BASH_VERSION" ] && shell=bash
found=$("$shell" -c "$search") || {
    code=$?
    echo "codebuild-tests-run: --files-search ended with $code: $search" >&2
    exit "$code"
}
share=$(printf '%s\n' "$found" | LC_ALL=C sort -u | LC_ALL=C awk \
    -v shard="${SEATRIAL_SHARD:-1}" -v shards="${SEATRIAL_SHARDS:-1}" -v strategy="$strategy" '
    # Rendezvous hashing: a file goes to the shard that weighs most for it, so another file changes nothing.
    # All numbers stay below 2^53, which awk counts exactly.
    BEGIN { prime = 67108859; for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i }
    function weight(name, number,   h, i) {
        h = (number * 40503077 + 12582917) % prime
        for (i = 1; i <= length(name); i++) h = (h * 31 + code[substr(name, i, 1)] + number) % prime
        h = (h * h + number) % prime
        return (h * h + 7919) % prime
    }
    $0 != "" { files[++count] = $0 }
    END {
        size = int(count / shards); larger = count % shards; end = 0
        for (n = 1; n <= shards; n++) {
            begin = end + 1; end = begin + size - 1 + (n <= larger)
            if (strategy == "equal-distribution" && n == shard)
                for (i = begin; i <= end; i++) print files[i]
        }
        if (strategy == "stability") for (i = 1; i <= count; i++) {
            best = 1; most = -1
            for (n = 1; n <= shards; n++) if ((w = weight(files[i], n)) > most) { most = w; best = n }
            if (best == shard) print files[i]
        }
    }')
if [ -z "$share" ]; then
    # Without a file many test programs would run all tests.
    echo "codebuild-tests-run: no test file for shard ${SEATRIAL_SHARD:-1} of ${SEATRIAL_SHARDS:-1}"
    exit 0
fi
CODEBUILD_CURRENT_SHARD_FILES=$share
export CODEBUILD_CURRENT_SHARD_FILES
case $command in
    *CODEBUILD_CURRENT_SHARD_FILES*) exec "$shell" -c "$command" ;;
esac
words=$(printf '%s\n' "$share" | sed "/[^A-Za-z0-9_.,:@%+=\/-]/{s/'/'\\\\''/g;s/^/'/;s/\$/'/;}" | tr '\n' ' ')
exec "$shell" -c "$command $words"
"""

_GLOB_SEARCH = r"""#!/bin/sh
# Prints the files below this folder that match one of the patterns: * within a name, ** over folders as well.
[ $# -gt 0 ] || { echo "usage: codebuild-glob-search PATTERN [PATTERN ...]" >&2; exit 2; }
found=$(
    { for pattern; do printf '%s\n' "$pattern"; done; echo //; find . ! -type d | sed 's,^\./,,'; } |
    LC_ALL=C awk '
        function expression(glob,   out, i, c) {
            sub(/^\.\//, "", glob)
            out = "^"
            for (i = 1; i <= length(glob); i++) {
                c = substr(glob, i, 1)
                if (substr(glob, i, 3) == "**/") { out = out "(.*/)?"; i += 2 }
                else if (substr(glob, i, 2) == "**") { out = out ".*"; i++ }
                else if (c == "*") out = out "[^/]*"
                else if (c == "?") out = out "[^/]"
                else if (c ~ /[A-Za-z0-9_\/ -]/ || c > "~") out = out c
                else out = out "\\" c
            }
            return out "$"
        }
        !listing && $0 == "//" { listing = 1; next }
        !listing { wanted[++count] = expression($0); next }
        { for (i = 1; i <= count; i++) if ($0 ~ wanted[i]) { print; next } }' | LC_ALL=C sort
)
if [ -z "$found" ]; then
    echo "codebuild-glob-search: no file found for $*" >&2
    exit 0
fi
printf '%s\n' "$found"
"""

PROGRAMS = {"codebuild-tests-run": _TESTS_RUN, "codebuild-glob-search": _GLOB_SEARCH}
