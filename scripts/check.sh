#!/usr/bin/env bash
# Everything that can be said about the code without running it. All of it runs, also after a failure.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

failed=()
step() { # step NAME COMMAND…
  local name=$1 output started=$SECONDS
  shift
  if output=$("$@" 2>&1); then
    printf 'ok    %-16s %2d s\n' "$name" $((SECONDS - started))
  else
    printf 'FAIL  %s\n%s\n' "$name" "$output"
    failed+=("$name")
  fi
}

bin=.venv/bin
step lint "$bin/ruff" check .
step layout "$bin/ruff" format --check .
step types "$bin/mypy"
step imports "$bin/lint-imports"
if [ -x "$bin/shellcheck" ]; then
  step shell "$bin/shellcheck" scripts/*.sh .ci/run
else
  printf 'skip  %-16s %s\n' shell "shellcheck is not installed for this platform"
fi

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[*]}"
  exit 1
fi
