#!/usr/bin/env bash
# Make .venv with bin/seatrial in it, from the versions and hashes of requirements/dev.lock.
# Does nothing when that is already so. PYTHON=/path/to/python3 chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
stamp=$venv/.complete
lock=requirements/dev.lock

say() { printf '%s\n' "$*" >&2; }

# What .venv was made from: the lock, the project, and where it is (scripts in a venv name its folder).
wanted() { { cat "$lock" pyproject.toml; pwd -P; } | sha256sum | cut -d' ' -f1; }

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && usable "$candidate"; then
      command -v "$candidate"
      return
    fi
    if [ -n "${PYTHON:-}" ]; then
      say "error: PYTHON=$PYTHON is no Python 3.11 or newer"
      return 3
    fi
  done
  say "error: there is no Python 3.11 or newer on PATH"
  if command -v python3 >/dev/null; then say "  cause: python3 is $(python3 -V 2>&1 | cut -d' ' -f2)"; fi
  say "  fix: install one (Debian 12, Ubuntu 24.04 and later have it: apt-get install python3 python3-venv), or PYTHON=/path/to/python3 make setup"
  return 3
}

make_venv() {
  local python
  python=$(find_python)
  if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    say "error: $python cannot make virtual environments"
    say "  cause: the module ensurepip is missing; Debian and Ubuntu keep it in a package of its own"
    say "  fix: apt-get install $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    return 3
  fi
  say "making $venv with $("$python" -V)"
  "$python" -m venv --clear "$venv"
}

want=$(wanted)
if [ -x "$venv/bin/seatrial" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && usable "$venv/bin/python"; then
  exit 0
fi
rm -f "$stamp"
# A venv that was moved here from elsewhere has scripts that name the old place.
if ! usable "$venv/bin/python" || ! grep -qsF "$(pwd -P)/$venv" "$venv/bin/activate"; then
  make_venv
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
say "installing from $lock"
"$venv/bin/python" -m pip install --quiet --require-hashes --requirement "$lock"
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
printf '%s\n' "$want" >"$stamp"
say "ready: $venv/bin/seatrial"
